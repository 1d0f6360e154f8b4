//! What a follower or observer does: it sends its clients' writes to the leader, and applies what
//! comes back as commits.
//!
//! It judges nothing. Who waits for an answer is found by the session and cxid in the transaction.
//!
//! Facts: ZooKeeper `FollowerRequestProcessor`, `CommitProcessor`, `LearnerZooKeeperServer`.

use bytes::Bytes;
use menagerie_engine::txn;
use menagerie_replication::{Event, ForwardedRequest};
use menagerie_wire::data::Id;
use menagerie_wire::quorum::Touch;
use menagerie_wire::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader};
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use super::message::{ConnectionKey, ToSequencer, ToShard, Write};
use super::owners::Owner;
use super::pending::Waiting;
use super::publication::{Answer, Entry, Logged, Run};
use super::{Job, Output, Sequencer};

/// A client that came with its session, and waits for the leader's word.
pub(super) struct Moving {
    connection: ConnectionKey,
    timeout_ms: i32,
    ids: Box<[Id<'static>]>,
}

impl Sequencer {
    pub(super) fn learn_message(&mut self, message: ToSequencer, out: &mut Output) {
        match message {
            ToSequencer::Connect { connection, timeout_ms, ids } => {
                self.ask_for_session(connection, timeout_ms, ids);
            }
            ToSequencer::Resume { connection, session, timeout_ms, ids } => {
                // What comes through the old connection behind the question would pass for new.
                if let Some(old) = self.owners.leave(session) {
                    out.tell(old.shard, ToShard::Evict { connection: old });
                }
                let moving = Moving { connection, timeout_ms, ids };
                self.moving.entry(session).or_default().push_back(moving);
                self.step(Event::Revalidate(Touch { session, timeout_ms }));
            }
            ToSequencer::Write(write) => self.send_on(write, out),
            ToSequencer::Sync(sync) => self.on_sync(sync, out),
            ToSequencer::Close { connection, session, xid, seal_before } => {
                if self.admit(session, connection, out) {
                    self.wait(session, xid, connection, Answer::Closed(xid), seal_before);
                    self.request(session, xid, OpCode::CloseSession, Bytes::new(), None);
                }
            }
            ToSequencer::Identify { .. }
            | ToSequencer::Touched { .. }
            | ToSequencer::Disconnected { .. } => unreachable!("the same whatever the role"),
        }
    }

    /// A session begins everywhere by the leader's transaction; its id comes from here.
    fn ask_for_session(
        &mut self,
        connection: ConnectionKey,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
    ) {
        let session = self.new_session(connection, ids);
        let answer = Answer::Connected { session, timeout_ms };
        self.wait(session, Xid(0), connection, answer, false);
        let body = Bytes::copy_from_slice(&timeout_ms.to_be_bytes());
        self.request(session, Xid(0), OpCode::CreateSession, body, None);
    }

    fn send_on(&mut self, write: Write, out: &mut Output) {
        let Write { connection, session, xid, op, body, seal_before } = write;
        if !self.admit(session, connection, out) {
            return;
        }
        self.wait(session, xid, connection, Answer::Reply(xid), seal_before);
        let authinfo = Some(self.owners.ids(session).to_vec());
        self.request(session, xid, op, body, authinfo);
    }

    /// Keeps who is to be answered when the request that goes out now comes back.
    fn wait(
        &mut self,
        session: SessionId,
        cxid: Xid,
        connection: ConnectionKey,
        answer: Answer,
        seal_before: bool,
    ) {
        let after = self.tail.last().unwrap_or_else(|| self.tree.view().last_zxid());
        let sent_us = self.now.monotonic_us;
        let waiting = Waiting { cxid, after, connection, answer, sent_us, seal_before };
        self.pending.push(session, waiting);
    }

