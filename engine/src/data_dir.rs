//! Where our files are, who owns them, and the secret that is kept with them.
//!
//! ```text
//! <dataDir>/menagerie/                manifest.a manifest.b lock session.secret snapshot.<zxid>
//! <dataLogDir or dataDir>/menagerie/  lock log.<zxid> spare.<n>
//! ```
//!
//! Apache's files (`version-2/`, `myid`) lie beside this directory and are never touched. One
//! server at a time owns it: the lock is the kernel's (flock), so it cannot outlive its holder; the
//! pid in the file is there to be shown.
//!
//! The session secret keys the MAC that makes session passwords. It appears whole or not at all,
//! and only its owner can read it.
#![deny(unsafe_code)]

use crate::disk::SystemDisk;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Our directory inside dataDir and dataLogDir.
const DIRECTORY: &str = "menagerie";
const LOCK: &str = "lock";
const SECRET: &str = "session.secret";
const SECRET_UNFINISHED: &str = "session.secret.new";
pub const SECRET_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot {what} {}: {error}", path.display())]
    Io { what: &'static str, path: PathBuf, error: io::Error },
    #[error("{} is in use by another server, pid {holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "{} has {bytes} bytes instead of {SECRET_BYTES}: restore it; with another secret \
         all sessions end",
        path.display()
    )]
    SecretDamaged { path: PathBuf, bytes: usize },
}

/// The directories of one server, locked while this lives.
#[derive(Debug)]
pub struct DataDir {
    data: PathBuf,
    log: PathBuf,
    /// Closing them releases the locks.
    _locks: Vec<File>,
}

impl DataDir {
    /// Creates what is missing and takes the locks.
    pub fn open(data_dir: &Path, data_log_dir: Option<&Path>) -> Result<Self, DataDirError> {
        let data = make_directory(data_dir)?;
        let log = data_log_dir.map_or_else(|| Ok(data.clone()), make_directory)?;
        let mut locks = vec![lock(&data)?];
        let same = failed_to("look at", &log, same_directory(&data, &log))?;
        if !same {
            locks.push(lock(&log)?);
        }
        Ok(Self { data, log, _locks: locks })
    }

    /// `<dataDir>/menagerie`
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `<dataLogDir or dataDir>/menagerie`
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The disk for manifest and snapshots.
    pub fn data_disk(&self) -> Result<SystemDisk, DataDirError> {
        let opened = SystemDisk::open_buffered(&self.data, "only the log is written directly");
        failed_to("open", &self.data, opened)
    }

    /// The disk for the log. `synced` is `forceSync`: without it the page cache is the faster
    /// place.
    pub fn log_disk(&self, synced: bool) -> Result<SystemDisk, DataDirError> {
        let opened = if synced {
            SystemDisk::open(&self.log)
        } else {
            SystemDisk::open_buffered(&self.log, "forceSync=no")
        };
        failed_to("open", &self.log, opened)
    }

    /// The secret of this directory, made at the first start.
    pub fn session_secret(&self) -> Result<[u8; SECRET_BYTES], DataDirError> {
        match self.kept_session_secret()? {
            Some(secret) => Ok(secret),
            None => failed_to("create", &self.data.join(SECRET), self.make_secret()),
        }
    }

    /// The secret of this directory, if one was ever made.
    pub fn kept_session_secret(&self) -> Result<Option<[u8; SECRET_BYTES]>, DataDirError> {
        let path = self.data.join(SECRET);
        let kept = failed_to("look for", &path, path.try_exists())?;
        kept.then(|| read_secret(&path)).transpose()
    }

    fn make_secret(&self) -> io::Result<[u8; SECRET_BYTES]> {
        let secret = random::<SECRET_BYTES>()?;
        let unfinished = self.data.join(SECRET_UNFINISHED);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, self.data.join(SECRET))?;
        File::open(&self.data)?.sync_all()?;
        Ok(secret)
    }
}

/// Where the session secret of `data_dir` is kept.
pub fn secret_path(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY).join(SECRET)
}

