//! Section 1A of the failure catalogue: synchronization and recovery, where data was lost and
//! servers diverged.

use menagerie_wire::ServerId;

use super::Stage;
use super::packets::{
    is_ack, is_ack_epoch, is_ack_new_leader, is_diff, is_leader_info, is_new_leader, is_proposal,
    is_trunc, is_up_to_date,
};
use crate::history::{CreateMode, Request};
use crate::world::{Action, Crash, Plan, World};

/// An ensemble whose leader has written a node.
fn written(plan: Plan) -> (Stage, Vec<ServerId>, u32) {
    let mut stage = Stage::new(plan);
    let roles = stage.roles();
    let client = stage.client_at(roles[0]);
    stage.create(client, "/k0");
    (stage, roles, client)
}

/// ZK-335 (b): a leader comes to nothing right after its epoch was accepted; whoever promised it
/// must be able to follow the next one.
pub(super) fn zk_335_epoch_of_a_leader_that_came_to_nothing() {
    for seed in 1..5 {
        let (mut stage, roles, _) = written(Plan::calm(seed));
        stage.crash(roles[0], Crash::Kill);
        let heir = ServerId(roles[1].0.max(roles[2].0));
        let voter = ServerId(roles[1].0.min(roles[2].0));
        stage.until_sent(voter, is_leader_info);
        stage.pass_ms(3 * (seed - 1));
        stage.crash(heir, Crash::PowerLoss);
        stage.pass_ms(2_000);
        stage.start(roles[0]);
        stage.next_leader(&[heir]);
        stage.end();
    }
}

/// ZK-1081: the same new-leader zxid is acknowledged to two leaders in turn; they must not both
/// lead in that epoch.
pub(super) fn zk_1081_one_epoch_for_two_leaders() {
    for seed in 1..4 {
        let (mut stage, roles, _) = written(Plan::calm(seed));
        stage.crash(roles[0], Crash::Kill);
        // The heir dies with its epoch acknowledged, and not established.
        let heir = ServerId(roles[1].0.max(roles[2].0));
        stage.when_sent(
            move |_, to, packet| to == heir && is_ack_new_leader(packet),
            Action::CrashReceiver(Crash::PowerLoss),
        );
        stage.wait("acknowledged", |world| world.waiting_ambushes() == 0);
        stage.start(roles[0]);
        let next = stage.next_leader(&[heir]);
        let client = stage.client_at(next);
        stage.sets(client, "/k0", 2);
        stage.start(heir);
        stage.end();
    }
}

/// ZK-582: the epoch that comes next is above every epoch that was promised, also when all log is
/// gone but a snapshot.
pub(super) fn zk_582_epoch_survives_the_log() {
    let plan = Plan { snapshot_every: 3, history_txns: 0, ..Plan::calm(582) };
    let (mut stage, roles, mut client) = written(plan);
    let mut before = stage.observer().last_committed().epoch();
    for _ in 0..4 {
        for id in &roles {
            stage.restart(*id, Crash::LoseUnsynced);
        }
        stage.all_serve_again();
        stage.abandon_session(client);
        client = stage.client_at(roles[0]);
        stage.sets(client, "/k0", 8);
        let epoch = stage.observer().last_committed().epoch();
        assert!(epoch > before, "epoch {epoch} behind {before}");
        before = epoch;
    }
    stage.end();
}

/// ZK-1154: the server with the highest, uncommitted, zxid is away at the election, and comes back
/// later: exactly its uncommitted end is cut.
pub(super) fn zk_1154_highest_zxid_joins_late() {
    let (mut stage, roles, client) = written(Plan::calm(1154));
    stage.sets(client, "/k0", 4);
    stage.isolate(roles[0]);
    stage.set_soon(client, "/k0");
    stage.pass_ms(100);
    stage.crash(roles[0], Crash::KeepUnsynced);
    let next = stage.next_leader(&[]);
    stage.mend();
    stage.start(roles[0]);
    stage.serves(roles[0]);
    let reader = stage.client_at(roles[0]);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v5"));
    assert_eq!(stage.leader(), Some(next));
    stage.end();
}

