//! Bytes whose address suits direct I/O.
//!
//! A plain boxed slice, one block longer than asked for, used from its first aligned byte on. So
//! alignment costs no unsafe code, and the bytes keep their address while the buffer moves between
//! the log's writer and the kernel.

use super::BLOCK_BYTES;
use std::ops::{Deref, DerefMut};

/// An owned, block-aligned run of bytes; its length is a whole number of blocks.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// At least `bytes_min` zero bytes.
    pub fn zeroed(bytes_min: usize) -> Self {
        let len = bytes_min.next_multiple_of(BLOCK_BYTES);
        let bytes = vec![0; len + BLOCK_BYTES].into_boxed_slice();
        let address = bytes.as_ptr().addr();
        let start = address.next_multiple_of(BLOCK_BYTES) - address;
        Self { bytes, start, len }
    }

    /// Makes room for at least `bytes_min` bytes; the first `used` bytes are kept.
    pub fn grow(&mut self, bytes_min: usize, used: usize) {
        if bytes_min > self.len {
            let mut larger = Self::zeroed(bytes_min.max(2 * self.len));
            larger[..used].copy_from_slice(&self[..used]);
            *self = larger;
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_keeps_its_bytes_when_it_grows() {
        for bytes_min in [1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1] {
            let mut buffer = Buffer::zeroed(bytes_min);
            assert_eq!(buffer.as_ptr().addr() % BLOCK_BYTES, 0);
            assert_eq!(buffer.len(), bytes_min.next_multiple_of(BLOCK_BYTES));
            buffer[0] = 7;
            buffer.grow(100 * BLOCK_BYTES, 1);
            assert_eq!(buffer.as_ptr().addr() % BLOCK_BYTES, 0);
            assert_eq!((buffer[0], buffer[1], buffer.len()), (7, 0, 100 * BLOCK_BYTES));
        }
    }
}
