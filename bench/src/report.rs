//! The result of a run, as text for people and as JSON for scripts.
//!
//! The JSON of every scenario has one shape, so that what reads one reads all:
//! `{scenario, conditions, operations: {read|write|event|…: {count, errors, per_second,
//! latency_us: {p50, p90, p99, p99_9, max}, over_time}}, check: {violations}, client_cpu_s,
//! client_cpu_share, client_wait_share}`, with `server_cpu_s` and `ops_per_server_cpu_s` where the
//! server's process is known, and `figures` and `series` for what only one scenario measures. Units
//! stand in the names; [`OverTimeReport`] says what `over_time` holds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use crate::clock::Nanos;
use crate::cpu::CpuTime;
use crate::host;
use crate::latency::Recorder;
use crate::over_time::OverTimeReport;
use crate::violations::Violations;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    /// What the figures hold for: flags, host, kernel.
    pub conditions: BTreeMap<&'static str, Value>,
    pub operations: BTreeMap<&'static str, OperationReport>,
    pub check: Check,
    /// CPU time of this process inside the measured window.
    pub client_cpu_s: f64,
    /// The same as a part of the window: near 1 the generator, which has one thread for the load,
    /// is what was measured.
    pub client_cpu_share: f64,
    /// The part of the window in which the load was ready to run and had no CPU: what others on
    /// this machine add to every latency.
    pub client_wait_share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_per_server_cpu_s: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<&'static str, f64>,
    /// What happened when; for scripts only, as it is long.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<&'static str, Vec<f64>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub comparison: BTreeMap<String, Comparison>,
}

/// One figure of two servers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub a: Summary,
    pub b: Summary,
    /// Median of `a` over median of `b`; none when that is 0.
    pub ratio: Option<f64>,
}

/// The runs of one server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    /// (max - min) / median.
    pub spread: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct OperationReport {
    /// Successful operations that were due inside the window.
    pub count: u64,
    pub errors: u64,
    /// Operations answered inside the window, per second of it.
    pub per_second: f64,
    pub latency_us: Percentiles,
    pub over_time: OverTimeReport,
}

/// Of the latencies of one kind, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Check {
    pub violations: u64,
    /// The first of them in words; for people only.
    #[serde(skip)]
    pub described: Vec<String>,
}

impl From<&Violations> for Check {
    fn from(violations: &Violations) -> Self {
        let describe =
            |(connection, violation): &_| format!("connection {connection}: {violation}");
        let described = violations.described().iter().map(describe).collect();
        Self { violations: violations.count, described }
    }
}

impl Report {
    /// A report without figures, under the conditions that every run has.
    pub fn new(scenario: &'static str) -> Self {
        let mut report = Self {
            scenario,
            conditions: BTreeMap::new(),
            operations: BTreeMap::new(),
            check: Check::default(),
            client_cpu_s: 0.0,
            client_cpu_share: 0.0,
            client_wait_share: 0.0,
            server_cpu_s: None,
            ops_per_server_cpu_s: None,
            figures: BTreeMap::new(),
            series: BTreeMap::new(),
            comparison: BTreeMap::new(),
        };
        report.conditions.extend(host::conditions());
        report
    }

    pub fn condition(&mut self, name: &'static str, value: impl Into<Value>) {
        self.conditions.insert(name, value.into());
    }

    /// Adds a number that only one scenario measures; its unit stands in its name.
    pub fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, (value * 1000.0).round() / 1000.0);
    }

    /// Takes over latencies, where more than one window was measured.
    pub fn add_operations(&mut self, recorder: &Recorder) {
        for (operation, report) in recorder.operations() {
            self.operations.insert(operation.name(), report);
        }
    }

    /// Takes over what a window of work measured.
    pub fn measured(&mut self, recorder: &Recorder, cpu: &CpuTime, violations: &Violations) {
        self.add_operations(recorder);
        let started = SystemTime::now() - Nanos::now().since(recorder.start());
        self.condition("started", humantime::format_rfc3339_millis(started).to_string());
        self.client_cpu_s = cpu.client.as_secs_f64();
        let window = recorder.window().as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |time: f64| (time / window * 1000.0).round() / 1000.0;
        self.client_cpu_share = share(self.client_cpu_s);
        self.client_wait_share = share(cpu.client_waited.as_secs_f64());
        self.server_cpu_s = cpu.server.map(|server| server.as_secs_f64());
        self.ops_per_server_cpu_s = self
            .server_cpu_s
            .filter(|seconds| *seconds > 0.0 && recorder.answered() > 0)
            .map(|seconds| (recorder.answered() as f64 / seconds).round());
        self.check = Check::from(violations);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.scenario)?;
        for (name, value) in &self.conditions {
            writeln!(f, "  {name:<18} {value}")?;
        }
        self.fmt_operations(f)?;
        for (name, value) in &self.figures {
            writeln!(f, "{name:<28} {value:>16.3}")?;
        }
        self.fmt_comparison(f)?;
        for described in &self.check.described {
            writeln!(f, "violation: {described}")?;
        }
        write!(f, "violations {}, client CPU {:.2} s", self.check.violations, self.client_cpu_s)?;
        let (ran, waited) = (self.client_cpu_share * 100.0, self.client_wait_share * 100.0);
        write!(f, " ({ran:.0} % of the time; {waited:.0} % without a free CPU)")?;
        if let Some(server_cpu_s) = self.server_cpu_s {
            write!(f, ", server CPU {server_cpu_s:.2} s")?;
        }
        if let Some(ops) = self.ops_per_server_cpu_s {
            write!(f, ", {ops:.0} operations per server CPU-second")?;
        }
        writeln!(f)
    }
}

impl Report {
    fn fmt_operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.operations.is_empty() {
            writeln!(
                f,
                "{:<16} {:>10} {:>7} {:>10}  {:>9} {:>9} {:>9} {:>9} {:>9}  (µs)",
                "", "count", "errors", "per_second", "p50", "p90", "p99", "p99.9", "max"
            )?;
        }
        for (name, operation) in &self.operations {
            let OperationReport { count, errors, per_second, latency_us, .. } = operation;
            let Percentiles { p50, p90, p99, p99_9, max } = latency_us;
            writeln!(
                f,
                "{name:<16} {count:>10} {errors:>7} {per_second:>10.0}  \
                 {p50:>9.1} {p90:>9.1} {p99:>9.1} {p99_9:>9.1} {max:>9.1}"
            )?;
        }
        Ok(())
    }

    fn fmt_comparison(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.comparison.is_empty() {
            let (a, b) = ("a", "b");
            writeln!(f, "{:<24} {a:>14} spread {b:>14} spread    a/b", "median")?;
        }
        for (name, Comparison { a, b, ratio }) in &self.comparison {
            let (a_spread, b_spread) = (a.spread * 100.0, b.spread * 100.0);
            let (a, b) = (a.median, b.median);
            write!(f, "{name:<24} {a:>14.1} {a_spread:>5.0}% {b:>14.1} {b_spread:>5.0}%")?;
            match ratio {
                Some(ratio) => writeln!(f, " {ratio:>6.2}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