/// A leader sends a snapshot of all it has, and dies before a quorum has that. The next leader has
/// less, and who was sent the snapshot cannot cut it: it must not end, but take the leader's.
/// (Apache's learner exits with code 13, at every start.)
pub(super) fn snapshot_of_what_the_next_leader_has_not() {
    let plan = Plan { voters: 5, snapshot_every: 3, history_txns: 1, ..Plan::calm(13) };
    let (mut stage, roles, client) = written(plan);
    let [first, lags, needed, away, other] = roles[..] else { panic!("five members") };
    stage.crash(lags, Crash::Kill);
    stage.sets(client, "/k0", 12);
    let committed = stage.last_logged(first);
    stage.isolate(first);
    stage.set_soon(client, "/k0");
    stage.pass_ms(100);
    for id in [first, needed, away, other] {
        stage.crash(id, Crash::KeepUnsynced);
    }
    stage.mend();

    // What its log has more is sent to both; one gets it late.
    stage.ambush(needed, is_diff, Action::DelayUs(10_000_000));
    let gone = Action::CrashReceiver(Crash::KeepUnsynced);
    stage.ambush(first, is_ack_new_leader, gone);
    for id in [first, lags, needed] {
        stage.start(id);
    }
    stage.wait("acknowledged", |world| world.waiting_ambushes() == 0);
    assert!(stage.last_logged(lags) > committed, "the snapshot holds more than was committed");
    stage.crash(lags, Crash::Kill);
    stage.restart(needed, Crash::Kill);

    stage.start(away);
    stage.start(other);
    let next = stage.next_leader(&[]);
    assert_eq!(stage.last_logged(next), committed);
    // Before anything is written: what is too much would be cut.
    stage.ambush(lags, is_trunc, Action::DelayUs(0));
    stage.start(lags);
    // Sooner than a process that has ended is started again.
    stage.pass_ms(2_000);
    assert!(stage.machine(lags).is_serving(), "{}", stage.standing());
    assert_eq!(stage.waiting_ambushes(), 0, "there was nothing to cut");
    assert_eq!(stage.last_logged(lags), stage.last_logged(next));
    stage.end();
}

/// ZK-1319, 1367: a server that lagged takes part in an election after all were restarted, and
/// others join it later: all have the same data and the same ephemerals.
pub(super) fn zk_1367_lagging_server_elects_first() {
    let (mut stage, roles, client) = written(Plan { voters: 5, ..Plan::calm(1367) });
    stage.crash(roles[4], Crash::Kill);
    stage.create_ephemeral(client, "/k1");
    stage.sets(client, "/k0", 5);
    for id in &roles[..4] {
        stage.crash(*id, Crash::LoseUnsynced);
    }
    for id in [roles[4], roles[3], roles[2]] {
        stage.start(id);
    }
    stage.next_leader(&[]);
    stage.start(roles[0]);
    stage.start(roles[1]);
    stage.all_serve_again();
    stage.connected(client);
    let reader = stage.client_at(roles[4]);
    stage.sync(reader);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v7"));
    assert!(stage.exists(reader, "/k1"));
    stage.end();
}

/// ZK-1489: behind a TRUNC the log is written at the right place: it is whole after the power was
/// lost.
pub(super) fn zk_1489_log_goes_on_behind_a_cut() {
    for crash in [Crash::PowerLoss, Crash::LoseUnsynced, Crash::KeepUnsynced] {
        let (mut stage, roles, client) = written(Plan::calm(1489));
        stage.isolate(roles[0]);
        for _ in 0..5 {
            stage.set_soon(client, "/k0");
        }
        let next = stage.next_leader(&[roles[0]]);
        stage.mend();
        stage.all_serve_again();
        let second = stage.client_at(next);
        stage.sets(second, "/k0", 3);
        stage.pass_ms(100);
        stage.restart(roles[0], crash);
        stage.crash(next, crash);
        stage.next_leader(&[next]);
        stage.end();
    }
}

