//! `mixed`: reads and writes of random keys, in a closed or an open loop.
//!
//! Closed: every connection keeps `depth` requests in flight; the server sets the pace. Open (with
//! `--rate`): requests leave by the clock, round robin over the connections, and latency counts
//! from the time on the schedule; `depth` then has no meaning, as an open loop has no window.
//!
//! A run is: connect, create the keys, warm up, measure, wait for the last replies, remove the
//! keys. Figures are taken inside the measured window only.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use menagerie_wire::OpCode;
use menagerie_wire::proto::{PathWatch, SetData};

use crate::Scenario;
use crate::checks::{self, Checks};
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::CpuMeter;
use crate::error::BenchError;
use crate::flags::{per_second, seconds};
use crate::fleet::{Driver, Due, Reply};
use crate::latency::{Operation, Recorder};
use crate::open_loop::Schedule;
use crate::random::Random;
use crate::report::Report;
use crate::target::Target;
use crate::test_tree;
use crate::violations::Violations;

/// How long replies may take after the last request was sent.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Requests in flight per connection while the keys are created and deleted.
const BUILD_DEPTH: usize = 16;

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
    /// Nodes that are read and written, all with the same probability
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

/// Reads to writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio {
    reads: u32,
    writes: u32,
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not READS:WRITES with numbers below 1000000");
        let (reads, writes) = text.split_once(':').ok_or_else(expected)?;
        let part = |text: &str| text.parse().ok().filter(|part| *part < 1_000_000_u32);
        let ratio = part(reads).zip(part(writes)).filter(|(reads, writes)| reads + writes > 0);
        ratio.map(|(reads, writes)| Self { reads, writes }).ok_or_else(expected)
    }
}

impl Scenario for Mixed {
    fn run(&self) -> Result<Report, BenchError> {
        let mut fleet = self.target.connect()?;
        let root = test_tree::unique_root();
        let keys: Vec<_> = (0..self.keys).map(|key| format!("{root}/{key:07}")).collect();
        let path = |key: u32| keys[key as usize].as_str();
        let mut value = self.value();
        let value_of = |key| {
            checks::label(&mut value, key, 0);
            value.clone()
        };
        test_tree::create_root(&mut fleet, &root)?;
        let unmeasured = Recorder::default();
        test_tree::create(&mut fleet, self.keys, BUILD_DEPTH, path, value_of, unmeasured)?;

        let mut load = Load::new(self, &keys);
        let start = Nanos::now() + Duration::from_secs_f64(self.warm_up);
        let end = start + Duration::from_secs_f64(self.seconds);
        load.recorder.open(start, end);
        fleet.run(&mut load, Some(start))?;
        let cpu = CpuMeter::start(&self.target.at.pids)?;
        fleet.run(&mut load, Some(end))?;
        let cpu = cpu.stop()?;
        load.stopped = true;
        fleet.run(&mut load, Some(Nanos::now() + DRAIN_TIME_MAX))?;
        if !load.is_done() {
            let unanswered = load.sent - load.answered;
            let seconds = DRAIN_TIME_MAX.as_secs();
            return Err(BenchError::Unanswered { unanswered, seconds });
        }

        let mut report = Report::new("mixed");
        self.describe(&mut report);
        report.measured(&load.recorder, &cpu, &fleet.violations);
        test_tree::delete(&mut fleet, self.keys, BUILD_DEPTH, path)?;
        test_tree::delete_root(&mut fleet, &root)?;
        fleet.close();
        Ok(report)
    }
}

impl Mixed {
    fn value(&self) -> Vec<u8> {
        vec![b'm'; self.value_bytes as usize]
    }

    fn describe(&self, report: &mut Report) {
        self.target.describe(report);
        match self.rate {
            None => report.condition("depth", self.depth),
            Some(rate) => report.condition("rate", rate),
        }
        let Ratio { reads, writes } = self.ratio;
        report.condition("loop", if self.rate.is_some() { "open" } else { "closed" });
        report.condition("ratio", format!("{reads}:{writes}"));
        report.condition("value_bytes", self.value_bytes);
        report.condition("keys", self.keys);
        report.condition("seconds", self.seconds);
        report.condition("warm_up_seconds", self.warm_up);
        report.condition("seed", self.seed);
        report.condition("checked", !self.unchecked);
    }
}

