//! The disk of a server, for everything but the hot path of its log: epochs, truncation, snapshots
//! that come and go, and the log read back for a learner that lags.
//!
//! `manifest.rs` is the manifest, shared by all who change it; `epochs.rs` what a member has
//! promised; `recovered.rs` what the protocol is told at the start; `truncate.rs` the way back;
//! `install.rs` a leader's state in the place of ours; `keep.rs` a snapshot of our own and what it
//! makes needless; `send.rs` a state on its way to a learner, `log_cursor.rs` the log for one;
//! `evidence.rs` a tree that should not be.
//!
//! Everything here blocks and is called on threads that may: the sequencer sends a [`Store`] there
//! with a job, and its completions come back through a mailbox. A store is a handle; clones share
//! the manifest, and each change of it is one durable step that is safe against the others:
//! - Whoever removes or replaces files holds the lock for files, so no two do it at a time.
//! - A cut or a replacement of the history makes a new *history number*. What was begun before,
//!   like a snapshot that housekeeping still writes, is dropped when it comes to the manifest.
//!
//! It works on any disk of the engine, so that it can be tried on one that crashes. What it does
//! not do: append to the log, decide anything of the protocol, or wait for anybody.

mod epochs;
mod evidence;
mod install;
mod keep;
mod log_cursor;
mod manifest;
#[cfg(test)]
mod races;
mod recovered;
#[cfg(test)]
mod schedule;
mod send;
#[cfg(test)]
mod testing;
mod truncate;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use menagerie_engine::disk::{Disk, SystemDisk};
use menagerie_engine::manifest::{ManifestError, ManifestStore};
use menagerie_engine::recovery::RecoveryError;
use menagerie_engine::restore::DigestMismatch;
use menagerie_engine::snapshot::{SnapshotDirectory, SnapshotError, Snapshots};
use menagerie_engine::wal::{LogEnd, SegmentPool, Settings, WalError, Writer};
use menagerie_wire::Zxid;
use thiserror::Error;

pub use log_cursor::LogCursor;
pub use manifest::HistoryNumber;
pub use send::send_snapshot;
pub use truncate::Truncated;

use manifest::SharedManifest;

/// What a store is made of.
pub struct Parts<D: Disk, S> {
    /// Where manifest and snapshots are.
    pub data: D,
    pub log: D,
    pub pool: SegmentPool<D>,
    pub snapshots: S,
    pub manifest: ManifestStore<D>,
    pub on_mismatch: DigestMismatch,
    /// `forceSync`
    pub synced: bool,
    /// Random: the log's segments take their nonces from it.
    pub nonce_seed: u64,
}

/// The store of a server that runs.
pub type ServerStore = Store<SystemDisk, SnapshotDirectory>;

/// The disk of one server.
#[derive(Clone)]
pub struct Store<D: Disk, S> {
    data: D,
    log: D,
    pool: SegmentPool<D>,
    snapshots: S,
    manifest: SharedManifest<D>,
    on_mismatch: DigestMismatch,
    synced: bool,
    nonces: Arc<Nonces>,
}

/// Why the disk did not do what was asked of it.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("cannot {what} {name}: {error}")]
    Io { what: &'static str, name: String, error: std::io::Error },
    #[error("the leader's history ends at {to}, and ours cannot be cut there: {error}")]
    CannotCut { to: Zxid, error: RecoveryError },
    #[error("the leader's history cannot be cut out of ours: {0}")]
    OutOfReach(RecoveryError),
    #[error("it belongs to a history that has been cut or replaced meanwhile")]
    Superseded,
}

impl<D: Disk, S: Snapshots> Store<D, S> {
    pub fn new(parts: Parts<D, S>) -> Self {
        let Parts { data, log, pool, snapshots, manifest, on_mismatch, synced, nonce_seed } = parts;
        let manifest = SharedManifest::new(manifest);
        let nonces = Arc::new(Nonces(AtomicU64::new(nonce_seed)));
        Self { data, log, pool, snapshots, manifest, on_mismatch, synced, nonces }
    }

    /// Opens the log for appending where it ends. No other writer may have it open.
    ///
    /// # Errors
    /// When what is there cannot be made durable.
    pub fn open_writer(&self, end: &LogEnd) -> Result<Writer<D>, WalError> {
        let settings = Settings { synced: self.synced, nonce_seed: self.nonces.next() };
        Writer::open(self.log.clone(), self.pool.clone(), end, settings)
    }

    /// The history that is on the disk now; see [`Self::keep_snapshot`].
    pub fn history(&self) -> HistoryNumber {
        self.manifest.history()
    }
}

impl<D: Disk, S> fmt::Debug for Store<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.manifest.current())
    }
}

/// Numbers that look random and never come twice: splitmix64.
struct Nonces(AtomicU64);

impl Nonces {
    fn next(&self) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
