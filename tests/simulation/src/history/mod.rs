//! Histories: what clients asked, what they were told, and when.
//!
//! A recorder writes one [`Record`] for each moment: a request leaves, a reply or an event comes, a
//! connection is made or lost. Records are lines of JSON ([`read`], [`write`]), so a recorder that
//! is killed loses at most its last line, and a request without an end is one whose outcome is not
//! known. [`History::of`] puts the records of all recorders together and pairs requests with their
//! ends; checkers see only that.
//!
//! What a recorder must keep to:
//! - all times are of one clock (`CLOCK_MONOTONIC` of one machine, or the simulation's);
//! - the records of one client are in the order in which they happened; replies and events in the
//!   order in which they came over the wire;
//! - a reply is what the *server* said. What a client library makes up (connection loss, time-outs,
//!   "expired" for requests on their way) is [`Moment::Lost`];
//! - a client that gives up on a request gives up its connection;
//! - the run begins with an empty tree, and everything that writes is recorded;
//! - text that stands for data is equal if and only if the data is ([`text_of`] will do).
//!
//! Requests whose reply says nothing of the tree (auth, getACL, setACL) are not part of a history.

mod change;
mod ids;
mod index;
mod json_lines;
mod operation;
mod record;
#[cfg(test)]
pub(crate) mod script;
mod sight;

pub use change::{Change, ChangeKind};
pub use index::{Connection, End, History, HistoryError, Operation, Point, Session};
pub use index::{OnWire, OpIndex, SeenEvent};
pub use json_lines::{LineError, read, write};
pub use operation::{CreateMode, EventKind, NodeStat, Reply, Request, WatchedBy, Write};
pub use record::{HARNESS, Moment, Record, text_of};
pub use sight::{Found, Sight};
