//! How good the random search is: it is let loose on servers that make mistakes on purpose, one
//! mistake at a time, and has so many seconds for each. Prints which it finds, and after how many
//! worlds.
//!
//! A seed counts only if the same world without the flaw is sound. With `--scripts` the scripts are
//! played instead, and those are printed that notice.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_simulation::scenarios;
use menagerie_simulation::world::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// For each flaw, in seconds of one thread.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Flaws that are looked for side by side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only this one.
    #[arg(long)]
    flaw: Option<String>,
    /// Plays every script instead of random worlds.
    #[arg(long)]
    scripts: bool,
}

/// How a flaw was found.
struct Found {
    seed: u64,
    worlds: u64,
    took: Duration,
    how: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let name = |flaw: &Flaw| format!("{flaw:?}");
    let wanted = |flaw: &&Flaw| arguments.flaw.as_ref().is_none_or(|wanted| name(flaw) == *wanted);
    let list: Vec<Flaw> = Flaw::ALL.iter().filter(wanted).copied().collect();
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.scripts {
        list.into_iter().for_each(play_scripts);
        return ExitCode::SUCCESS;
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                while let Some(flaw) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = search(*flaw, &arguments);
                    *found.lock().expect("nobody panics with it") += u32::from(result.is_some());
                    tell(*flaw, result.as_ref());
                }
            });
        }
    });
    let found = found.into_inner().expect("nobody panics with it");
    println!("{found} of {} flaws found", list.len());
    let enough = found as usize * 10 >= list.len() * 9;
    if enough { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn search(flaw: Flaw, arguments: &Arguments) -> Option<Found> {
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let mut seed = arguments.seed;
    while Instant::now() < end {
        if let Some(how) = breaks(Some(flaw), seed)
            && breaks(None, seed).is_none()
        {
            let worlds = seed - arguments.seed + 1;
            return Some(Found { seed, worlds, took: start.elapsed(), how });
        }
        seed += 1;
    }
    None
}

/// The promise that a world breaks.
fn breaks(flaw: Option<Flaw>, seed: u64) -> Option<String> {
    noticed(flaw, || world::run(Plan::by_seed(seed), false).violations.into_iter().next())
}

fn play_scripts(flaw: Flaw) {
    for (name, play) in scenarios::ALL {
        let how = noticed(Some(flaw), || {
            play();
            None
        });
        if let Some(how) = how {
            println!("{flaw:?} {name}: {}", how.lines().next().unwrap_or_default());
        }
    }
}

/// What is found wrong with servers that have this flaw.
fn noticed(flaw: Option<Flaw>, play: impl FnOnce() -> Option<String>) -> Option<String> {
    flaws::set(flaw);
    let played = catch_unwind(AssertUnwindSafe(play));
    flaws::set(None);
    played.unwrap_or_else(|panic| {
        Some(match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
        })
    })
}

fn tell(flaw: Flaw, found: Option<&Found>) {
    let (row, _) = flaw.origin();
    let name = format!("{flaw:?}");
    match found {
        Some(Found { seed, worlds, took, how }) => {
            let how: String = how.lines().next().unwrap_or_default().chars().take(90).collect();
            let seconds = took.as_secs_f64();
            println!(
                "{name:26} {row:12} seed {seed:<6} {worlds:>6} worlds {seconds:>7.1} s  {how}"
            );
        }
        None => println!("{name:26} {row:12} not found"),
    }
}
