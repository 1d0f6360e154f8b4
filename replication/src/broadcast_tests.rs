//! Conversations of broadcast: member 3 leads 1 and 2, member 1 follows 3.

use menagerie_wire::quorum::Touch;
use menagerie_wire::{ServerId, SessionId, Zxid};

use super::{Broadcast, TOUCHED_MAX};
use crate::effect::{Effect, Effects};
use crate::event::{Event, Link};
use crate::packet::Packet;
use crate::quorum::Majority;
use crate::script::{ACCEPTED, ELECTED, FOLLOWING, JOINED_BY_2, LEADING, after};

const A: ServerId = ServerId(1);
const B: ServerId = ServerId(2);

fn three() -> Majority {
    Majority::new(vec![A, B, ServerId(3)])
}

#[test]
fn a_commit_waits_for_a_quorum_and_leaves_in_order() {
    let mut broadcast = Broadcast::new(Zxid(10));
    broadcast.propose(Zxid(11), 0);
    broadcast.propose(Zxid(12), 0);
    assert_eq!(broadcast.acknowledge(A, Zxid(12), &three(), 0), None);
    assert_eq!(broadcast.acknowledge(B, Zxid(11), &three(), 0), Some(Zxid(11)));
    assert_eq!(broadcast.acknowledge(B, Zxid(12), &three(), 0), Some(Zxid(12)));
    assert_eq!(broadcast.last_committed(), Zxid(12));
}

