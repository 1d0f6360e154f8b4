//! Conversations of the election. Votes of 2 and 3 are heard by 1, unless said otherwise.

use crate::script::{after, check};

/// A member whose history ends at 1:5 looks for a leader, in round 1.
const STARTED: &str = "start 1:5 accepted 1 current 1";

/// Member 1 hears of 2, and adopts it.
const BETTER: &str = "vote 2 LOOKING for 2 1:5 r1 e1";

#[test]
fn a_server_proposes_itself_and_adopts_a_better_vote() {
    check(
        1,
        "
        start 1:5 accepted 1 current 1
          vote 2 LOOKING for 1 1:5 r1 e1
          vote 3 LOOKING for 1 1:5 r1 e1
        vote 2 LOOKING for 2 1:5 r1 e1
          vote 2 LOOKING for 2 1:5 r1 e1
          vote 3 LOOKING for 2 1:5 r1 e1
        wait 199
        wait 1
          connect 2
        ",
    );
}

#[test]
fn a_worse_vote_is_told_of_a_better_one_and_the_best_candidate_leads() {
    check(
        3,
        "
        start 1:5 accepted 1 current 1
          vote 1 LOOKING for 3 1:5 r1 e1
          vote 2 LOOKING for 3 1:5 r1 e1
        vote 1 LOOKING for 1 1:5 r1 e1
          vote 1 LOOKING for 3 1:5 r1 e1
        vote 1 LOOKING for 3 1:5 r1 e1
        vote 2 LOOKING for 3 1:5 r1 e1
          listen
        ",
    );
}

#[test]
fn the_wait_ends_at_once_when_all_others_are_heard_or_known_to_be_down() {
    after(1, &[STARTED, BETTER]).check(
        "
        down 3
          connect 2
        ",
    );
}

#[test]
fn a_better_vote_within_the_wait_is_still_heard() {
    after(1, &[STARTED, BETTER]).check(
        "
        wait 100
        vote 3 LOOKING for 3 1:6 r1 e1
          vote 2 LOOKING for 3 1:6 r1 e1
          vote 3 LOOKING for 3 1:6 r1 e1
          connect 3
        ",
    );
}

#[test]
fn a_later_round_drops_all_votes_and_starts_from_the_own_one() {
    after(2, &[STARTED]).check(
        "
        vote 3 LOOKING for 3 1:9 r1 e1
          vote 1 LOOKING for 3 1:9 r1 e1
          vote 3 LOOKING for 3 1:9 r1 e1
        vote 1 LOOKING for 1 1:4 r7 e1
          vote 1 LOOKING for 2 1:5 r7 e1
          vote 3 LOOKING for 2 1:5 r7 e1
        ",
    );
}

#[test]
fn a_server_in_an_earlier_round_is_told_where_the_others_are() {
    after(2, &[STARTED, "vote 1 LOOKING for 1 1:4 r7 e1"]).check(
        "
        vote 3 LOOKING for 3 1:9 r6 e1
          vote 3 LOOKING for 2 1:5 r7 e1
        vote 3 OBSERVING for 3 1:9 r6 e1
        ",
    );
}

#[test]
fn votes_of_no_member_for_no_voter_or_beyond_all_rounds_are_ignored() {
    after(1, &[STARTED]).check(
        "
        vote 9 LOOKING for 3 9:9 r1 e9
        vote 2 LOOKING for 4 9:9 r1 e9
        vote 2 LOOKING for 9 9:9 r1 e9
        vote 2 LOOKING for 3 9:9 r9223372036854775807 e9
        vote 2 LOOKING for 3 -1 r1 e9
        vote 2 FOLLOWING for 9 9:9 r1 e9
        ",
    );
}

#[test]
fn a_newcomer_joins_a_reign_that_a_quorum_and_the_leader_confirm() {
    after(1, &[STARTED]).check(
        "
        vote 2 FOLLOWING for 3 1:2 r4 e6
        vote 3 LEADING for 3 1:3 r5 e6
          connect 3
        ",
    );
}

#[test]
fn followers_alone_do_not_make_a_leader() {
    after(1, &[STARTED]).check(
        "
        vote 2 FOLLOWING for 3 1:2 r1 e6
        vote 3 FOLLOWING for 3 1:2 r1 e6
        ",
    );
}

