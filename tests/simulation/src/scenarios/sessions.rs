//! Section 1D of the failure catalogue: sessions, what belongs to them, and who is told.

use menagerie_wire::Zxid;

use super::Stage;
use crate::history::{CreateMode, EventKind, Moment, Request, WatchedBy};
use crate::world::{Crash, Place, Plan};

/// ZK-2355: a follower dies while it reads the end of a session, and comes back by DIFF: the
/// ephemeral is gone there too.
pub(super) fn zk_2355_follower_dies_of_a_close() {
    for micros in (0..3_000).step_by(300) {
        let mut stage = Stage::calm(micros);
        let [leader, one, _] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create_ephemeral(client, "/k1");
        stage.begin(client, Request::CloseSession);
        stage.pass_us(micros);
        stage.restart(one, Crash::LoseUnsynced);
        stage.serves(one);
        let reader = stage.client_at(one);
        stage.sync(reader);
        assert!(!stage.exists(reader, "/k1"), "the ephemeral outlives its session");
        stage.end();
    }
}

/// ZK-1208, 1496: a session's ephemeral is asked for through a server that is slow to send it on,
/// and the session ends meanwhile: nothing is left of it.
pub(super) fn zk_1208_ephemeral_behind_the_end_of_its_session() {
    let mut stage = Stage::calm(1208);
    let [leader, one, other] = stage.roles_of_three();
    let client = stage.client_at(one);
    let reader = stage.client_at(leader);
    stage.hold(one, leader);
    let late = stage.creation("/k1", CreateMode::Ephemeral);
    stage.begin(client, late);
    stage.pass_ms(5);
    stage.move_client(client, other);
    stage.connected(client);
    stage.request(client, Request::CloseSession).expect("it is closed");
    stage.mend();
    stage.pass_ms(2_000);
    stage.sync(reader);
    assert!(!stage.exists(reader, "/k1"), "an ephemeral without a session");
    stage.end();
}

/// ZK-1777: a session expires while its client's writes are under way: it is gone on all members.
pub(super) fn zk_1777_expiry_while_writes_are_under_way() {
    let mut stage = Stage::new(Plan { session_timeout_ms: 4_000, ..Plan::calm(1777) });
    let [leader, one, other] = stage.roles_of_three();
    let client = stage.client_at(one);
    stage.create_ephemeral(client, "/k1");
    let session = stage.client(client).session();
    stage.cut(Place::Client(client), Place::Node(one));
    stage.cut(Place::Client(client), Place::Node(leader));
    stage.cut(Place::Client(client), Place::Node(other));
    for _ in 0..3 {
        if stage.client(client).node().is_some() {
            stage.set_soon(client, "/k1");
        }
        stage.pass_ms(1_500);
    }
    stage.pass_ms(15_000);
    let reader = stage.client_at(other);
    stage.sync(reader);
    assert!(!stage.exists(reader, "/k1"), "the session does not expire");
    stage.mend();
    stage.connected(client);
    assert!(stage.client(client).session() != session);
    stage.end();
}

/// A leader that was replaced, and does not know it yet, calls no session expired that began under
/// the next one: not at a client of its own, nor of a follower that was cut off with it.
pub(super) fn session_of_the_next_leader_at_the_old_side() {
    for through_follower in [false, true] {
        let plan = Plan { voters: 5, session_timeout_ms: 40_000, ..Plan::calm(5) };
        let mut stage = Stage::new(plan);
        let roles = stage.roles();
        let (old, follower) = (roles[0], roles[1]);
        for one in [old, follower] {
            for &other in &roles[2..] {
                stage.separate(one, other);
            }
        }
        stage.wait("replaced", move |world| {
            world.leader().is_some_and(|leader| leader != old) && world.machine(old).is_serving()
        });
        let client = stage.client_at(roles[2]);
        let session = stage.client(client).session();
        stage.move_client(client, if through_follower { follower } else { old });
        stage.pass_ms(3_000);
        stage.mend();
        stage.connected(client);
        assert_eq!(stage.client(client).session(), session, "it was called expired");
        stage.end();
    }
}