#[test]
fn one_member_never_counts_twice() {
    let mut broadcast = Broadcast::new(Zxid(0));
    broadcast.propose(Zxid(1), 0);
    assert_eq!(broadcast.acknowledge(A, Zxid(1), &three(), 0), None);
    assert_eq!(broadcast.acknowledge(A, Zxid(1), &three(), 0), None);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_gap_in_the_proposals_is_refused() {
    Broadcast::new(Zxid(1)).propose(Zxid(3), 0);
}

#[test]
#[should_panic(expected = "the last proposal is")]
fn nobody_acknowledges_what_was_not_proposed() {
    Broadcast::new(Zxid(1)).acknowledge(A, Zxid(2), &three(), 0);
}

#[test]
fn a_proposal_is_committed_by_any_two_of_three_the_own_disk_being_one() {
    let mut script = after(3, &[ELECTED, LEADING, JOINED_BY_2]);
    script.check(
        "
        propose 2:1
          send L1 PROPOSAL 2:1
          send L2 PROPOSAL 2:1
          append 2:1
        propose 2:2
          send L1 PROPOSAL 2:2
          send L2 PROPOSAL 2:2
          append 2:2
        recv L2 ACK 2:1
        recv L1 ACK 2:1
          send L1 COMMIT 2:1
          send L2 COMMIT 2:1
          commit 2:1
        logged 2:2
        recv L1 ACK 2:2
          send L1 COMMIT 2:2
          send L2 COMMIT 2:2
          commit 2:2
        recv L2 ACK 2:2
        ",
    );
}

#[test]
fn an_acknowledgement_of_nothing_costs_the_connection() {
    after(3, &[ELECTED, LEADING, JOINED_BY_2]).check(
        "
        recv L2 ACK 2:1
          close L2: acknowledgement of 0x200000001, the last proposal is 0x200000000
        ",
    );
}

#[test]
fn a_leader_near_the_end_of_its_zxids_commits_what_it_has_and_resigns() {
    let mut script = after(3, &[ELECTED, LEADING]);
    for counter in 1..=99 {
        script.play_all(&format!("propose 2:{counter}"));
    }
    script.play_all("logged 2:99\nrecv L1 ACK 2:99");
    script.check(
        "
        propose 2:100
          send L1 PROPOSAL 2:100
          append 2:100
          step down from 2
        propose 2:101
          send L1 PROPOSAL 2:101
          append 2:101
        logged 2:101
        recv L1 ACK 2:100
          send L1 COMMIT 2:100
          commit 2:100
        recv L1 ACK 2:101
          send L1 COMMIT 2:101
          commit 2:101
          stop serving: epoch 2 has used up its zxids
          close L1
          stop listening
          drain 1
        ",
    );
}

#[test]
fn a_follower_acknowledges_each_proposal_once_it_is_durable() {
    after(1, &[ACCEPTED, FOLLOWING]).check(
        "
        recv L1 PROPOSAL 2:1
          append 2:1
        recv L1 PROPOSAL 2:2
          append 2:2
        recv L1 COMMIT 2:1
          commit 2:1
        logged 2:2
          send L1 ACK 2:1
          send L1 ACK 2:2
        recv L1 COMMIT 2:2
          commit 2:2
        ",
    );
}

#[test]
fn a_follower_leaves_a_leader_whose_stream_has_a_hole() {
    let cases = [
        ("", "PROPOSAL 2:2", "0x200000002 does not follow 0x100000005"),
        ("", "PROPOSAL 1:6", "0x100000006 does not follow 0x100000005"),
        ("", "COMMIT 2:1", "commit of 0x200000001, where None is due"),
        (
            "recv L1 PROPOSAL 2:1\nrecv L1 PROPOSAL 2:2",
            "COMMIT 2:2",
            "commit of 0x200000002, where Some(0x200000001) is due",
        ),
    ];
    for (before, packet, fault) in cases {
        after(1, &[ACCEPTED, FOLLOWING, before]).check(&format!(
            "recv L1 {packet}\n  stop serving: leader 3 broke the protocol: {fault}\n  close L1: \
             {fault}\n  drain 1\n"
        ));
    }
}

#[test]
fn an_observer_logs_and_commits_what_it_is_told_and_acknowledges_nothing() {
    after(4, &[ACCEPTED, FOLLOWING]).check(
        "
        recv L1 INFORM 2:1
          append 2:1
          commit 2:1
        logged 2:1
        recv L1 PING 2:1
          send L1 PONG 2:1
        ",
    );
}

#[test]
fn requests_go_to_the_leader_and_touches_with_the_next_ping() {
    after(1, &[ACCEPTED, FOLLOWING]).check(
        "
        write 4
          send L1 REQUEST 4
        touch 9
        touch 8
        revalidate 6
          send L1 REVALIDATE 6
        recv L1 REVALIDATED 6
          revalidated 6: true
        recv L1 PING 2:0
          send L1 PONG 2:0 8 9
        recv L1 PING 2:0
          send L1 PONG 2:0
        ",
    );
    after(3, &[ELECTED, LEADING]).check(
        "
        recv L1 REQUEST write 4
          judge 4 of L1
        recv L1 REVALIDATE 6
          revalidate 6 for L1
        valid L1 6
          send L1 REVALIDATED 6
        recv L1 PONG 2:0 8 9
          touched 8 9
        ",
    );
}

#[test]
fn nothing_is_asked_of_a_leader_before_uptodate() {
    let aligning = "accepted L2\nrecv L2 FOLLOWERINFO 2 accepted 1\nrecv L2 ACKEPOCH 1:5 1";
    for packet in ["REQUEST write 4", "REQUEST sync 4", "REVALIDATE 6", "PONG 2:0"] {
        after(3, &[ELECTED, LEADING, aligning])
            .check(&format!("recv L2 {packet}\n  close L2: a packet that has no place here\n"));
    }
}

#[test]
fn more_touched_sessions_than_a_packet_holds_go_with_two_answers() {
    let mut script = after(1, &[ACCEPTED, FOLLOWING]);
    let touch = |id| Touch { session: SessionId(id), timeout_ms: 1 };
    let all = TOUCHED_MAX as i64 + 3;
    let mut effects = Effects::new();
    script.node.step(Event::Touched((0..all).map(touch).collect()), 0, &mut effects);
    let mut answered = |expect: std::ops::Range<i64>| {
        let (link, packet) = (Link(1), Packet::Ping { zxid: Zxid::ZERO });
        script.node.step(Event::Received { link, packet }, 0, &mut effects);
        let Some(Effect::Send { packet: Packet::PingReply { touched, .. }, .. }) = effects.pop()
        else {
            panic!("a PING is answered")
        };
        assert_eq!(touched, expect.map(touch).collect::<Vec<_>>());
    };
    answered(0..TOUCHED_MAX as i64);
    answered(TOUCHED_MAX as i64..all);
    answered(0..0);
}
