//! A learner whose tree is, or is not, what its leader says.
//!
//! Member 1 observes a leader that says what the test makes it say.

use bytes::Bytes;
use menagerie_engine::tree::Tree;
use menagerie_engine::txn::{InternalRequest, Rules, Stamp};
use menagerie_replication::{Link, Membership, Packet, Timeouts};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{Epoch, ServerId};

use super::*;
use crate::sequencer::output::ToPeer;
use crate::sequencer::{Now, Part, Settings, testing};

const LEADER: ServerId = ServerId(2);
const NOW: Now = Now { monotonic_us: 0, wall_ms: 0 };

struct Learner {
    sequencer: Sequencer,
    out: Output,
    links: u64,
    drains: u64,
    /// What was said to the leader, and the jobs of the disk.
    said: Vec<Packet>,
    evidence: usize,
    /// The leader's.
    tree: Tree,
}

impl Learner {
    fn new(leaves_on_mismatch: bool) -> Self {
        let settings = Settings { leaves_on_mismatch, ..testing::settings() };
        let (voters, observers) = (vec![LEADER], vec![ServerId(1)]);
        let membership = Membership::new(voters, observers, "version=0".into(), Zxid::ZERO);
        let mut learner = Self {
            sequencer: testing::member(settings, membership, NOW),
            out: Output::default(),
            links: 0,
            drains: 0,
            said: Vec::new(),
            evidence: 0,
            tree: Tree::new(),
        };
        learner.sequencer.start(&mut learner.out);
        learner.introduce();
        learner
    }

    /// Finds the leader, and accepts its epoch.
    fn introduce(&mut self) {
        let vote = Vote { leader: LEADER, zxid: Zxid::ZERO, round: 1, peer_epoch: 0 };
        let state = ServerState::Leading;
        self.event(Event::Notified { from: LEADER, state, vote, version: 2 });
        self.links += 1;
        self.event(Event::Connected { leader: LEADER, link: Link(self.links) });
        self.hear(Packet::LeaderInfo { epoch: Epoch(1) });
    }

    /// The rest of the way, once there is a history.
    fn enter(&mut self) {
        self.hear(Packet::NewLeader { epoch: Epoch(1), config: "version=0".into() });
        self.hear(Packet::UpToDate);
        assert_eq!(self.sequencer.part, Part::Learning);
    }

    fn event(&mut self, event: Event) {
        self.sequencer.on_event(event, NOW, &mut self.out);
        self.settle();
    }

    fn hear(&mut self, packet: Packet) {
        self.event(Event::Received { link: Link(self.links), packet });
    }

    /// Does what the sequencer wants done, on a disk that takes no time.
    fn settle(&mut self) {
        self.sequencer.settle(&mut self.out);
        for word in self.out.peers.drain(..) {
            if let ToPeer::Send { packet, .. } = word {
                self.said.push(packet);
            }
        }
        let appended = self.out.appends.drain(..).next_back();
        if let Some((zxid, _)) = appended {
            self.event(Event::Logged { zxid });
        }
        for job in std::mem::take(&mut self.out.jobs) {
            match job {
                Job::SaveEpochs(epochs) => self.event(Event::EpochSaved { epochs }),
                Job::Drain { generation } => {
                    let (last_logged, epochs) =
                        (self.sequencer.node().last_logged(), self.sequencer.node().epochs());
                    self.drains += 1;
                    self.event(Event::Drained { generation, last_logged, epochs });
                }
                Job::KeepEvidence(_) => self.evidence += 1,
                Job::ReceiveSnapshot { zxid, .. } => {
                    let mut tree = Tree::new();
                    tree.advance(zxid);
                    self.sequencer.on_installed(zxid, tree, NOW, &mut self.out);
                    self.settle();
                }
                _ => panic!("no other job is expected"),
            }
        }
    }

