//! Conversations of discovery: member 3 is the elected leader, member 1 the learner.

use crate::script::{ACCEPTED, ELECTED, LEADING, after};

/// Member 1 of the history 1:5 has found out that 3 leads.
const FOUND: &str = "
    start 1:5 accepted 1 current 1
    vote 3 LEADING for 3 1:5 r1 e1
    vote 2 FOLLOWING for 3 1:5 r1 e1
";

#[test]
fn the_epoch_is_above_all_that_a_quorum_accepted_and_durable_before_it_is_offered() {
    after(3, &[ELECTED]).check(
        "
        accepted L1
        recv L1 FOLLOWERINFO 1 accepted 7
          save accepted 8 current 1
        accepted L2
        recv L2 FOLLOWERINFO 2 accepted 1
        saved 8 1
          send L1 LEADERINFO 8
          send L2 LEADERINFO 8
        recv L1 ACKEPOCH 1:4 1
          save accepted 8 current 8
        recv L2 ACKEPOCH 1:5 1
        saved 8 8
          send L1 DIFF 1:5
          send L1 PROPOSAL 1:5
          send L1 COMMIT 1:5
          send L1 NEWLEADER 8
          send L2 DIFF 1:5
          send L2 NEWLEADER 8
        ",
    );
}

#[test]
fn an_observer_raises_the_epoch_but_does_not_decide_it() {
    after(3, &[ELECTED]).check(
        "
        accepted L4
        recv L4 OBSERVERINFO 4 accepted 6
        accepted L1
        recv L1 FOLLOWERINFO 1 accepted 1
          save accepted 7 current 1
        saved 7 1
          send L1 LEADERINFO 7
          send L4 LEADERINFO 7
        recv L4 ACKEPOCH 1:5 1
        recv L1 ACKEPOCH 1:5 1
          save accepted 7 current 7
        ",
    );
}

#[test]
fn who_had_promised_the_epoch_before_is_no_vote() {
    let joins = "accepted L1\nrecv L1 FOLLOWERINFO 1 accepted 1\nsaved 2 1";
    after(3, &[ELECTED, joins]).check("recv L1 ACKEPOCH 1:5 -1");
}

#[test]
fn nobody_who_is_ahead_is_led() {
    let joins = "accepted L1\nrecv L1 FOLLOWERINFO 1 accepted 1\nsaved 2 1";
    after(3, &[ELECTED, joins]).check(
        "
        recv L1 ACKEPOCH 1:6 1
          close L1: it is at 0x100000006 of epoch 1, ahead of its leader
        ",
    );
    after(3, &[ELECTED, joins]).check(
        "
        recv L1 ACKEPOCH 1:1 2
          close L1: it is at 0x100000001 of epoch 2, ahead of its leader
        ",
    );
}

#[test]
fn only_members_are_let_in_and_each_once() {
    after(3, &[ELECTED]).check(
        "
        accepted L1
        recv L1 FOLLOWERINFO 9 accepted 1
          close L1: server 9 has no such place in the configuration
        accepted L2
        recv L2 FOLLOWERINFO 4 accepted 1
          close L2: server 4 has no such place in the configuration
        accepted L3
        recv L3 FOLLOWERINFO 3 accepted 1
          close L3: server 3 has no such place in the configuration
        accepted L4
        recv L4 OBSERVERINFO 1 accepted 1
          close L4: server 1 has no such place in the configuration
        accepted L5
        recv L5 ACKEPOCH 1:5 1
          close L5: a packet that has no place here
        accepted L6
        recv L6 FOLLOWERINFO 1 accepted 4294967295
          close L6: epoch 4294967295 is beyond all bounds
        accepted L7
        recv L7 FOLLOWERINFO 1 accepted 1
          save accepted 2 current 1
        accepted L8
        recv L8 FOLLOWERINFO 1 accepted 1
          close L7: another connection of the same server took its place
        ",
    );
}

#[test]
fn a_leader_without_a_quorum_gives_up_after_init_limit() {
    after(3, &[ELECTED]).check(
        "
        wait 999
        wait 1
          stop serving: no quorum has said its acceptedEpoch within initLimit
          stop listening
          drain 1
        ",
    );
    let one = "accepted L1\nrecv L1 FOLLOWERINFO 1 accepted 1\nsaved 2 1";
    after(3, &[ELECTED, one]).check(
        "
        wait 1000
          stop serving: no quorum has accepted epoch 2 within initLimit
          close L1
          stop listening
          drain 1
        ",
    );
}

