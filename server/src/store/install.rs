//! A leader's state takes the place of ours: built aside, written, synced, and put in force by one
//! switch of the manifest. Until the switch nothing has changed; behind it nothing of the old log
//! counts, not even what lies behind the snapshot: that is of another history.
//!
//! The stream comes portion by portion from the link, in a thread of its own: reading waits for the
//! network, and making the tree takes its time.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use menagerie_engine::disk::Disk;
use menagerie_engine::recovery;
use menagerie_engine::snapshot::jute_stream::{Receiver, StreamError};
use menagerie_engine::snapshot::{Pace, Snapshots};
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::wal::LogEnd;
use menagerie_engine::wal::purge;
use menagerie_wire::Zxid;
use thiserror::Error;

use super::{Store, StoreError};

/// A leader's state is in force.
pub struct Installed {
    /// For `Event::Installed`.
    pub zxid: Zxid,
    /// Where a new writer goes on: the log is empty.
    pub log: LogEnd,
    pub tree: Tree,
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The peer's fault: its link is to be closed. Nothing has changed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The link ended within the stream. Nothing has changed.
    #[error("the link ended before the snapshot did")]
    LinkEnded,
    /// Ours, and the end of the server: `Event::DiskFailed`.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// Takes the stream of the tree at `zxid` and makes it our state: `Effect::ReceiveSnapshot`,
    /// completed by `Event::Installed`. The writer must have been dropped before the stream ends.
    ///
    /// Portions come through `portions`, whose other end is dropped when the link ends; each is
    /// answered by a call of `taken`, as `LearnerInput::PortionTaken` wants it. A record of the
    /// stream, a node with its data, may have `record_bytes_max`.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn receive_snapshot(
        &self,
        zxid: Zxid,
        record_bytes_max: usize,
        portions: &mpsc::Receiver<Vec<u8>>,
        mut taken: impl FnMut(Option<Vec<u8>>),
    ) -> Result<Installed, InstallError> {
        let mut receiver = Receiver::new(record_bytes_max);
        loop {
            let portion = portions.recv().map_err(|_| InstallError::LinkEnded)?;
            let behind = receiver.push(&portion)?;
            let is_over = behind.is_some();
            taken(behind);
            if is_over {
                break;
            }
        }
        let mut tree = receiver.finish(zxid)?;
        let log = self.install(&tree.seal())?;
        Ok(Installed { zxid, log, tree })
    }

    /// Makes `root`, which a leader has sent, our state; returns the end of the log, which is empty
    /// behind it. The writer must have been dropped.
    ///
    /// # Errors
    /// Nothing has changed, or the next start completes it; the server must end in any case.
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
    use std::thread;

    use menagerie_engine::disk::MemoryDisk;
    use menagerie_engine::snapshot::jute_stream;
    use menagerie_wire::Epoch;

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

    fn stream(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sink = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok::<(), std::convert::Infallible>(())
        };
        jute_stream::write(tree.view(), sink).unwrap();
        bytes
    }

    /// Hands over the stream and what is behind it, in portions.
    fn receive(
        server: &Server,
        zxid: Zxid,
        stream: &[u8],
    ) -> (Result<Installed, InstallError>, Vec<u8>) {
        let (to, portions) = mpsc::sync_channel(0);
        let (taken, answers) = mpsc::channel();
        thread::scope(|scope| {
            let peer = scope.spawn(move || {
                let mut behind = None;
                for portion in stream.chunks(100) {
                    if to.send(portion.to_vec()).is_err() {
                        break;
                    }
                    let Ok(answer) = answers.recv() else { break };
                    behind = answer;
                }
                behind
            });
            let store = &server.store;
            let received = store
                .receive_snapshot(zxid, 1 << 20, &portions, |behind| taken.send(behind).unwrap());
            drop((portions, taken));
            (received, peer.join().unwrap().unwrap_or_default())
        })
    }

    #[test]
    fn a_received_state_replaces_everything_and_the_log_goes_on_behind_it() {
        let disk = MemoryDisk::new();
        let (tree, zxids) = leader();
        let zxid = *zxids.last().unwrap();
        let server = learner(&disk);
        let mut bytes = stream(&tree);
        bytes.extend_from_slice(b"behind");
        let (installed, behind) = receive(&server, zxid, &bytes);
        assert_eq!(behind, b"behind");
        let installed = installed.unwrap();
        assert!(holds(&installed.tree, &zxids));
        assert_eq!(installed.tree.view().digest(), tree.view().digest());
        let writer = server.store.open_writer(&installed.log).unwrap();
        let (store, epoch) = (server.store, Epoch(7));
        // The very zxids that the old log holds, too.
        let mut server = Server::try_start(&disk, zxids).unwrap();
        (server.store, server.writer) = (store, writer);
        server.begin_epoch(epoch);
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
    fn a_stream_that_ends_early_or_makes_no_tree_changes_nothing() {
        let disk = MemoryDisk::new();
        let (tree, zxids) = leader();
        let zxid = *zxids.last().unwrap();
        let server = learner(&disk);
        let bytes = stream(&tree);
        let cut = receive(&server, zxid, &bytes[..bytes.len() / 2]).0;
        assert!(matches!(cut, Err(InstallError::LinkEnded)));
        let rubbish = receive(&server, zxid, &[0xff; 4000]).0;
        assert!(matches!(rubbish, Err(InstallError::Stream(_))));
        server.restart(disk.crash(&mut |_| 0));
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
        let epochs = menagerie_replication::Epochs { accepted: Epoch(9), current: Epoch(8) };
        store.save_epochs(epochs).unwrap();
        store.install(&root).unwrap();
        store.truncate(root.last_zxid(), false).unwrap();
        assert_eq!(testing::store(&disk.crash(&mut |_| 0)).epochs(), epochs);
    }
}
