//! `menagerie-bench`: one subcommand per scenario.
//!
//! Text goes to standard output, JSON where `--json` says. Exit codes: 0 the run is reported, 1 it
//! could not be finished, 2 usage, 3 the server broke a promise that the scenario checks.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use menagerie_bench::latency_report::LatencyReport;
use menagerie_bench::report::Report;
use menagerie_bench::{BenchError, Scenario, scenario};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_VIOLATION: u8 = 3;

/// Load and latency of servers that speak ZooKeeper's client protocol
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Write the report as JSON to FILE; `-` writes it to standard output instead of the text
    #[arg(long, global = true, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Reads and writes of random keys, in a closed or an open loop
    Mixed(scenario::Mixed),
    /// Many small nodes: creates per second, memory per node
    Fill(scenario::Fill),
    /// Watches and their events: from a write to the last of all who watch
    Watch(scenario::Watch),
    /// Storms of sessions that open, go on and expire, and what others feel of them
    Sessions(scenario::Sessions),
    /// The lock recipe: hand-overs per second, and mutual exclusion
    Lock(scenario::Lock),
    /// Steady load over a big tree: the worst latency of every 10 ms while snapshots are written
    Snapshot(scenario::Snapshot),
    /// The leader is killed: how long writes stop, and whether any are lost
    Failover(scenario::Failover),
    /// From the start of a server to its first answer
    Restart(scenario::Restart),
    /// Two servers under the same load, taking turns
    Compare(scenario::Compare),
    /// A bare commit on a file system, to compare with
    Disk(scenario::Disk),
    /// A server that answers in the right sizes and keeps nothing, to compare with
    Echo(scenario::Echo),
    /// What runs measured: a page, pictures, histogram files
    Report(LatencyReport),
}

impl Command {
    /// Does it; the answer is what was measured, where something was.
    fn run(&self) -> Result<Option<Report>, BenchError> {
        let scenario: &dyn Scenario = match self {
            Self::Mixed(scenario) => scenario,
            Self::Fill(scenario) => scenario,
            Self::Watch(scenario) => scenario,
            Self::Sessions(scenario) => scenario,
            Self::Lock(scenario) => scenario,
            Self::Snapshot(scenario) => scenario,
            Self::Failover(scenario) => scenario,
            Self::Restart(scenario) => scenario,
            Self::Compare(scenario) => scenario,
            Self::Disk(scenario) => scenario,
            Self::Echo(scenario) => scenario,
            Self::Report(report) => return report.write().map(|()| None),
        };
        scenario.run().map(Some)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    allow_many_files();
    let written = cli.command.run().and_then(|report| {
        report.iter().try_for_each(|report| write(report, cli.json.clone()))?;
        Ok(report)
    });
    match written {
        Ok(Some(report)) if report.check.violations > 0 => ExitCode::from(EXIT_VIOLATION),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(io::stderr(), "menagerie-bench: {error}");
            let usage = matches!(error, BenchError::Usage(_));
            ExitCode::from(if usage { EXIT_USAGE } else { EXIT_FAILURE })
        }
    }
}

/// Every connection is a file, and the usual limit is 1024. Where it cannot be raised, a run that
/// needs more fails with the kernel's words.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn write(report: &Report, json: Option<PathBuf>) -> Result<(), BenchError> {
    let mut text = report.to_string();
    if let Some(path) = json {
        let object = serde_json::to_string(report).expect("keys are strings, numbers are finite");
        if path.as_os_str() == "-" {
            text = object + "\n";
        } else {
            std::fs::write(&path, object + "\n")
                .map_err(|source| BenchError::File { path, source })?;
        }
    }
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| BenchError::File { path: "standard output".into(), source })
}
