//! Compares Menagerie with Apache ZooKeeper for as long as one likes.
//!
//! Without addresses it starts both servers (the jars come from `tests/install`, the binary from
//! `MENAGERIE_BINARY` or beside this program). Divergences are printed as they are found; the exit
//! code is 1 when there was one. `--apache-twice` compares Apache ZooKeeper with itself, which
//! must find nothing.

use clap::Parser;
use menagerie_tests::differential::pair::{Features, Kind, Pair};
use menagerie_tests::differential::{Budget, compare};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Parser)]
struct Arguments {
    /// How long to compare.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the first script; the clock when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// At most this many scripts.
    #[arg(long, default_value_t = u64::MAX)]
    scripts: u64,
    /// Stop after this many divergences.
    #[arg(long, default_value_t = 10)]
    findings: usize,
    /// Compare Apache ZooKeeper with a second one of its kind.
    #[arg(long)]
    apache_twice: bool,
    /// Leave TTL nodes and enforced quotas switched off.
    #[arg(long)]
    default_features: bool,
    /// Addresses of two running servers without history, Apache ZooKeeper first.
    #[arg(num_args = 2)]
    addresses: Vec<SocketAddr>,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let second = if arguments.apache_twice { Kind::Apache } else { Kind::Menagerie };
    let features = if arguments.default_features { Features::Default } else { Features::All };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let budget = Budget {
        seed: arguments.seed.unwrap_or(clock.as_secs()),
        time: Duration::from_secs(arguments.seconds),
        scripts_max: arguments.scripts,
        findings_max: arguments.findings,
    };
    let mut pair = match arguments.addresses[..] {
        [first, other] => Pair::at([first, other], second)?,
        _ => Pair::start(second, features)?,
    };
    let report = compare(&mut pair, budget)?;
    let mut out = std::io::stdout();
    for finding in &report.findings {
        writeln!(out, "{finding}\n")?;
    }
    writeln!(out, "{} (first seed {})", report.summary(), budget.seed)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
