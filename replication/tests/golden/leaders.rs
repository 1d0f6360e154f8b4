//! A node in the place of a leader, from the first vote on or in the middle of its reign.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use menagerie_replication::{
    Entry, Epochs, Event, HistoryLimits, Link, Packet, Recovered, TxnBytes,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum_config::QuorumConfig;
use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::capture::{Line, read};
use crate::player::{Player, compare, recovered};

/// What one leader and its learners said in one epoch, up to a change of the membership.
struct Reign {
    name: String,
    leader: ServerId,
    epoch: Epoch,
    config: Arc<str>,
    lines: Vec<Line>,
}

impl Reign {
    fn read(file: &str, leader: i64, epoch: u32) -> Self {
        let (leader, epoch) = (ServerId(leader), Epoch(epoch));
        let mut lines = read(file);
        let ends = lines.iter().position(|line| line.kind.ends_with("ACTIVATE"));
        lines.truncate(ends.unwrap_or(lines.len()));
        lines.retain(|line| line.kind != "SNAPSTREAM");
        let leads =
            |line: &&Line| line.from == leader && line.packet() == Packet::LeaderInfo { epoch };
        let learners: Vec<(Link, ServerId)> =
            lines.iter().filter(leads).map(|line| (line.connection, line.to)).collect();
        let configs = lines.iter().filter(|line| line.from == leader).map(Line::packet);
        let mut configs = configs.filter_map(|packet| match packet {
            Packet::NewLeader { config, epoch: own } if own == epoch => Some(config),
            _ => None,
        });
        let config = configs.next().expect("a reign has a NEWLEADER");
        // Whom a reconfig is about to add is no learner of ours.
        let is_member = |id: ServerId| config.contains(&format!("server.{}=", id.0));
        // Apache sends who comes late a snapshot even before the first transaction; we say DIFF.
        let nothing = Packet::Snap { zxid: Zxid::new(epoch, 0) };
        let of_nothing = lines.iter().filter(|line| line.packet() == nothing);
        let of_nothing: Vec<Link> = of_nothing.map(|line| line.connection).collect();
        lines.retain(|line| {
            let mine = |(link, id): &(Link, ServerId)| *link == line.connection && is_member(*id);
            learners.iter().any(mine) && !of_nothing.contains(&line.connection)
        });
        Self { name: format!("{file}, epoch {}", epoch.0), leader, epoch, config, lines }
    }

    fn player(&self, recovered: Recovered, history: HistoryLimits) -> Player {
        let mut config = self.config.parse::<QuorumConfig>().expect("a configuration");
        if recovered.last_logged == Zxid::ZERO {
            // As it was in the file; the captured NEWLEADER gives it its first version.
            assert_eq!(config.version, Zxid::new(self.epoch, 0), "{}", self.name);
            config.version = Zxid::ZERO;
        }
        let vote = Vote {
            leader: self.leader,
            zxid: recovered.last_logged,
            round: 1,
            peer_epoch: i64::from(recovered.epochs.current.0),
        };
        let text = config.to_string();
        let mut player = Player::new(self.leader, &text, config.version, history, recovered);
        for voter in self.others() {
            player.hear_vote(voter, ServerState::Looking, vote);
        }
        player
    }

    /// The voters that do not lead.
    fn others(&self) -> impl Iterator<Item = ServerId> {
        let quorum: QuorumConfig = self.config.parse().expect("a configuration");
        let voters: Vec<ServerId> = quorum.voters().collect();
        voters.into_iter().filter(|voter| *voter != self.leader)
    }

    /// Lets the learners speak and hears what the node says in the leader's place. `witness` is a
    /// follower of the capture's leader whose connection was not captured: it has acknowledged
    /// what is committed. Returns how many packets were compared.
    fn play(&self, player: &mut Player, mut proposed: Zxid, witness: Option<Link>) -> usize {
        let mut theirs: BTreeMap<Link, Vec<Packet>> = BTreeMap::new();
        for line in &self.lines {
            let (link, packet) = (line.connection, line.packet());
            if line.to == self.leader {
                if let btree_map::Entry::Vacant(first) = theirs.entry(link) {
                    first.insert(Vec::new());
                    player.hear(Event::Accepted { link });
                }
                if !matches!(packet, Packet::PingReply { .. }) {
                    player.hear(Event::Received { link, packet });
                }
                continue;
            }
            match &packet {
                Packet::Proposal { zxid, txn } | Packet::Inform { zxid, txn }
                    if *zxid > proposed =>
                {
                    proposed = *zxid;
                    player.hear(Event::Propose { zxid: *zxid, txn: txn.clone() });
                }
                Packet::Revalidated { session, valid } => {
                    let (session, valid) = (*session, *valid);
                    player.hear(Event::RevalidateAnswered { link, session, valid });
                }
                _ => {}
            }
            if let (Packet::Commit { zxid } | Packet::Inform { zxid, .. }, Some(link)) =
                (&packet, witness)
            {
                player.acknowledge(link, *zxid);
            }
            theirs.entry(link).or_default().push(packet);
        }
        for (link, theirs) in &theirs {
            compare(&player.sent[link], theirs, &format!("{}, connection {}", self.name, link.0));
        }
        theirs.values().map(Vec::len).sum()
    }
}

