//! What happens to a node: everything it ever learns, it learns from one of these.
//!
//! The host, who does all waiting, owes it four things:
//! - effects of one step are carried out in their order, and what is sent on one link arrives in
//!   that order or the link ends;
//! - the log is one queue: what is done to it is done, and completed, in the order of the effects;
//!   epochs may be saved beside it;
//! - a link's number is never used twice in a process;
//! - `now_ms` never goes back.

use std::sync::Arc;

use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{Epoch, ServerId, SessionId, Zxid};

use crate::history::Entry;
use crate::packet::{ForwardedRequest, Packet, TxnBytes};

/// One connection of the quorum port, numbered by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// The two durable epochs of a node.
///
/// Always `current` ≤ `accepted`, epoch of the last durable zxid ≤ `accepted`, and neither ever
/// goes back. The log may be ahead of `current` after a crash inside synchronization: history
/// becomes durable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Epochs {
    /// The highest epoch promised to a leader. ZooKeeper: file `acceptedEpoch`.
    pub accepted: Epoch,
    /// The epoch whose history is on disk. ZooKeeper: file `currentEpoch`.
    pub current: Epoch,
}

/// What recovery found on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the log, or the snapshot under an empty log, ends.
    pub last_logged: Zxid,
    pub epochs: Epochs,
    /// The end of the log for the history window, as long as is convenient; contiguous, and its
    /// last entry is `last_logged`. May be empty.
    pub tail: Vec<Entry>,
    /// The zxid before the first entry of `tail`; `last_logged` when that is empty.
    pub before_tail: Zxid,
}

impl Recovered {
    /// What a server needs to know that is its own ensemble.
    pub const fn alone(last_logged: Zxid) -> Self {
        let epochs = Epochs { accepted: last_logged.epoch(), current: last_logged.epoch() };
        Self { last_logged, epochs, tail: Vec::new(), before_tail: last_logged }
    }
}

/// Records read from the log on disk for a learner that is behind the history window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The highest zxid of the log that is not above the one asked for.
    pub floor: Zxid,
    /// The records behind `floor`, contiguous, as many as the host likes to read at once.
    pub txns: Vec<Entry>,
}

/// An input of [`crate::Node::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is over. A node does nothing before it.
    Started(Recovered),
    /// [`crate::Node::deadline_ms`] has passed.
    Tick,

    /// A vote came in on the election port, from a connection whose peer is known to be `from`.
    /// `version` is the notification's.
    Notified {
        from: ServerId,
        state: ServerState,
        vote: Vote,
        version: i32,
    },
    /// The configuration that came with a vote, to be told before the vote. A node that has a
    /// leader hears of a later one from that.
    ConfigHeard {
        text: Arc<str>,
    },
    /// The election connection to `peer` works.
    ElectionLinkUp {
        peer: ServerId,
    },
    /// `peer` refuses election connections, or its connection ended: it is taken for down.
    ElectionLinkDown {
        peer: ServerId,
    },

    /// Answers [`crate::Effect::Connect`].
    Connected {
        leader: ServerId,
        link: Link,
    },
    /// Answers [`crate::Effect::Connect`].
    ConnectFailed {
        leader: ServerId,
    },
    /// Somebody connected to this node's quorum port.
    Accepted {
        link: Link,
    },
    Received {
        link: Link,
        packet: Packet,
    },
    /// The link ended without our doing. None comes after our own [`crate::Effect::Close`].
    Closed {
        link: Link,
    },
    /// The last byte of [`crate::Effect::SendSnapshot`] has left.
    SnapshotSent {
        link: Link,
    },
    /// Answers [`crate::Effect::ReadLog`]. `None`: the log does not reach back, or a snapshot costs
    /// less. The host paces a learner by answering when its link has room.
    LogRead {
        link: Link,
        read: Option<LogRead>,
    },

    /// Everything up to `zxid` is on this node's disk: completion of [`crate::Effect::Append`].
    Logged {
        zxid: Zxid,
    },
    /// Completion of [`crate::Effect::SaveEpoch`]; `epochs` are durable.
    EpochSaved {
        epochs: Epochs,
    },
    /// Completion of [`crate::Effect::Truncate`]: where the log ends now, durably. Below the place
    /// asked for, if it held no transaction there.
    Truncated {
        last_logged: Zxid,
    },
    /// The log does not reach back to where [`crate::Effect::Truncate`] wanted it cut, and nothing
    /// has changed: a leader had sent a snapshot that held more than was committed then. The
    /// learner leaves, and asks for all of its leader's tree instead.
    CannotCut {
        to: Zxid,
    },
    /// Completion of [`crate::Effect::ReceiveSnapshot`]; the snapshot is durable and in force, and
    /// the log is empty behind it.
    Installed {
        zxid: Zxid,
    },
    /// Completion of [`crate::Effect::Drain`], with what is on the disk now.
    Drained {
        generation: u64,
        last_logged: Zxid,
        epochs: Epochs,
    },
    /// A write or sync of log, epochs or snapshot failed. The node does nothing any more.
    DiskFailed,
    /// The tree of this learner is not what its leader's is. It leaves, and whoever leads next is
    /// asked for all of it; until that is installed nobody may learn from this node.
    Diverged,

    /// The sequencer of a leader has judged a write and put it behind all earlier ones.
    Propose {
        zxid: Zxid,
        txn: TxnBytes,
    },
    /// A client of this node asks for what needs the leader. On a leader only `sync` comes here;
    /// on a learner everything that is not a read. Answered, for a sync, by
    /// [`crate::Effect::Synced`].
    Request(ForwardedRequest),
    /// Sessions of this node's clients that were used; they go to the leader with the next PING.
    Touched(Vec<Touch>),
    /// A client presents a session that this learner does not own.
    Revalidate(Touch),
    /// Answers [`crate::Effect::Revalidate`].
    RevalidateAnswered {
        link: Link,
        session: SessionId,
        valid: bool,
    },
}
