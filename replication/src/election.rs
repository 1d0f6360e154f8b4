//! Fast leader election: who is to lead, by the word of a quorum.
//!
//! Every voter proposes itself, with its epoch and its last durable zxid, and changes to any better
//! proposal that it hears; when a quorum proposes the same, that is the leader. Rounds keep the
//! votes of one attempt apart from those of an earlier one. A server that comes late finds the
//! others settled: a quorum of them names the leader, and the leader itself must be one of them.
//!
//! The election always runs: a server that follows or leads goes on telling the newcomers whom.
//! Messages may be old, repeated, or from a former life of their sender; nothing here relies on
//! more than a voter's last word. That one leader at most is established in an epoch is not
//! decided here but in discovery; an election may err, it then costs time.
//!
//! The wait after a quorum has formed (200 ms for a better vote) ends at once when nobody is left
//! to wait for: each voter was heard in this round, or is known to be down.
//!
//! Facts: ZooKeeper `FastLeaderElection.lookForLeader`, `Messenger.WorkerReceiver`; peerEpoch is
//! overwritten once the epoch is established (ZOOKEEPER-1732).

use std::collections::{BTreeMap, BTreeSet};

use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::ballot::{Heard, is_better};
use crate::effect::Effect;
use crate::member::Member;

/// Rounds count attempts of one process; a vote from beyond this comes from no honest server.
const ROUND_MAX: i64 = 1 << 62;

/// What a server knows of elections, whatever its role.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    /// Counted from 1 in each process, never stored. ZooKeeper: `logicalclock`.
    round: i64,
    /// What newcomers are told. ZooKeeper: `QuorumPeer.getCurrentVote`.
    current: Vote,
    looking: Option<Looking>,
    down: BTreeSet<ServerId>,
    /// Last words that came while this server could neither vote nor answer.
    inbox: BTreeMap<ServerId, Heard>,
}

/// One search for a leader.
#[derive(Clone, Debug)]
struct Looking {
    /// What this server proposed first: itself, or nobody when it does not vote.
    initial: Vote,
    proposal: Vote,
    /// By voter, of this round. ZooKeeper: `recvset`.
    received: BTreeMap<ServerId, Heard>,
    /// By voter that follows or leads. ZooKeeper: `outofelection`.
    settled: BTreeMap<ServerId, Heard>,
    resend_at_ms: u64,
    resend_after_ms: u64,
    /// When the quorum that has formed decides, unless a better vote comes first.
    decide_at_ms: Option<u64>,
}

impl Election {
    pub(crate) const fn new() -> Self {
        Self {
            round: 0,
            current: Vote::of_nobody(0),
            looking: None,
            down: BTreeSet::new(),
            inbox: BTreeMap::new(),
        }
    }

    /// The election's result, or the present reign's.
    pub(crate) const fn current(&self) -> Vote {
        self.current
    }

    /// Whether `peer` is known to be down.
    pub(crate) fn is_down(&self, peer: ServerId) -> bool {
        self.down.contains(&peer)
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let looking = self.looking.as_ref()?;
        Some(looking.decide_at_ms.map_or(looking.resend_at_ms, |at| at.min(looking.resend_at_ms)))
    }

    /// The reign is established: what newcomers are told names its epoch, or they could not
    /// assemble a quorum of equal answers.
    pub(crate) const fn established(&mut self, epoch: Epoch) {
        self.current.peer_epoch = epoch.0 as i64;
    }
}

// What is done in elections, whatever the role.
impl Member {
    /// Looks for a leader from a durable log that ends at `last`. Returns the vote that won, which
    /// may be at once.
    pub(crate) fn begin_search(&mut self, last: Zxid, current_epoch: Epoch) -> Option<Vote> {
        assert!(self.election.looking.is_none(), "one search at a time");
        self.election.round += 1;
        let initial = if self.settings.is_voter() {
            let peer_epoch = i64::from(current_epoch.0);
            Vote { leader: self.settings.id, zxid: last, round: self.election.round, peer_epoch }
        } else {
            Vote::of_nobody(self.election.round)
        };
        self.election.current = initial;
        let resend_after_ms = self.settings.timeouts.notification_ms_min;
        self.election.looking = Some(Looking {
            initial,
            proposal: initial,
            received: BTreeMap::new(),
            settled: BTreeMap::new(),
            resend_at_ms: self.now_ms + resend_after_ms,
            resend_after_ms,
            decide_at_ms: None,
        });
        self.tell_voters();
        let mut won = self.tally();
        for (from, heard) in std::mem::take(&mut self.election.inbox) {
            if won.is_none() {
                won = self.on_notification(from, heard);
            }
        }
        won
    }

