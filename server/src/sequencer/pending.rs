//! What a learner's clients wait for: requests that went to the leader and come back as commits.
//!
//! A request comes back as a transaction with its session and cxid. Those of one session come back
//! in the order in which they went, so each session has a queue; what is found behind others tells
//! that those will never come back.
// ZooKeeper: CommitProcessor.pendingRequests.

use std::collections::VecDeque;

use hashbrown::HashMap;
use menagerie_wire::{SessionId, Xid};

use super::message::ConnectionKey;
use super::publication::Answer;

/// Who waits for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) cxid: Xid,
    pub(super) connection: ConnectionKey,
    pub(super) answer: Answer,
    /// The client has reads waiting ahead, which must not see it.
    pub(super) seal_before: bool,
}

/// Everybody who waits.
#[derive(Default)]
pub(super) struct Pending {
    by_session: HashMap<SessionId, VecDeque<Waiting>>,
}

impl Pending {
    pub(super) fn push(&mut self, session: SessionId, waiting: Waiting) {
        self.by_session.entry(session).or_default().push_back(waiting);
    }

    /// Who waits for the transaction of this session and cxid; in front of it those who wait in
    /// vain.
    pub(super) fn take(
        &mut self,
        session: SessionId,
        cxid: Xid,
    ) -> Option<(Vec<Waiting>, Waiting)> {
        let queue = self.by_session.get_mut(&session)?;
        let at = queue.iter().position(|waiting| waiting.cxid == cxid)?;
        let skipped = queue.drain(..at).collect();
        let found = queue.pop_front()?;
        if queue.is_empty() {
            self.by_session.remove(&session);
        }
        Some((skipped, found))
    }

    /// The role is over: nothing comes back any more.
    pub(super) fn clear(&mut self) {
        self.by_session.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(cxid: i32) -> Waiting {
        let connection = ConnectionKey { shard: 0, index: 1, generation: 1 };
        let cxid = Xid(cxid);
        Waiting { cxid, connection, answer: Answer::Reply(cxid), seal_before: false }
    }

    #[test]
    fn each_session_gets_its_own_back_in_order() {
        let (one, other) = (SessionId(1), SessionId(2));
        let mut pending = Pending::default();
        for cxid in [5, 6, 7] {
            pending.push(one, waiting(cxid));
        }
        pending.push(other, waiting(6));
        assert_eq!(pending.take(one, Xid(9)), None, "somebody else's");
        assert_eq!(pending.take(one, Xid(5)), Some((vec![], waiting(5))));
        assert_eq!(pending.take(one, Xid(7)), Some((vec![waiting(6)], waiting(7))));
        assert_eq!(pending.take(one, Xid(6)), None);
        assert_eq!(pending.take(other, Xid(6)), Some((vec![], waiting(6))));
        assert!(pending.by_session.is_empty());
    }
}
