//! What this server is at the moment, and how long it took to become that: for reports.
//!
//! A node says what it is, and knows no clock; [`Career`] looks at it after each step and keeps
//! the times. What a report shows of it is a [`Standing`], a copy that belongs to no core.

use menagerie_replication::{Effect, Node, Packet, Role};
use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::admin::Mode;
use crate::admin::metrics::{RoleCounters, Sizes};

/// What a server is, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub mode: Mode,
    /// Whether clients are served.
    pub serving: bool,
    /// Of the reign that it belongs to, once that is established.
    pub epoch: Option<Epoch>,
    pub leader: Option<ServerId>,
    /// Voters of the ensemble; `None` for a standalone server.
    pub quorum_size: Option<usize>,
    /// Only of the leader of others.
    pub reign: Option<Reign>,
}

impl Standing {
    /// The zxid with which its reign began. Whoever serves in a reign has seen that much, though
    /// nothing need have been written in it.
    // ZooKeeper: Leader.startZkServer and Learner.syncWithLeader, setlastProcessedZxid.
    pub fn first_zxid(&self) -> Zxid {
        self.epoch.map_or(Zxid::ZERO, |epoch| Zxid::new(epoch, 0))
    }
}

/// What a leader knows of its reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reign {
    /// Connections of learners, those that are not synchronized yet among them.
    pub learners: usize,
    pub synced_followers: usize,
    pub synced_observers: usize,
    pub pending_syncs: usize,
    pub uptime_ms: u64,
}

/// Counts what a node wants done, by what it shows of its role. `learning`: as a learner that
/// serves.
// ZooKeeper: LearnerHandler.run, Follower.processPacket.
pub(crate) fn count(effect: &Effect, learning: bool, counters: &mut RoleCounters) {
    match effect {
        Effect::Append { .. } if learning => counters.proposals_received += 1,
        Effect::Commit { .. } if learning => counters.commits_received += 1,
        Effect::SendSnapshot { .. } => counters.snapshots_sent += 1,
        Effect::Send { packet: Packet::Diff { .. } | Packet::Trunc { .. }, .. } => {
            counters.diffs_sent += 1;
        }
        _ => {}
    }
}

/// When a node's role began, and its service.
#[derive(Debug)]
pub(crate) struct Career {
    /// `None` before the first step.
    role: Option<Role>,
    serving: bool,
    /// When a leader was looked for the last time.
    looking_since_ms: u64,
    elected_ms: u64,
    /// When the present service began, or the last one ended.
    serving_changed_ms: u64,
}

impl Career {
    pub(crate) const fn new(now_ms: u64) -> Self {
        Self {
            role: None,
            serving: false,
            looking_since_ms: now_ms,
            elected_ms: now_ms,
            serving_changed_ms: now_ms,
        }
    }

    /// Looks at a node that has taken a step. The drain between two roles belongs to the election.
    // ZooKeeper: Leader.lead, Follower.followLeader, QuorumPeer.setZabState.
    pub(crate) fn observe(&mut self, node: &Node, now_ms: u64, counters: &mut RoleCounters) {
        if node.is_alone() {
            return;
        }
        let role = node.role();
        if self.role != Some(role) {
            let before = self.role.replace(role);
            // An election may be over in the step that began it.
            if before != Some(Role::Looking) {
                counters.looked += 1;
                self.looking_since_ms = now_ms;
            }
            if matches!(role, Role::Leading | Role::Following) {
                counters.election_ms.record(now_ms - self.looking_since_ms);
            }
            self.elected_ms = now_ms;
        }
        if self.serving != node.is_serving() {
            self.serving = !self.serving;
            if self.serving {
                self.begin_service(role, now_ms, counters);
            }
            self.serving_changed_ms = now_ms;
        }
    }

    fn begin_service(&self, role: Role, now_ms: u64, counters: &mut RoleCounters) {
        let unavailable_ms = now_ms - self.serving_changed_ms;
        counters.unavailable_ms.record(unavailable_ms);
        let sync_ms = now_ms - self.elected_ms;
        match role {
            Role::Leading => {
                counters.leader_unavailable_ms.record(unavailable_ms);
                counters.proposal_sizes = Sizes::default();
            }
            Role::Following => counters.follower_sync_ms.record(sync_ms),
            Role::Observing => counters.observer_sync_ms.record(sync_ms),
            Role::Looking => {}
        }
    }