    /// While a server can neither vote nor answer: keeps the last word of each for later.
    pub(crate) fn keep_word(&mut self, from: ServerId, heard: Heard) {
        if self.settings.membership.is_voter(from) {
            self.election.inbox.insert(from, heard);
        }
    }

    /// Answers for a server that follows or leads. One that does not vote has nothing to say: a
    /// voter that looks would ask it back, and so on without end.
    // ZooKeeper: WorkerReceiver.run, the branches of a server that is not LOOKING.
    pub(crate) fn answer(&mut self, own: ServerState, from: ServerId, heard: Heard) {
        let membership = &self.settings.membership;
        let asks = heard.state == ServerState::Looking || !membership.is_voter(from);
        let may_answer = self.settings.is_voter() && from != self.settings.id;
        if asks && may_answer && membership.is_member(from) {
            self.fx.push(Effect::Notify { to: from, state: own, vote: self.election.current });
        }
    }

    /// A voter's or newcomer's word to a server that is looking. Returns the vote that won.
    pub(crate) fn on_notification(&mut self, from: ServerId, heard: Heard) -> Option<Vote> {
        let membership = &self.settings.membership;
        if from == self.settings.id || !membership.is_member(from) {
            return None;
        }
        let votes = self.settings.is_voter();
        if !membership.is_voter(from) {
            if votes {
                let vote = Vote { round: self.election.round, ..self.election.current };
                self.fx.push(Effect::Notify { to: from, state: ServerState::Looking, vote });
            }
            return None;
        }
        let looking = self.election.looking.as_ref()?;
        let is_late = heard.state == ServerState::Looking && heard.vote.round < self.election.round;
        if votes && is_late {
            let vote = looking.proposal;
            self.fx.push(Effect::Notify { to: from, state: ServerState::Looking, vote });
        }
        if !membership.is_voter(heard.vote.leader) || !(0..ROUND_MAX).contains(&heard.vote.round) {
            return None;
        }
        match heard.state {
            ServerState::Looking => self.on_looking(from, heard),
            ServerState::Following | ServerState::Leading => self.on_settled(from, heard),
            ServerState::Observing => None,
        }
    }

    pub(crate) fn on_link_up(&mut self, peer: ServerId) {
        self.election.down.remove(&peer);
        if let Some(looking) = &self.election.looking
            && self.settings.membership.is_voter(peer)
            && peer != self.settings.id
        {
            let vote = looking.proposal;
            self.fx.push(Effect::Notify { to: peer, state: ServerState::Looking, vote });
        }
    }

    pub(crate) fn on_link_down(&mut self, peer: ServerId) -> Option<Vote> {
        self.election.down.insert(peer);
        self.tally()
    }

