//! Discovery: the elected leader and a quorum agree on a new epoch.
//!
//! ```text
//! learner                                    leader
//! FOLLOWERINFO(acceptedEpoch)  →
//!                                            a quorum, itself included, has spoken:
//!                                            epoch := 1 + highest acceptedEpoch, on disk
//!                              ←  LEADERINFO(epoch)
//! acceptedEpoch := epoch, on disk
//! ACKEPOCH(last zxid, currentEpoch)  →
//!                                            nobody of the quorum is ahead of the leader;
//!                                            currentEpoch := epoch, on disk
//! ```
//!
//! That two leaders never lead in one epoch is decided here: an epoch is promised by a quorum, on
//! disk, to the one leader that asked first. A learner that has promised it already says so (-1)
//! and does not count again. The leader's own promise goes to its disk before anyone hears of the
//! epoch.
//!
//! A server that promised a later epoch to a leader that came to nothing can follow no leader of an
//! earlier one. Apache leaves it outside until something else ends the reign (ZOOKEEPER-335); here
//! the leader resigns when such a server asks, and the next epoch is above its promise. This cannot
//! be used to unseat leaders: nobody's acceptedEpoch rises without a quorum.
//!
//! Facts: ZooKeeper `Leader.getEpochToPropose`, `waitForEpochAck`, `LearnerHandler.run`,
//! `Learner.registerWithLeader`.

use std::collections::BTreeSet;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::notification::ServerState;
use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::ballot::Heard;
use crate::broadcast::Broadcast;
use crate::effect::Effect;
use crate::event::{Epochs, Link};
use crate::fault::{Departure, Outcome, PeerFault, Verdict};
use crate::following::{Following, Progress};
use crate::leading::{Leading, Learner, Phase, Stage};
use crate::member::Member;
use crate::packet::Packet;
use crate::settings::Settings;

/// Epochs are positive 31-bit numbers; one at the end of that range comes from no honest server.
const EPOCH_MAX: Epoch = Epoch(i32::MAX as u32 - 1);

/// What FOLLOWERINFO and OBSERVERINFO say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeting {
    pub(crate) observer: bool,
    pub(crate) accepted_epoch: Epoch,
    pub(crate) sid: ServerId,
    pub(crate) config_version: Zxid,
}

impl Greeting {
    /// Whether its sender may be what it says it is.
    // ZooKeeper: LearnerHandler.run refuses a newer configuration; unknown ids it lets in.
    fn check(&self, settings: &Settings) -> Verdict {
        let (sid, membership) = (self.sid, &settings.membership);
        let fits =
            if self.observer { membership.is_observer(sid) } else { membership.is_voter(sid) };
        if !fits || sid == settings.id {
            return Err(PeerFault::NotAMember(sid));
        }
        let (its, ours) = (self.config_version, membership.version());
        // With counter 0 it names the members that the ensemble began with: nothing has changed
        // since, and that we have not heard of it is no reason to be without a learner.
        if its > ours && its.counter() != 0 {
            return Err(PeerFault::NewerConfig { its, ours });
        }
        if self.accepted_epoch > EPOCH_MAX {
            return Err(PeerFault::EpochOutOfRange(self.accepted_epoch));
        }
        Ok(())
    }
}

// The leader's end.
impl Leading {
    pub(crate) fn on_learner_info(
        &mut self,
        m: &mut Member,
        link: Link,
        greeting: Greeting,
    ) -> Verdict {
        if self.learner(link)?.stage != Stage::Strange {
            return Err(PeerFault::Unexpected);
        }
        greeting.check(&m.settings)?;
        let Greeting { observer, accepted_epoch, sid, .. } = greeting;
        let same =
            |(other, learner): (&Link, &Learner)| (learner.sid == Some(sid)).then_some(*other);
        if let Some(old) = self.learners.iter().find_map(same) {
            self.close(m, old, PeerFault::Replaced);
        }
        let learner = self.learner(link)?;
        learner.sid = Some(sid);
        learner.observer = observer;
        learner.stage = Stage::Introduced;
        match self.phase {
            Phase::CollectingEpochs { .. } => self.on_epoch(m, sid, accepted_epoch),
            _ if accepted_epoch > self.epoch => {
                let (accepted, epoch) = (accepted_epoch, self.epoch);
                self.resign(m, Departure::EpochSurpassed { sid, accepted, epoch });
            }
            Phase::AcceptingEpoch => {}
            _ => self.offer(m, link),
        }
        Ok(())
    }

