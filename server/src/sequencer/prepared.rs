//! Transactions between judgement and commit.
//!
//! They gather in a run until a root is sealed behind it: when the log takes what has gathered, or
//! when somebody may look who must not see more. Sealed runs wait, in order, until a quorum has
//! them.

use std::collections::VecDeque;

use menagerie_engine::tree::Tree;
use menagerie_wire::Zxid;

use crate::sequencer::publication::{Entry, Logged, Run};

/// Everything that is judged and not yet committed.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Entries since the last root was sealed.
    open: Vec<Entry>,
    /// Oldest first.
    sealed: VecDeque<Run>,
}

impl Prepared {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.open.push(entry);
    }

    /// Ends the open run, so that what follows is not visible with it.
    pub(crate) fn seal(&mut self, tree: &mut Tree) {
        if !self.open.is_empty() {
            let entries = std::mem::take(&mut self.open);
            let (root, logged) = (tree.seal(), Logged::default());
            self.sealed.push_back(Run { entries, root, logged });
        }
    }

    /// Takes out the runs that are committed with everything up to `zxid`. A run that is committed
    /// by others' disks before ours has taken all of it is sealed for that.
    pub(crate) fn commit(&mut self, tree: &mut Tree, zxid: Zxid) -> Vec<Run> {
        if self.open.first().is_some_and(|entry| entry.zxid <= zxid) {
            self.seal(tree);
        }
        let committed = self.sealed.partition_point(|run| run.root.last_zxid() <= zxid);
        self.sealed.drain(..committed).collect()
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::txn::{OpResult, Outcome};

    use super::*;

    fn judge(prepared: &mut Prepared, tree: &mut Tree, zxid: i64) {
        let zxid = Zxid(zxid);
        tree.advance(zxid);
        let outcome = Outcome { result: Ok(OpResult::CloseSession), changes: Vec::new() };
        let (judged_us, proposed_us) = (0, 0);
        prepared.push(Entry { zxid, outcome, answer: None, judged_us, proposed_us });
    }

    /// The zxids of the runs that are committed with `zxid`; each root is at the last of them.
    fn commit(prepared: &mut Prepared, tree: &mut Tree, zxid: i64) -> Vec<Vec<i64>> {
        let runs = prepared.commit(tree, Zxid(zxid));
        let zxids = runs.iter().map(|run| {
            let zxids: Vec<_> = run.entries.iter().map(|entry| entry.zxid.0).collect();
            assert_eq!(zxids.last(), Some(&run.root.last_zxid().0));
            zxids
        });
        zxids.collect()
    }

    #[test]
    fn a_run_is_shown_when_all_of_it_is_committed() {
        let (mut prepared, mut tree) = (Prepared::default(), Tree::new());
        for zxid in 1..=5 {
            judge(&mut prepared, &mut tree, zxid);
            if zxid != 1 && zxid != 5 {
                prepared.seal(&mut tree);
            }
        }
        prepared.seal(&mut tree);
        prepared.seal(&mut tree);
        assert_eq!(commit(&mut prepared, &mut tree, 1), [[0; 0]; 0]);
        assert_eq!(commit(&mut prepared, &mut tree, 3), [vec![1, 2], vec![3]]);
        assert_eq!(commit(&mut prepared, &mut tree, 5), [[4], [5]]);
    }

    #[test]
    fn what_others_have_committed_before_our_log_took_it_is_shown() {
        let (mut prepared, mut tree) = (Prepared::default(), Tree::new());
        judge(&mut prepared, &mut tree, 1);
        judge(&mut prepared, &mut tree, 2);
        assert_eq!(commit(&mut prepared, &mut tree, 0), [[0; 0]; 0]);
        assert_eq!(commit(&mut prepared, &mut tree, 1), [[0; 0]; 0], "its root is at 2");
        judge(&mut prepared, &mut tree, 3);
        assert_eq!(commit(&mut prepared, &mut tree, 2), [[1, 2]]);
        assert_eq!(commit(&mut prepared, &mut tree, 3), [[3]]);
    }
}
