//! What a leader does: it judges writes, its own clients' and those its learners send on, and shows
//! them once the node says that they are committed.
//!
//! What a learner sends on was read by that learner, and is read again here: it may be another
//! implementation's, or hostile. What cannot be judged becomes an error transaction, because only
//! a transaction brings the answer back.
//!
//! Facts: ZooKeeper `PrepRequestProcessor`, `LearnerHandler`, `Leader.revalidateSession`.

use std::borrow::Cow;

use menagerie_engine::txn::{self, Caller, Executed, InternalRequest, Stamp};
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_replication::{Event, ForwardedRequest, Link};
use menagerie_wire::proto::Request;
use menagerie_wire::quorum::Touch;
use menagerie_wire::{ErrorCode, OpCode, Reader, SessionId, Xid, Zxid};

use super::message::{ConnectionKey, ToSequencer, ToShard, Write};
use super::owners::{Claim, Owner};
use super::publication::{Answer, Entry};
use super::strangers::Stranger;
use super::{Output, Part, Sequencer};

/// Who is told of a transaction.
pub(super) type Asker = Option<(ConnectionKey, Answer)>;

impl Sequencer {
    pub(super) fn lead_message(&mut self, message: ToSequencer, out: &mut Output) {
        match message {
            ToSequencer::Connect { connection, timeout_ms, ids } => {
                self.on_connect(connection, timeout_ms, ids);
            }
            ToSequencer::Resume { connection, session, timeout_ms, ids } => {
                self.on_resume(connection, session, timeout_ms, ids, out);
            }
            ToSequencer::Write(write) => self.on_write(&write, out),
            ToSequencer::Sync(sync) => self.on_sync(sync, out),
            ToSequencer::Close { connection, session, xid, seal_before } => {
                if self.admit(session, connection, out) {
                    if seal_before {
                        self.prepared.seal(&mut self.tree);
                    }
                    let answer = Some((connection, Answer::Closed(xid)));
                    self.close_session(session, xid, answer);
                }
            }
            ToSequencer::Identify { .. }
            | ToSequencer::Touched { .. }
            | ToSequencer::Disconnected { .. } => unreachable!("the same whatever the role"),
        }
    }

    fn on_write(&mut self, write: &Write, out: &mut Output) {
        if !self.admit(write.session, write.connection, out) {
            return;
        }
        let Ok(request) = Request::decode(write.op, &write.body) else {
            unreachable!("the shard sends on only what it could decode");
        };
        if write.seal_before {
            self.prepared.seal(&mut self.tree);
        }
        let stamp = self.stamp(write.session, write.xid);
        let ids = self.owners.ids(write.session);
        let caller = Caller { session: write.session, ids };
        let executed = txn::execute(&mut self.tree, &self.settings.rules, &caller, stamp, &request);
        let answer = Some((write.connection, Answer::Reply(write.xid)));
        self.propose(stamp.zxid, executed, answer);
    }

    /// A client of a learner wants something.
    pub(super) fn on_forwarded(&mut self, link: Link, request: ForwardedRequest) {
        if self.part != Part::Leading || self.stepping_down {
            return;
        }
        let ForwardedRequest { session, cxid, op, body, authinfo } = request;
        match op {
            OpCode::CreateSession => match Reader::new(&body).int() {
                Ok(timeout_ms) => {
                    self.owners.take_over(session, Owner::at(link));
                    self.open_session(session, cxid, timeout_ms, None);
                }
                Err(_) => self.refuse(session, cxid, ErrorCode::MarshallingError),
            },
            // Its sender need not own it: this is the last that is heard of the session.
            OpCode::CloseSession => self.close_session(session, cxid, None),
            _ if !self.may_speak_for(session, link) => {
                self.refuse(session, cxid, ErrorCode::SessionMoved);
            }
            _ => match Request::decode(op, &body) {
                Ok(request) => {
                    let stamp = self.stamp(session, cxid);
                    let ids = authinfo.unwrap_or_default();
                    let caller = Caller { session, ids: &ids };
                    let rules = &self.settings.rules;
                    let executed = txn::execute(&mut self.tree, rules, &caller, stamp, &request);
                    self.propose(stamp.zxid, executed, None);
                }
                Err(_) => self.refuse(session, cxid, ErrorCode::MarshallingError),
            },
        }
    }

