//! `sync`: when a leader may say that whoever asked has seen everything.
//!
//! Apache answers when what was proposed at the arrival of a `sync` is committed. A leader that was
//! replaced, and does not know it yet, then answers too soon. Here a quorum, this server included,
//! must also have answered a PING that was sent after the arrival: each of them still followed
//! this leader then, so no other one had a quorum for a newer epoch, and nothing that was committed
//! before the arrival can be missing. No lease and no clock is needed, and Apache's learners take
//! part without knowing. The acknowledgement of a proposal that was made after the arrival says
//! the same as such an answer.
//!
//! Apache's learners find the request that a SYNC or a COMMIT answers only in the order in which
//! they sent them on; one out of order and none of their clients is answered any more. So a SYNC is
//! behind the commit of all that was proposed before its arrival, and before the commit of
//! anything that was proposed after: by then a quorum has acknowledged that.
//!
//! Syncs that arrive while a round of PINGs is out wait for the next: one round answers them all.
//! Answers are counted per connection, because they come in order; PINGs sent before UPTODATE are
//! not counted, because learners do not answer those.
//!
//! Facts: ZooKeeper `CommitProcessor.run`, `Leader.processSync`, `tryToCommit`.

use std::collections::{BTreeMap, VecDeque};

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{SessionId, Xid, Zxid};

use crate::effect::Effect;
use crate::event::Link;
use crate::fault::{PeerFault, Verdict};
use crate::leading::{Leading, Stage};
use crate::member::Member;
use crate::packet::{ForwardedRequest, Packet};

/// Syncs of one learner that wait for their answer; one that asks for more is cut off.
const SYNCS_MAX: u32 = 1 << 16;

#[derive(Clone, Copy, Debug)]
enum Asker {
    Own(SessionId, Xid),
    Learner(Link),
}

/// One `sync`, and the last proposal when it arrived.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    asker: Asker,
    after: Zxid,
}

/// The syncs of a leader, in the order of their arrival: `confirmed`, then the round's, then
/// `waiting`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Barrier {
    /// A quorum has answered; only commits are missing.
    confirmed: VecDeque<Ticket>,
    round: Option<Round>,
    waiting: Vec<Ticket>,
}

#[derive(Clone, Debug)]
struct Round {
    tickets: Vec<Ticket>,
    /// How many PINGs must be answered on each link. On one that was not live then, any is newer.
    answers_due: BTreeMap<Link, u64>,
}

impl Barrier {
    /// A quorum has acknowledged a proposal, and with it every sync that had arrived before.
    pub(crate) fn confirm_before(&mut self, proposal: Zxid) {
        let in_round = self.round.iter_mut().map(|round| &mut round.tickets);
        for tickets in in_round.chain([&mut self.waiting]) {
            let end = tickets.partition_point(|ticket| ticket.after < proposal);
            self.confirmed.extend(tickets.drain(..end));
        }
    }

    /// The last proposal before the oldest sync that is confirmed.
    pub(crate) fn oldest_confirmed(&self) -> Option<Zxid> {
        self.confirmed.front().map(|ticket| ticket.after)
    }

    pub(crate) fn pending(&self) -> usize {
        let in_round = self.round.as_ref().map_or(0, |round| round.tickets.len());
        self.confirmed.len() + in_round + self.waiting.len()
    }
}

impl Leading {
    /// A client of this server asks.
    pub(crate) fn on_own_sync(&mut self, m: &mut Member, request: &ForwardedRequest) {
        self.on_sync(m, Asker::Own(request.session, request.cxid));
    }

    pub(crate) fn on_learner_sync(&mut self, m: &mut Member, link: Link) -> Verdict {
        let learner = self.live(link)?;
        if learner.syncs == SYNCS_MAX {
            return Err(PeerFault::TooManySyncs);
        }
        learner.syncs += 1;
        self.on_sync(m, Asker::Learner(link));
        Ok(())
    }

    fn on_sync(&mut self, m: &mut Member, asker: Asker) {
        self.barrier.waiting.push(Ticket { asker, after: self.broadcast.last_proposed() });
        if self.barrier.round.is_none() {
            self.begin_round(m);
            self.check_round(m);
        }
    }

    fn begin_round(&mut self, m: &mut Member) {
        let tickets = std::mem::take(&mut self.barrier.waiting);
        let zxid = self.broadcast.last_proposed();
        let mut answers_due = BTreeMap::new();
        for (link, learner) in &mut self.learners {
            if learner.follower_at(Stage::Live).is_some() {
                learner.pings_sent += 1;
                answers_due.insert(*link, learner.pings_sent);
                m.send(*link, Packet::Ping { zxid });
            }
        }
        self.barrier.round = Some(Round { tickets, answers_due });
    }

    /// Ends the round when a quorum has answered, and begins the next if there is need.
    fn check_round(&mut self, m: &mut Member) {
        while let Some(round) = &self.barrier.round {
            let answered = |id| {
                id == m.settings.id
                    || self.learners.iter().any(|(link, learner)| {
                        let due = round.answers_due.get(link).map_or(1, |due| *due);
                        learner.follower_at(Stage::Live) == Some(id)
                            && learner.pings_answered >= due
                    })
            };
            let confirmed = m.settings.membership.quorum().agrees(answered);
            if !confirmed && !flaws::has(Flaw::SyncWithoutQuorum) {
                return;
            }
            let round = self.barrier.round.take();
            self.barrier.confirmed.extend(round.into_iter().flat_map(|round| round.tickets));
            self.release(m, self.broadcast.last_committed());
            if !self.barrier.waiting.is_empty() {
                self.begin_round(m);
            }
        }
    }

    /// Answers what is confirmed, when `committed` is what the learners were told of. The answer
    /// is behind the commits in each stream.
    pub(crate) fn release(&mut self, m: &mut Member, committed: Zxid) {
        while self.barrier.confirmed.front().is_some_and(|ticket| ticket.after <= committed) {
            let Some(ticket) = self.barrier.confirmed.pop_front() else { return };
            match ticket.asker {
                Asker::Own(session, cxid) => m.fx.push(Effect::Synced { session, cxid }),
                Asker::Learner(link) => {
                    if let Some(learner) = self.learners.get_mut(&link) {
                        learner.syncs -= 1;
                        m.send(link, Packet::Sync);
                    }
                }
            }
        }
    }

    pub(crate) fn on_ping_reply(
        &mut self,
        m: &mut Member,
        link: Link,
        touched: Vec<Touch>,
    ) -> Verdict {
        let learner = self.live(link)?;
        learner.pings_answered = learner.pings_sent.min(learner.pings_answered + 1);
        if !touched.is_empty() {
            m.fx.push(Effect::Touched { touched });
        }
        self.check_round(m);
        Ok(())
    }
}

#[cfg(test)]
#[path = "barrier_tests.rs"]
mod tests;
