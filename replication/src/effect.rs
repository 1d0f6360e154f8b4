//! What a node wants done. The order of effects within one step is the order to do them in.

use std::sync::Arc;

use menagerie_wire::{Epoch, Zxid};

/// An output of [`crate::Node::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The node leads: writes may be proposed, the first one as the zxid after `last_zxid`.
    Lead { epoch: Epoch, last_zxid: Zxid },
    /// Put the transaction behind all earlier ones in the log and sync it; comes back as
    /// [`crate::Event::Logged`].
    Append { zxid: Zxid, txn: Arc<[u8]> },
    /// Everything up to `zxid` is on the disks of a quorum: it may be shown to clients.
    Commit { zxid: Zxid },
}

/// Collects the effects of one or more steps. The caller drains it and hands it in again.
pub type Effects = Vec<Effect>;