    /// A session that is gone is nobody's: the judgement will say so.
    fn may_speak_for(&mut self, session: SessionId, link: Link) -> bool {
        self.tree.view().session(session).is_none()
            || self.owners.claim_at(session, link) == Claim::Owner
            || flaws::has(Flaw::SessionMovedUnchecked)
    }

    /// A client has moved to a learner with its session.
    pub(super) fn on_revalidate(&mut self, link: Link, touch: Touch, out: &mut Output) {
        if self.part != Part::Leading {
            return;
        }
        let Touch { session, timeout_ms } = touch;
        let awake_ms = self.awake_ms();
        let valid = self.tree.view().session(session).is_some()
            && self.expiry.touch(session, timeout_ms, awake_ms);
        if !valid {
            return self.doubt(Stranger::Elsewhere(link, session));
        }
        if let Some(old) = self.owners.take_over(session, Owner::at(link)) {
            out.tell(old.shard, ToShard::Evict { connection: old });
        }
        // Behind what the session asked for elsewhere: it is told apart from what it asks for next.
        let answered = Event::RevalidateAnswered { link, session, valid };
        self.deferred.push_back((self.last_prepared, answered));
    }

    /// The session of a client that moves may have expired while the answer waited. Its end is
    /// waited for too, and then it is refused.
    pub(super) fn look_again(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::RevalidateAnswered { link, session, valid: true }
                if self.tree.view().session(session).is_none() =>
            {
                self.doubt(Stranger::Elsewhere(link, session));
                None
            }
            event => Some(event),
        }
    }

    pub(super) fn delete_due(&mut self) {
        let now = self.now;
        for path in self.cleaner.due(self.tree.view(), &self.settings.rules, now) {
            let request = InternalRequest::DeleteContainer { path: Cow::Borrowed(&path) };
            self.execute_internal(SessionId::NONE, Xid(0), &request, None);
        }
    }

    pub(super) fn execute_internal(
        &mut self,
        session: SessionId,
        xid: Xid,
        request: &InternalRequest<'_>,
        answer: Asker,
    ) {
        let stamp = self.stamp(session, xid);
        let executed = txn::execute_internal(&mut self.tree, &self.settings.rules, stamp, request);
        self.propose(stamp.zxid, executed, answer);
    }

    /// Makes an error transaction of what nobody else can judge.
    fn refuse(&mut self, session: SessionId, cxid: Xid, code: ErrorCode) {
        let stamp = self.stamp(session, cxid);
        let executed = txn::refuse(&mut self.tree, stamp, code);
        self.propose(stamp.zxid, executed, None);
    }

    /// The header of the next transaction; takes its zxid.
    fn stamp(&mut self, session: SessionId, cxid: Xid) -> Stamp {
        self.last_prepared = self.last_prepared.next();
        Stamp { session, cxid, zxid: self.last_prepared, time_ms: self.now.wall_ms }
    }

    fn propose(&mut self, zxid: Zxid, executed: Executed<'_>, answer: Asker) {
        self.scratch.clear();
        let digest = executed.digest.filter(|_| self.settings.digests);
        executed.txn.encode(digest, &mut self.scratch);
        if !self.node.is_alone() {
            self.counters.roles.record_proposal(self.scratch.len());
        }
        let txn = self.txns.keep(&self.scratch);
        let now_us = self.now.monotonic_us;
        let (judged_us, proposed_us) = (now_us, now_us);
        let outcome = executed.outcome;
        self.prepared.push(Entry { zxid, outcome, answer, judged_us, proposed_us });
        self.counters.prepared += 1;
        self.note_digest(zxid);
        self.step(Event::Propose { zxid, txn });
    }

    /// Shows what was judged here and is committed, run by run: there is a root at the end of each.
    pub(super) fn publish_judged(&mut self, out: &mut Output) {
        let runs = self.prepared.commit(&mut self.tree, self.committed_to);
        if let Some(last) = runs.last() {
            self.tail.forget_to(last.root.last_zxid());
        }
        self.publish(runs, out);
    }
}

#[cfg(test)]
#[path = "leading_tests.rs"]
mod tests;
