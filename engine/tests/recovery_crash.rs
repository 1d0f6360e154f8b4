//! Log, snapshots, purging, truncation and installation together, interrupted anywhere, as one
//! promise: a start finds every acknowledged transaction, nothing that was cut off or replaced, and
//! nothing invented.
//!
//! The state is the list of transactions itself. A snapshot file holds a hash of the list, so a
//! state that was loaded from a snapshot is checked against the whole history, too.
#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use menagerie_engine::disk::{Access, Disk, DiskFile, MemoryDisk};
use menagerie_engine::manifest::{Manifest, ManifestStore};
use menagerie_engine::recovery::{
    Options, State, install_snapshot, recover, snapshot_file_name, snapshots, truncate_log,
    unfinished_snapshot_file_name,
};
use menagerie_engine::wal::purge::{Retention, SnapshotFile, log_files, plan, recycle_dead};
use menagerie_engine::wal::{SegmentPool, Settings, Writer};
use menagerie_wire::txn::{Txn, TxnBody, TxnDigest, TxnHeader};
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};
use proptest::prelude::*;
use schedule::{body, chooser};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};

mod schedule;

const SEGMENT_BYTES: u64 = 16 << 10;

#[derive(Clone, Debug)]
enum Event {
    /// These many bytes each, in one batch.
    Append(Vec<usize>),
    MakeSpare,
    /// A snapshot of all that is durable; then what is not needed is purged.
    Snapshot {
        retain: usize,
    },
    Close,
    Kill,
    PowerCut(u64),
    /// The next file operations fail from the n-th sync on; then the power goes.
    Interrupt {
        syncs: u64,
        snapshot: bool,
        seed: u64,
    },
    /// Cut to this part of the log, interrupted at a sync, if there are so many.
    Truncate {
        keep: prop::sample::Index,
        syncs: u64,
        seed: u64,
    },
    /// A snapshot of this part of the log and a few other transactions behind it takes the place of
    /// everything.
    Install {
        keep: prop::sample::Index,
        syncs: u64,
        seed: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let sizes = prop::collection::vec(prop_oneof![0..300usize, 3000..9000usize], 1..4);
    let seed = any::<u64>();
    prop_oneof![
        8 => sizes.prop_map(Event::Append),
        1 => Just(Event::MakeSpare),
        2 => (1..4usize).prop_map(|retain| Event::Snapshot { retain }),
        1 => Just(Event::Close),
        1 => Just(Event::Kill),
        1 => seed.prop_map(Event::PowerCut),
        2 => (0..12u64, any::<bool>(), seed)
            .prop_map(|(syncs, snapshot, seed)| Event::Interrupt { syncs, snapshot, seed }),
        1 => (any::<prop::sample::Index>(), 0..12u64, seed)
            .prop_map(|(keep, syncs, seed)| Event::Truncate { keep, syncs, seed }),
        1 => (any::<prop::sample::Index>(), 0..12u64, seed)
            .prop_map(|(keep, syncs, seed)| Event::Install { keep, syncs, seed }),
    ]
}

/// The transaction itself is in the path of a delete.
fn txn(zxid: Zxid, body: &[u8]) -> Vec<u8> {
    let (client_id, cxid, op) = (SessionId(1), Xid(1), OpCode::Delete);
    let header = TxnHeader { client_id, cxid, zxid, time_ms: 0, op };
    let path: String = body.iter().map(|byte| char::from(byte % 64 + 48)).collect();
    let mut bytes = Vec::new();
    Txn { header, body: TxnBody::Delete { path: path.into() } }.encode(None, &mut bytes);
    bytes
}

fn hash(history: &[Vec<u8>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    history.hash(&mut hasher);
    hasher.finish()
}

struct Built {
    disk: MemoryDisk,
    base: (Zxid, u64),
    applied: Vec<Vec<u8>>,
}

impl State for Built {
    fn load(&mut self, snapshot: Zxid) -> Result<(), String> {
        let file = self.disk.open(&snapshot_file_name(snapshot), Access::Read).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 8, "a snapshot with a name is whole");
        self.base = (snapshot, u64::from_le_bytes(bytes));
        Ok(())
    }

    fn apply(&mut self, txn: &Txn<'_>, _: Option<TxnDigest>) -> Result<(), String> {
        let mut bytes = Vec::new();
        txn.encode(None, &mut bytes);
        self.applied.push(bytes);
        Ok(())
    }
}

struct Server {
    disk: MemoryDisk,
    manifest: ManifestStore<MemoryDisk>,
    pool: SegmentPool<MemoryDisk>,
    writer: Writer<MemoryDisk>,
    run: u64,
    history: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Server {
    fn start(disk: MemoryDisk, run: u64, mut history: Vec<Vec<u8>>, acknowledged: usize) -> Self {
        let mut built =
            Built { disk: disk.clone(), base: (Zxid::ZERO, hash(&[])), applied: Vec::new() };
        let options = Options { synced: true, nonce: run << 32 };
        let found = recover(&disk, &disk, options, &mut built).expect("a crash is no damage");
        let last = found.last_zxid.0 as usize;
        assert!((acknowledged..=history.len()).contains(&last), "{last} of {acknowledged}");
        history.truncate(last);
        let base = built.base.0.0 as usize;
        assert_eq!(built.base.1, hash(&history[..base]), "the snapshot is of another history");
        assert!(built.applied == history[base..], "the log is of another history");
        let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).unwrap();
        recycle_dead(&disk, &pool, found.manifest.current().log_start).unwrap();
        let settings = Settings { synced: true, nonce_seed: run };
        let writer = Writer::open(disk.clone(), pool.clone(), &found.log, settings).unwrap();
        Self { disk, manifest: found.manifest, pool, writer, run, history, acknowledged: last }
    }

