//! Mistakes that others have made, built into the server so that the simulator can be tried on
//! them: a search that finds none of these would find none of ours.
//!
//! Without the feature `armed`, which only the simulator's package can turn on, [`has`] is a
//! constant `false`, and nothing is left of it. With it, a thread has at most one flaw at a time.
//! The binary of the server does not compile with it.
//!
//! A site is one line, `flaws::has(Flaw::…)`, and this file is the list of them. What a flaw stands
//! for is named by its number at ZooKeeper (ZK) where it has one.
#![forbid(unsafe_code)]

macro_rules! flaws {
    ($($(#[doc = $what:literal])+ $name:ident: $row:literal, $site:literal;)+) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Flaw {
            $($(#[doc = $what])+ $name,)+
        }

        impl Flaw {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Whose mistake it was, and the file in which it is built in.
            #[must_use]
            pub const fn origin(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($row, $site),)+
                }
            }

            /// What is wrong.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($what),+).trim_ascii(),)+
                }
            }
        }
    };
}

flaws! {
    /// A proposal is acknowledged with the sync of the one before it.
    AckBeforeSync: "ZK-4646", "replication/src/broadcast.rs";
    /// NEWLEADER is acknowledged before currentEpoch is durable.
    AckNewLeaderEarly: "ZK-3023", "replication/src/synchronization.rs";
    /// currentEpoch goes to the disk before the history does.
    EpochBeforeHistory: "ZK-4643", "replication/src/synchronization.rs";
    /// A leader counts itself before its own disk has synced.
    LeaderCountsItselfEarly: "ZK-3911", "replication/src/broadcast.rs";
    /// What was sent to followers counts as acknowledged by them.
    CommitByProposals: "ZK-4646", "replication/src/broadcast.rs";
    /// One acknowledgement is enough for a commit.
    CommitByOne: "ZK-3911", "replication/src/broadcast.rs";
    /// A leader begins its reign before a quorum has its history.
    ReignBeforeQuorum: "ZK-3911", "replication/src/synchronization.rs";
    /// A server stands for what it has shown, not for what its log holds.
    StandsForMemory: "ZK-2845", "replication/src/node.rs";
    /// An election does not look at who has the longer history.
    ElectionIgnoresHistory: "ZK-1154", "replication/src/ballot.rs";
    /// TRUNC cuts nothing.
    TruncIgnored: "ZK-2832", "replication/src/synchronization.rs";
    /// What a learner acknowledged counts, though it was then told to cut it off.
    AcksSurviveTrunc: "ZK-1154", "replication/src/synchronization.rs";
    /// A learner whose end is in nobody's history is sent DIFF.
    DiffForStrangers: "ZK-2846", "replication/src/synchronization.rs";
    /// DIFF lacks its first transaction.
    DiffWithHole: "ZK-4925", "replication/src/synchronization.rs";
    /// What is in flight is not sent to a follower that joins.
    InFlightNotSent: "ZK-3104", "replication/src/synchronization.rs";
    /// A follower that joins shows what is in flight.
    InFlightShown: "ZK-4394", "replication/src/synchronization.rs";
    /// A leader goes on when no quorum follows it.
    LeadsWithoutQuorum: "ZK-2247", "replication/src/liveness.rs";
    /// A leader goes on though nothing is committed any more.
    ProgressNotWatched: "ZK-2247", "replication/src/liveness.rs";
    /// A `sync` is answered without asking a quorum whether there is a newer leader.
    SyncWithoutQuorum: "ZK-1675", "replication/src/barrier.rs";
    /// Epochs are promised and not synced.
    PromiseNotSynced: "ZK-335", "engine/src/manifest.rs";
    /// The log is not synced at all.
    CommitNotSynced: "ZK-4646", "engine/src/wal/writer.rs";
    /// What waits for the next sync counts as synced.
    DurableTooFar: "ZK-4646", "engine/src/wal/writer.rs";
    /// A write or a sync that failed is forgotten.
    FailedSyncForgotten: "ZK-4882", "engine/src/wal/writer.rs";
    /// Damage in the middle of the log is taken for its end.
    DamageTakenForEnd: "ZK-1453", "engine/src/wal/reader.rs";
    /// A record that was not written whole is accepted.
    TornRecordAccepted: "ZK-2560", "engine/src/wal/reader.rs";
    /// A snapshot is named as the state before it is synced.
    SnapshotNotSynced: "ZK-2310", "engine/src/snapshot/writer.rs";
    /// A cut is noted and not made.
    CutNotMade: "ZK-3701", "engine/src/recovery.rs";
    /// The end of a session leaves its ephemeral nodes.
    CloseLeavesEphemerals: "ZK-2355", "engine/src/txn/session.rs";
    /// A session that has ended goes on writing.
    ClosedSessionWrites: "ZK-1208", "engine/src/txn/mod.rs";
    /// Whoever applies a multi leaves out its last operation.
    MultiLosesItsEnd: "ZK-3125", "engine/src/txn/multi.rs";
    /// What was cut off the log is applied all the same.
    TailSurvivesCut: "ZK-4712", "server/src/sequencer/roles.rs";
    /// A snapshot that was sent takes the place of the log, not of the tree.
    SnapOnDiskOnly: "ZK-3642", "server/src/sequencer/roles.rs";
    /// The next role does not wait for the disk of the one before.
    DrainNotAwaited: "ZK-4712", "server/src/sequencer/mod.rs";
    /// A new leader lets no session of the old one expire.
    SessionsNotInherited: "X9", "server/src/sequencer/sessions.rs";
    /// Sessions expire whose clients only learners have heard.
    TouchesOfLearnersLost: "X9", "server/src/sequencer/sessions.rs";
    /// A client that has moved is overtaken by its own older requests.
    SessionMovedUnchecked: "SESSIONMOVED", "server/src/sequencer/leading.rs";
    /// A session is called expired without asking a quorum whether there is a newer leader.
    RefusesWithoutQuorum: "ZK-1675", "server/src/sequencer/strangers.rs";
    /// What changed while a client was away is not told.
    SetWatchesForgets: "ZK-1412", "server/src/watch/rearm.rs";
}

#[cfg(feature = "armed")]
mod armed {
    use std::cell::Cell;

    use super::Flaw;

    thread_local! {
        static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
    }

    /// Gives this thread a flaw, or takes it away.
    pub fn set(flaw: Option<Flaw>) {
        FLAW.set(flaw);
    }

    /// Whether this thread makes the mistake.
    #[must_use]
    pub fn has(flaw: Flaw) -> bool {
        FLAW.get() == Some(flaw)
    }
}

#[cfg(feature = "armed")]
pub use armed::{has, set};

/// Whether this thread makes the mistake.
#[cfg(not(feature = "armed"))]
#[must_use]
#[inline(always)]
pub const fn has(_: Flaw) -> bool {
    false
}

/// Whether mistakes can be made at all.
pub const ARMED: bool = cfg!(feature = "armed");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_flaw_is_built_in_where_it_says() {
        for flaw in Flaw::ALL {
            let (_, site) = flaw.origin();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(site);
            let text = std::fs::read_to_string(path).expect("a file of this project");
            assert!(text.contains(&format!("flaws::has(Flaw::{flaw:?})")), "{flaw:?}: {site}");
        }
    }
}