    /// The leader commits a transaction, and says that its tree has then another digest by `off`.
    fn commit(&mut self, off: u64) {
        let zxid = self.tree.view().last_zxid().max(Zxid::new(Epoch(1), 0)).next();
        let stamp = Stamp { session: SessionId(9), cxid: Xid(0), zxid, time_ms: 1 };
        let request = InternalRequest::CreateSession { timeout_ms: 1 };
        let executed = txn::execute_internal(&mut self.tree, &Rules::default(), stamp, &request);
        let mut bytes = Vec::new();
        let digest = TxnDigest::new(self.tree.view().digest().wrapping_add(off));
        executed.txn.encode(Some(digest), &mut bytes);
        self.hear(Packet::Inform { zxid, txn: Bytes::from(bytes) });
    }

    fn committed(&self) -> u32 {
        self.sequencer.committed().last_zxid().counter()
    }
}

#[test]
fn a_learner_that_differs_leaves_keeps_its_tree_and_asks_for_another() {
    let mut learner = Learner::new(true);
    learner.hear(Packet::Diff { zxid: Zxid::ZERO });
    learner.enter();
    learner.commit(0);
    assert_eq!((learner.committed(), learner.evidence, learner.drains), (1, 0, 0));
    assert!(learner.sequencer.keepable().is_some());
    learner.commit(1);
    assert_eq!((learner.sequencer.part, learner.evidence, learner.drains), (Part::Idle, 1, 1));
    assert!(learner.sequencer.keepable().is_none(), "no snapshot is made of it");

    learner.introduce();
    let asked = Packet::AckEpoch { last_zxid: Zxid::NONE, current_epoch: None };
    assert_eq!(learner.said.last(), Some(&asked));
    learner.hear(Packet::Snap { zxid: Zxid::new(Epoch(1), 2) });
    learner.enter();
    // Apache's snapshots are not exact at first.
    learner.commit(1);
    learner.commit(0);
    assert_eq!((learner.committed(), learner.evidence), (4, 1));
    assert!(learner.sequencer.keepable().is_some());
    learner.commit(1);
    assert_eq!((learner.sequencer.part, learner.evidence), (Part::Idle, 2));
    assert_eq!(learner.sequencer.counters.digest_mismatches, 2);
}

#[test]
fn a_learner_may_be_told_to_go_on() {
    let mut learner = Learner::new(false);
    learner.hear(Packet::Diff { zxid: Zxid::ZERO });
    learner.enter();
    learner.commit(1);
    learner.commit(0);
    assert_eq!((learner.committed(), learner.evidence, learner.drains), (2, 0, 0));
    assert_eq!(learner.sequencer.counters.digest_mismatches, 1);
}

#[test]
fn a_learner_that_slept_hears_its_leader_before_it_leaves_it() {
    let mut learner = Learner::new(true);
    learner.hear(Packet::Diff { zxid: Zxid::ZERO });
    learner.enter();
    let at = |ms: u64| Now { monotonic_us: ms * 1_000, wall_ms: 0 };
    let sync_ms = Timeouts::default().sync_ms();
    let tick = |learner: &mut Learner, now_ms| {
        learner.sequencer.on_tick(at(now_ms), &mut learner.out);
        learner.settle();
        learner.sequencer.part
    };
    assert_eq!(tick(&mut learner, 2 * sync_ms), Part::Learning);
    let (link, packet) = (Link(learner.links), Packet::Ping { zxid: Zxid::ZERO });
    let ping = Event::Received { link, packet };
    learner.sequencer.on_event(ping, at(2 * sync_ms), &mut learner.out);
    assert_eq!(tick(&mut learner, 2 * sync_ms + 50), Part::Learning);
    // It was awake, and heard nothing.
    let last = (2 * sync_ms + 50..=3 * sync_ms).step_by(50).map(|ms| tick(&mut learner, ms)).last();
    assert_eq!(last, Some(Part::Idle));
}

#[test]
fn who_is_always_late_has_a_say_at_every_second_tick() {
    let mut learner = Learner::new(true);
    learner.hear(Packet::Diff { zxid: Zxid::ZERO });
    learner.enter();
    let sync_ms = Timeouts::default().sync_ms();
    for (ms, part) in [(2 * sync_ms, Part::Learning), (3 * sync_ms, Part::Idle)] {
        let now = Now { monotonic_us: ms * 1_000, wall_ms: 0 };
        learner.sequencer.on_tick(now, &mut learner.out);
        learner.settle();
        assert_eq!(learner.sequencer.part, part);
    }
}
