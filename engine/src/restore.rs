//! The state that recovery rebuilds: a tree, from a snapshot and the transactions behind it.
//!
//! Every replayed transaction that carries a digest must leave the tree with that digest: a replay
//! that comes out differently is not served, since what it does is determined by the log alone.
//! That holds for a history that was all made here. The digests of a member's log are its leaders':
//! one of Apache's sends a snapshot that is ahead of its zxid, and some of its digests are wrong. A
//! member that would not start again for that could not live among them, so there it is counted.
#![forbid(unsafe_code)]

use menagerie_wire::Zxid;
use menagerie_wire::txn::{DIGEST_VERSION, Txn, TxnDigest};

use crate::recovery::State;
use crate::snapshot::Snapshots;
use crate::tree::Tree;
use crate::txn;

/// What becomes of a tree that has not the digest that the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestMismatch {
    /// The history was made here: there is a fault, in the log or in us.
    Stop,
    /// It came from others.
    Count,
}

/// A tree that is being rebuilt.
pub struct Restore<S> {
    snapshots: S,
    on_mismatch: DigestMismatch,
    tree: Tree,
    mismatches: u64,
}

impl<S: Snapshots> Restore<S> {
    pub fn new(snapshots: S, on_mismatch: DigestMismatch) -> Self {
        Self { snapshots, on_mismatch, tree: Tree::new(), mismatches: 0 }
    }

    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// How often the tree was not what the log says since it last was.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }
}

impl<S: Snapshots> State for Restore<S> {
    fn load(&mut self, snapshot: Zxid) -> Result<(), String> {
        self.tree = self.snapshots.load(snapshot).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn apply(&mut self, txn: &Txn<'_>, digest: Option<TxnDigest>) -> Result<(), String> {
        txn::apply(&mut self.tree, txn);
        let Some(TxnDigest { version: DIGEST_VERSION, digest }) = digest else { return Ok(()) };
        let ours = self.tree.view().digest();
        if digest == ours as i64 {
            self.mismatches = 0;
            return Ok(());
        }
        self.mismatches += 1;
        match self.on_mismatch {
            DigestMismatch::Count => Ok(()),
            DigestMismatch::Stop => {
                Err(format!("the tree has digest {ours:x}, the log says {digest:x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::txn::{TxnBody, TxnHeader};
    use menagerie_wire::{OpCode, SessionId, Xid};

    use super::*;
    use crate::disk::MemoryDisk;

    #[test]
    fn a_digest_that_is_not_the_trees_stops_only_a_history_of_our_own() {
        let (client_id, cxid, op) = (SessionId(1), Xid(1), OpCode::CreateSession);
        let header = TxnHeader { client_id, cxid, zxid: Zxid(1), time_ms: 0, op };
        let txn = Txn { header, body: TxnBody::CreateSession { timeout_ms: 5 } };
        let right = Tree::new().view().digest() as i64;
        let digest = |digest| Some(TxnDigest { version: DIGEST_VERSION, digest });

        let mut stop = Restore::new(MemoryDisk::new(), DigestMismatch::Stop);
        stop.apply(&txn, digest(right)).unwrap();
        stop.apply(&txn, None).unwrap();
        let error = stop.apply(&txn, digest(7)).unwrap_err();
        assert_eq!(error, format!("the tree has digest {right:x}, the log says 7"));

        let mut count = Restore::new(MemoryDisk::new(), DigestMismatch::Count);
        for (logged, mismatches) in [(7, 1), (8, 2), (right, 0), (9, 1)] {
            count.apply(&txn, digest(logged)).unwrap();
            assert_eq!(count.mismatches(), mismatches);
        }
    }
}
