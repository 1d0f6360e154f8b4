//! The broadcast phase: proposals go out, acknowledgements come in, commits leave in order.
//!
//! The leader's half. Its own acknowledgement is the completion of its own sync, never earlier:
//! no member counts what it might still lose (ZooKeeper: `Leader.propose`, `Leader.processAck`,
//! `Leader.tryToCommit`).
//!
//! Invariants, checked in release builds too:
//! - proposals are consecutive inside the epoch, or the first of this leader's epoch;
//! - committed ≤ proposed; commits never skip a proposal;
//! - an acknowledgement names nothing that was not proposed.

use std::collections::VecDeque;

use menagerie_wire::{ServerId, Zxid};

use crate::quorum::Majority;

/// A proposal that no quorum has on disk yet.
#[derive(Debug)]
struct Proposal {
    zxid: Zxid,
    acks: Vec<ServerId>,
}

/// What a leader keeps between propose and commit.
#[derive(Debug)]
pub(crate) struct Broadcast {
    /// In zxid order, contiguous.
    outstanding: VecDeque<Proposal>,
    last_proposed: Zxid,
    last_committed: Zxid,
}

impl Broadcast {
    /// A leader whose log, agreed with its quorum, ends at `last`.
    pub(crate) const fn new(last: Zxid) -> Self {
        Self { outstanding: VecDeque::new(), last_proposed: last, last_committed: last }
    }

    pub(crate) fn propose(&mut self, zxid: Zxid) {
        assert!(
            zxid == self.last_proposed.next(),
            "proposal {zxid} does not follow {}",
            self.last_proposed
        );
        self.last_proposed = zxid;
        self.outstanding.push_back(Proposal { zxid, acks: Vec::new() });
    }

    /// Counts `from`'s acknowledgement of everything up to `zxid`. Returns the new last committed
    /// zxid when that moved.
    pub(crate) fn acknowledge(
        &mut self,
        from: ServerId,
        zxid: Zxid,
        quorum: &Majority,
    ) -> Option<Zxid> {
        assert!(
            zxid <= self.last_proposed,
            "{from} acknowledges {zxid}, the last proposal is {}",
            self.last_proposed
        );
        for proposal in self.outstanding.iter_mut().take_while(|p| p.zxid <= zxid) {
            if !proposal.acks.contains(&from) {
                proposal.acks.push(from);
            }
        }
        let before = self.last_committed;
        while self.outstanding.front().is_some_and(|p| quorum.contains_quorum(&p.acks)) {
            let Some(proposal) = self.outstanding.pop_front() else { break };
            assert!(proposal.zxid > self.last_committed, "commits never go back");
            self.last_committed = proposal.zxid;
        }
        (self.last_committed > before).then_some(self.last_committed)
    }

    pub(crate) const fn last_committed(&self) -> Zxid {
        self.last_committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerId = ServerId(1);
    const B: ServerId = ServerId(2);

    fn three() -> Majority {
        Majority::new(vec![A, B, ServerId(3)])
    }

    #[test]
    fn a_commit_waits_for_a_quorum_and_leaves_in_order() {
        let mut broadcast = Broadcast::new(Zxid(10));
        broadcast.propose(Zxid(11));
        broadcast.propose(Zxid(12));
        assert_eq!(broadcast.acknowledge(A, Zxid(12), &three()), None);
        assert_eq!(broadcast.acknowledge(B, Zxid(11), &three()), Some(Zxid(11)));
        assert_eq!(broadcast.acknowledge(B, Zxid(12), &three()), Some(Zxid(12)));
        assert_eq!(broadcast.last_committed(), Zxid(12));
    }

    #[test]
    fn one_member_never_counts_twice() {
        let mut broadcast = Broadcast::new(Zxid(0));
        broadcast.propose(Zxid(1));
        assert_eq!(broadcast.acknowledge(A, Zxid(1), &three()), None);
        assert_eq!(broadcast.acknowledge(A, Zxid(1), &three()), None);
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn a_gap_in_the_proposals_is_refused() {
        Broadcast::new(Zxid(1)).propose(Zxid(3));
    }

    #[test]
    #[should_panic(expected = "the last proposal is")]
    fn nobody_acknowledges_what_was_not_proposed() {
        Broadcast::new(Zxid(1)).acknowledge(A, Zxid(2), &three());
    }
}
