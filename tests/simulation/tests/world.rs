//! Worlds by seed, and worlds without faults: what scripts can rely on.

use menagerie_replication::Packet;
use menagerie_simulation::history::{CreateMode, Request, Write};
use menagerie_simulation::world::{self, Action, Crash, Mutant, Plan, World};
use menagerie_wire::ServerId;

#[test]
fn three_members_elect_a_leader_and_serve() {
    let mut world = World::new(Plan::calm(1), std::env::var_os("VERBOSE").is_some());
    assert!(world.wait_for(10_000, World::all_serve));
}

#[test]
fn clients_of_a_calm_ensemble_see_what_was_promised_them() {
    let report = world::run(Plan::busy(2), std::env::var_os("VERBOSE").is_some());
    assert!(report.violations.is_empty(), "{}", report.violations.join("\n"));
    assert!(report.transactions > 500, "{report:?}");
    assert_eq!(report.reigns, 1);
}

/// Right behind the acknowledgement of NEWLEADER: nothing of that may be in memory only.
#[test]
fn a_follower_that_loses_power_behind_its_first_promise_keeps_it() {
    let mut world = World::new(Plan::calm(3), false);
    let promise = |packet: &Packet| matches!(packet, Packet::Ack { zxid } if zxid.counter() == 0);
    let crash = Action::CrashSender(Crash::LoseUnsynced);
    world.when_sent(move |_, _, packet| promise(packet), crash);
    assert!(world.wait_for(20_000, |world| world.waiting_ambushes() == 0));
    for id in 1..=3 {
        world.start(ServerId(id));
    }
    assert!(world.wait_for(60_000, World::all_serve), "{}", world.standing());
    let client = world.add_client(Some(ServerId(2)));
    assert!(world.wait_for(10_000, |world| world.client(client).node().is_some()));
    let (path, mode) = ("/a".to_owned(), CreateMode::Persistent);
    let create = Write::Create { path, data: None, mode, sequential: false };
    let op = world.ask(client, Request::Write(create)).expect("it has a session");
    assert!(world.wait_for(10_000, |world| world.client(client).answer(op).is_some()));
    assert!(world.client(client).answer(op).is_some_and(Result::is_ok));
}

#[test]
#[should_panic(expected = "durable_before_sent")]
fn a_log_that_promises_before_it_is_synced_is_found_out() {
    let _ = world::run(Plan { mutant: Some(Mutant::AckBeforeSync), ..Plan::busy(1) }, false);
}

#[test]
fn one_seed_is_one_run() {
    let hash = |seed| world::run(Plan::busy(seed), false).hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

/// Replays the seed in the environment variable `SEED`, with every step printed.
#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let seed = seed.parse().expect("SEED is a number");
    let report = world::run(Plan::by_seed(seed), std::env::var_os("VERBOSE").is_some());
    eprintln!("{report:?}");
    assert!(report.violations.is_empty(), "{}", report.violations.join("\n"));
}

#[test]
fn no_schedule_of_faults_breaks_a_promise() {
    let count = std::env::var("SEEDS").map_or(6, |text| text.parse().expect("a number"));
    let from = std::env::var("FROM").map_or(0, |text| text.parse().expect("a number"));
    for seed in from..from + count {
        eprintln!("seed {seed}");
        let report = world::run(Plan::by_seed(seed), false);
        assert!(report.violations.is_empty(), "seed {seed}: {}", report.violations.join("\n"));
    }
}
