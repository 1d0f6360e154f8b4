//! The log cut behind a zxid, as a leader's TRUNC demands.
//!
//! The segment that holds the last record to be kept is written anew beside the old one, with a
//! nonce of its own, and renamed over it: no block that holds a record is changed in place, and
//! what was cut off cannot continue the new chain. Later segments are removed.
//!
//! One call is not atomic, the sequence is: the caller first makes the intention durable (the
//! manifest's `truncate_to`), and every start repeats this until it is done. So it works on
//! whatever an interrupted attempt left, and a log that ends there already reads the same
//! afterwards.

use super::WalError;
use super::batch::{Batch, SealedBatch};
use super::reader::{Reader, Record};
use super::record::Chain;
use super::segment::{self, FIRST_BATCH_AT, Segment, SegmentHeader};
use crate::disk::{Access, Buffer, Disk, DiskFile};
use menagerie_wire::Zxid;

/// The new form of a segment before it takes the old one's place.
const UNFINISHED: &str = "truncated.new";
const BATCH_BYTES: usize = 1 << 20;

/// Makes `last` the last record of the log that starts behind `log_start`.
pub fn truncate<D: Disk>(
    disk: &D,
    log_start: Zxid,
    last: Zxid,
    nonce: u64,
) -> Result<(), WalError> {
    let found = segment::find(disk, log_start)?;
    let kept = kept(&found.begun, log_start, last)?;
    if let Some(segment) = found.begun[..kept].last() {
        let mut copy = Copy::create(disk, SegmentHeader { nonce, ..segment.header })?;
        read_to(disk, segment, last, |record| copy.push(record))?;
        copy.finish()?;
        disk.rename(UNFINISHED, &segment.name).map_err(WalError::io("replace", &segment.name))?;
    }
    for segment in found.begun[kept..].iter().rev() {
        disk.remove(&segment.name).map_err(WalError::io("remove", &segment.name))?;
    }
    for name in &found.blank {
        disk.remove(name).map_err(WalError::io("remove", name))?;
    }
    disk.sync_directory().map_err(WalError::io("sync the directory of", "the log"))
}

/// The highest record of the log that is not behind `to`; where the log starts when there is none.
/// Refused when `to` lies before.
// ZooKeeper: TRUNC names the leader's last zxid, and what a learner has up to there stays.
pub fn floor<D: Disk>(disk: &D, log_start: Zxid, to: Zxid) -> Result<Zxid, WalError> {
    let segments = segment::find(disk, log_start)?.begun;
    let start = segments.first().map_or(log_start, |first| first.header.follows_zxid);
    if to < start {
        return Err(WalError::NotInLog { zxid: to });
    }
    let holder = segments.partition_point(|segment| segment.header.follows_zxid <= to);
    let Some(holder) = holder.checked_sub(1) else { return Ok(start) };
    let end = segments.get(holder + 1).map(|next| next.header.follows_zxid);
    let mut reader = Reader::of_segment(disk, &segments[holder])?;
    let mut floor = reader.position();
    while Some(floor) != end {
        match reader.next_record()? {
            Some(record) if record.zxid <= to => floor = record.zxid,
            _ => break,
        }
    }
    Ok(floor)
}

/// How many segments hold records up to `last`.
fn kept(segments: &[Segment], log_start: Zxid, last: Zxid) -> Result<usize, WalError> {
    if last == log_start {
        // Nothing of it is kept, be it of this log or of one that a snapshot has replaced.
        return Ok(0);
    }
    let start = segments.first().map_or(log_start, |first| first.header.follows_zxid);
    let is_behind_all = segments.is_empty() && last > start;
    if last < start || is_behind_all {
        return Err(WalError::NotInLog { zxid: last });
    }
    Ok(segments.partition_point(|segment| segment.header.follows_zxid < last))
}

