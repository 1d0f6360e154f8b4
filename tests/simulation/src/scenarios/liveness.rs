//! Section 1C of the failure catalogue: ensembles that stood still.

use menagerie_wire::ServerId;

use super::Stage;
use super::packets::is_leader_info;
use crate::history::Request;
use crate::world::{Crash, Plan, World};

/// An ensemble in which the client of a follower has written a node.
fn written(plan: Plan) -> (Stage, Vec<ServerId>, u32) {
    let mut stage = Stage::new(plan);
    let roles = stage.roles();
    let client = stage.client_at(roles[1]);
    stage.create(client, "/k0");
    (stage, roles, client)
}

/// ZK-2247: the log of the leader fails while its heartbeats go on: it does not lead any more.
pub(super) fn zk_2247_leader_without_a_log() {
    for errno in [libc::EIO, libc::ENOSPC] {
        let (mut stage, roles, client) = written(Plan::calm(2247));
        stage.machine_mut(roles[0]).disk.fail_write_after(0, errno);
        stage.set_soon(client, "/k0");
        let led = stage.wait_for(30_000, {
            let old = roles[0];
            move |world| world.leader().is_some_and(|leader| leader != old)
        });
        assert!(led, "{}", stage.standing());
        stage.end();
    }
}

/// A disk that takes a thousand times as long: a leader that commits nothing hands over, whatever
/// its heartbeats say.
pub(super) fn slow_disk_of_the_leader() {
    let (mut stage, roles, client) = written(Plan::calm(3932));
    stage.machine_mut(roles[0]).disk_slowness = 100_000_000;
    stage.set_soon(client, "/k0");
    stage.next_leader(&[roles[0]]);
    stage.connected(client);
    stage.set(client, "/k0");
    stage.machine_mut(roles[0]).disk_slowness = 1;
    stage.end();
}

/// A leader whose proposals reach nobody, though its followers are heard, hands over or is left.
pub(super) fn leader_that_is_not_heard() {
    let (mut stage, roles, _) = written(Plan::calm(21));
    for id in &roles[1..] {
        stage.hold(roles[0], *id);
    }
    stage.next_leader(&[roles[0]]);
    let client = stage.client_at(roles[2]);
    stage.set(client, "/k0");
    stage.end();
}

/// A leader that hears nobody leads no longer than its patience.
pub(super) fn leader_that_does_not_hear() {
    let (mut stage, roles, _) = written(Plan::calm(22));
    let deaf = roles[0];
    for id in &roles[1..] {
        stage.hold(*id, deaf);
    }
    stage.wait("left", move |world| !world.machine(deaf).is_serving());
    stage.next_leader(&[deaf]);
    stage.end();
}

/// ZK-3531: one that receives a snapshot and does not move holds up nobody else.
pub(super) fn zk_3531_stalled_receiver_of_a_snapshot() {
    let plan = Plan { history_txns: 3, snapshot_every: 10, ..Plan::calm(3531) };
    let (mut stage, roles, client) = written(plan);
    let stalled = roles[2];
    stage.crash(stalled, Crash::Kill);
    stage.sets(client, "/k0", 60);
    stage.start(stalled);
    stage.until_sent(stalled, is_leader_info);
    stage.pass_ms(1);
    stage.hold(roles[0], stalled);
    for _ in 0..20 {
        let started_us = stage.now_us();
        stage.set(client, "/k0");
        let took_us = stage.now_us() - started_us;
        assert!(took_us < 100_000, "a write took {took_us} us");
        stage.pass_ms(200);
    }
    stage.end();
}

/// ZK-2164, 3769: peers come and go in the middle of an election, again and again: it ends.
pub(super) fn zk_2164_peers_restart_while_they_elect() {
    let (mut stage, roles, _) = written(Plan { voters: 5, ..Plan::calm(2164) });
    stage.crash(roles[0], Crash::Kill);
    for round in 0..30 {
        stage.pass_ms(70);
        stage.restart(roles[1 + round % 4], Crash::Kill);
    }
    stage.next_leader(&[]);
    stage.end();
}

/// ZK-3109, 1818: voters change their minds, stale words arrive late: there is one leader.
pub(super) fn zk_3109_late_words_in_an_election() {
    for seed in 0..6 {
        let (mut stage, roles, _) = written(Plan { voters: 5, ..Plan::calm(seed) });
        stage.crash(roles[0], Crash::Kill);
        stage.hold(roles[1], roles[2]);
        stage.hold(roles[3], roles[4]);
        stage.pass_ms(300);
        stage.mend();
        stage.hold(roles[2], roles[1]);
        stage.pass_ms(300);
        stage.start(roles[0]);
        stage.mend();
        stage.all_serve_again();
        stage.end();
    }
}

