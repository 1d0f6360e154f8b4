//! One client's connection as its shard sees it: a phase, what was received, what is owed.
//!
//! Replies leave in the order of their requests. A request that can be answered at once while
//! nothing is owed is answered without a slot; behind a write or sync of the same session it takes
//! a slot and waits, so that a session reads its own writes and nothing later.
//!
//! While a connection is idle it holds no buffer at all: received bytes are cut where they were
//! received, and only the beginning of an unfinished frame is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;

use menagerie_wire::data::Id;
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use crate::admin::metrics::Summary;
use crate::client::unsent::{Spares, Unsent};

/// Requests of one connection that may wait for a commit before reading from it stops.
const SLOTS_MAX: usize = 1_000;
/// Reads among them, whose answers come all at once: at most so many frames of unsent bytes.
const PARKED_MAX: usize = 64;
/// Bytes of writes of one connection that may wait for a commit before reading from it stops.
const OWED_BYTES_MAX: usize = 4 << 20;
/// Unsent bytes above which reading from a connection stops until it has taken them.
const UNSENT_BYTES_HIGH: usize = 1 << 20;
/// Received bytes that may wait behind a handshake or a full queue.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Identities that one connection may prove: each is asked at every check of an access list. Apache
/// knows no bound.
pub(super) const IDS_MAX: usize = 64;

/// How far a connection has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing understood yet: a handshake or a four-letter word will follow.
    Fresh,
    /// A four-letter word waits for its answer; whatever follows it is not looked at.
    Asking,
    /// The sequencer is asked for the session.
    Connecting {
        read_only: Option<bool>,
        since_us: u64,
    },
    Open,
    /// Nothing more is read or queued; what is unsent still goes out, then the end.
    Closing,
}

/// A request that is owed an answer.
#[derive(Debug)]
pub(crate) enum Slot {
    /// A write, in the sequencer's hands.
    Write {
        xid: Xid,
        op: OpCode,
        body_bytes: usize,
        since_us: u64,
    },
    Sync {
        xid: Xid,
        body: Box<[u8]>,
        since_us: u64,
    },
    Close {
        since_us: u64,
    },
    /// Answered from the root that holds the effect of the slots before it.
    Parked {
        xid: Xid,
        op: OpCode,
        body: Box<[u8]>,
        since_us: u64,
    },
}

/// Figures of one connection, for `cons` and `stat`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last: Option<Reply>,
    /// Microseconds.
    pub(crate) latency: Summary,
}

/// The last reply on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) op: OpCode,
    pub(crate) xid: Xid,
    pub(crate) zxid: Zxid,
    /// When, on the monotonic clock.
    pub(crate) at_ms: u64,
    pub(crate) latency_us: u64,
}

impl Traffic {
    pub(crate) fn answered(&mut self, reply: Reply) {
        self.latency.record(reply.latency_us);
        self.last = Some(reply);
    }
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) peer: SocketAddr,
    pub(crate) phase: Phase,
    /// [`SessionId::NONE`] until the handshake is over.
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
    /// Whether the session is on the list of touched ones already.
    pub(crate) touched: bool,
    /// Everything the client has proved to be; the first is its address.
    pub(crate) ids: Vec<Id<'static>>,
    pub(crate) slots: VecDeque<Slot>,
    /// Parked slots among them.
    pub(crate) parked: usize,
    /// Body bytes of the writes among them.
    pub(crate) owed_bytes: usize,
    /// Received and not yet consumed, from `held_start` on.
    pub(crate) held: Vec<u8>,
    pub(crate) held_start: usize,
    pub(crate) unsent: Unsent,
    pub(crate) since_wall_ms: i64,
    pub(crate) traffic: Traffic,
}

impl Connection {
    pub(crate) fn new(
        generation: u32,
        peer: SocketAddr,
        id: Id<'static>,
        since_wall_ms: i64,
    ) -> Self {
        Self {
            generation,
            peer,
            phase: Phase::Fresh,
            session: SessionId::NONE,
            timeout_ms: 0,
            touched: false,
            ids: vec![id],
            slots: VecDeque::new(),
            parked: 0,
            owed_bytes: 0,
            held: Vec::new(),
            held_start: 0,
            unsent: Unsent::default(),
            since_wall_ms,
            traffic: Traffic::default(),
        }
    }

    /// Whether more may be received: not while it could not be worked off.
    pub(crate) fn wants_bytes(&self) -> bool {
        match self.phase {
            Phase::Fresh => true,
            Phase::Open => {
                !self.has_said_goodbye()
                    && self.slots.len() < SLOTS_MAX
                    && self.parked < PARKED_MAX
                    && self.owed_bytes < OWED_BYTES_MAX
                    && self.unsent.bytes().len() < UNSENT_BYTES_HIGH
            }
            Phase::Connecting { .. } => self.held.len() < HELD_BYTES_MAX,
            // Nor is the end of the client's side looked for: the answer comes first.
            Phase::Asking | Phase::Closing => false,
        }
    }

    /// Whether a closeSession is on its way: what follows it is not looked at.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        matches!(self.slots.back(), Some(Slot::Close { .. }))
    }

    pub(crate) fn held_bytes(&self) -> &[u8] {
        &self.held[self.held_start..]
    }

    /// Holds `held` again, of which the first `used` bytes are worked off.
    pub(crate) fn hold_again(&mut self, mut held: Vec<u8>, used: usize) {
        self.held_start = used;
        if used >= held.len() - used {
            // Moved when it is the smaller half: a long queue is not moved for each frame of it.
            held.drain(..used);
            self.held_start = 0;
        }
        self.held = held;
    }

    /// Nothing more is read or queued; what is unsent still goes out. Returns how many slots are
    /// given up.
    #[must_use]
    pub(crate) fn end(&mut self) -> usize {
        let slots = std::mem::take(&mut self.slots).len();
        self.phase = Phase::Closing;
        self.parked = 0;
        self.owed_bytes = 0;
        self.held = Vec::new();
        self.held_start = 0;
        slots
    }

    /// As [`Self::end`], and what is unsent is given up.
    #[must_use]
    pub(crate) fn cut_off(&mut self, spares: &mut Spares) -> usize {
        self.unsent.give_up(spares);
        self.end()
    }

    pub(crate) fn push_slot(&mut self, slot: Slot) {
        match &slot {
            Slot::Write { body_bytes, .. } => self.owed_bytes += body_bytes,
            Slot::Parked { .. } => self.parked += 1,
            Slot::Sync { .. } | Slot::Close { .. } => {}
        }
        self.slots.push_back(slot);
    }

    /// The oldest sync is over, but reads before it still wait for the root: it waits with them.
    pub(crate) fn park_sync(&mut self) {
        let mut syncs = self.slots.iter_mut().filter(|slot| matches!(slot, Slot::Sync { .. }));
        let Some(slot) = syncs.next() else { return };
        if let Slot::Sync { xid, body, since_us } = slot {
            let (xid, body, since_us) = (*xid, std::mem::take(body), *since_us);
            *slot = Slot::Parked { xid, op: OpCode::Sync, body, since_us };
            self.parked += 1;
        }
    }

    /// Takes the first slot if it is parked.
    pub(crate) fn pop_parked(&mut self) -> Option<Slot> {
        if !matches!(self.slots.front(), Some(Slot::Parked { .. })) {
            return None;
        }
        self.parked -= 1;
        self.slots.pop_front()
    }
}
