//! Versions of a configuration: alone, and in the hands of a node.

use super::*;
use crate::effect::Effects;
use crate::event::Event;
use crate::packet::Packet;
use crate::script::{ACCEPTED, ELECTED, LEADING, Script, after};

const MEMBERS: &str = "server.1=a:1:2:participant\nserver.2=b:1:2:observer\n";

fn text(members: &str, version: &str) -> Arc<str> {
    format!("{members}version={version}").into()
}

fn membership(is_versioned: bool) -> Membership {
    let (voters, observers) = (vec![ServerId(1)], vec![ServerId(2)]);
    let membership = Membership::new(voters, observers, text(MEMBERS, "0"), Zxid::ZERO);
    membership.versioned(is_versioned)
}

#[test]
fn a_later_version_of_the_same_members_is_taken() {
    let mut membership = membership(true);
    // Whoever leads may write the same servers differently.
    let leaders = text(&MEMBERS.replace("b:1:2", "b.example:1:2"), "100000000");
    membership.adopt(&leaders);
    let version = Zxid(0x1_0000_0000);
    assert_eq!((membership.text(), membership.version()), (&leaders, version));
    assert_eq!(membership.configured(), Zxid::ZERO);
    for earlier in ["0", "ff", "100000000"] {
        membership.adopt(&text(MEMBERS, earlier));
        assert_eq!((membership.text(), membership.version()), (&leaders, version));
    }
}

#[test]
fn other_members_and_what_is_no_configuration_are_not_taken() {
    let more = format!("{MEMBERS}server.3=c:1:2:observer\n");
    let promoted = MEMBERS.replace("observer", "participant");
    for other in [&more, &promoted, "server.1=a:1:2\n", "", "server.1\n"] {
        let mut kept = membership(true);
        kept.adopt(&text(other, "200000000"));
        assert_eq!(kept, membership(true), "{other}");
    }
}

#[test]
fn the_first_leader_gives_the_version_of_its_new_leader() {
    let new_leader = Zxid(0x3_0000_0000);
    let mut versioned = membership(true);
    let proclaimed = versioned.proclaimed(new_leader);
    assert_eq!(proclaimed, text(MEMBERS, "300000000"));
    versioned.adopt(&proclaimed);
    assert_eq!(versioned.version(), new_leader);
    assert_eq!(versioned.proclaimed(Zxid(0x4_0000_0000)), proclaimed, "later ones keep it");
}

#[test]
fn without_versions_the_configuration_stays_what_the_file_says() {
    let mut kept = membership(false);
    assert_eq!(kept.proclaimed(Zxid(0x1_0000_0000)), text(MEMBERS, "0"));
    kept.adopt(&text(MEMBERS, "100000000"));
    assert_eq!(kept, membership(false));
}

/// Member `id` behind `scripts`, with versions.
fn node(id: i64, scripts: &[&str]) -> Script {
    let mut script = after(id, scripts);
    let membership = &mut script.node.member.settings.membership;
    let (members, voters) = (ensemble("0"), membership.quorum().voters().to_vec());
    *membership = Membership::new(voters, vec![ServerId(4)], members, Zxid::ZERO).versioned(true);
    script
}

/// Three voters and an observer.
fn ensemble(version: &str) -> Arc<str> {
    let line = |id| {
        let role = if id == 4 { "observer" } else { "participant" };
        format!("server.{id}=a:{id}:9:{role}\n")
    };
    text(&(1..=4).map(line).collect::<String>(), version)
}

fn version(script: &Script) -> i64 {
    script.node.membership().version().0
}

fn hear(script: &mut Script, event: Event) -> Effects {
    let mut effects = Effects::new();
    script.node.step(event, 1_000, &mut effects);
    effects
}

#[test]
fn who_looks_for_a_leader_takes_a_version_that_comes_with_a_vote() {
    let heard = || Event::ConfigHeard { text: ensemble("100000000") };
    let mut looking = node(1, &["start 1:5 accepted 1 current 1 1:5"]);
    hear(&mut looking, heard());
    assert_eq!(version(&looking), 0x1_0000_0000);
    for mut settled in [node(1, &[ACCEPTED]), node(3, &[ELECTED])] {
        hear(&mut settled, heard());
        assert_eq!(version(&settled), 0, "it has a leader, who says it");
    }
}

#[test]
fn a_learner_takes_its_leaders_version_when_a_quorum_has_the_history() {
    let mut learner = node(1, &[ACCEPTED, "recv L1 DIFF 1:5"]);
    let (link, config) = (crate::event::Link(1), ensemble("200000000"));
    let packet = Packet::NewLeader { epoch: menagerie_wire::Epoch(2), config };
    hear(&mut learner, Event::Received { link, packet });
    learner.play_all("saved 2 2");
    assert_eq!(version(&learner), 0);
    learner.play_all("recv L1 UPTODATE");
    assert_eq!(version(&learner), 0x2_0000_0000);
}

#[test]
fn a_leader_takes_the_version_it_gives_when_a_quorum_has_the_history() {
    let mut leader = node(3, &[ELECTED]);
    let (joining, acknowledged) = LEADING.split_at(LEADING.find("recv L1 ACK 2:0").expect("it is"));
    leader.play_all(joining);
    assert_eq!(version(&leader), 0);
    leader.play_all(acknowledged);
    assert_eq!(version(&leader), 0x2_0000_0000);
    assert_eq!(leader.node.membership().text(), &ensemble("200000000"));
}
