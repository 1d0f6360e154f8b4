//! `compare`: two running servers under the same load, taking turns.
//!
//! A shared machine is never the same for two minutes. Runs are therefore interleaved, A B A B …,
//! each a process of its own so that none inherits the other's heap, and medians are compared. The
//! spread says what a ratio is worth: `(max - min) / median` over the runs of one server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use crate::Scenario;
use crate::error::BenchError;
use crate::report::{Check, Comparison, Report, Summary};

#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// The server that is measured
    #[arg(long, value_name = "ADDRESS:PORT@PID")]
    a: Side,
    /// The server it is measured against
    #[arg(long, value_name = "ADDRESS:PORT@PID")]
    b: Side,
    /// Runs of each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Keep what each run reports as DIR/a-N.json and DIR/b-N.json, for `report`
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The scenario with its flags, without the ones that name servers
    #[arg(last = true, required = true, value_name = "SCENARIO")]
    scenario: Vec<String>,
}

/// One of the two servers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    server: SocketAddr,
    pid: u32,
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@');
        let side = parts.and_then(|(server, pid)| {
            Some(Self { server: server.parse().ok()?, pid: pid.parse().ok()? })
        });
        side.ok_or_else(|| format!("`{text}` is not ADDRESS:PORT@PID"))
    }
}

/// Figures of all runs of one server, by name.
type Runs = BTreeMap<String, Vec<f64>>;

impl Scenario for Compare {
    fn run(&self) -> Result<Report, BenchError> {
        let (mut a, mut b) = (Runs::new(), Runs::new());
        for pair in 1..=self.pairs {
            self.run_once(&self.a, &format!("a-{pair}"), &mut a)?;
            self.run_once(&self.b, &format!("b-{pair}"), &mut b)?;
        }
        let mut report = Report::new("compare");
        report.condition("a", self.a.server.to_string());
        report.condition("b", self.b.server.to_string());
        report.condition("pairs", self.pairs);
        report.condition("runs", self.scenario.join(" "));
        let violations =
            [&a, &b].map(|runs| runs.get("violations").map_or(0.0, |v| v.iter().sum()));
        report.check =
            Check { violations: violations.iter().sum::<f64>() as u64, ..Check::default() };
        a.remove("violations");
        for (name, a) in a {
            let Some(b) = b.get(&name) else { continue };
            report.comparison.insert(name, compare(&a, b));
        }
        Ok(report)
    }
}

impl Compare {
    fn run_once(&self, side: &Side, name: &str, runs: &mut Runs) -> Result<(), BenchError> {
        let failed = |why: String| BenchError::Command { command: self.scenario.join(" "), why };
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let output = Command::new(program)
            .args(&self.scenario)
            .args(["--servers", &side.server.to_string()])
            .args(["--server-pid", &side.pid.to_string()])
            .args(["--json", "-"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        // A run with violations has a report too, and counts them in it.
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed(format!("{} gave no report: {}", side.server, output.status)))?;
        if let Some(directory) = &self.keep {
            let path = directory.join(name).with_extension("json");
            std::fs::create_dir_all(directory)
                .and_then(|()| std::fs::write(&path, &output.stdout))
                .map_err(|source| BenchError::File { path, source })?;
        }
        for (name, value) in figures(&report) {
            runs.entry(name).or_default().push(value);
        }
        Ok(())
    }
}

/// The numbers of a report that a comparison is about, under one name each.
fn figures(report: &Value) -> Vec<(String, f64)> {
    let mut figures = Vec::new();
    let mut add = |name: String, value: &Value| figures.extend(value.as_f64().map(|v| (name, v)));
    add("ops_per_server_cpu_s".to_owned(), &report["ops_per_server_cpu_s"]);
    add("violations".to_owned(), &report["check"]["violations"]);
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (name, value) in object(&report["figures"]) {
        add(name, &value);
    }
    for (operation, measured) in object(&report["operations"]) {
        add(format!("{operation}.per_second"), &measured["per_second"]);
        add(format!("{operation}.errors"), &measured["errors"]);
        for (name, latency_us) in object(&measured["latency_us"]) {
            add(format!("{operation}.{name}_us"), &latency_us);
        }
    }
    figures
}

fn compare(a: &[f64], b: &[f64]) -> Comparison {
    let (a, b) = (summary(a), summary(b));
    let ratio = (b.median > 0.0).then(|| a.median / b.median);
    Comparison { a, b, ratio }
}

fn summary(values: &[f64]) -> Summary {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    let median = f64::midpoint(low, high);
    let range = sorted[sorted.len() - 1] - sorted[0];
    Summary { median, spread: if median > 0.0 { range / median } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_median_is_the_middle_and_the_spread_is_relative() {
        let check = |values: &[f64], median: f64, spread: f64| {
            let summary = summary(values);
            assert_eq!((summary.median, summary.spread), (median, spread), "{values:?}");
        };
        check(&[3.0], 3.0, 0.0);
        check(&[4.0, 1.0, 2.0], 2.0, 1.5);
        check(&[1.0, 3.0], 2.0, 1.0);
        check(&[0.0, 0.0], 0.0, 0.0);
    }

    #[test]
    fn figures_of_a_report_have_one_name_each() {
        let report = json!({
            "operations": {"read": {"per_second": 5.0, "errors": 0, "latency_us": {"p99": 7.5}}},
            "check": {"violations": 0},
        });
        let names: Vec<_> = figures(&report).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["violations", "read.per_second", "read.errors", "read.p99_us"]);
    }

    #[test]
    fn a_side_is_an_address_and_a_process() {
        let side = Side { server: "127.0.0.1:2181".parse().unwrap(), pid: 42 };
        assert_eq!("127.0.0.1:2181@42".parse(), Ok(side));
        assert!("127.0.0.1:2181".parse::<Side>().is_err());
    }
}
