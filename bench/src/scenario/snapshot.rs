//! `snapshot`: steady load over a big tree while the server writes snapshots of it.
//!
//! The load is an open loop, and half of it are writes: a server whose snapCount is below what the
//! run writes has to write a snapshot meanwhile. What that does to clients is in the worst latency
//! of every 10 ms: the series is in the JSON, and its distribution is a line of its own. With
//! `--data-dir` the files of the servers are looked at: snapshots that appear are counted, and the
//! slots near them stand beside the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::mixed::{Load, Ratio, ReadKind, Settings, WriteKind, clean_up, finish};
use crate::Scenario;
use crate::clock::Nanos;
use crate::error::BenchError;
use crate::flags::{per_second, seconds};
use crate::keys::Keys;
use crate::latency::{Operation, Recorder};
use crate::report::Report;
use crate::target::Target;
use crate::timeline::{SLOT, Timeline};

#[derive(Args, Clone, Debug)]
pub struct Snapshot {
    #[command(flatten)]
    target: Target,
    /// Nodes of the tree, which are read and written
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// Nodes in one directory
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    per_directory: u32,
    /// Size of every value
    #[arg(long, value_name = "BYTES", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
    /// Requests per second in all
    #[arg(long, value_name = "PER_SECOND", default_value_t = 2_000.0, value_parser = per_second)]
    rate: f64,
    /// Reads to writes
    #[arg(long, value_name = "READS:WRITES", default_value = "1:1")]
    ratio: Ratio,
    /// Length of the measured window
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    seconds: f64,
    /// Load before the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// Do not judge the values that are read (for servers that only play one, like `echo`)
    #[arg(long)]
    unchecked: bool,
}

/// Between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Apache's snapshots lie in `version-2`, Menagerie's in `menagerie`.
const DEPTH: u32 = 2;
/// So much before a snapshot is seen and after it grew last belongs to it.
const NEAR: Duration = Duration::from_secs(1);

impl Scenario for Snapshot {
    fn run(&self) -> Result<Report, BenchError> {
        let settings = self.settings();
        let mut fleet = self.target.connect()?;
        let keys = Keys::new(self.nodes, self.per_directory);
        keys.create(&mut fleet, settings.value())?;

        let mut load = Load::new(&settings, &keys);
        let length = Duration::from_secs_f64(self.seconds);
        let start = Nanos::now() + Duration::from_secs_f64(self.warm_up);
        let end = start + length;
        load.recorder.open(start, end);
        load.timeline = Some(Timeline::new(start, length));
        let mut before = Seen::new();
        self.target.at.data_dir.iter().for_each(|directory| look(directory, DEPTH, &mut before));
        let watching = AtomicBool::new(true);
        let (cpu, mut snapshots) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch_files(&self.target.at.data_dir, &watching));
            let measured = (|| {
                let cpu = fleet.measure(&mut load, start, end, &self.target.at.pids)?;
                finish(&mut fleet, &mut load).map(|()| cpu)
            })();
            watching.store(false, Ordering::Relaxed);
            let snapshots = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            measured.map(|cpu| (cpu, snapshots))
        })?;

        snapshots.retain(|path, file| !before.contains_key(path) && file.last >= start);

        let mut report = Report::new("snapshot");
        self.describe(&mut report);
        report.measured(&load.recorder, &cpu, &fleet.violations);
        if let Some(timeline) = &load.timeline {
            report_slots(&mut report, start, timeline);
            if !self.target.at.data_dir.is_empty() {
                report_snapshots(&mut report, start, timeline, &snapshots);
            }
        }
        clean_up(fleet, load, &keys)?;
        Ok(report)
    }
}

impl Snapshot {
    fn settings(&self) -> Settings {
        Settings {
            connections: self.target.connections,
            servers: self.target.at.servers.len(),
            depth: 1,
            rate: Some(self.rate),
            ratio: self.ratio,
            reads: vec![ReadKind::GetData],
            writes: vec![WriteKind::SetData],
            multi_size: 1,
            value_bytes: self.value_bytes,
            skew: 0.0,
            seed: 1,
            checked: !self.unchecked,
        }
    }

    fn describe(&self, report: &mut Report) {
        self.target.describe(report);
        report.condition("nodes", self.nodes);
        report.condition("per_directory", self.per_directory);
        report.condition("value_bytes", self.value_bytes);
        report.condition("rate", self.rate);
        report.condition("ratio", self.ratio.to_string());
        report.condition("seconds", self.seconds);
        report.condition("warm_up_seconds", self.warm_up);
        report.condition("checked", !self.unchecked);
    }
}

/// Where each snapshot was seen first, and when it was seen to have grown last.
type Seen = BTreeMap<PathBuf, File>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    bytes: u64,
    first: Nanos,
    last: Nanos,
}

fn watch_files(directories: &[PathBuf], watching: &AtomicBool) -> Seen {
    let mut seen = Seen::new();
    while watching.load(Ordering::Relaxed) && !directories.is_empty() {
        for directory in directories {
            look(directory, DEPTH, &mut seen);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    seen
}

/// Takes over the snapshots in a directory, and in those `depth` below. Files come and go, so one
/// that cannot be read is none.
fn look(directory: &Path, depth: u32, seen: &mut Seen) {
    let now = Nanos::now();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth > 0 {
            look(&entry.path(), depth - 1, seen);
        } else if entry.file_name().to_string_lossy().starts_with("snapshot.") {
            let bytes = metadata.len();
            let new = File { bytes, first: now, last: now };
            let file = seen.entry(entry.path()).or_insert(new);
            if file.bytes != bytes {
                (file.bytes, file.last) = (bytes, now);
            }
        }
    }
}

fn report_slots(report: &mut Report, start: Nanos, timeline: &Timeline) {
    let mut recorder = Recorder::default();
    recorder.open(start, Nanos(u64::MAX));
    for worst in timeline.worst().iter().filter(|worst| !worst.is_zero()) {
        recorder.record(Operation::WorstOf10Ms, start, start + *worst, false);
    }
    recorder.close(start + SLOT * timeline.worst().len() as u32);
    report.add_operations(&recorder);
    let us = |worst: &Duration| (worst.as_secs_f64() * 1e7).round() / 10.0;
    report.series.insert("worst_us_per_10ms", timeline.worst().iter().map(us).collect());
}

fn report_snapshots(report: &mut Report, start: Nanos, timeline: &Timeline, snapshots: &Seen) {
    let (mut near, mut elsewhere) = (Duration::ZERO, Duration::ZERO);
    for (slot, worst) in (0_u32..).zip(timeline.worst()) {
        let time = start + SLOT * slot;
        let is_near = |file: &File| time + NEAR >= file.first && time <= file.last + NEAR;
        let side = if snapshots.values().any(is_near) { &mut near } else { &mut elsewhere };
        *side = (*side).max(*worst);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    report.figure("snapshots_seen", snapshots.len() as f64);
    report.figure("worst_near_snapshots_ms", ms(near));
    report.figure("worst_elsewhere_ms", ms(elsewhere));
    let seen = snapshots.values().map(|file| ms(file.first.since(start)).round());
    report.series.insert("snapshots_seen_at_ms", seen.collect());
}
