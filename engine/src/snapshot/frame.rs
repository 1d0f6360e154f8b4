//! The bytes around the chunks: header, frames, footer. All integers little-endian.
#![deny(unsafe_code)]

use menagerie_wire::Zxid;

use super::{ChunkFault, SnapshotError};

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const FOOTER_BYTES: usize = 64;
pub(super) const FRAME_BYTES: usize = 16;
/// Archives begin at multiples of this.
pub(super) const ALIGNMENT: usize = 16;

const HEADER_MAGIC: [u8; 8] = *b"MNGRSNP1";
const FOOTER_MAGIC: [u8; 8] = *b"MNGRSNPE";
const CRC_AT: usize = 60;

/// What a snapshot says of itself as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) zxid: Zxid,
    pub(super) digest: u64,
    pub(super) nodes: u64,
    pub(super) sessions: u64,
}

/// Written last: a file without it was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) chunks: u64,
    pub(super) file_bytes: u64,
    pub(super) zxid: Zxid,
    pub(super) digest: u64,
    /// CRC-32C over all frames, so that each chunk is there once and in its place.
    pub(super) frames_crc: u32,
}

/// What stands before each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u32,
    /// Bytes of the archive, without the zeros behind it.
    pub(super) len: u32,
    pub(super) crc: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        seal(HEADER_MAGIC, [self.zxid.0 as u64, self.digest, self.nodes, self.sessions, 0])
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, SnapshotError> {
        let [zxid, digest, nodes, sessions, _] = open(HEADER_MAGIC, bytes, "header")?;
        Ok(Self { zxid: Zxid(zxid as i64), digest, nodes, sessions })
    }
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let zxid = self.zxid.0 as u64;
        let crc = u64::from(self.frames_crc);
        seal(FOOTER_MAGIC, [self.chunks, self.file_bytes, zxid, self.digest, crc])
    }

    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES]) -> Result<Self, SnapshotError> {
        let [chunks, file_bytes, zxid, digest, crc] = open(FOOTER_MAGIC, bytes, "footer")?;
        let zxid = Zxid(zxid as i64);
        Ok(Self { chunks, file_bytes, zxid, digest, frames_crc: crc as u32 })
    }
}

impl Frame {
    pub(super) fn encode(&self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[0..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; FRAME_BYTES]) -> Result<Self, ChunkFault> {
        let [kind, len, crc, own] = [0, 4, 8, 12].map(|at| u32_at(bytes, at));
        if own != crc32c::crc32c(&bytes[..12]) {
            return Err(ChunkFault::Frame);
        }
        Ok(Self { kind, len, crc })
    }
}

fn seal(magic: [u8; 8], numbers: [u64; 5]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&magic);
    for (field, number) in bytes[8..48].as_chunks_mut().0.iter_mut().zip(numbers) {
        *field = number.to_le_bytes();
    }
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn open(magic: [u8; 8], bytes: &[u8; 64], part: &'static str) -> Result<[u64; 5], SnapshotError> {
    if bytes[..8] != magic || u32_at(bytes, CRC_AT) != crc32c::crc32c(&bytes[..CRC_AT]) {
        return Err(SnapshotError::Damaged { part });
    }
    let mut numbers = [0; 5];
    for (number, field) in numbers.iter_mut().zip(bytes[8..48].as_chunks().0) {
        *number = u64::from_le_bytes(*field);
    }
    Ok(numbers)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { zxid: Zxid(7), digest: 8, nodes: 9, sessions: 10 };
    const FOOTER: Footer =
        Footer { chunks: 1, file_bytes: 2, zxid: Zxid(-3), digest: u64::MAX, frames_crc: 5 };
    const FRAME: Frame = Frame { kind: 1, len: 2, crc: 3 };

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Header::decode(&HEADER.encode()).expect("whole"), HEADER);
        assert_eq!(Footer::decode(&FOOTER.encode()).expect("whole"), FOOTER);
        assert_eq!(Frame::decode(&FRAME.encode()), Ok(FRAME));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..512 {
            let (mut header, mut footer) = (HEADER.encode(), FOOTER.encode());
            header[bit / 8] ^= 1 << (bit % 8);
            footer[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&header).is_err() && Footer::decode(&footer).is_err(), "{bit}");
        }
        for bit in 0..128 {
            let mut frame = FRAME.encode();
            frame[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::decode(&frame), Err(ChunkFault::Frame), "{bit}");
        }
    }
}
