//! The heart: every write of the ensemble passes here, one after the other.
//!
//! This is the pure half. It takes messages of the shards, completions of the log and ticks of the
//! clock, and leaves what must be done in [`Output`]; `run.rs` waits and carries it out.
//!
//! The walk of a write: `engine::txn::execute` judges it on the newest prepared tree and applies it
//! there at once, so the next one is judged on its effect; its bytes go through
//! [`menagerie_replication::Node`] to the log; when the node says committed, the results and a
//! sealed root go to the shards. A refused write takes the same way, as an error transaction.
//!
//! What it does not do: touch a socket, a file or a clock. Time is handed in with every call.

pub mod expiry;
pub mod message;
pub mod publication;
pub mod run;

mod cleaner;
mod owners;
mod prepared;
mod session_ids;
mod sessions;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn::{self, Caller, Executed, InternalRequest, Rules, Stamp};
use menagerie_replication::{Effect, Effects, Event, Node, Recovered};
use menagerie_wire::proto::Request;
use menagerie_wire::{ServerId, SessionId, Xid, Zxid};

use crate::admin::metrics::WriteCounters;

use cleaner::Cleaner;
pub use cleaner::CleanerSettings;
use expiry::Expiry;
use message::{ConnectionKey, ToSequencer, ToShard, Write};
use owners::Owners;
use prepared::Prepared;
use publication::{Answer, Entry, Publication};
use session_ids::SessionIds;

/// Blocks of retired tree versions freed per turn: bounds the pause that freeing may cost.
const RECLAIM_BLOCKS_PER_TURN: usize = 4096;

/// The digest is noted at every zxid that this divides, and so many are kept.
// ZooKeeper: DataTree.DIGEST_LOG_INTERVAL, DIGEST_LOG_LIMIT.
const DIGEST_EVERY: u32 = 128;
const DIGESTS_KEPT: usize = 1024;

/// With fewer zxids than this left in its epoch, a server begins the next one at its start: after
/// the last of them nothing can be written.
const ZXIDS_LEFT_MIN: u32 = 1 << 30;

/// What the clock says, both ways.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub monotonic_ms: u64,
    /// Becomes ctime and mtime.
    pub wall_ms: i64,
}

/// What the sequencer needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerId,
    pub shards: u16,
    pub tick_ms: i32,
    pub rules: Rules,
    /// Whether transactions carry the digest of the tree.
    pub digests: bool,
    pub cleaner: CleanerSettings,
}

/// What a turn leaves to be done: append, and tell the shards, each in order.
#[derive(Default)]
pub struct Output {
    /// Transactions for the log, in zxid order.
    pub appends: Vec<(Zxid, Arc<[u8]>)>,
    pub deliveries: Vec<Delivery>,
}

/// News for shards.
pub enum Delivery {
    One(u16, ToShard),
    /// A commit, for every shard.
    All(Arc<Publication>),
}

impl Output {
    fn tell(&mut self, shard: u16, message: ToShard) {
        self.deliveries.push(Delivery::One(shard, message));
    }
}

/// The zxid behind which a server whose log ends at `last` goes on.
fn first_free(last: Zxid) -> Zxid {
    let left = u32::MAX - last.counter();
    if left < ZXIDS_LEFT_MIN { Zxid::new(last.epoch().next(), 0) } else { last }
}

/// The order of all writes, and what follows from it.
pub struct Sequencer {
    settings: Settings,
    tree: Tree,
    node: Node,
    effects: Effects,
    /// The zxid of the newest judged transaction.
    last_prepared: Zxid,
    prepared: Prepared,
    owners: Owners,
    expiry: Expiry,
    last_tick_ms: u64,
    /// How far the clock of `expiry` is behind the monotonic one.
    asleep_ms: u64,
    session_ids: SessionIds,
    cleaner: Cleaner,
    /// The round of touches being collected, and how many shards have not answered.
    collecting: Option<(u64, u16)>,
    rounds: u64,
    published: u64,
    /// The newest committed root.
    committed: Root,
    pub counters: WriteCounters,
    /// Digests of the tree at some zxids, oldest first, for `hash`.
    digests: VecDeque<(Zxid, u64)>,
    /// Reused for encoding.
    scratch: Vec<u8>,
}

