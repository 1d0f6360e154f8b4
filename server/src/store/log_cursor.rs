//! The log read back for a learner that is behind the window of history.
//!
//! A learner walks through the log in steps, each as soon as its link has room. What is read stays
//! open between them, so the whole walk reads each byte about once; and all the while the writer
//! appends: nothing is looked at beyond what the caller knows to be durable.
//!
//! It reaches back as far as the log does. When purging has taken what is still needed, or the
//! history was cut or replaced, the walk is over and the answer is `None`: nothing of it was ever
//! handed out, because no file is removed in the middle of a step.
//!
//! Reading is dearer than a snapshot once the log is long and the tree small. That is decided by
//! the first step, for all: later the learner has begun with a DIFF (ZooKeeper:
//! `LearnerHandler.syncFollower`, `snapshotSizeFactor`; there by the sizes of files, padding
//! included, here by the records that would be sent).

use menagerie_engine::disk::Disk;
use menagerie_engine::snapshot::Snapshots;
use menagerie_engine::tree::Root;
use menagerie_engine::wal::{Reader, WalError};
use menagerie_replication::{LogRead, TxnBytes};
use menagerie_wire::Zxid;

use super::{HistoryNumber, Store, StoreError};

/// The log may have this part of the bytes of a snapshot.
// ZooKeeper: ZKDatabase.DEFAULT_SNAPSHOT_SIZE_FACTOR, 0.33.
const SNAPSHOT_PART: u64 = 3;
/// And always so many: below, neither costs anything worth counting.
const LOG_BYTES_MIN: u64 = 1 << 20;
/// What one step hands out; a larger record comes alone.
const STEP_BYTES_MAX: usize = 256 << 10;
const STEP_TXNS_MAX: usize = 1024;
/// What a node has in a snapshot stream beside its path and data.
const NODE_BYTES: u64 = 4 + 4 + 8 + 60;

/// One learner's place in the log.
pub struct LogCursor<D: Disk, S> {
    store: Store<D, S>,
    history: HistoryNumber,
    reader: Option<Reader<D>>,
}

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// For the first `Effect::ReadLog` of a link; to be kept as long as the link lives.
    pub fn log_cursor(&self) -> LogCursor<D, S> {
        LogCursor { store: self.clone(), history: self.history(), reader: None }
    }
}

impl<D: Disk, S: Snapshots> LogCursor<D, S> {
    /// Records behind `from`: `Effect::ReadLog`, completed by `Event::LogRead`. `durable` is how
    /// far this server's own log is, and must lie behind `from`: the caller waits until it does.
    /// `newest` is the state that would be sent instead.
    ///
    /// `None` when the log does not reach back, or cannot be read, or a snapshot costs less.
    pub fn read(&mut self, from: Zxid, durable: Zxid, newest: &Root) -> Option<LogRead> {
        match self.try_read(from, durable, newest) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!("the log cannot be read for a learner at {from}: {error}");
                self.reader = None;
                None
            }
        }
    }

    fn try_read(
        &mut self,
        from: Zxid,
        durable: Zxid,
        newest: &Root,
    ) -> Result<Option<LogRead>, StoreError> {
        let Self { store, history, reader: kept } = self;
        let _files = store.manifest.lock_files();
        let log_start = store.manifest.current().log_start;
        if store.history() != *history || from < log_start || from >= durable {
            return Ok(None);
        }
        let mut reader = match kept.take() {
            Some(reader) if reader.position() == from => reader,
            walked => {
                let open = || Reader::open_up_to(&store.log, log_start, from, durable);
                if walked.is_none() && !is_cheaper(open()?, durable, newest)? {
                    return Ok(None);
                }
                open()?
            }
        };
        let read = step(&mut reader, from, durable)?;
        *kept = Some(reader);
        Ok(Some(read))
    }
}

/// Whether the log costs less than a snapshot of the state.
fn is_cheaper<D: Disk>(
    mut reader: Reader<D>,
    durable: Zxid,
    newest: &Root,
) -> Result<bool, WalError> {
    let limit = (stream_bytes(newest) / SNAPSHOT_PART).max(LOG_BYTES_MIN);
    let mut bytes = 0;
    while bytes <= limit {
        let Some(record) = reader.next_up_to(durable)? else { return Ok(true) };
        bytes += record.body.len() as u64;
    }
    Ok(false)
}

/// How long the stream of a state is, but for its sessions and access lists.
fn stream_bytes(root: &Root) -> u64 {
    root.view().data_bytes() + NODE_BYTES * root.view().node_count()
}

