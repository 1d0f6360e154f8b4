//! What Apache's servers said to each other, said by a node in the place of one of them.
//!
//! The conversations in `wire/tests/data/ensemble` were captured between servers of Apache
//! ZooKeeper 3.9.4. A node takes the part of a learner, and hears what the leader said then; or
//! that of the leader, and hears the learners. Its own packets must be, byte for byte, those of the
//! server whose part it has. What comes from clients or from the tree is taken from the capture.
//! When a disk was ready, or a PING was due, is not: packets are compared in order within each
//! type, and up to NEWLEADER in order altogether.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use menagerie_replication::{
    Effect, Effects, Entry, Epochs, Event, HistoryLimits, Link, Membership, Node, Packet,
    RESIGN_AT_COUNTER, Recovered, Settings, Timeouts,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::{QuorumPacket, Touch};
use menagerie_wire::quorum_config::QuorumConfig;
use menagerie_wire::{Encode, Epoch, ServerId, Zxid};

/// One line of a capture: a packet, or a snapshot stream.
struct Line {
    connection: Link,
    from: ServerId,
    to: ServerId,
    kind: String,
    bytes: Vec<u8>,
}

/// The lines of a file on learners' connections, each from its first packet on.
fn read(file: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/ensemble").join(file);
    let text = std::fs::read_to_string(&path).expect("the capture is in the checkout");
    let mut complete = Vec::new();
    let mut lines: Vec<Line> = text.lines().filter_map(line).collect();
    lines.retain(|line| {
        if ["FOLLOWERINFO", "OBSERVERINFO"].contains(&line.kind.as_str()) {
            complete.push(line.connection);
        }
        complete.contains(&line.connection)
    });
    lines
}

fn line(text: &str) -> Option<Line> {
    let channel = field(text, "channel")?;
    if channel == "election" {
        return None;
    }
    let number = |name| field(text, name)?.parse::<i64>().ok();
    let hex = field(text, "hex")?;
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    Some(Line {
        connection: Link(number("conn")?.unsigned_abs()),
        from: ServerId(number("src")?),
        to: ServerId(number("dst")?),
        kind: field(text, "type")?.to_owned(),
        bytes: (0..hex.len()).step_by(2).map(digits).collect(),
    })
}

/// A number or string of a flat JSON object; those asked for hold no escapes.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\": ");
    let from = text.find(&key)? + key.len();
    let value = &text[from..];
    match value.strip_prefix('"') {
        Some(string) => string.split('"').next(),
        None => value.split([',', '}']).next(),
    }
}

impl Line {
    fn packet(&self) -> Packet {
        Packet::from(QuorumPacket::from_bytes(&self.bytes).expect("a packet"))
    }
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.as_wire().encode(&mut out);
    out
}

/// A node whose disk is always ready.
struct Player {
    node: Node,
    sent: BTreeMap<Link, Vec<Packet>>,
    /// What the disk or the network answers to effects, in order.
    answers: Vec<Event>,
    snapshot: Option<Zxid>,
}

impl Player {
    fn new(id: ServerId, config: &str, config_version: Zxid, recovered: Recovered) -> Self {
        let quorum: QuorumConfig = config.parse().expect("a configuration");
        let voters: Vec<ServerId> = quorum.voters().collect();
        let others = quorum.members.keys().filter(|member| !voters.contains(member)).copied();
        let observers: Vec<ServerId> = others.collect();
        let settings = Settings {
            id,
            membership: Membership::new(voters, observers, Arc::from(config), config_version),
            timeouts: Timeouts::default(),
            history: HistoryLimits::default(),
            resign_at_counter: RESIGN_AT_COUNTER,
        };
        let mut player = Self {
            node: Node::new(settings),
            sent: BTreeMap::new(),
            answers: Vec::new(),
            snapshot: None,
        };
        player.hear(Event::Started(recovered));
        player
    }

    fn hear(&mut self, event: Event) {
        self.answers.push(event);
        while !self.answers.is_empty() {
            let mut effects = Effects::new();
            self.node.step(self.answers.remove(0), 0, &mut effects);
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
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
            Effect::Close { link, fault } => panic!("{link:?} is closed: {fault:?}"),
            Effect::StopServing { reason } => panic!("the role ends: {reason}"),
            _ => {}
        }
    }

