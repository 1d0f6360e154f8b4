//! A node in the place of a follower or an observer.
//!
//! Not played are server 4 of `reconfig`, which follows before it is a member, and there the old
//! leader that has been removed: both are roles that only a reconfig has.

use menagerie_replication::{Epochs, Event, HistoryLimits, Link, Packet};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{ServerId, Zxid};

use crate::capture::{FILES, Line, read};
use crate::player::{Player, compare, is_ping, recovered};

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
    let recovered = recovered(*last_zxid, Epochs { accepted: *accepted_epoch, current });
    let member = config.contains(&format!("server.{}=", id.0));
    member.then(|| Player::new(id, config, *config_version, HistoryLimits::default(), recovered))
}

/// The sessions that the learner's next answer to a PING names.
fn next_touched(said: &[Said]) -> Vec<Touch> {
    let answer = said.iter().flat_map(|(_, packet)| packet).find_map(|packet| match packet {
        Packet::PingReply { touched, .. } => Some(touched.clone()),
        _ => None,
    });
    answer.unwrap_or_default()
}

#[test]
fn a_learner_says_what_apaches_learners_said() {
    let mut compared = 0;
    for file in FILES {
        compared += check_learners(file);
    }
    assert!(compared > 250, "{compared} packets were compared");
}
