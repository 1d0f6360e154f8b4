//! Why a configuration cannot be used: always the operator's to mend, so always with the place.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A start that the configuration stops. The process exits with code 2.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{}:{line}: \\u must be followed by four hexadecimal digits", file.display())]
    MalformedEscape { file: PathBuf, line: usize },
    #[error("{origin}: {key}={value}: expected {expected}")]
    Value { origin: Origin, key: String, value: String, expected: String },
    #[error("{}: {key} is not set: expected {expected}", file.display())]
    Missing { file: PathBuf, key: &'static str, expected: &'static str },
    #[error("minSessionTimeout is {min_ms} ms: expected at most maxSessionTimeout, {max_ms} ms")]
    SessionTimeouts { min_ms: i32, max_ms: i32 },
    #[error("{origin}: {what}")]
    Members { origin: Origin, what: String },
    #[error("{}: {found}: expected {expected}", file.display())]
    MyId { file: PathBuf, found: String, expected: String },
}

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File {
        file: PathBuf,
        line: usize,
    },
    /// A `-Dname=value` word of the environment variable `SERVER_JVMFLAGS`.
    JvmFlags,
    /// The option's name, as it was typed.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::JvmFlags => f.write_str("SERVER_JVMFLAGS"),
            Self::CommandLine(option) => write!(f, "command line, {option}"),
        }
    }
}
