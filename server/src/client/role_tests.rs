//! What clients see of a server whose role changes: nothing is answered, nothing is watched, and
//! what was on its way when the role ended does no harm to the next one.
//!
//! Played on [`World`]: its shards are told that a role is over, its sequencer goes on, as the
//! source of everything that comes too late.

use std::sync::Arc;

use menagerie_engine::tree::Root;
use menagerie_engine::txn::{OpResult, Outcome};
use menagerie_wire::{Epoch, ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::world::{Client, World, bare, create, data, get, handshake, set, sync};
use crate::client::shard::Shard;
use crate::sequencer::message::{ConnectionKey, ToSequencer, ToShard};
use crate::sequencer::publication::{Answer, Entry, Logged, Publication, Run};

const SERVE: ToShard = ToShard::Serve { since: Zxid::ZERO };

/// A world with "/a" = "0", and two clients on two shards.
fn with_a() -> (World, Client, Client) {
    let mut world = World::new();
    let (one, two) = (world.client(0), world.client(1));
    world.receive(one.key, &create(1, "/a"));
    world.settle();
    assert_eq!(world.xids(one.key), [1]);
    (world, one, two)
}

/// A publication with one run.
fn publish(shard: &mut Shard, entries: Vec<Entry>, root: Root) {
    let sequence = shard.adopted() + 1;
    let runs = vec![Run { entries, root, logged: Logged::default() }];
    let publication = Publication { sequence, runs, committed_us: 0 };
    shard.on_message(ToShard::Publish(Arc::new(publication)));
}

/// The result of a write of `key`, which moves no root.
fn publish_result(
    world: &mut World,
    key: ConnectionKey,
    xid: i32,
    result: Result<OpResult, ErrorCode>,
) {
    let root = world.sequencer.committed().clone();
    let zxid = root.last_zxid();
    let outcome = Outcome { result, changes: Vec::new() };
    let answer = Some((key, Answer::Reply(Xid(xid))));
    publish(
        world.shard(key),
        vec![Entry { zxid, outcome, answer, judged_us: 0, proposed_us: 0 }],
        root,
    );
}

/// What the shards tell the sequencer when they close these connections.
fn goodbyes(world: &mut World, keys: &[ConnectionKey]) -> Vec<(ConnectionKey, SessionId)> {
    for key in keys {
        world.shard(*key).closed(*key);
    }
    let outboxes = world.shards.iter_mut().flat_map(Shard::take_outbox);
    let said = outboxes.filter_map(|message| match message {
        ToSequencer::Disconnected { connection, session } => Some((connection, session)),
        _ => None,
    });
    said.collect()
}

fn check_nothing_is_left(world: &World) {
    for shard in &world.shards {
        assert_eq!(shard.watch_count(), 0);
        assert_eq!(shard.outstanding_requests(), 0);
    }
}

#[test]
fn the_end_of_a_role_ends_every_connection_without_an_answer() {
    let (mut world, one, two) = with_a();
    world.receive(one.key, &[get(2, "/a", true), set(3, "/a", b"1")].concat());
    world.receive(one.key, &[get(4, "/a", true), sync(5, "/a"), get(6, "/a", false)].concat());
    world.receive(two.key, &[get(1, "/a", true), bare(2, OpCode::CloseSession)].concat());
    world.tell_all(&ToShard::StopServing);
    check_nothing_is_left(&world);
    // What was queued before may leave.
    assert_eq!((world.xids(one.key), world.xids(two.key)), (vec![2], vec![1]));
    for client in [one, two] {
        assert!(world.is_closing(client.key));
        assert!(!world.shard(client.key).wants_bytes(client.key));
        world.receive(client.key, &get(7, "/a", true));
        assert_eq!(world.take(client.key), b"", "behind the end nothing is answered");
    }
    check_nothing_is_left(&world);
    let said = goodbyes(&mut world, &[one.key, two.key]);
    assert_eq!(said, [(one.key, one.session), (two.key, two.session)]);
}

#[test]
fn what_was_judged_before_the_end_is_committed_and_not_answered() {
    let (mut world, one, two) = with_a();
    world.receive(one.key, &[set(2, "/a", b"1"), get(3, "/a", true), sync(4, "/a")].concat());
    world.receive(two.key, &get(1, "/a", true));
    world.receive(two.key, &bare(2, OpCode::CloseSession));
    world.judge();
    world.sent(two.key);
    world.tell_all(&ToShard::StopServing);
    world.commit();
    for client in [one, two] {
        assert_eq!(world.take(client.key), b"", "no reply, no event, no goodbye");
    }
    check_nothing_is_left(&world);
    world.tell_all(&SERVE);
    let next = world.client(1);
    world.receive(next.key, &get(1, "/a", false));
    assert_eq!(data(&world.sent(next.key)[0]), b"1", "it was committed");
}

#[test]
fn no_session_begins_between_two_roles() {
    let (mut world, one, _) = with_a();
    let early = world.open(0);
    world.tell_all(&ToShard::StopServing);
    let late = world.open(1);
    for key in [early, late] {
        assert!(!world.is_closing(key), "it may ask a four-letter word");
        world.receive(key, &handshake(SessionId::NONE, &[0; 16], Zxid::ZERO));
        assert!(world.is_closing(key));
        assert_eq!(world.take(key), b"");
    }
    let again = world.open(0);
    world.receive(again, &handshake(one.session, &one.passwd, Zxid::ZERO));
    assert!(world.is_closing(again));
    assert!(world.shards.iter().all(|shard| shard.outbox.is_empty()), "nobody hears of them");

    let asking = world.open(0);
    world.receive(asking, b"ruok");
    assert_eq!(world.shards[0].take_words().len(), 1);
    world.shards[0].answer_word(asking, "imok");
    assert_eq!(world.take(asking), b"imok");

    world.tell_all(&SERVE);
    let key = world.open(1);
    world.receive(key, &handshake(one.session, &one.passwd, Zxid::ZERO));
    world.settle();
    assert_eq!(world.connected(key).session_id, one.session);
}

#[test]
fn a_question_that_came_before_the_end_is_answered_behind_it() {
    let (mut world, ..) = with_a();
    let asking = world.open(0);
    world.receive(asking, b"srvr");
    world.tell_all(&ToShard::StopServing);
    world.shards[0].answer_word(asking, "not serving");
    assert_eq!(world.take(asking), b"not serving");
}

#[test]
fn handshakes_of_the_old_role_come_to_nothing_in_the_next() {
    let (mut world, one, _) = with_a();
    let (new, resumed) = (world.open(0), world.open(1));
    world.receive(new, &handshake(SessionId::NONE, &[0; 16], Zxid::ZERO));
    world.receive(resumed, &handshake(one.session, &one.passwd, Zxid::ZERO));
    world.tell_all(&ToShard::StopServing);
    world.tell_all(&SERVE);
    // The sequencer hears of both only now, and gives them their sessions.
    world.settle();
    for key in [new, resumed] {
        assert!(world.is_closing(key));
        assert_eq!(world.take(key), b"");
    }
    let back = world.open(0);
    world.receive(back, &handshake(one.session, &one.passwd, Zxid::ZERO));
    world.settle();
    assert_eq!(world.connected(back).session_id, one.session);
}

#[test]
fn a_late_word_for_an_old_connection_does_not_reach_the_next_one_of_its_place() {
    let (mut world, one, _) = with_a();
    world.receive(one.key, &[get(2, "/a", true), set(3, "/a", b"1")].concat());
    world.judge();
    world.tell_all(&ToShard::StopServing);
    world.shard(one.key).closed(one.key);
    world.tell_all(&SERVE);
    let key = world.open(0);
    assert_eq!(key.index, one.key.index, "the same place");
    world.receive(key, &handshake(one.session, &one.passwd, Zxid::ZERO));
    world.settle();
    let (connection, session) = (one.key, one.session);
    for late in [
        ToShard::Resumed { connection, session, timeout_ms: 1 },
        ToShard::Synced { connection },
        ToShard::Refused { connection },
        ToShard::Evict { connection },
    ] {
        world.shard(key).on_message(late);
    }
    assert!(!world.is_closing(key));
    assert_eq!(world.connected(key).session_id, one.session, "nothing but the handshake");
    world.receive(key, &set(1, "/a", b"2"));
    world.settle();
    assert_eq!(world.xids(key), [1], "the watch is gone");
}

#[test]
fn between_two_roles_the_root_may_go_back_and_a_client_that_saw_more_is_turned_away() {
    let (mut world, one, _) = with_a();
    let old = world.sequencer.committed().clone();
    world.receive(one.key, &set(2, "/a", b"1"));
    world.settle();
    let seen = world.sequencer.committed().last_zxid();
    world.tell_all(&ToShard::StopServing);
    for shard in &mut world.shards {
        publish(shard, Vec::new(), old.clone());
        shard.on_message(SERVE);
        assert_eq!(shard.last_zxid(), old.last_zxid());
    }
    let key = world.open(0);
    world.receive(key, &handshake(one.session, &one.passwd, seen));
    assert!(world.is_closing(key));
    assert_eq!(world.take(key), b"");
    let key = world.open(0);
    world.receive(key, &handshake(one.session, &one.passwd, old.last_zxid()));
    assert!(!world.is_closing(key));
}

#[test]
fn a_client_that_saw_the_beginning_of_the_reign_is_let_in_before_anything_is_written_in_it() {
    let (mut world, ..) = with_a();
    let since = Zxid::new(Epoch(7), 0);
    world.tell_all(&ToShard::StopServing);
    world.tell_all(&ToShard::Serve { since });
    let mut check = |seen, let_in| {
        let key = world.open(0);
        world.receive(key, &handshake(SessionId::NONE, &[0; 16], seen));
        assert_eq!(!world.is_closing(key), let_in, "{seen}");
    };
    check(Zxid::new(Epoch(6), 9), true);
    check(since, true);
    check(since.next(), false);
    let next = world.client(1);
    world.receive(next.key, &get(1, "/a", false));
    let told = world.sent(next.key)[0].zxid;
    assert_eq!(told, world.shards[1].last_zxid().0, "a client is told what others have, too");
}

#[test]
#[should_panic(expected = "never goes back")]
fn a_root_that_is_served_never_goes_back() {
    let (mut world, one, _) = with_a();
    let old = world.sequencer.committed().clone();
    world.receive(one.key, &set(2, "/a", b"1"));
    world.settle();
    publish(&mut world.shards[0], Vec::new(), old);
}

#[test]
fn an_empty_publication_brings_the_root_of_the_new_role() {
    let (mut world, one, two) = with_a();
    let shard = world.shards.pop().unwrap();
    world.receive(one.key, &set(2, "/a", b"1"));
    world.settle();
    world.shards.push(shard);
    let newest = world.sequencer.committed().clone();
    let shard = world.shard(two.key);
    shard.on_message(ToShard::StopServing);
    // It has missed the commit; its next root has it all the same.
    publish(shard, Vec::new(), newest.clone());
    assert_eq!(shard.last_zxid(), newest.last_zxid());
    publish(shard, Vec::new(), newest);
    shard.on_message(SERVE);
    assert_eq!(shard.adopted(), world.shards[0].adopted() + 1);
}

#[test]
fn sessions_heard_of_in_the_old_role_are_not_told_of_in_the_next() {
    let (mut world, one, _) = with_a();
    world.receive(one.key, &bare(-2, OpCode::Ping));
    world.tell_all(&ToShard::StopServing);
    world.shards[0].hand_over_touched(Some(7));
    let said: Vec<_> = world.shards[0].take_outbox().collect();
    let [ToSequencer::Touched { sessions, round: Some(7) }] = &said[..] else {
        panic!("not the answer to a round: {said:?}");
    };
    assert_eq!(sessions, &[]);
}

#[test]
fn a_session_that_moved_is_told_nothing_and_ends() {
    let moved = || ErrorCode::SessionMoved;
    for result in [Err(moved()), Ok(OpResult::MultiRefused { failed: 1, code: moved(), count: 2 })]
    {
        let (mut world, one, _) = with_a();
        world.receive(one.key, &[get(2, "/a", false), set(3, "/a", b"1")].concat());
        world.receive(one.key, &[get(4, "/a", false), set(5, "/a", b"2")].concat());
        publish_result(&mut world, one.key, 3, result);
        assert!(world.is_closing(one.key));
        assert_eq!(world.xids(one.key), [2], "what was answered before leaves");
        check_nothing_is_left(&world);
        // The next write of it was refused as well.
        publish_result(&mut world, one.key, 5, Err(ErrorCode::SessionMoved));
        assert_eq!(world.take(one.key), b"");
    }
}

#[test]
fn a_session_that_expired_is_told_so_and_its_connection_waits_for_the_end() {
    let (mut world, one, _) = with_a();
    world.receive(one.key, &set(2, "/a", b"1"));
    publish_result(&mut world, one.key, 2, Err(ErrorCode::SessionExpired));
    let sent = world.sent(one.key);
    assert_eq!((sent[0].xid, sent[0].err), (2, ErrorCode::SessionExpired.code()));
    assert!(!world.is_closing(one.key));
}
