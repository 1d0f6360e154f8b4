//! Sessions as the sequencer sees them: begun, taken over, expired, closed.
//!
//! Shards stamp sessions locally and hand them over now and then. So a deadline that has come says
//! little: before anything expires every shard is asked for what it has heard, and a session goes
//! only when all have answered. The clock by which sessions expire stands still while the server
//! does.
// ZooKeeper: SessionTrackerImpl.

use std::collections::BTreeMap;

use menagerie_engine::txn::InternalRequest;
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_replication::Event;
use menagerie_wire::data::Id;
use menagerie_wire::quorum::Touch;
use menagerie_wire::{SessionId, Xid};

use super::expiry::Expiry;
use super::leading::Asker;
use super::message::{ConnectionKey, ToShard};
use super::owners::Owner;
use super::publication::Answer;
use super::strangers::Stranger;
use super::{Now, Output, Part, Sequencer};

/// Ticks come every 50 ms. When one is so late, the server was stopped or starved, and its clients
/// could not be heard: sessions are not blamed for that time.
const ASLEEP_MS_MIN: u64 = 500;

impl Sequencer {
    /// Sessions that live.
    pub fn session_count(&self) -> usize {
        usize::try_from(self.tree.view().session_count()).unwrap_or(usize::MAX)
    }

    /// Sessions by the wall-clock time (ms) at which they would end. Only a leader knows.
    pub fn deadlines(&self, now: Now) -> BTreeMap<i64, Vec<SessionId>> {
        let awake_ms = now.monotonic_ms().saturating_sub(self.asleep_ms);
        let wall_ms = |deadline_ms: u64| {
            let ahead = deadline_ms.saturating_sub(awake_ms);
            now.wall_ms.saturating_add_unsigned(ahead)
        };
        self.expiry.sets().into_iter().map(|(at, sessions)| (wall_ms(at), sessions)).collect()
    }

    /// A leader begins: every session of the tree gets its full timeout.
    pub(super) fn begin_sessions(&mut self) {
        let awake_ms = self.awake_ms();
        self.expiry = Expiry::new(self.settings.tick_ms);
        if flaws::has(Flaw::SessionsNotInherited) {
            return;
        }
        for session in self.tree.view().sessions() {
            self.expiry.add(session.id(), session.timeout_ms(), awake_ms);
        }
    }

    /// The clock by which sessions expire.
    pub(super) const fn awake_ms(&self) -> u64 {
        self.now.monotonic_ms().saturating_sub(self.asleep_ms)
    }

    /// Whether nobody could be heard before this tick.
    pub(super) fn notice_sleep(&mut self) -> bool {
        let since_ms = self.now.monotonic_ms().saturating_sub(self.last_tick_ms);
        self.last_tick_ms = self.now.monotonic_ms();
        let was_asleep = since_ms > ASLEEP_MS_MIN;
        if was_asleep {
            tracing::warn!("nothing was heard for {since_ms} ms: sessions live so much longer");
            self.asleep_ms += since_ms;
        }
        was_asleep
    }

    /// When a session may be due: asks the shards whom they heard.
    pub(super) fn look_for_expiry(&mut self, out: &mut Output) {
        let awake_ms = self.awake_ms();
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
    ) {
        let session = self.new_session(connection, ids);
        let answer = Some((connection, Answer::Connected { session, timeout_ms }));
        self.open_session(session, Xid(0), timeout_ms, answer);
    }

    /// An id for a session that is about to begin, with its owner.
    pub(super) fn new_session(
        &mut self,
        connection: ConnectionKey,
        ids: Box<[Id<'static>]>,
    ) -> SessionId {
        let view = self.tree.view();
        let session = self.session_ids.next(|id| view.session(id).is_some());
        self.owners.take_over(session, Owner::here(connection, ids));
        session
    }

    pub(super) fn open_session(
        &mut self,
        session: SessionId,
        xid: Xid,
        timeout_ms: i32,
        answer: Asker,
    ) {
        self.expiry.add(session, timeout_ms, self.awake_ms());
        let request = InternalRequest::CreateSession { timeout_ms };
        self.execute_internal(session, xid, &request, answer);
    }

    pub(super) fn on_resume(
        &mut self,
        connection: ConnectionKey,
        session: SessionId,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
        out: &mut Output,
    ) {
        let shard = connection.shard;
        if self.tree.view().session(session).is_none() {
            // While its end is not committed, the next leader may still let it live.
            let ending = self.committed.view().session(session).is_some();
            if ending {
                out.tell(shard, ToShard::Evict { connection });
            } else {
                self.doubt(Stranger::Client(connection));
            }
            return;
        }
        if let Some(old) = self.owners.take_over(session, Owner::here(connection, ids)) {
            out.tell(old.shard, ToShard::Evict { connection: old });
        }
        self.expiry.add(session, timeout_ms, self.awake_ms());
        out.tell(shard, ToShard::Resumed { connection, session, timeout_ms });
    }

    /// What the shards have heard. A learner passes it on to its leader.
    pub(super) fn on_touched(&mut self, sessions: &[(SessionId, i32)], round: Option<u64>) {
        match self.part {
            Part::Idle => {}
            Part::Learning => {
                let touch =
                    |&(session, timeout_ms): &(SessionId, i32)| Touch { session, timeout_ms };
                self.step(Event::Touched(sessions.iter().map(touch).collect()));
            }
            Part::Leading => {
                let awake_ms = self.awake_ms();
                for &(session, timeout_ms) in sessions {
                    self.expiry.touch(session, timeout_ms, awake_ms);
                }
                self.end_round(round);
            }
        }
    }

    /// What a learner has heard.
    pub(super) fn on_touched_elsewhere(&mut self, touched: &[Touch]) {
        let awake_ms = self.awake_ms();
        if flaws::has(Flaw::TouchesOfLearnersLost) {
            return;
        }
        for touch in touched {
            self.expiry.touch(touch.session, touch.timeout_ms, awake_ms);
        }
    }

    /// A shard has said whom it heard; after the last one those go of whom nobody did.
    fn end_round(&mut self, round: Option<u64>) {
        let Some((current, waiting)) = self.collecting else { return };
        if round != Some(current) {
            return;
        }
        self.collecting = Some((current, waiting - 1));
        if waiting > 1 {
            return;
        }
        self.collecting = None;
        if self.stepping_down {
            return;
        }
        for session in self.expiry.expire_due(self.awake_ms()) {
            self.counters.sessions_expired += 1;
            tracing::info!("session {session} expired");
            self.close_session(session, Xid(0), None);
        }
    }

    /// Whoever speaks for the session here and did not ask for its end is disconnected by it.
    pub(super) fn close_session(&mut self, session: SessionId, xid: Xid, answer: Asker) {
        let owner = self.owners.remove(session);
        let answer = answer.or_else(|| Some((owner?, Answer::Expired)));
        self.expiry.remove(session);
        self.execute_internal(session, xid, &InternalRequest::CloseSession, answer);
    }
}
