//! Which snapshots and log files are no longer needed.
//!
//! Kept are the newest snapshots, as many as asked for, and the log from the oldest of them on, so
//! that each can stand in for a newer one that turns out damaged. A limit in bytes makes it fewer
//! snapshots, down to the newest; the log behind that one always stays.
//!
//! Deciding is a pure function. Doing is the caller's, in this order: the manifest with the new log
//! start, then the files; so a purge that was interrupted leaves dead files, never a log with a
//! hole.

use super::WalError;
use super::pool::SegmentPool;
use super::segment::{self, zxid_of_log_file};
use crate::disk::{Access, Disk, DiskFile};
use menagerie_wire::Zxid;

/// What is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `autopurge.snapRetainCount`; zero counts as one.
    pub snapshots: usize,
    /// Snapshots and log together; older snapshots go before this is exceeded.
    pub bytes_max: Option<u64>,
}

/// A snapshot on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    pub zxid: Zxid,
    pub bytes: u64,
}

/// A log file on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub first_zxid: Zxid,
    pub follows_zxid: Zxid,
    pub bytes: u64,
}

/// What to give up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Snapshots to remove.
    pub snapshots: Vec<Zxid>,
    /// The manifest's new log start; log files that begin at or before it are to be recycled.
    pub log_start: Zxid,
}

/// Decides what to keep of these files, each list in zxid order. The newest snapshot must be the
/// one the manifest names.
pub fn plan(
    snapshots: &[SnapshotFile],
    log: &[LogFile],
    log_start: Zxid,
    retention: Retention,
) -> Plan {
    let newest = snapshots.len().saturating_sub(1);
    let mut oldest = snapshots.len().saturating_sub(retention.snapshots.max(1));
    while oldest < newest && exceeds(&snapshots[oldest..], log, retention.bytes_max) {
        oldest += 1;
    }
    let Some(kept) = snapshots.get(oldest) else {
        return Plan { snapshots: Vec::new(), log_start };
    };
    let start = log[first_needed(log, kept.zxid)..].first();
    Plan {
        snapshots: snapshots[..oldest].iter().map(|snapshot| snapshot.zxid).collect(),
        log_start: start.map_or(log_start, |file| file.follows_zxid.max(log_start)),
    }
}

/// The last log file that begins at or before what follows the snapshot.
fn first_needed(log: &[LogFile], snapshot: Zxid) -> usize {
    log.partition_point(|file| file.follows_zxid <= snapshot).saturating_sub(1)
}

fn exceeds(snapshots: &[SnapshotFile], log: &[LogFile], bytes_max: Option<u64>) -> bool {
    let Some((oldest, bytes_max)) = snapshots.first().zip(bytes_max) else { return false };
    let needed = &log[first_needed(log, oldest.zxid)..];
    let bytes = snapshots.iter().map(|snapshot| snapshot.bytes).sum::<u64>()
        + needed.iter().map(|file| file.bytes).sum::<u64>();
    bytes > bytes_max
}

/// The log files behind `log_start`, in zxid order, as [`plan`] wants them.
pub fn log_files<D: Disk>(disk: &D, log_start: Zxid) -> Result<Vec<LogFile>, WalError> {
    let found = segment::find(disk, log_start)?;
    let measure = |segment: segment::Segment| {
        let file =
            disk.open(&segment.name, Access::Read).map_err(WalError::io("open", &segment.name))?;
        let bytes = file.bytes().map_err(WalError::io("measure", &segment.name))?;
        let (first_zxid, follows_zxid) = (segment.header.first_zxid, segment.header.follows_zxid);
        Ok(LogFile { first_zxid, follows_zxid, bytes })
    };
    found.begun.into_iter().map(measure).collect()
}