/// A session secret, wherever it is kept.
pub fn read_secret(path: &Path) -> Result<[u8; SECRET_BYTES], DataDirError> {
    let bytes = failed_to("read", path, std::fs::read(path))?;
    let bytes_read = bytes.len();
    let damaged = |_| DataDirError::SecretDamaged { path: path.to_owned(), bytes: bytes_read };
    bytes.try_into().map_err(damaged)
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn failed_to<T>(what: &'static str, path: &Path, done: io::Result<T>) -> Result<T, DataDirError> {
    done.map_err(|error| DataDirError::Io { what, path: path.to_owned(), error })
}

/// Our directory inside `parent`, durable in its parents too.
fn make_directory(parent: &Path) -> Result<PathBuf, DataDirError> {
    let path = parent.join(DIRECTORY);
    let made = || {
        if !path.is_dir() {
            std::fs::create_dir_all(parent)?;
            DirBuilder::new().recursive(true).mode(0o750).create(&path)?;
            for directory in path.ancestors().skip(1).take(2) {
                // An empty ancestor is the working directory.
                let named =
                    if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
                File::open(named)?.sync_all()?;
            }
        }
        Ok(())
    };
    failed_to("create", &path, made())?;
    Ok(path)
}

fn same_directory(a: &Path, b: &Path) -> io::Result<bool> {
    Ok(a.canonicalize()? == b.canonicalize()?)
}

fn lock(directory: &Path) -> Result<File, DataDirError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = failed_to("open", &path, opened)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            failed_to("read", &path, file.read_to_string(&mut holder))?;
            let holder = match holder.trim() {
                "" => "unknown".to_owned(),
                pid => pid.to_owned(),
            };
            return Err(DataDirError::InUse { path: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return failed_to("lock", &path, Err(error)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    failed_to("write", &path, written)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_server_is_refused_with_the_pid_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let (data, log) = (root.path().join("data"), root.path().join("log"));
        let first = DataDir::open(&data, Some(&log)).unwrap();
        let pid = std::process::id().to_string();
        for attempt in [
            DataDir::open(&data, Some(&log)),
            DataDir::open(&data, None),
            DataDir::open(&root.path().join("other"), Some(&log)),
        ] {
            let Err(DataDirError::InUse { holder, .. }) = attempt else { panic!("not refused") };
            assert_eq!(holder, pid);
        }
        drop(first);
        DataDir::open(&data, Some(&data)).expect("a lock ends with its holder");
    }

    #[test]
    fn the_session_secret_is_made_once_and_is_its_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let directory = DataDir::open(root.path(), None).unwrap();
        std::fs::write(directory.data().join(SECRET_UNFINISHED), b"a crash left this").unwrap();
        assert_eq!(directory.kept_session_secret().unwrap(), None);
        let secret = directory.session_secret().unwrap();
        assert_ne!(secret, [0; SECRET_BYTES]);
        assert_eq!(directory.kept_session_secret().unwrap(), Some(secret));
        assert_eq!(read_secret(&secret_path(root.path())).unwrap(), secret);
        assert_eq!(directory.session_secret().unwrap(), secret);
        let mode = std::fs::metadata(directory.data().join(SECRET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!directory.data().join(SECRET_UNFINISHED).exists());

        std::fs::write(directory.data().join(SECRET), b"short").unwrap();
        let error = directory.session_secret().unwrap_err().to_string();
        assert!(error.contains("5 bytes instead of 32"), "{error}");
    }

    #[test]
    fn apaches_files_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("version-2")).unwrap();
        std::fs::write(root.path().join("myid"), "3\n").unwrap();
        let directory = DataDir::open(root.path(), None).unwrap();
        assert_eq!(directory.log(), root.path().join("menagerie"));
        let mut names: Vec<_> = std::fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["menagerie", "myid", "version-2"]);
        assert_eq!(std::fs::read_dir(root.path().join("version-2")).unwrap().count(), 0);
    }
}
