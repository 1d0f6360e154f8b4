//! Snapshots and purging, on a thread of their own: nothing here may delay a commit or a read.
//!
//! A snapshot is a held root that is written out while the server goes on. When to take one is
//! [`SnapshotPolicy`]; the thread takes one at a time, switches the manifest to it and purges what
//! it made needless.

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
    /// `replayed` records stand in the log behind the newest snapshot: they count.
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
        let records = stats.records.wrapping_sub(self.records_then);
        let bytes = stats.bytes - self.bytes_then;
        committed > self.last_zxid
            && (records >= self.txns_max || self.log_bytes_max.is_some_and(|max| bytes >= max))
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
}

impl Keeper {
    /// Writes the state out, makes it the snapshot that recovery begins with, and purges.
    fn keep(&self, job: &Job, stop: &AtomicBool) -> Result<(), StoreError> {
        self.store.keep_snapshot(&job.root, job.history, Pace::default(), stop)?;
        if self.purge_interval.is_some() {
            self.store.purge(self.retention)?;
        }
        Ok(())
    }
}

/// The sequencer's door to the housekeeping thread. Dropping it ends the thread.
pub struct Housekeeper {
    store: ServerStore,
    jobs: Option<mpsc::Sender<Job>>,
    busy: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    /// Starts the thread; `report` hears of every snapshot.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(keeper: Keeper, report: impl Fn(Kept) + Send + 'static) -> io::Result<Self> {
        let store = keeper.store.clone();
        let (jobs, inbox) = mpsc::channel();
        let (busy, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (done, stopped) = (Arc::clone(&busy), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || work(&keeper, &inbox, &done, &stopped, report))?;
        Ok(Self { store, jobs: Some(jobs), busy, stop, thread: Some(thread) })
    }

    /// Begins a snapshot of `root` unless one is under way; returns whether it did.
    pub fn snapshot(&self, root: Root) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        let history = self.store.history();
        !self.busy.swap(true, Ordering::AcqRel) && jobs.send(Job { root, history }).is_ok()
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; nothing of it can be mended here.
            let _ended = thread.join();
        }
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
            Ok(job) => {
                let (zxid, started) = (job.root.last_zxid(), Instant::now());
                let result = keeper.keep(&job, stop).map(|()| started.elapsed());
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
    fn replayed_records_count_and_an_unchanged_tree_does_not() {
        let policy = SnapshotPolicy::new(100, None, Zxid(5), 60);
        assert!(!policy.is_due(Zxid(70), stats(39, 0)));
        assert!(policy.is_due(Zxid(70), stats(40, 0)));
        assert!(!policy.is_due(Zxid(5), stats(500, 0)));
    }
}
