//! Deliberate faults of the half that waits: what the catalogue of ZooKeeper's bugs tells, done by
//! this world in the place of the server's own waiting half.
//!
//! They show that checkers and schedules find such faults. A world has one of them at most, and
//! only when it is told to. Faults of the pure halves are not among them: those crates have no
//! switch for that.

/// One deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// What is written counts as durable before it is synced.
    AckBeforeSync,
    /// Epochs are said to be saved, and are not.
    EpochsInMemory,
    /// The log is said to be cut, and is not.
    TruncateInMemory,
    /// A leader's snapshot is put in memory, and not on the disk.
    InstallInMemory,
    /// A role ends while commits of its log are under way.
    DrainWithoutWaiting,
    /// A vote tells of a transaction that is not on the disk.
    VoteFromMemory,
    /// A machine comes back with an empty disk, and takes part.
    LostDisk,
    /// A learner is sent the tree of an earlier zxid.
    StaleSnapshot,
    /// A learner sends its client's request twice.
    RequestTwice,
    /// A server answers `sync` by itself.
    SyncAtOnce,
    /// Nobody is told that sessions are used.
    TouchesLost,
    /// One of two shards adopts a publication with the next one only.
    ShardBehind,
}

impl Mutant {
    pub const ALL: [Self; 12] = [
        Self::AckBeforeSync,
        Self::EpochsInMemory,
        Self::TruncateInMemory,
        Self::InstallInMemory,
        Self::DrainWithoutWaiting,
        Self::VoteFromMemory,
        Self::LostDisk,
        Self::StaleSnapshot,
        Self::RequestTwice,
        Self::SyncAtOnce,
        Self::TouchesLost,
        Self::ShardBehind,
    ];

    /// The bugs of Apache ZooKeeper that it is like.
    #[must_use]
    pub const fn like(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ZOOKEEPER-3023, 4646",
            Self::EpochsInMemory => "ZOOKEEPER-335, 1653",
            Self::TruncateInMemory => "ZOOKEEPER-3701",
            Self::InstallInMemory => "ZOOKEEPER-3642",
            Self::DrainWithoutWaiting => "ZOOKEEPER-4712, 4541",
            Self::VoteFromMemory => "ZOOKEEPER-2845, 4882",
            Self::LostDisk => "ZOOKEEPER-2325, 3056",
            Self::StaleSnapshot => "ZOOKEEPER-3104",
            Self::RequestTwice => "ZOOKEEPER-2355",
            Self::SyncAtOnce => "ZOOKEEPER-1675",
            Self::TouchesLost => "ZOOKEEPER-1208",
            Self::ShardBehind => "a shard of ours that tells of the past",
        }
    }
}
