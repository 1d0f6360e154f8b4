//! What one connection may cost the others: memory, time, and what it leaves behind.
//!
//! Played on [`World`], where commits come when the test says so.

use super::world::{World, auth, create, get, set};

#[test]
fn a_consumer_that_does_not_read_is_cut_off_and_others_get_everything() {
    let mut world = World::with(1, |settings| settings.output_bytes_max = 2_000);
    let (slow, quick, writer) = (world.client(0), world.client(0), world.client(0));
    world.receive(writer.key, &create(0, "/a"));
    world.settle();
    let mut events = 0;
    for round in 1..=100 {
        world.receive(quick.key, &get(round, "/a", true));
        if !world.is_closing(slow.key) {
            world.receive(slow.key, &get(round, "/a", true));
        }
        world.receive(writer.key, &set(round, "/a", b"1"));
        world.settle();
        events += world.sent(quick.key).iter().filter(|sent| sent.xid == -1).count();
        assert_eq!(world.sent(writer.key).last().map(|sent| sent.xid), Some(round));
    }
    assert_eq!(events, 100);
    assert!(world.is_closing(slow.key));
    assert_eq!(world.take(slow.key), b"", "what was queued is given up");
}

#[test]
fn a_client_that_reads_too_much_behind_one_write_is_cut_off() {
    let mut world = World::with(1, |settings| settings.output_bytes_max = 10_000);
    let client = world.client(0);
    let greedy = world.client(0);
    let gets = |xids: std::ops::Range<i32>| xids.flat_map(|xid| get(xid, "/big", false));
    world.receive(client.key, &create(0, "/big"));
    world.receive(client.key, &set(1, "/big", &[1; 3_000]));
    let pipeline: Vec<u8> = gets(2..12).collect();
    world.receive(client.key, &pipeline);
    let pipeline: Vec<u8> = gets(2..22).collect();
    world.receive(greedy.key, &[set(1, "/big", &[1; 3_000]), pipeline].concat());
    world.settle();
    assert_eq!(world.xids(client.key), (0..12).collect::<Vec<_>>());
    assert!(world.is_closing(greedy.key));
    assert_eq!(world.take(greedy.key), b"");
    assert_eq!(world.shards[0].outstanding_requests(), 0);
}

#[test]
fn identities_of_a_connection_are_bounded() {
    let mut world = World::new();
    let client = world.client(0);
    for index in 0..2 * super::connection::IDS_MAX {
        world.receive(client.key, &auth("digest", format!("u{index}:p").as_bytes()));
    }
    let sent = world.sent(client.key);
    assert_eq!(sent.last().map(|sent| sent.err), Some(-115));
    assert!(world.is_closing(client.key));
}

#[test]
fn above_the_outstanding_limit_only_those_who_wait_already_are_not_read() {
    let mut world = World::with(1, |settings| settings.outstanding_requests_max = 10);
    let (greedy, modest) = (world.client(0), world.client(0));
    world.receive(greedy.key, &create(0, "/a"));
    world.settle();
    world.sent(greedy.key);
    let pipeline: Vec<u8> = (1..=100).flat_map(|xid| set(xid, "/a", b"x")).collect();
    world.receive(greedy.key, &pipeline);
    assert!(!world.shard(greedy.key).wants_bytes(greedy.key));
    assert!(world.shard(modest.key).wants_bytes(modest.key));
    assert_eq!(world.shards[0].outbox.len(), 11);
    world.receive(modest.key, &set(1, "/a", b"y"));
    world.judge();
    world.commit();
    assert_eq!(world.xids(modest.key), [1]);
    world.settle();
    assert_eq!(world.xids(greedy.key), (1..=100).collect::<Vec<_>>());
    assert!(world.shard(greedy.key).wants_bytes(greedy.key));
    assert_eq!(world.shards[0].outstanding_requests(), 0);
}

#[test]
fn a_word_is_taken_once_and_nothing_is_read_behind_it() {
    let mut world = World::new();
    let key = world.open(0);
    world.receive(key, b"ru");
    assert!(world.shard(key).wants_bytes(key));
    world.receive(key, b"ok\n");
    let words = world.shard(key).take_words();
    assert_eq!(words.len(), 1);
    assert!(!world.shard(key).wants_bytes(key), "the end of the client's side must not be seen");
    world.shard(key).answer_word(key, "imok");
    assert_eq!(world.take(key), b"imok");
    assert!(world.is_closing(key));
}

#[test]
fn a_connection_leaves_nothing_behind() {
    let mut world = World::new();
    let client = world.client(0);
    world.receive(client.key, &[create(1, "/a"), get(2, "/a", true)].concat());
    world.settle();
    world.receive(client.key, &[set(3, "/a", b"1"), get(4, "/a", true)].concat());
    world.shard(client.key).closed(client.key);
    world.settle();
    let shard = &world.shards[0];
    assert_eq!(
        (shard.connection_count(), shard.watch_count(), shard.outstanding_requests()),
        (0, 0, 0)
    );
}
