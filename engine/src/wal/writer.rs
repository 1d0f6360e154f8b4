//! Group commit: what gathers while one batch is on its way goes out together as the next.
//!
//! The caller appends records, says [`Writer::submit`] at the end of its turn, and learns from
//! [`Writer::poll`] how far the log is durable. No call waits for the disk, except [`Writer::wait`]
//! and [`Writer::close`], which say so. One commit is under way at a time: so the header of a batch
//! can promise that everything before it is durable, and completions need no sorting.
//!
//! Every start begins a new segment, lazily with its first record, which gives the file its name. A
//! batch that does not fit the rest of a segment begins the next one; its rename, the directory's
//! sync, the new header and the records are one commit.
//!
//! After the first failure nothing is known about the device's cache. The writer then refuses
//! everything, for good ([`WalError::Refused`]), and leaves the conclusion to the caller.

use super::batch::{Batch, SealedBatch};
use super::pool::{SegmentPool, Spare};
use super::reader::LogEnd;
use super::record::Chain;
use super::segment::{FIRST_BATCH_AT, SegmentHeader, log_file_name};
use super::{WalError, follows};
use crate::disk::{
    Access, Adoption, BLOCK_BYTES, Buffer, Commit, CommitFailure, CommitQueue, Disk, DiskFile,
    Finished,
};
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::Zxid;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A batch is one write, whose length the kernel keeps in 31 bits.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Kept free at the end of a segment, so that its last batch can always be followed by a mark.
const MARK_BYTES: u64 = BLOCK_BYTES as u64;

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `forceSync`: without it a commit is over when the kernel has the bytes.
    pub synced: bool,
    /// Random: segments take their nonces from it.
    pub nonce_seed: u64,
}

/// What the log has done since its writer was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub commits: u64,
    pub records: u64,
    /// Whole blocks, headers included.
    pub bytes: u64,
    pub commit_time_sum: Duration,
    pub commit_time_max: Duration,
    pub commit_time_last: Duration,
}

/// The open end of a log. There is one per directory.
pub struct Writer<D: Disk> {
    disk: D,
    queue: D::Queue,
    pool: SegmentPool<D>,
    settings: Settings,
    segment: Option<OpenSegment<D::File>>,
    roll_due: bool,
    /// Whether the last batch has nothing behind it that tells of its being synced.
    mark_due: bool,
    nonce_next: u64,
    gathering: Batch,
    gathering_records: u64,
    /// And from where on it holds zeros.
    spare_buffer: Option<(Buffer, usize)>,
    under_way: Option<UnderWay>,
    last: Zxid,
    durable: Zxid,
    /// The last record that was handed to the disk, durable or under way.
    sealed: Zxid,
    first_failure: Option<WalError>,
    stats: Stats,
}

struct OpenSegment<F> {
    name: String,
    file: Arc<F>,
    nonce: u64,
    bytes: u64,
    /// Where the next batch goes.
    end: u64,
}

struct UnderWay {
    last: Zxid,
    bytes: u64,
    records: u64,
    /// Of its buffer.
    zero_from: usize,
    started: Instant,
}

impl<D: Disk> Writer<D> {
    /// Goes on where a [`Reader`](super::Reader) found the end of the log. What it read from the
    /// last segment is made durable here first: it may never have been, and will be served.
    pub fn open(
        disk: D,
        pool: SegmentPool<D>,
        end: &LogEnd,
        settings: Settings,
    ) -> Result<Self, WalError> {
        for name in &end.leftovers {
            disk.remove(name).map_err(WalError::io("remove", name))?;
        }
        if let Some(last) = end.segments.last() {
            disk.open(&last.name, Access::Write)
                .and_then(|file| file.sync())
                .map_err(WalError::io("sync", &last.name))?;
        }
        disk.sync_directory().map_err(WalError::io("sync the directory of", "the log"))?;
        let queue = disk.queue().map_err(Arc::new)?;
        Ok(Self {
            disk,
            queue,
            pool,
            settings,
            segment: None,
            roll_due: false,
            mark_due: false,
            nonce_next: settings.nonce_seed,
            gathering: Batch::new(end.chain),
            gathering_records: 0,
            spare_buffer: None,
            under_way: None,
            last: end.zxid,
            durable: end.zxid,
            sealed: end.zxid,
            first_failure: None,
            stats: Stats::default(),
        })
    }

