//! The last records of a log, for whoever wants to have them at hand.
//!
//! Segments are read from the last one backwards until enough has been found, so what it costs does
//! not depend on the length of the log. The records are contiguous and the last one is the log's.

use super::WalError;
use super::reader::{LogEnd, Reader};
use super::segment::Segment;
use crate::disk::Disk;
use menagerie_wire::Zxid;
use std::collections::VecDeque;

/// How much of the past is wanted.
#[derive(Clone, Copy, Debug)]
pub struct TailLimits {
    pub records_max: usize,
    /// Bytes of all records together.
    pub bytes_max: usize,
}

/// The end of a log.
#[derive(Debug)]
pub struct Tail {
    /// The zxid before the first record.
    pub before: Zxid,
    pub records: VecDeque<(Zxid, Box<[u8]>)>,
    /// Why older records could not be read; what is here is whole all the same.
    pub stopped: Option<WalError>,
}

/// The last records of the log that ends at `end`, as many as the limits allow.
pub fn tail<D: Disk>(disk: &D, end: &LogEnd, limits: TailLimits) -> Tail {
    let mut tail = Tail { before: end.zxid, records: VecDeque::new(), stopped: None };
    let mut left = limits;
    for segment in end.segments.iter().rev() {
        let part = match part(disk, segment, tail.before, left) {
            Ok(part) => part,
            Err(error) => {
                tail.stopped = Some(error);
                break;
            }
        };
        let is_whole = part.before == segment.header.follows_zxid;
        left.records_max -= part.records.len();
        left.bytes_max -= part.bytes;
        tail.before = part.before;
        part.records.into_iter().rev().for_each(|record| tail.records.push_front(record));
        if !is_whole || left.records_max == 0 {
            break;
        }
    }
    tail
}

/// The last records of a segment within the limits.
struct Part {
    before: Zxid,
    records: VecDeque<(Zxid, Box<[u8]>)>,
    bytes: usize,
}

/// Reads the part of the log that the segment holds, which ends at `last`.
fn part<D: Disk>(
    disk: &D,
    segment: &Segment,
    last: Zxid,
    limits: TailLimits,
) -> Result<Part, WalError> {
    let mut reader = Reader::of_segment(disk, segment)?;
    let mut read = segment.header.follows_zxid;
    let mut part = Part { before: read, records: VecDeque::new(), bytes: 0 };
    while read < last {
        let Some(record) = reader.next_record()? else {
            return Err(WalError::NotInLog { zxid: last });
        };
        read = record.zxid;
        part.bytes += record.body.len();
        part.records.push_back((read, record.body.into()));
        while part.records.len() > limits.records_max || part.bytes > limits.bytes_max {
            let Some((zxid, body)) = part.records.pop_front() else { break };
            part.before = zxid;
            part.bytes -= body.len();
        }
    }
    if read == last { Ok(part) } else { Err(WalError::NotInLog { zxid: last }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use crate::wal::{SegmentPool, Settings, Writer};
    use menagerie_wire::Epoch;

    /// Twelve records of 100 bytes, four to a segment, the last six of epoch 2; then the log's end.
    fn log() -> (MemoryDisk, LogEnd) {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), 64 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed: 1 };
        let mut writer = Writer::open(disk.clone(), pool, &LogEnd::default(), settings).unwrap();
        for (index, zxid) in zxids().into_iter().enumerate() {
            if index % 4 == 0 {
                writer.roll();
            }
            writer.append(zxid, &[index as u8; 100]).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
        let end = Reader::open(&disk, Zxid::ZERO, Zxid::ZERO).unwrap().finish().unwrap();
        assert_eq!(end.segments.len(), 3);
        (disk, end)
    }

    fn zxids() -> Vec<Zxid> {
        let epoch = |epoch| (1..7).map(move |counter| Zxid::new(Epoch(epoch), counter));
        epoch(1).chain(epoch(2)).collect()
    }

    #[test]
    fn it_is_contiguous_and_as_long_as_the_limits_allow() {
        let (disk, end) = log();
        let all = zxids();
        for wanted in 0..=13 {
            for limits in [
                TailLimits { records_max: wanted, bytes_max: 1 << 20 },
                TailLimits { records_max: 99, bytes_max: wanted * 100 + 99 },
            ] {
                let tail = tail(&disk, &end, limits);
                let len = wanted.min(all.len());
                let found: Vec<_> = tail.records.iter().map(|(zxid, _)| *zxid).collect();
                assert_eq!(found, all[all.len() - len..], "{limits:?}");
                let before = (all.len() - len).checked_sub(1).map_or(Zxid::ZERO, |i| all[i]);
                assert_eq!(tail.before, before);
                assert!(tail.stopped.is_none());
                let bodies = tail.records.iter().map(|(_, body)| body[0]);
                assert!(bodies.eq((12 - len as u8)..12));
            }
        }
    }

    #[test]
    fn it_ends_behind_what_cannot_be_read() {
        let (disk, end) = log();
        disk.damage(&end.segments[1].name, 4096 + 60, 1);
        let tail = tail(&disk, &end, TailLimits { records_max: 99, bytes_max: 1 << 20 });
        assert_eq!(tail.before, Zxid::new(Epoch(2), 2));
        assert_eq!(tail.records.len(), 4);
        assert!(tail.stopped.is_some());
    }

    #[test]
    fn an_empty_log_has_none() {
        let end = LogEnd { zxid: Zxid(9), ..LogEnd::default() };
        let limits = TailLimits { records_max: 99, bytes_max: 1 << 20 };
        let tail = tail(&MemoryDisk::new(), &end, limits);
        assert!(tail.records.is_empty() && tail.before == Zxid(9));
    }
}
