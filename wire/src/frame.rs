//! Frames: a four-byte length, then that many bytes.
//!
//! The limit is judged when the length is read, before a byte of the payload is kept, so that a
//! length alone never costs memory. Facts: ZooKeeper `NIOServerCnxn.readLength`, spec section 1.

use thiserror::Error;

use crate::jute::{Encode, jute_len};

/// Apache's default for `jute.maxbuffer`: the largest payload of one frame, inclusive.
pub const JUTE_MAXBUFFER_DEFAULT: usize = 0xf_ffff;

/// Bytes of the length before each payload.
pub const LENGTH_BYTES: usize = 4;

/// A length that no frame may have. The connection cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("frame length {len} is not within 0..={max}")]
pub struct FrameError {
    pub len: i32,
    pub max: usize,
}

/// What the front of a receive buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// One payload; the frame with its length takes `payload.len() + LENGTH_BYTES` bytes.
    Frame(&'a [u8]),
    /// At least this many more bytes are needed.
    Missing(usize),
}

/// Cuts the first frame off `received`.
///
/// # Errors
/// When the length is negative or above `payload_bytes_max`.
pub fn cut(received: &[u8], payload_bytes_max: usize) -> Result<Cut<'_>, FrameError> {
    let Some((head, tail)) = received.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(Cut::Missing(LENGTH_BYTES - received.len()));
    };
    let claimed = i32::from_be_bytes(*head);
    let error = FrameError { len: claimed, max: payload_bytes_max };
    let len = usize::try_from(claimed).map_err(|_| error)?;
    if len > payload_bytes_max {
        return Err(error);
    }
    Ok(match tail.get(..len) {
        Some(payload) => Cut::Frame(payload),
        None => Cut::Missing(len - tail.len()),
    })
}

/// Appends a frame whose payload `fill` writes.
pub fn put_with(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    fill(out);
    let len = jute_len(out.len() - start - LENGTH_BYTES);
    out[start..start + LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
}

/// Appends a frame around `record`.
pub fn put(out: &mut Vec<u8>, record: &impl Encode) {
    put_with(out, |out| record.encode(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_once_it_is_whole() {
        let mut bytes = Vec::new();
        put_with(&mut bytes, |out| out.extend_from_slice(b"hello"));
        for have in 0..4 {
            assert_eq!(cut(&bytes[..have], 100), Ok(Cut::Missing(4 - have)));
        }
        for have in 4..9 {
            assert_eq!(cut(&bytes[..have], 100), Ok(Cut::Missing(9 - have)));
        }
        assert_eq!(cut(&bytes, 100), Ok(Cut::Frame(b"hello")));
    }

    #[test]
    fn the_limit_is_inclusive_and_judged_on_the_length_alone() {
        let check = |len: i32, ok: bool| {
            assert_eq!(cut(&len.to_be_bytes(), 10).is_ok(), ok, "{len}");
        };
        check(10, true);
        check(11, false);
        check(-1, false);
        check(i32::MIN, false);
        check(i32::MAX, false);
    }
}
