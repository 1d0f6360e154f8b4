//! The state that recovery rebuilds: a tree, from a snapshot and the transactions behind it.
//!
//! Every replayed transaction that carries a digest must leave the tree with that digest: a replay
//! that comes out differently is not served (rule 9 of ARCHITECTURE.md: apply is deterministic).
#![forbid(unsafe_code)]

use menagerie_wire::Zxid;
use menagerie_wire::txn::{DIGEST_VERSION, Txn, TxnDigest};

use crate::recovery::State;
use crate::snapshot::Snapshots;
use crate::tree::Tree;
use crate::txn;

/// A tree that is being rebuilt.
pub struct Restore<S> {
    snapshots: S,
    tree: Tree,
}

impl<S: Snapshots> Restore<S> {
    pub fn new(snapshots: S) -> Self {
        Self { snapshots, tree: Tree::new() }
    }

    /// Goes on with a tree that is there already.
    pub fn on(snapshots: S, tree: Tree) -> Self {
        Self { snapshots, tree }
    }

    pub fn into_tree(self) -> Tree {
        self.tree
    }
}

impl<S: Snapshots> State for Restore<S> {
    fn load(&mut self, snapshot: Zxid) -> Result<(), String> {
        self.tree = self.snapshots.load(snapshot).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn apply(&mut self, txn: &Txn<'_>, digest: Option<TxnDigest>) -> Result<(), String> {
        replay(&mut self.tree, txn, digest)
    }
}

/// Applies a transaction of the log.
fn replay(tree: &mut Tree, txn: &Txn<'_>, digest: Option<TxnDigest>) -> Result<(), String> {
    txn::apply(tree, txn);
    let ours = tree.view().digest();
    match digest {
        Some(logged) if logged.version == DIGEST_VERSION && logged.digest != ours as i64 => {
            Err(format!("the tree has digest {ours:x}, the log says {:x}", logged.digest))
        }
        _ => Ok(()),
    }
}
