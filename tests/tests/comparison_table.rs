//! `perf-scripts/table` over reports that were made up: medians, ratios, verdicts.

use menagerie_tests::checkout;
use menagerie_tests::scratch::Scratch;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

struct Reports(Scratch);

impl Reports {
    fn new() -> Self {
        Self(Scratch::new("table"))
    }

    /// Writes down what each run of one kind of server reported.
    fn put<T: Copy>(&self, name: &str, kind: &str, runs: &[T], report: impl Fn(T) -> Value) {
        for (run, value) in (1..).zip(runs) {
            let mut report = report(*value);
            report["check"] = json!({"violations": 0});
            let path = self.0.path().join(format!("{name}.{kind}.{run}.json"));
            fs::write(path, report.to_string()).expect("a scratch directory is writable");
        }
    }

    fn per_cpu(&self, name: &str, kind: &str, runs: &[u32]) {
        self.put(name, kind, runs, |value| json!({"ops_per_server_cpu_s": value}));
    }

    /// Runs of `scenario` with this p50 of writes, in microseconds.
    fn writes(&self, kind: &str, scenario: &str, runs: &[f64]) {
        self.put("lone", kind, runs, |p50| {
            let latency_us = json!({"p50": p50, "p99": p50});
            json!({"scenario": scenario, "operations": {"write": {"latency_us": latency_us}}})
        });
    }

    /// The exit code, and the table.
    fn print(&self) -> (Option<i32>, String) {
        let table = checkout::root().join("perf-scripts/table");
        let output = Command::new(table).arg(self.0.path()).output().expect("it can be run");
        (output.status.code(), String::from_utf8(output.stdout).expect("a text"))
    }
}

/// The cells of the row that begins with `label`.
fn row<'a>(table: &'a str, label: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(&format!("| {label}")));
    line.unwrap_or_else(|| panic!("no {label} in {table}")).split('|').map(str::trim).collect()
}

#[test]
fn a_target_is_reached_where_medians_reach_it() {
    let reports = Reports::new();
    reports.per_cpu("load-64-1", "menagerie", &[400, 380, 410, 400, 420]);
    reports.per_cpu("load-64-1", "apache", &[100, 100, 110, 90, 100]);
    reports.per_cpu("load-64-1", "echo", &[500; 5]);
    let (code, table) = reports.print();
    let cells = row(&table, "10:1, 64 connections, depth 1, per CPU-s");
    assert_eq!(cells[2..6], ["5", "400 (380 – 420)", "100 (90 – 110)", "500 (500 – 500)"]);
    assert_eq!(cells[6..8], ["4.00", "0.80"]);
    assert_eq!(cells[8..10], ["≥ 3.5 × Apache; ≥ 0.65 × the limit", "reached; reached"]);
    assert_eq!(code, Some(0), "{table}");
}

#[test]
fn a_target_that_is_missed_is_told_by_the_exit_code_too() {
    let reports = Reports::new();
    reports.per_cpu("writes-1", "menagerie", &[290, 295, 280]);
    reports.per_cpu("writes-1", "apache", &[100; 3]);
    let (code, table) = reports.print();
    assert_eq!(row(&table, "writes only, 64 connections, depth 1,")[9], "not reached");
    assert_eq!(code, Some(1), "{table}");
}

#[test]
fn runs_that_contradict_each_other_are_too_noisy() {
    let reports = Reports::new();
    reports.per_cpu("writes-1", "apache", &[100; 5]);
    reports.per_cpu("writes-1", "menagerie", &[310, 310, 310, 310, 290]);
    let (_, table) = reports.print();
    assert_eq!(row(&table, "writes only, 64 connections, depth 1,")[9], "reached");
    reports.per_cpu("writes-1", "menagerie", &[310, 310, 310, 290, 290]);
    let (code, table) = reports.print();
    let verdict = row(&table, "writes only, 64 connections, depth 1,")[9];
    assert_eq!(verdict, "too noisy (3 of 5 reach it)");
    assert_eq!(code, Some(0), "{table}");
}

#[test]
fn a_bound_may_come_from_something_that_is_no_server() {
    let reports = Reports::new();
    reports.writes("disk", "disk", &[300.0, 100.0, 120.0]);
    reports.writes("menagerie", "mixed", &[340.0, 149.0, 160.0]);
    let (_, table) = reports.print();
    let cells = row(&table, "one connection, depth 1: write p50");
    assert_eq!(cells[8..10], ["≤ a bare commit + 50 µs", "reached"]);
    let commit = row(&table, "a bare commit of 4 KiB beside lone: p50");
    assert_eq!(commit[3..6], ["", "", "120 (100 – 300)"]);
}

#[test]
fn what_failed_and_what_was_not_measured_is_told() {
    let reports = Reports::new();
    reports.per_cpu("writes-16", "apache", &[100]);
    let failed = reports.0.path().join("writes-16.menagerie.1.failed");
    fs::write(failed, "menagerie-bench: gone\n").expect("a scratch directory is writable");
    let (_, table) = reports.print();
    assert_eq!(row(&table, "writes only, 64 connections, depth 16,")[9], "not measured");
    assert!(table.contains("- failed: writes-16.menagerie.1: menagerie-bench: gone"), "{table}");
    assert!(table.contains("- not measured: fill, one directory"), "{table}");
}
