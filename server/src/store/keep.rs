//! A snapshot of our own, and what it makes needless.
//!
//! Writing takes as long as it takes, and meanwhile the history may be cut or replaced by a
//! leader's. So a snapshot counts only if the history is still the one that it was begun in.

use std::io;
use std::sync::atomic::AtomicBool;

use menagerie_engine::disk::{Access, Disk, DiskFile};
use menagerie_engine::manifest::Manifest;
use menagerie_engine::recovery;
use menagerie_engine::snapshot::{Pace, Snapshots};
use menagerie_engine::tree::Root;
use menagerie_engine::wal::purge::{self, Retention, SnapshotFile};
use menagerie_wire::Zxid;

use super::{HistoryNumber, Store, StoreError};

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// Writes `root`, a committed state of `history`, out and makes it the snapshot that recovery
    /// begins with. `history` is what [`Self::history`] said when the root was taken.
    ///
    /// # Errors
    /// When it could not be written, and [`StoreError::Superseded`] when the history was cut or
    /// replaced meanwhile; the server goes on: its log holds everything.
    pub fn keep_snapshot(
        &self,
        root: &Root,
        history: HistoryNumber,
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<(), StoreError> {
        let zxid = root.last_zxid();
        let unfinished = recovery::unfinished_snapshot_file_name(zxid);
        let written = self.snapshots.write(root, &unfinished, pace, stop);
        let _files = self.manifest.lock_files();
        let newest = self.manifest.current().snapshot;
        if self.manifest.history() != history || Some(zxid) < newest {
            // Its file may be gone, or have the name of one that was received.
            if written.is_ok() && Some(zxid) != newest {
                self.remove_snapshot(zxid)?;
            }
            return Err(StoreError::Superseded);
        }
        written?;
        Ok(self.manifest.change(|now| Manifest { snapshot: Some(zxid), ..now })?)
    }

    /// Gives up what no start will need: the manifest first, then the files.
    ///
    /// # Errors
    /// When files cannot be read or removed; what is left is tried again the next time.
    pub fn purge(&self, retention: Retention) -> Result<(), StoreError> {
        let _files = self.manifest.lock_files();
        let manifest = self.manifest.current();
        let mut snapshots = Vec::new();
        for zxid in recovery::snapshots(&self.data)? {
            if Some(zxid) <= manifest.snapshot {
                snapshots.push(SnapshotFile { zxid, bytes: self.snapshot_bytes(zxid)? });
            }
        }
        let log = purge::log_files(&self.log, manifest.log_start)?;
        let plan = purge::plan(&snapshots, &log, manifest.log_start, retention);
        self.manifest.change(|now| Manifest { log_start: plan.log_start, ..now })?;
        for &zxid in &plan.snapshots {
            self.remove_snapshot(zxid)?;
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

    pub(super) fn snapshot_bytes(&self, zxid: Zxid) -> Result<u64, StoreError> {
        let name = recovery::snapshot_file_name(zxid);
        let measured = self.data.open(&name, Access::Read).and_then(|file| file.bytes());
        measured.map_err(|error| StoreError::Io { what: "measure", name, error })
    }

    fn remove_snapshot(&self, zxid: Zxid) -> Result<(), StoreError> {
        let name = recovery::snapshot_file_name(zxid);
        match self.data.remove(&name) {
            // Whoever ended the history it was of has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| StoreError::Io { what: "remove", name, error }),
        }
    }
}
