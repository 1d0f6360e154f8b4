//! Snapshots and purging, on a thread of their own: nothing here may delay a commit or a read.
//!
//! A snapshot is a held root that is written out while the server goes on. When to take one is
//! [`SnapshotPolicy`]; the thread takes one at a time, switches the manifest to it and purges what
//! it made needless. A server that ends writes a last one, so that its next start has no log to
//! replay; that one is not paced, and given up when it takes too long: the log holds everything.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use menagerie_engine::snapshot::Pace;
use menagerie_engine::tree::Root;
use menagerie_engine::wal::purge::Retention;
use menagerie_engine::wal::writer::Stats;
use menagerie_wire::Zxid;

use crate::store::{HistoryNumber, ServerStore, StoreError};

/// How long the end of a server may wait for its last snapshot: less than the 10 s that containers
/// are given to end, and enough for some gigabytes.
const LAST_TIME_MAX: Duration = Duration::from_secs(8);
/// What must lie behind the newest snapshot for a last one, as a part of what makes one due while
/// the server goes on. Less is replayed within milliseconds.
const LAST_PART: u64 = 10;

/// When a snapshot is due: after so many transactions or log bytes since the last one.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// `snapCount`.
    txns_max: u64,
    /// `snapSizeLimitInKb`.
    log_bytes_max: Option<u64>,
    last_zxid: Zxid,
    records_then: u64,
    bytes_then: u64,
}

impl SnapshotPolicy {
    /// `last_zxid` is the newest snapshot's. `replayed` records stand in the log behind it: they
    /// count.
    pub const fn new(
        txns_max: u64,
        log_bytes_max: Option<u64>,
        last_zxid: Zxid,
        replayed: u64,
    ) -> Self {
        // Replayed records are older than the writer's count, hence a count that begins below it.
        let records_then = 0u64.wrapping_sub(replayed);
        Self { txns_max, log_bytes_max, last_zxid, records_then, bytes_then: 0 }
    }

    pub fn is_due(&self, committed: Zxid, stats: Stats) -> bool {
        self.is_part_reached(1, committed, stats)
    }

    /// Whether a server that ends should take one.
    pub fn is_last_due(&self, committed: Zxid, stats: Stats) -> bool {
        self.is_part_reached(LAST_PART, committed, stats)
    }

    fn is_part_reached(&self, part: u64, committed: Zxid, stats: Stats) -> bool {
        let records = stats.records.wrapping_sub(self.records_then);
        let bytes = stats.bytes - self.bytes_then;
        let reached = |count: u64, max: u64| count >= max / part;
        committed > self.last_zxid
            && (reached(records, self.txns_max)
                || self.log_bytes_max.is_some_and(|max| reached(bytes, max)))
    }

    /// The log begins anew behind `zxid`, and so does the writer's count.
    pub const fn restart(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
        self.records_then = 0;
        self.bytes_then = 0;
    }

    /// A snapshot up to `zxid` has been begun.
    pub const fn taken(&mut self, zxid: Zxid, stats: Stats) {
        self.last_zxid = zxid;
        self.records_then = stats.records;
        self.bytes_then = stats.bytes;
    }
}

/// What the housekeeping thread works with.
pub struct Keeper {
    pub store: ServerStore,
    pub retention: Retention,
    /// `None` purges never.
    pub purge_interval: Option<Duration>,
}

/// How a snapshot went.
pub struct Kept {
    pub zxid: Zxid,
    /// Without it the server goes on: its log holds everything.
    pub result: Result<Duration, StoreError>,
}

/// A state to be kept, and the history that it belongs to.
struct Job {
    root: Root,
    history: HistoryNumber,
    /// The server has ended but for this.
    is_last: bool,
}

impl Keeper {
    /// Writes the state out, makes it the snapshot that recovery begins with, and purges.
    fn keep(&self, job: &Job, pace: Pace, stop: &AtomicBool) -> Result<(), StoreError> {
        self.store.keep_snapshot(&job.root, job.history, pace, stop)?;
        if self.purge_interval.is_some() {
            self.store.purge(self.retention)?;
        }
        Ok(())
    }

