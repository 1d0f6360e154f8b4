//! All schedules of a small ensemble: three members, a few transactions, elections and crashes.
//!
//! Where the simulation draws schedules at random, this walks every one within its bounds, depth
//! first, and visits no state twice. There is no time: an election is an action that makes any
//! member believe it was elected, however short its log, and any other follow it; whether that can
//! do harm is for discovery to prevent. Messages arrive one by one, each piece of disk work
//! completes by itself, a crash keeps any beginning of it. A state is the machines, disks and links
//! and all that the checkers remember.
//!
//! `BOUNDS=elections,joins,transactions,crashes,breaks cargo test -p menagerie-replication --test
//! exhaustive -- --nocapture bounds_of_choice` walks further, and prints how many states there are.

#[path = "../simulation/checkers.rs"]
mod checkers;
#[path = "../simulation/disk.rs"]
mod disk;
mod world;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::{Action, Bounds, World};

/// How far a walk went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Walk {
    states: usize,
    steps: usize,
    depth_max: usize,
    reigns: usize,
    commits: usize,
}

/// One state on the way, and what is still to be tried in it.
struct Place {
    world: World,
    actions: Vec<Action>,
    taken: Option<Action>,
}

impl Place {
    fn new(world: World) -> Self {
        Self { actions: world.actions(), world, taken: None }
    }
}

fn walk(bounds: Bounds) -> Walk {
    let mut walk = Walk::default();
    let start = World::new(bounds);
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut way = vec![Place::new(start)];
    while let Some(place) = way.last_mut() {
        let Some(action) = place.actions.pop() else {
            way.pop();
            continue;
        };
        place.taken = Some(action);
        let mut world = place.world.clone();
        walk.steps += 1;
        let stepped = catch_unwind(AssertUnwindSafe(|| world.take(action)));
        if let Err(panic) = stepped {
            let taken: Vec<_> = way.iter().filter_map(|place| place.taken).collect();
            eprintln!("after {taken:#?}");
            resume_unwind(panic);
        }
        if seen.insert(world.fingerprint()) {
            walk.reigns = walk.reigns.max(world.checkers.reign_count());
            walk.commits = walk.commits.max(world.checkers.committed().len());
            way.push(Place::new(world));
            walk.depth_max = walk.depth_max.max(way.len());
        }
    }
    walk.states = seen.len();
    walk
}

#[test]
fn no_schedule_of_two_reigns_breaks_a_promise() {
    let walk = walk(Bounds { elections: 2, joins: 2, transactions: 1, crashes: 0, breaks: 1 });
    eprintln!("{walk:?}");
    assert!(walk.reigns == 2 && walk.commits == 1, "{walk:?}");
}

#[test]
fn no_schedule_with_a_crash_breaks_a_promise() {
    let walk = walk(Bounds { elections: 2, joins: 2, transactions: 1, crashes: 1, breaks: 0 });
    eprintln!("{walk:?}");
    assert!(walk.reigns == 2 && walk.commits == 1, "{walk:?}");
}

#[test]
fn bounds_of_choice() {
    let Ok(text) = std::env::var("BOUNDS") else { return };
    let numbers: Vec<u32> = text.split(',').map(|n| n.parse().expect("a number")).collect();
    let [elections, joins, transactions, crashes, breaks] = numbers[..] else {
        panic!("BOUNDS=elections,joins,transactions,crashes,breaks");
    };
    let bounds = Bounds { elections, joins, transactions, crashes, breaks };
    eprintln!("{bounds:?}: {:?}", walk(bounds));
}
