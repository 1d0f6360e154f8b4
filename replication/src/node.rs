//! One member of an ensemble: its role, and the one door through which it learns anything.
//!
//! Roles are data, phases are code: [`Node::step`] looks at the role and hands the event to the
//! phase that it belongs to. What outlives the roles, log and election, is moved first.
//!
//! Between two roles lies a drain (design rules 2, 3): nothing is under way on the disk when the
//! first vote is cast, so the vote says what is durable, and no completion can reach a role that
//! did not ask for it.
//!
//! Apache's standalone server goes on counting in the epoch of its log; so does a node that is a
//! quorum of one by configuration, which needs no election to know its leader.

use std::sync::Arc;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::ballot::Heard;
use crate::effect::{Effect, Effects};
use crate::election::Election;
use crate::event::{Epochs, Event, Link, Recovered};
use crate::fault::{Departure, Outcome, PeerFault};
use crate::following::{Following, Progress};
use crate::history::HistoryLimits;
use crate::leading::{Leading, Phase, Stage};
use crate::log::Log;
use crate::member::Member;
use crate::membership::Membership;
use crate::settings::Settings;
use crate::timeouts::Timeouts;

/// What a node is at the moment.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Recovery is not over.
    Unstarted,
    /// A role has ended, and the disk is not idle yet.
    Draining {
        /// The leader to whom it goes back then, without looking for one.
        back_to: Option<ServerId>,
    },
    /// No leader is known; nothing is served.
    Looking,
    /// As follower or observer.
    Following(Box<Following>),
    Leading(Box<Leading>),
    /// The disk has failed, or the node is unfit to lead.
    Halted,
}

/// The role, as others may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Looking,
    Following,
    Observing,
    Leading,
}

/// The machine of one member.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) member: Member,
    pub(crate) state: State,
    /// Whether it is its own ensemble by configuration.
    pub(crate) alone: bool,
    /// Roles that have ended.
    pub(crate) generation: u64,
}

impl Node {
    /// A member of an ensemble.
    pub fn new(settings: Settings) -> Self {
        let log = Log::empty(settings.history);
        let (election, committed) = (Election::new(), Zxid::ZERO);
        let (now_ms, fx) = (0, Effects::new());
        let (diverged, uncut) = (false, false);
        let member = Member { settings, log, election, committed, diverged, uncut, now_ms, fx };
        Self { member, state: State::Unstarted, alone: false, generation: 0 }
    }

    /// A server that is its own ensemble. Nobody will ever need its history.
    pub fn standalone(id: ServerId) -> Self {
        let membership = Membership::new(vec![id], Vec::new(), Arc::from(""), Zxid::ZERO);
        let history = HistoryLimits { txns_max: 0, bytes_max: 0 };
        let timeouts = Timeouts::default();
        // There is no other epoch to go to.
        let resign_at_counter = u32::MAX;
        let settings = Settings { id, membership, timeouts, history, resign_at_counter };
        Self { alone: true, ..Self::new(settings) }
    }

    pub const fn id(&self) -> ServerId {
        self.member.settings.id
    }

    pub fn role(&self) -> Role {
        match &self.state {
            State::Following(following) if following.observer => Role::Observing,
            State::Following(_) => Role::Following,
            State::Leading(_) => Role::Leading,
            State::Unstarted | State::Draining { .. } | State::Looking | State::Halted => {
                Role::Looking
            }
        }
    }

