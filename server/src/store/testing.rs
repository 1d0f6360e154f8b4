//! A server without clients, as a rule on a disk in memory, for the tests of the store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use menagerie_engine::disk::{Disk, MemoryDisk};
use menagerie_engine::recovery::{self, Options, RecoveryError};
use menagerie_engine::restore::{DigestMismatch, Restore};
use menagerie_engine::snapshot::{Pace, Snapshots};
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn;
use menagerie_engine::wal::purge::Retention;
use menagerie_engine::wal::{LogEnd, SegmentPool, Writer};
use menagerie_wire::data::Acl;
use menagerie_wire::txn::{CreateTxn, NodeKind, Txn, TxnBody, TxnHeader};
use menagerie_wire::{Epoch, OpCode, SessionId, Xid, Zxid};

use super::{HistoryNumber, Parts, Store, StoreError};

pub(super) type MemoryStore = Store<MemoryDisk, MemoryDisk>;

/// Small, so that a log has many of them.
pub(super) const SEGMENT_BYTES: u64 = 32 << 10;

/// Keeps the newest snapshot and the log behind it.
pub(super) const ONE_SNAPSHOT: Retention = Retention { snapshots: 1, bytes_max: None };

/// The create of a node that is named after its transaction.
pub(super) fn txn(zxid: Zxid) -> Vec<u8> {
    let acl = vec![Acl::world(31)];
    let data = Some((&b"data"[..]).into());
    let path = path(zxid).into();
    let body = CreateTxn { path, data, acl, kind: NodeKind::Persistent, parent_cversion: -1 };
    let (client_id, cxid, op) = (SessionId(1), Xid(1), OpCode::Create);
    let header = TxnHeader { client_id, cxid, zxid, time_ms: zxid.0, op };
    let mut bytes = Vec::new();
    Txn { header, body: TxnBody::Create(body) }.encode(None, &mut bytes);
    bytes
}

fn path(zxid: Zxid) -> String {
    format!("/{:x}", zxid.0)
}

/// Whether the tree holds the effect of exactly these transactions.
pub(super) fn holds(tree: &Tree, zxids: &[Zxid]) -> bool {
    let last = zxids.last().copied().unwrap_or(Zxid::ZERO);
    // Beside the nodes that every tree has.
    tree.view().node_count() == zxids.len() as u64 + 4
        && tree.view().last_zxid() == last
        && zxids.iter().all(|zxid| tree.view().node(&path(*zxid)).is_some())
}

pub(super) struct Server<D: Disk = MemoryDisk, S: Snapshots = MemoryDisk> {
    pub(super) store: Store<D, S>,
    pub(super) writer: Writer<D>,
    pub(super) tree: Tree,
    /// The end of the log that was found at the start.
    pub(super) end: LogEnd,
    pub(super) replayed: u64,
    /// Everything that is in the log or below its snapshots.
    pub(super) zxids: Vec<Zxid>,
    next: Zxid,
}

impl Server {
    pub(super) fn start(disk: &MemoryDisk) -> Self {
        Self::try_start(disk, Vec::new()).unwrap()
    }

    /// Starts again from what a crash has left, and expects all that was appended to be there.
    pub(super) fn restart(self, disk: MemoryDisk) -> Self {
        let server = Self::try_start(&disk, self.zxids).unwrap();
        assert!(holds(&server.tree, &server.zxids));
        server
    }

    /// `zxids` is what is believed to be on the disk.
    pub(super) fn try_start(disk: &MemoryDisk, zxids: Vec<Zxid>) -> Result<Self, RecoveryError> {
        Self::start_on(disk, disk, zxids)
    }
}

impl<D: Disk, S: Snapshots> Server<D, S> {
    pub(super) fn start_on(
        disk: &D,
        snapshots: &S,
        zxids: Vec<Zxid>,
    ) -> Result<Self, RecoveryError> {
        let mut restore = Restore::new(snapshots.clone(), DigestMismatch::Stop);
        // As good as random: a nonce that comes again brings old records back.
        static STARTS: AtomicU64 = AtomicU64::new(1);
        let nonce = STARTS.fetch_add(1, Ordering::Relaxed) << 32;
        let options = Options { synced: true, nonce };
        let recovered = recovery::recover(disk, disk, options, &mut restore)?;
        let (end, replayed) = (recovered.log, recovered.replayed_records);
        let store = Store::new(Parts {
            data: disk.clone(),
            log: disk.clone(),
            pool: SegmentPool::open(disk.clone(), SEGMENT_BYTES)?,
            snapshots: snapshots.clone(),
            manifest: recovered.manifest,
            on_mismatch: DigestMismatch::Stop,
            synced: true,
            nonce_seed: nonce,
        });
        let writer = store.open_writer(&end)?;
        let (tree, next) = (restore.into_tree(), end.zxid.next());
        Ok(Self { store, writer, tree, end, replayed, zxids, next })
    }

    /// Appends the next transactions, each in a batch of its own, and applies them.
    pub(super) fn append(&mut self, count: usize) {
        (0..count).for_each(|_| self.append_batch(1));
    }

    /// Appends the next transactions in one batch.
    pub(super) fn append_batch(&mut self, count: usize) {
        for _ in 0..count {
            let zxid = self.next;
            let bytes = txn(zxid);
            self.writer.append(zxid, &bytes).unwrap();
            txn::apply(&mut self.tree, &Txn::decode(&bytes).unwrap().0);
            self.zxids.push(zxid);
            self.next = zxid.next();
        }
        self.writer.flush().unwrap();
    }

    pub(super) fn begin_epoch(&mut self, epoch: Epoch) {
        self.next = Zxid::new(epoch, 1);
    }

    pub(super) fn keep_snapshot(&mut self) {
        self.try_keep_snapshot().unwrap();
    }

    pub(super) fn try_keep_snapshot(&mut self) -> Result<(), StoreError> {
        self.writer.roll();
        let (root, history) = (self.tree.seal(), self.store.history());
        Self::keep(&self.store, &root, history)
    }

    pub(super) fn keep(
        store: &Store<D, S>,
        root: &Root,
        history: HistoryNumber,
    ) -> Result<(), StoreError> {
        store.keep_snapshot(root, history, Pace::UNPACED, &AtomicBool::new(false))
    }

    /// Keeps one snapshot, and the log behind it.
    pub(super) fn purge_to_newest(&self) {
        self.try_purge_to_newest().unwrap();
    }

    pub(super) fn try_purge_to_newest(&self) -> Result<(), StoreError> {
        self.store.purge(ONE_SNAPSHOT)
    }
}

/// The store of a disk that holds nothing but a manifest, if that.
pub(super) fn store(disk: &MemoryDisk) -> MemoryStore {
    Server::start(disk).store
}
