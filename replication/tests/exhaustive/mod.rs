//! All schedules of a small ensemble: three members, a few transactions, epochs and crashes.
//!
//! Where the simulation draws schedules at random, this walks every one within its bounds and
//! visits no state twice. A state is the machines, disks and links, and all that the checkers
//! remember. Within the bounds, in any order:
//! - any member that looks for a leader believes that it was elected, however short its log, or
//!   that another one was. What an election can come to is thus a part of this, whatever votes say;
//!   that it does no harm is for discovery to see to;
//! - messages arrive one by one; each append, cut, snapshot and change of epochs becomes durable by
//!   itself, later than it was asked for;
//! - a crash keeps any beginning of the work on the log, with or without the epochs under way, and
//!   any beginning of what the member had said on each link;
//! - a member loses patience with its role, as it does when it has slept for long;
//! - a follower finds that its tree is not what its leader has.
//!
//! There is no other time. Epochs are bounded, not reigns: an election whose leader has not entered
//! an epoch changes nothing, and may happen any number of times. Two attempts at the same epoch are
//! walked as well. `print.rs` says which states count as one, `walk.rs` how they are visited.
//!
//! Two transactions, two epochs and two crashes are 4 441 417 states and 17 069 708 steps: half a
//! minute of processor time on all processors, 90 MB. Every test run walks them to the end.
//! `BOUNDS=epochs,transactions,crashes,leaves,diverges cargo test --release
//! -p menagerie-replication --lib bounds_of_choice -- --nocapture` walks further.
//!
//! Left out: how votes go (`election_tests.rs` and the simulation), observers, SNAP for a learner
//! behind the window (here it comes for histories that fork), clients, and disks that forget what
//! they synced.

#[path = "../simulation/checkers.rs"]
mod checkers;
#[path = "../simulation/disk.rs"]
mod disk;
mod print;
mod walk;
mod world;

use std::collections::HashSet;
use std::io::Write as _;

use print::NAMINGS;
use walk::{Walk, walk};
use world::{Bounds, World};

/// Walks, and says how far, even where cargo keeps what tests print.
fn report(bounds: Bounds) -> Walk {
    let walk = walk(bounds);
    writeln!(std::io::stderr(), "exhaustive: {bounds:?}: {walk:?}").expect("stderr");
    walk
}

fn check(bounds: Bounds) {
    let walk = report(bounds);
    let commits = usize::try_from(bounds.transactions).expect("a few");
    assert!(walk.reigns_max == 2 && walk.commits_max == commits, "{walk:?}");
}

#[test]
fn no_schedule_of_two_transactions_and_two_crashes_breaks_a_promise() {
    check(Bounds { epochs: 2, transactions: 2, crashes: 2, leaves: 0, diverges: 0 });
}

#[test]
fn no_schedule_with_a_crash_and_an_impatient_member_breaks_a_promise() {
    check(Bounds { epochs: 2, transactions: 1, crashes: 1, leaves: 1, diverges: 0 });
}

#[test]
fn no_schedule_with_a_crash_and_a_tree_that_differs_breaks_a_promise() {
    check(Bounds { epochs: 2, transactions: 1, crashes: 1, leaves: 0, diverges: 1 });
}

#[test]
fn bounds_of_choice() {
    let Ok(text) = std::env::var("BOUNDS") else { return };
    let numbers: Vec<u32> = text.split(',').map(|n| n.parse().expect("a number")).collect();
    let [epochs, transactions, crashes, leaves, diverges] = numbers[..] else {
        panic!("BOUNDS=epochs,transactions,crashes,leaves,diverges");
    };
    report(Bounds { epochs, transactions, crashes, leaves, diverges });
}

/// Shows every state that has a print of its own, and counts them.
fn visit(bounds: Bounds, print: impl Fn(&World) -> u64, mut see: impl FnMut(&World)) -> usize {
    let start = World::new(bounds);
    see(&start);
    let mut seen = HashSet::from([print(&start)]);
    let mut stack = vec![start];
    while let Some(world) = stack.pop() {
        for action in world.actions() {
            let mut next = world.clone();
            next.take(action);
            if !next.is_beyond() && seen.insert(print(&next)) {
                see(&next);
                stack.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn states_that_count_as_one_are_the_same_by_other_names() {
    let bounds = Bounds { epochs: 2, transactions: 1, crashes: 1, leaves: 0, diverges: 0 };
    let mut renamed = 0;
    let prints = |world: &World| (0..NAMINGS.len()).map(|nth| world.print_named(nth)).collect();
    let see = |world: &World| {
        let prints: HashSet<u64> = prints(world);
        renamed += prints.len();
    };
    let together = visit(bounds, World::print, see);
    let apart = visit(bounds, |world| world.print_named(0), |_| {});
    assert!(together * 5 < apart, "{together} states, {apart} with names");
    assert_eq!(renamed, apart, "{together} states stand for so many with names");
}