/// A node in the place of `leader` in a reign that was captured from its beginning, when its log
/// ended at `last`.
fn check_leader(file: &str, leader: i64, last: Zxid, epoch: u32) -> usize {
    let reign = Reign::read(file, leader, epoch);
    let proposals = read(file).into_iter().filter(|line| line.kind == "PROPOSAL");
    let mut history: BTreeMap<Zxid, Entry> = BTreeMap::new();
    for packet in proposals.map(|line| line.packet()) {
        if let Packet::Proposal { zxid, txn } = packet {
            history.entry(zxid).or_insert((zxid, txn));
        }
    }
    let tail: Vec<Entry> = history.range(..=last).map(|(_, entry)| entry.clone()).collect();
    let before = Epoch(epoch - 1);
    let recovered = Recovered {
        last_logged: last,
        epochs: Epochs { accepted: before, current: before },
        before_tail: if tail.is_empty() { last } else { Zxid::new(last.epoch(), 0) },
        tail,
    };
    let mut player = reign.player(recovered, HistoryLimits::default());
    reign.play(&mut player, Zxid::new(Epoch(epoch), 0), None)
}

/// A node in the place of server 3, which led in epoch 1 when the capture began: with what it
/// had committed by then, and with another follower, whose connection was not captured.
fn check_reigning(file: &str) -> usize {
    let reign = Reign::read(file, 3, 1);
    let mut missed: BTreeMap<Zxid, Entry> = BTreeMap::new();
    let mut committed = None;
    for packet in reign.lines.iter().filter(|line| line.from == reign.leader).map(Line::packet) {
        match packet {
            Packet::Diff { zxid } | Packet::Snap { zxid } => committed = Some((zxid, packet)),
            Packet::Proposal { zxid, txn } => drop(missed.insert(zxid, (zxid, txn))),
            Packet::NewLeader { .. } => break,
            _ => {}
        }
    }
    let (committed, choice) = committed.expect("a learner is brought to some place");
    let by_snapshot = matches!(choice, Packet::Snap { .. });
    let history = if by_snapshot {
        HistoryLimits { txns_max: 0, bytes_max: 0 }
    } else {
        HistoryLimits::default()
    };
    let mut player = reign.player(recovered(Zxid::ZERO, Epochs::default()), history);
    let learners: Vec<ServerId> = reign.lines.iter().map(|line| line.from).collect();
    let witness = reign.others().find(|voter| !learners.contains(voter));
    let link = Link(u64::MAX);
    player.be_followed(link, witness.expect("one of three is not in the capture"), reign.epoch);
    for counter in 1..=committed.counter() {
        let zxid = Zxid::new(reign.epoch, counter);
        let txn = missed.get(&zxid).map_or_else(TxnBytes::new, |(_, txn)| txn.clone());
        player.hear(Event::Propose { zxid, txn });
        player.acknowledge(link, zxid);
    }
    reign.play(&mut player, committed, Some(link))
}

#[test]
fn a_leader_says_what_apaches_leaders_said() {
    let compared = check_leader("boot-and-broadcast.jsonl", 3, Zxid::ZERO, 1)
        + check_leader("trunc.jsonl", 3, Zxid::new(Epoch(1), 6), 2)
        + check_leader("failover-and-quorum-loss.jsonl", 3, Zxid::ZERO, 1)
        + check_leader("failover-and-quorum-loss.jsonl", 2, Zxid::new(Epoch(1), 3), 2)
        + check_leader("local-sessions.jsonl", 3, Zxid::ZERO, 1)
        + check_leader("reconfig.jsonl", 3, Zxid::ZERO, 1);
    assert!(compared > 200, "{compared} packets were compared");
}

#[test]
fn a_leader_brings_in_learners_as_apaches_leaders_did() {
    let mut compared = 0;
    for file in [
        "diff-with-writes-in-flight.jsonl",
        "observer.jsonl",
        "snap-empty-follower.jsonl",
        "snap-with-writes-in-flight.jsonl",
    ] {
        compared += check_reigning(file);
    }
    assert!(compared > 180, "{compared} packets were compared");
}
