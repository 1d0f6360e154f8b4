//! Conversations about `sync`: member 3 leads 1 and 2.

use crate::script::{ACCEPTED, ELECTED, FOLLOWING, JOINED_BY_2, LEADING, after};

#[test]
fn a_sync_is_answered_when_a_quorum_still_follows_and_all_before_it_is_committed() {
    after(3, &[ELECTED, LEADING, JOINED_BY_2, "propose 2:1"]).check(
        "
        sync 7
          send L1 PING 2:1
          send L2 PING 2:1
        recv L2 PONG 2:1
        logged 2:1
        recv L1 ACK 2:1
          send L1 COMMIT 2:1
          send L2 COMMIT 2:1
          commit 2:1
          synced 7
        ",
    );
    after(3, &[ELECTED, LEADING, JOINED_BY_2]).check(
        "
        recv L1 REQUEST sync 7
          send L1 PING 2:0
          send L2 PING 2:0
        recv L1 PONG 2:0
          send L1 SYNC
        ",
    );
}

#[test]
fn one_round_answers_all_who_asked_before_it_began_and_none_who_asked_later() {
    after(3, &[ELECTED, LEADING, JOINED_BY_2]).check(
        "
        sync 7
          send L1 PING 2:0
          send L2 PING 2:0
        sync 8
        recv L1 REQUEST sync 9
        recv L1 PONG 2:0
          synced 7
          send L1 PING 2:0
          send L2 PING 2:0
        recv L2 PONG 2:0
        recv L2 PONG 2:0
          synced 8
          send L1 SYNC
        ",
    );
}

/// A learner of Apache's would answer none of its clients any more.
#[test]
fn a_sync_is_answered_before_the_commit_of_what_was_proposed_behind_it() {
    after(3, &[ELECTED, LEADING, JOINED_BY_2, "propose 2:1"]).check(
        "
        recv L1 REQUEST sync 7
          send L1 PING 2:1
          send L2 PING 2:1
        recv L1 REQUEST write 8
          judge 8 of L1
        propose 2:2
          send L1 PROPOSAL 2:2
          send L2 PROPOSAL 2:2
          append 2:2
        sync 9
        recv L1 REQUEST write 10
          judge 10 of L1
        propose 2:3
          send L1 PROPOSAL 2:3
          send L2 PROPOSAL 2:3
          append 2:3
        recv L1 REQUEST sync 11
        logged 2:3
        recv L1 ACK 2:3
          send L1 COMMIT 2:1
          send L2 COMMIT 2:1
          commit 2:1
          send L1 SYNC
          send L1 COMMIT 2:2
          send L2 COMMIT 2:2
          commit 2:2
          synced 9
          send L1 COMMIT 2:3
          send L2 COMMIT 2:3
          commit 2:3
        recv L1 PONG 2:1
          send L1 PING 2:3
          send L2 PING 2:3
        recv L1 PONG 2:3
          send L1 SYNC
        ",
    );
}

/// Nothing was proposed behind it that they could have acknowledged.
#[test]
fn acknowledgements_of_what_was_proposed_before_a_sync_do_not_answer_it() {
    after(3, &[ELECTED, LEADING, JOINED_BY_2, "propose 2:1", "sync 7"]).check(
        "
        logged 2:1
        recv L1 ACK 2:1
          send L1 COMMIT 2:1
          send L2 COMMIT 2:1
          commit 2:1
        recv L2 PONG 2:1
          synced 7
        ",
    );
}

#[test]
fn an_answer_to_an_earlier_ping_does_not_count() {
    after(3, &[ELECTED, LEADING, "wait 50"]).check(
        "
        sync 7
          send L1 PING 2:0
        recv L1 PONG 2:0
        recv L1 PONG 2:0
          synced 7
        ",
    );
}

#[test]
fn a_follower_that_comes_back_counts_for_the_round() {
    after(3, &[ELECTED, LEADING]).check(
        "
        sync 7
          send L1 PING 2:0
        closed L1
        accepted L5
        recv L5 FOLLOWERINFO 1 accepted 2
          send L5 LEADERINFO 2
        recv L5 ACKEPOCH 1:5 -1
          send L5 DIFF 1:5
          send L5 NEWLEADER 2
        recv L5 ACK 2:0
          send L5 UPTODATE
        recv L5 ACK 2:0
        wait 50
          send L5 PING 2:0
        recv L5 PONG 2:0
          synced 7
        ",
    );
}

#[test]
fn a_learner_answers_its_oldest_sync() {
    after(1, &[ACCEPTED, FOLLOWING]).check(
        "
        sync 4
          send L1 REQUEST 4
        sync 5
          send L1 REQUEST 5
        recv L1 SYNC
          synced 4
        recv L1 SYNC
          synced 5
        ",
    );
}
