//! A directory of the host as a [`Disk`].
//!
//! Log segments are opened for direct I/O. A file system that refuses it (some overlays, FUSE, old
//! tmpfs) is found out at once, by a trial in the directory itself when the disk is opened; the log
//! then writes through the page cache and every commit ends with an fdatasync linked to the write.
//! Which of both it is, and why, is kept for the operator ([`SystemDisk::mode`]).

use super::uring::{Ring, RingError};
use super::{Access, BLOCK_BYTES, Buffer, Disk, DiskFile};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the bytes of a commit reach the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Past the page cache; one write with RWF_DSYNC is a whole commit.
    Direct,
    /// Through the page cache, an fdatasync linked behind; says why.
    Buffered { reason: String },
}

/// One directory of the host. Clones share it.
#[derive(Clone)]
pub struct SystemDisk(Arc<Directory>);

struct Directory {
    path: PathBuf,
    handle: File,
    mode: Mode,
}

impl SystemDisk {
    /// The directory must exist. Leaves no file behind.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mode = match try_direct(path) {
            Ok(()) => Mode::Direct,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Mode::Buffered { reason: format!("direct I/O is refused in {}", path.display()) }
            }
            Err(error) => return Err(error),
        };
        Self::with_mode(path, mode)
    }

    /// Without direct I/O whatever the file system could do, for a log that is not synced anyway.
    pub fn open_buffered(path: &Path, reason: &str) -> io::Result<Self> {
        Self::with_mode(path, Mode::Buffered { reason: reason.to_owned() })
    }

    fn with_mode(path: &Path, mode: Mode) -> io::Result<Self> {
        let handle = File::open(path)?;
        Ok(Self(Arc::new(Directory { path: path.to_owned(), handle, mode })))
    }

    pub fn mode(&self) -> &Mode {
        &self.0.mode
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn open_with(&self, name: &str, access: Access, create: bool) -> io::Result<SystemFile> {
        let direct = access == Access::Log && self.0.mode == Mode::Direct;
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).create(create).truncate(create);
        if direct {
            options.custom_flags(libc::O_DIRECT);
        }
        Ok(SystemFile { file: options.open(self.0.path.join(name))?, direct })
    }
}

/// Writes and removes one block past the page cache.
fn try_direct(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!("direct-io-trial.{}", std::process::id()));
    let tried = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
        options.open(&path)?.write_all_at(&Buffer::zeroed(BLOCK_BYTES), 0)
    })();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tried.and(Err(error)),
        _ => tried,
    }
}

impl Disk for SystemDisk {
    type File = SystemFile;
    type Queue = Ring;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0.path)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, access: Access) -> io::Result<SystemFile> {
        self.open_with(name, access, true)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<SystemFile> {
        self.open_with(name, access, false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.path.join(from), self.0.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.handle.sync_all()
    }

    fn queue(&self) -> Result<Ring, RingError> {
        Ring::new(self.clone())
    }
}

impl AsRawFd for SystemDisk {
    fn as_raw_fd(&self) -> RawFd {
        self.0.handle.as_raw_fd()
    }
}

/// A file of a [`SystemDisk`].
pub struct SystemFile {
    file: File,
    direct: bool,
}

impl SystemFile {
    /// Whether writes go past the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }
}

impl AsRawFd for SystemFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl DiskFile for SystemFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
