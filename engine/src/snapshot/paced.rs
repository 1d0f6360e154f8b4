//! Writing a large file without being in the way of the log on the same disk.
//!
//! A file that is written at full speed and then synced makes the kernel collect hundreds of
//! megabytes of dirty pages and write them all at once, and every commit of the log waits behind.
//! So the file is written in small pieces at a bounded rate; each piece is sent to the disk at
//! once, and no more than a window of them is on its way. The sync at the end has little to do.
//!
//! The one unsafe call of this module is `sync_file_range(2)`, which is not in the standard
//! library.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Written at once, and then sent on its way.
const PIECE_BYTES: usize = 256 << 10;
/// On its way to the disk at any time, and where nobody else waits for it.
const WINDOW_BYTES: u64 = 2 << 20;
const UNPACED_WINDOW_BYTES: u64 = 32 << 20;
/// Longest time asleep before the stop flag is looked at again.
const NAP: Duration = Duration::from_millis(20);
/// Far below what a disk can do, and a gigabyte in a quarter of a minute.
const BYTES_PER_S: u64 = 64 << 20;

/// How fast a snapshot may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// `None`: as fast as the disk takes it, in pieces all the same.
    pub bytes_per_s: Option<u64>,
    /// When the writing is given up.
    pub until: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes_per_s: Some(BYTES_PER_S), until: None }
    }
}

impl Pace {
    /// For a server that is not serving.
    pub const UNPACED: Self = Self { bytes_per_s: None, until: None };

    /// For a server that is not serving any more, and is to have ended by then.
    pub const fn until(deadline: Instant) -> Self {
        Self { bytes_per_s: None, until: Some(deadline) }
    }
}

/// A file that is written at a pace, from its beginning.
pub(super) struct PacedFile<'a> {
    file: File,
    pace: Pace,
    stop: &'a AtomicBool,
    started: Instant,
    written: u64,
}

/// Why the writing ended early.
pub(super) enum Interrupted {
    Stopped,
    Io(io::Error),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<'a> PacedFile<'a> {
    pub(super) fn new(file: File, pace: Pace, stop: &'a AtomicBool) -> Self {
        Self { file, pace, stop, started: Instant::now(), written: 0 }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        let paced = self.pace.bytes_per_s.is_some();
        let window = if paced { WINDOW_BYTES } else { UNPACED_WINDOW_BYTES };
        for piece in bytes.chunks(PIECE_BYTES) {
            self.wait_for_turn()?;
            self.file.write_all(piece)?;
            let from = self.written;
            self.written += piece.len() as u64;
            send(&self.file, from, piece.len() as u64, libc::SYNC_FILE_RANGE_WRITE)?;
            if let Some(end) = self.written.checked_sub(window) {
                let older = end.saturating_sub(piece.len() as u64);
                let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE
                    | libc::SYNC_FILE_RANGE_WRITE
                    | libc::SYNC_FILE_RANGE_WAIT_AFTER;
                send(&self.file, older, end - older, wait)?;
            }
        }
        Ok(())
    }

    /// Makes the whole file durable.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.file.sync_all()?;
        Ok(self.written)
    }

    fn wait_for_turn(&self) -> Result<(), Interrupted> {
        loop {
            let late = self.pace.until.is_some_and(|until| Instant::now() >= until);
            if late || self.stop.load(Ordering::Relaxed) {
                return Err(Interrupted::Stopped);
            }
            let Some(rate) = self.pace.bytes_per_s else { return Ok(()) };
            let due = Duration::from_secs_f64(self.written as f64 / rate.max(1) as f64);
            let early = due.saturating_sub(self.started.elapsed());
            if early.is_zero() {
                break;
            }
            thread::sleep(early.min(NAP));
        }
        // Where there is no core to spare, the others go first.
        thread::yield_now();
        Ok(())
    }
}

/// Sends a range to the disk, or waits for it. Says nothing about durability.
fn send(file: &File, from: u64, len: u64, flags: libc::c_uint) -> io::Result<()> {
    let (from, len) = (from as libc::off64_t, len as libc::off64_t);
    // SAFETY: a call on an open descriptor; no memory is passed.
    if unsafe { libc::sync_file_range(file.as_raw_fd(), from, len, flags) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Some file systems and sandboxes do not have it: the sync at the end does all.
        Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP | libc::ESPIPE | libc::EPERM) => Ok(()),
        // Writing failed, and the sync at the end might not tell again.
        _ => Err(error),
    }
}
