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

    fn snapshot_bytes(&self, zxid: Zxid) -> Result<u64, StoreError> {
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

#[cfg(test)]
mod tests {
    use menagerie_engine::disk::MemoryDisk;

    use super::super::testing::Server;
    use super::*;

    fn snapshots(disk: &MemoryDisk) -> Vec<i64> {
        recovery::snapshots(disk).unwrap().iter().map(|zxid| zxid.0).collect()
    }

    #[test]
    fn only_a_newer_state_takes_the_place_of_a_snapshot() {
        let disk = MemoryDisk::new();
        let mut server = Server::start(&disk);
        server.append(3);
        let old = server.tree.seal();
        server.append(3);
        server.keep_snapshot();
        let kept = Server::keep(&server.store, &old, server.store.history());
        assert!(matches!(kept, Err(StoreError::Superseded)));
        assert_eq!(snapshots(&disk), [6]);
        server.keep_snapshot();
        assert_eq!(snapshots(&disk), [6], "the same one again");
        let server = server.restart(disk.crash(&mut |_| 0));
        assert_eq!(server.replayed, 0);
    }

    #[test]
    fn a_purge_keeps_what_a_start_from_the_oldest_kept_snapshot_needs() {
        let disk = MemoryDisk::new();
        let mut server = Server::start(&disk);
        for _ in 0..4 {
            server.append(3);
            server.keep_snapshot();
        }
        server.append(2);
        server.store.purge(Retention { snapshots: 2, bytes_max: None }).unwrap();
        assert_eq!(snapshots(&disk), [9, 12]);
        disk.damage(&recovery::snapshot_file_name(Zxid(12)), 100, 1);
        let server = server.restart(disk.crash(&mut |_| 0));
        assert_eq!(server.replayed, 5, "from the older one");
    }

    #[test]
    fn a_snapshot_that_is_stopped_leaves_everything_as_it_was() {
        let disk = MemoryDisk::new();
        let mut server = Server::start(&disk);
        server.append(3);
        let (root, history) = (server.tree.seal(), server.store.history());
        let stop = AtomicBool::new(true);
        let kept = server.store.keep_snapshot(&root, history, Pace::UNPACED, &stop);
        assert!(matches!(kept, Err(StoreError::Snapshot(_))));
        assert!(snapshots(&disk).is_empty());
        server.restart(disk.crash(&mut |_| 0));
    }
}
