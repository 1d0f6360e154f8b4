//! The facts that the four-letter words tell, before they are text.
//!
//! A probe fills them from shards and sequencer. Reports of several shards merge by adding up, by
//! extending lists, or as the methods here say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use menagerie_wire::{OpCode, SessionId, Zxid};

use super::metrics::Sizes;

/// What the server is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Standalone,
    /// A member that knows of no leader. It serves nobody, and no word tells of it.
    Looking,
    Leader,
    Follower,
    Observer,
    /// A member without quorum that serves read-only clients.
    ReadOnly,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Looking => "looking",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::ReadOnly => "read-only",
        }
    }
}

/// Milliseconds from a request's arrival to its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyReport {
    pub min_ms: u64,
    /// With four digits after the point.
    pub avg_ms: f64,
    pub max_ms: u64,
}

/// The figures of `srvr`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerReport {
    pub mode: Mode,
    pub latency: LatencyReport,
    pub packets_received: u64,
    pub packets_sent: u64,
    pub connections: usize,
    /// Requests taken from a socket whose reply is not on its way yet.
    pub outstanding_requests: usize,
    pub last_zxid: Zxid,
    pub node_count: u64,
    /// Of what a leader has proposed.
    pub proposal_sizes: Sizes,
}

/// One connection, as `cons` and `stat` show it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionReport {
    pub remote: SocketAddr,
    /// Whether the server reads from it, and whether it has bytes to write to it: Java's
    /// `interestOps`.
    pub reading: bool,
    pub writing: bool,
    pub outstanding_requests: usize,
    pub packets_received: u64,
    pub packets_sent: u64,
    /// `None` before the handshake, and for the probe itself.
    pub session: Option<SessionReport>,
}

/// The session of a connection and its last request.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    pub id: SessionId,
    /// `None` before the first one.
    pub last_op: Option<OpCode>,
    /// Wall clock.
    pub established_ms: i64,
    pub timeout_ms: i32,
    /// Negative ones are not shown, as those are not a client's own.
    pub last_cxid: i32,
    pub last_zxid: Zxid,
    /// Milliseconds of the server's monotonic clock.
    pub last_response_ms: u64,
    pub last_latency_ms: u64,
    pub latency: LatencyReport,
}

/// The sessions of `dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsReport {
    /// By the time at which they would end, in milliseconds since 1970: what a leader knows.
    ByDeadline(BTreeMap<i64, Vec<SessionId>>),
    /// With their timeouts in milliseconds, in order of their ids: what a learner knows.
    WithTimeout(Vec<(SessionId, i32)>),
}

/// What `dump` shows. Deadlines are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpReport {
    pub sessions: SessionsReport,
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
    /// Connections by the time at which their silence would end them.
    pub connections: BTreeMap<i64, Vec<(SocketAddr, SessionId)>>,
}

/// Who watches what, for `wchc` and `wchp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchReport {
    by_path: BTreeMap<String, Vec<SessionId>>,
}

impl WatchReport {
    /// Adds the sessions of one shard that watch `path`.
    pub fn add(&mut self, path: &str, sessions: impl Iterator<Item = SessionId>) {
        match self.by_path.get_mut(path) {
            Some(known) => known.extend(sessions),
            None => {
                self.by_path.insert(path.to_owned(), sessions.collect());
            }
        }
    }

    /// Takes over what another shard has collected.
    pub fn merge(&mut self, other: Self) {
        for (path, sessions) in other.by_path {
            self.by_path.entry(path).or_default().extend(sessions);
        }
    }

    pub(super) fn by_path(&self) -> impl Iterator<Item = (&str, &[SessionId])> {
        self.by_path.iter().map(|(path, sessions)| (path.as_str(), sessions.as_slice()))
    }

    pub(super) fn by_session(&self) -> BTreeMap<SessionId, Vec<&str>> {
        let mut by_session: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
        for (path, sessions) in self.by_path() {
            for &session in sessions {
                by_session.entry(session).or_default().push(path);
            }
        }
        by_session
    }
}
