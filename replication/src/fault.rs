//! Why a role ended, and why a peer was shown the door.

use menagerie_wire::{Epoch, ServerId, Zxid};
use thiserror::Error;

/// Why a node left its role. It looks for a leader next, except after [`Departure::DiskFailed`] and
/// [`Departure::Unfit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Departure {
    #[error("no quorum has said its acceptedEpoch within initLimit")]
    NoEpoch,
    #[error("too few voters are left that may still follow")]
    Deserted,
    #[error("no quorum has accepted epoch {0} within initLimit")]
    EpochNotAccepted(Epoch),
    #[error("no quorum has the history of epoch {0} within initLimit")]
    NotSynchronized(Epoch),
    #[error("fewer than a quorum were heard of for syncLimit")]
    QuorumLost,
    #[error("proposals wait for this node's disk for {waiting_ms} ms")]
    DiskStuck { waiting_ms: u64 },
    #[error("proposals wait for their commit for {waiting_ms} ms")]
    CommitStuck { waiting_ms: u64 },
    #[error("epoch {0} has used up its zxids")]
    ZxidRollover(Epoch),
    #[error("server {sid} has promised epoch {accepted}, this reign is of {epoch}")]
    EpochSurpassed { sid: ServerId, accepted: Epoch, epoch: Epoch },
    #[error("a write or sync of the log failed")]
    DiskFailed,
    #[error("the tree is not what leader {0} has")]
    Diverged(ServerId),
    #[error("leader {0}'s history ends at {1}, and the log does not reach back to there")]
    CannotCut(ServerId, Zxid),
    #[error("elected to lead with a tree that is not what its history makes")]
    Unfit,
    #[error("leader {0} cannot be reached")]
    LeaderUnreachable(ServerId),
    #[error("leader {0} was silent for {1} ms")]
    LeaderSilent(ServerId, u64),
    #[error("the connection to leader {0} ended")]
    LeaderGone(ServerId),
    #[error("leader {0} broke the protocol: {1}")]
    LeaderMisbehaved(ServerId, PeerFault),
}

/// What a peer did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeerFault {
    #[error("a packet that has no place here")]
    Unexpected,
    #[error("server {0} has no such place in the configuration")]
    NotAMember(ServerId),
    #[error("its configuration {its} is newer than {ours}")]
    NewerConfig { its: Zxid, ours: Zxid },
    #[error("epoch {0} is beyond all bounds")]
    EpochOutOfRange(Epoch),
    #[error("epoch {offered} is offered, {accepted} is accepted already")]
    EpochBehind { offered: Epoch, accepted: Epoch },
    #[error("it is at {zxid} of epoch {epoch}, ahead of its leader")]
    Ahead { epoch: Epoch, zxid: Zxid },
    #[error("{got} does not follow {last}")]
    Gap { last: Zxid, got: Zxid },
    #[error("commit of {got}, where {expected:?} is due")]
    CommitOutOfOrder { expected: Option<Zxid>, got: Zxid },
    #[error("acknowledgement of {got}, the last proposal is {last}")]
    AckOfNothing { got: Zxid, last: Zxid },
    #[error("{to} is below {committed}, which is committed")]
    CommittedForgotten { to: Zxid, committed: Zxid },
    #[error("{to} is beyond the end of the log, {last}")]
    CutBeyondEnd { to: Zxid, last: Zxid },
    #[error("this log holds nothing at {0}")]
    CutWhereNothingIs(Zxid),
    #[error("the log between its history and ours cannot be read any more")]
    LogGone,
    #[error("the membership changes at {0}, which this node cannot follow")]
    Reconfigured(Zxid),
    #[error("it asks for more syncs than anybody can wait for")]
    TooManySyncs,
    #[error("it said nothing in time")]
    Silent,
    #[error("it does not acknowledge proposals")]
    NoProgress,
    #[error("another connection of the same server took its place")]
    Replaced,
    #[error("this node does not lead")]
    NotLeading,
}

/// What a step of a role comes to.
pub(crate) type Outcome = Result<(), Departure>;

/// What a packet comes to.
pub(crate) type Verdict = Result<(), PeerFault>;
