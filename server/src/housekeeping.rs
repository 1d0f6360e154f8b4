//! Snapshots and purging, on a thread of their own: nothing here may delay a commit or a read.
//!
//! A snapshot is a held root that is written out while the server goes on. When to take one is
//! [`SnapshotPolicy`]; the thread takes one at a time, switches the manifest to it and purges what
//! it made needless.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::{io, thread};

use menagerie_engine::tree::Root;
use menagerie_engine::wal::writer::Stats;
use menagerie_wire::Zxid;

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

/// The sequencer's door to the housekeeping thread.
#[derive(Debug)]
pub struct Housekeeper {
    jobs: mpsc::Sender<Root>,
    busy: Arc<AtomicBool>,
}

impl Housekeeper {
    /// Starts the thread; `work` writes one snapshot and purges.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(mut work: impl FnMut(Root) + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Root>();
        let busy = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&busy);
        thread::Builder::new().name("housekeeping".to_owned()).spawn(move || {
            for root in inbox {
                work(root);
                done.store(false, Ordering::Release);
            }
        })?;
        Ok(Self { jobs, busy })
    }

    /// Begins a snapshot of `root` unless one is under way; returns whether it did.
    pub fn snapshot(&self, root: Root) -> bool {
        !self.busy.swap(true, Ordering::AcqRel) && self.jobs.send(root).is_ok()
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