#[test]
fn a_leader_resigns_for_one_who_promised_a_later_epoch() {
    let mut script = after(3, &[ELECTED, LEADING, "propose 2:1"]);
    script.check(
        "
        accepted L2
        recv L2 FOLLOWERINFO 2 accepted 5
          step down from 2
        recv L1 ACK 2:1
        logged 2:1
          send L1 COMMIT 2:1
          commit 2:1
          stop serving: server 2 has promised epoch 5, this reign is of 2
          close L1
          close L2
          stop listening
          drain 1
        ",
    );
}

#[test]
fn a_learner_promises_on_disk_before_it_answers() {
    after(1, &[FOUND]).check(
        "
        refused 3
        wait 100
          connect 3
        connected 3 L1
          send L1 FOLLOWERINFO 1 accepted 1
        recv L1 LEADERINFO 2
          save accepted 2 current 1
        saved 2 1
          send L1 ACKEPOCH 1:5 1
        ",
    );
}

#[test]
fn a_learner_that_promised_the_epoch_before_says_so() {
    let again = "
        closed L1
        drained 1 1:5 2 1
        vote 3 LEADING for 3 1:5 r2 e1
        vote 2 FOLLOWING for 3 1:5 r2 e1
    ";
    after(1, &[ACCEPTED, again]).check(
        "
        connected 3 L2
          send L2 FOLLOWERINFO 1 accepted 2
        recv L2 LEADERINFO 2
          send L2 ACKEPOCH 1:5 -1
        ",
    );
    after(1, &[ACCEPTED, again, "connected 3 L2"]).check(
        "
        recv L2 LEADERINFO 1
          stop serving: leader 3 broke the protocol: epoch 1 is offered, 2 is accepted already
          close L2: epoch 1 is offered, 2 is accepted already
          drain 2
        ",
    );
}

#[test]
fn a_leader_that_cannot_be_reached_is_given_up() {
    let mut script = after(1, &[FOUND]);
    for _ in 1..24 {
        script.play_all("refused 3");
    }
    script.check(
        "
        refused 3
          stop serving: leader 3 cannot be reached
          drain 1
        ",
    );
}

#[test]
fn a_leader_that_was_elected_in_vain_does_not_wait_for_init_limit() {
    after(3, &[ELECTED]).check(
        "
        vote 1 LOOKING for 3 1:5 r1 e1
          vote 1 LEADING for 3 1:5 r1 e1
        vote 1 LOOKING for 1 1:5 r2 e1
          vote 1 LEADING for 3 1:5 r1 e1
        vote 2 LOOKING for 2 1:5 r3 e1
          vote 2 LEADING for 3 1:5 r1 e1
          stop serving: too few voters are left that may still follow
          stop listening
          drain 1
        ",
    );
    after(3, &[ELECTED, "down 2"]).check(
        "
        vote 1 LOOKING for 1 1:5 r2 e1
          vote 1 LEADING for 3 1:5 r1 e1
          stop serving: too few voters are left that may still follow
          stop listening
          drain 1
        ",
    );
}

#[test]
fn who_left_with_the_history_is_not_counted_until_it_is_back() {
    let accepts = "
        accepted L1
        recv L1 FOLLOWERINFO 1 accepted 1
        saved 2 1
        accepted L2
        recv L2 FOLLOWERINFO 2 accepted 1
        recv L1 ACKEPOCH 1:5 1
        closed L1
    ";
    after(3, &[ELECTED, accepts]).check(
        "
        saved 2 2
        recv L2 ACKEPOCH 1:5 1
          send L2 DIFF 1:5
          send L2 NEWLEADER 2
        accepted L5
        recv L5 FOLLOWERINFO 1 accepted 2
          send L5 LEADERINFO 2
        recv L5 ACKEPOCH 1:5 -1
          send L5 DIFF 1:5
          send L5 NEWLEADER 2
        recv L5 ACK 2:0
          commit 1:5
          lead 2 from 2:0
          send L5 UPTODATE
        ",
    );
}

#[test]
fn who_knows_a_first_version_of_the_configuration_is_led_and_who_knows_a_change_is_not() {
    after(3, &[ELECTED]).check(
        "
        accepted L1
        recv L1 FOLLOWERINFO 1 accepted 1 config 7:0
          save accepted 2 current 1
        accepted L2
        recv L2 FOLLOWERINFO 2 accepted 1 config 1:3
          close L2: its configuration 0x100000003 is newer than 0x0
        ",
    );
}
