//! The threads of a server on a real disk, all at once: housekeeping keeps and purges, a learner
//! reads the log, and the protocol appends, cuts, replaces and saves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;

use menagerie_engine::disk::SystemDisk;
use menagerie_engine::snapshot::SnapshotDirectory;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn;
use menagerie_engine::wal::follows;
use menagerie_replication::Epochs;
use menagerie_wire::txn::Txn;
use menagerie_wire::{Epoch, Zxid};

use super::testing::{self, Server, holds};
use super::{HistoryNumber, ServerStore, StoreError};

const ROUNDS_MIN: u32 = 60;
/// On a busy machine the other threads may get nothing done in a few rounds.
const ROUNDS_MAX: u32 = 100 * ROUNDS_MIN;

/// What the threads know of each other.
#[derive(Default)]
struct Shared {
    /// For housekeeping, the newest one only.
    job: Mutex<Option<(Root, HistoryNumber)>>,
    durable: AtomicI64,
    over: AtomicBool,
    kept: AtomicUsize,
    read: AtomicUsize,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether each of the other threads has done something.
    fn all_have_worked(&self) -> bool {
        [&self.kept, &self.read].iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }

    fn keep_house(&self, store: &ServerStore) {
        while !self.is_over() {
            let job = self.job.lock().unwrap().take();
            let Some((root, history)) = job else {
                thread::yield_now();
                continue;
            };
            match Server::keep(store, &root, history) {
                Ok(()) => self.kept.fetch_add(1, Ordering::Relaxed),
                Err(StoreError::Superseded) => continue,
                Err(error) => panic!("{error}"),
            };
            store.purge(testing::ONE_SNAPSHOT).unwrap();
        }
    }

    fn learn(&self, store: &ServerStore) {
        let newest = Tree::new().seal();
        let mut back = 0;
        while !self.is_over() {
            let durable = Zxid(self.durable.load(Ordering::Acquire));
            back = (back + 7) % 30;
            let mut from = Zxid(durable.0 - back);
            let mut cursor = store.log_cursor();
            while let Some(read) = cursor.read(from, durable, &newest) {
                from = read.floor;
                for (zxid, txn) in read.txns {
                    assert!(follows(from, zxid), "{zxid} behind {from}");
                    assert_eq!(*txn, *testing::txn(zxid));
                    from = zxid;
                    self.read.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Ends the other threads, also when this one fails.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

type RealServer = Server<SystemDisk, SnapshotDirectory>;

/// Goes on with another history, every few rounds.
fn change_history(server: &mut RealServer, round: u32) {
    let zxids = &mut server.zxids;
    if round % 7 == 3 {
        let to = zxids[zxids.len() - 1 - (round as usize % 5).min(zxids.len() - 1)];
        let cut = match server.store.truncate(to, true) {
            // Nothing older than the newest snapshot is kept.
            Err(StoreError::OutOfReach(_)) => return,
            cut => cut.unwrap(),
        };
        zxids.retain(|zxid| *zxid <= to);
        server.tree = cut.tree.unwrap();
        server.writer = server.store.open_writer(&cut.log).unwrap();
    } else if round % 7 == 6 {
        zxids.truncate(zxids.len() / 2);
        zxids.push(Zxid::new(Epoch(2 * round), 1));
        let mut tree = Tree::new();
        for zxid in &*zxids {
            txn::apply(&mut tree, &Txn::decode(&testing::txn(*zxid)).unwrap().0);
        }
        let end = server.store.install(&tree.seal()).unwrap();
        server.tree = tree;
        server.writer = server.store.open_writer(&end).unwrap();
    } else {
        return;
    }
    server.begin_epoch(Epoch(2 * round + 1));
}

#[test]
fn what_one_thread_does_another_never_undoes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SystemDisk::open(directory.path()).unwrap();
    let snapshots = SnapshotDirectory { path: directory.path().to_owned(), threads: 1 };
    let mut server = RealServer::start_on(&disk, &snapshots, Vec::new()).unwrap();
    let shared = Shared::default();
    let mut epochs = Epochs::default();
    thread::scope(|scope| {
        let [keeper, learner] = [0, 1].map(|_| server.store.clone());
        scope.spawn(|| shared.keep_house(&{ keeper }));
        scope.spawn(|| shared.learn(&{ learner }));
        let _end = End(&shared);
        for round in 1..=ROUNDS_MAX {
            if round > ROUNDS_MIN && shared.all_have_worked() {
                break;
            }
            server.append(3);
            shared.durable.store(server.writer.durable_zxid().0, Ordering::Release);
            if round % 3 == 0 {
                server.writer.roll();
                let job = (server.tree.seal(), server.store.history());
                *shared.job.lock().unwrap() = Some(job);
            }
            epochs = Epochs { accepted: Epoch(round), current: Epoch(round / 2) };
            server.store.save_epochs(epochs).unwrap();
            change_history(&mut server, round);
        }
    });
    assert!(holds(&server.tree, &server.zxids));
    let zxids = server.zxids;
    drop((server.store, server.writer));
    let found = RealServer::start_on(&disk, &snapshots, Vec::new()).unwrap();
    assert!(holds(&found.tree, &zxids));
    assert_eq!(found.store.epochs(), epochs);
    assert!(shared.all_have_worked(), "{:?} snapshots kept", shared.kept);
}
