//! Sessions: who owns one, how it is taken over, how it ends.
//!
//! Played on [`World`], where commits and time come when the test says so.

use menagerie_engine::tree::Tree;
use menagerie_wire::{Epoch, OpCode, SessionId, Zxid};

use super::world::{
    Client, TICK_MS, TIMEOUT_MS, World, auth, bare, create, create_as, create_with, data, delete,
    get, handshake, set,
};

const EPHEMERAL: i32 = 1;

/// Takes `client`'s session over on a new connection of `shard`.
fn resume(world: &mut World, client: Client, shard: u16) -> Client {
    let key = world.open(shard);
    world.receive(key, &handshake(client.session, &client.passwd, Zxid::ZERO));
    world.settle();
    let response = world.connected(key);
    assert_eq!((response.session_id, response.passwd), (client.session, client.passwd));
    Client { key, ..client }
}

#[test]
fn a_session_moves_with_its_ephemerals_and_leaves_its_watches_behind() {
    let mut world = World::new();
    let old = world.client(0);
    world.receive(old.key, &create_with(1, "/e", EPHEMERAL));
    world.settle();
    world.receive(old.key, &get(2, "/e", true));
    world.sent(old.key);
    let new = resume(&mut world, old, 1);
    assert!(world.is_closing(old.key), "the old connection is closed");
    assert_eq!(world.take(old.key), b"", "without a word");
    world.closed(old.key);
    world.receive(new.key, &set(3, "/e", b"1"));
    world.settle();
    assert_eq!(world.xids(new.key), [3]);
}

#[test]
fn what_the_old_connection_sent_too_late_is_refused() {
    let mut world = World::new();
    let old = world.client(0);
    world.receive(old.key, &create(1, "/a"));
    world.settle();
    world.sent(old.key);
    let key = world.open(1);
    world.receive(key, &handshake(old.session, &old.passwd, Zxid::ZERO));
    // The sequencer hears of the new connection first, then of the old one's write.
    let resume: Vec<_> = world.shards[1].take_outbox().collect();
    world.shards[0].outbox.splice(0..0, resume);
    world.receive(old.key, &set(2, "/a", b"late"));
    world.settle();
    assert!(world.is_closing(old.key));
    assert_eq!(world.take(old.key), b"");
    world.connected(key);
    world.receive(key, &get(3, "/a", false));
    assert_eq!(data(&world.sent(key)[0]), b"0");
}

#[test]
fn a_wrong_password_is_refused_and_does_no_harm_to_the_owner() {
    let mut world = World::new();
    let owner = world.client(0);
    let check = |world: &mut World, session, passwd: &[u8]| {
        let key = world.open(1);
        world.receive(key, &handshake(session, passwd, Zxid::ZERO));
        world.settle();
        let response = world.connected(key);
        assert_eq!((response.session_id, response.timeout_ms), (SessionId::NONE, 0));
        assert_eq!(response.passwd, [0; 16]);
        assert!(world.is_closing(key));
        assert!(!world.is_closing(owner.key));
    };
    let mut wrong = owner.passwd;
    wrong[3] ^= 1;
    check(&mut world, owner.session, &wrong);
    check(&mut world, owner.session, &[]);
    check(&mut world, SessionId(owner.session.0 + 1), &owner.passwd);
    world.receive(owner.key, &create(1, "/still-here"));
    world.settle();
    assert_eq!(world.xids(owner.key), [1]);
}

#[test]
fn a_client_that_has_seen_more_is_turned_away_without_a_word() {
    let mut world = World::new();
    let client = world.client(0);
    let key = world.open(0);
    world.receive(key, &handshake(client.session, &client.passwd, Zxid(1_000)));
    assert_eq!(world.take(key), b"");
    assert!(world.is_closing(key));
    world.settle();
    assert!(!world.is_closing(client.key), "its session stays where it is");
    resume(&mut world, client, 1);
}

#[test]
fn a_close_is_answered_and_ends_session_and_connection() {
    let mut world = World::new();
    let client = world.client(0);
    let witness = world.client(1);
    world.receive(client.key, &create_with(1, "/e", EPHEMERAL));
    world.settle();
    world.receive(witness.key, &get(1, "/e", true));
    world.sent(witness.key);
    // Nothing that comes behind a close is looked at, nor does it keep the answer from coming.
    let pipeline = [bare(2, OpCode::CloseSession), set(3, "/e", b"1"), bare(4, OpCode::Ping)];
    world.receive(client.key, &pipeline.concat());
    world.settle();
    assert_eq!(world.xids(client.key), [1, 2]);
    assert!(world.is_closing(client.key));
    let event = &world.sent(witness.key)[0];
    assert_eq!((event.xid, event.body[..4].to_vec()), (-1, vec![0, 0, 0, 2]), "NodeDeleted");
    world.closed(client.key);

    let key = world.open(0);
    world.receive(key, &handshake(client.session, &client.passwd, Zxid::ZERO));
    world.settle();
    assert_eq!(world.connected(key).session_id, SessionId::NONE);
}