    fn keep_last(&self, job: &Job) {
        let (zxid, started) = (job.root.last_zxid(), Instant::now());
        let pace = Pace::until(started + LAST_TIME_MAX);
        match self.keep(job, pace, &AtomicBool::new(false)) {
            Ok(()) => tracing::info!("last snapshot {zxid} written in {:?}", started.elapsed()),
            Err(error) => tracing::warn!("no last snapshot, the log is replayed instead: {error}"),
        }
    }
}

/// The sequencer's door to the housekeeping thread. Dropping it ends the thread: what is under way
/// is given up.
pub struct Housekeeper {
    store: ServerStore,
    jobs: mpsc::Sender<Job>,
    busy: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Housekeeper {
    /// Starts the thread, and says what to wait for at the end; `report` hears of every snapshot.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        keeper: Keeper,
        report: impl Fn(Kept) + Send + 'static,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let store = keeper.store.clone();
        let (jobs, inbox) = mpsc::channel();
        let (busy, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (done, stopped) = (Arc::clone(&busy), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || work(&keeper, &inbox, &done, &stopped, report))?;
        Ok((Self { store, jobs, busy, stop }, thread))
    }

    /// Begins a snapshot of `root` unless one is under way; returns whether it did.
    pub fn snapshot(&self, root: Root) -> bool {
        !self.busy.swap(true, Ordering::AcqRel) && self.send(root, false)
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Ends the thread with a last snapshot, of `root`. The log must be closed.
    pub fn end_with(self, root: Root) {
        // Should the thread be gone, the next start replays the log.
        self.send(root, true);
    }

    fn send(&self, root: Root, is_last: bool) -> bool {
        let history = self.store.history();
        self.jobs.send(Job { root, history, is_last }).is_ok()
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn work(
    keeper: &Keeper,
    inbox: &mpsc::Receiver<Job>,
    busy: &AtomicBool,
    stop: &AtomicBool,
    report: impl Fn(Kept),
) {
    // Without purging there is nothing to do but wait for the next snapshot.
    let pause = keeper.purge_interval.unwrap_or(Duration::from_secs(3600));
    loop {
        match inbox.recv_timeout(pause) {
            Ok(job) if job.is_last => keeper.keep_last(&job),
            Ok(job) => {
                let (zxid, started) = (job.root.last_zxid(), Instant::now());
                let kept = keeper.keep(&job, Pace::default(), stop);
                let result = kept.map(|()| started.elapsed());
                drop(job);
                if matches!(result, Err(StoreError::Superseded)) {
                    tracing::info!("snapshot {zxid} is dropped: the history was cut or replaced");
                } else {
                    report(Kept { zxid, result });
                }
                busy.store(false, Ordering::Release);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if keeper.purge_interval.is_some() => {
                if let Err(error) = keeper.store.purge(keeper.retention) {
                    tracing::error!("purging failed: {error}");
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(records: u64, bytes: u64) -> Stats {
        Stats { records, bytes, ..Stats::default() }
    }

    #[test]
    fn a_snapshot_is_due_after_enough_records_or_bytes() {
        let mut policy = SnapshotPolicy::new(100, Some(1_000), Zxid(5), 0);
        assert!(!policy.is_due(Zxid(50), stats(99, 999)));
        assert!(policy.is_due(Zxid(50), stats(100, 0)));
        assert!(policy.is_due(Zxid(50), stats(0, 1_000)));
        policy.taken(Zxid(50), stats(100, 900));
        assert!(!policy.is_due(Zxid(120), stats(199, 1_899)));
        assert!(policy.is_due(Zxid(120), stats(200, 1_000)));
    }

    #[test]
    fn a_last_snapshot_is_due_after_a_tenth() {
        let policy = SnapshotPolicy::new(100, Some(1_000), Zxid(5), 0);
        assert!(!policy.is_last_due(Zxid(50), stats(9, 99)));
        assert!(policy.is_last_due(Zxid(50), stats(10, 0)));
        assert!(policy.is_last_due(Zxid(50), stats(0, 100)));
        assert!(!policy.is_last_due(Zxid(5), stats(100, 1_000)));
    }

    #[test]
    fn replayed_records_count_and_an_unchanged_tree_does_not() {
        let policy = SnapshotPolicy::new(100, None, Zxid(5), 60);
        assert!(!policy.is_due(Zxid(70), stats(39, 0)));
        assert!(policy.is_due(Zxid(70), stats(40, 0)));
        assert!(!policy.is_due(Zxid(5), stats(500, 0)));
    }
}
