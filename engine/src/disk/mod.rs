//! What the engine asks of a disk: files in one directory, and commits that never block.
//!
//! Two halves. [`Disk`] and [`DiskFile`] are the slow half: plain blocking calls for start,
//! recovery and housekeeping. [`CommitQueue`] is the hot half: one commit is handed over, its end
//! is seen later. A commit is everything that one batch of the log needs, in one trip: it may first
//! give a prepared file its final name (and make that name durable), then it writes, and with
//! [`Commit::synced`] it is over only when the bytes would survive a power cut.
//!
//! Two disks: [`SystemDisk`] is a directory of the host, its queue is an
//! io_uring ([`uring`]); [`MemoryDisk`] keeps *written* and *synced* apart, can
//! crash with any part of the unsynced sectors, and fails or stalls on demand.
//!
//! It knows nothing about what is in the files, and it never retries.
#![deny(unsafe_code)]

mod buffer;
pub mod memory;
pub mod system;
#[allow(unsafe_code, reason = "owned buffers and names are lent to the kernel by address")]
pub mod uring;

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub use buffer::Buffer;
pub use memory::MemoryDisk;
pub use system::SystemDisk;
pub use uring::RingError;

/// The unit in which log bytes are laid out and written: what direct I/O may ask for at most.
pub const BLOCK_BYTES: usize = 4096;

/// How a file is going to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only, through the page cache.
    Read,
    /// Read and write, through the page cache.
    Write,
    /// A log segment: aligned writes past the page cache, where the file system takes them.
    Log,
}

/// One directory of files, named without any path.
pub trait Disk: Clone + Send + Sync + 'static {
    type File: DiskFile;
    type Queue: CommitQueue<File = Self::File>;

    /// Names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new, empty file; one of that name is emptied.
    fn create(&self, name: &str, access: Access) -> io::Result<Self::File>;
    fn open(&self, name: &str, access: Access) -> io::Result<Self::File>;
    /// Replaces a file named `to`. Durable only after [`Disk::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Durable only after [`Disk::sync_directory`].
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
    /// A queue for the commits of one log.
    fn queue(&self) -> Result<Self::Queue, RingError>;
}

/// An open file. Dropping it closes it.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `bytes` from `offset`, up to the end of the file; returns how many bytes were read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it. A file of [`Access::Log`] wants a [`Buffer`] of whole blocks.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Data and length survive a power cut afterwards (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// The commits of one log: at most one under way.
pub trait CommitQueue: Send + 'static {
    type File: DiskFile;

    /// Starts a commit and returns at once.
    ///
    /// # Panics
    /// When the one before has not been collected yet.
    fn start(&mut self, commit: Commit<Self::File>);
    /// The end of the commit under way, if it has come.
    fn poll(&mut self) -> Option<Finished>;
    /// Blocks until the commit under way has ended; `None` when there is none.
    fn wait(&mut self) -> Option<Finished>;
    /// Becomes readable (8 bytes, blocking mode) with every completion. The reader is the caller:
    /// [`CommitQueue::poll`] does not touch it.
    fn event_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// What one batch of the log needs done, in this order.
pub struct Commit<F> {
    /// First give the file its final name and make the name durable.
    pub adopt: Option<Adoption>,
    pub file: Arc<F>,
    pub buffer: Buffer,
    /// What of the buffer is written: whole blocks.
    pub range: Range<usize>,
    /// Where in the file, in bytes; on a block's boundary.
    pub offset: u64,
    /// Whether the end may be announced only when the bytes survive a power cut.
    pub synced: bool,
}

/// A prepared file becomes a part of the log.
#[derive(Clone, Debug)]
pub struct Adoption {
    pub from: String,
    pub to: String,
}

/// A commit that has ended, and its buffer for the next one.
pub struct Finished {
    pub buffer: Buffer,
    pub result: Result<(), CommitFailure>,
}

/// The first step of a commit that failed.
#[derive(Debug)]
pub struct CommitFailure {
    pub step: Step,
    pub error: io::Error,
}

/// The steps of a commit, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Rename,
    SyncDirectory,
    Write,
    Sync,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rename => "rename",
            Self::SyncDirectory => "sync of the directory",
            Self::Write => "write",
            Self::Sync => "fdatasync",
        })
    }
}

/// Reads exactly `bytes.len()` bytes or says how many there were.
pub(crate) fn read_exact_at(
    file: &impl DiskFile,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        let read = file.read_at(&mut bytes[filled..], offset + filled as u64)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}
