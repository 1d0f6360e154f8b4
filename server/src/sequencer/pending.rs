//! What a learner's clients wait for: requests that went to the leader and come back as commits.
//!
//! A request comes back as a transaction with its session and cxid. Those of one session come back
//! in the order in which they went, so each session has a queue; what is found behind others tells
//! that those will never come back.
//!
//! A client that came from another member may count its cxids anew, and what it asked for there
//! may be committed after its first request here has gone out, under the same cxid. A follower has
//! the proposal of that before the leader's word on the move, so what was known when a request went
//! out is not what it comes back as. (Apache takes it for the answer. An observer, which hears of
//! nothing before it is committed, still does.)
// ZooKeeper: CommitProcessor.pendingRequests.

use std::collections::VecDeque;

use hashbrown::HashMap;
use menagerie_wire::txn::TxnHeader;
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use super::message::ConnectionKey;
use super::publication::Answer;

/// Who waits for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) cxid: Xid,
    /// The newest transaction known when the request went out: it comes back as a later one.
    pub(super) after: Zxid,
    pub(super) connection: ConnectionKey,
    pub(super) answer: Answer,
    /// When the request went out, on the monotonic clock.
    pub(super) sent_us: u64,
    /// The client has reads waiting ahead, which must not see it.
    pub(super) seal_before: bool,
}

impl Waiting {
    /// The leader ends sessions of its own accord under cxid 0, which may be a request's too.
    fn is_answered_by(&self, txn: &TxnHeader) -> bool {
        let closes = matches!(self.answer, Answer::Closed(_));
        self.cxid == txn.cxid && txn.zxid > self.after && closes == (txn.op == OpCode::CloseSession)
    }
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

    /// Who waits for this transaction; in front of it those who wait in vain.
    pub(super) fn take(&mut self, txn: &TxnHeader) -> Option<(Vec<Waiting>, Waiting)> {
        let session = txn.client_id;
        let queue = self.by_session.get_mut(&session)?;
        let at = queue.iter().position(|waiting| waiting.is_answered_by(txn))?;
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

    const ONE: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);

    fn waiting(cxid: i32) -> Waiting {
        let connection = ConnectionKey { shard: 0, index: 1, generation: 1 };
        let cxid = Xid(cxid);
        Waiting {
            cxid,
            after: Zxid(10),
            connection,
            answer: Answer::Reply(cxid),
            sent_us: 0,
            seal_before: false,
        }
    }

    fn txn(client_id: SessionId, cxid: i32) -> TxnHeader {
        TxnHeader { client_id, cxid: Xid(cxid), zxid: Zxid(11), time_ms: 0, op: OpCode::SetData }
    }

    #[test]
    fn each_session_gets_its_own_back_in_order() {
        let mut pending = Pending::default();
        for cxid in [5, 6, 7] {
            pending.push(ONE, waiting(cxid));
        }
        pending.push(OTHER, waiting(6));
        assert_eq!(pending.take(&txn(ONE, 9)), None, "somebody else's");
        assert_eq!(pending.take(&txn(ONE, 5)), Some((vec![], waiting(5))));
        assert_eq!(pending.take(&txn(ONE, 7)), Some((vec![waiting(6)], waiting(7))));
        assert_eq!(pending.take(&txn(ONE, 6)), None);
        assert_eq!(pending.take(&txn(OTHER, 6)), Some((vec![], waiting(6))));
        assert!(pending.by_session.is_empty());
    }

    #[test]
    fn what_was_asked_for_through_another_member_answers_nobody() {
        let mut pending = Pending::default();
        pending.push(ONE, waiting(1));
        let earlier = TxnHeader { zxid: Zxid(10), ..txn(ONE, 1) };
        assert_eq!(pending.take(&earlier), None);
        assert_eq!(pending.take(&txn(ONE, 1)), Some((vec![], waiting(1))));
    }

    #[test]
    fn the_end_of_a_session_is_no_answer_to_a_write_nor_a_write_to_a_close() {
        let mut pending = Pending::default();
        let close = Waiting { answer: Answer::Closed(Xid(0)), ..waiting(0) };
        pending.push(ONE, waiting(0));
        pending.push(OTHER, close);
        let ends = |session| TxnHeader { op: OpCode::CloseSession, ..txn(session, 0) };
        assert_eq!(pending.take(&ends(ONE)), None);
        assert_eq!(pending.take(&txn(OTHER, 0)), None);
        assert_eq!(pending.take(&ends(OTHER)), Some((vec![], close)));
    }
}
