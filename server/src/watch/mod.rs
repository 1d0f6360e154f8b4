//! Watches: who wants to hear of which path, and what they are told.
//!
//! A [`WatchTable`] belongs to one shard and knows only the connections of that shard, by a small
//! local number. It is pure: a change goes in, the connections to notify come out, in the order in
//! which ZooKeeper notifies. Whether a connection may read the node, and how the frame reaches its
//! socket, is the shard's business; a one-shot watch is consumed either way.
//!
//! ```text
//!   path ──hash──► slot { path, watchers: sorted [connection + modes] }
//!                    ▲
//!   connection ──► registry [slot, slot, …]    contains its watches, tidied as it grows
//! ```
//!
//! Budget: a change of a path that nobody watches costs one hash lookup (two when the parent's
//! children change), and nothing while the table is empty; ancestors are looked up only while
//! somebody watches recursively. A watch takes 4 bytes on each side; a path takes its text, one
//! slot and a hash entry, once.

mod event;
mod modes;
mod paths;
mod rearm;
mod registry;
mod table;
mod watchers;

pub use event::encode_event;
pub use modes::WatchKind;
pub use rearm::rearm;
pub use table::{Fired, WatchLimit, WatchSummary, WatchTable};

/// A connection's number inside its shard: dense from 0, and used again after it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u32);

impl ConnId {
    /// Ids are below this: a watcher's modes share its word.
    pub const LIMIT: u32 = 1 << 28;

    /// # Panics
    /// At [`ConnId::LIMIT`]: the kernel's file descriptors end long before.
    pub const fn new(index: u32) -> Self {
        assert!(index < Self::LIMIT, "more connections than a shard can number");
        Self(index)
    }

    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
