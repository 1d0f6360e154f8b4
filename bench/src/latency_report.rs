//! `report`: what runs measured, as a page to send on, as pictures, and as histogram files.
//!
//! Everything is made from the JSON that scenarios write with `--json`, so a run is measured once
//! and drawn whenever, beside any other. Nothing is measured here.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `run` | one run, read back |
//! | `plots` | which plots there are, and how runs become lines |
//! | `axis`, `plot`, `colours`, `units` | how a plot looks |
//! | `page` | what surrounds the plots |
//! | `picture`, `logs` | the same as PNG, and histograms in HdrHistogram's formats |

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use crate::error::BenchError;

mod axis;
mod colours;
mod logs;
mod page;
mod picture;
mod plot;
mod plots;
mod run;
mod units;

use self::picture::Painter;
use self::run::Run;

#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("output").required(true).multiple(true)))]
pub struct LatencyReport {
    /// What `--json` wrote, with the name that the run shall have; without, it is the file's
    #[arg(value_name = "[NAME=]FILE", required = true, num_args = 1..=colours::SERIES)]
    runs: Vec<String>,
    /// Write the report as a page: one file, without references
    #[arg(long, value_name = "FILE", group = "output")]
    html: Option<PathBuf>,
    /// Write each plot as SVG and PNG
    #[arg(long, value_name = "DIR", group = "output")]
    plots: Option<PathBuf>,
    /// Write histograms in HdrHistogram's formats: percentiles (.hgrm) and interval logs (.hlog)
    #[arg(long, value_name = "DIR", group = "output")]
    histograms: Option<PathBuf>,
    /// The headline of the page
    #[arg(long, default_value = "Latency report")]
    title: String,
}

impl LatencyReport {
    pub fn write(&self) -> Result<(), BenchError> {
        let runs = self.runs.iter().map(|run| read(run)).collect::<Result<Vec<_>, _>>()?;
        let groups = plots::groups(&runs);
        if let Some(path) = &self.html {
            write(path, page::page(&self.title, &runs, &groups).as_bytes())?;
        }
        if let Some(directory) = &self.plots {
            let painter = Painter::new();
            let caption = page::summary(&runs);
            for plot in groups.iter().flat_map(|group| &group.plots) {
                let svg = plot.standalone(&caption);
                let path = directory.join(format!("{}.svg", plot.name));
                let png = painter.png(&svg).map_err(|why| unreadable(&path, why))?;
                write(&path, svg.as_bytes())?;
                write(&path.with_extension("png"), &png)?;
            }
        }
        if let Some(directory) = &self.histograms {
            for run in &runs {
                write_histograms(directory, run)?;
            }
        }
        Ok(())
    }
}

fn write_histograms(directory: &Path, run: &Run) -> Result<(), BenchError> {
    let name = file_name(&run.label);
    for (operation, measured) in &run.operations {
        let path = directory.join(format!("{name}-{operation}.hgrm"));
        write(&path, logs::hgrm(&measured.latency_ns).as_bytes())?;
    }
    let path = directory.join(format!("{name}.hlog"));
    let log = logs::interval_log(run)
        .map_err(|source| BenchError::File { path: path.clone(), source })?;
    write(&path, &log)
}

/// A run's name as a part of a file's name.
fn file_name(label: &str) -> String {
    let legal = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    label.chars().map(|c| if legal(c) { c } else { '_' }).collect()
}

/// Reads `NAME=FILE`, or `FILE` with the name that the file has.
fn read(run: &str) -> Result<Run, BenchError> {
    let (label, path) = match run.split_once('=') {
        Some((label, path)) if !Path::new(run).exists() => (label.to_owned(), Path::new(path)),
        _ => {
            let path = Path::new(run);
            let stem = path.file_stem().unwrap_or_default();
            (stem.to_string_lossy().into_owned(), path)
        }
    };
    let json = std::fs::read(path)
        .map_err(|source| BenchError::File { path: path.to_path_buf(), source })?;
    let run = Run::parse(label, &json).map_err(|why| unreadable(path, why))?;
    if run.operations.is_empty() {
        return Err(unreadable(path, "no operation was measured".to_owned()));
    }
    Ok(run)
}

fn unreadable(path: &Path, why: String) -> BenchError {
    BenchError::Unreadable { path: path.to_path_buf(), why }
}

/// Writes a file, and the directories above it that are not there.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|source| BenchError::File { path: path.to_path_buf(), source })
}
