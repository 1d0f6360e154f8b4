//! The way back to a leader's history.
//!
//! A leader names the end of *its* log; ours may hold nothing there. What is kept ends with the
//! highest transaction that is not behind that place (ZooKeeper: `FileTxnLog.truncate`).
//!
//! A log may not reach back to there. Our own snapshots hold nothing but what is committed, and
//! that is never cut; but one that a leader sent before its reign was established holds all that
//! the leader had. Then nothing is changed, and the server keeps its vote: it asks for the leader's
//! state instead. ZooKeeper's ends its process (`Learner.syncWithLeader`, exit code 13).

use menagerie_engine::disk::Disk;
use menagerie_engine::manifest::Manifest;
use menagerie_engine::recovery::{self, RecoveryError};
use menagerie_engine::restore::Restore;
use menagerie_engine::snapshot::Snapshots;
use menagerie_engine::tree::Tree;
use menagerie_engine::wal::{LogEnd, Reader, WalError};
use menagerie_wire::Zxid;

use super::{Store, StoreError};

/// The log has been cut.
pub struct Truncated {
    /// Where it ends now: for `Event::Truncated`. The place that was asked for, or below.
    pub last_logged: Zxid,
    /// Where a new writer goes on.
    pub log: LogEnd,
    /// The tree at `last_logged`, if one was asked for.
    pub tree: Option<Tree>,
}

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// Cuts the log behind `to`, and every snapshot above it: `Effect::Truncate`, completed by
    /// `Event::Truncated`. `close` drops the writer: it is called when the cut can be made.
    ///
    /// `rebuild` asks for the tree: needed when the last committed root, which is kept, is beyond
    /// `to`.
    ///
    /// # Errors
    /// [`StoreError::OutOfReach`]: nothing has changed, the writer is open, and the server goes on
    /// with `Event::CannotCut`. All others end it, `Event::DiskFailed`, and may have left a cut
    /// that was begun, which the next start completes.
    pub fn cut(
        &self,
        to: Zxid,
        rebuild: bool,
        close: impl FnOnce() -> Result<(), WalError>,
    ) -> Result<Truncated, StoreError> {
        let _files = self.manifest.lock_files();
        let mut manifest = self.manifest.lock();
        let now = *manifest.current();
        let (last, tree) = self.look_back(&now, to, rebuild).map_err(|error| match error {
            RecoveryError::OutOfReach { .. } => StoreError::OutOfReach(error),
            error => StoreError::CannotCut { to, error },
        })?;
        assert!(last <= to, "a cut behind {to} would end at {last}");
        close()?;
        self.manifest.end_history();
        let nonce = self.nonces.next();
        let last_logged =
            recovery::truncate_log(&mut manifest, &self.data, &self.log, last, nonce)?;
        let log = Reader::open(&self.log, now.log_start, last_logged)?.finish()?;
        assert!(log.zxid == last_logged, "cut behind {last_logged}, the log ends at {}", log.zxid);
        Ok(Truncated { last_logged, log, tree })
    }

    /// The same where no writer is open.
    ///
    /// # Errors
    /// As [`Self::cut`].
    #[cfg(test)]
    pub fn truncate(&self, to: Zxid, rebuild: bool) -> Result<Truncated, StoreError> {
        self.cut(to, rebuild, || Ok(()))
    }

    /// Where a cut behind `to` would end, and the tree there, which is made before the cut: one
    /// that cannot be had is a reason not to make it.
    fn look_back(
        &self,
        now: &Manifest,
        to: Zxid,
        rebuild: bool,
    ) -> Result<(Zxid, Option<Tree>), RecoveryError> {
        let last = recovery::reach_back(&self.data, &self.log, now, to)?;
        if !rebuild {
            return Ok((last, None));
        }
        let mut restore = Restore::new(self.snapshots.clone(), self.on_mismatch);
        recovery::rebuild(&self.data, &self.log, now, last, &mut restore)?;
        Ok((last, Some(restore.into_tree())))
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::disk::MemoryDisk;
    use menagerie_wire::Epoch;

    use super::super::testing::{Server, holds};
    use super::*;

    /// Epoch 1 up to 6, with a snapshot at 4, and epoch 2 up to 5; then what the log holds.
    fn server(disk: &MemoryDisk) -> Server {
        let mut server = Server::start(disk);
        server.begin_epoch(Epoch(1));
        server.append(4);
        server.keep_snapshot();
        server.append(2);
        server.begin_epoch(Epoch(2));
        server.append(5);
        server
    }

    fn at(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn up_to(zxids: &[Zxid], last: Zxid) -> Vec<Zxid> {
        zxids.iter().copied().filter(|zxid| *zxid <= last).collect()
    }

    #[test]
    fn a_cut_ends_with_the_highest_transaction_that_is_not_behind() {
        for (to, last) in [
            (at(2, 5), at(2, 5)),
            (at(2, 2), at(2, 2)),
            (at(2, 0), at(1, 6)),
            (at(1, 900), at(1, 6)),
            (at(1, 5), at(1, 5)),
            (at(1, 4), at(1, 4)),
            (at(1, 1), at(1, 1)),
            (at(0, 77), Zxid::ZERO),
        ] {
            let disk = MemoryDisk::new();
            let Server { store, writer, zxids, .. } = server(&disk);
            let close = move || writer.close().map(drop);
            let cut = store.cut(to, true, close).unwrap();
            assert_eq!((cut.last_logged, cut.log.zxid), (last, last), "cut behind {to}");
            let zxids = up_to(&zxids, last);
            assert!(holds(&cut.tree.unwrap(), &zxids), "cut behind {to}");
            // The writer goes on, with another history, and a start finds just that.
            let mut server = Server::try_start(&disk, zxids).unwrap();
            server.writer = store.open_writer(&cut.log).unwrap();
            server.begin_epoch(Epoch(3));
            server.append(3);
            server.restart(disk.crash(&mut |_| 0));
        }
    }

    #[test]
    fn a_cut_that_fails_anywhere_is_none_or_is_completed_by_the_next_start() {
        let (mut whole, mut cut) = (0, 0);
        for fault in 0..24 {
            for survives in [0, 1] {
                let disk = MemoryDisk::new();
                let Server { store, writer, zxids, .. } = server(&disk);
                drop(writer);
                if fault % 2 == 0 {
                    disk.fail_sync_after(fault / 2, libc::EIO);
                } else {
                    disk.fail_write_after(fault / 2, libc::EIO);
                }
                let done = store.truncate(at(1, 3), false);
                let crashed = disk.crash(&mut |below| survives.min(below - 1));
                let found = Server::try_start(&crashed, Vec::new()).unwrap();
                let last = found.end.zxid;
                assert!(last == at(1, 3) || (last == at(2, 5) && done.is_err()), "{last}");
                assert!(holds(&found.tree, &up_to(&zxids, last)));
                if last == at(1, 3) { cut += 1 } else { whole += 1 }
            }
        }
        assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut");
    }

    #[test]
    fn a_cut_below_what_is_kept_is_refused_and_changes_nothing() {
        let disk = MemoryDisk::new();
        let mut server = server(&disk);
        server.purge_to_newest();
        for to in [at(0, 5), at(1, 1), at(1, 3)] {
            for rebuild in [false, true] {
                let refused = server.store.cut(to, rebuild, || panic!("it cannot be cut"));
                assert!(matches!(refused, Err(StoreError::OutOfReach(_))));
            }
        }
        // The writer that was open goes on.
        server.append(2);
        let zxids = server.zxids;
        let found = Server::try_start(&disk, zxids.clone()).unwrap();
        assert!(holds(&found.tree, &zxids));
    }

    #[test]
    fn a_snapshot_that_was_begun_before_the_cut_does_not_count() {
        let disk = MemoryDisk::new();
        let mut server = server(&disk);
        let (root, history) = (server.tree.seal(), server.store.history());
        let Server { store, writer, zxids, .. } = server;
        drop(writer);
        store.truncate(at(2, 1), false).unwrap();
        let kept = Server::keep(&store, &root, history);
        assert!(matches!(kept, Err(StoreError::Superseded)));
        let found = Server::try_start(&disk, Vec::new()).unwrap();
        assert!(holds(&found.tree, &up_to(&zxids, at(2, 1))));
        assert_eq!(recovery::snapshots(&disk).unwrap(), [at(1, 4)], "its file is gone");
    }
}