#[test]
fn touches_on_the_shards_are_collected_before_a_session_expires() {
    let mut world = World::new();
    let lively = world.client(0);
    let silent = world.client(1);
    world.receive(silent.key, &create_with(1, "/e", EPHEMERAL));
    world.settle();
    world.sent(silent.key);
    for shard in &mut world.shards {
        shard.hand_over_touched(None);
    }
    world.settle();
    let almost = (TIMEOUT_MS - TICK_MS) as u64;
    world.pass(almost);
    // Known to the shard only: nobody hands it over but the collection.
    world.receive(lively.key, &bare(1, OpCode::Ping));
    world.pass(3 * TICK_MS as u64);
    assert!(world.is_closing(silent.key), "expired");
    assert_eq!(world.take(silent.key), b"", "without a word");
    assert!(!world.is_closing(lively.key));
    world.receive(lively.key, &get(2, "/e", false));
    assert_eq!(world.sent(lively.key)[1].err, -101, "its ephemerals are gone");
    // That read was a touch as well.
    world.pass(2 * TIMEOUT_MS as u64);
    assert!(!world.is_closing(lively.key));
    world.pass(2 * TIMEOUT_MS as u64);
    assert!(world.is_closing(lively.key));
    assert_eq!(world.sequencer.session_count(), 0);
}

#[test]
fn a_server_that_slept_does_not_blame_its_clients() {
    let mut world = World::new();
    let client = world.client(0);
    world.sleep(10 * TIMEOUT_MS as u64);
    assert_eq!(world.sequencer.session_count(), 1);
    world.receive(client.key, &bare(1, OpCode::Ping));
    world.pass(TIMEOUT_MS as u64);
    assert!(!world.is_closing(client.key));
    world.pass(3 * TIMEOUT_MS as u64);
    assert!(world.is_closing(client.key), "but for its own silence it does");
}

#[test]
fn a_server_whose_zxids_run_out_begins_the_next_epoch() {
    let check = |last, expect| {
        let mut tree = Tree::new();
        tree.advance(last);
        let mut world = World::over(tree, 1, |_| {});
        let client = world.client(0);
        world.receive(client.key, &create(1, "/a"));
        world.settle();
        assert_eq!(Zxid(world.sent(client.key)[0].zxid), expect, "behind {last}");
    };
    check(Zxid::new(Epoch(3), 7), Zxid::new(Epoch(3), 9));
    check(Zxid::new(Epoch(3), u32::MAX), Zxid::new(Epoch(4), 2));
}

#[test]
fn an_emptied_container_goes_and_its_watchers_hear_of_it() {
    const CONTAINER: i32 = 4;
    let mut world = World::new();
    let client = world.client(0);
    let container = create_as(OpCode::CreateContainer, 1, "/c", CONTAINER);
    let delete = delete(3, "/c/x");
    world.receive(client.key, &[container, create(2, "/c/x"), delete].concat());
    world.settle();
    world.receive(client.key, &get(4, "/c", true));
    assert_eq!(world.xids(client.key), [1, 2, 3, 4]);
    world.pass(1_000);
    let event = &world.sent(client.key)[0];
    assert_eq!((event.xid, &event.body[..4]), (-1, &[0, 0, 0, 2][..]), "NodeDeleted");
    world.receive(client.key, &get(5, "/c", false));
    assert_eq!(world.sent(client.key)[0].err, -101);
}

#[test]
fn a_connection_that_dies_in_its_handshake_owns_nothing() {
    let mut world = World::new();
    let client = world.client(0);
    let key = world.open(1);
    world.receive(key, &handshake(client.session, &client.passwd, Zxid::ZERO));
    world.shard(key).closed(key);
    let reused = world.open(1);
    assert_eq!(reused.index, key.index);
    world.settle();
    assert_eq!(world.take(reused), b"", "a late answer does not reach the next user of the index");
    resume(&mut world, client, 0);
}

#[test]
fn enforced_authentication_refuses_everything_before_a_proof() {
    let mut world = World::with(1, |settings| settings.enforced_schemes = vec!["digest".into()]);
    let client = world.client(0);
    let proved = world.client(0);
    world.receive(client.key, &[bare(1, OpCode::Ping), create(2, "/a")].concat());
    let sent = world.sent(client.key);
    assert_eq!(sent.len(), 1, "nothing behind the refusal is answered");
    assert_eq!((sent[0].xid, sent[0].zxid, sent[0].err), (1, 0, -124));
    assert!(world.is_closing(client.key));

    world.receive(proved.key, &[auth("digest", b"u:p"), create(2, "/a")].concat());
    world.settle();
    assert_eq!(world.sent(proved.key).iter().map(|sent| sent.err).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn an_identity_counts_from_the_next_request_on() {
    let mut world = World::new();
    let client = world.client(0);
    let acl = vec![menagerie_wire::data::Acl {
        perms: 31,
        id: menagerie_wire::data::Id { scheme: "auth".into(), id: "".into() },
    }];
    let create = |xid, path: &'static str| {
        use menagerie_wire::Encode;
        let acl = Some(acl.clone());
        let create = menagerie_wire::proto::Create {
            path: path.into(),
            data: None,
            acl,
            flags: 0,
            ttl_ms: None,
        };
        super::world::request(xid, OpCode::Create as i32, |out| create.encode(out))
    };
    let pipeline = [create(1, "/before"), auth("digest", b"u:p"), create(2, "/after")].concat();
    world.receive(client.key, &pipeline);
    world.settle();
    let mut sent = world.sent(client.key);
    sent.sort_by_key(|sent| sent.xid);
    let seen: Vec<_> = sent.iter().map(|sent| (sent.xid, sent.err)).collect();
    assert_eq!(seen, [(-4, 0), (1, -114), (2, 0)]);
}
