//! Conversations of synchronization: member 3 leads in epoch 2 from the history 1:3 to 1:5, member
//! 1 is a learner with the same history.

use menagerie_wire::{Epoch, Zxid};

use super::{Choice, choose};
use crate::history::{History, HistoryLimits};
use crate::packet::TxnBytes;
use crate::script::{ACCEPTED, ELECTED, FOLLOWING, JOINED_BY_2, LEADING, after};

/// A window of 2:3 to 2:8 behind 2:2, and 3:1 to 3:4; committed up to 3:2, led in epoch 3.
fn check_choice(peer: (u32, u32), expect: Choice) {
    let limits = HistoryLimits { txns_max: 100, bytes_max: 1 << 20 };
    let mut history = History::new(limits, Zxid::new(Epoch(2), 2));
    for counter in 3..=8 {
        history.push(Zxid::new(Epoch(2), counter), TxnBytes::from_static(&[0]));
    }
    for counter in 1..=4 {
        history.push(Zxid::new(Epoch(3), counter), TxnBytes::from_static(&[0]));
    }
    let (committed, peer) = (Zxid::new(Epoch(3), 2), Zxid::new(Epoch(peer.0), peer.1));
    assert_eq!(choose(&history, committed, Epoch(3), peer), expect, "{peer}");
}

#[test]
fn the_choice_follows_from_where_the_learner_stands() {
    let cut = Choice::Trunc(Zxid::new(Epoch(3), 2));
    let cases = [
        ((3, 2), Choice::Diff),
        ((3, 1), Choice::Diff),
        ((2, 8), Choice::Diff),
        ((2, 2), Choice::Diff),
        ((2, 1), Choice::Log),
        ((1, 9), Choice::Log),
        ((0, 0), Choice::Log),
        // It has what we proposed and did not commit: it must log that again.
        ((3, 3), cut),
        ((3, 9), cut),
        // Another branch, whose end we do not know.
        ((2, 9), Choice::Snap),
        ((3, 0), Choice::Snap),
        ((4, 1), Choice::Snap),
        ((4, 0), Choice::Snap),
        // It wants nothing else: -1.
        ((u32::MAX, u32::MAX), Choice::Snap),
    ];
    for (peer, expect) in cases {
        check_choice(peer, expect);
    }
}

#[test]
fn a_lagging_learner_gets_the_rest_and_what_is_in_flight() {
    let in_flight = "propose 2:1\npropose 2:2\nlogged 2:1\nrecv L1 ACK 2:1";
    let mut script = after(3, &[ELECTED, LEADING, in_flight]);
    script.check(
        "
        accepted L2
        recv L2 FOLLOWERINFO 2 accepted 1
          send L2 LEADERINFO 2
        recv L2 ACKEPOCH 1:4 1
          send L2 DIFF 2:1
          send L2 PROPOSAL 1:5
          send L2 COMMIT 1:5
          send L2 PROPOSAL 2:1
          send L2 COMMIT 2:1
          send L2 PROPOSAL 2:2
          send L2 NEWLEADER 2
        propose 2:3
          send L1 PROPOSAL 2:3
          send L2 PROPOSAL 2:3
          append 2:3
        recv L1 ACK 2:2
        logged 2:2
          send L1 COMMIT 2:2
          send L2 COMMIT 2:2
          commit 2:2
        recv L2 ACK 2:0
          send L2 UPTODATE
        recv L2 ACK 2:0
        recv L2 ACK 2:2
        recv L2 ACK 2:3
        logged 2:3
          send L1 COMMIT 2:3
          send L2 COMMIT 2:3
          commit 2:3
        ",
    );
}

#[test]
fn an_observer_is_not_sent_what_is_in_flight() {
    let mut script = after(3, &[ELECTED, LEADING, "propose 2:1"]);
    script.check(
        "
        accepted L4
        recv L4 OBSERVERINFO 4 accepted 1
          send L4 LEADERINFO 2
        recv L4 ACKEPOCH 1:4 1
          send L4 DIFF 1:5
          send L4 PROPOSAL 1:5
          send L4 COMMIT 1:5
          send L4 NEWLEADER 2
        recv L4 ACK 2:0
          send L4 UPTODATE
        logged 2:1
        recv L1 ACK 2:1
          send L1 COMMIT 2:1
          send L4 INFORM 2:1
          commit 2:1
        ",
    );
}

