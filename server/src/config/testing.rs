//! Configurations out of text: for the tests of this module, which touch no file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Config, ConfigError, Override};

/// Reads `text` as `zoo.cfg`, as if there were the files `beside` and no others.
pub(super) fn load(
    text: &str,
    beside: &[(&str, &str)],
    overrides: &[Override],
) -> Result<Config, ConfigError> {
    let files: BTreeMap<_, _> = beside.iter().copied().chain([("zoo.cfg", text)]).collect();
    let read = |path: &Path| match files.get(path.to_str().expect("plain names")) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Config::load_with(Some(Path::new("zoo.cfg")), "", overrides, &read)
}
