//! What the protocol is told of the disk at the start.

use menagerie_engine::disk::Disk;
use menagerie_engine::snapshot::Snapshots;
use menagerie_engine::wal::{self, LogEnd, TailLimits};
use menagerie_replication::{HistoryLimits, Recovered, TxnBytes};

use super::{Store, StoreError};

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// What a member begins with, when recovery has found the log to end at `end`: for
    /// `Event::Started`. A server that was its own ensemble becomes a member by it, durably.
    ///
    /// The window begins with what the log's last files hold, however much of it a snapshot holds
    /// too: the members that were up meanwhile lag by little.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn recovered(&self, end: &LogEnd, limits: HistoryLimits) -> Result<Recovered, StoreError> {
        let epochs = self.join(end.zxid)?;
        let limits = TailLimits { records_max: limits.txns_max, bytes_max: limits.bytes_max };
        let tail = wal::tail(&self.log, end, limits);
        if let Some(error) = tail.stopped {
            tracing::warn!("the history for learners begins behind {}: {error}", tail.before);
        }
        let entries = tail.records.into_iter().map(|(zxid, txn)| (zxid, TxnBytes::from(txn)));
        Ok(Recovered {
            last_logged: end.zxid,
            epochs,
            tail: entries.collect(),
            before_tail: tail.before,
        })
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::disk::MemoryDisk;
    use menagerie_replication::{Effects, Event, Node};
    use menagerie_wire::{Epoch, ServerId, Zxid};

    use super::super::testing::{self, Server};
    use super::*;

    const LIMITS: HistoryLimits = HistoryLimits { txns_max: 5, bytes_max: 1 << 20 };

    #[test]
    fn the_tail_is_the_end_of_the_log_whatever_snapshot_it_lies_behind() {
        let disk = MemoryDisk::new();
        let mut server = Server::start(&disk);
        server.append(8);
        server.keep_snapshot();
        server.append(2);
        let server = server.restart(disk.crash(&mut |_| 0));
        assert_eq!(server.replayed, 2, "the rest is in the snapshot");
        let recovered = server.store.recovered(&server.end, LIMITS).unwrap();
        let zxids: Vec<_> = recovered.tail.iter().map(|(zxid, _)| zxid.0).collect();
        assert_eq!(zxids, [6, 7, 8, 9, 10]);
        assert_eq!((recovered.before_tail, recovered.last_logged), (Zxid(5), Zxid(10)));
        for (zxid, txn) in &recovered.tail {
            assert_eq!(**txn, *testing::txn(*zxid), "the bytes that were appended");
        }
    }

    #[test]
    fn a_log_that_is_empty_behind_a_snapshot_has_no_tail() {
        let disk = MemoryDisk::new();
        let server = Server::start(&disk);
        let end = LogEnd { zxid: Zxid::new(Epoch(3), 9), ..LogEnd::default() };
        let recovered = server.store.recovered(&end, LIMITS).unwrap();
        assert!(recovered.tail.is_empty());
        assert_eq!(recovered.before_tail, end.zxid);
        assert_eq!(recovered.epochs.current, Epoch(3));
    }

    #[test]
    fn a_node_takes_what_was_recovered_at_its_word() {
        let disk = MemoryDisk::new();
        let mut server = Server::start(&disk);
        server.append(3);
        server.begin_epoch(Epoch(2));
        server.append(3);
        let server = server.restart(disk.crash(&mut |_| 0));
        for txns_max in 0..8 {
            let limits = HistoryLimits { txns_max, ..LIMITS };
            let recovered = server.store.recovered(&server.end, limits).unwrap();
            assert_eq!(recovered.tail.len(), txns_max.min(6));
            let mut node = Node::standalone(ServerId(1));
            node.step(Event::Started(recovered), 0, &mut Effects::new());
        }
    }
}
