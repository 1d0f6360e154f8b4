//! `disk`: what a bare commit costs on a file system, without any server.
//!
//! Blocks are written one after another to a file that was written before, and each is durable
//! before the next begins. That is the least a durable write can cost there: on a file that is
//! only allocated, or that grows, the file system commits its own records too.
//!
//! `dsync` asks for both in one trip (O_DIRECT with O_DSYNC), `fdatasync` in two.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::fs::OFlags;

use crate::Scenario;
use crate::clock::Nanos;
use crate::cpu::CpuMeter;
use crate::error::BenchError;
use crate::latency::{Operation, Recorder};
use crate::report::Report;
use crate::violations::Violations;

#[derive(Args, Clone, Debug)]
pub struct Disk {
    /// Directory on the file system in question; the file in it is removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Blocks of 4 KiB in each commit
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    blocks: u32,
    #[arg(long, value_enum, default_value_t = Method::Dsync)]
    method: Method,
    /// Length of the measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// How a block becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// pwrite to a file opened with O_DIRECT and O_DSYNC
    Dsync,
    /// pwrite, then fdatasync
    Fdatasync,
}

const BLOCK_BYTES: usize = 4096;
/// The file that is written round and round.
const FILE_BYTES: usize = 64 << 20;

impl Scenario for Disk {
    fn run(&self) -> Result<Report, BenchError> {
        let path = self.dir.join(format!("menagerie-bench-disk-{}", std::process::id()));
        let measured = self.measure(&path);
        let removed = fs::remove_file(&path);
        let report = measured?;
        removed.map_err(|source| BenchError::File { path, source })?;
        Ok(report)
    }
}

impl Disk {
    fn measure(&self, path: &Path) -> Result<Report, BenchError> {
        let file_error = |source| BenchError::File { path: path.to_path_buf(), source };
        let file = self.open_written(path).map_err(file_error)?;
        let memory = vec![b'm'; (self.blocks as usize + 1) * BLOCK_BYTES];
        let block = aligned(&memory, self.blocks as usize * BLOCK_BYTES);

        let mut recorder = Recorder::default();
        let start = Nanos::now();
        let end = start + Duration::from_secs(self.seconds);
        recorder.open(start, end);
        let cpu = CpuMeter::start(&[])?;
        let offsets = (0..=FILE_BYTES - block.len()).step_by(block.len()).cycle();
        for offset in offsets {
            let due = Nanos::now();
            if due >= end {
                break;
            }
            self.commit(&file, block, offset as u64).map_err(file_error)?;
            recorder.record(Operation::Write, due, Nanos::now(), false);
        }

        let mut report = Report::new("disk");
        report.condition("dir", self.dir.to_string_lossy());
        report.condition("commit_bytes", block.len());
        report.condition("method", format!("{:?}", self.method).to_lowercase());
        report.condition("seconds", self.seconds);
        report.measured(&recorder, &cpu.stop()?, &Violations::default());
        Ok(report)
    }

    /// A file whose every block was written and synced once.
    fn open_written(&self, path: &Path) -> io::Result<File> {
        fs::write(path, vec![0; FILE_BYTES])?;
        File::open(path)?.sync_all()?;
        let flags = match self.method {
            Method::Dsync => OFlags::DIRECT | OFlags::DSYNC,
            Method::Fdatasync => OFlags::empty(),
        };
        let flags = flags.bits().cast_signed();
        OpenOptions::new().write(true).custom_flags(flags).open(path)
    }

    fn commit(&self, file: &File, block: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(block, offset)?;
        match self.method {
            Method::Dsync => Ok(()),
            Method::Fdatasync => file.sync_data(),
        }
    }
}

/// `len` bytes of `memory` from its first block boundary, as O_DIRECT wants them.
fn aligned(memory: &[u8], len: usize) -> &[u8] {
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    &memory[start..start + len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_starts_at_a_boundary_and_is_whole() {
        let memory = vec![0; 3 * BLOCK_BYTES];
        let block = aligned(&memory, 2 * BLOCK_BYTES);
        assert_eq!(block.as_ptr().align_offset(BLOCK_BYTES), 0);
        assert_eq!(block.len(), 2 * BLOCK_BYTES);
    }
}
