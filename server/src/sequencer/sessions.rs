//! Sessions as the sequencer sees them: begun, taken over, expired, closed.
//!
//! Shards stamp sessions locally and hand them over now and then. So a deadline that has come says
//! little: before anything expires every shard is asked for what it has heard, and a session goes
//! only when all have answered. The clock by which sessions expire stands still while the server
//! does.
// ZooKeeper: SessionTrackerImpl.

use std::collections::BTreeMap;

use menagerie_engine::txn::InternalRequest;
use menagerie_wire::data::Id;
use menagerie_wire::{SessionId, Xid};

use super::message::{ConnectionKey, ToShard};
use super::owners::{Claim, Owner};
use super::publication::Answer;
use super::{Now, Output, Sequencer};

/// Ticks come every 50 ms. When one is so late, the server was stopped or starved, and its clients
/// could not be heard: sessions are not blamed for that time.
const ASLEEP_MS_MIN: u64 = 500;

impl Sequencer {
    /// Sessions that live.
    pub fn session_count(&self) -> usize {
        self.expiry.len()
    }

    /// Sessions by the wall-clock time (ms) at which they would end.
    pub fn deadlines(&self, now: Now) -> BTreeMap<i64, Vec<SessionId>> {
        let wall_ms = |deadline_ms: u64| {
            let ahead = deadline_ms.saturating_sub(self.awake_ms(now));
            now.wall_ms.saturating_add_unsigned(ahead)
        };
        self.expiry.sets().into_iter().map(|(at, sessions)| (wall_ms(at), sessions)).collect()
    }

    /// The clock by which sessions expire.
    pub(super) const fn awake_ms(&self, now: Now) -> u64 {
        now.monotonic_ms.saturating_sub(self.asleep_ms)
    }

    /// When a session may be due: asks the shards whom they heard.
    pub(super) fn look_for_expiry(&mut self, now: Now, out: &mut Output) {
        let since_ms = now.monotonic_ms.saturating_sub(self.last_tick_ms);
        self.last_tick_ms = now.monotonic_ms;
        if since_ms > ASLEEP_MS_MIN {
            tracing::warn!("nothing was heard for {since_ms} ms: sessions live so much longer");
            self.asleep_ms += since_ms;
        }
        let awake_ms = self.awake_ms(now);
        if self.collecting.is_none()
            && self.expiry.next_deadline_ms().is_some_and(|due_ms| due_ms <= awake_ms)
        {
            self.rounds += 1;
            self.collecting = Some((self.rounds, self.settings.shards));
            for shard in 0..self.settings.shards {
                out.tell(shard, ToShard::CollectTouches { round: self.rounds });
            }
        }
    }

    pub(super) fn on_connect(
        &mut self,
        connection: ConnectionKey,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
        now: Now,
        out: &mut Output,
    ) {
        let view = self.tree.view();
        let session = self.session_ids.next(|id| view.session(id).is_some());
        self.owners.take_over(session, Owner { connection, ids });
        self.expiry.add(session, timeout_ms, self.awake_ms(now));
        let answer = Some((connection, Answer::Connected { session, timeout_ms }));
        let request = InternalRequest::CreateSession { timeout_ms };
        self.execute_internal(session, Xid(0), &request, answer, now, out);
    }

    pub(super) fn on_resume(
        &mut self,
        connection: ConnectionKey,
        session: SessionId,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
        now: Now,
        out: &mut Output,
    ) {
        let shard = connection.shard;
        if self.tree.view().session(session).is_none() {
            out.tell(shard, ToShard::Refused { connection });
            return;
        }
        if let Some(old) = self.owners.take_over(session, Owner { connection, ids }) {
            out.tell(old.shard, ToShard::Evict { connection: old });
        }
        self.expiry.add(session, timeout_ms, self.awake_ms(now));
        out.tell(shard, ToShard::Resumed { connection, session, timeout_ms });
    }

    /// Whether `connection` speaks for `session`; one that does not is closed.
    pub(super) fn admit(
        &self,
        session: SessionId,
        connection: ConnectionKey,
        out: &mut Output,
    ) -> bool {
        let admitted = self.owners.claim(session, connection) == Claim::Owner;
        if !admitted {
            out.tell(connection.shard, ToShard::Evict { connection });
        }
        admitted
    }

    pub(super) fn on_touched(
        &mut self,
        sessions: &[(SessionId, i32)],
        round: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        let awake_ms = self.awake_ms(now);
        for &(session, timeout_ms) in sessions {
            self.expiry.touch(session, timeout_ms, awake_ms);
        }
        let Some((current, waiting)) = self.collecting else { return };
        if round != Some(current) {
            return;
        }
        self.collecting = Some((current, waiting - 1));
        if waiting == 1 {
            self.collecting = None;
            for session in self.expiry.expire_due(awake_ms) {
                self.counters.sessions_expired += 1;
                tracing::info!("session {session} expired");
                let owner = self.owners.remove(session);
                let answer = owner.map(|connection| (connection, Answer::Expired));
                self.close_session(session, Xid(0), answer, now, out);
            }
        }
    }

    pub(super) fn close_session(
        &mut self,
        session: SessionId,
        xid: Xid,
        answer: Option<(ConnectionKey, Answer)>,
        now: Now,
        out: &mut Output,
    ) {
        self.owners.remove(session);
        self.expiry.remove(session);
        let request = InternalRequest::CloseSession;
        self.execute_internal(session, xid, &request, answer, now, out);
    }
}
