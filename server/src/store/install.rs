//! A leader's state takes the place of ours: built aside, written, synced, and put in force by one
//! switch of the manifest. Until the switch nothing has changed; behind it nothing of the old log
//! counts, not even what lies behind the snapshot: that is of another history.

use std::sync::atomic::AtomicBool;

use menagerie_engine::disk::Disk;
use menagerie_engine::recovery;
use menagerie_engine::snapshot::{Pace, Snapshots};
use menagerie_engine::tree::Root;
use menagerie_engine::wal::LogEnd;
use menagerie_engine::wal::purge;

use super::{Store, StoreError};

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// Makes `root`, which a leader has sent, our state: `Effect::ReceiveSnapshot`, completed by
    /// `Event::Installed`. Returns where a new writer goes on: the log is empty behind it. The old
    /// writer must have been dropped.
    ///
    /// # Errors
    /// Nothing has changed, or the next start completes it. The server must end in any case:
    /// `Event::DiskFailed`.
    pub fn install(&self, root: &Root) -> Result<LogEnd, StoreError> {
        let zxid = root.last_zxid();
        // Housekeeping may be writing one at the same zxid: see `keep.rs`.
        let unfinished = recovery::received_snapshot_file_name(zxid);
        let _files = self.manifest.lock_files();
        let never = AtomicBool::new(false);
        self.snapshots.write(root, &unfinished, Pace::UNPACED, &never)?;
        self.manifest.end_history();
        let nonce = self.nonces.next();
        let mut manifest = self.manifest.lock();
        recovery::install_snapshot(&mut manifest, &self.data, &self.log, zxid, nonce)?;
        drop(manifest);
        if let Err(error) = purge::recycle_dead(&self.log, &self.pool, zxid) {
            // They are dead by the manifest's word; the next purge tries again.
            tracing::warn!("log files from before the leader's snapshot remain: {error}");
        }
        Ok(LogEnd { zxid, ..LogEnd::default() })
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::disk::MemoryDisk;
    use menagerie_engine::tree::Tree;
    use menagerie_replication::Epochs;
    use menagerie_wire::{Epoch, Zxid};

    use super::super::testing::{self, Server, holds};
    use super::*;

    /// What a leader has that never heard of us: the first two of epoch 1, then epoch 4.
    fn leader() -> (Tree, Vec<Zxid>) {
        let mut server = Server::start(&MemoryDisk::new());
        server.begin_epoch(Epoch(1));
        server.append(2);
        server.begin_epoch(Epoch(4));
        server.append(3);
        (server.tree, server.zxids)
    }

    /// With a history that goes beyond the leader's, in several files.
    fn learner(disk: &MemoryDisk) -> Server {
        let mut server = Server::start(disk);
        server.begin_epoch(Epoch(1));
        server.append(5);
        server.keep_snapshot();
        server.append(5);
        server.begin_epoch(Epoch(7));
        server.append(12);
        server
    }

    #[test]
    fn a_leaders_state_replaces_everything_and_the_log_goes_on_behind_it() {
        let disk = MemoryDisk::new();
        let (mut tree, zxids) = leader();
        let Server { store, writer, .. } = learner(&disk);
        drop(writer);
        let end = store.install(&tree.seal()).unwrap();
        assert_eq!(end.zxid, *zxids.last().unwrap());
        let mut server = Server::try_start(&disk, zxids.clone()).unwrap();
        assert!(holds(&server.tree, &zxids));
        server.writer = store.open_writer(&end).unwrap();
        server.store = store;
        // The very zxids that the old log held, too.
        server.begin_epoch(Epoch(7));
        server.append(4);
        server.keep_snapshot();
        server.append(2);
        server.restart(disk.crash(&mut |_| 0));
    }

    #[test]
    fn an_installation_that_fails_anywhere_is_none_or_is_completed_by_the_next_start() {
        let (mut tree, zxids) = leader();
        let root = tree.seal();
        let (mut whole, mut replaced) = (0, 0);
        for fault in 0..60 {
            for survives in [0, 1] {
                let disk = MemoryDisk::new();
                let Server { store, writer, zxids: old, .. } = learner(&disk);
                drop(writer);
                if fault % 2 == 0 {
                    disk.fail_sync_after(fault / 2, libc::EIO);
                } else {
                    disk.fail_write_after(fault / 2, libc::EIO);
                }
                let done = store.install(&root);
                let crashed = disk.crash(&mut |below| survives.min(below - 1));
                let found = Server::try_start(&crashed, Vec::new()).unwrap();
                if holds(&found.tree, &zxids) {
                    replaced += 1;
                } else {
                    assert!(done.is_err(), "an installed state is gone");
                    assert!(holds(&found.tree, &old));
                    whole += 1;
                }
            }
        }
        assert!(whole > 0 && replaced > 0, "{whole} whole, {replaced} replaced");
    }

    #[test]
    fn a_snapshot_that_was_begun_before_does_not_undo_the_installation() {
        let (mut tree, zxids) = leader();
        let root = tree.seal();
        let disk = MemoryDisk::new();
        let mut server = learner(&disk);
        let (own, history) = (server.tree.seal(), server.store.history());
        let Server { store, writer, .. } = server;
        drop(writer);
        store.install(&root).unwrap();
        for (late, history) in [(&own, history), (&root, history)] {
            let kept = Server::keep(&store, late, history);
            assert!(matches!(kept, Err(StoreError::Superseded)));
            let found = Server::try_start(&disk.crash(&mut |_| 0), Vec::new()).unwrap();
            assert!(holds(&found.tree, &zxids));
        }
        assert_eq!(recovery::snapshots(&disk).unwrap(), [root.last_zxid()]);
    }

    #[test]
    fn epochs_survive_what_happens_to_the_history() {
        let (mut tree, _) = leader();
        let root = tree.seal();
        let disk = MemoryDisk::new();
        let Server { store, writer, .. } = learner(&disk);
        drop(writer);
        let epochs = Epochs { accepted: Epoch(9), current: Epoch(8) };
        store.save_epochs(epochs).unwrap();
        store.install(&root).unwrap();
        store.truncate(root.last_zxid(), false).unwrap();
        assert_eq!(testing::store(&disk.crash(&mut |_| 0)).epochs(), epochs);
    }
}
