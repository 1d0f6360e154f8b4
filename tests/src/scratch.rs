//! A directory of its own for each server under test: removed when the test passes, kept when it
//! fails, so that the log and the data can be looked at.

use std::path::Path;
use tempfile::TempDir;

/// A fresh directory under the system's temporary directory (`TMPDIR`).
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// # Panics
    /// When the temporary directory cannot be written.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let prefix = format!("menagerie-test-{name}-");
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir();
        Self { dir: dir.expect("the system's temporary directory is writable") }
    }

    /// Keeps the directory although nothing has panicked.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for inspection: {}", self.dir.path().display());
            self.dir.disable_cleanup(true);
        }
    }
}
