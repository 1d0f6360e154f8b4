//! Bytes that outlive their turn: requests on their way to the sequencer, and transactions.
//!
//! A write needs both for a moment, and each is about as long as its value. They stand one behind
//! the other in a common chunk, which is used again when nobody holds any part of it: so a write
//! asks the allocator for none of them, and what one core has made another need not free.

use bytes::{Bytes, BytesMut};

/// One that is still held keeps all of its chunk.
const CHUNK_BYTES: usize = 16 << 10;
/// What is longer stands alone: so at most a quarter of a chunk is left over at its end.
const BYTES_MAX: usize = CHUNK_BYTES / 4;

/// Keeps bytes for as long as somebody holds them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    chunk: BytesMut,
}

impl Kept {
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > BYTES_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if !self.chunk.try_reclaim(bytes.len()) {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES);
        }
        self.chunk.extend_from_slice(bytes);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_as_it_is_whatever_is_kept_later() {
        let mut kept = Kept::default();
        let lens = [0, 1, 1_000, BYTES_MAX, BYTES_MAX + 1, 100_000, 3].into_iter().cycle();
        let bytes = |at: usize, len| vec![at as u8; len];
        let all: Vec<_> = lens
            .take(100)
            .enumerate()
            .map(|(at, len)| (kept.keep(&bytes(at, len)), bytes(at, len)))
            .collect();
        assert!(all.iter().all(|(kept, bytes)| kept == bytes));
    }

    #[test]
    fn a_chunk_that_nobody_holds_is_used_again() {
        let mut kept = Kept::default();
        let place = |kept: &mut Kept| kept.keep(&[7; 1_000]).as_ptr().addr();
        let mut places: Vec<_> = (0..1_000).map(|_| place(&mut kept)).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= CHUNK_BYTES / 1_000, "{} places", places.len());
        let held = kept.keep(&[8; 1_000]);
        for _ in 0..100 {
            place(&mut kept);
        }
        assert_eq!(held, [8; 1_000][..]);
    }
}
