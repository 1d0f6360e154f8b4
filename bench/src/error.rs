//! Why a run ended without a report.
//!
//! Every variant names the server and the numbers that are needed to act. A wrong answer is not
//! here: it is counted as a violation and the run goes on, because the report shall say how many
//! there were.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use menagerie_engine::wal::WalError;
use menagerie_wire::JuteError;
use menagerie_wire::frame::FrameError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum BenchError {
    #[error("cannot open a session at {server}: {source}")]
    Connect { server: SocketAddr, source: io::Error },
    #[error("{server} refused to open a session")]
    Refused { server: SocketAddr },
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Ensemble(String),
    #[error("{server} went away: connection {connection}, {in_flight} requests unanswered ({why})")]
    WentAway { server: SocketAddr, connection: usize, in_flight: usize, why: io::Error },
    #[error("{server} is silent on connection {connection} since {seconds} s")]
    Silent { server: SocketAddr, connection: usize, seconds: u64 },
    #[error("{unanswered} requests are unanswered {seconds} s after the end of the run")]
    Unanswered { unanswered: u64, seconds: u64 },
    #[error("{server} sent a frame that cannot be cut: {source}")]
    Frame { server: SocketAddr, source: FrameError },
    #[error("{server} sent bytes that do not decode: {source}")]
    Jute { server: SocketAddr, source: JuteError },
    #[error(
        "{failed} of {count} requests that prepare or remove the test tree failed (last: {code})"
    )]
    TestTree { failed: u64, count: u32, code: i32 },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no report of a run that can be drawn: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: the field {field} is missing or no number", path.display())]
    ProcField { path: PathBuf, field: &'static str },
    #[error("polling failed: {0}")]
    Poll(#[from] rustix::io::Errno),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("command `{command}`: {why}")]
    Command { command: String, why: String },
}