    /// Adds a record to the batch that gathers. Its bytes are copied.
    ///
    /// # Panics
    /// When `zxid` does not follow the record before.
    pub fn append(&mut self, zxid: Zxid, body: &[u8]) -> Result<(), WalError> {
        self.refuse_after_failure()?;
        assert!(
            follows(self.last, zxid),
            "{zxid} was appended to a log that ends at {}",
            self.last
        );
        let bytes = self.gathering.records_bytes() + body.len();
        if bytes > BATCH_BYTES_MAX {
            return Err(WalError::BatchTooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        self.gathering.push(zxid, body);
        self.gathering_records += 1;
        self.last = zxid;
        Ok(())
    }

    /// Starts a commit of what has gathered, unless one is under way; whether it did.
    pub fn submit(&mut self) -> Result<bool, WalError> {
        self.refuse_after_failure()?;
        if self.under_way.is_some() || self.gathering.is_empty() {
            return Ok(false);
        }
        self.start_commit()?;
        Ok(true)
    }

    /// Starts the commit of a mark behind the last batch, if the log is idle and has none yet.
    /// To be called when nothing was appended for a while.
    pub fn mark_idle(&mut self) -> Result<bool, WalError> {
        self.refuse_after_failure()?;
        let idle = self.under_way.is_none() && self.gathering.is_empty();
        if !(idle && self.mark_due) {
            return Ok(false);
        }
        self.start_commit()?;
        self.mark_due = false;
        Ok(true)
    }

    /// Makes the next batch begin a new segment.
    pub fn roll(&mut self) {
        self.roll_due = self.segment.is_some();
    }

    /// If the commit under way has ended: how far the log is durable now.
    pub fn poll(&mut self) -> Result<Option<Zxid>, WalError> {
        self.refuse_after_failure()?;
        let finished = self.queue.poll();
        finished.map(|finished| self.finish(finished)).transpose()
    }

    /// Blocks until the commit under way has ended. Else as [`Writer::poll`].
    pub fn wait(&mut self) -> Result<Option<Zxid>, WalError> {
        self.refuse_after_failure()?;
        let finished = self.queue.wait();
        finished.map(|finished| self.finish(finished)).transpose()
    }

    /// Blocks until all that was appended is durable.
    pub fn flush(&mut self) -> Result<Zxid, WalError> {
        while self.submit()? || self.under_way.is_some() {
            self.wait()?;
        }
        Ok(self.durable)
    }

    /// Flushes, marks the end and syncs whatever the settings were.
    pub fn close(mut self) -> Result<Zxid, WalError> {
        self.flush()?;
        self.mark_idle()?;
        self.wait()?;
        if let Some(segment) = &self.segment {
            segment.file.sync().map_err(WalError::io("sync", &segment.name))?;
        }
        self.disk.sync_directory().map_err(WalError::io("sync the directory of", "the log"))?;
        Ok(self.durable)
    }

    /// Up to here the log survives (with `forceSync=no`: has been written).
    pub fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    /// The last record that was appended.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// Bytes that gather for the next commit.
    pub fn pending_bytes(&self) -> usize {
        self.gathering.records_bytes()
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Since when the commit under way is there; a stalled disk shows here.
    pub fn under_way_since(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|commit| commit.started)
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// See [`CommitQueue::event_fd`].
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.queue.event_fd()
    }

    fn refuse_after_failure(&self) -> Result<(), WalError> {
        match &self.first_failure {
            Some(first) => Err(WalError::Refused { first: Box::new(first.clone()) }),
            None => Ok(()),
        }
    }

    fn fail<T>(&mut self, failure: WalError) -> Result<T, WalError> {
        self.first_failure = Some(failure.clone());
        Err(failure)
    }

    fn start_commit(&mut self) -> Result<(), WalError> {
        let goes_on = self.segment.as_ref().is_some_and(|segment| {
            // A mark belongs behind the batch it covers, also when a roll is due.
            self.gathering.is_empty() || (!self.roll_due && segment.has_room(&self.gathering))
        });
        let begins = if goes_on {
            None
        } else {
            match self.begin_segment() {
                Ok(begins) => Some(begins),
                Err(failure) => return self.fail(failure),
            }
        };
        let Some(segment) = self.segment.as_mut() else {
            unreachable!("a segment was open or has just been begun");
        };
        let last = self.gathering.last_zxid().unwrap_or(self.sealed);
        let chain = self.gathering.chain_after();
        let next = match self.spare_buffer.take() {
            Some((buffer, zero_from)) => Batch::reuse(buffer, zero_from, chain),
            None => Batch::new(chain),
        };
        let batch = std::mem::replace(&mut self.gathering, next);
        let synced_to = if self.settings.synced { segment.end } else { 0 };
        let header = begins.as_ref().map(|(header, _)| header);
        let SealedBatch { buffer, range, zero_from } = batch.seal(segment.nonce, synced_to, header);
        let offset = if begins.is_some() { 0 } else { segment.end };
        let bytes = range.len() as u64;
        segment.end = offset + bytes;
        let records = std::mem::take(&mut self.gathering_records);
        self.sealed = last;
        let started = Instant::now();
        self.under_way = Some(UnderWay { last, bytes, records, zero_from, started });
        self.queue.start(Commit {
            adopt: begins.map(|(_, adoption)| adoption),
            file: segment.file.clone(),
            buffer,
            range,
            offset,
            synced: self.settings.synced && !flaws::has(Flaw::CommitNotSynced),
        });
        Ok(())
    }

    /// Opens the segment that the gathered batch begins, and moves the batch behind its seed.
    fn begin_segment(&mut self) -> Result<(SegmentHeader, Adoption), WalError> {
        let first_zxid = self.gathering.first_zxid().expect("a mark begins no segment");
        let bytes = FIRST_BATCH_AT + self.gathering.disk_bytes() as u64 + MARK_BYTES;
        let Spare { name: from, file, bytes } = self.pool.take(bytes)?;
        let nonce = self.nonce_next;
        self.nonce_next = Chain::seed(nonce).0;
        let header = SegmentHeader {
            nonce,
            first_zxid,
            follows_zxid: self.sealed,
            follows_chain: self.gathering.chain_before(),
        };
        self.gathering.rechain(Chain::seed(nonce));
        let name = log_file_name(first_zxid);
        let adoption = Adoption { from, to: name.clone() };
        self.segment = Some(OpenSegment { name, file, nonce, bytes, end: FIRST_BATCH_AT });
        self.roll_due = false;
        Ok((header, adoption))
    }

    fn finish(&mut self, finished: Finished) -> Result<Zxid, WalError> {
        let Some(commit) = self.under_way.take() else {
            unreachable!("the queue ended a commit that was never started");
        };
        if let Err(CommitFailure { step, error }) = finished.result
            && !flaws::has(Flaw::FailedSyncForgotten)
        {
            let (file, end) = match &self.segment {
                Some(segment) => (segment.name.clone(), segment.end),
                None => (String::new(), 0),
            };
            let offset = end - commit.bytes;
            return self.fail(WalError::Commit { file, offset, step, error: Arc::new(error) });
        }
        self.spare_buffer = Some((finished.buffer, commit.zero_from));
        assert!(commit.last >= self.durable, "the durable end of the log went back");
        self.durable = if flaws::has(Flaw::DurableTooFar) { self.last } else { commit.last };
        self.mark_due |= commit.records > 0;
        self.note(&commit);
        Ok(self.durable)
    }

    fn note(&mut self, commit: &UnderWay) {
        let took = commit.started.elapsed();
        self.stats.commits += 1;
        self.stats.records += commit.records;
        self.stats.bytes += commit.bytes;
        self.stats.commit_time_sum += took;
        self.stats.commit_time_max = self.stats.commit_time_max.max(took);
        self.stats.commit_time_last = took;
    }
}

impl<F> OpenSegment<F> {
    fn has_room(&self, batch: &Batch) -> bool {
        self.end + batch.disk_bytes() as u64 + MARK_BYTES <= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{MemoryDisk, SystemDisk};
    use crate::wal::Reader;
    use menagerie_wire::Epoch;

    const SEGMENT_BYTES: u64 = 64 << 10;

    fn open<D: Disk>(disk: &D, nonce_seed: u64) -> Writer<D> {
        let end = Reader::open(disk, Zxid::ZERO, Zxid::ZERO).unwrap().finish().unwrap();
        let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).unwrap();
        Writer::open(disk.clone(), pool, &end, Settings { synced: true, nonce_seed }).unwrap()
    }

    fn body(zxid: Zxid, len: usize) -> Vec<u8> {
        (0..len).map(|i| (zxid.0 as usize * 31 + i) as u8).collect()
    }

    /// Appends the next records of these sizes, as one batch.
    fn append_batch<D: Disk>(writer: &mut Writer<D>, sizes: &[usize]) {
        for &size in sizes {
            let zxid = writer.last_zxid().next();
            writer.append(zxid, &body(zxid, size)).unwrap();
        }
        writer.flush().unwrap();
    }

    fn check_holds<D: Disk>(disk: &D, sizes: &[usize]) {
        let mut reader = Reader::open(disk, Zxid::ZERO, Zxid::ZERO).unwrap();
        let mut last = Zxid::ZERO;
        for &size in sizes {
            let record = reader.next_record().unwrap().expect("all records are there");
            assert_eq!(record.zxid, last.next());
            assert!(record.body == body(record.zxid, size), "the body of {}", record.zxid);
            last = record.zxid;
        }
        assert!(reader.next_record().unwrap().is_none(), "more than {} records", sizes.len());
    }

    fn check_survives_restarts<D: Disk>(disk: &D) {
        let mut sizes = Vec::new();
        for start in 0..4 {
            let mut writer = open(disk, 1000 + start);
            for batch in [&[100, 0, 5000][..], &[1], &[4096 - 72, 3], &[40_000, 40_000], &[1 << 20]]
            {
                append_batch(&mut writer, batch);
                sizes.extend_from_slice(batch);
            }
            assert_eq!(writer.durable_zxid(), Zxid(sizes.len() as i64));
            if start % 2 == 0 {
                writer.close().unwrap();
            }
            check_holds(disk, &sizes);
        }
    }

    #[test]
    fn every_record_survives_restarts_whatever_its_size() {
        check_survives_restarts(&MemoryDisk::new());
        let directory = tempfile::tempdir().unwrap();
        check_survives_restarts(&SystemDisk::open(directory.path()).unwrap());
        let directory = tempfile::tempdir().unwrap();
        check_survives_restarts(&SystemDisk::open_buffered(directory.path(), "a test").unwrap());
    }

    #[test]
    fn records_gather_while_a_commit_is_under_way() {
        let disk = MemoryDisk::new();
        let mut writer = open(&disk, 1);
        disk.hold_commits();
        writer.append(Zxid(1), b"one").unwrap();
        assert!(writer.submit().unwrap());
        writer.append(Zxid(2), b"two").unwrap();
        writer.append(Zxid(3), b"three").unwrap();
        assert!(!writer.submit().unwrap(), "one at a time");
        assert_eq!(writer.poll().unwrap(), None);
        assert_eq!(writer.durable_zxid(), Zxid::ZERO);
        disk.release_commits();
        assert_eq!(writer.poll().unwrap(), Some(Zxid(1)));
        assert!(writer.submit().unwrap());
        assert_eq!(writer.wait().unwrap(), Some(Zxid(3)));
        assert_eq!((writer.stats().commits, writer.stats().records), (2, 3));
        assert_eq!(writer.wait().unwrap(), None, "nothing is under way");
    }

    #[test]
    fn a_new_epoch_starts_at_counter_one() {
        let disk = MemoryDisk::new();
        let mut writer = open(&disk, 1);
        for zxid in [Zxid(1), Zxid(2), Zxid::new(Epoch(2), 1), Zxid::new(Epoch(2), 2)] {
            writer.append(zxid, b"").unwrap();
        }
        writer.flush().unwrap();
        let end = Reader::open(&disk, Zxid::ZERO, Zxid::ZERO).unwrap().finish().unwrap();
        assert_eq!((end.zxid, end.records), (Zxid::new(Epoch(2), 2), 4));
    }

    #[test]
    #[should_panic(expected = "was appended to a log that ends at 0x1")]
    fn a_zxid_that_leaves_a_gap_is_never_appended() {
        let mut writer = open(&MemoryDisk::new(), 1);
        writer.append(Zxid(1), b"").unwrap();
        writer.append(Zxid(3), b"").unwrap();
    }

    #[test]
    fn nothing_is_taken_after_the_first_failure() {
        let check = |fault: &dyn Fn(&MemoryDisk), step: &str| {
            let disk = MemoryDisk::new();
            let mut writer = open(&disk, 1);
            append_batch(&mut writer, &[10]);
            fault(&disk);
            writer.append(Zxid(2), &body(Zxid(2), 5000)).unwrap();
            let failure = writer.flush().unwrap_err().to_string();
            assert!(failure.starts_with(step), "{failure}");
            assert!(failure.contains("log.1 at byte 8192"), "{failure}");
            assert!(matches!(writer.append(Zxid(3), b""), Err(WalError::Refused { .. })));
            assert!(matches!(writer.submit(), Err(WalError::Refused { .. })));
            assert!(matches!(writer.poll(), Err(WalError::Refused { .. })));
            assert!(matches!(writer.mark_idle(), Err(WalError::Refused { .. })));
            assert_eq!(writer.durable_zxid(), Zxid(1));
            assert!(writer.close().is_err());
            check_holds(&disk.crash(&mut |_| 0), &[10]);
        };
        check(&|disk| disk.fail_write_after(0, libc::EIO), "write failed");
        check(&|disk| disk.fail_write_after(0, libc::ENOSPC), "write failed");
        check(&|disk| disk.fail_sync_after(0, libc::EIO), "fdatasync failed");
    }

    #[test]
    fn a_full_disk_ends_the_log_where_a_new_segment_is_needed() {
        let disk = MemoryDisk::new();
        let mut writer = open(&disk, 1);
        append_batch(&mut writer, &[40_000]);
        disk.limit_bytes(70_000);
        writer.append(Zxid(2), &body(Zxid(2), 40_000)).unwrap();
        let failure = writer.flush().unwrap_err();
        assert!(failure.to_string().contains("log.2"), "{failure}");
        check_holds(&disk.crash(&mut |n| n - 1), &[40_000]);
    }

    #[test]
    fn a_roll_begins_a_segment_named_after_its_first_record() {
        let disk = MemoryDisk::new();
        let mut writer = open(&disk, 1);
        append_batch(&mut writer, &[10, 10]);
        writer.roll();
        append_batch(&mut writer, &[10]);
        let end = Reader::open(&disk, Zxid::ZERO, Zxid::ZERO).unwrap().finish().unwrap();
        let names: Vec<_> = end.segments.iter().map(|segment| segment.name.as_str()).collect();
        assert_eq!(names, ["log.1", "log.3"]);
        assert_eq!(end.segments[1].header.follows_zxid, Zxid(2));
    }
}
