//! Reads the records of one run, from one file or many, and says which promises were broken.
//!
//! The exit code is 1 when one was, 2 when the files are no history.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use menagerie_simulation::checkers::{Settings, check_history};
use menagerie_simulation::history::{self, History};
use thiserror::Error;

#[derive(Debug, Parser)]
#[command(about = "Judges what clients of one run have recorded")]
struct Arguments {
    /// Files of JSON lines, each by one recorder, all with times of one clock.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How long the ensemble may take to recover when all faults are over.
    #[arg(long, value_name = "MS", default_value_t = Settings::default().recovery_ms_max)]
    recovery_ms_max: u64,
    /// How long a request may take after that.
    #[arg(long, value_name = "MS", default_value_t = Settings::default().reply_ms_max)]
    reply_ms_max: u64,
    /// How long the news that a session was used may take to the leader.
    #[arg(long, value_name = "MS", default_value_t = Settings::default().touch_ms_max)]
    touch_ms_max: u64,
    /// How long after its time a session may still be there.
    #[arg(long, value_name = "MS", default_value_t = Settings::default().expiry_ms_max)]
    expiry_ms_max: u64,
    /// Some servers are Apache's: their reads may show more than their zxid says, and a session
    /// may live on that they called expired.
    #[arg(long)]
    apache: bool,
}

impl Arguments {
    const fn settings(&self) -> Settings {
        let &Self { recovery_ms_max, reply_ms_max, touch_ms_max, expiry_ms_max, .. } = self;
        let (exact_zxids, told_expiry_stands) = (!self.apache, !self.apache);
        Settings {
            recovery_ms_max,
            reply_ms_max,
            touch_ms_max,
            expiry_ms_max,
            exact_zxids,
            told_expiry_stands,
        }
    }
}

#[derive(Debug, Error)]
enum ReadError {
    #[error("{path}: {error}")]
    Open { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Line { path: PathBuf, error: history::LineError },
    #[error("the records are no history: {0}")]
    History(#[from] history::HistoryError),
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let history = match read(&arguments.files) {
        Ok(history) => history,
        Err(error) => {
            writeln!(io::stderr(), "{error}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let mut out = io::stdout().lock();
    let violations = check_history(&history, &arguments.settings());
    for violation in &violations {
        writeln!(out, "{violation}")?;
        for line in violation.excerpt(&history) {
            writeln!(out, "    {line}")?;
        }
    }
    writeln!(out, "{} operations, {} violations", history.operations.len(), violations.len())?;
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(files: &[PathBuf]) -> Result<History, ReadError> {
    let mut records = Vec::new();
    for path in files {
        let open = File::open(path);
        let file = open.map_err(|error| ReadError::Open { path: path.clone(), error })?;
        let lines = history::read(BufReader::new(file));
        records.extend(lines.map_err(|error| ReadError::Line { path: path.clone(), error })?);
    }
    Ok(History::of(records)?)
}
