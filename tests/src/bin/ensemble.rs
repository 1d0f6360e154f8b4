//! Makes ensembles of real servers suffer under load, and checks what clients saw, for as long as
//! one likes.
//!
//! Apache ZooKeeper comes from the test cache; Menagerie's binary is the one that
//! `MENAGERIE_BINARY` names or the one beside this program. The exit code is 1 when a promise was
//! broken.

use clap::{Parser, ValueEnum};
use menagerie_tests::ensemble::namespaces;
use menagerie_tests::ensemble::nemesis::Amounts;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::run::{Judging, Report, run_judged};
use menagerie_tests::ensemble::workload::Load;
use menagerie_tests::ensemble::{Network, Plan};
use menagerie_tests::random::Random;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Room for a few log segments and snapshots.
const DISK_MB: u32 = 64;

#[derive(Debug, Parser)]
struct Arguments {
    /// Whose servers; `mixed` alternates.
    #[arg(long, value_enum, default_value_t = Servers::Menagerie)]
    servers: Servers,
    /// Voters.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 0)]
    observers: usize,
    #[arg(long, default_value_t = 0)]
    kills: usize,
    #[arg(long, default_value_t = 0)]
    pauses: usize,
    #[arg(long, default_value_t = 0)]
    partitions: usize,
    /// Slow links and broken connections.
    #[arg(long, default_value_t = 0)]
    delays: usize,
    /// Servers that lose their data.
    #[arg(long, default_value_t = 0)]
    wipes: usize,
    /// Servers without room on their disk. Needs namespaces for small disks.
    #[arg(long, default_value_t = 0)]
    full_disks: usize,
    /// What stands between the servers.
    #[arg(long, value_enum, default_value_t = Between::Relays)]
    network: Between,
    /// Faults of one ensemble; then its history is checked and a new one starts.
    #[arg(long, default_value_t = 40)]
    episode: usize,
    /// How often each trade is at work.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// More keys for every server: `name=value`.
    #[arg(long)]
    key: Vec<String>,
    /// The longest pause of a client between two operations.
    #[arg(long, default_value_t = 20)]
    pause_ms: u64,
    /// The clock when left out. A seed repeats the faults, not who leads when they come.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the histories and the servers' files of runs without violations too.
    #[arg(long)]
    keep: bool,
    /// Violations of this promise do not count: ZooKeeper does not make it (`synced_reads`).
    #[arg(long)]
    tolerate: Option<String>,
    /// Go on after a violation.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Servers {
    Apache,
    Menagerie,
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Between {
    /// On loopback, without privileges.
    Relays,
    /// Each server in a network namespace.
    Namespaces,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.network == Between::Namespaces || arguments.full_disks > 0 {
        namespaces::enter().map_err(std::io::Error::other)?;
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = arguments.seed.unwrap_or(clock.as_secs());
    let plan = plan(&arguments);
    let amounts = Amounts {
        kills: arguments.kills,
        pauses: arguments.pauses,
        partitions: arguments.partitions,
        delays: arguments.delays,
        wipes: arguments.wipes,
        full_disks: arguments.full_disks,
    };
    let faults = amounts.schedule(&plan, &mut Random::new(seed));
    let mut episodes: Vec<_> = faults.chunks(arguments.episode.max(1)).collect();
    if episodes.is_empty() {
        episodes.push(&[]);
    }
    let mut total = Report::default();
    let mut out = std::io::stdout();
    for (number, episode) in (0..).zip(&episodes) {
        let pause_max = Duration::from_millis(arguments.pause_ms);
        let mut load = Load { pause_max, ..Load::new(seed.wrapping_add(number)) };
        load.trades = load.trades.repeat(arguments.clients);
        let judging = Judging { tolerated: arguments.tolerate.clone(), keep: arguments.keep };
        let report = run_judged(&plan, &load, episode, &judging);
        writeln!(out, "episode {} of {}\n{report}\n", number + 1, episodes.len())?;
        let broken = !report.violations.is_empty();
        total.add(report);
        if broken && !arguments.keep_going {
            break;
        }
    }
    writeln!(out, "total (seed {seed})\n{total}")?;
    Ok(if total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(arguments: &Arguments) -> Plan {
    let flavors = |number| match arguments.servers {
        Servers::Apache => Flavor::Apache,
        Servers::Mixed if number % 2 == 1 => Flavor::Apache,
        Servers::Menagerie | Servers::Mixed => Flavor::Menagerie,
    };
    let mut plan = Plan::new(Flavor::Menagerie, 0, 0);
    plan.voters = (0..arguments.nodes).map(flavors).collect();
    plan.network = match arguments.network {
        Between::Relays => Network::Relayed,
        Between::Namespaces => Network::Namespaces,
    };
    if arguments.full_disks > 0 {
        plan.disk_mb = Some(DISK_MB);
    }
    for key in &arguments.key {
        let (name, value) = key.split_once('=').unwrap_or((key, ""));
        plan.config = plan.config.key(name, value);
    }
    plan.observers =
        (arguments.nodes..arguments.nodes + arguments.observers).map(flavors).collect();
    plan
}
