//! Kills the binary under load, starts it again and checks what it kept, for as long as one likes.
//!
//! The binary is the one that `MENAGERIE_BINARY` names or the one beside this program. The exit
//! code is 1 when a promise was broken.

use clap::Parser;
use menagerie_tests::kill_loop::{Budget, run};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Parser)]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// At most this many kills.
    #[arg(long, default_value_t = u64::MAX)]
    kills: u64,
    /// The clock when left out. A seed repeats the writes, not the moments of the kills.
    #[arg(long)]
    seed: Option<u64>,
    /// Connections under load.
    #[arg(long, default_value_t = 6)]
    workers: usize,
    /// Writes on their way per connection.
    #[arg(long, default_value_t = 16)]
    depth: usize,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = arguments.seed.unwrap_or(clock.as_secs());
    let report = run(Budget {
        time: Duration::from_secs(arguments.seconds),
        kills_max: arguments.kills,
        seed,
        workers: arguments.workers,
        depth: arguments.depth,
    })?;
    writeln!(std::io::stdout(), "{report} (seed {seed})")?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