/// ZK-1549: what a server logged without its being committed is in none of its snapshots.
pub(super) fn zk_1549_no_snapshot_of_what_is_not_committed() {
    let (mut stage, roles, client) = written(Plan { snapshot_every: 1, ..Plan::calm(1549) });
    stage.sets(client, "/k0", 3);
    stage.isolate(roles[0]);
    for _ in 0..5 {
        stage.set_soon(client, "/k0");
    }
    stage.pass_ms(1_000);
    stage.restart(roles[0], Crash::Kill);
    stage.next_leader(&[roles[0]]);
    stage.mend();
    stage.serves(roles[0]);
    let reader = stage.client_at(roles[0]);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v4"));
    stage.end();
}

/// ZK-2832: three servers, two minority writes in turn: in the end all agree.
pub(super) fn zk_2832_chain_of_minority_writes() {
    let (mut stage, roles, client) = written(Plan::calm(2832));
    let [a, b, c] = [roles[0], roles[1], roles[2]];
    stage.create(client, "/k1");
    stage.abandon_session(client);
    for (alone, with, key) in [(a, b, "/k0"), (b, c, "/k1"), (c, a, "/k0")] {
        let absent = [a, b, c].into_iter().find(|id| *id != alone && *id != with).unwrap_or(c);
        stage.crash(absent, Crash::Kill);
        stage.start(alone);
        stage.start(with);
        let leader = stage.next_leader(&[absent]);
        let writer = stage.client_at(leader);
        stage.separate(alone, with);
        stage.set_soon(writer, key);
        stage.pass_ms(50);
        stage.crash(leader, Crash::KeepUnsynced);
        stage.mend();
        stage.start(absent);
        stage.next_leader(&[leader]);
        stage.start(leader);
        stage.all_serve_again();
    }
    stage.end();
}

/// ZK-4837: behind a TRUNC, and a restart, no snapshot from beyond the cut comes back.
pub(super) fn zk_4837_cut_below_snapshots() {
    let plan = Plan { snapshot_every: 2, history_txns: 2, ..Plan::calm(4837) };
    let (mut stage, roles, client) = written(plan);
    stage.create_ephemeral(client, "/k1");
    stage.sets(client, "/k0", 6);
    stage.isolate(roles[0]);
    for _ in 0..6 {
        stage.set_soon(client, "/k0");
    }
    stage.next_leader(&[roles[0]]);
    stage.mend();
    stage.all_serve_again();
    for _ in 0..3 {
        stage.restart(roles[0], Crash::PowerLoss);
        stage.all_serve_again();
    }
    stage.end();
}

/// ZK-2099, 2418: the window of the leader and its log on disk do not meet where a learner stands:
/// it gets every transaction, or all of the tree.
pub(super) fn zk_2099_learner_between_log_and_window() {
    for history_txns in [0, 1, 5, 20] {
        for writes in [2, 8, 30, 60] {
            let plan = Plan { history_txns, snapshot_every: 10, ..Plan::calm(writes) };
            let (mut stage, roles, client) = written(plan);
            stage.crash(roles[1], Crash::Kill);
            stage.sets(client, "/k0", writes as usize);
            stage.start(roles[1]);
            stage.serves(roles[1]);
            stage.end();
        }
    }
}

/// ZK-2846: a learner whose last transaction is on no branch of the leader's is not sent DIFF.
pub(super) fn zk_2846_learner_of_another_branch() {
    let (mut stage, roles, client) = written(Plan::calm(2846));
    stage.isolate(roles[0]);
    stage.set_soon(client, "/k0");
    stage.pass_ms(100);
    stage.crash(roles[0], Crash::KeepUnsynced);
    let next = stage.next_leader(&[]);
    stage.mend();
    let second = stage.client_at(next);
    stage.sets(second, "/k0", 3);
    stage.start(roles[0]);
    stage.serves(roles[0]);
    let reader = stage.client_at(roles[0]);
    assert_eq!(stage.get(reader, "/k0"), stage.get(second, "/k0"));
    stage.end();
}

