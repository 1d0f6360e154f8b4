//! The files of this checkout, for the tests that read the project itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Directories that hold no sources of ours.
const FOREIGN: [&str; 4] = ["target", "node_modules", "menagerie-data", "__pycache__"];

/// The root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// All files with this extension (`""`: with none), by path relative to [`root`], sorted.
#[must_use]
pub fn files_with_extension(extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    files.retain(|path| path.extension().unwrap_or_default() == OsStr::new(extension));
    files.sort_unstable();
    files
}

/// The text of a file of [`files_with_extension`]; bytes that are no text are replaced.
///
/// # Panics
/// When the file cannot be read.
#[must_use]
pub fn read(path: &Path) -> String {
    let bytes = std::fs::read(root().join(path));
    let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("the checkout is readable") {
        let entry = entry.expect("the checkout is readable");
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type().expect("the checkout is readable");
        if kind.is_dir() && !hidden && !FOREIGN.iter().any(|foreign| name == *foreign) {
            collect(&entry.path(), files);
        } else if kind.is_file() && !hidden {
            let relative = entry.path();
            let relative = relative.strip_prefix(root()).expect("it was found below the root");
            files.push(relative.to_path_buf());
        }
    }
}
