//! Lives through worlds by seed, for as long as it is told, and says what they suffered.
//!
//! `simulate --seconds N --seed S` goes through the seeds from S on, on as many threads as it is
//! told; each world is one thread's. `simulate --replay S` lives through one world again, with
//! every step printed. The first broken promise ends the run, with the command that replays it.
//! `simulate --mutants` plants deliberate faults, one after the other, and says which seed finds
//! each.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use menagerie_simulation::world::{self, Fault, Mutant, Plan, Report};

#[derive(Parser)]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The first seed; without it another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Worlds that are lived through side by side.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// One seed, with every step printed.
    #[arg(long, conflicts_with_all = ["seconds", "seed", "threads"])]
    replay: Option<u64>,
    /// Plants deliberate faults, and tells who finds them.
    #[arg(long, conflicts_with_all = ["seconds", "seed", "threads", "replay"])]
    mutants: bool,
}

/// Worlds in which a deliberate fault must be found.
const MUTANT_WORLDS: u64 = 100;

/// What all worlds came to.
#[derive(Default)]
struct Sum {
    worlds: u64,
    simulated_us: u64,
    steps: u64,
    reigns: usize,
    transactions: usize,
    moments: usize,
    undecided: usize,
    /// Steps of the world with the most of them, and its seed: who runs in circles stands out.
    busiest: (u64, u64),
    faults: BTreeMap<Fault, u64>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.worlds += 1;
        self.simulated_us += report.simulated_us;
        self.steps += report.steps;
        self.reigns += report.reigns;
        self.transactions += report.transactions;
        self.moments += report.moments;
        self.undecided += report.undecided;
        self.busiest = self.busiest.max((report.steps, report.seed));
        for (fault, count) in &report.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
    }

    fn tell(&self, took: Duration, violations: u64) {
        let hours = self.simulated_us as f64 / 3.6e9;
        let factor = self.simulated_us as f64 / 1e6 / took.as_secs_f64();
        println!("{} worlds, {hours:.2} simulated hours, {factor:.0} times as fast", self.worlds);
        let Self { reigns, transactions, moments, steps, .. } = self;
        println!("{reigns} reigns, {transactions} transactions, {moments} moments, {steps} steps");
        let (steps, seed) = self.busiest;
        println!("most steps in the world of seed {seed}: {steps}");
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        println!("faults: {}", faults.join(", "));
        println!("violations: {violations}, questions without an answer: {}", self.undecided);
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.replay {
        return replay(seed);
    }
    if arguments.mutants {
        return find_mutants();
    }
    let first = arguments.seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs()) << 20
    });
    println!("seeds from {first}");
    let start = Instant::now();
    let next = AtomicU64::new(first);
    let (sum, broken) = (Mutex::new(Sum::default()), AtomicBool::new(false));
    let end = start + Duration::from_secs(arguments.seconds);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                while Instant::now() < end && !broken.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    match live(seed) {
                        Some(report) => sum.lock().expect("nobody panics with it").add(&report),
                        None => broken.store(true, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    let violations = u64::from(broken.load(Ordering::Relaxed));
    sum.lock().expect("nobody panics with it").tell(start.elapsed(), violations);
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One world; `None` when a promise was broken in it.
fn live(seed: u64) -> Option<Report> {
    let report = catch_unwind(AssertUnwindSafe(|| world::run(Plan::by_seed(seed), false))).ok();
    if let Some(report) = report.filter(tell_violations) {
        return Some(report);
    }
    println!("seed {seed} breaks a promise; replay: tests/simulate --replay {seed}");
    None
}

/// True when there are none.
fn tell_violations(report: &Report) -> bool {
    for violation in &report.violations {
        println!("seed {}: {violation}", report.seed);
    }
    report.violations.is_empty()
}

/// Whether all deliberate faults are found.
fn find_mutants() -> ExitCode {
    let said = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&said);
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        *hook.lock().expect("nobody panics with it") = text.to_owned();
    }));
    println!("{:<20} {:<40} {:>5} found by", "mutant", "like", "seed");
    let mut missed = 0;
    for mutant in Mutant::ALL {
        let calm = std::iter::once(("calm".to_owned(), Plan::busy(0)));
        let by_seed = (0..MUTANT_WORLDS).map(|seed| (seed.to_string(), Plan::by_seed(seed)));
        let mut plans = calm.chain(by_seed);
        let found = plans.find_map(|(name, plan)| Some((name, find(mutant, plan, &said)?)));
        missed += u64::from(found.is_none());
        let (seed, by) = match &found {
            Some((seed, by)) => (seed.as_str(), by.lines().next().unwrap_or_default()),
            None => ("", "NOBODY"),
        };
        let by: String = by.chars().take(90).collect();
        println!("{:<20} {:<40} {seed:>5} {by}", format!("{mutant:?}"), mutant.like());
    }
    println!("{} planted, {missed} not found", Mutant::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is said of a deliberate fault in one world, if it is found there.
fn find(mutant: Mutant, plan: Plan, said: &Mutex<String>) -> Option<String> {
    let plan = Plan { mutant: Some(mutant), ..plan };
    match catch_unwind(AssertUnwindSafe(|| world::run(plan, false))) {
        Ok(report) => report.violations.first().cloned(),
        Err(_) => Some(said.lock().expect("nobody panics with it").clone()),
    }
}

fn replay(seed: u64) -> ExitCode {
    let report = world::run(Plan::by_seed(seed), true);
    println!("seed {seed}: {:016x} after {} steps", report.hash, report.steps);
    if tell_violations(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
