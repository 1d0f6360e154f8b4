//! A small ensemble in one thread: the machine on a network and disks that fail, by seed.
//!
//! `world.rs` moves time and carries out effects; `disk.rs` keeps what is written and what is
//! synced apart; `checkers.rs` looks at every effect and every change of a disk. One seed is one
//! run, the same every time; a failing one is named by its panic and replayed with
//! `SEED=n cargo test -p menagerie-replication --test simulation one_seed`.
//!
//! A transaction here is a number. The tree, the sequencer and real files come in with the
//! simulator of the whole server.

mod checkers;
mod disk;
mod rng;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::{Plan, World};

fn run(seed: u64) -> World {
    let mut world = World::new(seed, Plan::by_seed(seed));
    world.suffer();
    world.heal();
    world
}

fn run_all(seeds: std::ops::Range<u64>) {
    let mut committed = 0;
    let mut reigns = 0;
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(world) => {
                committed += world.checkers.committed().len();
                reigns += world.checkers.reign_count();
            }
            Err(panic) => {
                eprintln!("seed {seed} failed; replay: SEED={seed} cargo test one_seed");
                resume_unwind(panic);
            }
        }
    }
    eprintln!("{reigns} reigns, {committed} transactions committed");
    assert!(reigns > 0 && committed > 0, "the ensembles did something");
}

#[test]
fn no_schedule_of_faults_breaks_three_or_five_members_part_1() {
    run_all(0..1_000);
}

#[test]
fn no_schedule_of_faults_breaks_three_or_five_members_part_2() {
    run_all(10_000..11_000);
}

#[test]
fn one_seed_is_one_run() {
    let trace = |seed| run(seed).trace;
    assert_eq!(trace(7), trace(7));
}

/// Replays the seed in the environment variable `SEED`, with every step printed.
#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let seed = seed.parse().expect("SEED is a number");
    let mut world = World::new(seed, Plan::by_seed(seed));
    world.verbose = true;
    world.suffer();
    world.heal();
}

/// Runs `SEEDS` further seeds, beginning with `FROM`.
#[test]
fn many_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(count) = number("SEEDS") else { return };
    let from = number("FROM").unwrap_or(1 << 32);
    run_all(from..from + count);
}
