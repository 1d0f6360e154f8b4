//! What silence and a slow disk lead to. A tick is 100 ms, syncLimit 5 ticks, initLimit 10.

use crate::script::{ACCEPTED, ELECTED, FOLLOWING, JOINED_BY_2, LEADING, Script, after};

/// Half ticks, with an answer of each follower in `alive` to each PING.
fn pass_ms(script: &mut Script, ms: u64, alive: &[&str]) {
    for _ in 0..ms / 50 {
        script.play_all("wait 50");
        for link in alive {
            script.play_all(&format!("recv {link} PONG 2:0"));
        }
    }
}

#[test]
fn a_silent_learner_is_cut_off_and_without_a_quorum_the_reign_ends() {
    let mut script = after(3, &[ELECTED, LEADING, JOINED_BY_2]);
    pass_ms(&mut script, 450, &["L1"]);
    script.check(
        "
        wait 50
          close L2: it said nothing in time
          send L1 PING 2:0
        ",
    );
    pass_ms(&mut script, 400, &[]);
    script.check(
        "
        wait 50
          close L1: it said nothing in time
        wait 50
          stop serving: fewer than a quorum were heard of for syncLimit
          stop listening
          drain 1
        ",
    );
}

#[test]
fn a_follower_that_does_not_acknowledge_is_cut_off() {
    let mut script = after(3, &[ELECTED, LEADING, JOINED_BY_2]);
    script.play_all("propose 2:1\nlogged 2:1\nrecv L1 ACK 2:1");
    pass_ms(&mut script, 450, &["L1", "L2"]);
    script.check(
        "
        wait 50
          close L2: it does not acknowledge proposals
          send L1 PING 2:1
        ",
    );
}

#[test]
fn a_leader_whose_disk_sticks_hands_over_though_a_quorum_commits() {
    let mut script = after(3, &[ELECTED, LEADING, JOINED_BY_2]);
    script.play_all("propose 2:1\nrecv L1 ACK 2:1\nrecv L2 ACK 2:1");
    pass_ms(&mut script, 450, &["L1", "L2"]);
    script.check(
        "
        wait 50
          send L1 PING 2:1
          send L2 PING 2:1
          stop serving: proposals wait for this node's disk for 500 ms
          close L1
          close L2
          stop listening
          drain 1
        ",
    );
    script.check(
        "
        vote 1 LOOKING for 1 2:1 r2 e2
        logged 2:1
        drained 1 2:1 2 2
          vote 1 LOOKING for 3 2:1 r2 e2
          vote 2 LOOKING for 3 2:1 r2 e2
          vote 1 LOOKING for 3 2:1 r2 e2
        ",
    );
}

#[test]
fn a_leader_whose_disk_fails_hands_over_and_is_heard_no_more() {
    after(3, &[ELECTED, LEADING, "propose 2:1"]).check(
        "
        disk-failed
          stop serving: a write or sync of the log failed
          close L1
          stop listening
          halt
        vote 1 LOOKING for 1 2:1 r2 e2
        logged 2:1
        wait 5000
        ",
    );
}

#[test]
fn a_learner_leaves_a_silent_leader() {
    after(1, &[ACCEPTED]).check(
        "
        wait 999
        wait 1
          stop serving: leader 3 was silent for 1000 ms
          close L1
          drain 1
        ",
    );
    after(1, &[ACCEPTED, FOLLOWING]).check(
        "
        wait 400
        recv L1 PING 2:0
          send L1 PONG 2:0
        wait 499
        wait 1
          stop serving: leader 3 was silent for 500 ms
          close L1
          drain 1
        ",
    );
}

#[test]
fn a_snapshot_under_way_is_waited_for() {
    after(1, &[ACCEPTED, "recv L1 SNAP 1:9"]).check("wait 100000\ninstalled 1:9\nwait 999");
    let asks = "accepted L2\nrecv L2 FOLLOWERINFO 2 accepted 1\nrecv L2 ACKEPOCH 1:1 1";
    let mut script = after(3, &[ELECTED, LEADING, asks, "log-read L2 none"]);
    pass_ms(&mut script, 3_000, &["L1"]);
    script.play_all("snapshot-sent L2");
    pass_ms(&mut script, 950, &["L1"]);
    script.check(
        "
        wait 50
          close L2: it said nothing in time
          send L1 PING 2:0
        ",
    );
}