/// ZK-3023 (2678): all lose power when a follower has acknowledged NEWLEADER: what it was sent by
/// DIFF is on its disk.
pub(super) fn zk_3023_newleader_acknowledged_then_blackout() {
    let (mut stage, roles, client) = written(Plan::calm(3023));
    stage.crash(roles[1], Crash::Kill);
    stage.sets(client, "/k0", 5);
    stage.start(roles[1]);
    stage.until_sent(roles[0], is_ack_new_leader);
    for id in &roles {
        stage.crash(*id, Crash::LoseUnsynced);
    }
    stage.start(roles[1]);
    stage.start(roles[2]);
    stage.next_leader(&[]);
    stage.end();
}

/// ZK-3911: a leader is elected with a transaction that only it has, and serves it as soon as a
/// quorum has acknowledged its history, not before; then everybody else loses power.
pub(super) fn zk_3911_leader_serves_only_what_a_quorum_has() {
    for (seed, slowness) in [(1, 1), (2, 100), (3, 500)] {
        let (mut stage, roles, client) = written(Plan::calm(seed));
        stage.isolate(roles[0]);
        stage.set_soon(client, "/k0");
        stage.pass_ms(50);
        for id in &roles {
            stage.crash(*id, Crash::Kill);
        }
        stage.mend();
        stage.machine_mut(roles[1]).disk_slowness = slowness;
        stage.start(roles[0]);
        stage.start(roles[1]);
        let leader = roles[0];
        stage.wait("leading", move |world| world.machine(leader).is_serving());
        stage.connected(client);
        let seen = stage.get(client, "/k0");
        stage.crash(roles[1], Crash::LoseUnsynced);
        stage.crash(leader, Crash::LoseUnsynced);
        stage.machine_mut(roles[1]).disk_slowness = 1;
        stage.start(roles[1]);
        stage.start(roles[2]);
        stage.next_leader(&[leader]);
        let reader = stage.client_at(roles[2]);
        assert_eq!(stage.get(reader, "/k0"), seen);
        stage.end();
    }
}

/// ZK-4646: between the write of a proposal and its sync a follower has acknowledged nothing.
pub(super) fn zk_4646_power_loss_between_write_and_sync() {
    for seed in 0..6 {
        let (mut stage, roles, client) = written(Plan::calm(seed));
        stage.crash(roles[2], Crash::Kill);
        stage.machine_mut(roles[1]).disk_slowness = 500;
        for _ in 0..4 {
            stage.set_soon(client, "/k0");
            stage.pass_ms(2);
        }
        stage.pass_ms(10 * seed);
        stage.crash(roles[1], Crash::LoseUnsynced);
        stage.crash(roles[0], Crash::LoseUnsynced);
        stage.machine_mut(roles[1]).disk_slowness = 1;
        stage.start(roles[1]);
        stage.start(roles[2]);
        stage.next_leader(&[roles[0]]);
        stage.end();
    }
}

/// ZK-4643: currentEpoch is durable only behind the history: a server that lost power between the
/// two does not win by its epoch with a shorter log.
pub(super) fn zk_4643_epoch_is_durable_behind_the_history() {
    for micros in (0..6_000).step_by(600) {
        let (mut stage, roles, client) = written(Plan::calm(micros));
        stage.crash(roles[1], Crash::Kill);
        stage.sets(client, "/k0", 4);
        stage.crash(roles[0], Crash::Kill);
        stage.start(roles[1]);
        stage.until_sent(roles[1], is_new_leader);
        stage.pass_us(micros);
        stage.crash(roles[1], Crash::LoseUnsynced);
        stage.crash(roles[2], Crash::LoseUnsynced);
        stage.start(roles[1]);
        stage.start(roles[0]);
        stage.next_leader(&[]);
        let reader = stage.client_at(roles[1]);
        assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v5"));
        stage.end();
    }
}