/// Keeper 65198: what a session asked for comes behind its expiry: refused alike on every replica,
/// after a restart too.
pub(super) fn keeper_65198_writes_behind_an_expiry() {
    let mut stage = Stage::new(Plan { session_timeout_ms: 4_000, ..Plan::calm(65_198) });
    let [leader, one, other] = stage.roles_of_three();
    let client = stage.client_at(one);
    stage.create(client, "/k0");
    // Its server cannot be heard, but hears: what it sends on comes much later.
    stage.hold(one, leader);
    for _ in 0..5 {
        stage.set_soon(client, "/k0");
    }
    stage.pass_ms(9_500);
    stage.mend();
    stage.pass_ms(5_000);
    for id in [leader, one, other] {
        stage.restart(id, Crash::PowerLoss);
        stage.all_serve_again();
    }
    stage.end();
}

/// A client moves with requests under way at its old server: they are done before what it asks for
/// at the new one, or not at all.
pub(super) fn session_moved_with_writes_under_way() {
    for seed in 0..4 {
        let mut stage = Stage::calm(seed);
        let [leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(one);
        let reader = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.hold(one, leader);
        for _ in 0..3 {
            stage.set_soon(client, "/k0");
        }
        stage.pass_ms(5);
        stage.move_client(client, if seed % 2 == 0 { other } else { leader });
        stage.connected(client);
        stage.set(client, "/k0");
        let last = stage.get(client, "/k0");
        stage.mend();
        stage.pass_ms(2_000);
        stage.sync(reader);
        assert_eq!(stage.get(reader, "/k0"), last, "older requests overtake newer ones");
        stage.end();
    }
}

/// The same, and the new server has lost it by then: nobody speaks for the session at that moment,
/// and the old server does not either.
pub(super) fn session_moved_and_gone_with_writes_under_way() {
    let mut stage = Stage::calm(7);
    let [leader, one, other] = stage.roles_of_three();
    let client = stage.client_at(one);
    let reader = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.hold(one, leader);
    stage.set_soon(client, "/k0");
    stage.pass_ms(5);
    stage.move_client(client, leader);
    stage.connected(client);
    stage.set(client, "/k0");
    let last = stage.get(client, "/k0");
    stage.cut(Place::Client(client), Place::Node(other));
    stage.move_client(client, other);
    stage.pass_ms(5);
    stage.mend();
    stage.pass_ms(2_000);
    stage.sync(reader);
    assert_eq!(stage.get(reader, "/k0"), last, "older requests overtake newer ones");
    stage.end();
}

/// A client moves away and comes back. What it had asked for before arrives at last, while the
/// server still waits to hear from its leader that the session lives.
pub(super) fn session_moved_back_in_front_of_its_writes() {
    let mut stage = Stage::calm(8);
    let [leader, one, _] = stage.roles_of_three();
    let client = stage.client_at(one);
    let reader = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.delay_next_ms(2_000);
    stage.set_soon(client, "/k0");
    stage.move_client(client, leader);
    stage.connected(client);
    stage.set(client, "/k0");
    let last = stage.get(client, "/k0");
    stage.hold(leader, one);
    stage.move_client(client, one);
    stage.pass_ms(4_000);
    stage.mend();
    stage.connected(client);
    stage.sync(reader);
    assert_eq!(stage.get(reader, "/k0"), last, "older requests overtake newer ones");
    stage.end();
}

/// Requests of the old server arrive while those of the new one wait: each answer is to its own
/// question.
pub(super) fn answers_after_a_move() {
    for (seed, delay_ms) in [(1, 0), (2, 1), (3, 2)] {
        let mut stage = Stage::calm(seed);
        let [leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(one);
        stage.create(client, "/k0");
        stage.machine_mut(leader).disk_slowness = 100;
        stage.machine_mut(other).disk_slowness = 100;
        for _ in 0..4 {
            stage.set_soon(client, "/k0");
        }
        stage.pass_ms(delay_ms);
        stage.move_client(client, other);
        stage.connected(client);
        let ops: Vec<u64> = (0..4).map(|_| stage.set_soon(client, "/k0")).collect();
        for op in ops {
            stage.result(client, op).expect("it is written");
        }
        stage.end();
    }
}

/// A reconnecting client has seen more than the server it comes to: it is not let in.
pub(super) fn client_that_has_seen_more() {
    let mut stage = Stage::calm(100);
    let [leader, _, lagging] = stage.roles_of_three();
    let client = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.hold(leader, lagging);
    stage.sets(client, "/k0", 5);
    stage.move_client(client, lagging);
    stage.pass_ms(3_000);
    assert!(stage.client(client).node().is_none(), "a server that lags takes it");
    stage.mend();
    stage.connected(client);
    assert_eq!(stage.get(client, "/k0").as_deref(), Some("v6"));
    stage.end();
}

/// ZK-1412: data, child and exists watches left at one server, changes while the client is away:
/// each is told once at the next.
pub(super) fn zk_1412_watches_are_told_on_reconnect() {
    let mut stage = Stage::calm(1412);
    let [leader, one, other] = stage.roles_of_three();
    let (client, writer) = (stage.client_at(one), stage.client_at(leader));
    for path in ["/k0", "/k1", "/k1/c0"] {
        stage.create(writer, path);
    }
    stage.sync(client);
    let read = |path: &str| Request::GetData { path: path.to_owned(), watch: true };
    stage.request(client, read("/k0")).expect("it is there");
    let list = Request::GetChildren { path: "/k1".to_owned(), watch: true };
    stage.request(client, list).expect("it is there");
    let look = Request::Exists { path: "/k2".to_owned(), watch: true };
    assert!(stage.request(client, look).is_err());
    // It is away for a while.
    for id in [leader, one, other] {
        stage.cut(Place::Client(client), Place::Node(id));
    }
    stage.leave_connection(client);
    stage.pass_ms(10);
    stage.set(writer, "/k0");
    stage.delete(writer, "/k1/c0");
    stage.create(writer, "/k2");
    assert!(stage.client(client).events().is_empty());
    stage.mend();
    stage.move_client(client, other);
    stage.connected(client);
    stage.wait("told", move |world| world.client(client).events().len() == 3);
    stage.pass_ms(1_000);
    let mut told = stage.client(client).events().to_vec();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (EventKind::DataChanged, "/k0".to_owned()),
        (EventKind::ChildrenChanged, "/k1".to_owned()),
        (EventKind::Created, "/k2".to_owned()),
    ];
    assert_eq!(told, expected);
    stage.end();
}

/// ZK-3145: a node is deleted and created again, and its server restarts from a snapshot and its
/// log, while a client is away that watched it.
pub(super) fn zk_3145_recreated_while_away() {
    let mut stage = Stage::new(Plan { snapshot_every: 3, ..Plan::calm(3145) });
    let [leader, one, other] = stage.roles_of_three();
    let (client, writer) = (stage.client_at(one), stage.client_at(leader));
    stage.create(writer, "/k0");
    stage.create(writer, "/k0/c0");
    stage.sync(client);
    let read = Request::GetData { path: "/k0/c0".to_owned(), watch: true };
    stage.request(client, read).expect("it is there");
    let list = Request::GetChildren { path: "/k0".to_owned(), watch: true };
    stage.request(client, list).expect("it is there");
    for id in [leader, one, other] {
        stage.cut(Place::Client(client), Place::Node(id));
    }
    stage.leave_connection(client);
    stage.pass_ms(10);
    stage.delete(writer, "/k0/c0");
    stage.create(writer, "/k0/c0");
    stage.restart(one, Crash::PowerLoss);
    stage.serves(one);
    stage.mend();
    stage.connected(client);
    stage.wait("told", move |world| world.client(client).events().len() == 2);
    stage.end();
}

/// ZK-4475, 4466: watches of all kinds on one path, and one taken away: the others stay.
pub(super) fn zk_4466_kinds_of_watches_on_one_path() {
    let mut stage = Stage::calm(4466);
    let [leader, one, _] = stage.roles_of_three();
    let (client, writer) = (stage.client_at(one), stage.client_at(leader));
    stage.create(writer, "/k0");
    stage.sync(client);
    let path = || "/k0".to_owned();
    stage.request(client, Request::AddWatch { path: path(), recursive: false }).expect("added");
    stage.request(client, Request::AddWatch { path: path(), recursive: true }).expect("added");
    stage.request(client, Request::GetData { path: path(), watch: true }).expect("read");
    stage.set(writer, "/k0");
    stage.wait("told", move |world| !world.client(client).events().is_empty());
    stage.sync(client);
    assert_eq!(stage.client(client).events().len(), 1, "one change, one event");
    let data = Request::RemoveWatches { path: path(), watched_by: WatchedBy::Data };
    assert!(stage.request(client, data).is_err(), "it has fired");
    stage.create(writer, "/k0/c0");
    stage.wait("told", move |world| world.client(client).events().len() >= 2);
    stage.sync(client);
    let kinds: Vec<EventKind> = stage.client(client).events().iter().map(|told| told.0).collect();
    assert!(kinds.contains(&EventKind::Created), "the recursive one: {kinds:?}");
    stage.end();
}

/// etcd 15271, 17529: events come before the reply that shows their change, under load, and in
/// order.
pub(super) fn events_before_replies() {
    let mut stage = Stage::calm(15_271);
    let [leader, one, _] = stage.roles_of_three();
    let (client, writer) = (stage.client_at(one), stage.client_at(leader));
    stage.create(writer, "/k0");
    stage.sync(client);
    let add = Request::AddWatch { path: "/k0".to_owned(), recursive: true };
    stage.request(client, add).expect("added");
    for _ in 0..50 {
        stage.set_soon(writer, "/k0");
        stage.begin(client, Request::GetData { path: "/k0".to_owned(), watch: false });
        stage.pass_ms(1);
    }
    stage.wait("told", move |world| world.client(client).events().len() == 50);
    let mut last = Zxid::ZERO;
    for record in stage.records() {
        if let Moment::Event { zxid, .. } = record.what
            && record.client == client
        {
            assert!(zxid > last, "an event of {zxid} behind {last}");
            last = zxid;
        }
    }
    stage.end();
}

/// Every session that a new leader finds has its full time-out; one whose client is gone ends.
pub(super) fn sessions_of_a_new_leader() {
    let mut stage = Stage::new(Plan { session_timeout_ms: 6_000, ..Plan::calm(24) });
    let [leader, one, other] = stage.roles_of_three();
    let (gone, stays) = (stage.client_at(one), stage.client_at(other));
    stage.create_ephemeral(gone, "/k1");
    stage.create_ephemeral(stays, "/k2");
    for id in [leader, one, other] {
        stage.cut(Place::Client(gone), Place::Node(id));
    }
    stage.crash(leader, Crash::Kill);
    stage.next_leader(&[leader]);
    stage.connected(stays);
    stage.pass_ms(20_000);
    assert!(!stage.exists(stays, "/k1"), "a session without a client lives on");
    assert!(stage.exists(stays, "/k2"), "a session with a client has ended");
    assert_eq!(stage.client(stays).expired(), 0);
    stage.end();
}

/// Clients of followers who ask for nothing are heard by the leader all the same.
pub(super) fn idle_clients_of_followers_live() {
    let mut stage = Stage::new(Plan { session_timeout_ms: 4_000, ..Plan::calm(25) });
    let roles = stage.roles_of_three();
    let clients = roles.map(|id| stage.client_at(id));
    stage.pass_ms(60_000);
    for client in clients {
        assert_eq!(stage.client(client).expired(), 0, "client {client}");
        assert!(stage.client(client).node().is_some());
    }
    stage.end();
}

/// Clocks: the wall clock jumps by an hour, a leader hangs for ten seconds: no session that was
/// heard ends, and none lives for ever.
pub(super) fn clocks_jump_and_processes_hang() {
    let mut stage = Stage::new(Plan { session_timeout_ms: 8_000, ..Plan::calm(26) });
    let [leader, one, other] = stage.roles_of_three();
    let clients = [leader, one, other].map(|id| stage.client_at(id));
    for jump_ms in [3_600_000, -3_600_000, 10_800_000] {
        for id in [leader, one, other] {
            stage.machine_mut(id).clock.ahead_ms += jump_ms;
        }
        stage.pass_ms(10_000);
    }
    for client in clients {
        assert_eq!(stage.client(client).expired(), 0, "client {client}");
    }
    stage.pause(leader, 4_000_000);
    stage.pass_ms(15_000);
    stage.all_serve_again();
    stage.end();
}