/// The driver: what is sent, and what came back.
struct Load<'a> {
    mixed: &'a Mixed,
    keys: &'a [String],
    value: Vec<u8>,
    random: Random,
    checks: Checks,
    recorder: Recorder,
    schedule: Option<Schedule>,
    stopped: bool,
    sent: u64,
    answered: u64,
}

impl<'a> Load<'a> {
    fn new(mixed: &'a Mixed, keys: &'a [String]) -> Self {
        let servers = mixed.target.at.servers.len();
        Self {
            mixed,
            keys,
            value: mixed.value(),
            random: Random::seeded(mixed.seed),
            checks: Checks::new(servers, mixed.keys, mixed.value_bytes as usize),
            recorder: Recorder::default(),
            schedule: mixed.rate.map(|rate| Schedule::new(Nanos::now(), rate)),
            stopped: false,
            sent: 0,
            answered: 0,
        }
    }

    fn send(&mut self, connection: &mut Connection, due: Nanos) {
        let key = self.random.below(self.mixed.keys);
        let Ratio { reads, writes } = self.mixed.ratio;
        let read = self.random.below(reads + writes) < reads;
        let operation = if read { Operation::Read } else { Operation::Write };
        self.sent += 1;
        let version_min = self.checks.version_min(connection.server, key);
        let note = Note { operation, due, key, version_min, sequence: self.sent };
        let path = Cow::Borrowed(self.keys[key as usize].as_str());
        if read {
            connection.send(OpCode::GetData, &PathWatch { path, watch: false }, note);
        } else {
            checks::label(&mut self.value, key, self.sent);
            let body = SetData { path: Some(path), data: Some(&self.value), version: -1 };
            connection.send(OpCode::SetData, &body, note);
        }
    }
}

impl Driver for Load<'_> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        if self.schedule.is_some() || self.stopped {
            return;
        }
        while connection.in_flight_len() < self.mixed.depth as usize {
            self.send(connection, now);
        }
    }

    fn on_reply(
        &mut self,
        connection: &mut Connection,
        note: Note,
        reply: Reply<'_>,
        violations: &mut Violations,
    ) {
        self.answered += 1;
        let failed = reply.header.err != 0;
        self.recorder.record(note.operation, note.due, reply.received, failed);
        if failed || self.mixed.unchecked {
            return;
        }
        let (server, behind) = (connection.server, connection.conversation.behind());
        let judged = if note.operation == Operation::Write {
            self.checks.on_write(server, &note, behind, reply.body)
        } else {
            self.checks.on_read(server, &note, behind, reply.body)
        };
        violations.judge(connection.index, judged);
    }

    fn due(&mut self, now: Nanos) -> Due {
        match &self.schedule {
            Some(schedule) if !self.stopped => {
                let due = schedule.next_due();
                let turn = schedule.taken() % u64::from(self.mixed.target.connections);
                if due <= now { Due::Now(turn as usize) } else { Due::At(due) }
            }
            _ => Due::Never,
        }
    }

    fn send_due(&mut self, connection: &mut Connection) {
        if let Some(due) = self.schedule.as_mut().map(Schedule::take) {
            self.send(connection, due);
        }
    }

    fn is_done(&self) -> bool {
        self.stopped && self.answered == self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_two_numbers_of_which_one_is_not_zero() {
        let check = |text: &str, expect: Option<(u32, u32)>| {
            let ratio = text.parse::<Ratio>().ok().map(|ratio| (ratio.reads, ratio.writes));
            assert_eq!(ratio, expect, "{text}");
        };
        check("10:1", Some((10, 1)));
        check("0:1", Some((0, 1)));
        check("1:0", Some((1, 0)));
        check("0:0", None);
        check("10", None);
        check("-1:1", None);
        check("10:1:1", None);
    }
}