/// ZK-4685: proposals flow while a follower joins: it acknowledges none before NEWLEADER, and the
/// leader stays.
pub(super) fn zk_4685_acks_while_a_follower_joins() {
    let (mut stage, roles, client) = written(Plan::calm(4685));
    stage.crash(roles[1], Crash::Kill);
    stage.set(client, "/k0");
    stage.start(roles[1]);
    stage.until_sent(roles[1], is_new_leader);
    for _ in 0..30 {
        stage.set_soon(client, "/k0");
        stage.step();
    }
    stage.serves(roles[1]);
    assert_eq!(stage.observer().reign_count(), 1, "the leader stays");
    stage.end();
}

/// ZK-4394: a commit comes between the ACK of NEWLEADER and UPTODATE; what is not committed then is
/// not shown, and lost if nobody else has it.
pub(super) fn zk_4394_commit_between_newleader_and_uptodate() {
    let (mut stage, roles, client) = written(Plan::calm(4394));
    let [leader, away, joining] = [roles[0], roles[1], roles[2]];
    stage.crash(joining, Crash::Kill);
    stage.set(client, "/k0");
    stage.separate(leader, away);
    stage.set_soon(client, "/k0");
    stage.pass_ms(10);
    // It gets what is in flight, and its disk is slow.
    stage.start(joining);
    stage.ambush(joining, is_up_to_date, Action::DelayUs(0));
    stage.wait("sent", |world| world.waiting_ambushes() == 0);
    stage.machine_mut(joining).disk_slowness = 1_000;
    stage.wait("shown", move |world| world.machine(joining).is_serving());
    stage.pass_ms(1);
    stage.crash(leader, Crash::Kill);
    stage.crash(joining, Crash::LoseUnsynced);
    stage.machine_mut(joining).disk_slowness = 1;
    stage.mend();
    stage.start(joining);
    let next = stage.next_leader(&[leader]);
    let second = stage.client_at(next);
    stage.set(second, "/k0");
    stage.start(leader);
    stage.end();
}

/// ZK-3104: a follower joins while a proposal is in flight: it gets it, and its acknowledgement
/// makes the quorum.
pub(super) fn zk_3104_proposal_in_flight_reaches_who_joins() {
    let (mut stage, roles, client) = written(Plan::calm(3104));
    let [leader, away, joining] = [roles[0], roles[1], roles[2]];
    stage.crash(joining, Crash::Kill);
    stage.set(client, "/k0");
    stage.pause(away, 6_000_000);
    let op = stage.set_soon(client, "/k0");
    stage.pass_ms(10);
    stage.start(joining);
    let answered = stage.wait_for(4_000, move |world| world.client(client).answer(op).is_some());
    assert!(answered, "nobody else can acknowledge it: {}", stage.standing());
    assert_eq!(stage.leader(), Some(leader));
    stage.end();
}

/// ZK-4785: a follower is bounced right behind its acknowledgement, again and again.
pub(super) fn zk_4785_bounced_behind_the_acknowledgement() {
    let (mut stage, roles, client) = written(Plan::calm(4785));
    let bounced = roles[1];
    for crash in [Crash::Kill, Crash::PowerLoss, Crash::LoseUnsynced, Crash::KeepUnsynced] {
        for wanted in [is_ack, is_ack_new_leader, is_ack_epoch] {
            stage.when_sent(
                move |from, _, packet| from == bounced && wanted(packet),
                Action::CrashSender(crash),
            );
            stage.set_soon(client, "/k0");
            stage.pass_ms(100);
            stage.start(bounced);
            stage.pass_ms(2_000);
            stage.start(bounced);
        }
    }
    stage.serves(bounced);
    stage.end();
}