    pub(crate) fn on_search_tick(&mut self) -> Option<Vote> {
        let looking = self.election.looking.as_mut()?;
        if looking.decide_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            return Some(looking.proposal);
        }
        if looking.resend_at_ms <= self.now_ms {
            let longer_ms = looking.resend_after_ms * 2;
            looking.resend_after_ms = longer_ms.min(self.settings.timeouts.notification_ms_max);
            looking.resend_at_ms = self.now_ms + looking.resend_after_ms;
            self.tell_voters();
        }
        None
    }

    /// The search is over.
    pub(crate) fn end_search(&mut self, won: Vote) {
        assert!(self.election.looking.take().is_some(), "a search that ends has begun");
        self.election.round = won.round;
        self.election.current = won;
    }

    // ZooKeeper: FastLeaderElection.lookForLeader, case LOOKING.
    fn on_looking(&mut self, from: ServerId, heard: Heard) -> Option<Vote> {
        let votes = self.settings.is_voter();
        let looking = self.election.looking.as_mut()?;
        looking.settled.remove(&from);
        if heard.vote.zxid == Zxid::NONE || heard.vote.round < self.election.round {
            return None;
        }
        // An echo of what this server stood for before its log was cut: nobody can make that good,
        // so the votes of a new round must replace it. Apache adopts it, and fails in discovery.
        let echo =
            heard.vote.leader == self.settings.id && is_better(&heard.vote, &looking.initial);
        let newer_round = echo || heard.vote.round > self.election.round;
        if newer_round {
            self.election.round = heard.vote.round + i64::from(echo);
            looking.restart(self.election.round);
        }
        let adopts = !echo && is_better(&heard.vote, &looking.proposal);
        if adopts {
            looking.proposal = heard.vote;
        }
        if !echo {
            looking.received.insert(from, heard);
        }
        if adopts || newer_round {
            looking.decide_at_ms = None;
            self.tell_voters();
        } else if votes && !echo && is_better(&looking.proposal, &heard.vote) {
            // It may not have been looking yet when it was told, and would wait for the next time.
            let vote = looking.proposal;
            self.fx.push(Effect::Notify { to: from, state: ServerState::Looking, vote });
        }
        self.tally()
    }

    // ZooKeeper: FastLeaderElection.receivedFollowingNotification, receivedLeadingNotification.
    fn on_settled(&mut self, from: ServerId, heard: Heard) -> Option<Vote> {
        let round = self.election.round;
        let looking = self.election.looking.as_mut()?;
        let elects = |votes: &BTreeMap<ServerId, Heard>| {
            let quorum = self.settings.membership.quorum();
            quorum.agrees(|id| votes.get(&id).is_some_and(|vote| heard.agrees_with(vote)))
                && leads(votes, &heard.vote, self.settings.id, round)
        };
        if heard.vote.round == round {
            looking.received.insert(from, Heard { version: 0, ..heard });
            if elects(&looking.received) {
                return Some(heard.vote);
            }
        }
        looking.settled.insert(from, heard);
        elects(&looking.settled).then_some(heard.vote)
    }

    /// Whether a quorum proposes what this server does, and nothing better is to be expected.
    fn tally(&mut self) -> Option<Vote> {
        let looking = self.election.looking.as_mut()?;
        let proposal = looking.proposal;
        let quorum = self.settings.membership.quorum();
        let received = &looking.received;
        if !quorum.agrees(|id| received.get(&id).is_some_and(|heard| heard.vote == proposal)) {
            looking.decide_at_ms = None;
            return None;
        }
        let known = |id: &ServerId| received.contains_key(id) || self.election.down.contains(id);
        if quorum.voters().iter().all(known) {
            return Some(proposal);
        }
        looking.decide_at_ms.get_or_insert(self.now_ms + self.settings.timeouts.finalize_wait_ms);
        None
    }

    /// Tells all voters, itself among them, what this server proposes.
    // ZooKeeper: FastLeaderElection.sendNotifications.
    fn tell_voters(&mut self) {
        let Some(looking) = &mut self.election.looking else { return };
        let vote = looking.proposal;
        let state = ServerState::Looking;
        for &voter in self.settings.membership.quorum().voters() {
            if voter == self.settings.id {
                looking.received.insert(voter, Heard { vote, state, version: 2 });
            } else {
                self.fx.push(Effect::Notify { to: voter, state, vote });
            }
        }
    }
}

impl Looking {
    /// Back to the own vote, in a new round.
    fn restart(&mut self, round: i64) {
        self.received.clear();
        self.initial.round = round;
        self.proposal = self.initial;
    }
}

/// Whether the one whom `vote` names leads by its own word; of oneself only in the own round.
// ZooKeeper: FastLeaderElection.checkLeader.
fn leads(votes: &BTreeMap<ServerId, Heard>, vote: &Vote, own: ServerId, round: i64) -> bool {
    if vote.leader == own {
        return vote.round == round;
    }
    votes.get(&vote.leader).is_some_and(|heard| heard.state == ServerState::Leading)
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
