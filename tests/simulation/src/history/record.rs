//! One line of a history: something that happened to one client, or to all.

use menagerie_wire::{ServerId, SessionId, Zxid};
use serde::{Deserialize, Serialize};

use super::ids::{ServerNumber, SessionNumber, ZxidNumber};
use super::operation::{EventKind, Reply, Request};

/// The number in [`Record::client`] of whoever drives the run: faults are its business.
pub const HARNESS: u32 = 0;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub at_ns: u64,
    /// A number that is one client's through the whole run: never in two connections at once.
    pub client: u32,
    #[serde(flatten)]
    pub what: Moment,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A request is sent. `op` is its number, never used again by this client. A request that is
    /// pipelined behind another one has the later record.
    Invoke { op: u64, request: Request },
    /// The reply came. `zxid` is that of its header; errors are wire numbers.
    Return {
        op: u64,
        #[serde(with = "ZxidNumber")]
        zxid: Zxid,
        result: Result<Reply, i32>,
    },
    /// No reply came and none will: the request may or may not have been carried out, and may be
    /// carried out later.
    Lost { op: u64 },
    /// The request never left: it has no effect.
    NotSent { op: u64 },
    /// A watch event came.
    Event {
        #[serde(with = "ZxidNumber")]
        zxid: Zxid,
        kind: EventKind,
        path: String,
    },
    /// A ConnectResponse gave or gave back a session.
    Connected {
        #[serde(with = "SessionNumber")]
        session: SessionId,
        #[serde(with = "ServerNumber")]
        node: ServerId,
        timeout_ms: u64,
        /// Whether the session was there before.
        resumed: bool,
    },
    /// The connection is gone.
    Disconnected,
    /// A server said that the session is no more.
    Expired {
        #[serde(with = "SessionNumber")]
        session: SessionId,
    },
    /// All faults have ended: from here on the ensemble has to recover.
    Healed,
    /// Nobody writes any more: what is read from here on is the outcome of the run.
    Finale,
}

/// Data as text: its bytes, with escapes where they are not printable.
#[must_use]
pub fn text_of(data: &[u8]) -> String {
    data.escape_ascii().to_string()
}
