//! Waits for the log's completions: an eventfd of the log's own ring, read through the reactor.
//!
//! glommio exposes no eventfd of its reactor, so the log's ring signals one of its own and this
//! core reads it. That keeps a commit on the core that submitted it: no thread, no context switch.

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::{fmt, io};

use glommio::io::BufferedFile;

/// The readable side of an eventfd.
pub struct LogEvent(BufferedFile);

impl fmt::Debug for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogEvent")
    }
}

/// Wakes whoever waits for completions of this eventfd.
pub fn ring(fd: BorrowedFd<'_>) {
    // A counter that is full wakes as well.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

impl LogEvent {
    /// Watches `fd`, an eventfd in blocking mode. Must be called on the core that waits.
    ///
    /// # Errors
    /// When the process has no file descriptor left for a duplicate.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let owned = fd.try_clone_to_owned()?;
        // SAFETY: the duplicate was just made and is given up here, so the file is its only owner.
        Ok(Self(unsafe { BufferedFile::from_raw_fd(owned.into_raw_fd()) }))
    }

    /// Waits for at least one completion since the last call.
    ///
    /// # Errors
    /// Those of reading the eventfd; none is expected while it is open.
    pub async fn completed(&self) -> io::Result<()> {
        self.0.read_at(0, 8).await.map(|_| ()).map_err(io::Error::from)
    }
}