#[test]
fn a_learner_with_an_uncommitted_tail_is_cut_and_its_acknowledgements_are_forgotten() {
    let acked = "propose 2:1\nrecv L2 ACK 2:1\nclosed L2";
    let mut script = after(3, &[ELECTED, LEADING, JOINED_BY_2, acked]);
    script.check(
        "
        accepted L3
        recv L3 FOLLOWERINFO 2 accepted 2
          send L3 LEADERINFO 2
        recv L3 ACKEPOCH 2:1 -1
          send L3 TRUNC 1:5
          send L3 PROPOSAL 2:1
          send L3 NEWLEADER 2
        logged 2:1
        recv L3 ACK 2:0
          send L3 UPTODATE
        recv L3 ACK 2:1
          send L1 COMMIT 2:1
          send L3 COMMIT 2:1
          commit 2:1
        ",
    );
}

#[test]
fn a_learner_behind_the_window_is_sent_the_log_on_disk_if_that_reaches_back() {
    let asks = "accepted L2\nrecv L2 FOLLOWERINFO 2 accepted 1";
    after(3, &[ELECTED, LEADING, asks]).check(
        "
        recv L2 ACKEPOCH 0:7 1
          read log for L2 from 0:7
        log-read L2 0:7 0:8 1:1
          send L2 DIFF 1:5
          send L2 PROPOSAL 0:8
          send L2 COMMIT 0:8
          send L2 PROPOSAL 1:1
          send L2 COMMIT 1:1
          read log for L2 from 1:1
        log-read L2 1:1 1:2 1:3
          send L2 PROPOSAL 1:2
          send L2 COMMIT 1:2
          send L2 PROPOSAL 1:3
          send L2 COMMIT 1:3
          send L2 PROPOSAL 1:4
          send L2 COMMIT 1:4
          send L2 PROPOSAL 1:5
          send L2 COMMIT 1:5
          send L2 NEWLEADER 2
        ",
    );
    after(3, &[ELECTED, LEADING, asks, "recv L2 ACKEPOCH 0:7 1", "log-read L2 0:7 0:8"]).check(
        "
        log-read L2 none
          close L2: the log between its history and ours cannot be read any more
        ",
    );
}

#[test]
fn a_learner_behind_the_history_or_on_another_branch_receives_a_snapshot() {
    let asks = "accepted L2\nrecv L2 FOLLOWERINFO 2 accepted 1\nrecv L2 ACKEPOCH 0:7 1";
    for read in ["log-read L2 none", "log-read L2 0:6 1:1 1:2", "log-read L2 0:7"] {
        let mut script = after(3, &[ELECTED, LEADING, "propose 2:1", asks]);
        script.check(&format!(
            "{read}\n  send L2 SNAP 1:5\n  send L2 PROPOSAL 2:1\n  send L2 NEWLEADER 2\n"
        ));
    }
}

#[test]
fn the_reign_begins_when_a_quorum_has_the_history() {
    let accepted = "
        accepted L1
        recv L1 FOLLOWERINFO 1 accepted 1
        saved 2 1
        recv L1 ACKEPOCH 1:5 1
        saved 2 2
    ";
    after(3, &[ELECTED, accepted]).check(
        "
        vote 2 LOOKING for 2 1:5 r2 e1
          vote 2 LEADING for 3 1:5 r1 e1
        recv L1 ACK 2:0
          commit 1:5
          lead 2 from 2:0
          send L1 UPTODATE
        vote 2 LOOKING for 2 1:5 r2 e1
          vote 2 LEADING for 3 1:5 r1 e2
        ",
    );
    after(3, &[ELECTED, accepted, "accepted L4", "recv L4 OBSERVERINFO 4 accepted 1"]).check(
        "
        recv L4 ACKEPOCH 1:5 1
          send L4 DIFF 1:5
          send L4 NEWLEADER 2
        recv L4 ACK 2:0
        ",
    );
}

#[test]
fn newleader_is_acknowledged_when_history_and_then_the_epoch_are_durable() {
    after(1, &[ACCEPTED]).check(
        "
        recv L1 DIFF 1:7
        recv L1 PROPOSAL 1:6
        recv L1 COMMIT 1:6
          append 1:6
        recv L1 PROPOSAL 1:7
        recv L1 COMMIT 1:7
          append 1:7
        recv L1 NEWLEADER 2
        logged 1:6
        logged 1:7
          save accepted 2 current 2
        saved 2 2
          send L1 ACK 2:0
        recv L1 UPTODATE
          send L1 ACK 2:0
          commit 1:7
          follow 3 in 2
        ",
    );
}

