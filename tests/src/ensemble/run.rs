//! A run: an ensemble, clients at work, faults, and what the checkers say of the recorded history.

use super::client::Servers;
use super::journal::{Counts, Journal};
use super::nemesis::{Fault, Nemesis};
use super::node::Flavor;
use super::workload::{Load, Workload, read_everything};
use super::{Ensemble, Plan};
use crate::random::Random;
use menagerie_simulation::checkers::{Settings, check_history};
use menagerie_simulation::history::{self, History, Moment, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long clients work before the first fault and after the last.
const CALM: Duration = Duration::from_secs(1);

/// What happened, in one run or in several.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub faults: BTreeMap<Fault, u64>,
    /// By fault, the longest time without an acknowledged write from its begin to that of the next
    /// one.
    pub silences: BTreeMap<Fault, Duration>,
    pub operations: u64,
    pub acknowledged_writes: u64,
    pub elapsed: Duration,
    pub violations: Vec<String>,
    /// Violations that do not count.
    pub tolerated: u64,
    /// Where histories and data, with violations or asked for, are kept.
    pub kept: Vec<PathBuf>,
}

/// What is done with what the checkers say.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// The name of a checker whose violations are counted and no more: not everyone promises all.
    pub tolerated: Option<String>,
    /// Keep histories and data also where nothing is wrong.
    pub keep: bool,
}

/// As [`run_judged`], with every promise.
///
/// # Panics
/// As [`run_judged`].
#[must_use]
pub fn run(plan: &Plan, load: &Load, faults: &[Fault]) -> Report {
    run_judged(plan, load, faults, &Judging::default())
}

/// Does all `faults` one after the other to a new ensemble under load, and judges what clients saw.
///
/// # Panics
/// When the ensemble does not start, or a client is answered with what is no answer.
#[must_use]
pub fn run_judged(plan: &Plan, load: &Load, faults: &[Fault], judging: &Judging) -> Report {
    let began = Instant::now();
    let mut ensemble = Ensemble::start(plan);
    let servers = ensemble.servers();
    let journal = Journal::open();
    let mut report = Report::default();
    let workload = Workload::start(&servers, &journal, load);
    std::thread::sleep(CALM);
    let mut nemesis = Nemesis::new(&mut ensemble, Random::new(load.seed));
    let mut outcome = faults.iter().try_for_each(|fault| {
        journal.take_silence();
        let outcome = nemesis.strike(*fault);
        let longest = report.silences.entry(*fault).or_default();
        *longest = journal.take_silence().max(*longest);
        outcome
    });
    outcome = outcome.and_then(|()| nemesis.heal(true));
    report.faults = nemesis.done;
    let counts = end(workload, &servers, &journal, outcome, &mut report.violations);
    report.operations = counts.operations;
    report.acknowledged_writes = counts.acknowledged_writes;
    let records = journal.close();
    let ours = |flavor: &Flavor| *flavor == Flavor::Menagerie;
    let all_ours = plan.voters.iter().chain(&plan.observers).all(ours);
    let settings =
        Settings { exact_zxids: all_ours, told_expiry_stands: all_ours, ..Settings::default() };
    report.judge(records.clone(), &settings, judging.tolerated.as_deref());
    if judging.keep || !report.violations.is_empty() {
        ensemble.keep_files();
        let path = ensemble.directory().join("history.jsonl");
        keep(&path, &records).expect("the scratch directory is writable");
        report.kept.push(path);
    }
    report.elapsed = began.elapsed();
    report
}

/// Ends the work and reads everything, if the ensemble has come together again.
fn end(
    workload: Workload,
    servers: &Servers,
    journal: &Arc<Journal>,
    outcome: Result<(), String>,
    violations: &mut Vec<String>,
) -> Counts {
    let mut page = journal.own_page();
    match outcome {
        Err(error) => {
            violations.push(error);
            workload.finish();
            journal.counts()
        }
        Ok(()) => {
            page.write(Moment::Healed);
            std::thread::sleep(CALM);
            workload.finish();
            let counts = journal.counts();
            page.write(Moment::Finale);
            violations.extend(read_everything(servers, journal).err());
            counts
        }
    }
}

fn keep(path: &std::path::Path, records: &[Record]) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for record in records {
        history::write(record, &mut file)?;
    }
    file.flush()
}

impl Report {
    fn judge(&mut self, records: Vec<Record>, settings: &Settings, tolerated: Option<&str>) {
        let history = match History::of(records) {
            Ok(history) => history,
            Err(error) => {
                self.violations.push(format!("the records are no history: {error}"));
                return;
            }
        };
        for violation in check_history(&history, settings) {
            if Some(violation.checker) == tolerated {
                self.tolerated += 1;
            } else {
                let excerpt = violation.excerpt(&history).join("\n  ");
                self.violations.push(format!("{violation}\n  {excerpt}"));
            }
        }
    }

    /// How often a fault was done, and how long writes stopped for it at most.
    fn line(&self, fault: Fault) -> Option<String> {
        let count = self.faults.get(&fault)?;
        let silence = self.silences.get(&fault);
        let silence = silence.map(|silence| format!(" [{:.2} s]", silence.as_secs_f64()));
        Some(format!("{fault} {count}{}", silence.unwrap_or_default()))
    }

    /// Puts another run's report to this one.
    pub fn add(&mut self, other: Self) {
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.operations += other.operations;
        self.acknowledged_writes += other.acknowledged_writes;
        for (fault, silence) in other.silences {
            let longest = self.silences.entry(fault).or_default();
            *longest = silence.max(*longest);
        }
        self.elapsed += other.elapsed;
        self.violations.extend(other.violations);
        self.tolerated += other.tolerated;
        self.kept.extend(other.kept);
    }

    /// How many faults of a class were done.
    #[must_use]
    pub fn count(&self, class: &[Fault]) -> u64 {
        class.iter().filter_map(|fault| self.faults.get(fault)).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        for path in &self.kept {
            writeln!(f, "kept: {}", path.display())?;
        }
        let classes: [(&str, &[Fault]); 6] = [
            ("kills", &Fault::KILLS),
            ("pauses", &Fault::PAUSES),
            ("partitions", &Fault::PARTITIONS),
            ("delays", &Fault::DELAYS),
            ("wipes", &[Fault::Wipe]),
            ("full disks", &[Fault::FullDisk]),
        ];
        for (name, class) in classes {
            let done: Vec<_> = class.iter().filter_map(|fault| self.line(*fault)).collect();
            writeln!(f, "{name}: {} ({})", self.count(class), done.join(", "))?;
        }
        write!(
            f,
            "{} operations, {} acknowledged writes, {} violations ({} tolerated), in {:.0} s; in \
             brackets the longest time without an acknowledged write",
            self.operations,
            self.acknowledged_writes,
            self.violations.len(),
            self.tolerated,
            self.elapsed.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_faults_apache_keeps_every_promise() {
        let report = run(&Plan::new(Flavor::Apache, 3, 1), &Load::new(1), &[]);
        assert!(report.violations.is_empty(), "{report}");
        assert!(report.acknowledged_writes > 100, "{report}");
    }
}