/// ZK-764: an observer neither votes nor is voted for, and makes no quorum.
pub(super) fn zk_764_observers_make_no_quorum() {
    let (mut stage, roles, client) = written(Plan { observers: 2, ..Plan::calm(764) });
    let voters: Vec<ServerId> = roles.iter().copied().filter(|id| id.0 <= 3).collect();
    stage.crash(voters[0], Crash::Kill);
    stage.next_leader(&[voters[0]]);
    let leader = stage.leader().expect("somebody leads");
    assert!(leader.0 <= 3, "an observer leads");
    let other = voters.iter().copied().find(|id| *id != leader && *id != voters[0]);
    stage.crash(other.expect("a third voter"), Crash::Kill);
    stage.pass_ms(30_000);
    assert_eq!(stage.leader(), None, "one voter and two observers");
    assert!(stage.client(client).node().is_none());
    stage.end();
}

/// ZK-4203: a leader that has just been elected admits everybody, however they come.
pub(super) fn zk_4203_all_join_a_new_leader_at_once() {
    for seed in 0..4 {
        let (mut stage, roles, _) = written(Plan { voters: 5, observers: 1, ..Plan::calm(seed) });
        for id in &roles {
            stage.crash(*id, Crash::Kill);
        }
        for id in &roles {
            stage.start(*id);
            stage.pass_ms(40 * seed);
        }
        let serve = stage.wait_for(20_000, World::all_serve);
        assert!(serve, "{}", stage.standing());
        stage.end();
    }
}

/// ZK-4537: one client, one write at a time: none stays behind.
pub(super) fn zk_4537_single_client_never_stalls() {
    let (mut stage, _, client) = written(Plan::calm(4537));
    for _ in 0..200 {
        let started_us = stage.now_us();
        stage.set(client, "/k0");
        stage.get(client, "/k0");
        let took_us = stage.now_us() - started_us;
        assert!(took_us < 50_000, "a write and a read took {took_us} us");
    }
    stage.end();
}

/// ZK-3240, 4736: a learner whose goodbye never arrives comes back, and the election is not held
/// up.
pub(super) fn zk_3240_link_that_only_one_end_has_lost() {
    let (mut stage, roles, _) = written(Plan::calm(3240));
    let lost = roles[1];
    stage.hold(lost, roles[0]);
    stage.restart(lost, Crash::Kill);
    stage.pass_ms(3_000);
    stage.mend();
    let back = stage.wait_for(40_000, move |world| world.machine(lost).is_serving());
    assert!(back, "{}", stage.standing());
    stage.end();
}

/// All cuts come one after the other and are mended in another order (swizzle-clog): in the end
/// there is one ensemble.
pub(super) fn swizzle_clog() {
    for seed in 0..4 {
        let (mut stage, roles, _) = written(Plan { voters: 5, ..Plan::calm(seed) });
        let count = roles.len();
        for round in 0..3 {
            for step in 0..count {
                let id = roles[(step * 2 + round) % count];
                stage.isolate(id);
                stage.pass_ms(700);
            }
            stage.mend();
            stage.pass_ms(1_500);
        }
        stage.all_serve_again();
        stage.end();
    }
}

/// ZK-1675: an old leader that does not know of the new one answers no `sync`.
pub(super) fn zk_1675_sync_at_a_leader_that_was_replaced() {
    // No session expires meanwhile: a write that hangs would hold the sync up too.
    let plan = Plan { session_timeout_ms: 40_000, ..Plan::calm(1675) };
    let (mut stage, roles, _) = written(plan);
    let old = roles[0];
    let at_old = stage.client_at(old);
    stage.isolate(old);
    stage.wait("replaced", move |world| {
        world.leader().is_some_and(|leader| leader != old) && world.machine(old).is_serving()
    });
    let at_new = stage.client_at(roles[2]);
    stage.set(at_new, "/k0");
    assert_eq!(stage.client(at_old).node(), Some(old));
    stage.pass_ms(1);
    let op = stage.begin(at_old, Request::Sync { path: "/".to_owned() });
    stage.pass_ms(20);
    if stage.client(at_old).answer(op).is_some() {
        stage.begin(at_old, Request::GetData { path: "/k0".to_owned(), watch: false });
    }
    stage.pass_ms(30_000);
    stage.end();
}

/// A leader without anything to write, and without clients, is cut off: it stops to serve, and
/// follows when it is back.
pub(super) fn idle_leader_is_cut_off() {
    let mut stage = Stage::calm(23);
    let old = stage.roles()[0];
    stage.isolate(old);
    stage.next_leader(&[old]);
    stage.wait("left", move |world| !world.machine(old).is_serving());
    stage.end();
}
