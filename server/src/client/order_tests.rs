//! What a client may rely on: the order of its replies and events, and what its reads see.
//!
//! Played on [`World`], where commits come when the test says so.

use menagerie_wire::data::{Acl, perms};
use menagerie_wire::proto::{Create, SetAcl};
use menagerie_wire::{Encode, OpCode, SessionId, Zxid};

use super::world::{Client, World, auth, bare, create, data, get, handshake, request, set, sync};

/// A world with "/a" = "0", and a client.
fn with_a() -> (World, Client) {
    let mut world = World::new();
    let client = world.client(0);
    world.receive(client.key, &create(1, "/a"));
    world.settle();
    assert_eq!(world.xids(client.key), [1]);
    (world, client)
}

#[test]
fn replies_come_in_the_order_of_the_requests() {
    let (mut world, client) = with_a();
    let pipeline = [
        get(2, "/a", false),
        set(3, "/a", b"1"),
        get(4, "/a", false),
        sync(5, "/a"),
        bare(6, OpCode::Ping),
        set(7, "/none", b"2"),
        get(8, "/a", false),
        set(9, "/a", b"3"),
        sync(10, "/"),
        get(11, "/a", false),
    ];
    world.receive(client.key, &pipeline.concat());
    world.settle();
    let sent = world.sent(client.key);
    let xids: Vec<i32> = sent.iter().map(|sent| sent.xid).collect();
    assert_eq!(xids, [2, 3, 4, 5, -2, 7, 8, 9, 10, 11]);
    assert_eq!(sent.iter().map(|sent| sent.err).collect::<Vec<_>>()[5], -101);
    let zxids: Vec<i64> = sent.iter().map(|sent| sent.zxid).collect();
    assert!(zxids.is_sorted(), "{zxids:?}");
    for (index, seen) in [(0, b"0"), (2, b"1"), (6, b"1"), (9, b"3")] {
        assert_eq!(data(&sent[index]), seen, "xid {}", sent[index].xid);
    }
}

#[test]
fn a_read_behind_a_write_waits_for_it_and_sees_no_later_one() {
    let (mut world, client) = with_a();
    let pipeline = [set(2, "/a", b"1"), get(3, "/a", false), set(4, "/a", b"2")];
    world.receive(client.key, &pipeline.concat());
    world.judge();
    assert!(world.xids(client.key).is_empty());
    world.commit();
    let sent = world.sent(client.key);
    assert_eq!(sent.len(), 3);
    assert_eq!(data(&sent[1]), b"1");
}

#[test]
fn a_read_before_a_goodbye_is_answered_before_it() {
    let (mut world, client) = with_a();
    let goodbye = bare(4, OpCode::CloseSession);
    world.receive(client.key, &[set(2, "/a", b"1"), get(3, "/a", false), goodbye].concat());
    world.settle();
    assert_eq!(world.xids(client.key), [2, 3, 4]);
}

#[test]
fn a_read_that_was_parked_by_an_earlier_batch_does_not_see_the_next_write() {
    let (mut world, client) = with_a();
    let other = world.client(0);
    world.receive(client.key, &[set(2, "/a", b"1"), get(3, "/a", false)].concat());
    world.judge();
    // Of another session: may be seen or not. Of this one: must not be.
    world.receive(other.key, &set(1, "/a", b"other"));
    world.receive(client.key, &set(4, "/a", b"2"));
    world.judge();
    world.commit();
    let sent = world.sent(client.key);
    assert_eq!(sent.iter().map(|sent| sent.xid).collect::<Vec<_>>(), [2, 3, 4]);
    assert_ne!(data(&sent[1]), b"2");
}

