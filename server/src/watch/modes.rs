//! How one connection watches one path: a set of modes in four bits.
//!
//! ZooKeeper keeps two tables, DATA and CHILD, each with the modes standard, persistent and
//! recursive. A persistent watch always stands in both and a recursive one only in DATA, so four
//! bits say everything and one table is enough.
// ZooKeeper: DataTree.addWatch, WatcherMode, WatchManager.

use menagerie_wire::proto::{AddWatchMode, WatcherType};

/// A set of modes; empty is "does not watch".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    /// Left by getData and exists; consumed by its event.
    pub(super) const DATA: Self = Self(1);
    /// Left by getChildren; consumed by its event.
    pub(super) const CHILD: Self = Self(2);
    /// Left by addWatch; stays.
    pub(super) const PERSISTENT: Self = Self(4);
    /// Left by addWatch; stays, and hears of every path below.
    pub(super) const RECURSIVE: Self = Self(8);

    pub(super) const STANDARD: Self = Self::DATA.with(Self::CHILD);
    /// What stands in ZooKeeper's DATA table.
    pub(super) const DATA_TABLE: Self = Self::DATA.with(Self::PERSISTENT).with(Self::RECURSIVE);
    /// What stands in ZooKeeper's CHILD table.
    pub(super) const CHILD_TABLE: Self = Self::CHILD.with(Self::PERSISTENT);
    pub(super) const ALL: Self = Self::DATA_TABLE.with(Self::CHILD_TABLE);

    pub(super) const BITS: u32 = 4;

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self((bits & ((1 << Self::BITS) - 1)) as u8)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What checkWatches and removeWatches mean by `kind`.
    pub(super) const fn of_type(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Self::CHILD,
            WatcherType::Data => Self::DATA,
            WatcherType::Any => Self::ALL,
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }
}

/// What a request leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// getData, or exists, whether or not the node is there.
    Data,
    /// getChildren and getChildren2.
    Child,
    /// addWatch 0.
    Persistent,
    /// addWatch 1.
    Recursive,
}

impl From<AddWatchMode> for WatchKind {
    fn from(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::Recursive,
        }
    }
}

impl From<WatchKind> for Modes {
    fn from(kind: WatchKind) -> Self {
        match kind {
            WatchKind::Data => Self::DATA,
            WatchKind::Child => Self::CHILD,
            WatchKind::Persistent => Self::PERSISTENT,
            WatchKind::Recursive => Self::RECURSIVE,
        }
    }
}
