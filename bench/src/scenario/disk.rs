//! `disk`: what a bare commit costs on a file system, without any server.
//!
//! Blocks are written one after another to a file that was written before, and each is durable
//! before the next begins. That is the least a durable write can cost there: on a file that is
//! only allocated, or that grows, the file system commits its own records too.
//!
//! `dsync` asks for both in one trip (O_DIRECT with O_DSYNC), `fdatasync` in two; `log` commits
//! records of that size through the engine's own log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use menagerie_engine::disk::SystemDisk;
use menagerie_engine::wal::pool::Preallocator;
use menagerie_engine::wal::record::{BATCH_HEADER_BYTES, RECORD_HEADER_BYTES};
use menagerie_engine::wal::{LogEnd, SegmentPool, Settings, WalError, Writer};
use rustix::fs::OFlags;

use crate::Scenario;
use crate::clock::Nanos;
use crate::cpu::CpuMeter;
use crate::error::BenchError;
use crate::latency::{Operation, Recorder};
use crate::progress::Progress;
use crate::report::Report;
use crate::violations::Violations;

#[derive(Args, Clone, Debug)]
pub struct Disk {
    /// Directory on the file system in question; what is written there is removed afterwards
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
    /// The engine's log, one record per commit
    Log,
}

const BLOCK_BYTES: usize = 4096;
/// The file that is written round and round.
const FILE_BYTES: usize = 64 << 20;

impl Scenario for Disk {
    fn run(&self) -> Result<Report, BenchError> {
        let dir = self.dir.join(format!("menagerie-bench-disk-{}", std::process::id()));
        let made = fs::create_dir(&dir);
        made.map_err(|source| BenchError::File { path: dir.clone(), source })?;
        let measured = match self.method {
            Method::Dsync => self.measure_file(&dir, OFlags::DIRECT | OFlags::DSYNC),
            Method::Fdatasync => self.measure_file(&dir, OFlags::empty()),
            Method::Log => self.measure_log(&dir),
        };
        let removed = fs::remove_dir_all(&dir);
        let report = measured?;
        removed.map_err(|source| BenchError::File { path: dir, source })?;
        Ok(report)
    }
}

impl Disk {
    fn commit_bytes(&self) -> usize {
        self.blocks as usize * BLOCK_BYTES
    }

    fn measure_file(&self, dir: &Path, flags: OFlags) -> Result<Report, BenchError> {
        let path = dir.join("blocks");
        let file_error = |source| BenchError::File { path: path.clone(), source };
        let file = open_written(&path, flags).map_err(file_error)?;
        let memory = vec![b'm'; self.commit_bytes() + BLOCK_BYTES];
        let block = aligned(&memory, self.commit_bytes());
        let mut offsets = (0..=FILE_BYTES - block.len()).step_by(block.len()).cycle();
        let synced = flags.contains(OFlags::DSYNC);
        self.measure(|| {
            let offset = offsets.next().unwrap_or(0) as u64;
            file.write_all_at(block, offset).map_err(file_error)?;
            if synced { Ok(()) } else { file.sync_data().map_err(file_error) }
        })
    }

    fn measure_log(&self, dir: &Path) -> Result<Report, BenchError> {
        let disk = SystemDisk::open(dir)
            .map_err(|source| BenchError::File { path: dir.into(), source })?;
        let pool = SegmentPool::open(disk.clone(), FILE_BYTES as u64)?;
        let _spares = Preallocator::spawn(pool.clone())
            .map_err(|source| BenchError::File { path: dir.into(), source })?;
        let settings = Settings { synced: true, nonce_seed: u64::from(std::process::id()) };
        let mut log = Writer::open(disk, pool, &LogEnd::default(), settings)?;
        let record = vec![b'm'; self.commit_bytes() - BATCH_HEADER_BYTES - RECORD_HEADER_BYTES];
        self.measure(|| {
            log.append(log.last_zxid().next(), &record)?;
            log.flush()?;
            Ok::<_, WalError>(())
        })
    }

    /// Commits one after another until the time is over.
    fn measure<E>(&self, mut commit: impl FnMut() -> Result<(), E>) -> Result<Report, BenchError>
    where
        BenchError: From<E>,
    {
        let mut recorder = Recorder::default();
        let start = Nanos::now();
        let end = start + Duration::from_secs(self.seconds);
        recorder.open(start, end);
        let _progress = Progress::timed("commits", end.since(start));
        let cpu = CpuMeter::start(&[])?;
        loop {
            let due = Nanos::now();
            if due >= end {
                break;
            }
            commit()?;
            recorder.record(Operation::Write, due, Nanos::now(), false);
        }
        let mut report = Report::new("disk");
        report.condition("dir", self.dir.to_string_lossy());
        report.condition("commit_bytes", self.commit_bytes());
        report.condition("method", format!("{:?}", self.method).to_lowercase());
        report.condition("seconds", self.seconds);
        report.measured(&recorder, &cpu.stop()?, &Violations::default());
        Ok(report)
    }
}

/// A file whose every block was written and synced once.
fn open_written(path: &Path, flags: OFlags) -> io::Result<File> {
    fs::write(path, vec![0; FILE_BYTES])?;
    File::open(path)?.sync_all()?;
    let flags = flags.bits().cast_signed();
    OpenOptions::new().write(true).custom_flags(flags).open(path)
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
