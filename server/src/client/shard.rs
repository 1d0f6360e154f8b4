//! A shard: the connections of one core, their watches, and the root their reads are answered from.
//!
//! The pure half. Bytes come in through [`Shard::receive`], commits and other news through
//! [`Shard::on_message`]; what goes out is left in the connections' buffers, in
//! [`Shard::to_sequencer`] and in [`Shard::take_dirty`], for `run.rs` to carry out.
//!
//! Invariants:
//! - While clients are served the root only moves forward, and only at the end of a run, after the
//!   events and replies of that run are queued.
//! - While they are not, no connection is in phase `Connecting` or `Open`, and nothing is watched.
//! - A request is answered at once only while its connection owes nothing; see `connection.rs`.
//! - No reply or event is queued on a connection in phase `Closing`.

use std::net::SocketAddr;

use menagerie_engine::access;
use menagerie_engine::tree::Root;
use menagerie_engine::txn::Rules;
use menagerie_wire::four_letter::FourLetterWord;
use menagerie_wire::frame::{self, Cut};
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use crate::admin::metrics::ShardCounters;
use crate::client::connection::{Connection, Phase, Slot};
use crate::client::password::SessionSecret;
use crate::client::slab::Slab;
use crate::client::slow::SlowLog;
use crate::client::timing::{Answers, Way};
use crate::client::unsent::Spares;
use crate::kept::Kept;
use crate::sequencer::Now;
use crate::sequencer::message::{ConnectionKey, ToSequencer, ToShard};
use crate::sequencer::publication::{Answer, Publication};
use crate::watch::{ConnId, WatchTable};

/// What a shard needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rules: Rules,
    pub session_timeout_ms_min: i32,
    pub session_timeout_ms_max: i32,
    /// `jute.maxbuffer`: the largest payload of a request.
    pub frame_bytes_max: usize,
    /// Whose proof makes a client `super`.
    pub super_digest: Option<Box<str>>,
    /// Schemes of which every client must prove one before anything else; empty: none.
    pub enforced_schemes: Vec<Box<str>>,
    pub secret: SessionSecret,
    /// `enableEagerACLCheck`: a write that this server's own tree does not allow goes no further.
    pub eager_acl_check: bool,
    /// Requests in process above which a connection that has some of them is not read.
    pub outstanding_requests_max: usize,
    /// A connection that is owed an event while this much waits for it is cut off.
    pub output_bytes_max: usize,
    /// A request that took so long, in microseconds, is logged; `None`: none is.
    pub slow_request_us: Option<u64>,
}

/// A four-letter word that came in, to be answered by whoever can see all cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub connection: ConnectionKey,
    pub word: FourLetterWord,
    /// What came behind the word (the mask of `stmk`).
    pub argument: Vec<u8>,
}

/// The state of one shard.
pub struct Shard {
    pub(crate) id: u16,
    pub(crate) settings: Settings,
    pub(crate) root: Root,
    /// Whether sessions may begin: a member of an ensemble serves only while a quorum stands behind
    /// it.
    pub(super) serving: bool,
    /// The root has everything that was committed before, though its zxid may be older.
    pub(super) since: Zxid,
    /// The last publication adopted.
    adopted: u64,
    pub(crate) connections: Slab,
    /// Slots of all connections.
    pub(crate) outstanding: usize,
    pub(crate) watches: WatchTable,
    /// Scratch: the frame of the event being told.
    pub(crate) event: Vec<u8>,
    pub(super) spares: Spares,
    /// Where requests are kept that go to the sequencer.
    pub(super) bodies: Kept,
    /// Sessions heard from since the last hand-over.
    touched: Vec<(SessionId, i32)>,
    touched_connections: Vec<u32>,
    pub(crate) outbox: Vec<ToSequencer>,
    /// Connections with something to send or to end.
    pub(crate) dirty: Vec<u32>,
    /// Connections that go on after the next root swap: a slot of theirs was filled.
    filled: Vec<u32>,
    pub(crate) words: Vec<Word>,
    pub counters: ShardCounters,
    /// What was answered in this turn, to be timed at its end.
    pub(super) answers: Vec<Answers>,
    pub(super) slow: SlowLog,
    /// When the current turn began.
    pub(crate) now: Now,
}

impl Shard {
    /// A shard without clients. `serving`: whether it need not wait for [`ToShard::Serve`].
    pub fn new(id: u16, settings: Settings, root: Root, serving: bool) -> Self {
        let slow = SlowLog::new(settings.slow_request_us);
        Self {
            id,
            settings,
            root,
            serving,
            since: Zxid::ZERO,
            adopted: 0,
            connections: Slab::new(id),
            outstanding: 0,
            watches: WatchTable::default(),
            event: Vec::new(),
            spares: Spares::default(),
            bodies: Kept::default(),
            touched: Vec::new(),
            touched_connections: Vec::new(),
            outbox: Vec::new(),
            dirty: Vec::new(),
            filled: Vec::new(),
            words: Vec::new(),
            counters: ShardCounters::default(),
            answers: Vec::new(),
            slow,
            now: Now { monotonic_us: 0, wall_ms: 0 },
        }
    }