    /// `sid` has accepted `accepted_epoch`; once a quorum has said the like, the epoch is decided.
    // ZooKeeper: Leader.getEpochToPropose. Observers raise the epoch, but do not decide it.
    pub(crate) fn on_epoch(&mut self, m: &mut Member, sid: ServerId, accepted_epoch: Epoch) {
        let Phase::CollectingEpochs { heard, highest, lost } = &mut self.phase else { return };
        *highest = (*highest).max(accepted_epoch);
        heard.insert(sid);
        lost.remove(&sid);
        let own = m.settings.id;
        let quorum = m.settings.membership.quorum();
        let exhausted = *highest > EPOCH_MAX;
        if heard.contains(&own) && quorum.agrees(|id| heard.contains(&id)) && !exhausted {
            self.epoch = highest.next();
            self.phase = Phase::AcceptingEpoch;
            self.phase_deadline_ms = m.init_deadline_ms();
            let epochs = Epochs { accepted: self.epoch, ..m.log.epochs() };
            m.log.save_epochs(epochs, &mut m.fx);
        }
    }

    /// A voter that is not here says it looks for a leader. When too few are left that may still
    /// come, this election has failed, and waiting for initLimit would only keep the others
    /// waiting.
    // ZooKeeper: LeaderElection's maxTimeToWaitForEpoch serves the same end.
    pub(crate) fn on_vote(&mut self, m: &Member, from: ServerId, heard: Heard) -> Outcome {
        let Phase::CollectingEpochs { heard: here, lost, .. } = &mut self.phase else {
            return Ok(());
        };
        let late = heard.vote == m.election.current();
        if heard.state != ServerState::Looking || late || here.contains(&from) {
            return Ok(());
        }
        lost.insert(from);
        let may_come = |id| here.contains(&id) || !(lost.contains(&id) || m.election.is_down(id));
        if m.settings.membership.quorum().agrees(may_come) {
            return Ok(());
        }
        Err(Departure::Deserted)
    }

    /// One of the two promises of this server itself is durable.
    pub(crate) fn on_epoch_saved(&mut self, m: &mut Member) {
        assert!(m.log.epochs().accepted == self.epoch, "the epoch to lead in is accepted");
        match self.phase {
            Phase::AcceptingEpoch => {
                self.phase = Phase::CollectingAcks { acked: BTreeSet::from([m.settings.id]) };
                self.phase_deadline_ms = m.init_deadline_ms();
                for link in self.links_at(Stage::Introduced) {
                    self.offer(m, link);
                }
                self.on_epoch_accepted(m);
            }
            Phase::EnteringEpoch => {
                self.phase = Phase::Synchronizing { acked: BTreeSet::from([m.settings.id]) };
                self.phase_deadline_ms = m.init_deadline_ms();
                self.broadcast = Broadcast::new(Zxid::new(self.epoch, 0));
                for link in self.links_at(Stage::Accepted) {
                    self.synchronize(m, link);
                }
                self.establish(m);
            }
            _ => unreachable!("epochs are saved in two phases only"),
        }
    }

    fn links_at(&self, stage: Stage) -> Vec<Link> {
        let at = |(link, learner): (&Link, &Learner)| (learner.stage == stage).then_some(*link);
        self.learners.iter().filter_map(at).collect()
    }

    fn offer(&mut self, m: &mut Member, link: Link) {
        let epoch = self.epoch;
        if let Ok(learner) = self.learner(link) {
            learner.stage = Stage::Offered;
            m.send(link, Packet::LeaderInfo { epoch });
        }
    }

    // ZooKeeper: Leader.waitForEpochAck. -1 is no vote, and exempt from the comparison.
    pub(crate) fn on_ack_epoch(
        &mut self,
        m: &mut Member,
        link: Link,
        last_zxid: Zxid,
        current_epoch: Option<Epoch>,
    ) -> Verdict {
        let own = self.own;
        let learner = self.learner(link)?;
        if learner.stage != Stage::Offered {
            return Err(PeerFault::Unexpected);
        }
        learner.last_zxid = last_zxid;
        learner.stage = Stage::Accepted;
        let voter = learner.follower_at(Stage::Accepted);
        match &mut self.phase {
            Phase::CollectingAcks { acked } => {
                let Some(epoch) = current_epoch else { return Ok(()) };
                if (epoch, last_zxid) > own {
                    return Err(PeerFault::Ahead { epoch, zxid: last_zxid });
                }
                acked.extend(voter);
                self.on_epoch_accepted(m);
            }
            Phase::EnteringEpoch => {}
            _ => self.synchronize(m, link),
        }
        Ok(())
    }