/// Visits the records of a segment, the last of which must be `last`.
fn read_to<D: Disk>(
    disk: &D,
    segment: &Segment,
    last: Zxid,
    mut visit: impl FnMut(Record<'_>) -> Result<(), WalError>,
) -> Result<(), WalError> {
    let mut reader = Reader::of_segment(disk, segment)?;
    let mut read = segment.header.follows_zxid;
    while read < last {
        match reader.next_record()? {
            Some(record) if record.zxid <= last => {
                read = record.zxid;
                visit(record)?;
            }
            _ => return Err(WalError::NotInLog { zxid: last }),
        }
    }
    Ok(())
}

/// A segment that is written in one go.
struct Copy<F> {
    file: F,
    header: SegmentHeader,
    gathering: Batch,
    end: u64,
}

impl<F: DiskFile> Copy<F> {
    fn create<D: Disk<File = F>>(disk: &D, header: SegmentHeader) -> Result<Self, WalError> {
        let file =
            disk.create(UNFINISHED, Access::Write).map_err(WalError::io("create", UNFINISHED))?;
        let mut block = Buffer::zeroed(FIRST_BATCH_AT as usize);
        header.encode_into(&mut block);
        file.write_at(&block, 0).map_err(WalError::io("write", UNFINISHED))?;
        let gathering = Batch::new(Chain::seed(header.nonce));
        Ok(Self { file, header, gathering, end: FIRST_BATCH_AT })
    }

    fn push(&mut self, record: Record<'_>) -> Result<(), WalError> {
        self.gathering.push(record.zxid, record.body);
        if self.gathering.records_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), WalError> {
        let next = Batch::new(self.gathering.chain_after());
        let batch = std::mem::replace(&mut self.gathering, next);
        // True when it counts: the file is synced before it gets its name.
        let SealedBatch { buffer, range, .. } = batch.seal(self.header.nonce, self.end, None);
        let bytes = range.len() as u64;
        self.file.write_at(&buffer[range], self.end).map_err(WalError::io("write", UNFINISHED))?;
        self.end += bytes;
        Ok(())
    }

    /// Writes what is left and a mark behind it.
    fn finish(mut self) -> Result<(), WalError> {
        if !self.gathering.is_empty() {
            self.write()?;
        }
        self.write()?;
        self.file.sync().map_err(WalError::io("sync", UNFINISHED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use crate::wal::{LogEnd, SegmentPool, Settings, Writer};
    use menagerie_wire::Epoch;

    const RECORDS: i64 = 12;

    fn writer(disk: &MemoryDisk, nonce_seed: u64, end: &LogEnd) -> Writer<MemoryDisk> {
        let pool = SegmentPool::open(disk.clone(), 16 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed };
        Writer::open(disk.clone(), pool, end, settings).unwrap()
    }

    /// Twelve records in batches of two, in several segments.
    fn log() -> MemoryDisk {
        let disk = MemoryDisk::new();
        let mut writer = writer(&disk, 1, &LogEnd::default());
        for zxid in 1..=RECORDS {
            writer.append(Zxid(zxid), &[zxid as u8; 3000]).unwrap();
            if zxid % 2 == 0 {
                writer.flush().unwrap();
            }
        }
        writer.close().unwrap();
        disk
    }

    fn read(disk: &MemoryDisk) -> (LogEnd, Vec<(Zxid, u8)>) {
        let mut reader = Reader::open(disk, Zxid::ZERO, Zxid::ZERO).unwrap();
        let mut found = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            found.push((record.zxid, record.body[0]));
        }
        (reader.finish().unwrap(), found)
    }

    #[test]
    fn a_truncated_log_ends_there_and_goes_on_with_another_history() {
        for last in 0..=RECORDS {
            let disk = log();
            for nonce in [7, 8] {
                truncate(&disk, Zxid::ZERO, Zxid(last), nonce).unwrap();
                let (end, found) = read(&disk);
                assert_eq!(end.zxid, Zxid(last));
                assert_eq!(found.len() as i64, last);
            }
            let (end, mut expected) = read(&disk);
            let mut writer = writer(&disk, 2, &end);
            for counter in 1..4 {
                let zxid = Zxid::new(Epoch(1), counter);
                writer.append(zxid, &[200; 3000]).unwrap();
                expected.push((zxid, 200));
            }
            writer.flush().unwrap();
            assert_eq!(read(&disk.crash(&mut |_| 0)).1, expected);
        }
    }

    #[test]
    fn a_truncation_that_was_interrupted_anywhere_is_completed_by_the_next() {
        for last in 0..=RECORDS {
            for survives in [0, 1] {
                for writes in 0..6 {
                    let disk = log();
                    disk.fail_write_after(writes, libc::EIO);
                    let _ = truncate(&disk, Zxid::ZERO, Zxid(last), 7);
                    for names in 0..8 {
                        let mut choices = 0;
                        let crashed = disk.crash(&mut |below| {
                            choices += 1;
                            let wanted = if choices == 1 { names } else { survives };
                            wanted.min(below - 1)
                        });
                        truncate(&crashed, Zxid::ZERO, Zxid(last), 8).unwrap();
                        let (end, found) = read(&crashed);
                        assert_eq!((end.zxid, found.len() as i64), (Zxid(last), last));
                    }
                }
            }
        }
    }

    #[test]
    fn the_floor_is_the_highest_record_that_is_not_behind() {
        let disk = log();
        let end = read(&disk).0;
        let mut writer = writer(&disk, 2, &end);
        for counter in 1..=3 {
            writer.append(Zxid::new(Epoch(2), counter), &[0; 3000]).unwrap();
        }
        writer.close().unwrap();
        let check = |to: Zxid, expect| {
            assert_eq!(floor(&disk, Zxid::ZERO, to).unwrap(), expect, "{to}");
        };
        for record in 0..=RECORDS {
            check(Zxid(record), Zxid(record));
        }
        check(Zxid(RECORDS + 1), Zxid(RECORDS));
        check(Zxid::new(Epoch(2), 0), Zxid(RECORDS));
        check(Zxid::new(Epoch(2), 2), Zxid::new(Epoch(2), 2));
        check(Zxid::new(Epoch(9), 9), Zxid::new(Epoch(2), 3));
        let empty = MemoryDisk::new();
        assert_eq!(floor(&empty, Zxid(5), Zxid(9)).unwrap(), Zxid(5));
        assert!(matches!(floor(&empty, Zxid(5), Zxid(4)), Err(WalError::NotInLog { .. })));
    }

    #[test]
    fn a_torn_segment_without_records_has_its_floor_before() {
        let disk = log();
        let end = read(&disk).0;
        let mut writer = writer(&disk, 2, &end);
        writer.append(Zxid(RECORDS + 1), &[0; 3000]).unwrap();
        writer.flush().unwrap();
        disk.damage(&segment::log_file_name(Zxid(RECORDS + 1)), FIRST_BATCH_AT + 60, 1);
        assert_eq!(floor(&disk, Zxid::ZERO, Zxid(RECORDS + 9)).unwrap(), Zxid(RECORDS));
        truncate(&disk, Zxid::ZERO, Zxid(RECORDS), 7).unwrap();
        assert_eq!(read(&disk).0.zxid, Zxid(RECORDS));
    }

    #[test]
    fn a_log_that_a_snapshot_has_replaced_is_removed_whole() {
        // Behind the snapshot, and not right behind it.
        for start in 0..=RECORDS {
            let disk = log();
            truncate(&disk, Zxid(start), Zxid(start), 7).unwrap();
            let mut reader = Reader::open(&disk, Zxid(start), Zxid(start)).unwrap();
            assert!(reader.next_record().unwrap().is_none());
        }
    }

    #[test]
    fn a_zxid_that_is_not_in_the_log_is_refused() {
        let disk = log();
        for missing in [Zxid(RECORDS + 1), Zxid::new(Epoch(1), 1)] {
            let refused = truncate(&disk, Zxid::ZERO, missing, 7);
            assert!(matches!(refused, Err(WalError::NotInLog { zxid }) if zxid == missing));
            assert_eq!(read(&disk).1.len() as i64, RECORDS);
        }
    }
}