#[test]
fn a_sync_waits_for_what_was_judged_before_it_and_answers_at_once_when_nothing_was() {
    let (mut world, client) = with_a();
    let other = world.client(1);
    world.receive(client.key, &sync(2, "/a"));
    world.judge();
    assert_eq!(world.xids(client.key), [2]);

    world.receive(other.key, &set(1, "/a", b"1"));
    world.judge();
    world.receive(client.key, &[sync(3, "/a"), get(4, "/a", false)].concat());
    world.judge();
    assert!(world.xids(client.key).is_empty());
    world.commit();
    let sent = world.sent(client.key);
    assert_eq!(sent.iter().map(|sent| sent.xid).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(data(&sent[1]), b"1");
}

#[test]
fn a_client_hears_of_its_own_write_before_the_reply() {
    let (mut world, client) = with_a();
    let witness = world.client(1);
    world.receive(client.key, &get(2, "/a", true));
    world.receive(witness.key, &get(1, "/a", true));
    world.sent(client.key);
    world.sent(witness.key);
    world.receive(client.key, &set(3, "/a", b"1"));
    world.judge();
    world.receive(witness.key, &get(2, "/a", false));
    let before = world.sent(witness.key);
    assert_eq!(data(&before[0]), b"0", "what is not committed is not seen");
    world.commit();
    let sent = world.sent(client.key);
    assert_eq!(sent.iter().map(|sent| sent.xid).collect::<Vec<_>>(), [-1, 3]);
    assert_eq!(sent[0].zxid, sent[1].zxid, "an event carries the zxid of its transaction");
    assert_eq!(world.xids(witness.key), [-1]);
}

#[test]
fn pings_auth_and_unknown_requests_keep_their_places() {
    let (mut world, client) = with_a();
    let pipeline = [set(2, "/a", b"1"), bare(3, OpCode::Ping), auth("digest", b"u:p")];
    world.receive(client.key, &pipeline.concat());
    assert_eq!(world.xids(client.key), [-4], "auth is answered ahead of what is owed");
    world.settle();
    assert_eq!(world.xids(client.key), [2, -2]);

    world.receive(client.key, &request(4, 77, |_| {}));
    let sent = world.sent(client.key);
    assert_eq!((sent[0].xid, sent[0].zxid, sent[0].err), (4, -1, -6));
    assert!(world.is_closing(client.key));
}

#[test]
fn a_body_that_cannot_be_decoded_is_answered_in_its_place_and_takes_no_zxid() {
    let (mut world, client) = with_a();
    let broken = request(3, OpCode::Create as i32, |out| out.push(0));
    world.receive(client.key, &[set(2, "/a", b"1"), broken, set(4, "/a", b"2")].concat());
    world.settle();
    let sent = world.sent(client.key);
    let seen: Vec<_> = sent.iter().map(|sent| (sent.xid, sent.err)).collect();
    assert_eq!(seen, [(2, 0), (3, -5), (4, 0)]);
    assert_eq!(sent[2].zxid, sent[0].zxid + 1);
}

#[test]
fn a_frame_may_be_split_at_every_byte() {
    let pipeline = |session, passwd: &[u8]| {
        [
            handshake(session, passwd, Zxid::ZERO),
            auth("digest", b"u:p"),
            create(1, "/split"),
            get(2, "/split", true),
            set(3, "/split", b"1"),
            bare(4, OpCode::Ping),
        ]
        .concat()
    };
    let mut whole = World::new();
    let key = whole.open(0);
    whole.receive(key, &pipeline(SessionId::NONE, &[0; 16]));
    whole.settle();
    let expected = whole.take(key);
    let bytes = pipeline(SessionId::NONE, &[0; 16]);
    for cut in 1..bytes.len() {
        let mut world = World::new();
        let key = world.open(0);
        world.receive(key, &bytes[..cut]);
        world.settle();
        world.receive(key, &bytes[cut..]);
        world.settle();
        let (got, expected) = (world.take(key), without_zxids(&expected));
        assert_eq!(without_zxids(&got), expected, "cut at {cut}");
    }
    let mut world = World::new();
    let key = world.open(0);
    for byte in &bytes {
        world.receive(key, std::slice::from_ref(byte));
        world.settle();
    }
    assert_eq!(without_zxids(&world.take(key)), without_zxids(&expected), "byte by byte");
}

/// Frames without the zxids of their headers: a ping's depends on what was committed before it.
fn without_zxids(bytes: &[u8]) -> Vec<Vec<u8>> {
    let frames = super::world::frames(bytes);
    let masked = frames.into_iter().map(|frame| [&frame[..4], &frame[12..]].concat());
    masked.collect()
}

#[test]
fn what_comes_with_the_handshake_is_held_until_the_session_is_there() {
    let mut world = World::new();
    let key = world.open(0);
    world.receive(key, &handshake(SessionId::NONE, &[0; 16], Zxid::ZERO));
    world.judge();
    world.receive(key, &[create(1, "/a"), get(2, "/a", false)].concat());
    world.judge();
    assert_eq!(world.take(key), b"", "nothing is said before the session is committed");
    world.settle();
    let bytes = world.take(key);
    let frames = super::world::frames(&bytes);
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[0].len(), 37, "the ConnectResponse comes first");
}

#[test]
fn a_root_never_goes_back_between_shards() {
    let (mut world, writer) = with_a();
    let reader = world.client(1);
    let mut last = 0;
    for round in 0..20_i32 {
        world.receive(writer.key, &set(round, "/a", &round.to_be_bytes()));
        world.receive(reader.key, &get(round, "/a", false));
        world.judge();
        if round % 3 == 0 {
            world.commit();
        }
        for sent in world.sent(reader.key) {
            assert!(sent.zxid >= last, "{} after {last}", sent.zxid);
            last = sent.zxid;
        }
    }
}

/// The log is spared what is refused, but not at the price of the order: behind a write that may
/// have given the right, the sequencer decides.
#[test]
fn an_eager_refusal_takes_no_transaction_and_knows_all_that_the_session_did() {
    let mut world = World::with(1, |settings| settings.eager_acl_check = true);
    let client = world.client(0);
    let with_acl = |xid: i32, op: OpCode, perms: i32| {
        request(xid, op as i32, |out| {
            let (path, acl) = ("/a".into(), Some(vec![Acl::world(perms)]));
            match op {
                OpCode::SetAcl => SetAcl { path: Some(path), acl, version: -1 }.encode(out),
                _ => Create { path, data: None, acl, flags: 0, ttl_ms: None }.encode(out),
            }
        })
    };
    let admin = perms::ADMIN | perms::READ;
    world.receive(client.key, &with_acl(1, OpCode::Create, admin));
    world.settle();
    let created = world.sent(client.key)[0].zxid;

    world.receive(client.key, &[set(2, "/a", b"x"), get(3, "/a", false)].concat());
    let sent = world.sent(client.key);
    let told: Vec<_> = sent.iter().map(|sent| (sent.xid, sent.err, sent.zxid)).collect();
    assert_eq!(told, [(2, -102, 0), (3, 0, created)], "nobody else was asked");

    let grant = with_acl(4, OpCode::SetAcl, perms::ALL);
    world.receive(client.key, &[grant, set(5, "/a", b"x")].concat());
    world.settle();
    let told: Vec<_> = world.sent(client.key).iter().map(|s| (s.xid, s.err)).collect();
    assert_eq!(told, [(4, 0), (5, 0)]);
}