impl Sequencer {
    /// A sequencer over a recovered tree. Every session gets its full timeout again.
    pub fn new(settings: Settings, mut tree: Tree, now: Now) -> Self {
        let committed = tree.seal();
        let view = committed.view();
        let mut expiry = Expiry::new(settings.tick_ms);
        for session in view.sessions() {
            expiry.add(session.id(), session.timeout_ms(), now.monotonic_ms);
        }
        Self {
            tree,
            node: Node::standalone(settings.server),
            effects: Effects::new(),
            last_prepared: first_free(committed.last_zxid()),
            prepared: Prepared::default(),
            owners: Owners::default(),
            expiry,
            last_tick_ms: now.monotonic_ms,
            asleep_ms: 0,
            session_ids: SessionIds::new(settings.server, now.wall_ms),
            cleaner: Cleaner::new(settings.cleaner, now.monotonic_ms),
            collecting: None,
            rounds: 0,
            published: 0,
            committed,
            counters: WriteCounters::default(),
            digests: VecDeque::new(),
            scratch: Vec::new(),
            settings,
        }
    }

    /// Recovery is over: the node takes its role.
    pub fn start(&mut self, out: &mut Output) {
        let started = Event::Started(Recovered::alone(self.last_prepared));
        self.node.step(started, self.last_tick_ms, &mut self.effects);
        self.carry_out(out);
    }

