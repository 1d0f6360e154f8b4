//! What a commit brings to the shards: sealed roots, changes to watch, results to answer.
//!
//! A publication is one or more runs. Within a run a shard walks the entries in zxid order,
//! queues the events of each, then fills the writer's slot; after the run it swaps its root. So a
//! client sees its event before its reply, and its reply before anything that it reads later.

use std::sync::atomic::{AtomicU64, Ordering};

use menagerie_engine::tree::Root;
use menagerie_engine::txn::Outcome;
use menagerie_wire::{SessionId, Xid, Zxid};

use crate::sequencer::message::ConnectionKey;

/// Committed transactions, in zxid order.
pub struct Publication {
    /// Counts publications; shards compare it with what they have adopted.
    pub sequence: u64,
    pub runs: Vec<Run>,
    /// When the sequencer knew that a quorum has them. Like all times of its kind here: on the
    /// monotonic clock, for [`crate::admin::stages::Marks`].
    pub committed_us: u64,
}

/// Transactions that become visible together.
pub struct Run {
    /// None when a role begins: the root is new, and nobody watches.
    pub entries: Vec<Entry>,
    /// The tree after the last of them.
    pub root: Root,
    /// When the last of them went to this server's disk.
    pub logged: Logged,
}

/// When a commit of the log began and ended; 0 where it was not waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    pub submitted_us: u64,
    pub durable_us: u64,
}

/// One transaction's effect.
pub struct Entry {
    pub zxid: Zxid,
    pub outcome: Outcome,
    /// Who waits for it: a connection, and what it is to be told.
    pub answer: Option<(ConnectionKey, Answer)>,
    /// When it was judged, or sent to the leader; and when its proposal was here.
    pub judged_us: u64,
    pub proposed_us: u64,
}

/// What the connection that asked is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The result of a write.
    Reply(Xid),
    /// A ConnectResponse with the new session.
    Connected { session: SessionId, timeout_ms: i32 },
    /// The reply of a closeSession, then the end of the connection.
    Closed(Xid),
    /// Nothing: the session expired, the connection ends.
    Expired,
}

/// The sequence of the newest publication that every shard has in its mailbox.
///
/// On a line of its own: every shard reads it at every turn, the sequencer writes it per commit.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Announced(AtomicU64);

impl Announced {
    /// Everything that was enqueued before is seen by who sees `sequence`.
    pub(crate) fn announce(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Release);
    }

    pub fn newest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