    fn hear_vote(&mut self, from: ServerId, state: ServerState, vote: Vote) {
        self.hear(Event::Notified { from, state, vote, version: 2 });
    }
}

fn is_ping(packet: &Packet) -> bool {
    matches!(packet, Packet::Ping { .. })
}

/// Each type's packets of `theirs` are the first of `ours`, and up to NEWLEADER all are, in order.
fn compare(ours: &[Packet], theirs: &[Packet], who: &str) {
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

/// A node in the place of each learner of a file. Returns how many packets were compared.
fn check_learners(file: &str) -> usize {
    let lines = read(file);
    let mut connections: Vec<Link> = lines.iter().map(|line| line.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    let mut compared = 0;
    for connection in connections {
        let lines: Vec<&Line> = lines.iter().filter(|l| l.connection == connection).collect();
        compared += check_learner(&lines, &format!("{file}, connection {}", connection.0));
    }
    compared
}

/// What was said on a connection, and by whom; `None` is a snapshot stream.
type Said = (ServerId, Option<Packet>);

fn check_learner(lines: &[&Line], who: &str) -> usize {
    let (id, leader, link) = (lines[0].from, lines[0].to, lines[0].connection);
    // A change of the membership ends what a node can follow.
    let ends = lines.iter().position(|line| line.kind.ends_with("ACTIVATE"));
    let said: Vec<Said> = lines[..ends.unwrap_or(lines.len())]
        .iter()
        .map(|line| (line.from, (line.kind != "SNAPSTREAM").then(|| line.packet())))
        .collect();
    let Some(mut player) = learner(id, &said) else { return 0 };
    let vote = Vote { leader, zxid: Zxid::ZERO, round: 9, peer_epoch: 9 };
    for voter in (1..=5).map(ServerId).filter(|voter| *voter != id && *voter != leader) {
        player.hear_vote(voter, ServerState::Following, vote);
    }
    player.hear_vote(leader, ServerState::Leading, vote);
    if player.node.leader().is_none() {
        // An observer may have a follower for leader, whom nobody elects.
        return 0;
    }
    player.hear(Event::Connected { leader, link });
    let mut theirs = Vec::new();
    for (at, (from, packet)) in said.iter().enumerate() {
        match packet {
            None => {
                let zxid = player.snapshot.take().expect("a stream comes behind SNAP");
                player.hear(Event::Installed { zxid });
            }
            Some(packet) if *from == id => {
                theirs.push(packet.clone());
                match packet {
                    Packet::Request(request) => player.hear(Event::Request(request.clone())),
                    Packet::Revalidate(touch) => player.hear(Event::Revalidate(*touch)),
                    _ => {}
                }
            }
            Some(packet) => {
                if is_ping(packet) {
                    player.hear(Event::Touched(next_touched(&said[at..])));
                }
                player.hear(Event::Received { link, packet: packet.clone() });
            }
        }
    }
    compare(&player.sent[&link], &theirs, who);
    theirs.len()
}

/// A node as the learner was when it connected. `None` when the capture ends too soon, or for a
/// server that a reconfig is about to add: it follows without a vote, which is none of our roles.
fn learner(id: ServerId, said: &[Said]) -> Option<Player> {
    let find = |wanted: fn(&Packet) -> bool| said.iter().flat_map(|(_, p)| p).find(|p| wanted(p));
    let Packet::LearnerInfo { accepted_epoch, config_version, .. } = find(|_| true)? else {
        panic!("a learner's first packet says who it is");
    };
    let ack_epoch = find(|packet| matches!(packet, Packet::AckEpoch { .. }))?;
    let Packet::AckEpoch { last_zxid, current_epoch } = ack_epoch else { return None };
    let new_leader = find(|packet| matches!(packet, Packet::NewLeader { .. }))?;
    let Packet::NewLeader { config, .. } = new_leader else { return None };
    let current = current_epoch.unwrap_or(*accepted_epoch);
    let recovered = Recovered {
        last_logged: *last_zxid,
        epochs: Epochs { accepted: *accepted_epoch, current },
        tail: Vec::new(),
        before_tail: *last_zxid,
    };
    let member = config.contains(&format!("server.{}=", id.0));
    member.then(|| Player::new(id, config, *config_version, recovered))
}

/// The sessions that the learner's next answer to a PING names.
fn next_touched(said: &[Said]) -> Vec<Touch> {
    let answer = said.iter().flat_map(|(_, packet)| packet).find_map(|packet| match packet {
        Packet::PingReply { touched, .. } => Some(touched.clone()),
        _ => None,
    });
    answer.unwrap_or_default()
}

/// A node in the place of `leader` in the reign whose log ends at `last` when it begins.
fn check_leader(file: &str, leader: i64, last: Zxid, epoch: u32) -> usize {
    let leader = ServerId(leader);
    let all = read(file);
    let proposals = all.iter().filter(|line| line.kind == "PROPOSAL").map(Line::packet);
    let mut history: BTreeMap<Zxid, Entry> = BTreeMap::new();
    for packet in proposals {
        if let Packet::Proposal { zxid, txn } = packet {
            history.entry(zxid).or_insert((zxid, txn));
        }
    }
    let greets = |line: &&Line| line.kind == "FOLLOWERINFO" && line.to == leader;
    let learners: Vec<Link> = all.iter().filter(greets).map(|line| line.connection).collect();
    let mine = |line: &&Line| learners.contains(&line.connection);
    let lines: Vec<&Line> = all.iter().filter(mine).collect();
    let config = lines.iter().find(|line| line.kind == "NEWLEADER").expect("a reign").packet();
    let Packet::NewLeader { config, .. } = config else { panic!("{file}: no NEWLEADER") };
    let tail: Vec<Entry> = history.range(..=last).map(|(_, entry)| entry.clone()).collect();
    let before = Epoch(epoch - 1);
    let recovered = Recovered {
        last_logged: last,
        epochs: Epochs { accepted: before, current: before },
        before_tail: if tail.is_empty() { last } else { Zxid::new(last.epoch(), 0) },
        tail,
    };
    let version = config.parse::<QuorumConfig>().expect("a configuration").version;
    let mut player = Player::new(leader, &config, version, recovered);
    let peer_epoch = i64::from(before.0);
    let vote = Vote { leader, zxid: last, round: 1, peer_epoch };
    for voter in (1..=3).map(ServerId).filter(|voter| *voter != leader) {
        player.hear_vote(voter, ServerState::Looking, vote);
    }
    let mut proposed = Zxid::new(Epoch(epoch), 0);
    let mut theirs: BTreeMap<Link, Vec<Packet>> = BTreeMap::new();
    for line in lines {
        let (link, packet) = (line.connection, line.packet());
        if line.to == leader {
            if theirs.insert(link, theirs.get(&link).cloned().unwrap_or_default()).is_none() {
                player.hear(Event::Accepted { link });
            }
            if !matches!(packet, Packet::PingReply { .. }) {
                player.hear(Event::Received { link, packet });
            }
            continue;
        }
        match &packet {
            Packet::Proposal { zxid, txn } if *zxid > proposed => {
                proposed = *zxid;
                player.hear(Event::Propose { zxid: *zxid, txn: Arc::clone(txn) });
            }
            Packet::Revalidated { session, valid } => {
                let (session, valid) = (*session, *valid);
                player.hear(Event::RevalidateAnswered { link, session, valid });
            }
            _ => {}
        }
        theirs.entry(link).or_default().push(packet);
    }
    for (link, theirs) in &theirs {
        compare(&player.sent[link], theirs, &format!("{file}, connection {}", link.0));
    }
    theirs.values().map(Vec::len).sum()
}

#[test]
fn a_learner_says_what_apaches_learners_said() {
    let mut compared = 0;
    for file in [
        "boot-and-broadcast.jsonl",
        "diff-with-writes-in-flight.jsonl",
        "failover-and-quorum-loss.jsonl",
        "local-sessions.jsonl",
        "observer-master.jsonl",
        "observer.jsonl",
        "reconfig.jsonl",
        "snap-empty-follower.jsonl",
        "snap-with-writes-in-flight.jsonl",
        "trunc.jsonl",
    ] {
        compared += check_learners(file);
    }
    assert!(compared > 250, "{compared} packets were compared");
}

#[test]
fn a_leader_says_what_apaches_leaders_said() {
    let compared = check_leader("boot-and-broadcast.jsonl", 3, Zxid::ZERO, 1)
        + check_leader("trunc.jsonl", 3, Zxid::new(Epoch(1), 6), 2)
        + check_leader("failover-and-quorum-loss.jsonl", 2, Zxid::new(Epoch(1), 3), 2);
    assert!(compared > 100, "{compared} packets were compared");
}
