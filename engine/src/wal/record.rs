//! The bytes of records and batches, and the chain that holds them together.
//!
//! ```text
//! batch header, 48 bytes                        record, 24 bytes + body
//!  0 u32 magic                                   0 u32 crc32c of all from byte 4 but the chain
//!  4 u32 crc32c of bytes 8..48                   4 u32 length of the body
//!  8 u64 nonce of the segment                    8 i64 zxid
//! 16 u64 chain value before its first record    16 u64 chain value of the record before
//! 24 u64 synced_to: this segment was durable    24     body: jute TxnHeader, Txn, digest, as
//!        up to this offset before this batch           Apache logs and proposes them
//! 32 u64 length of its records
//! 40 u64 reserved, zero
//! ```
//!
//! All little-endian. The checksum leaves the chain value out, because a batch that does not fit
//! its segment any more is moved into the next one, whose chain starts elsewhere: then only that
//! field changes. The chain itself is compared by the reader, value for value.
//!
//! This file knows layouts only; what makes a batch valid in its place is the reader's to judge.

use menagerie_wire::Zxid;

pub const BATCH_HEADER_BYTES: usize = 48;
pub const RECORD_HEADER_BYTES: usize = 24;

const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"MnBt");

/// What ties a record to all before it in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Chain(pub u64);

impl Chain {
    /// Where the chain of a segment starts.
    pub fn seed(nonce: u64) -> Self {
        Self(nonce).after(BATCH_MAGIC)
    }

    /// The value behind a record whose checksum is `crc`. One-to-one in the value before: two
    /// different histories never meet again by appending the same records.
    #[must_use]
    pub fn after(self, crc: u32) -> Self {
        let mixed = (self.0 ^ u64::from(crc)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed.rotate_left(31))
    }
}

/// The header of a record; its body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub crc: u32,
    pub body_bytes: u32,
    pub zxid: Zxid,
    pub chain: Chain,
}

impl RecordHeader {
    pub fn of(zxid: Zxid, body: &[u8], chain: Chain) -> Self {
        let body_bytes = u32::try_from(body.len()).expect("the writer bounds a batch below 4 GiB");
        Self { crc: checksum(body_bytes, zxid, body), body_bytes, zxid, chain }
    }

    pub fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.crc.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.zxid.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.chain.0.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        Self {
            crc: u32_at(bytes, 0),
            body_bytes: u32_at(bytes, 4),
            zxid: Zxid(u64_at(bytes, 8) as i64),
            chain: Chain(u64_at(bytes, 16)),
        }
    }

    pub fn matches(&self, body: &[u8]) -> bool {
        self.crc == checksum(self.body_bytes, self.zxid, body)
    }
}

fn checksum(body_bytes: u32, zxid: Zxid, body: &[u8]) -> u32 {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&body_bytes.to_le_bytes());
    head[4..].copy_from_slice(&zxid.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), body)
}

/// The header of a batch; its records follow without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub nonce: u64,
    pub chain: Chain,
    /// Everything below this offset of the segment was durable when the batch was written.
    pub synced_to: u64,
    /// Zero for a mark.
    pub records_bytes: u64,
}

impl BatchHeader {
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.chain.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.synced_to.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.records_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` for anything that is not a batch of the segment with this nonce.
    pub fn decode(bytes: &[u8; BATCH_HEADER_BYTES], nonce: u64) -> Option<Self> {
        let header = Self {
            nonce: u64_at(bytes, 8),
            chain: Chain(u64_at(bytes, 16)),
            synced_to: u64_at(bytes, 24),
            records_bytes: u64_at(bytes, 32),
        };
        let ours = u32_at(bytes, 0) == BATCH_MAGIC && header.nonce == nonce;
        (ours && u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..])).then_some(header)
    }
}

/// # Panics
/// When `at` is not inside `bytes`: offsets here are constants of the layouts.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// # Panics
/// As [`u32_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_header_survives_its_bytes_and_notices_every_flipped_bit() {
        let body = b"create /a";
        let header = RecordHeader::of(Zxid(0x1_0000_0007), body, Chain::seed(5));
        assert_eq!(RecordHeader::decode(&header.encode()), header);
        assert!(header.matches(body));
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = RecordHeader::decode(&bytes);
            assert!(!read.matches(body) || read.chain != header.chain, "bit {bit}");
        }
        assert!(!header.matches(b"create /b"));
    }

    #[test]
    fn a_batch_header_is_only_read_under_its_own_nonce() {
        let header = BatchHeader { nonce: 9, chain: Chain(3), synced_to: 8192, records_bytes: 100 };
        let bytes = header.encode();
        assert_eq!(BatchHeader::decode(&bytes, 9), Some(header));
        assert_eq!(BatchHeader::decode(&bytes, 8), None);
        for bit in 0..BATCH_HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&damaged, 9), None, "bit {bit}");
        }
    }

    #[test]
    fn chains_from_different_nonces_stay_apart_under_the_same_records() {
        let (mut a, mut b) = (Chain::seed(1), Chain::seed(2));
        for crc in [0, 1, u32::MAX, 77, 77] {
            (a, b) = (a.after(crc), b.after(crc));
            assert_ne!(a, b);
        }
    }
}