    /// Asks the leader, who may be this server itself.
    pub(super) fn request(
        &mut self,
        session: SessionId,
        cxid: Xid,
        op: OpCode,
        body: Bytes,
        authinfo: Option<Vec<Id<'static>>>,
    ) {
        self.step(Event::Request(ForwardedRequest { session, cxid, op, body, authinfo }));
    }

    /// The leader's word on a client that came with its session.
    pub(super) fn on_revalidated(&mut self, session: SessionId, valid: bool, out: &mut Output) {
        let Some(queue) = self.moving.get_mut(&session) else { return };
        let moving = queue.pop_front();
        if queue.is_empty() {
            self.moving.remove(&session);
        }
        let Some(Moving { connection, timeout_ms, ids }) = moving else { return };
        if !valid {
            out.tell(connection.shard, ToShard::Refused { connection });
            return;
        }
        if let Some(old) = self.owners.take_over(session, Owner::here(connection, ids)) {
            out.tell(old.shard, ToShard::Evict { connection: old });
        }
        out.tell(connection.shard, ToShard::Resumed { connection, session, timeout_ms });
    }

    /// Applies what is committed, and shows it.
    pub(super) fn publish_learned(&mut self, out: &mut Output) {
        let (mut runs, mut entries) = (Vec::new(), Vec::new());
        while let Some((zxid, bytes, proposed_us)) = self.tail.pop(self.committed_to) {
            let (txn, digest) = Txn::decode(&bytes).expect("it was read before it was logged");
            let waiting = self.waiting_for(&txn.header, out);
            if waiting.is_some_and(|waiting| waiting.seal_before) && !entries.is_empty() {
                let entries = std::mem::take(&mut entries);
                runs.push(self.run(entries));
            }
            let outcome = txn::apply(&mut self.tree, &txn);
            if !self.compare(zxid, digest) {
                return self.diverge(out);
            }
            let mut answer = waiting.map(|waiting| (waiting.connection, waiting.answer));
            if txn.header.op == OpCode::CloseSession {
                let owner = self.owners.remove(txn.header.client_id);
                answer = answer.or_else(|| Some((owner?, Answer::Expired)));
            }
            let judged_us = waiting.map_or(proposed_us, |waiting| waiting.sent_us);
            entries.push(Entry { zxid, outcome, answer, judged_us, proposed_us });
            self.note_digest(zxid);
        }
        if !entries.is_empty() {
            runs.push(self.run(entries));
        }
        self.publish(runs, out);
    }

    fn run(&mut self, entries: Vec<Entry>) -> Run {
        Run { entries, root: self.tree.seal(), logged: Logged::default() }
    }

    /// Who waits for a transaction. Those who wait in vain in front of it are sent away.
    fn waiting_for(&mut self, header: &TxnHeader, out: &mut Output) -> Option<Waiting> {
        let (skipped, found) = self.pending.take(header)?;
        for Waiting { connection, .. } in skipped {
            out.tell(connection.shard, ToShard::Evict { connection });
        }
        Some(found)
    }

    /// Whether to go on with the tree, by what the leader says of it.
    fn compare(&mut self, zxid: Zxid, digest: Option<TxnDigest>) -> bool {
        let ours = self.tree.view().digest();
        let Some(TxnDigest { version: DIGEST_VERSION, digest }) = digest else { return true };
        if digest == ours as i64 {
            self.comparing = true;
            return true;
        }
        if !self.comparing {
            return true;
        }
        self.counters.digest_mismatches += 1;
        tracing::error!(
            "the tree differs from the leader's: after {zxid} it has digest {ours:x}, the leader \
             says {digest:x}"
        );
        !self.settings.leaves_on_mismatch
    }

    /// The tree is wrong: nobody is shown any more of it, and the leader is left.
    fn diverge(&mut self, out: &mut Output) {
        self.committed = self.tree.seal();
        out.jobs.push(Job::KeepEvidence(self.committed.clone()));
        self.step(Event::Diverged);
        self.carry_out(out);
    }
}

#[cfg(test)]
#[path = "learning_tests.rs"]
mod tests;
