//! Menagerie against Apache ZooKeeper: random scripts are sent to both, and every reply and event
//! is compared. A difference is made short and printed with the command that brings it back.
//!
//! - [`script`] is the conversation as data, [`generate`] makes one from a seed;
//! - [`run`] plays it on a [`pair`] of servers in lock step, [`lane`] by lane, with [`control`]
//!   for the frame around it, and compares what [`view`] leaves after masking;
//! - [`deviations`] holds every place where Menagerie differs on purpose, with the reason;
//! - [`shrink`] cuts a diverging script down.
//!
//! Apache against Apache must find nothing: that is what shows that the masks are wide enough and
//! that lock step is deterministic. It does not time anything, and it does not know what a right
//! answer is: Apache ZooKeeper does.

pub mod control;
pub mod deviations;
pub mod generate;
pub mod lane;
pub mod pair;
pub mod run;
pub mod script;
pub mod shrink;
pub mod view;

use pair::{Features, Kind, Pair};
use run::Divergence;
use script::Script;
use std::fmt;
use std::time::{Duration, Instant};

/// Time spent on making one divergence short.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(60);

/// How long to compare, and from which seed on: script *n* has seed `seed + n`.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub seed: u64,
    pub time: Duration,
    pub scripts_max: u64,
    /// Stops after so many divergences.
    pub findings_max: usize,
}

/// What was compared and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub scripts: u64,
    pub steps: u64,
    pub findings: Vec<Finding>,
}

/// A divergence, made short.
#[derive(Clone, Debug)]
pub struct Finding {
    pub seed: u64,
    pub features: Features,
    pub script: Script,
    pub divergence: Divergence,
}

/// Compares the servers of `pair` until the budget is spent.
///
/// # Errors
/// When fresh servers cannot be started.
pub fn compare(pair: &mut Pair, budget: Budget) -> std::io::Result<Report> {
    let deadline = Instant::now() + budget.time;
    let mut report = Report::default();
    for seed in (budget.seed..).take(usize::try_from(budget.scripts_max).unwrap_or(usize::MAX)) {
        if Instant::now() > deadline || report.findings.len() >= budget.findings_max {
            break;
        }
        let script = generate::generate(seed);
        report.scripts += 1;
        report.steps += script.steps.len() as u64;
        if let Some(divergence) = play(pair, &script)? {
            report.findings.push(shorten(pair, seed, script, divergence)?);
            pair.renew()?;
        }
    }
    Ok(report)
}

/// Runs a script. A server that is lost is a divergence too, and fresh ones take the place.
fn play(pair: &mut Pair, script: &Script) -> std::io::Result<Option<Divergence>> {
    run::run(pair, script).or_else(|error| {
        let log = pair.second_log();
        let tail: Vec<_> = log.lines().rev().take(12).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        pair.renew()?;
        Ok(Some(Divergence {
            step: None,
            kind: "server".to_owned(),
            apache: "serves".to_owned(),
            other: format!("{error}\nlog of the second server:\n{}", tail.join("\n")),
        }))
    })
}

fn shorten(
    pair: &mut Pair,
    seed: u64,
    script: Script,
    first: Divergence,
) -> std::io::Result<Finding> {
    let deadline = Instant::now() + SHRINK_TIME_MAX;
    let mut script = script;
    if let Some(step) = first.step {
        script.steps.truncate(step + 1);
    }
    let mut shortest = first.clone();
    let mut failure = None;
    let script = shrink::shrink(script, |candidate| {
        if Instant::now() > deadline {
            return None;
        }
        match play(pair, candidate) {
            Ok(Some(divergence)) if divergence.kind == first.kind => {
                shortest = divergence;
                Some(true)
            }
            Ok(_) => Some(false),
            Err(error) => {
                failure = Some(error);
                None
            }
        }
    });
    failure.map_or(Ok(Finding { seed, features: pair.features, script, divergence: shortest }), Err)
}

impl Report {
    /// One line of counts.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "differential: {} scripts, {} steps, {} divergences",
            self.scripts,
            self.steps,
            self.findings.len()
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, features, script, divergence } = self;
        let option = match features {
            Features::All => "",
            Features::Default => " --default-features",
        };
        write!(f, "divergence at {} (seed {seed}), after\n{script}", divergence.kind)?;
        let indented = |text: &str| text.replace('\n', "\n             ");
        writeln!(f, "  Apache     {}", indented(&divergence.apache))?;
        writeln!(f, "  Menagerie  {}", indented(&divergence.other))?;
        write!(
            f,
            "  again: cargo run -p menagerie-tests --bin differential -- --seed {seed} \
             --scripts 1{option}"
        )
    }
}

/// Starts both servers and compares them: what a test calls.
///
/// # Errors
/// When the servers cannot be started.
pub fn start_and_compare(
    second: Kind,
    features: Features,
    budget: Budget,
) -> std::io::Result<Report> {
    compare(&mut Pair::start(second, features)?, budget)
}
