//! What time does: PINGs, silence, and a disk that does not move.
//!
//! Heartbeats alone would let a leader reign over nothing: one whose own disk hangs, or whose
//! proposals find no quorum, still pings in time (ZOOKEEPER-2247). So a leader's liveness is also
//! the progress of its commits and of its own disk while proposals wait (design rule 8). Any
//! learner that is silent, or does not acknowledge, loses its connection, and with it its place in
//! the quorum; what is left is counted every tick.
//!
//! Facts: ZooKeeper `Leader.lead` (the loop), `LearnerHandler.ping`, `SyncLimitCheck`,
//! `tickOfNextAckDeadline`; the learner's socket timeouts. Apache's check of acknowledgements
//! looks at the age of the oldest proposal, this one at the time without progress.

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::ServerId;

use crate::effect::Effect;
use crate::event::Link;
use crate::fault::{Departure, Outcome, PeerFault};
use crate::following::{Following, Progress};
use crate::leading::{Leading, Learner, Phase, Stage};
use crate::member::Member;
use crate::packet::Packet;

// The leader's end.
impl Leading {
    /// The learner at `link` has said something.
    pub(crate) fn heard_of(&mut self, m: &Member, link: Link) {
        if let Some(learner) = self.learners.get_mut(&link) {
            let deadline_ms = match learner.stage {
                Stage::Aligned | Stage::Live => m.sync_deadline_ms(),
                _ => m.init_deadline_ms(),
            };
            learner.deadline_ms = learner.deadline_ms.max(deadline_ms);
        }
    }

    pub(crate) fn on_tick(&mut self, m: &mut Member) -> Outcome {
        if m.now_ms < self.half_tick_at_ms {
            return Ok(());
        }
        self.half_tick_at_ms = m.now_ms + m.settings.timeouts.half_tick_ms();
        self.half_ticks += 1;
        self.give_up_phase(m)?;
        self.cut_off(m);
        self.ping(m);
        if self.phase != Phase::Broadcasting {
            return Ok(());
        }
        self.watch_progress(m)?;
        let alone = self.half_ticks.is_multiple_of(2) && !self.has_quorum(m);
        if alone && !flaws::has(Flaw::LeadsWithoutQuorum) {
            return Err(Departure::QuorumLost);
        }
        Ok(())
    }

    fn give_up_phase(&self, m: &Member) -> Outcome {
        let late = m.now_ms >= self.phase_deadline_ms;
        match self.phase {
            Phase::Broadcasting => Ok(()),
            _ if !late => Ok(()),
            Phase::CollectingEpochs { .. } | Phase::AcceptingEpoch => Err(Departure::NoEpoch),
            Phase::CollectingAcks { .. } | Phase::EnteringEpoch => {
                Err(Departure::EpochNotAccepted(self.epoch))
            }
            Phase::Synchronizing { .. } => Err(Departure::NotSynchronized(self.epoch)),
        }
    }

    /// Closes what is silent or does not acknowledge.
    fn cut_off(&mut self, m: &mut Member) {
        let sync_ms = m.settings.timeouts.sync_ms();
        let owes = |since_ms: Option<u64>| since_ms.is_some_and(|at| m.now_ms - at >= sync_ms);
        let mut lost = Vec::new();
        for (link, learner) in &self.learners {
            if learner.deadline_ms <= m.now_ms {
                lost.push((*link, PeerFault::Silent));
            } else if owes(learner.owes_since_ms) {
                lost.push((*link, PeerFault::NoProgress));
            }
        }
        for (link, fault) in lost {
            self.close(m, link, fault);
        }
    }

    /// Learners that were sent NEWLEADER live from PINGs; only live ones answer, and are counted.
    fn ping(&mut self, m: &mut Member) {
        let zxid = self.broadcast.last_proposed();
        for (link, learner) in &mut self.learners {
            if learner.is_forwarded_to() {
                learner.pings_sent += u64::from(learner.stage == Stage::Live);
                m.send(*link, Packet::Ping { zxid });
            }
        }
    }

    fn watch_progress(&self, m: &Member) -> Outcome {
        let sync_ms = m.settings.timeouts.sync_ms();
        let disk_ms = m.log.waiting_ms(m.now_ms);
        let commit_ms = self.broadcast.waiting_ms(m.now_ms);
        if flaws::has(Flaw::ProgressNotWatched) {
            return Ok(());
        }
        if disk_ms >= sync_ms {
            return Err(Departure::DiskStuck { waiting_ms: disk_ms });
        }
        if commit_ms >= sync_ms {
            return Err(Departure::CommitStuck { waiting_ms: commit_ms });
        }
        Ok(())
    }

    /// Silent learners are closed before; whoever is connected counts, as with Apache.
    fn has_quorum(&self, m: &Member) -> bool {
        let connected = |id: ServerId| {
            let follows = |learner: &Learner| learner.follower_at(Stage::Introduced) == Some(id);
            id == m.settings.id || self.learners.values().any(follows)
        };
        m.settings.membership.quorum().agrees(connected)
    }
}

// The learner's end.
impl Following {
    /// The leader has said something, or this node has finished what it was waited for.
    // ZooKeeper: the socket's timeout is initLimit until NEWLEADER, syncLimit afterwards.
    pub(crate) fn heard_of_leader(&mut self, m: &Member) {
        self.deadline_ms = if m.log.is_rebuilding() {
            // The host watches that a stream moves.
            u64::MAX
        } else if self.progress < Progress::Aligned {
            m.init_deadline_ms()
        } else {
            m.sync_deadline_ms()
        };
    }

    pub(crate) fn next_at_ms(&self) -> u64 {
        self.connect_at_ms.map_or(self.deadline_ms, |at_ms| at_ms.min(self.deadline_ms))
    }

    pub(crate) fn on_tick(&mut self, m: &mut Member) -> Outcome {
        if m.now_ms >= self.deadline_ms {
            let silent_ms = if self.progress < Progress::Aligned {
                m.settings.timeouts.init_ms()
            } else {
                m.settings.timeouts.sync_ms()
            };
            return Err(Departure::LeaderSilent(self.leader, silent_ms));
        }
        if self.connect_at_ms.is_some_and(|at_ms| at_ms <= m.now_ms) {
            self.connect_at_ms = None;
            m.fx.push(Effect::Connect { leader: self.leader });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
