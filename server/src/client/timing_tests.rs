//! Where the time of requests goes, on a clock that the test moves.

use super::*;
use crate::admin::stages::Stage;
use crate::client::world::{Client, SLOW_MS, World, bare, create, get, set};

const SLOW_US: u64 = SLOW_MS * 1_000;

/// A world of one shard with "/a", and a client; everything so far is timed and counted out.
fn world() -> (World, Client) {
    let mut world = World::with(1, |_| {});
    let client = world.client(0);
    world.receive(client.key, &create(1, "/a"));
    world.settle();
    assert_eq!(world.xids(client.key), [1]);
    world.shards[0].counters = Default::default();
    (world, client)
}

/// What was received is judged, logged and answered, each step so many microseconds after the one
/// before. Returns what is logged of it.
fn walk(world: &mut World, us: [u64; 4]) -> Vec<String> {
    let [queue, log_write, sync, reply] = us;
    world.wait(queue);
    world.judge();
    let submitted_us = world.wait(log_write);
    world.sequencer.close_batch(submitted_us);
    world.wait(sync);
    world.commit();
    let sent_us = world.wait(reply);
    end_turn(world, sent_us)
}

/// The turn ends at `now_us`. Returns what is logged of it.
fn end_turn(world: &mut World, now_us: u64) -> Vec<String> {
    let mut lines = Vec::new();
    world.shards[0].time_answers(now_us, |line| lines.push(line));
    lines
}

/// Count and sum of each stage.
fn stages(world: &World) -> [(u64, u64); Stage::ALL.len()] {
    let counters = &world.shards[0].counters;
    Stage::ALL.map(|stage| {
        let summary = counters.stages.get(stage).summary();
        (summary.count, summary.sum)
    })
}

/// Count and sum of each operation.
fn operations(world: &World) -> Vec<(OpCode, u64, u64)> {
    let operations = world.shards[0].counters.operations.iter();
    operations.map(|(op, it)| (op, it.summary().count, it.summary().sum)).collect()
}

#[test]
fn a_write_is_measured_in_every_stage() {
    let (mut world, client) = world();
    let writes = [set(2, "/a", b"1"), set(3, "/none", b"2"), get(4, "/a", false)].concat();
    world.receive(client.key, &writes);
    assert!(!world.shards[0].has_answered());
    assert_eq!(walk(&mut world, [10, 200, 3_000, 40]), [""; 0]);
    assert_eq!(world.xids(client.key), [2, 3, 4]);
    // Refused or not, and both of them, as they came and went together.
    let expect = [(2, 20), (2, 0), (2, 400), (2, 6_000), (2, 0), (2, 0), (2, 80)];
    assert_eq!(stages(&world), expect);
    // The read waited for the writes, and is none.
    assert_eq!(operations(&world), [(OpCode::GetData, 1, 3_250), (OpCode::SetData, 2, 6_500)]);

    world.receive(client.key, &bare(5, OpCode::CloseSession));
    assert_eq!(walk(&mut world, [0, 0, 50, 1]), [""; 0]);
    assert_eq!(operations(&world).last(), Some(&(OpCode::CloseSession, 1, 51)));
    world.client(0);
    assert!(operations(&world).contains(&(OpCode::CreateSession, 1, 0)));
    assert_eq!(stages(&world)[0].0, 4);
}

#[test]
fn what_is_slow_is_logged_with_its_stages() {
    let (mut world, client) = world();
    let session = client.session;
    world.receive(client.key, &set(2, "/a", b"1"));
    assert_eq!(walk(&mut world, [0, 0, SLOW_US - 1, 0]), [""; 0], "not slow yet");

    let three = [set(3, "/a", b"1"), set(4, "/a", b"2"), get(5, "/a", false)].concat();
    world.receive(client.key, &three);
    let lines = walk(&mut world, [10_000, 1_290, SLOW_US, 50]);
    let writes = format!(
        "slow request: setData of session {session}, xid 3, \"/a\", and 1 more that came with it: \
         511.3 ms (queue 10.0, propose 0.0, log_write 1.2, sync 500.0, quorum 0.0, apply 0.0, \
         reply 0.0)"
    );
    let read = format!(
        "slow request: getData of session {session}, xid 5: 511.3 ms (waited 511.2, reply 0.0)"
    );
    assert_eq!(lines, [writes, read]);

    // Only the socket is slow: nothing is known of it before.
    world.receive(client.key, &get(6, "/a", false));
    let sent_us = world.wait(SLOW_US);
    let lines = end_turn(&mut world, sent_us);
    assert_eq!(
        lines,
        [format!(
            "slow request: getData of session {session}, xid 6: 500.0 ms (waited 0.0, reply 500.0)"
        )]
    );
}

#[test]
fn lines_are_few_and_those_left_out_are_counted() {
    let (mut world, client) = world();
    world.wait(10_000_000);
    let slow_read = |world: &mut World, xid| {
        let began_us = world.wait(0);
        world.receive(client.key, &get(xid, "/a", false));
        end_turn(world, began_us + SLOW_US)
    };
    let told: Vec<_> = (2..30).map(|xid| slow_read(&mut world, xid).len()).collect();
    assert_eq!(told[..12], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    assert_eq!(told.iter().sum::<usize>(), 10);
    let second = world.wait(0) + SLOW_US;
    assert_eq!(world.shards[0].slow.look_back(second + 999_999), None);
    let line = world.shards[0].slow.look_back(second + 1_000_000);
    assert_eq!(line.as_deref(), Some("slow requests that were not told one by one: 18"));
    assert_eq!(world.shards[0].slow.look_back(second + 1_000_000), None, "told once");
    world.wait(1_000_000);
    assert_eq!(slow_read(&mut world, 30).len(), 1);
}

#[test]
fn nothing_is_slow_without_a_threshold() {
    let mut world = World::with(1, |settings| settings.slow_request_us = None);
    let client = world.client(0);
    world.receive(client.key, &create(1, "/a"));
    assert_eq!(walk(&mut world, [SLOW_US, 0, 3_600_000_000, 0]), [""; 0]);
    let operations = operations(&world);
    assert!(operations.contains(&(OpCode::Create, 1, SLOW_US + 3_600_000_000)), "{operations:?}");
}
