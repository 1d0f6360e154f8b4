//! The ten scenarios that a simulator must have from its first day (the failure catalogue, §5).

use menagerie_wire::Zxid;

use super::Stage;
use super::packets::{is_new_leader, is_trunc};
use crate::history::{CreateMode, EventKind, Request};
use crate::world::{Action, Crash, Place, Plan};

/// 1 (ZK-3023, 3911, 4643, 4646, 4785): a follower that joins loses power at any step between
/// history, epoch and ACK; then only it and one that lagged are left.
pub(super) fn newleader_chain_without_power() {
    for steps in 0..30 {
        let crash = [Crash::PowerLoss, Crash::LoseUnsynced, Crash::KeepUnsynced][steps % 3];
        let mut stage = Stage::calm(steps as u64);
        let [leader, lagging, other] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.crash(lagging, Crash::Kill);
        stage.sets(client, "/k0", 5);
        stage.start(lagging);
        stage.until_sent(lagging, is_new_leader);
        for _ in 0..steps {
            stage.step();
        }
        stage.crash(lagging, crash);
        stage.crash(leader, crash);
        stage.start(lagging);
        stage.next_leader(&[leader]);
        let reader = stage.client_at(other);
        assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v6"));
        stage.end();
    }
}

/// 2 (ZK-1154, 2845): a leader logs what nobody else has, and loses its quorum. Whether it leads
/// again with that tail, or follows one without it: all are the same afterwards.
pub(super) fn tail_of_a_minority() {
    for (seed, others_go_on, restarts) in
        [(1, true, false), (2, true, true), (3, false, false), (4, false, true)]
    {
        let mut stage = Stage::calm(seed);
        let [leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.isolate(leader);
        for _ in 0..3 {
            stage.set_soon(client, "/k0");
        }
        stage.pass_ms(500);
        if others_go_on {
            stage.next_leader(&[leader]);
            let second = stage.client_at(one);
            stage.sets(second, "/k0", 2);
        } else {
            stage.crash(one, Crash::Kill);
            stage.crash(other, Crash::Kill);
            stage.pass_ms(30_000);
            stage.start(one);
            stage.start(other);
        }
        if restarts {
            stage.restart(leader, Crash::PowerLoss);
        }
        stage.mend();
        stage.all_serve_again();
        stage.end();
    }
}

/// 3 (ZK-3642, 5094): SNAP, or TRUNC, is done when the leader dies before NEWLEADER; another one
/// sends DIFF; restart.
pub(super) fn interrupted_snap_or_trunc() {
    for cut in [false, true] {
        let mut stage =
            Stage::new(Plan { history_txns: 3, snapshot_every: 10, ..Plan::calm(u64::from(cut)) });
        let [mut leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        let mut joining = one;
        if cut {
            stage.isolate(leader);
            stage.set_soon(client, "/k0");
            stage.pass_ms(200);
            joining = leader;
            // Nothing is written in the new epoch, or it would be SNAP.
            leader = stage.next_leader(&[leader]);
        } else {
            stage.crash(one, Crash::Kill);
            stage.sets(client, "/k0", 60);
        }
        let before = if cut { stage.last_logged(joining) } else { Zxid::ZERO };
        stage.ambush(joining, is_new_leader, Action::DelayUs(5_000_000));
        stage.mend();
        stage.start(joining);
        stage.wait("rebuilt", move |world| {
            let node = world.machine(joining).sequencer().map(|found| found.node().last_logged());
            node.is_some_and(|now| if cut { now < before } else { now.counter() > 40 })
        });
        stage.crash(leader, Crash::LoseUnsynced);
        let third = if leader == other { one } else { other };
        stage.next_leader(&[leader]);
        let reader = stage.client_at(if joining == third { one } else { third });
        stage.set(reader, "/k0");
        stage.restart(joining, Crash::LoseUnsynced);
        stage.end();
    }
}

/// 4 (ZK-4394, 3104, 4925): a follower joins while writes flow, becomes leader, and brings a third
/// one up to date: there must be no hole in what it hands on.
pub(super) fn sync_under_load_then_stale_leader() {
    let mut stage = Stage::new(Plan { voters: 5, ..Plan::calm(4) });
    let roles = stage.roles();
    let (leader, first, second) = (roles[0], roles[1], roles[2]);
    let client = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.crash(second, Crash::Kill);
    stage.sets(client, "/k0", 10);
    stage.crash(first, Crash::Kill);
    stage.sets(client, "/k0", 10);
    for _ in 0..20 {
        stage.set_soon(client, "/k0");
    }
    stage.start(first);
    for _ in 0..50 {
        stage.set_soon(client, "/k0");
        stage.pass_ms(5);
    }
    stage.serves(first);
    // Only the one that has just joined, and those that never left, can lead now.
    stage.crash(leader, Crash::PowerLoss);
    stage.isolate(roles[4]);
    stage.start(second);
    stage.next_leader(&[leader]);
    stage.serves(second);
    let reader = stage.client_at(second);
    stage.sync(reader);
    stage.set(reader, "/k0");
    stage.end();
}

/// 5 (ZK-4882, 3701, 2247): one write fails once, on a follower while the quorum commits, inside
/// TRUNC, and on the leader. Nobody goes on with a log that it does not know.
pub(super) fn one_failure_of_a_disk() {
    for (seed, of_leader) in [(1, false), (2, true)] {
        for errno in [libc::EIO, libc::ENOSPC] {
            let mut stage = Stage::calm(seed);
            let [leader, follower, other] = stage.roles_of_three();
            let client = stage.client_at(other);
            stage.create(client, "/k0");
            let failing = if of_leader { leader } else { follower };
            stage.machine_mut(failing).disk.fail_write_after(0, errno);
            for _ in 0..5 {
                stage.set_soon(client, "/k0");
            }
            stage.pass_ms(1_000);
            assert!(stage.machine(failing).incarnation > 1, "{failing} goes on");
            stage.all_serve_again();
            stage.end();
        }
    }
    for count in 0..8 {
        let mut stage = Stage::calm(count);
        let [leader, ..] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.isolate(leader);
        stage.set_soon(client, "/k0");
        stage.next_leader(&[leader]);
        stage.mend();
        stage.until_sent(leader, is_trunc);
        stage.machine_mut(leader).disk.fail_write_after(count, libc::EIO);
        stage.pass_ms(20_000);
        stage.end();
    }
}

/// 6 (ZK-4712, 4541): a role ends while its sync is under way: it completes before the next vote,
/// and counts for no later role.
pub(super) fn role_change_with_a_sync_in_flight() {
    for seed in 1..4 {
        let mut stage = Stage::calm(seed);
        let [leader, slow, other] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.machine_mut(slow).disk_slowness = 10_000;
        for _ in 0..3 {
            stage.set_soon(client, "/k0");
            stage.pass_ms(1);
        }
        stage.pass_ms(20);
        stage.crash(leader, Crash::Kill);
        stage.pass_ms(1_000);
        stage.machine_mut(slow).disk_slowness = 1;
        stage.next_leader(&[leader]);
        let second = stage.client_at(other);
        stage.set(second, "/k0");
        stage.start(leader);
        stage.end();
    }
}

/// 7 (ZK-3127, 3144, 3145, 4837): snapshots while multis, closes and deletions go on, each member
/// restarted from whatever its disk keeps, tails cut below.
pub(super) fn snapshots_under_load_and_cuts() {
    let mut stage = Stage::new(Plan {
        clients: 3,
        think_us: 20_000,
        snapshot_every: 5,
        history_txns: 3,
        ..Plan::calm(7)
    });
    for round in 0..12 {
        stage.pass_ms(2_000);
        let roles = stage.roles();
        let member = roles[round % 3];
        if round % 4 == 3 {
            stage.isolate(member);
            stage.pass_ms(12_000);
            stage.mend();
        }
        stage.restart(member, Crash::PowerLoss);
        stage.all_serve_again();
    }
    stage.end();
}

/// 8 (ZK-1208, 2355, 5010, Keeper 65198): a session writes through one server, moves, closes
/// through another; what it asked for first arrives last.
pub(super) fn sessions_through_two_servers() {
    for closes in [true, false] {
        let mut stage = Stage::calm(8);
        let [leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(one);
        stage.create_ephemeral(client, "/k0");
        let watcher = stage.client_at(leader);
        stage.hold(one, leader);
        let late = stage.creation("/k1", CreateMode::Ephemeral);
        stage.begin(client, late);
        stage.set_soon(client, "/k0");
        stage.pass_ms(10);
        stage.move_client(client, other);
        stage.connected(client);
        stage.set(client, "/k0");
        let value = stage.get(client, "/k0");
        if closes {
            stage.request(client, Request::CloseSession).expect("it is closed");
        }
        stage.mend();
        stage.pass_ms(1_000);
        if closes {
            assert!(!stage.exists(watcher, "/k0") && !stage.exists(watcher, "/k1"));
        } else {
            assert_eq!(stage.get(watcher, "/k0"), value, "an old request overtakes a new one");
        }
        stage.end();
    }
}

/// 9 (ZK-1412, 3145; etcd 15271, 17529): what changes while a client is away is told when it is
/// back, of every kind of watch; a server that lags is not for it.
pub(super) fn watches_across_connections() {
    let mut stage = Stage::calm(9);
    let [leader, one, other] = stage.roles_of_three();
    let (client, writer) = (stage.client_at(one), stage.client_at(leader));
    for path in ["/k0", "/k1", "/k1/c0", "/k2"] {
        stage.create(writer, path);
    }
    stage.sync(client);
    let watched = |path: &str| path.to_owned();
    for request in [
        Request::GetData { path: watched("/k0"), watch: true },
        Request::GetChildren { path: watched("/k1"), watch: true },
        Request::Exists { path: watched("/k2"), watch: true },
    ] {
        stage.request(client, request).expect("it is watched");
    }
    assert!(stage.request(client, Request::Exists { path: watched("/k3"), watch: true }).is_err());
    // It may only go to the one that lags.
    stage.separate(leader, other);
    stage.delete(writer, "/k0");
    stage.create(writer, "/k0");
    stage.delete(writer, "/k1/c0");
    stage.set(writer, "/k2");
    stage.create(writer, "/k3");
    let seen = stage.client(writer).last_zxid();
    stage.wait("told", move |world| world.client(client).events().len() == 4);
    stage.sync(client);
    let again = Request::GetData { path: watched("/k2"), watch: true };
    stage.request(client, again).expect("it is watched");
    stage.move_client(client, other);
    stage.set(writer, "/k2");
    stage.pass_ms(3_000);
    assert!(stage.client(client).node().is_none(), "a server that lags takes a client");
    stage.mend();
    stage.connected(client);
    stage.wait("told", move |world| world.client(client).events().len() == 5);
    assert!(stage.client(client).last_zxid() >= seen);
    let mut told = stage.client(client).events().to_vec();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    let path = |index: usize| (told[index].0, told[index].1.as_str());
    assert_eq!(path(0), (EventKind::Deleted, "/k0"));
    assert_eq!(path(1), (EventKind::ChildrenChanged, "/k1"));
    assert_eq!([path(2), path(3)], [(EventKind::DataChanged, "/k2"); 2]);
    assert_eq!(path(4), (EventKind::Created, "/k3"));
    stage.end();
}

/// 10 (ZK-1277, 1675, 3531): two leaders with synced reads, one that cannot be heard, a disk that
/// is slow, an epoch that is full, a clock that jumps.
pub(super) fn two_leaders_and_slow_ones() {
    let mut stage = Stage::new(Plan { resign_at_counter: 60, ..Plan::calm(10) });
    let [leader, one, other] = stage.roles_of_three();
    let (at_old, at_new) = (stage.client_at(leader), stage.client_at(one));
    stage.create(at_old, "/k0");
    // Two leaders: a sync at the old one must not be answered from before the new one's writes.
    stage.isolate(leader);
    stage.pass_ms(100);
    let new = stage.next_leader(&[leader]);
    let second = if stage.client(at_new).node().is_some() { at_new } else { stage.client_at(one) };
    stage.set(second, "/k0");
    if stage.client(at_old).node().is_some() {
        stage.begin(at_old, Request::Sync { path: "/".to_owned() });
        stage.begin(at_old, Request::GetData { path: "/k0".to_owned(), watch: false });
    }
    stage.pass_ms(30_000);
    stage.mend();
    stage.all_serve_again();
    // A leader that is heard and does not hear.
    let deaf = stage.leader().unwrap_or(new);
    for member in [leader, one, other] {
        if member != deaf {
            stage.cut(Place::Node(member), Place::Node(deaf));
        }
    }
    stage.next_leader(&[deaf]);
    stage.mend();
    stage.all_serve_again();
    // A leader whose disk does not move must go.
    let slow = stage.leader().expect("somebody leads");
    let client =
        stage.client_at(*[leader, one, other].iter().find(|id| **id != slow).unwrap_or(&one));
    stage.machine_mut(slow).disk_slowness = 100_000_000;
    stage.set_soon(client, "/k0");
    stage.next_leader(&[slow]);
    stage.restart(slow, Crash::PowerLoss);
    stage.machine_mut(slow).disk_slowness = 1;
    stage.machine_mut(one).clock.ahead_ms += 3_600_000;
    stage.all_serve_again();
    // The epoch ends while writes wait.
    stage.connected(client);
    let epoch = stage.observer().last_committed().epoch();
    for _ in 0..100 {
        if stage.client(client).node().is_some() {
            stage.set_soon(client, "/k0");
        }
        stage.pass_ms(2);
    }
    stage.wait("in a new epoch", move |world| world.observer().last_committed().epoch() > epoch);
    stage.end();
}
