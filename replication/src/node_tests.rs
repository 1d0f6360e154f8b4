//! What holds whatever the role: the quorum of one, the drain between roles, strangers.

use menagerie_wire::{Epoch, ServerId, Zxid};

use super::*;
use crate::packet::TxnBytes;
use crate::script::{ACCEPTED, ELECTED, FOLLOWING, LEADING, after};

fn step(node: &mut Node, event: Event) -> Effects {
    let mut effects = Effects::new();
    node.step(event, 0, &mut effects);
    effects
}

#[test]
fn a_quorum_of_one_leads_at_once_and_goes_on_in_its_epoch() {
    let mut node = Node::standalone(ServerId(1));
    assert_eq!(node.role(), Role::Looking);
    let last_zxid = Zxid::new(Epoch(4), 9);
    let effects = step(&mut node, Event::Started(Recovered::alone(last_zxid)));
    assert_eq!(effects, [Effect::Lead { epoch: Epoch(4), last_zxid }]);
    assert_eq!((node.role(), node.deadline_ms()), (Role::Leading, None));
}

#[test]
fn a_write_is_committed_when_its_log_record_is_durable_and_not_before() {
    let mut node = Node::standalone(ServerId(1));
    step(&mut node, Event::Started(Recovered::alone(Zxid::ZERO)));
    let txn = TxnBytes::from_static(&[7]);
    let zxid = Zxid(1);
    let effects = step(&mut node, Event::Propose { zxid, txn: txn.clone() });
    assert_eq!(effects, [Effect::Append { zxid, txn }]);
    assert_eq!(node.last_committed(), Zxid::ZERO);
    assert_eq!(step(&mut node, Event::Logged { zxid }), [Effect::Commit { zxid }]);
    assert_eq!(node.last_committed(), zxid);
}

#[test]
fn a_completion_of_a_dead_role_moves_the_durable_end_only() {
    let receives = "recv L1 DIFF 1:6\nrecv L1 PROPOSAL 1:6\nrecv L1 COMMIT 1:6\nclosed L1";
    let mut script = after(1, &[ACCEPTED, receives]);
    script.check(
        "
        logged 1:6
        drained 1 1:6 2 1
          vote 2 LOOKING for 1 1:6 r2 e1
          vote 3 LOOKING for 1 1:6 r2 e1
        ",
    );
}

#[test]
fn whoever_connects_to_a_node_that_does_not_lead_is_sent_away() {
    after(1, &[ACCEPTED]).check(
        "
        accepted L9
          close L9: this node does not lead
        connected 2 L8
          close L8
        recv L9 FOLLOWERINFO 2 accepted 1
        closed L9
        ",
    );
}

#[test]
#[should_panic(expected = "does not lead")]
fn only_a_leader_proposes() {
    after(1, &["start 1:5 accepted 1 current 1", "propose 1:6"]);
}

#[test]
#[should_panic(expected = "before the reign began")]
fn nothing_is_proposed_before_the_reign_begins() {
    after(3, &[ELECTED, "propose 2:1"]);
}

#[test]
#[should_panic(expected = "drained with appends under way")]
fn a_disk_that_is_not_idle_is_not_drained() {
    after(3, &[ELECTED, LEADING, "propose 2:1", "wait 2000", "drained 1 1:5 2 2"]);
}

const DIVERGED: &str = "
    recv L1 PROPOSAL 2:1
    logged 2:1
    recv L1 COMMIT 2:1
    diverged
    drained 1 2:1 2 2
";
/// Its leader is gone when it comes back.
const ORPHANED: &str = "
    connected 3 L9
    closed L9
    drained 2 2:1 2 2
";

#[test]
fn a_learner_whose_tree_differs_leaves_and_comes_back_by_a_snapshot() {
    let mut script = after(1, &[ACCEPTED, FOLLOWING]);
    script.check(
        "
        recv L1 PROPOSAL 2:1
          append 2:1
        logged 2:1
          send L1 ACK 2:1
        recv L1 COMMIT 2:1
          commit 2:1
        diverged
          stop serving: the tree is not what leader 3 has
          close L1
          drain 1
        ",
    );
    assert!(script.node.is_diverged());
    script.check(
        "
        drained 1 2:1 2 2
          connect 3
        connected 3 L2
          send L2 FOLLOWERINFO 1 accepted 2
        recv L2 LEADERINFO 2
          send L2 ACKEPOCH none -1
        recv L2 SNAP 2:1
          receive snapshot 2:1 on L2
        installed 2:1
        ",
    );
    assert!(!script.node.is_diverged());
    // The next time it says where it is.
    script.play_all("closed L2\ndrained 2 2:1 2 2");
    script.play_all("vote 3 LEADING for 3 1:5 r1 e2\nvote 2 FOLLOWING for 3 1:5 r1 e2");
    script.check(
        "
        connected 3 L3
          send L3 FOLLOWERINFO 1 accepted 2
        recv L3 LEADERINFO 2
          send L3 ACKEPOCH 2:1 -1
        ",
    );
}

/// Were the vote for "none", a leader without 2:1 could begin the reign: that is what the walk over
/// all states found.
#[test]
fn a_learner_whose_tree_differs_votes_with_its_log_and_serves_only_after_a_snapshot() {
    let mut script = after(1, &[ACCEPTED, FOLLOWING, DIVERGED, ORPHANED]);
    script.play_all("vote 2 LEADING for 2 2:1 r2 e2\nvote 3 FOLLOWING for 2 2:1 r2 e2");
    script.check(
        "
        connected 2 L2
          send L2 FOLLOWERINFO 1 accepted 2
        recv L2 LEADERINFO 3
          save accepted 3 current 2
        saved 3 2
          send L2 ACKEPOCH 2:1 2
        recv L2 DIFF 2:1
        recv L2 NEWLEADER 3
          save accepted 3 current 3
        saved 3 3
          send L2 ACK 3:0
        recv L2 UPTODATE
          stop serving: the tree is not what leader 2 has
          close L2
          drain 3
        drained 3 2:1 3 3
          connect 2
        connected 2 L3
          send L3 FOLLOWERINFO 1 accepted 3
        recv L3 LEADERINFO 3
          send L3 ACKEPOCH none -1
        ",
    );
}

#[test]
fn nobody_learns_from_a_tree_that_is_wrong() {
    let mut script = after(1, &[ACCEPTED, FOLLOWING, DIVERGED, ORPHANED]);
    script.check(
        "
        vote 2 LOOKING for 1 2:1 r2 e2
        vote 3 LOOKING for 1 2:1 r2 e2
          stop serving: elected to lead with a tree that is not what its history makes
          halt
        wait 9999
        ",
    );
}
