//! The state that recovery rebuilds: a tree, from a snapshot and the transactions behind it.
//!
//! Every replayed transaction that carries a digest must leave the tree with that digest: a replay
//! that comes out differently is not served (rule 9 of ARCHITECTURE.md: apply is deterministic).
#![forbid(unsafe_code)]

use std::path::PathBuf;

use menagerie_wire::Zxid;
use menagerie_wire::txn::{DIGEST_VERSION, Txn, TxnDigest};

use crate::recovery::{State, snapshot_file_name};
use crate::tree::Tree;
use crate::{snapshot, txn};

/// A tree that is being rebuilt.
pub struct Restore {
    /// Where the snapshots are.
    directory: PathBuf,
    /// Threads that read a snapshot side by side.
    threads: usize,
    tree: Tree,
}

impl Restore {
    pub fn new(directory: PathBuf, threads: usize) -> Self {
        Self { directory, threads, tree: Tree::new() }
    }

    pub fn into_tree(self) -> Tree {
        self.tree
    }
}

impl State for Restore {
    fn load(&mut self, snapshot: Zxid) -> Result<(), String> {
        let path = self.directory.join(snapshot_file_name(snapshot));
        self.tree = snapshot::load(&path, self.threads).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn apply(&mut self, txn: &Txn<'_>, digest: Option<TxnDigest>) -> Result<(), String> {
        txn::apply(&mut self.tree, txn);
        let ours = self.tree.view().digest();
        match digest {
            Some(logged) if logged.version == DIGEST_VERSION && logged.digest != ours as i64 => {
                Err(format!("the tree has digest {ours:x}, the log says {:x}", logged.digest))
            }
            _ => Ok(()),
        }
    }
}