    fn on_epoch_accepted(&mut self, m: &mut Member) {
        let Phase::CollectingAcks { acked } = &self.phase else { return };
        if m.settings.membership.quorum().agrees(|id| acked.contains(&id)) {
            self.phase = Phase::EnteringEpoch;
            self.phase_deadline_ms = m.init_deadline_ms();
            let epochs = Epochs { accepted: self.epoch, current: self.epoch };
            m.log.save_epochs(epochs, &mut m.fx);
        }
    }
}

// The learner's end.
impl Following {
    pub(crate) fn on_connected(&mut self, m: &mut Member, leader: ServerId, link: Link) {
        if leader != self.leader || self.progress != Progress::Connecting {
            m.fx.push(Effect::Close { link, fault: None });
            return;
        }
        self.link = Some(link);
        self.connect_at_ms = None;
        self.progress = Progress::Introduced;
        let info = Packet::LearnerInfo {
            observer: self.observer,
            accepted_epoch: m.log.epochs().accepted,
            sid: m.settings.id,
            // What a restart would forget is not claimed: a leader of Apache's refuses whoever has
            // a later version than its own.
            config_version: m.settings.membership.configured(),
        };
        self.send(m, info);
    }

    // ZooKeeper: Learner.connectToLeader.
    pub(crate) fn on_connect_failed(&mut self, m: &Member) -> Outcome {
        if self.progress != Progress::Connecting {
            return Ok(());
        }
        if self.attempts >= m.settings.timeouts.connect_attempts_max {
            return Err(Departure::LeaderUnreachable(self.leader));
        }
        let wait_ms = m.settings.timeouts.connect_retry_ms(self.attempts);
        self.attempts += 1;
        self.connect_at_ms = Some(m.now_ms + wait_ms);
        Ok(())
    }

    // ZooKeeper: Learner.registerWithLeader.
    pub(crate) fn on_leader_info(&mut self, m: &mut Member, epoch: Epoch) -> Verdict {
        let epochs = m.log.epochs();
        if self.progress != Progress::Introduced {
            return Err(PeerFault::Unexpected);
        }
        if epoch > EPOCH_MAX {
            return Err(PeerFault::EpochOutOfRange(epoch));
        }
        if epoch < epochs.accepted {
            let (offered, accepted) = (epoch, epochs.accepted);
            return Err(PeerFault::EpochBehind { offered, accepted });
        }
        self.epoch = epoch;
        if epoch == epochs.accepted {
            self.ack_epoch(m, None);
        } else {
            self.progress = Progress::AcceptingEpoch;
            m.log.save_epochs(Epochs { accepted: epoch, ..epochs }, &mut m.fx);
        }
        Ok(())
    }

    /// acceptedEpoch or currentEpoch is durable: what waited for it is said.
    pub(crate) fn on_epoch_saved(&mut self, m: &mut Member) {
        match self.progress {
            Progress::AcceptingEpoch => {
                let current = m.log.epochs().current;
                self.ack_epoch(m, Some(current));
            }
            Progress::EnteringEpoch => self.on_epoch_entered(m),
            _ => unreachable!("a learner saves epochs in two stages only"),
        }
    }

    fn ack_epoch(&mut self, m: &mut Member, current_epoch: Option<Epoch>) {
        assert!(m.log.epochs().accepted == self.epoch, "acceptedEpoch is durable before ACKEPOCH");
        assert!(m.log.is_quiet(), "what ACKEPOCH says is durable");
        self.progress = Progress::Accepted;
        // No history reaches back to NONE: every leader, Apache's too, answers with SNAP. But a
        // vote must say what its sender has: a leader that lacks it could begin a reign otherwise.
        let is_vote = current_epoch.is_some();
        let asks_for_all = (m.diverged || m.uncut) && !is_vote;
        let mut last_zxid = if asks_for_all { Zxid::NONE } else { m.log.durable() };
        if flaws::has(Flaw::StandsForMemory) {
            last_zxid = m.committed;
        }
        self.send(m, Packet::AckEpoch { last_zxid, current_epoch });
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