#[test]
fn what_is_not_committed_is_held_back_until_uptodate() {
    after(1, &[ACCEPTED]).check(
        "
        recv L1 DIFF 1:5
        recv L1 PROPOSAL 2:1
        recv L1 NEWLEADER 2
          save accepted 2 current 2
        recv L1 PROPOSAL 2:2
        recv L1 COMMIT 2:1
        recv L1 PING 2:2
        saved 2 2
          send L1 ACK 2:0
        recv L1 UPTODATE
          send L1 ACK 2:0
          commit 1:5
          append 2:1
          append 2:2
          commit 2:1
          follow 3 in 2
        logged 2:2
          send L1 ACK 2:1
          send L1 ACK 2:2
        recv L1 COMMIT 2:2
          commit 2:2
        recv L1 PING 2:2
          send L1 PONG 2:2
        ",
    );
}

#[test]
fn history_waits_until_the_cut_is_durable() {
    after(1, &[ACCEPTED]).check(
        "
        recv L1 TRUNC 1:4
          truncate to 1:4
        recv L1 PROPOSAL 2:1
        recv L1 COMMIT 2:1
        recv L1 NEWLEADER 2
        truncated 1:4
          append 2:1
        logged 2:1
          save accepted 2 current 2
        ",
    );
}

#[test]
fn a_snapshot_replaces_the_log_and_what_it_contains_is_dropped() {
    after(1, &[ACCEPTED]).check(
        "
        recv L1 SNAP 2:3
          receive snapshot 2:3 on L1
        installed 2:3
        recv L1 PROPOSAL 2:2
        recv L1 COMMIT 2:2
        recv L1 PROPOSAL 2:3
        recv L1 PROPOSAL 2:4
        recv L1 COMMIT 2:3
        recv L1 COMMIT 2:4
          append 2:4
        recv L1 NEWLEADER 2
        logged 2:4
          save accepted 2 current 2
        ",
    );
}

/// `line` ends the role of a learner that has come as far as `before`, with this fault.
fn check_refused(before: &str, line: &str, fault: &str) {
    after(1, &[ACCEPTED, before]).check(&format!(
        "{line}\n  stop serving: leader 3 broke the protocol: {fault}\n  close L1: {fault}\n  \
         drain 1\n"
    ));
}

#[test]
fn a_learner_refuses_what_would_leave_a_hole_or_forget_commits() {
    let unexpected = "a packet that has no place here";
    let cases = [
        ("recv L1 DIFF 1:9", "recv L1 PROPOSAL 1:7", "0x100000007 does not follow 0x100000005"),
        ("recv L1 DIFF 1:9", "recv L1 PROPOSAL 2:2", "0x200000002 does not follow 0x100000005"),
        ("recv L1 DIFF 1:9", "recv L1 PROPOSAL 3:1", "0x300000001 does not follow 0x100000005"),
        ("recv L1 DIFF 1:9", "recv L1 COMMIT 1:6", "commit of 0x100000006, where None is due"),
        (
            "recv L1 DIFF 1:9\nrecv L1 PROPOSAL 1:6\nrecv L1 PROPOSAL 1:7",
            "recv L1 COMMIT 1:7",
            "commit of 0x100000007, where Some(0x100000006) is due",
        ),
        ("", "recv L1 TRUNC 1:6", "0x100000006 is beyond the end of the log, 0x100000005"),
        ("", "recv L1 SNAP 3:1", "epoch 3 is beyond all bounds"),
        ("", "recv L1 PROPOSAL 1:6", unexpected),
        ("", "recv L1 NEWLEADER 2", unexpected),
        ("", "recv L1 UPTODATE", unexpected),
        ("recv L1 DIFF 1:5", "recv L1 DIFF 1:5", unexpected),
        ("recv L1 DIFF 1:5", "recv L1 NEWLEADER 3", unexpected),
        ("recv L1 DIFF 1:5\nrecv L1 NEWLEADER 2", "recv L1 UPTODATE", unexpected),
        ("recv L1 DIFF 1:5", "recv L1 SYNC", unexpected),
    ];
    for (before, line, fault) in cases {
        check_refused(before, line, fault);
    }
}

