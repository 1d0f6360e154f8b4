//! Snapshots and purging, on a thread of their own: nothing here may delay a commit or a read.
//!
//! A snapshot is a held root that is written out while the server goes on. When to take one is
//! [`SnapshotPolicy`]; the thread takes one at a time, switches the manifest to it and purges what
//! it made needless.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use menagerie_engine::disk::{Disk, SystemDisk};
use menagerie_engine::manifest::{Manifest, ManifestError, ManifestStore};
use menagerie_engine::recovery::{self, RecoveryError};
use menagerie_engine::snapshot::{self, Pace, SnapshotError};
use menagerie_engine::tree::Root;
use menagerie_engine::wal::purge::{self, Retention, SnapshotFile};
use menagerie_engine::wal::writer::Stats;
use menagerie_engine::wal::{SegmentPool, WalError};
use menagerie_wire::Zxid;
use thiserror::Error;

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

    /// A snapshot up to `zxid` has been begun.
    pub const fn taken(&mut self, zxid: Zxid, stats: Stats) {
        self.last_zxid = zxid;
        self.records_then = stats.records;
        self.bytes_then = stats.bytes;
    }
}

/// What the housekeeping thread works with.
pub struct Keeper {
    pub manifest: ManifestStore<SystemDisk>,
    pub data: SystemDisk,
    pub log: SystemDisk,
    pub pool: SegmentPool<SystemDisk>,
    /// Where the snapshots are.
    pub directory: PathBuf,
    pub retention: Retention,
    /// `None` purges never.
    pub purge_interval: Option<Duration>,
}

/// How a snapshot went.
pub struct Kept {
    pub zxid: Zxid,
    pub result: Result<Duration, KeepError>,
}

/// Why a snapshot or purge did not come about. The server goes on: its log holds everything.
#[derive(Debug, Error)]
pub enum KeepError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("cannot {what} {name}: {error}")]
    Io { what: &'static str, name: String, error: io::Error },
}

impl Keeper {
    /// Writes `root` out, makes it the snapshot that recovery begins with, and purges.
    fn keep(&mut self, root: &Root, stop: &AtomicBool) -> Result<(), KeepError> {
        snapshot::write(root, &self.directory, Pace::default(), stop)?;
        let manifest = *self.manifest.current();
        self.manifest.change(Manifest { snapshot: Some(root.last_zxid()), ..manifest })?;
        if self.purge_interval.is_some() {
            self.purge()?;
        }
        Ok(())
    }

    /// Gives up what no start will need: the manifest first, then the files.
    fn purge(&mut self) -> Result<(), KeepError> {
        let manifest = *self.manifest.current();
        let mut snapshots = Vec::new();
        for zxid in recovery::snapshots(&self.data)? {
            snapshots.push(SnapshotFile { zxid, bytes: self.snapshot_bytes(zxid)? });
        }
        let log = purge::log_files(&self.log, manifest.log_start)?;
        let plan = purge::plan(&snapshots, &log, manifest.log_start, self.retention);
        if plan.log_start > manifest.log_start {
            self.manifest.change(Manifest { log_start: plan.log_start, ..manifest })?;
        }
        for &zxid in &plan.snapshots {
            let name = recovery::snapshot_file_name(zxid);
            let removed = self.data.remove(&name);
            removed.map_err(|error| KeepError::Io { what: "remove", name, error })?;
        }
        let recycled = purge::recycle_dead(&self.log, &self.pool, plan.log_start)?;
        if recycled > 0 || !plan.snapshots.is_empty() {
            tracing::info!(
                "purged {} snapshots and {recycled} log files, the log starts behind {}",
                plan.snapshots.len(),
                plan.log_start
            );
        }
        Ok(())
    }

    fn snapshot_bytes(&self, zxid: Zxid) -> Result<u64, KeepError> {
        let name = recovery::snapshot_file_name(zxid);
        let measured = fs::metadata(self.directory.join(&name)).map(|metadata| metadata.len());
        measured.map_err(|error| KeepError::Io { what: "measure", name, error })
    }
}

/// The sequencer's door to the housekeeping thread. Dropping it ends the thread.
pub struct Housekeeper {
    jobs: Option<mpsc::Sender<Root>>,
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
        let (jobs, inbox) = mpsc::channel();
        let (busy, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (done, stopped) = (Arc::clone(&busy), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || work(keeper, &inbox, &done, &stopped, report))?;
        Ok(Self { jobs: Some(jobs), busy, stop, thread: Some(thread) })
    }

    /// Begins a snapshot of `root` unless one is under way; returns whether it did.
    pub fn snapshot(&self, root: Root) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        !self.busy.swap(true, Ordering::AcqRel) && jobs.send(root).is_ok()
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
    mut keeper: Keeper,
    inbox: &mpsc::Receiver<Root>,
    busy: &AtomicBool,
    stop: &AtomicBool,
    report: impl Fn(Kept),
) {
    // Without purging there is nothing to do but wait for the next snapshot.
    let pause = keeper.purge_interval.unwrap_or(Duration::from_secs(3600));
    loop {
        match inbox.recv_timeout(pause) {
            Ok(root) => {
                let (zxid, started) = (root.last_zxid(), Instant::now());
                let result = keeper.keep(&root, stop).map(|()| started.elapsed());
                drop(root);
                report(Kept { zxid, result });
                busy.store(false, Ordering::Release);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if keeper.purge_interval.is_some() => {
                if let Err(error) = keeper.purge() {
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