    /// A turn begins: all that happens until the next call happens now. After a turn that answers
    /// something, [`Self::end_turn`] is called.
    pub const fn begin_turn(&mut self, now: Now) {
        self.now = now;
    }

    /// The last publication this shard has adopted.
    pub const fn adopted(&self) -> u64 {
        self.adopted
    }

    /// A client has connected.
    pub fn open(&mut self, peer: SocketAddr) -> ConnectionKey {
        let id = access::ip_identity(peer.ip());
        let since = self.now.wall_ms;
        self.connections.insert(|generation| Connection::new(generation, peer, id, since))
    }

    /// The connection is gone: its watches and identities with it, its session not.
    pub fn closed(&mut self, key: ConnectionKey) {
        if self.connections.find(key).is_none() {
            return;
        }
        let Some(connection) = self.connections.remove(key.index) else { return };
        self.outstanding -= connection.slots.len();
        self.watches.drop_connection(ConnId::new(key.index));
        if connection.session != SessionId::NONE {
            let session = connection.session;
            self.outbox.push(ToSequencer::Disconnected { connection: key, session });
        }
    }

    /// Takes one message of the sequencer.
    pub fn on_message(&mut self, message: ToShard) {
        match message {
            ToShard::Publish(publication) => self.on_publication(&publication),
            ToShard::Resumed { connection, session, timeout_ms } => {
                self.on_session(connection, session, timeout_ms);
                self.go_on(connection.index);
            }
            ToShard::Refused { connection } => self.refuse_session(connection),
            ToShard::Evict { connection } => self.end(connection),
            ToShard::Synced { connection } => {
                self.fill_sync(connection, self.last_zxid());
                self.go_on(connection.index);
            }
            ToShard::CollectTouches { round } => self.hand_over_touched(Some(round)),
            ToShard::Serve { since } => {
                self.serving = true;
                self.since = since;
            }
            ToShard::StopServing => self.stop_serving(),
            ToShard::Stop => self.end_all(),
        }
    }

    fn on_publication(&mut self, publication: &Publication) {
        assert!(publication.sequence == self.adopted + 1, "publications are adopted in order");
        for run in &publication.runs {
            for entry in &run.entries {
                self.on_entry(&Way { publication, run, entry });
            }
            // Between two roles it may: what was not committed can be truncated.
            let goes_back = run.root.last_zxid() < self.root.last_zxid();
            assert!(!(goes_back && self.serving), "a root that is served never goes back");
            self.root = run.root.clone();
            for index in std::mem::take(&mut self.filled) {
                self.go_on(index);
            }
        }
        self.adopted = publication.sequence;
    }

    /// Events first, then the writer's own answer.
    fn on_entry(&mut self, way: &Way<'_>) {
        let entry = way.entry;
        for change in &entry.outcome.changes {
            self.on_change(entry.zxid, change);
        }
        let Some((key, answer)) = entry.answer else { return };
        if key.shard != self.id {
            return;
        }
        match answer {
            Answer::Reply(xid) => self.fill_write(key, xid, way),
            Answer::Connected { session, timeout_ms } => {
                let since_us = self.on_session(key, session, timeout_ms);
                if let Some(since_us) = since_us {
                    let op = OpCode::CreateSession;
                    let answers = Answers::one(op, key.index, Xid(0), since_us);
                    self.note(self.brought(way, answers));
                }
            }
            Answer::Closed(xid) => self.fill_close(key, xid, way),
            Answer::Expired => self.end(key),
        }
        self.filled.push(key.index);
    }

    /// Whether whole frames wait on this connection, and now have room.
    pub fn can_go_on(&self, key: ConnectionKey) -> bool {
        self.connections.at(key.index).is_some_and(|connection| {
            let whole_frame = || {
                let frame = frame::cut(connection.held_bytes(), self.settings.frame_bytes_max);
                !matches!(frame, Ok(Cut::Missing(_)))
            };
            connection.generation == key.generation
                && connection.phase == Phase::Open
                && self.may_take_from(connection)
                && whole_frame()
        })
    }

    /// What this connection was owed has come, or its socket has taken what was unsent: what waited
    /// for that is worked off.
    pub fn go_on(&mut self, index: u32) {
        self.answer_parked(index);
        if self.connections.at(index).is_some_and(|connection| !connection.held.is_empty()) {
            self.consume_held(index);
        }
    }

    /// Ends a connection after what is queued on it has been sent.
    pub(crate) fn end(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.find(key) {
            self.outstanding -= connection.end();
            self.dirty.push(key.index);
        }
    }

    /// Ends a connection at once: what is queued on it is not waited for.
    pub fn cut_off(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.find(key) {
            self.outstanding -= connection.cut_off(&mut self.spares);
            self.dirty.push(key.index);
        }
    }

