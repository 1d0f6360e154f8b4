//! A node with a disk that is always ready, and what it says compared with what was captured.

use std::collections::BTreeMap;
use std::sync::Arc;

use menagerie_replication::{
    Effect, Effects, Epochs, Event, HistoryLimits, Link, Membership, Node, Packet,
    RESIGN_AT_COUNTER, Recovered, Settings, Timeouts,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum_config::QuorumConfig;
use menagerie_wire::{Encode, Epoch, ServerId, Zxid};

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.as_wire().encode(&mut out);
    out
}

/// Long after the last better vote can have come.
const ELECTION_MS_MAX: u64 = 5_000;

/// A disk whose log ends at `last`; what is older cannot be sent on.
pub(crate) const fn recovered(last: Zxid, epochs: Epochs) -> Recovered {
    Recovered { last_logged: last, epochs, tail: Vec::new(), before_tail: last }
}

/// A node whose disk is always ready.
pub(crate) struct Player {
    pub(crate) node: Node,
    pub(crate) sent: BTreeMap<Link, Vec<Packet>>,
    /// What the disk or the network answers to effects, in order.
    answers: Vec<Event>,
    pub(crate) snapshot: Option<Zxid>,
    /// What it said to each peer while it looked for a leader.
    pub(crate) votes: BTreeMap<ServerId, Vec<Vote>>,
}

impl Player {
    pub(crate) fn new(
        id: ServerId,
        config: &str,
        config_version: Zxid,
        history: HistoryLimits,
        recovered: Recovered,
    ) -> Self {
        let quorum: QuorumConfig = config.parse().expect("a configuration");
        let voters: Vec<ServerId> = quorum.voters().collect();
        let others = quorum.members.keys().filter(|member| !voters.contains(member)).copied();
        let observers: Vec<ServerId> = others.collect();
        let settings = Settings {
            id,
            membership: Membership::new(voters, observers, Arc::from(config), config_version)
                .versioned(true),
            timeouts: Timeouts::default(),
            history,
            resign_at_counter: RESIGN_AT_COUNTER,
        };
        let mut player = Self {
            node: Node::new(settings),
            sent: BTreeMap::new(),
            answers: Vec::new(),
            snapshot: None,
            votes: BTreeMap::new(),
        };
        player.hear(Event::Started(recovered));
        player
    }

    pub(crate) fn hear(&mut self, event: Event) {
        self.hear_at(event, 0);
    }

    /// Lets time pass until the node has a leader; nothing can be heard after that.
    pub(crate) fn wait_for_leader(&mut self) {
        while let Some(now_ms) = self.node.deadline_ms()
            && self.node.leader().is_none()
            && now_ms < ELECTION_MS_MAX
        {
            self.hear_at(Event::Tick, now_ms);
        }
    }

    fn hear_at(&mut self, event: Event, now_ms: u64) {
        self.answers.push(event);
        while !self.answers.is_empty() {
            let mut effects = Effects::new();
            self.node.step(self.answers.remove(0), now_ms, &mut effects);
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Notify { to, state: ServerState::Looking, vote } => {
                self.votes.entry(to).or_default().push(vote);
            }
            Effect::Send { link, packet } => {
                if let Packet::Ping { zxid } = packet {
                    let packet = Packet::PingReply { zxid, touched: Vec::new() };
                    self.answers.push(Event::Received { link, packet });
                }
                self.sent.entry(link).or_default().push(packet);
            }
            Effect::Append { zxid, .. } => self.answers.push(Event::Logged { zxid }),
            Effect::SaveEpoch { epochs } => self.answers.push(Event::EpochSaved { epochs }),
            Effect::Truncate { to } => self.answers.push(Event::Truncated { last_logged: to }),
            Effect::ReceiveSnapshot { zxid, .. } => self.snapshot = Some(zxid),
            Effect::ReadLog { link, .. } => {
                self.answers.push(Event::LogRead { link, read: None });
            }
            Effect::SendSnapshot { link, zxid } => {
                self.sent.entry(link).or_default().push(Packet::Snap { zxid });
                self.answers.push(Event::SnapshotSent { link });
            }
            Effect::Close { link, fault } => panic!("{link:?} is closed: {fault:?}"),
            Effect::StopServing { reason } => panic!("the role ends: {reason}"),
            _ => {}
        }
    }

    pub(crate) fn hear_packet(&mut self, link: Link, packet: Packet) {
        self.hear(Event::Received { link, packet });
    }

    pub(crate) fn acknowledge(&mut self, link: Link, zxid: Zxid) {
        self.hear_packet(link, Packet::Ack { zxid });
    }

    /// A follower as new as this leader joins it.
    pub(crate) fn be_followed(&mut self, link: Link, sid: ServerId, epoch: Epoch) {
        self.hear(Event::Accepted { link });
        let (accepted_epoch, config_version) = (Epoch::default(), Zxid::ZERO);
        let observer = false;
        let info = Packet::LearnerInfo { observer, accepted_epoch, sid, config_version };
        self.hear_packet(link, info);
        let current_epoch = Some(accepted_epoch);
        self.hear_packet(link, Packet::AckEpoch { last_zxid: Zxid::ZERO, current_epoch });
        self.acknowledge(link, Zxid::new(epoch, 0));
    }

    pub(crate) fn hear_vote(&mut self, from: ServerId, state: ServerState, vote: Vote) {
        self.hear(Event::Notified { from, state, vote, version: 2 });
    }
}

pub(crate) fn is_ping(packet: &Packet) -> bool {
    matches!(packet, Packet::Ping { .. })
}

/// Each type's packets of `theirs` are the first of `ours`, and up to NEWLEADER all are, in order.
pub(crate) fn compare(ours: &[Packet], theirs: &[Packet], who: &str) {
    let until_new_leader = |packets: &[Packet]| {
        let count = packets.iter().position(|p| matches!(p, Packet::NewLeader { .. }));
        packets[..count.map_or(0, |at| at + 1)].iter().map(bytes).collect::<Vec<_>>()
    };
    assert_eq!(until_new_leader(ours), until_new_leader(theirs), "{who}, up to NEWLEADER");
    for packet in theirs.iter().filter(|packet| !is_ping(packet)) {
        let kind = packet.as_wire().packet_type();
        let of_kind = |packets: &[Packet]| -> Vec<Vec<u8>> {
            let same = packets.iter().filter(|p| p.as_wire().packet_type() == kind);
            same.filter(|p| !is_ping(p)).map(bytes).collect()
        };
        let (ours, theirs) = (of_kind(ours), of_kind(theirs));
        assert!(ours.starts_with(&theirs), "{who}, {kind:?}: {ours:02x?}\nnot {theirs:02x?}");
    }
}
