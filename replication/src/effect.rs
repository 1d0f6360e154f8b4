//! What a node wants done. The order of effects within one step is the order to do them in.
//!
//! What must wait for what is never left to the host's timing: an effect that may only happen
//! after another one has reached the disk is emitted when the other's completion has come back.

use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{Epoch, ServerId, SessionId, Xid, Zxid};

use crate::event::{Epochs, Link};
use crate::fault::{Departure, PeerFault};
use crate::packet::{ForwardedRequest, Packet, TxnBytes};

/// An output of [`crate::Node::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a vote on the election port, with this node's configuration. A newer one to the same
    /// peer replaces one that has not left.
    Notify {
        to: ServerId,
        state: ServerState,
        vote: Vote,
    },

    /// Open the quorum port.
    Listen,
    /// Close the quorum port.
    StopListening,
    /// Connect to the leader's quorum port; comes back as [`crate::Event::Connected`] or
    /// [`crate::Event::ConnectFailed`].
    Connect {
        leader: ServerId,
    },
    Send {
        link: Link,
        packet: Packet,
    },
    /// End a link, behind what was sent on it. `fault` is what its peer did, if that is why.
    Close {
        link: Link,
        fault: Option<PeerFault>,
    },
    /// Send a SNAP packet with `zxid` and the stream of the tree at `zxid`, which is the newest
    /// committed one, or, before [`Effect::Lead`], the recovered one. What is sent on the link
    /// later goes behind it. A receiver that does not move is cut off by the host.
    SendSnapshot {
        link: Link,
        zxid: Zxid,
    },
    /// Read the log from `from` on; comes back as [`crate::Event::LogRead`].
    ReadLog {
        link: Link,
        from: Zxid,
    },

    /// Put the transaction behind all earlier ones in the log and sync it; comes back as
    /// [`crate::Event::Logged`], one event for many transactions if that is how they were synced.
    Append {
        zxid: Zxid,
        txn: TxnBytes,
    },
    /// Make both epochs durable, in one change; comes back as [`crate::Event::EpochSaved`].
    SaveEpoch {
        epochs: Epochs,
    },
    /// Cut the log behind `to`, and every snapshot above it, in one durable change; comes back as
    /// [`crate::Event::Truncated`], or, where there is nothing to go back to, as
    /// [`crate::Event::CannotCut`]. The tree goes back to `to`.
    Truncate {
        to: Zxid,
    },
    /// Read the snapshot stream that comes next on the link, build it aside, and put it in the
    /// place of snapshot and log in one durable change; comes back as
    /// [`crate::Event::Installed`]. When the link ends first, nothing has changed and nothing
    /// comes back.
    ReceiveSnapshot {
        link: Link,
        zxid: Zxid,
    },
    /// The role is over. Let all disk work that is under way end, drop prepared roots, bring the
    /// tree to the last durable zxid, back or forward; then [`crate::Event::Drained`]. A disk that
    /// does not end its work keeps the node from voting, which is right.
    Drain {
        generation: u64,
    },

    /// Everything up to `zxid` is committed: it may be shown to clients. On a learner it may still
    /// be on its way to the own disk; a quorum has it.
    Commit {
        zxid: Zxid,
    },
    /// The node leads and serves: writes may be proposed, the first one as the zxid after
    /// `last_zxid`.
    Lead {
        epoch: Epoch,
        last_zxid: Zxid,
    },
    /// The node follows and serves.
    Follow {
        leader: ServerId,
        epoch: Epoch,
    },
    /// The node observes and serves.
    Observe {
        leader: ServerId,
        epoch: Epoch,
    },
    /// The node is about to hand over of its own will: take no new write; what is proposed will be
    /// committed first. What was held back can be put to the next leader.
    StepDown {
        epoch: Epoch,
    },
    /// Serve nobody; answers that wait will not come. Always the first effect of a role's end.
    StopServing {
        reason: Departure,
    },
    /// The disk has failed, or this node would have to lead with a tree that is wrong: the process
    /// must end, with an error. In the second case its next start makes the tree from the log.
    Halt,

    /// A learner's client wants something judged and proposed. Only on a leader that serves.
    Request {
        link: Link,
        request: ForwardedRequest,
    },
    /// The oldest `sync` that this session asked for at this node may be answered: everything
    /// that was committed anywhere when it was asked is behind an earlier [`Effect::Commit`].
    Synced {
        session: SessionId,
        cxid: Xid,
    },
    /// Clients of a learner used their sessions.
    Touched {
        touched: Vec<Touch>,
    },
    /// A client moved to the learner at `link`; answer with
    /// [`crate::Event::RevalidateAnswered`], and let the session belong to that link.
    Revalidate {
        link: Link,
        touch: Touch,
    },
    /// The leader's word on [`crate::Event::Revalidate`].
    Revalidated {
        session: SessionId,
        valid: bool,
    },
}

/// Collects the effects of one or more steps. The caller drains it and hands it in again.
pub type Effects = Vec<Effect>;
