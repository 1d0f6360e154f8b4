//! Transactions between judgement and commit.
//!
//! The open batch gathers while the log is busy; closing it seals a root and hands it to the log as
//! one commit. Closed batches wait, in order, for that commit to reach a quorum.

use std::collections::VecDeque;

use menagerie_engine::tree::Tree;
use menagerie_wire::Zxid;

use crate::sequencer::publication::{Entry, Run};

/// One commit's worth of transactions.
struct Batch {
    runs: Vec<Run>,
    last_zxid: Zxid,
}

/// Everything that is judged and not yet committed.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Entries since the last root was sealed.
    open_entries: Vec<Entry>,
    /// Runs of the open batch that are sealed already.
    open_runs: Vec<Run>,
    /// Submitted to the log, oldest first.
    waiting: VecDeque<Batch>,
}

impl Prepared {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.open_entries.push(entry);
    }

    /// Ends the current run, so that what follows is not visible with it.
    pub(crate) fn seal(&mut self, tree: &mut Tree) {
        if !self.open_entries.is_empty() {
            let entries = std::mem::take(&mut self.open_entries);
            self.open_runs.push(Run { entries, root: tree.seal() });
        }
    }

    /// Ends the open batch.
    pub(crate) fn close(&mut self, tree: &mut Tree) {
        self.seal(tree);
        let runs = std::mem::take(&mut self.open_runs);
        let Some(last) = runs.last() else { return };
        let last_zxid = last.root.last_zxid();
        self.waiting.push_back(Batch { runs, last_zxid });
    }

    /// Ends the open batch when some of it is committed already, by others' disks: it has to be
    /// shown.
    pub(crate) fn close_if_committed(&mut self, tree: &mut Tree, committed: Zxid) {
        let sealed = self.open_runs.first().and_then(|run| run.entries.first());
        let first = sealed.or_else(|| self.open_entries.first());
        if first.is_some_and(|entry| entry.zxid <= committed) {
            self.close(tree);
        }
    }

    /// Takes out what is committed with everything up to `zxid`.
    pub(crate) fn commit(&mut self, zxid: Zxid) -> Vec<Run> {
        let mut runs = Vec::new();
        while self.waiting.front().is_some_and(|batch| batch.last_zxid <= zxid) {
            let Some(batch) = self.waiting.pop_front() else { break };
            runs.extend(batch.runs);
        }
        runs
    }
}