/// ZK-4925: a follower that was synchronized by DIFF under load leads, and has no hole for the
/// next.
pub(super) fn zk_4925_diff_is_handed_on_without_a_hole() {
    let (mut stage, roles, client) = written(Plan { voters: 5, ..Plan::calm(4925) });
    stage.crash(roles[2], Crash::Kill);
    stage.sets(client, "/k0", 10);
    stage.crash(roles[1], Crash::Kill);
    stage.sets(client, "/k0", 10);
    stage.start(roles[1]);
    stage.serves(roles[1]);
    stage.crash(roles[0], Crash::Kill);
    // The one that was synchronized by DIFF has the longest log of those that may lead.
    stage.crash(roles[4], Crash::Kill);
    stage.start(roles[2]);
    stage.next_leader(&[roles[0]]);
    stage.serves(roles[2]);
    let reader = stage.client_at(roles[2]);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v21"));
    stage.end();
}

/// ZK-2845: what was logged and not known to be committed counts in the next election, without a
/// restart in between.
pub(super) fn zk_2845_vote_is_what_the_log_holds() {
    let (mut stage, roles, client) = written(Plan::calm(2845));
    let [leader, keeper, other] = [roles[0], roles[1], roles[2]];
    // One follower has it on disk, and hears of no commit; the other has not heard of it.
    stage.isolate(other);
    let op = stage.set_soon(client, "/k0");
    stage.until_sent(keeper, is_proposal);
    stage.pass_us(450);
    stage.hold(leader, keeper);
    stage.result(client, op).expect("a quorum has it");
    stage.crash(leader, Crash::LoseUnsynced);
    stage.mend();
    stage.next_leader(&[leader]);
    let reader = stage.client_at(other);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v2"));
    stage.end();
}

/// ZK-3642: SNAP is installed, the leader is gone before NEWLEADER, and the next one sends DIFF.
pub(super) fn zk_3642_snap_then_diff_from_another() {
    let plan = Plan { history_txns: 3, snapshot_every: 10, voters: 5, ..Plan::calm(3642) };
    let (mut stage, roles, client) = written(plan);
    let joining = roles[1];
    stage.crash(joining, Crash::Kill);
    stage.sets(client, "/k0", 60);
    stage.ambush(joining, is_new_leader, Action::DelayUs(3_000_000));
    stage.start(joining);
    stage.wait("installed", move |world| {
        let node = world.machine(joining).sequencer().map(|found| found.node().last_logged());
        node.is_some_and(|last| last.counter() > 40)
    });
    stage.crash(roles[0], Crash::Kill);
    stage.next_leader(&[roles[0]]);
    stage.serves(joining);
    stage.restart(joining, Crash::LoseUnsynced);
    stage.serves(joining);
    let reader = stage.client_at(joining);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v61"));
    stage.end();
}

/// ZK-5094: TRUNC is done, the link breaks before NEWLEADER, the server joins again and restarts.
pub(super) fn zk_5094_trunc_then_the_link_breaks() {
    let (mut stage, roles, client) = written(Plan::calm(5094));
    let cut = roles[0];
    stage.isolate(cut);
    for _ in 0..3 {
        stage.set_soon(client, "/k0");
    }
    stage.pass_ms(50);
    stage.next_leader(&[cut]);
    stage.ambush(cut, is_new_leader, Action::Lose);
    stage.mend();
    stage.wait("broken", |world| world.waiting_ambushes() == 0);
    stage.all_serve_again();
    stage.restart(cut, Crash::LoseUnsynced);
    stage.all_serve_again();
    stage.end();
}

/// ZK-4712, 4541, 4502: a sync that one role began ends in the next; with other links the disk is
/// the same.
pub(super) fn zk_4712_sync_of_a_dead_role() {
    for (seed, slowness) in [(1, 1_000), (2, 10_000), (3, 30_000)] {
        let (mut stage, roles, client) = written(Plan::calm(seed));
        let slow = roles[1];
        stage.machine_mut(slow).disk_slowness = slowness;
        for _ in 0..5 {
            stage.set_soon(client, "/k0");
            stage.pass_ms(2);
        }
        // It loses its leader twice while its disk is busy.
        stage.isolate(slow);
        stage.pass_ms(100);
        stage.mend();
        stage.crash(roles[0], Crash::Kill);
        stage.pass_ms(500);
        stage.machine_mut(slow).disk_slowness = 1;
        stage.start(roles[0]);
        stage.all_serve_again();
        stage.restart(slow, Crash::LoseUnsynced);
        stage.end();
    }
}