    /// Nobody is owed anything any more. A connection that has no session yet may stay: it can ask
    /// a four-letter word, and its handshake is refused while nothing is served.
    fn stop_serving(&mut self) {
        self.serving = false;
        self.touched.clear();
        self.touched_connections.clear();
        self.watches = WatchTable::default();
        let begun = |phase: &Phase| matches!(phase, Phase::Connecting { .. } | Phase::Open);
        let all = self.connections.iter().filter(|(_, connection)| begun(&connection.phase));
        for index in all.map(|(index, _)| index).collect::<Vec<_>>() {
            self.end_at(index);
        }
    }

    fn end_all(&mut self) {
        let all: Vec<u32> = self.connections.iter().map(|(index, _)| index).collect();
        for index in all {
            self.end_at(index);
        }
    }

    pub(crate) fn end_at(&mut self, index: u32) {
        if let Some(connection) = self.connections.at(index) {
            self.end(self.connections.key(index, connection));
        }
    }

    pub(super) fn cut_off_at(&mut self, index: u32) {
        if let Some(key) = self.key_at(index) {
            self.cut_off(key);
        }
    }

    pub(crate) fn mark_dirty(&mut self, index: u32) {
        if self.dirty.last() != Some(&index) {
            self.dirty.push(index);
        }
    }

    /// The connections to look after: send their bytes, end those that are closing.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// Gives the emptied list back, so that its memory is used again.
    pub fn recycle_dirty(&mut self, mut list: Vec<u32>) {
        if self.dirty.is_empty() {
            list.clear();
            self.dirty = list;
        }
    }

    /// What waits to be sent to the sequencer, in order.
    pub fn take_outbox(&mut self) -> std::vec::Drain<'_, ToSequencer> {
        self.outbox.drain(..)
    }

    pub fn take_words(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.words)
    }

    /// The client of this connection has been heard from.
    pub(crate) fn touch(&mut self, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if !connection.touched && connection.session != SessionId::NONE {
            connection.touched = true;
            self.touched.push((connection.session, connection.timeout_ms));
            self.touched_connections.push(index);
        }
    }

    /// Tells the sequencer which sessions live.
    pub fn hand_over_touched(&mut self, round: Option<u64>) {
        if self.touched.is_empty() && round.is_none() {
            return;
        }
        for index in std::mem::take(&mut self.touched_connections) {
            if let Some(connection) = self.connections.at_mut(index) {
                connection.touched = false;
            }
        }
        let sessions = std::mem::take(&mut self.touched);
        self.outbox.push(ToSequencer::Touched { sessions, round });
    }

    pub(crate) fn last_zxid(&self) -> Zxid {
        self.root.last_zxid()
    }

    /// Bytes of this connection that the socket has not taken; `None` once it is gone.
    pub fn unsent(&self, key: ConnectionKey) -> Option<&[u8]> {
        let connection = self.connections.at(key.index)?;
        (connection.generation == key.generation).then(|| connection.unsent.bytes())
    }

    /// The socket took `count` bytes.
    pub fn took(&mut self, key: ConnectionKey, count: usize) {
        if let Some(connection) = self.connections.find(key) {
            connection.unsent.took(count, &mut self.spares);
        }
    }

    pub fn key_at(&self, index: u32) -> Option<ConnectionKey> {
        Some(self.connections.key(index, self.connections.at(index)?))
    }

    /// Whether the connection ends once everything is sent.
    pub fn is_closing(&self, key: ConnectionKey) -> bool {
        self.connections.at(key.index).is_none_or(|connection| {
            connection.generation != key.generation || connection.phase == Phase::Closing
        })
    }

    pub fn wants_bytes(&self, key: ConnectionKey) -> bool {
        self.connections.at(key.index).is_some_and(|connection| {
            connection.generation == key.generation && self.may_take_from(connection)
        })
    }

    /// Whether another request of this connection may be worked on. One that waits for nothing may
    /// always begin, so that nobody is shut out by the others.
    // ZooKeeper: ZooKeeperServer.shouldThrottle.
    pub(super) fn may_take_from(&self, connection: &Connection) -> bool {
        let crowded = self.outstanding > self.settings.outstanding_requests_max;
        connection.wants_bytes() && (!crowded || connection.slots.is_empty())
    }

    /// Adds to what a connection is owed.
    pub(super) fn owe(&mut self, index: u32, slot: Slot) {
        if let Some(connection) = self.connections.at_mut(index) {
            connection.push_slot(slot);
            self.outstanding += 1;
        }
    }

    /// Whether the connection has not even begun to speak, and may be closed for that.
    pub fn is_silent(&self, key: ConnectionKey) -> bool {
        self.connections.at(key.index).is_some_and(|connection| {
            connection.generation == key.generation && connection.phase == Phase::Fresh
        })
    }
}