#[test]
fn who_says_it_looks_again_is_no_witness_of_a_reign() {
    after(1, &[STARTED, "vote 2 FOLLOWING for 3 1:2 r4 e6"]).check(
        "
        vote 2 LOOKING for 2 1:2 r0 e6
          vote 2 LOOKING for 1 1:5 r1 e1
        vote 3 LEADING for 3 1:3 r5 e6
        ",
    );
}

#[test]
fn an_echo_of_what_the_own_log_no_longer_holds_begins_a_new_round() {
    after(3, &[STARTED]).check(
        "
        vote 1 LOOKING for 3 1:9 r1 e1
          vote 1 LOOKING for 3 1:5 r2 e1
          vote 2 LOOKING for 3 1:5 r2 e1
        ",
    );
}

#[test]
fn votes_are_sent_again_after_growing_pauses_and_to_whoever_appears() {
    let votes = "  vote 2 LOOKING for 1 1:5 r1 e1\n  vote 3 LOOKING for 1 1:5 r1 e1\n";
    let mut script = after(1, &[STARTED]);
    for wait_ms in [200, 400, 800, 1600, 1600] {
        script.check(&format!("wait {}\nwait 1\n{votes}", wait_ms - 1));
    }
    script.check("up 3\n  vote 3 LOOKING for 1 1:5 r1 e1\n");
}

#[test]
fn an_observer_proposes_nobody_and_is_answered_by_everybody() {
    check(
        4,
        "
        start 1:5 accepted 1 current 1
          vote 1 LOOKING for nobody r1
          vote 2 LOOKING for nobody r1
          vote 3 LOOKING for nobody r1
        vote 2 FOLLOWING for 3 1:2 r4 e6
        vote 3 LEADING for 3 1:3 r5 e6
          connect 3
        ",
    );
    after(1, &[STARTED]).check(
        "
        vote 4 LOOKING for 3 9:9 r1 e9
          vote 4 LOOKING for 1 1:5 r1 e1
        ",
    );
}

/// A voter answers whatever comes from an observer: one that answered back would never come to an
/// end with a voter that is cut off from the others, and in an earlier round.
#[test]
fn an_observer_answers_nobody() {
    after(4, &[STARTED]).check(
        "
        vote 1 LOOKING for 1 1:9 r5 e1
          vote 1 LOOKING for 1 1:9 r5 e1
          vote 2 LOOKING for 1 1:9 r5 e1
          vote 3 LOOKING for 1 1:9 r5 e1
        vote 2 LOOKING for 2 1:5 r1 e1
        vote 2 LOOKING for 2 1:5 r5 e1
        vote 2 FOLLOWING for 1 1:9 r5 e6
        vote 1 LEADING for 1 1:9 r5 e6
          connect 1
        vote 2 LOOKING for 2 1:5 r1 e1
        ",
    );
}

#[test]
fn a_settled_server_answers_whoever_looks_with_the_vote_and_the_epoch_of_the_reign() {
    let joins = "vote 2 FOLLOWING for 3 1:2 r4 e6\nvote 3 LEADING for 3 1:3 r5 e6";
    after(1, &[STARTED, joins]).check(
        "
        vote 2 LOOKING for 2 1:9 r9 e1
          vote 2 FOLLOWING for 3 1:3 r5 e6
        vote 2 FOLLOWING for 3 1:2 r4 e6
        vote 4 LOOKING for 2 1:9 r9 e1
          vote 4 FOLLOWING for 3 1:3 r5 e6
        ",
    );
}

#[test]
fn nobody_votes_before_the_disk_is_idle() {
    let follows = "
        vote 2 LOOKING for 2 1:6 r1 e1
        vote 3 LOOKING for 2 1:6 r1 e1
        connected 2 L1
    ";
    after(1, &[STARTED, follows]).check(
        "
        closed L1
          stop serving: the connection to leader 2 ended
          drain 1
        vote 3 LOOKING for 3 1:6 r2 e1
        drained 1 1:5 1 1
          vote 2 LOOKING for 1 1:5 r2 e1
          vote 3 LOOKING for 1 1:5 r2 e1
          vote 2 LOOKING for 3 1:6 r2 e1
          vote 3 LOOKING for 3 1:6 r2 e1
        ",
    );
}