    /// The newest committed root: what a new shard begins with, and what a snapshot holds.
    pub const fn committed(&self) -> &Root {
        &self.committed
    }

    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.digests.iter().copied().collect()
    }

    /// Takes one message of a shard.
    pub fn on_message(&mut self, message: ToSequencer, now: Now, out: &mut Output) {
        match message {
            ToSequencer::Connect { connection, timeout_ms, ids } => {
                self.on_connect(connection, timeout_ms, ids, now, out);
            }
            ToSequencer::Resume { connection, session, timeout_ms, ids } => {
                self.on_resume(connection, session, timeout_ms, ids, now, out);
            }
            ToSequencer::Identify { connection, session, ids } => {
                self.owners.identify(session, connection, ids);
            }
            ToSequencer::Write(write) => self.on_write(&write, now, out),
            ToSequencer::Sync { connection, session } => self.on_sync(connection, session, out),
            ToSequencer::Close { connection, session, xid } => {
                if self.admit(session, connection, out) {
                    let answer = Some((connection, Answer::Closed(xid)));
                    self.close_session(session, xid, answer, now, out);
                }
            }
            ToSequencer::Touched { sessions, round } => {
                self.on_touched(&sessions, round, now, out);
            }
            ToSequencer::Disconnected { connection, session } => {
                self.owners.disconnect(session, connection);
            }
        }
    }

    /// Ends the open batch and says whether the log has something to commit. Called whenever the
    /// log is free.
    pub fn close_batch(&mut self) -> bool {
        self.prepared.close(&mut self.tree)
    }

    /// Everything up to `zxid` is on this server's disk.
    pub fn on_logged(&mut self, zxid: Zxid, out: &mut Output) {
        self.node.step(Event::Logged { zxid }, self.last_tick_ms, &mut self.effects);
        self.carry_out(out);
        self.tree.reclaim(RECLAIM_BLOCKS_PER_TURN);
    }

    /// Time has passed: sessions may be due, and nodes that live only for a while.
    pub fn on_tick(&mut self, now: Now, out: &mut Output) {
        self.look_for_expiry(now, out);
        for path in self.cleaner.due(self.tree.view(), &self.settings.rules, now) {
            let request = InternalRequest::DeleteContainer { path: Cow::Borrowed(&path) };
            self.execute_internal(SessionId::NONE, Xid(0), &request, None, now, out);
        }
        self.tree.reclaim(RECLAIM_BLOCKS_PER_TURN);
    }

    fn on_write(&mut self, write: &Write, now: Now, out: &mut Output) {
        if !self.admit(write.session, write.connection, out) {
            return;
        }
        let Ok(request) = Request::decode(write.op, &write.body) else {
            unreachable!("the shard sends on only what it could decode");
        };
        if write.seal_before {
            self.prepared.seal(&mut self.tree);
        }
        let stamp = self.stamp(write.session, write.xid, now);
        let ids = self.owners.ids(write.session);
        let caller = Caller { session: write.session, ids };
        let executed = txn::execute(&mut self.tree, &self.settings.rules, &caller, stamp, &request);
        let answer = Some((write.connection, Answer::Reply(write.xid)));
        self.propose(stamp.zxid, executed, answer, out);
    }

    fn on_sync(&mut self, connection: ConnectionKey, session: SessionId, out: &mut Output) {
        if !self.admit(session, connection, out) {
            return;
        }
        let zxid = self.last_prepared;
        if !self.prepared.answer_after_all(connection, Answer::Synced, zxid) {
            out.tell(connection.shard, ToShard::Synced { connection });
        }
    }

    fn execute_internal(
        &mut self,
        session: SessionId,
        xid: Xid,
        request: &InternalRequest<'_>,
        answer: Option<(ConnectionKey, Answer)>,
        now: Now,
        out: &mut Output,
    ) {
        let stamp = self.stamp(session, xid, now);
        let executed = txn::execute_internal(&mut self.tree, &self.settings.rules, stamp, request);
        self.propose(stamp.zxid, executed, answer, out);
    }

    /// The header of the next transaction; takes its zxid.
    fn stamp(&mut self, session: SessionId, cxid: Xid, now: Now) -> Stamp {
        self.last_prepared = self.last_prepared.next();
        Stamp { session, cxid, zxid: self.last_prepared, time_ms: now.wall_ms }
    }

    fn propose(
        &mut self,
        zxid: Zxid,
        executed: Executed<'_>,
        answer: Option<(ConnectionKey, Answer)>,
        out: &mut Output,
    ) {
        self.scratch.clear();
        let digest = executed.digest.filter(|_| self.settings.digests);
        executed.txn.encode(digest, &mut self.scratch);
        let txn = Arc::from(self.scratch.as_slice());
        self.prepared.push(Entry { zxid, outcome: Some(executed.outcome), answer });
        self.counters.prepared += 1;
        if zxid.counter().is_multiple_of(DIGEST_EVERY) {
            self.note_digest(zxid);
        }
        self.node.step(Event::Propose { zxid, txn }, self.last_tick_ms, &mut self.effects);
        self.carry_out(out);
    }

    // ZooKeeper: DataTree.logZxidDigest.
    fn note_digest(&mut self, zxid: Zxid) {
        if self.digests.len() == DIGESTS_KEPT {
            self.digests.pop_front();
        }
        self.digests.push_back((zxid, self.tree.view().digest()));
    }

    /// Does what the node wants done.
    fn carry_out(&mut self, out: &mut Output) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Lead { epoch, last_zxid } => {
                    assert!(last_zxid == self.last_prepared, "leading from what is prepared");
                    tracing::info!("leading in epoch {epoch} from {last_zxid}");
                }
                Effect::Append { zxid, txn } => out.appends.push((zxid, txn)),
                Effect::Commit { zxid } => self.publish(zxid, out),
                other => unreachable!("a server that is its own ensemble: {other:?}"),
            }
        }
        self.effects = effects;
    }

    fn publish(&mut self, zxid: Zxid, out: &mut Output) {
        let runs = self.prepared.commit(zxid);
        let Some(last) = runs.last() else { return };
        self.committed = last.root.clone();
        assert!(self.committed.last_zxid() <= zxid, "nothing uncommitted is published");
        self.counters.committed += runs.iter().map(|run| run.entries.len() as u64).sum::<u64>();
        self.published += 1;
        let publication = Publication { sequence: self.published, runs };
        out.deliveries.push(Delivery::All(Arc::new(publication)));
    }
}
