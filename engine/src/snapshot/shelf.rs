//! Where the snapshots of one server are kept: a directory of the host, or a disk in memory.
//!
//! The files have the names and bytes of `snapshot/mod.rs` in both; listing and removing them is
//! the disk's. So what is decided about snapshots can be tried on a disk that crashes.
#![deny(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use menagerie_wire::Zxid;

use super::{Pace, SnapshotError, io_error, mapped, writer};
use crate::disk::{Access, Disk, DiskFile, MemoryDisk, read_exact_at};
use crate::recovery::snapshot_file_name;
use crate::tree::{Root, Tree};

/// Writes and reads whole snapshots. Clones are the same place.
pub trait Snapshots: Clone + Send + Sync + 'static {
    /// Writes `root` out, in a file named `unfinished` until it is complete and durable. Setting
    /// `stop` ends it early.
    fn write(
        &self,
        root: &Root,
        unfinished: &str,
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<(), SnapshotError>;
    /// The tree that the snapshot at `zxid` holds.
    fn load(&self, zxid: Zxid) -> Result<Tree, SnapshotError>;
}

/// The data directory of a server.
#[derive(Clone, Debug)]
pub struct SnapshotDirectory {
    pub path: PathBuf,
    /// Threads that read a snapshot side by side.
    pub threads: usize,
}

impl Snapshots for SnapshotDirectory {
    fn write(
        &self,
        root: &Root,
        unfinished: &str,
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<(), SnapshotError> {
        writer::write_as(root, &self.path, unfinished, pace, stop).map(|_| ())
    }

    fn load(&self, zxid: Zxid) -> Result<Tree, SnapshotError> {
        mapped::load(&self.path.join(snapshot_file_name(zxid)), self.threads)
    }
}

impl Snapshots for MemoryDisk {
    fn write(
        &self,
        root: &Root,
        unfinished: &str,
        _: Pace,
        stop: &AtomicBool,
    ) -> Result<(), SnapshotError> {
        if stop.load(Ordering::Relaxed) {
            return Err(SnapshotError::Stopped);
        }
        writer::write_on(self, root, unfinished)
    }

    fn load(&self, zxid: Zxid) -> Result<Tree, SnapshotError> {
        let name = snapshot_file_name(zxid);
        let path = Path::new(&name);
        let file = self.open(&name, Access::Read).map_err(io_error("open", path))?;
        let mut bytes = vec![0; file.bytes().map_err(io_error("measure", path))? as usize];
        read_exact_at(&file, &mut bytes, 0).map_err(io_error("read", path))?;
        mapped::read(&bytes, 1)
    }
}
