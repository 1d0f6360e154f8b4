//! What a turn of the sequencer leaves to be done.
//!
//! Each list is in order. Between the lists nothing has to wait, but for one thing: a job of the
//! disk is behind the transactions that were appended before it, because the log is one queue.

use std::sync::Arc;

use menagerie_engine::tree::Root;
use menagerie_replication::{Epochs, Link, Packet, PeerFault, TxnBytes};
use menagerie_wire::notification::Notification;
use menagerie_wire::{ServerId, Zxid};

use super::message::ToShard;
use super::publication::Publication;

/// What is to be done.
#[derive(Default)]
pub struct Output {
    /// Transactions for the log, in zxid order.
    pub appends: Vec<(Zxid, TxnBytes)>,
    /// Rarer work of the disk, behind the appends.
    pub jobs: Vec<Job>,
    /// Votes for the election port.
    pub votes: Vec<(ServerId, Notification<'static>)>,
    /// Words for the quorum port.
    pub peers: Vec<ToPeer>,
    pub deliveries: Vec<Delivery>,
}

/// News for shards.
pub enum Delivery {
    One(u16, ToShard),
    /// A commit, for every shard.
    All(Arc<Publication>),
}

/// What the quorum port is told. Each is the [`menagerie_replication::Effect`] of its name.
pub enum ToPeer {
    Listen,
    StopListening,
    Connect {
        leader: ServerId,
    },
    Send {
        link: Link,
        packet: Packet,
    },
    Close {
        link: Link,
        fault: Option<PeerFault>,
    },
    /// Send SNAP with `zxid` and the tree of `root`, which is exact at `zxid`.
    SendSnapshot {
        link: Link,
        zxid: Zxid,
        root: Root,
    },
}

/// What the disk is told beside appending. Each is the [`menagerie_replication::Effect`] of its
/// name, and comes back as the event that answers it.
pub enum Job {
    SaveEpochs(Epochs),
    /// Comes back by [`super::Sequencer::on_truncated`]. With `rebuild` the tree has to be read
    /// again from snapshot and log: no root is held from which it could be made.
    Truncate {
        to: Zxid,
        rebuild: bool,
    },
    /// Comes back by [`super::Sequencer::on_installed`].
    ReceiveSnapshot {
        link: Link,
        zxid: Zxid,
    },
    /// `newest` is the state that would be sent instead.
    ReadLog {
        link: Link,
        from: Zxid,
        newest: Root,
    },
    Drain {
        generation: u64,
    },
    /// Write a tree out that is not the leader's, for whoever looks for the reason.
    KeepEvidence(Root),
    /// End the process, with an error.
    Halt,
}

impl Output {
    pub(super) fn tell(&mut self, shard: u16, message: ToShard) {
        self.deliveries.push(Delivery::One(shard, message));
    }
}