/// ZK-4882: one write of a follower fails while the quorum commits: it does not go on with a hole.
pub(super) fn zk_4882_one_failed_write_of_a_follower() {
    for count in 0..4 {
        let (mut stage, roles, client) = written(Plan::calm(count));
        let failing = roles[1];
        stage.machine_mut(failing).disk.fail_sync_after(count, libc::EIO);
        for _ in 0..6 {
            stage.set_soon(client, "/k0");
            stage.pass_ms(3);
        }
        stage.pass_ms(100);
        stage.restart(failing, Crash::LoseUnsynced);
        stage.all_serve_again();
        stage.end();
    }
}

/// ZK-3701: the disk is full, or fails, inside TRUNC: the server does not go on as if it were cut.
pub(super) fn zk_3701_full_disk_inside_trunc() {
    for full in [false, true] {
        let (mut stage, roles, client) = written(Plan::calm(3701));
        let cut = roles[0];
        stage.isolate(cut);
        stage.set_soon(client, "/k0");
        stage.pass_ms(50);
        stage.next_leader(&[cut]);
        stage.mend();
        stage.until_sent(cut, is_trunc);
        let machine = stage.machine_mut(cut);
        machine.may_refuse = true;
        if full {
            machine.disk.limit_bytes(0);
        } else {
            machine.disk.fail_sync_after(1, libc::EIO);
        }
        stage.pass_ms(12_000);
        stage.end();
    }
}

/// ZK-3526, 4352: a leader that was just started has committed nothing yet; who joins it then is
/// neither cut nor given half.
pub(super) fn zk_3526_joining_a_leader_that_just_started() {
    for history_txns in [0, 3] {
        let plan = Plan { history_txns, snapshot_every: 4, ..Plan::calm(3526) };
        let (mut stage, roles, client) = written(plan);
        stage.sets(client, "/k0", 10);
        for id in &roles {
            stage.crash(*id, Crash::Kill);
        }
        for id in &roles[..2] {
            stage.start(*id);
        }
        let leader = stage.next_leader(&[]);
        stage.start(roles[2]);
        stage.serves(roles[2]);
        stage.restart(roles[2], Crash::Kill);
        stage.serves(roles[2]);
        assert_eq!(stage.leader(), Some(leader));
        let reader = stage.client_at(roles[2]);
        assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v11"));
        stage.end();
    }
}

/// ZK-5010: a leader proposes an ephemeral, one follower has it, the leader dies: it is everywhere
/// or nowhere.
pub(super) fn zk_5010_half_proposed_ephemeral() {
    for (seed, heir_has_it) in [(1, true), (2, false)] {
        let (mut stage, roles, client) = written(Plan::calm(seed));
        let without = if heir_has_it { roles[1].min(roles[2]) } else { roles[1].max(roles[2]) };
        stage.hold(roles[0], without);
        let request = stage.creation("/k1", CreateMode::Ephemeral);
        stage.when_sent(|_, _, packet| is_proposal(packet), Action::PauseSenderUs(10_000));
        stage.begin(client, request);
        stage.pass_ms(5);
        stage.crash(roles[0], Crash::LoseUnsynced);
        stage.mend();
        stage.next_leader(&[roles[0]]);
        stage.start(roles[0]);
        stage.all_serve_again();
        stage.connected(client);
        stage.request(client, Request::CloseSession).expect("it is closed");
        let reader = stage.client_at(without);
        stage.sync(reader);
        assert!(!stage.exists(reader, "/k1"));
        stage.end();
    }
}