/// Recycles every log file that begins at or before the manifest's `log_start`; how many.
pub fn recycle_dead<D: Disk>(
    disk: &D,
    pool: &SegmentPool<D>,
    log_start: Zxid,
) -> Result<usize, WalError> {
    let names = disk.list().map_err(WalError::io("list the directory of", "the log"))?;
    let mut dead: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((zxid_of_log_file(&name)?, name)))
        .filter(|(first, _)| *first <= log_start)
        .collect();
    dead.sort();
    for (_, name) in &dead {
        pool.recycle(name)?;
    }
    if !dead.is_empty() {
        disk.sync_directory().map_err(WalError::io("sync the directory of", "the log"))?;
    }
    Ok(dead.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use crate::wal::{LogEnd, Reader, Settings, Writer};

    fn snapshots(zxids: &[i64]) -> Vec<SnapshotFile> {
        zxids.iter().map(|&zxid| SnapshotFile { zxid: Zxid(zxid), bytes: 1000 }).collect()
    }

    fn log(firsts: &[i64]) -> Vec<LogFile> {
        let file = |&first: &i64| LogFile {
            first_zxid: Zxid(first),
            follows_zxid: Zxid(first - 1),
            bytes: 100,
        };
        firsts.iter().map(file).collect()
    }

    #[test]
    fn the_newest_snapshots_stay_with_all_log_that_the_oldest_of_them_needs() {
        let check = |zxids: &[i64], count, bytes_max, gone: &[i64], log_start| {
            let retention = Retention { snapshots: count, bytes_max };
            let files = log(&[1, 11, 21, 31, 41]);
            let plan = plan(&snapshots(zxids), &files, Zxid::ZERO, retention);
            let gone: Vec<_> = gone.iter().map(|&zxid| Zxid(zxid)).collect();
            assert_eq!(plan, Plan { snapshots: gone, log_start: Zxid(log_start) });
        };
        check(&[], 3, None, &[], 0);
        check(&[15], 3, None, &[], 10);
        check(&[15, 25, 35], 3, None, &[], 10);
        check(&[5, 15, 25, 35], 3, None, &[5], 10);
        check(&[5, 15, 20, 35], 2, None, &[5, 15], 20);
        check(&[5, 15, 25, 99], 0, None, &[5, 15, 25], 40);
        check(&[5, 15, 25, 35], 4, Some(4500), &[], 0);
        check(&[5, 15, 25, 35], 4, Some(4499), &[5], 10);
        check(&[5, 15, 25, 35], 4, Some(1), &[5, 15, 25], 30);
    }

    fn append(writer: &mut Writer<MemoryDisk>, count: i64, byte: u8) {
        for _ in 0..count {
            writer.append(writer.last_zxid().next(), &[byte; 3000]).unwrap();
            writer.flush().unwrap();
        }
    }

    #[test]
    fn a_recycled_segment_never_brings_an_old_record_back() {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), 16 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed: 1 };
        let mut writer =
            Writer::open(disk.clone(), pool.clone(), &LogEnd::default(), settings).unwrap();
        append(&mut writer, 20, 1);
        let mut log_start = Zxid::ZERO;
        let mut reused = 0;
        for round in 2..30 {
            let log = log_files(&disk, log_start).unwrap();
            log_start = log.last().unwrap().follows_zxid;
            reused += recycle_dead(&disk, &pool, log_start).unwrap();
            append(&mut writer, 3, round);
            // Whatever the power cut leaves, only this round's records and the kept ones are there.
            for survives in [0, 1] {
                let crashed = disk.crash(&mut |below| survives.min(below - 1));
                let mut reader = Reader::open(&crashed, log_start, log_start).unwrap();
                let mut last = log_start;
                while let Some(record) = reader.next_record().unwrap() {
                    assert!(record.body[0] + 2 > round, "an old record came back");
                    last = record.zxid;
                }
                assert_eq!(last, writer.durable_zxid());
            }
        }
        assert!(reused > 20, "{reused} files were recycled");
        assert!(disk.list().unwrap().len() < 8, "files do not pile up");
    }
}