    /// Whether clients may be served: the reign is established, and this node is part of it.
    pub fn is_serving(&self) -> bool {
        match &self.state {
            State::Following(following) => following.progress == Progress::Live,
            State::Leading(leading) => leading.phase == Phase::Broadcasting,
            _ => false,
        }
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<ServerId> {
        match &self.state {
            State::Following(following) => Some(following.leader),
            State::Leading(_) => Some(self.id()),
            _ => None,
        }
    }

    /// Everything up to here is known to be on the disks of a quorum.
    pub const fn last_committed(&self) -> Zxid {
        self.member.committed
    }

    /// Everything up to here is on this node's disk.
    pub const fn last_logged(&self) -> Zxid {
        self.member.log.durable()
    }

    /// The two epochs as they are on this node's disk.
    pub const fn epochs(&self) -> Epochs {
        self.member.log.epochs()
    }

    /// Followers and observers that a leader has brought up to date. ZooKeeper:
    /// `synced_followers`, `synced_observers`.
    pub fn synced(&self) -> (usize, usize) {
        let State::Leading(leading) = &self.state else { return (0, 0) };
        let live = || leading.learners.values().filter(|learner| learner.stage == Stage::Live);
        let observers = live().filter(|learner| learner.observer).count();
        (live().count() - observers, observers)
    }

    /// Connections of servers that want to learn from this leader. ZooKeeper: `learners`.
    pub fn learners(&self) -> usize {
        if let State::Leading(leading) = &self.state { leading.learners.len() } else { 0 }
    }

    /// `sync`s that this leader has not answered. ZooKeeper: `pending_syncs`.
    pub fn pending_syncs(&self) -> usize {
        if let State::Leading(leading) = &self.state { leading.barrier.pending() } else { 0 }
    }

    /// Whether its tree is known to be wrong, until a leader's has taken its place.
    pub const fn is_diverged(&self) -> bool {
        self.member.diverged
    }

    pub const fn membership(&self) -> &Membership {
        &self.member.settings.membership
    }

    /// Whether it is its own ensemble by configuration.
    pub const fn is_alone(&self) -> bool {
        self.alone
    }

    /// When [`Event::Tick`] is due, on the clock of `now_ms`.
    pub fn deadline_ms(&self) -> Option<u64> {
        match &self.state {
            State::Looking => self.member.election.deadline_ms(),
            State::Following(following) => Some(following.next_at_ms()).filter(|at| *at < u64::MAX),
            State::Leading(leading) if !self.alone => Some(leading.half_tick_at_ms),
            _ => None,
        }
    }

    /// Takes one event and appends what must be done about it to `fx`.
    ///
    /// # Panics
    /// When an event breaks a rule that its sender, our own code, must keep: proposals out of
    /// order, a proposal to a node that does not lead, a completion of nothing.
    pub fn step(&mut self, event: Event, now_ms: u64, fx: &mut Effects) {
        if matches!(self.state, State::Halted) {
            return;
        }
        self.member.now_ms = now_ms;
        std::mem::swap(&mut self.member.fx, fx);
        if let Err(reason) = self.on_event(event) {
            self.leave(reason);
        }
        std::mem::swap(&mut self.member.fx, fx);
    }

    fn on_event(&mut self, event: Event) -> Outcome {
        self.move_log(&event);
        match event {
            Event::Started(recovered) => {
                self.on_started(recovered);
                Ok(())
            }
            Event::Drained { generation, last_logged, epochs } => {
                self.on_drained(generation, last_logged, epochs);
                Ok(())
            }
            Event::DiskFailed => Err(Departure::DiskFailed),
            Event::Diverged => self.on_diverged(),
            Event::CannotCut { to } => self.on_cannot_cut(to),
            Event::Notified { from, state, vote, version } => {
                self.on_notified(from, Heard { vote, state, version })
            }
            Event::ConfigHeard { text } => {
                if !matches!(self.state, State::Following(_) | State::Leading(_)) {
                    self.member.settings.membership.adopt(&text);
                }
                Ok(())
            }
            Event::ElectionLinkUp { peer } => {
                self.member.on_link_up(peer);
                Ok(())
            }
            Event::ElectionLinkDown { peer } => {
                let won = self.member.on_link_down(peer);
                self.elected(won);
                Ok(())
            }
            Event::Tick => self.on_tick(),
            Event::Accepted { .. } | Event::Closed { .. } | Event::Received { .. } => {
                self.on_link(event)
            }
            event => self.on_role_event(event),
        }
    }

    /// A completion moves the durable index, whatever has become of the role that asked for it.
    fn move_log(&mut self, event: &Event) {
        let Member { log, now_ms, .. } = &mut self.member;
        match *event {
            Event::Logged { zxid } => log.on_logged(zxid, *now_ms),
            Event::EpochSaved { epochs } => log.on_epoch_saved(epochs),
            Event::Truncated { last_logged } => log.on_truncated(last_logged),
            Event::CannotCut { to } => {
                log.on_not_cut(to);
                self.member.uncut = true;
            }
            Event::Installed { zxid } => {
                log.on_installed(zxid);
                (self.member.diverged, self.member.uncut) = (false, false);
            }
            _ => {}
        }
    }

    fn on_cannot_cut(&self, to: Zxid) -> Outcome {
        let State::Following(following) = &self.state else { return Ok(()) };
        Err(Departure::CannotCut(following.leader, to))
    }

    fn on_diverged(&mut self) -> Outcome {
        let State::Following(following) = &self.state else { return Ok(()) };
        self.member.diverged = true;
        Err(Departure::Diverged(following.leader))
    }

    fn on_started(&mut self, recovered: Recovered) {
        assert!(matches!(self.state, State::Unstarted), "a node starts once");
        self.member.log = Log::new(self.member.settings.history, recovered);
        if self.alone {
            let leading = Leading::alone(&mut self.member);
            self.state = State::Leading(Box::new(leading));
        } else {
            self.look();
        }
    }

    fn on_drained(&mut self, generation: u64, last_logged: Zxid, epochs: Epochs) {
        let State::Draining { back_to } = self.state else {
            panic!("only a role that ended is drained")
        };
        assert!(generation == self.generation, "drain {generation} of {}", self.generation);
        self.member.log.on_drained(last_logged, epochs);
        match back_to {
            None => self.look(),
            Some(leader) => self.follow(leader),
        }
    }

    fn look(&mut self) {
        let Member { log, committed, .. } = &self.member;
        assert!(log.is_quiet(), "nothing is in flight before the first vote");
        self.state = State::Looking;
        let (mut last, current) = (log.durable(), log.epochs().current);
        if flaws::has(Flaw::StandsForMemory) {
            last = *committed;
        }
        let won = self.member.begin_search(last, current);
        self.elected(won);
    }

    fn elected(&mut self, won: Option<Vote>) {
        let Some(vote) = won else { return };
        let member = &mut self.member;
        member.end_search(vote);
        if vote.leader != member.settings.id {
            return self.follow(vote.leader);
        }
        if member.diverged {
            // The vote is right, as the log is. What would be made of the tree is not.
            return self.leave(Departure::Unfit);
        }
        // What was not to be cut is what all others get now.
        member.uncut = false;
        self.state = State::Leading(Box::new(Leading::elected(member)));
    }

    fn follow(&mut self, leader: ServerId) {
        let following = Following::elected(&mut self.member, leader);
        self.state = State::Following(Box::new(following));
    }

    fn on_notified(&mut self, from: ServerId, heard: Heard) -> Outcome {
        let member = &mut self.member;
        match &mut self.state {
            State::Unstarted | State::Draining { .. } => member.keep_word(from, heard),
            State::Looking => {
                let won = member.on_notification(from, heard);
                self.elected(won);
            }
            State::Following(_) => member.answer(ServerState::Following, from, heard),
            State::Leading(leading) => {
                member.answer(ServerState::Leading, from, heard);
                return leading.on_vote(member, from, heard);
            }
            State::Halted => {}
        }
        Ok(())
    }

    fn on_tick(&mut self) -> Outcome {
        let member = &mut self.member;
        match &mut self.state {
            State::Looking => {
                let won = member.on_search_tick();
                self.elected(won);
                Ok(())
            }
            State::Following(following) => following.on_tick(member),
            State::Leading(leading) if !self.alone => leading.on_tick(member),
            _ => Ok(()),
        }
    }

    fn on_link(&mut self, event: Event) -> Outcome {
        let member = &mut self.member;
        match (&mut self.state, event) {
            (State::Leading(leading), Event::Accepted { link }) => {
                leading.on_accepted(member, link);
            }
            (_, Event::Accepted { link }) => {
                member.fx.push(Effect::Close { link, fault: Some(PeerFault::NotLeading) });
            }
            (State::Leading(leading), Event::Closed { link }) => {
                leading.on_closed(link);
            }
            (State::Following(following), Event::Closed { link })
                if following.link == Some(link) =>
            {
                following.link = None;
                return Err(Departure::LeaderGone(following.leader));
            }
            (State::Leading(leading), Event::Received { link, packet }) => {
                return leading.on_received(member, link, packet);
            }
            (State::Following(following), Event::Received { link, packet }) => {
                return following.on_received(member, link, packet);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_role_event(&mut self, event: Event) -> Outcome {
        let member = &mut self.member;
        match &mut self.state {
            State::Leading(leading) => leading.on_event(member, event),
            State::Following(following) => following.on_event(member, event),
            _ => {
                match event {
                    Event::Connected { link, .. } => {
                        member.fx.push(Effect::Close { link, fault: None });
                    }
                    Event::Propose { zxid, .. } => {
                        panic!("{zxid} is proposed to a node that does not lead");
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// The role is over: nothing is served, every connection ends, the disk comes to rest.
    fn leave(&mut self, reason: Departure) {
        let fx = &mut self.member.fx;
        fx.push(Effect::StopServing { reason });
        let fault = match reason {
            Departure::LeaderMisbehaved(_, fault) => Some(fault),
            _ => None,
        };
        match &self.state {
            State::Leading(leading) => {
                fx.extend(leading.learners.keys().map(|link| close(*link, None)));
                fx.push(Effect::StopListening);
            }
            State::Following(following) => {
                fx.extend(following.link.map(|link| close(link, fault)));
            }
            _ => {}
        }
        if matches!(reason, Departure::DiskFailed | Departure::Unfit) {
            self.state = State::Halted;
            fx.push(Effect::Halt);
            return;
        }
        self.state = State::Draining { back_to: back_to(reason) };
        self.generation += 1;
        fx.push(Effect::Drain { generation: self.generation });
    }

    /// The epoch of the reign this node belongs to, once it is decided.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.state {
            State::Following(following) => Some(following.epoch),
            State::Leading(leading) => Some(leading.epoch),
            _ => None,
        }
    }
}

/// Whom a learner asks for the snapshot that it cannot do without: its log could not be cut, or its
/// tree is wrong. In the reign that it has voted for it need not say again what it has; in the next
/// one it would have to, and where its vote is needed for that there would be one reign after the
/// other without end.
const fn back_to(reason: Departure) -> Option<ServerId> {
    match reason {
        Departure::CannotCut(leader, _) | Departure::Diverged(leader) => Some(leader),
        _ => None,
    }
}

const fn close(link: Link, fault: Option<PeerFault>) -> Effect {
    Effect::Close { link, fault }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