#[test]
fn a_server_never_forgets_what_it_knows_to_be_committed() {
    let lives = "recv L1 PROPOSAL 2:1\nlogged 2:1\nrecv L1 COMMIT 2:1";
    let rejoins = "
        closed L1
        drained 1 2:1 2 2
        vote 3 LEADING for 3 1:5 r2 e2
        vote 2 FOLLOWING for 3 1:5 r2 e2
        connected 3 L2
        recv L2 LEADERINFO 2
    ";
    for line in ["TRUNC 1:5", "SNAP 1:5"] {
        let fault = "0x100000005 is below 0x200000001, which is committed";
        after(1, &[ACCEPTED, FOLLOWING, lives, rejoins]).check(&format!(
            "recv L2 {line}\n  stop serving: leader 3 broke the protocol: {fault}\n  close L2: \
             {fault}\n  drain 2\n"
        ));
    }
}

#[test]
fn a_cut_that_ends_elsewhere_than_asked_is_refused() {
    let cut = "recv L1 TRUNC 1:1\ntruncated 0:9";
    after(1, &[ACCEPTED, "recv L1 TRUNC 1:1"]).check(
        "
        truncated 0:9
          stop serving: leader 3 broke the protocol: this log holds nothing at 0x100000001
          close L1: this log holds nothing at 0x100000001
          drain 1
        ",
    );
    after(1, &[ACCEPTED, cut]).check(
        "
        drained 1 0:9 2 1
          vote 2 LOOKING for 1 0:9 r2 e1
          vote 3 LOOKING for 1 0:9 r2 e1
        ",
    );
}

#[test]
fn a_snapshot_that_ends_after_its_role_moves_the_durable_end_only() {
    after(1, &[ACCEPTED, "recv L1 SNAP 2:3", "closed L1"]).check(
        "
        installed 2:3
        drained 1 2:3 2 1
          vote 2 LOOKING for 1 2:3 r2 e1
          vote 3 LOOKING for 1 2:3 r2 e1
        ",
    );
    after(1, &[ACCEPTED, "recv L1 SNAP 2:3", "closed L1"]).check(
        "
        drained 1 1:5 2 1
          vote 2 LOOKING for 1 1:5 r2 e1
          vote 3 LOOKING for 1 1:5 r2 e1
        ",
    );
}

#[test]
fn a_learner_that_cannot_cut_votes_with_what_it_has_and_then_asks_for_everything() {
    let mut learner = after(1, &[ACCEPTED]);
    learner.check(
        "
        recv L1 TRUNC 0:9
          truncate to 0:9
        recv L1 NEWLEADER 2
        cannot-cut 0:9
          stop serving: leader 3's history ends at 0x9, and the log does not reach back to there
          close L1
          drain 1
        drained 1 1:5 2 1
          connect 3
        connected 3 L2
          send L2 FOLLOWERINFO 1 accepted 2
        recv L2 LEADERINFO 2
          send L2 ACKEPOCH none -1
        recv L2 SNAP 0:9
          receive snapshot 0:9 on L2
        recv L2 NEWLEADER 2
        installed 0:9
          save accepted 2 current 2
        saved 2 2
          send L2 ACK 2:0
        ",
    );
}

#[test]
fn a_learner_that_cannot_cut_gives_the_next_leader_the_same_vote() {
    let uncut = "recv L1 TRUNC 0:9\ncannot-cut 0:9\ndrained 1 1:5 2 1";
    after(1, &[ACCEPTED, uncut, "connected 3 L2"]).check(
        "
        recv L2 LEADERINFO 3
          save accepted 3 current 1
        saved 3 1
          send L2 ACKEPOCH 1:5 1
        ",
    );
}

#[test]
fn what_cannot_be_cut_is_no_reason_not_to_lead_with_it() {
    let uncut = "recv L1 TRUNC 0:9\ncannot-cut 0:9\ndrained 1 1:5 2 1";
    let left = "connected 3 L2\nclosed L2\ndrained 2 1:5 2 1";
    after(1, &[ACCEPTED, uncut, left]).check(
        "
        vote 2 LOOKING for 1 1:5 r2 e1
        vote 3 LOOKING for 1 1:5 r2 e1
          listen
        ",
    );
}
