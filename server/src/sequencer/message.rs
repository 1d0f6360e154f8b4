//! What shards and the sequencer say to each other.
//!
//! Each direction is one mailbox per pair, in order. That order carries meaning: a session's
//! writes arrive as its client sent them, and a shard learns of a commit before anything that
//! depends on it.

use std::sync::Arc;

use bytes::Bytes;
use menagerie_wire::data::Id;
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use crate::sequencer::publication::Publication;

/// One connection, by the shard that owns it. The generation tells two users of an index apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    pub shard: u16,
    pub index: u32,
    pub generation: u32,
}

/// A decoded write on its way to be judged.
#[derive(Debug)]
pub struct Write {
    pub connection: ConnectionKey,
    pub session: SessionId,
    pub xid: Xid,
    pub op: OpCode,
    /// The request's body as it came; the shard has seen that it decodes.
    pub body: Bytes,
    /// The session has reads waiting ahead of this write: they must not see it, so a root must be
    /// sealed before it.
    pub seal_before: bool,
}

/// A decoded `sync`: answered when everything that was committed anywhere before it is shown here.
#[derive(Debug)]
pub struct Sync {
    pub connection: ConnectionKey,
    pub session: SessionId,
    pub xid: Xid,
    /// The request's body as it came.
    pub body: Bytes,
}

/// From a shard to the sequencer.
#[derive(Debug)]
pub enum ToSequencer {
    /// A connection wants a new session.
    Connect {
        connection: ConnectionKey,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
    },
    /// A connection wants to go on with a session; its password has been found right.
    Resume {
        connection: ConnectionKey,
        session: SessionId,
        timeout_ms: i32,
        ids: Box<[Id<'static>]>,
    },
    /// The connection's identities, all of them, after an auth packet.
    Identify {
        connection: ConnectionKey,
        session: SessionId,
        ids: Box<[Id<'static>]>,
    },
    Write(Write),
    Sync(Sync),
    Close {
        connection: ConnectionKey,
        session: SessionId,
        xid: Xid,
        /// As that of a [`Write`].
        seal_before: bool,
    },
    /// Sessions heard from since the last such message, with the timeout (in ms) that their
    /// connection negotiated. `round` answers [`ToShard::CollectTouches`].
    Touched {
        sessions: Vec<(SessionId, i32)>,
        round: Option<u64>,
    },
    /// The connection is gone; its session lives on until it expires.
    Disconnected {
        connection: ConnectionKey,
        session: SessionId,
    },
}

/// From the sequencer to a shard.
#[derive(Clone)]
pub enum ToShard {
    /// Commits, in order.
    Publish(Arc<Publication>),
    /// The connection owns the session from now on.
    Resumed { connection: ConnectionKey, session: SessionId, timeout_ms: i32 },
    /// The session to resume is gone.
    Refused { connection: ConnectionKey },
    /// The connection lost its session to another one: close it without a word.
    Evict { connection: ConnectionKey },
    /// The answer to [`ToSequencer::Sync`]: what it waits for has been published before.
    Synced { connection: ConnectionKey },
    /// Hand over what was touched, now: sessions are about to expire.
    CollectTouches { round: u64 },
    /// Clients are served from now on. The root to serve from has been published before; nothing
    /// that was committed before `since`, the first zxid of the reign, is missing in it.
    Serve { since: Zxid },
    /// The role is over: what was not answered never will be. Every session's connection ends, no
    /// watch is left, and no session begins until [`ToShard::Serve`]. Until then a root may be
    /// older than the one before.
    StopServing,
    /// The server ends: send what is queued, close every connection.
    Stop,
}
