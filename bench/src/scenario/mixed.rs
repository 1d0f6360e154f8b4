//! `mixed`: reads and writes of random keys, in a closed or an open loop.
//!
//! Closed: every connection keeps `depth` requests in flight; the server sets the pace. Open (with
//! `--rate`): requests leave by the clock, round robin over the connections, and latency counts
//! from the time on the schedule; `depth` then has no meaning, as an open loop has no window.
//!
//! A run is: connect, create the keys, warm up, measure, wait for the last replies, remove the
//! keys. Figures are taken inside the measured window only.

use std::time::Duration;

use clap::Args;

pub(super) use self::load::{Load, Ratio, ReadKind, Settings, WriteKind};
use crate::Scenario;
use crate::clock::Nanos;
use crate::error::BenchError;
use crate::flags::{names_of, per_second, seconds, skew};
use crate::fleet::Fleet;
use crate::keys::Keys;
use crate::report::Report;
use crate::target::Target;
use crate::test_tree;

mod load;

/// How long replies may take after the last request was sent.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub struct Mixed {
    #[command(flatten)]
    target: Target,
    /// Requests in flight per connection (closed loop)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Reads to writes
    #[arg(long, value_name = "READS:WRITES", default_value = "10:1")]
    ratio: Ratio,
    /// Size of every value
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
    /// Kinds of reads, all equally often
    #[arg(long, value_enum, value_delimiter = ',', default_value = "get-data")]
    reads: Vec<ReadKind>,
    /// Kinds of writes, all equally often
    #[arg(long, value_enum, value_delimiter = ',', default_value = "set-data")]
    writes: Vec<WriteKind>,
    /// Keys that each multi sets
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    multi_size: u32,
    /// Nodes in one directory [default: all, and 100 where directories are listed]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    per_directory: Option<u32>,
    /// Key n is drawn in proportion to 1 / n^SKEW (Zipf); 0 draws all equally often
    #[arg(long, default_value_t = 0.0, value_parser = skew)]
    skew: f64,
    /// Nodes that are read and written
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Length of the measured window
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Load before the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// Open loop: requests per second in all
    #[arg(long, value_name = "PER_SECOND", value_parser = per_second)]
    rate: Option<f64>,
    /// Repeats the same keys and kinds of requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not judge what is read (for servers that only play one, like `echo`)
    #[arg(long)]
    unchecked: bool,
}

impl Scenario for Mixed {
    fn run(&self) -> Result<Report, BenchError> {
        let mut fleet = self.target.connect()?;
        let lists = self.reads.contains(&ReadKind::GetChildren);
        let usual = if lists { 100 } else { self.keys };
        let keys = Keys::new(self.keys, self.per_directory.unwrap_or(usual));
        let settings = self.settings();
        keys.create(&mut fleet, settings.value())?;

        let mut load = Load::new(&settings, &keys);
        let start = Nanos::now() + Duration::from_secs_f64(self.warm_up);
        let end = start + Duration::from_secs_f64(self.seconds);
        load.recorder.open(start, end);
        let cpu = fleet.measure(&mut load, start, end, &self.target.at.pids)?;
        finish(&mut fleet, &mut load)?;

        let mut report = Report::new("mixed");
        self.describe(&mut report, &keys);
        report.measured(&load.recorder, &cpu, &fleet.violations);
        clean_up(fleet, load, &keys)?;
        Ok(report)
    }
}

/// Waits for the last replies.
pub(super) fn finish(fleet: &mut Fleet, load: &mut Load<'_>) -> Result<(), BenchError> {
    load.stopped = true;
    fleet.run(load, Some(Nanos::now() + DRAIN_TIME_MAX))?;
    match load.unanswered() {
        0 => Ok(()),
        unanswered => Err(BenchError::Unanswered { unanswered, seconds: DRAIN_TIME_MAX.as_secs() }),
    }
}

/// Removes what the load made, and the keys.
pub(super) fn clean_up(mut fleet: Fleet, load: Load<'_>, keys: &Keys) -> Result<(), BenchError> {
    let left_over = load.left_over();
    let count = u32::try_from(left_over.len()).unwrap_or(u32::MAX);
    test_tree::delete(&mut fleet, count, 1, |number| left_over[number as usize].as_str())?;
    keys.delete(&mut fleet)?;
    fleet.close();
    Ok(())
}

impl Mixed {
    fn settings(&self) -> Settings {
        Settings {
            connections: self.target.connections,
            servers: self.target.at.servers.len(),
            depth: self.depth,
            rate: self.rate,
            ratio: self.ratio,
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            multi_size: self.multi_size,
            value_bytes: self.value_bytes,
            skew: self.skew,
            seed: self.seed,
            checked: !self.unchecked,
        }
    }

    fn describe(&self, report: &mut Report, keys: &Keys) {
        self.target.describe(report);
        match self.rate {
            None => report.condition("depth", self.depth),
            Some(rate) => report.condition("rate", rate),
        }
        report.condition("loop", if self.rate.is_some() { "open" } else { "closed" });
        report.condition("ratio", self.ratio.to_string());
        report.condition("reads", names_of(&self.reads));
        report.condition("writes", names_of(&self.writes));
        if self.writes.contains(&WriteKind::Multi) {
            report.condition("multi_size", self.multi_size);
        }
        report.condition("value_bytes", self.value_bytes);
        report.condition("keys", self.keys);
        report.condition("per_directory", keys.per_directory);
        report.condition("skew", self.skew);
        report.condition("seconds", self.seconds);
        report.condition("warm_up_seconds", self.warm_up);
        report.condition("seed", self.seed);
        report.condition("checked", !self.unchecked);
    }
}