    /// What is to be told of `node`. `serving`: whether its clients are served, which is not always
    /// so where they could be.
    pub(crate) fn standing(&self, node: &Node, serving: bool, now_ms: u64) -> Standing {
        let mode = match node.role() {
            _ if node.is_alone() => Mode::Standalone,
            Role::Looking => Mode::Looking,
            Role::Following => Mode::Follower,
            Role::Observing => Mode::Observer,
            Role::Leading => Mode::Leader,
        };
        let (synced_followers, synced_observers) = node.synced();
        let reign = Reign {
            learners: node.learners(),
            synced_followers,
            synced_observers,
            pending_syncs: node.pending_syncs(),
            uptime_ms: now_ms.saturating_sub(self.serving_changed_ms),
        };
        let quorum_size = node.membership().quorum().voters().len();
        Standing {
            mode,
            serving,
            epoch: node.epoch().filter(|_| node.is_serving()),
            leader: node.leader(),
            quorum_size: (!node.is_alone()).then_some(quorum_size),
            reign: (mode == Mode::Leader && node.is_serving()).then_some(reign),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::admin::metrics::Summary;
    use menagerie_replication::{
        Effect, Effects, Event, HistoryLimits, Link, Membership, RESIGN_AT_COUNTER, Recovered,
        Settings, Timeouts,
    };

    const LINK: Link = Link(1);

    /// Members 1 and 2, who hear each other at once; what happens takes a millisecond.
    struct Pair {
        nodes: [Node; 2],
        careers: [Career; 2],
        counters: [RoleCounters; 2],
        events: VecDeque<(usize, Event)>,
        now_ms: u64,
    }

    impl Pair {
        fn new() -> Self {
            let node = |id| {
                let voters = vec![ServerId(1), ServerId(2)];
                Node::new(Settings {
                    id: ServerId(id),
                    membership: Membership::new(voters, Vec::new(), "".into(), Zxid::ZERO),
                    timeouts: Timeouts::default(),
                    history: HistoryLimits { txns_max: 10, bytes_max: 1_000 },
                    resign_at_counter: RESIGN_AT_COUNTER,
                })
            };
            let start = || Event::Started(Recovered::alone(Zxid::ZERO));
            Self {
                nodes: [node(1), node(2)],
                careers: [Career::new(0), Career::new(0)],
                counters: [RoleCounters::default(); 2],
                events: VecDeque::from([(0, start()), (1, start())]),
                now_ms: 100,
            }
        }

        /// Lets happen what follows, and time pass where nothing does, until `done`.
        fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
            while !done(self) {
                let (at, event) = self.events.pop_front().unwrap_or_else(|| {
                    let due = |at: usize| self.nodes[at].deadline_ms().unwrap_or(u64::MAX);
                    let at = usize::from(due(1) < due(0));
                    self.now_ms = due(at).max(self.now_ms);
                    (at, Event::Tick)
                });
                let mut effects = Effects::new();
                self.nodes[at].step(event, self.now_ms, &mut effects);
                self.careers[at].observe(&self.nodes[at], self.now_ms, &mut self.counters[at]);
                for effect in effects {
                    let learning = at == 0 && self.nodes[0].is_serving();
                    count(&effect, learning, &mut self.counters[at]);
                    self.follow(at, effect);
                }
                self.now_ms += 1;
            }
        }

        fn follow(&mut self, at: usize, effect: Effect) {
            let there = 1 - at;
            let from = self.nodes[at].id();
            let mut happens = |at, event| self.events.push_back((at, event));
            match effect {
                Effect::Notify { state, vote, .. } => {
                    happens(there, Event::Notified { from, state, vote, version: 2 });
                }
                Effect::Connect { leader } => {
                    happens(there, Event::Accepted { link: LINK });
                    happens(at, Event::Connected { leader, link: LINK });
                }
                Effect::Send { link, packet } => happens(there, Event::Received { link, packet }),
                Effect::SaveEpoch { epochs } => happens(at, Event::EpochSaved { epochs }),
                Effect::Append { zxid, .. } => happens(at, Event::Logged { zxid }),
                _ => {}
            }
        }

        fn standing(&self, at: usize) -> Standing {
            let node = &self.nodes[at];
            self.careers[at].standing(node, node.is_serving(), self.now_ms)
        }
    }

    fn check_once(summary: Summary, name: &str) {
        assert_eq!(summary.count, 1, "{name}");
        assert!(summary.sum > 0 && summary.sum < 10_000, "{name}: {summary:?}");
    }

    #[test]
    fn a_leader_and_its_follower_tell_of_each_other() {
        let mut pair = Pair::new();
        let looking = Standing {
            mode: Mode::Looking,
            serving: false,
            epoch: None,
            leader: None,
            quorum_size: Some(2),
            reign: None,
        };
        pair.run_until(|pair| pair.now_ms == 102);
        assert_eq!((pair.standing(0), pair.standing(1)), (looking.clone(), looking.clone()));

        pair.run_until(|pair| pair.nodes.iter().all(Node::is_serving));
        let follower = Standing {
            mode: Mode::Follower,
            serving: true,
            epoch: Some(Epoch(1)),
            leader: Some(ServerId(2)),
            ..looking
        };
        assert_eq!(pair.standing(0), follower);
        let leader = pair.standing(1);
        let Some(Reign { learners: 1, synced_followers: 1, synced_observers: 0, .. }) =
            leader.reign
        else {
            panic!("{leader:?}")
        };
        assert_eq!(leader, Standing { mode: Mode::Leader, reign: leader.reign, ..follower });
        let held_back = pair.careers[1].standing(&pair.nodes[1], false, pair.now_ms);
        assert!(!held_back.serving && held_back.reign.is_some(), "leaderServes=no");

        let [of_follower, of_leader] = pair.counters;
        for counters in [of_follower, of_leader] {
            assert_eq!(counters.looked, 1);
            check_once(counters.election_ms, "election");
            check_once(counters.unavailable_ms, "unavailable");
        }
        check_once(of_follower.follower_sync_ms, "sync");
        assert_eq!(of_leader.leader_unavailable_ms, of_leader.unavailable_ms);
        assert_eq!(of_follower.leader_unavailable_ms.count, 0);
        let whole_ms = of_follower.election_ms.sum + of_follower.follower_sync_ms.sum;
        assert_eq!(whole_ms + 100, of_follower.unavailable_ms.sum, "from the start on");
    }

    #[test]
    fn the_next_reign_is_counted_anew() {
        let mut pair = Pair::new();
        pair.run_until(|pair| pair.nodes.iter().all(Node::is_serving));
        let zxid = Zxid::new(Epoch(1), 1);
        pair.events.push_back((1, Event::Propose { zxid, txn: vec![7].into() }));
        pair.run_until(|pair| pair.nodes[0].last_committed() == zxid);
        pair.counters[1].record_proposal(100);
        let [RoleCounters { proposals_received: 1, commits_received: 1, .. }, of_leader] =
            pair.counters
        else {
            panic!("{:?}", pair.counters)
        };
        assert_eq!((of_leader.diffs_sent, of_leader.snapshots_sent), (1, 0));
        let served_ms = pair.now_ms;
        // The leader hears that its only follower is gone, and leaves.
        pair.events.extend([(0, Event::Closed { link: LINK }), (1, Event::Closed { link: LINK })]);
        pair.run_until(|pair| pair.nodes.iter().all(|node| !node.is_serving()));
        assert_eq!(pair.standing(1).mode, Mode::Looking);
        let left_ms = pair.now_ms;
        for (at, node) in pair.nodes.iter().enumerate() {
            let (last_logged, epochs) = (node.last_logged(), node.epochs());
            let drained = Event::Drained { generation: 1, last_logged, epochs };
            pair.events.push_back((at, drained));
        }
        pair.run_until(|pair| pair.nodes.iter().all(Node::is_serving));
        let leader = usize::from(pair.standing(1).mode == Mode::Leader);
        let counters = pair.counters[leader];
        assert_eq!((counters.looked, counters.election_ms.count), (2, 2));
        assert_eq!(counters.proposal_sizes, Sizes::default());
        let Standing { epoch, reign, .. } = pair.standing(leader);
        assert_eq!(epoch, Some(Epoch(2)));
        let uptime_ms = reign.expect("it leads").uptime_ms;
        assert!(uptime_ms <= pair.now_ms - left_ms, "{uptime_ms} ms, from {served_ms} ms on");
    }

    #[test]
    fn a_standalone_server_has_no_reign_and_no_elections() {
        let mut node = Node::standalone(ServerId(1));
        let (mut career, mut counters) = (Career::new(0), RoleCounters::default());
        node.step(Event::Started(Recovered::alone(Zxid::ZERO)), 5, &mut Effects::new());
        career.observe(&node, 5, &mut counters);
        let standing = career.standing(&node, node.is_serving(), 5);
        assert_eq!((standing.mode, standing.serving), (Mode::Standalone, true));
        assert_eq!((standing.quorum_size, standing.reign), (None, None));
        assert_eq!(counters, RoleCounters::default());
    }
}