    fn restart(self, disk: MemoryDisk) -> Self {
        Self::start(disk, self.run + 1, self.history, self.acknowledged)
    }

    fn happen(mut self, event: &Event) -> Self {
        match event {
            Event::Append(sizes) => self.append(sizes).unwrap(),
            Event::MakeSpare => drop(self.pool.work_once().unwrap()),
            Event::Snapshot { retain } => self.snapshot(*retain).unwrap(),
            Event::Close => {
                let Self { disk, writer, run, history, acknowledged, .. } = self;
                writer.close().unwrap();
                return Self::start(disk.crash(&mut |_| 0), run + 1, history, acknowledged);
            }
            Event::Kill => {
                let disk = self.disk.killed();
                return self.restart(disk);
            }
            Event::PowerCut(seed) => {
                let disk = self.disk.crash(&mut chooser(*seed));
                return self.restart(disk);
            }
            Event::Interrupt { syncs, snapshot, seed } => {
                self.disk.fail_sync_after(*syncs, libc::EIO);
                // Whether it fails, and where, is the point.
                let _ = if *snapshot { self.snapshot(1) } else { self.append(&[100, 5000]) };
                let disk = self.disk.crash(&mut chooser(*seed));
                return self.restart(disk);
            }
            Event::Truncate { keep, syncs, seed } => {
                let last = keep.index(self.history.len() + 1);
                return self.truncate(last, *syncs, *seed);
            }
            Event::Install { keep, syncs, seed } => {
                let kept = keep.index(self.history.len() + 1);
                return self.install(kept, *syncs, *seed);
            }
        }
        self
    }

    fn append(&mut self, sizes: &[usize]) -> Result<(), Box<dyn Error>> {
        for &size in sizes {
            let zxid = self.writer.last_zxid().next();
            let bytes = txn(zxid, &body(self.run, zxid.0, size));
            self.history.push(bytes.clone());
            self.writer.append(zxid, &bytes)?;
        }
        self.acknowledged = self.writer.flush()?.0 as usize;
        Ok(())
    }

    fn snapshot(&mut self, retain: usize) -> Result<(), Box<dyn Error>> {
        let zxid = self.writer.durable_zxid();
        write_snapshot(&self.disk, &self.history[..zxid.0 as usize])?;
        let now = *self.manifest.current();
        self.manifest.change(Manifest { snapshot: Some(zxid), ..now })?;
        self.writer.roll();

        let files: Vec<_> = snapshots(&self.disk)?
            .into_iter()
            .map(|zxid| SnapshotFile { zxid, bytes: 8 })
            .collect();
        let log = log_files(&self.disk, now.log_start)?;
        let retention = Retention { snapshots: retain, bytes_max: None };
        let plan = plan(&files, &log, now.log_start, retention);
        let now = *self.manifest.current();
        self.manifest.change(Manifest { log_start: plan.log_start, ..now })?;
        for zxid in plan.snapshots {
            self.disk.remove(&snapshot_file_name(zxid))?;
        }
        recycle_dead(&self.disk, &self.pool, plan.log_start)?;
        Ok(())
    }

    fn truncate(self, last: usize, syncs: u64, seed: u64) -> Self {
        let Self { disk, mut manifest, writer, run, mut history, mut acknowledged, .. } = self;
        drop(writer);
        disk.fail_sync_after(syncs, libc::EIO);
        let cut = truncate_log(&mut manifest, &disk, &disk, Zxid(last as i64), run << 40);
        if cut.is_ok() {
            history.truncate(last);
        }
        acknowledged = acknowledged.min(last);
        Self::start(disk.crash(&mut chooser(seed)), run + 1, history, acknowledged)
    }

    fn install(self, kept: usize, syncs: u64, seed: u64) -> Self {
        let mut installed = self.history[..kept].to_vec();
        for zxid in (kept as i64 + 1..).take(1 + (seed % 3) as usize).map(Zxid) {
            installed.push(txn(zxid, &body(self.run << 16, zxid.0, 100)));
        }
        let zxid = Zxid(installed.len() as i64);
        if snapshots(&self.disk).unwrap().contains(&zxid) {
            // A zxid is never used twice for what was committed, and a snapshot was.
            return self;
        }
        let Self { disk, mut manifest, writer, run, history, acknowledged, .. } = self;
        drop(writer);
        disk.fail_sync_after(syncs, libc::EIO);
        let done = write_snapshot(&disk, &installed).is_ok()
            && install_snapshot(&mut manifest, &disk, &disk, zxid, run << 40).is_ok();
        let disk = disk.crash(&mut chooser(seed));
        let found = *ManifestStore::open(disk.killed(), true).unwrap().current();
        let is_installed = found.snapshot == Some(zxid) && found.log_start == zxid;
        assert!(is_installed || !done, "an installed snapshot is gone");
        if is_installed {
            let acknowledged = installed.len();
            return Self::start(disk, run + 1, installed, acknowledged);
        }
        Self::start(disk, run + 1, history, acknowledged)
    }
}

fn write_snapshot(disk: &MemoryDisk, history: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let zxid = Zxid(history.len() as i64);
    let name = unfinished_snapshot_file_name(zxid);
    let file = disk.create(&name, Access::Write)?;
    file.write_at(&hash(history).to_le_bytes(), 0)?;
    file.sync()?;
    disk.rename(&name, &snapshot_file_name(zxid))?;
    Ok(disk.sync_directory()?)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_interruption_forgets_resurrects_or_invents_a_transaction(
        events in prop::collection::vec(event(), 1..60)
    ) {
        let mut server = Server::start(MemoryDisk::new(), 1, Vec::new(), 0);
        for event in &events {
            server = server.happen(event);
        }
        let disk = server.disk.crash(&mut |_| 0);
        server.restart(disk);
    }
}