/// ZK-1277: the zxids of an epoch end while many writes are under way: the next epoch begins, and
/// none is lost or done twice.
pub(super) fn zk_1277_epoch_is_full() {
    let plan = Plan { resign_at_counter: 20, ..Plan::calm(1277) };
    let (mut stage, roles, client) = written(plan);
    let first = stage.observer().last_committed().epoch();
    let second = stage.client_at(roles[1]);
    for _ in 0..60 {
        for writer in [client, second] {
            if stage.client(writer).node().is_some() {
                stage.set_soon(writer, "/k0");
            }
        }
        stage.pass_ms(5);
    }
    stage.wait("in a later epoch", move |world| {
        World::all_serve(world) && world.observer().last_committed().epoch() > first
    });
    let counter = stage.observer().last_committed().counter();
    assert!(counter <= 40, "the epoch went on to {counter}");
    stage.end();
}

/// ZK-3911: a leader is one of a quorum when its own disk has synced, not before.
pub(super) fn zk_3911_leader_with_a_slow_disk_counts_late() {
    for seed in 0..3 {
        let (mut stage, roles, client) = written(Plan::calm(seed));
        stage.crash(roles[2], Crash::Kill);
        stage.machine_mut(roles[0]).disk_slowness = 1_000;
        stage.set_soon(client, "/k0");
        stage.pass_ms(10);
        stage.crash(roles[0], Crash::LoseUnsynced);
        stage.crash(roles[1], Crash::Kill);
        stage.machine_mut(roles[0]).disk_slowness = 1;
        stage.start(roles[0]);
        stage.start(roles[2]);
        let next = stage.next_leader(&[]);
        let second = stage.client_at(next);
        stage.set(second, "/k0");
        stage.end();
    }
}

/// ZK-1154: a follower acknowledged a proposal, comes back, and is told to cut it off again before
/// it gets it anew: its first acknowledgement counts no more.
pub(super) fn zk_1154_acknowledged_and_cut_off() {
    let (mut stage, roles, client) = written(Plan { voters: 5, ..Plan::calm(11_540) });
    let [leader, bounced, keeper, third, fourth] = roles[..] else { panic!("five members") };
    for id in [keeper, third, fourth] {
        stage.hold(leader, id);
    }
    stage.set_soon(client, "/k0");
    stage.pass_ms(10);
    stage.restart(bounced, Crash::Kill);
    stage.until_sent(bounced, is_up_to_date);
    stage.machine_mut(bounced).disk_slowness = 10_000;
    // Only one more hears of it.
    stage.mend();
    stage.hold(leader, third);
    stage.hold(leader, fourth);
    stage.pass_ms(20);
    stage.crash(leader, Crash::Kill);
    stage.crash(keeper, Crash::Kill);
    stage.crash(bounced, Crash::LoseUnsynced);
    stage.machine_mut(bounced).disk_slowness = 1;
    stage.start(bounced);
    let next = stage.next_leader(&[leader]);
    let second = stage.client_at(next);
    stage.set(second, "/k0");
    stage.end();
}

/// ZK-3642: SNAP to a server whose log goes beyond it, in an epoch that came to nothing: what is
/// behind the snapshot is no part of its history, after a restart too.
pub(super) fn zk_3642_snap_below_the_end_of_the_log() {
    let (mut stage, roles, client) = written(Plan::calm(36_420));
    stage.crash(roles[0], Crash::Kill);
    let heir = stage.next_leader(&[roles[0]]);
    let other = if heir == roles[1] { roles[2] } else { roles[1] };
    stage.move_client(client, heir);
    stage.connected(client);
    stage.hold(heir, other);
    stage.set_soon(client, "/k0");
    stage.pass_ms(10);
    stage.crash(heir, Crash::KeepUnsynced);
    stage.start(roles[0]);
    stage.next_leader(&[heir]);
    stage.mend();
    stage.start(heir);
    stage.serves(heir);
    stage.restart(heir, Crash::LoseUnsynced);
    stage.serves(heir);
    let reader = stage.client_at(heir);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v1"));
    stage.end();
}