fn step<D: Disk>(reader: &mut Reader<D>, from: Zxid, durable: Zxid) -> Result<LogRead, WalError> {
    let mut read = LogRead { floor: from, txns: Vec::new() };
    let mut bytes = 0;
    while bytes < STEP_BYTES_MAX && read.txns.len() < STEP_TXNS_MAX {
        let Some(record) = reader.next_up_to(durable)? else { break };
        if read.txns.is_empty() {
            read.floor = record.follows_zxid;
        }
        bytes += record.body.len();
        read.txns.push((record.zxid, TxnBytes::copy_from_slice(record.body)));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::thread;

    use menagerie_engine::disk::{MemoryDisk, SystemDisk};
    use menagerie_engine::manifest::ManifestStore;
    use menagerie_engine::restore::DigestMismatch;
    use menagerie_engine::snapshot::{SnapshotDirectory, jute_stream};
    use menagerie_engine::tree::{NewNode, Owner, Tree};
    use menagerie_engine::wal::{LogEnd, SegmentPool};
    use menagerie_wire::Epoch;
    use menagerie_wire::data::Acl;

    use super::super::Parts;
    use super::super::testing::{self, Server};
    use super::*;

    fn zxids(read: &LogRead) -> Vec<Zxid> {
        read.txns.iter().map(|(zxid, _)| *zxid).collect()
    }

    fn root() -> Root {
        Tree::new().seal()
    }

    /// Three of epoch 1, then epoch 3, three files in all.
    fn server(disk: &MemoryDisk) -> Server {
        let mut server = Server::start(disk);
        server.begin_epoch(Epoch(1));
        server.append(3);
        server.keep_snapshot();
        server.begin_epoch(Epoch(3));
        server.append(4);
        server.keep_snapshot();
        server.append(2);
        server
    }

    #[test]
    fn a_walk_begins_anywhere_and_ends_with_what_is_durable() {
        let server = server(&MemoryDisk::new());
        let all = &server.zxids;
        let at = |epoch, counter| Zxid::new(Epoch(epoch), counter);
        let places = [Zxid::ZERO, at(0, 9), at(1, 9), at(2, 0), at(3, 0)];
        for from in places.into_iter().chain(all.iter().copied()) {
            for &durable in all.iter().filter(|zxid| **zxid > from) {
                let read = server.store.log_cursor().read(from, durable, &root()).unwrap();
                let (floor, behind) = all.split_at(all.partition_point(|zxid| *zxid <= from));
                let floor = floor.last().copied().unwrap_or(Zxid::ZERO);
                assert_eq!(read.floor, floor, "from {from}");
                let end = behind.partition_point(|zxid| *zxid <= durable);
                assert_eq!(zxids(&read), behind[..end], "from {from} to {durable}");
                assert!(read.txns.iter().all(|(zxid, txn)| **txn == *testing::txn(*zxid)));
            }
        }
    }

    #[test]
    fn nothing_is_read_at_or_beyond_what_is_durable() {
        let server = server(&MemoryDisk::new());
        let mut cursor = server.store.log_cursor();
        for (from, durable) in [(0, 0), (5, 5), (6, 5)] {
            let (from, durable) = (Zxid(server.zxids[from].0), server.zxids[durable]);
            assert_eq!(cursor.read(from, durable, &root()), None);
        }
    }

    #[test]
    fn a_walk_goes_on_through_files_that_were_not_there_when_it_began() {
        let mut server = server(&MemoryDisk::new());
        let mut cursor = server.store.log_cursor();
        let mut from = Zxid::ZERO;
        let mut walked = Vec::new();
        for _ in 0..20 {
            let durable = server.writer.durable_zxid();
            let read = cursor.read(from, durable, &root()).unwrap();
            assert_eq!(read.floor, from);
            walked.extend(zxids(&read));
            from = durable;
            server.append(3);
        }
        assert_eq!(walked, server.zxids[..server.zxids.len() - 3]);
    }

    #[test]
    fn what_is_purged_is_noticed_and_what_is_kept_is_read_on() {
        let server = server(&MemoryDisk::new());
        let all = &server.zxids;
        let durable = server.writer.durable_zxid();
        let walked = |from: usize, to: usize| {
            let mut cursor = server.store.log_cursor();
            let read = cursor.read(all[from], all[to], &root()).unwrap();
            assert_eq!(zxids(&read), all[from + 1..=to]);
            cursor
        };
        let mut behind = walked(1, 2);
        // At the end of a file that goes, and inside one that stays.
        let ahead = [(walked(4, 6), 6), (walked(6, 7), 7)];
        server.purge_to_newest();
        assert_eq!(behind.read(all[2], durable, &root()), None);
        assert_eq!(server.store.log_cursor().read(all[5], durable, &root()), None);
        for (mut cursor, at) in ahead {
            let read = cursor.read(all[at], durable, &root()).unwrap();
            assert_eq!((read.floor, &zxids(&read)[..]), (all[at], &all[at + 1..]));
        }
    }

    #[test]
    fn a_walk_ends_with_the_history() {
        let mut server = server(&MemoryDisk::new());
        let durable = server.writer.durable_zxid();
        let mut cursor = server.store.log_cursor();
        assert!(cursor.read(Zxid::ZERO, server.zxids[3], &root()).is_some());
        let root = server.tree.seal();
        drop(server.writer);
        server.store.truncate(durable, false).unwrap();
        assert_eq!(cursor.read(server.zxids[3], durable, &root), None);
        assert!(server.store.log_cursor().read(server.zxids[3], durable, &root).is_some());
    }

    #[test]
    fn damage_is_no_answer() {
        let disk = MemoryDisk::new();
        let server = server(&disk);
        disk.damage("log.300000001", 4096 + 60, 1);
        let durable = server.writer.durable_zxid();
        assert_eq!(server.store.log_cursor().read(Zxid::ZERO, durable, &root()), None);
    }

    /// A tree with so many bytes of data.
    fn large_root(bytes: usize) -> Root {
        let mut tree = Tree::new();
        let (acl, data, czxid) = ([Acl::world(31)], vec![7; bytes], Zxid(1));
        let (data, owner) = (Some(&data[..]), Owner::None);
        let node = NewNode { data, acl: &acl, owner, czxid, ctime_ms: 0 };
        tree.insert("/large", node, 1, czxid).unwrap();
        tree.seal()
    }

    #[test]
    fn a_long_log_beside_a_small_tree_is_not_read() {
        let mut server = Server::start(&MemoryDisk::new());
        let record_bytes = testing::txn(Zxid(0x1000)).len();
        let enough = LOG_BYTES_MIN as usize * 9 / 10 / record_bytes;
        let read = |server: &Server, from, newest: &Root| {
            server.store.log_cursor().read(from, server.writer.durable_zxid(), newest).is_some()
        };
        server.append_batch(enough);
        assert!(read(&server, Zxid::ZERO, &root()), "it is short");
        server.append_batch(enough);
        assert!(!read(&server, Zxid::ZERO, &root()), "a snapshot costs less");
        assert!(read(&server, server.zxids[enough], &root()), "the end of it is short");
        let log_bytes = 2 * enough * record_bytes;
        assert!(!read(&server, Zxid::ZERO, &large_root(2 * log_bytes)));
        assert!(read(&server, Zxid::ZERO, &large_root(4 * log_bytes)));
    }

    #[test]
    fn the_length_of_a_stream_is_known_beforehand() {
        let mut server = server(&MemoryDisk::new());
        let root = server.tree.seal();
        let mut bytes = 0;
        let sink = |piece: &[u8]| {
            bytes += piece.len() as u64;
            Ok::<(), std::convert::Infallible>(())
        };
        jute_stream::write(root.view(), sink).unwrap();
        assert!(stream_bytes(&root).abs_diff(bytes) < 100, "{} for {bytes}", stream_bytes(&root));
    }

    fn system_store(directory: &std::path::Path) -> Store<SystemDisk, SnapshotDirectory> {
        let disk = SystemDisk::open(directory).unwrap();
        Store::new(Parts {
            data: disk.clone(),
            log: disk.clone(),
            pool: SegmentPool::open(disk.clone(), 1 << 20).unwrap(),
            snapshots: SnapshotDirectory { path: directory.to_owned(), threads: 1 },
            manifest: ManifestStore::open(disk, false).unwrap(),
            on_mismatch: DigestMismatch::Stop,
            synced: true,
            nonce_seed: 5,
        })
    }

    #[test]
    fn a_walk_keeps_up_with_a_writer_on_a_real_disk() {
        const RECORDS: i64 = 4000;
        let directory = tempfile::tempdir().unwrap();
        let store = system_store(directory.path());
        let durable = AtomicI64::new(0);
        let body = |zxid: i64| vec![zxid as u8; 1 + (zxid * 37 % 900) as usize];
        let root = large_root(8 << 20);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = store.open_writer(&LogEnd::default()).unwrap();
                for zxid in 1..=RECORDS {
                    writer.append(Zxid(zxid), &body(zxid)).unwrap();
                    if zxid % 7 == 0 || zxid == RECORDS {
                        durable.store(writer.flush().unwrap().0, Ordering::Release);
                    }
                    if zxid % 1000 == 0 {
                        writer.roll();
                    }
                }
            });
            let mut cursor = store.log_cursor();
            let mut from = Zxid::ZERO;
            while from < Zxid(RECORDS) {
                let durable = Zxid(durable.load(Ordering::Acquire));
                if durable == from {
                    thread::yield_now();
                    continue;
                }
                let read = cursor.read(from, durable, &root).expect("the log is whole");
                assert_eq!(read.floor, from);
                for (zxid, txn) in read.txns {
                    assert_eq!(zxid, from.next());
                    assert_eq!(*txn, *body(zxid.0));
                    from = zxid;
                }
            }
        });
    }
}
