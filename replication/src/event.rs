//! What happens to a node: everything it ever learns, it learns from one of these.

use std::sync::Arc;

use menagerie_wire::{ServerId, Zxid};

/// An input of [`crate::Node::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is over and the log ends, durably, at `last_logged`. Answered by the effects that
    /// lead to a role; a node does nothing before it.
    Started { last_logged: Zxid },
    /// The sequencer has judged a write and put it behind all earlier ones. Only a leader gets
    /// this. `txn` is the encoded transaction, digest included.
    Propose { zxid: Zxid, txn: Arc<[u8]> },
    /// Everything up to `zxid` is on this node's disk: the completion of [`crate::Effect::Append`].
    Logged { zxid: Zxid },
    /// A follower has everything up to `zxid` on its disk.
    Ack { from: ServerId, zxid: Zxid },
}
