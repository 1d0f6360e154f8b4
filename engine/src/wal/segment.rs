//! A segment's name and its first block.
//!
//! ```text
//!  0 [u8; 8] "MNGRLOG1"           24 i64 zxid in the file's name: its first record's
//!  8 u32 format version, 1        32 i64 follows_zxid: the last record before this segment
//! 12 u32 crc32c of bytes 16..48   40 u64 follows_chain: the chain value behind that record
//! 16 u64 nonce
//! ```
//!
//! The header lies in one sector, which a disk writes whole or not at all. So there are three
//! kinds: *blank* (all zero: prepared, but its first commit never arrived, nothing in it was
//! acknowledged), *begun*, and everything else, which is damage. A file goes back to being blank
//! before it waits in the pool, so an old header is never taken for a new one.

use super::WalError;
use super::record::{Chain, u32_at, u64_at};
use crate::disk::{Access, BLOCK_BYTES, Disk, read_exact_at};
use menagerie_wire::Zxid;

const MAGIC: &[u8; 8] = b"MNGRLOG1";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
const LOG_PREFIX: &str = "log.";

/// Batches start behind the header's block.
pub const FIRST_BATCH_AT: u64 = BLOCK_BYTES as u64;

/// The file that begins with the record `first`.
pub fn log_file_name(first: Zxid) -> String {
    format!("{LOG_PREFIX}{:x}", first.0)
}

/// The zxid in the name of a log file; `None` for other files.
pub fn zxid_of_log_file(name: &str) -> Option<Zxid> {
    let zxid = Zxid(i64::from_str_radix(name.strip_prefix(LOG_PREFIX)?, 16).ok()?);
    (log_file_name(zxid) == name).then_some(zxid)
}

/// The first block of a segment that has been begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random: the seed of this segment's chain.
    pub nonce: u64,
    /// The zxid in the file's name.
    pub first_zxid: Zxid,
    /// The last record of the log before this segment.
    pub follows_zxid: Zxid,
    /// The chain value behind that record.
    pub follows_chain: Chain,
}

/// What the first block of a log file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBlock {
    Blank,
    Begun(SegmentHeader),
    Damaged(&'static str),
}

impl SegmentHeader {
    /// Overwrites a whole block.
    pub fn encode_into(&self, block: &mut [u8]) {
        block.fill(0);
        block[0..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        block[24..32].copy_from_slice(&self.first_zxid.0.to_le_bytes());
        block[32..40].copy_from_slice(&self.follows_zxid.0.to_le_bytes());
        block[40..48].copy_from_slice(&self.follows_chain.0.to_le_bytes());
        let crc = crc32c::crc32c(&block[16..HEADER_BYTES]);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
    }
}

impl FirstBlock {
    /// Judges the first bytes of a file; a file too short for a header was never begun.
    pub fn decode(block: &[u8]) -> Self {
        if block.len() < HEADER_BYTES || block[..HEADER_BYTES].iter().all(|&byte| byte == 0) {
            return Self::Blank;
        }
        if &block[..8] != MAGIC {
            return Self::Damaged("this is no log file's header");
        }
        if u32_at(block, 8) != FORMAT_VERSION {
            return Self::Damaged("the log's format is of another version");
        }
        if u32_at(block, 12) != crc32c::crc32c(&block[16..HEADER_BYTES]) {
            return Self::Damaged("the header does not match its checksum");
        }
        Self::Begun(SegmentHeader {
            nonce: u64_at(block, 16),
            first_zxid: Zxid(u64_at(block, 24) as i64),
            follows_zxid: Zxid(u64_at(block, 32) as i64),
            follows_chain: Chain(u64_at(block, 40)),
        })
    }
}

/// A begun segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub name: String,
    pub header: SegmentHeader,
}

/// The log files of a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// In zxid order.
    pub begun: Vec<Segment>,
    /// Files with a log's name whose first commit never arrived.
    pub blank: Vec<String>,
}

/// Finds the log files whose first record lies behind `log_start`, and reads their headers.
pub fn find<D: Disk>(disk: &D, log_start: Zxid) -> Result<Segments, WalError> {
    find_up_to(disk, log_start, Zxid(i64::MAX))
}

/// As [`find`]; files that begin behind `to` are not looked at: one may be in the making.
pub(super) fn find_up_to<D: Disk>(
    disk: &D,
    log_start: Zxid,
    to: Zxid,
) -> Result<Segments, WalError> {
    let names = disk.list().map_err(WalError::io("list the directory of", "the log"))?;
    let mut named: Vec<_> =
        names.into_iter().filter_map(|name| Some((zxid_of_log_file(&name)?, name))).collect();
    named.retain(|(first, _)| *first > log_start && *first <= to);
    named.sort();
    let mut segments = Segments::default();
    for (first_zxid, name) in named {
        let damaged = |reason: String| WalError::Damaged {
            file: name.clone(),
            offset: 0,
            reason,
            last_whole: segments.begun.last().map_or(log_start, |s| s.header.first_zxid),
        };
        match first_block(disk, &name)? {
            FirstBlock::Blank => segments.blank.push(name),
            FirstBlock::Damaged(reason) => return Err(damaged(reason.to_owned())),
            FirstBlock::Begun(header) if header.first_zxid != first_zxid => {
                let reason = format!("its header is that of a segment from {}", header.first_zxid);
                return Err(damaged(reason));
            }
            FirstBlock::Begun(header) => segments.begun.push(Segment { name, header }),
        }
    }
    Ok(segments)
}

pub(super) fn first_block<D: Disk>(disk: &D, name: &str) -> Result<FirstBlock, WalError> {
    let file = disk.open(name, Access::Read).map_err(WalError::io("open", name))?;
    let mut block = [0; BLOCK_BYTES];
    let read = read_exact_at(&file, &mut block, 0).map_err(WalError::io("read", name))?;
    Ok(FirstBlock::decode(&block[..read]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_the_first_zxid_in_hex_as_apache_writes_it() {
        assert_eq!(log_file_name(Zxid(0x1_0000_00ab)), "log.1000000ab");
        assert_eq!(zxid_of_log_file("log.1000000ab"), Some(Zxid(0x1_0000_00ab)));
        for other in ["log.", "log.00ab", "log.AB", "log.+1", "log.x", "spare.1", "manifest.a"] {
            assert_eq!(zxid_of_log_file(other), None, "{other}");
        }
    }

    #[test]
    fn a_first_block_is_blank_begun_or_damaged() {
        let header = SegmentHeader {
            nonce: 77,
            first_zxid: Zxid(5),
            follows_zxid: Zxid(4),
            follows_chain: Chain(99),
        };
        let mut block = [0xff; BLOCK_BYTES];
        header.encode_into(&mut block);
        assert_eq!(FirstBlock::decode(&block), FirstBlock::Begun(header));
        assert_eq!(FirstBlock::decode(&[0; BLOCK_BYTES]), FirstBlock::Blank);
        assert_eq!(FirstBlock::decode(&block[..20]), FirstBlock::Blank, "a file cut short");
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = FirstBlock::decode(&damaged);
            assert!(matches!(read, FirstBlock::Damaged(_)), "bit {bit}");
        }
    }
}
