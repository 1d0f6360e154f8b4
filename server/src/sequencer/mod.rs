//! The heart: every write of the ensemble passes here, one after the other.
//!
//! This is the pure half. It takes messages of the shards, completions of the log, words of the
//! other members and ticks of the clock, and leaves what must be done in [`Output`]; `run.rs` waits
//! and carries it out.
//!
//! The walk of a write on a leader: `engine::txn::execute` judges it on the newest prepared tree
//! and applies it there at once, so the next one is judged on its effect; its bytes go through
//! [`menagerie_replication::Node`] to the log and to the followers; when the node says committed,
//! the results and a sealed root go to the shards. A refused write takes the same way, as an error
//! transaction. On a learner it goes to the leader, and comes back as a commit.
//!
//! What a role does is in `leading.rs` and `learning.rs`; how one begins and ends in `roles.rs`.
//!
//! What it does not do: touch a socket, a file or a clock. Time is handed in with every call.

pub mod expiry;
pub mod journal;
pub mod message;
pub mod output;
pub mod ports;
pub mod publication;
pub mod run;
pub mod standing;

mod batches;
mod cleaner;
mod leading;
mod learning;
mod owners;
mod pending;
mod prepared;
mod roles;
mod session_ids;
mod sessions;
mod strangers;
mod syncs;
mod tail;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn::Rules;
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_replication::{self as replication, Effect, Effects, Event, Node, Packet, Recovered};
use menagerie_wire::notification::Notification;
use menagerie_wire::txn::Txn;
use menagerie_wire::{OpCode, ServerId, SessionId, Zxid};

use crate::admin::metrics::WriteCounters;
use crate::kept::Kept;

use batches::Batches;
use cleaner::Cleaner;
pub use cleaner::CleanerSettings;
use expiry::Expiry;
use learning::Moving;
use message::{ConnectionKey, ToSequencer, ToShard};
pub use output::{Delivery, Job, Output, ToPeer};
use owners::{Claim, Owners};
use pending::Pending;
use prepared::Prepared;
use publication::{Publication, Run};
use session_ids::SessionIds;
use standing::{Career, Standing, count};
use strangers::Strangers;
use syncs::{Syncs, Waiting};
use tail::Tail;

/// Blocks of retired tree versions freed per turn: bounds the pause that freeing may cost.
const RECLAIM_BLOCKS_PER_TURN: usize = 4096;

/// The digest is noted at every zxid that this divides, and so many are kept.
// ZooKeeper: DataTree.DIGEST_LOG_INTERVAL, DIGEST_LOG_LIMIT.
const DIGEST_EVERY: u32 = 128;
const DIGESTS_KEPT: usize = 1024;

/// With fewer zxids than this left in its epoch, a standalone server begins the next one at its
/// start: after the last of them nothing can be written.
const ZXIDS_LEFT_MIN: u32 = 1 << 30;

/// What the clock says, both ways.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The same on all cores: what one of them did can be set beside what another did.
    pub monotonic_us: u64,
    /// Becomes ctime and mtime.
    pub wall_ms: i64,
}

impl Now {
    pub const fn monotonic_ms(self) -> u64 {
        self.monotonic_us / 1_000
    }
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
    /// `leaderServes`: whether clients are served while this server leads an ensemble.
    pub leader_serves: bool,
    /// `digestMismatch=stop`: a learner whose tree is not the leader's leaves.
    pub leaves_on_mismatch: bool,
}

/// The zxid behind which a standalone server whose log ends at `last` goes on.
fn first_free(last: Zxid) -> Zxid {
    let left = u32::MAX - last.counter();
    if left < ZXIDS_LEFT_MIN { Zxid::new(last.epoch().next(), 0) } else { last }
}

/// What this server does for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// No leader is known, or its history is not known to be ours yet.
    Idle,
    Leading,
    /// As follower or observer.
    Learning,
}

/// The order of all writes, and what follows from it.
pub struct Sequencer {
    settings: Settings,
    node: Node,
    career: Career,
    /// How to start, until that is done.
    recovered: Option<Recovered>,
    effects: Effects,
    now: Now,
    part: Part,
    /// The leader is about to leave of its own will: nothing is proposed any more.
    stepping_down: bool,

    /// The newest prepared state on a leader; the newest known one on others.
    tree: Tree,
    /// The newest root that was shown. Whatever is above it may still be cut off.
    committed: Root,
    /// What the node says to be committed.
    committed_to: Zxid,
    /// What the log holds above `committed`. Empty on a server that is its own ensemble.
    tail: Tail,
    batches: Batches,
    published: u64,
    syncs: Syncs,
    strangers: Strangers,
    owners: Owners,
    session_ids: SessionIds,
    pub counters: WriteCounters,
    /// Digests of the tree at some zxids, oldest first, for `hash`.
    digests: VecDeque<(Zxid, u64)>,

    // Of a leader.
    /// The zxid of the newest judged transaction.
    last_prepared: Zxid,
    prepared: Prepared,
    expiry: Expiry,
    last_tick_ms: u64,
    /// The last tick came late and was not the node's.
    listens: bool,
    /// How far the clock of `expiry` is behind the monotonic one.
    asleep_ms: u64,
    cleaner: Cleaner,
    /// The round of touches being collected, and how many shards have not answered.
    collecting: Option<(u64, u16)>,
    rounds: u64,
    /// Events that wait until everything up to a zxid is shown, and all that is committed.
    deferred: VecDeque<(Zxid, Event)>,
    /// Reused for encoding.
    scratch: Vec<u8>,
    /// Where transactions are kept until they are in the log and with the members.
    txns: Kept,

    // Of a learner.
    pending: Pending,
    /// Digests are compared: since the tree came by a snapshot it has been the leader's once.
    // What Apache's servers send is made while they go on, and exact only later.
    comparing: bool,
    /// Sessions whose clients came from elsewhere, waiting for the leader's word.
    moving: HashMap<SessionId, VecDeque<Moving>>,
}

impl Sequencer {
    /// The sequencer of a server that is its own ensemble, over a recovered tree. Every session
    /// gets its full timeout again.
    pub fn standalone(settings: Settings, tree: Tree, now: Now) -> Self {
        let last = first_free(tree.view().last_zxid());
        let node = Node::standalone(settings.server);
        let mut sequencer = Self::new(settings, node, Recovered::alone(last), tree, now);
        sequencer.last_prepared = last;
        sequencer.begin_sessions();
        sequencer
    }

    /// The sequencer of a member of an ensemble, over a recovered tree that is exact at the end of
    /// the log.
    pub fn member(
        settings: Settings,
        member: replication::Settings,
        recovered: Recovered,
        mut tree: Tree,
        now: Now,
    ) -> Self {
        roles::name_members(&mut tree, &member.membership, now);
        assert!(tree.view().last_zxid() == recovered.last_logged, "the tree is where the log ends");
        Self::new(settings, Node::new(member), recovered, tree, now)
    }

    fn new(settings: Settings, node: Node, recovered: Recovered, mut tree: Tree, now: Now) -> Self {
        let committed = tree.seal();
        Self {
            tree,
            node,
            career: Career::new(now.monotonic_ms()),
            recovered: Some(recovered),
            effects: Effects::new(),
            now,
            part: Part::Idle,
            stepping_down: false,
            committed_to: Zxid::ZERO,
            committed,
            tail: Tail::default(),
            batches: Batches::default(),
            published: 0,
            syncs: Syncs::default(),
            strangers: Strangers::default(),
            owners: Owners::default(),
            session_ids: SessionIds::new(settings.server, now.wall_ms),
            counters: WriteCounters::default(),
            digests: VecDeque::new(),
            last_prepared: Zxid::ZERO,
            prepared: Prepared::default(),
            expiry: Expiry::new(settings.tick_ms),
            last_tick_ms: now.monotonic_ms(),
            listens: false,
            asleep_ms: 0,
            cleaner: Cleaner::new(settings.cleaner, now.monotonic_ms()),
            collecting: None,
            rounds: 0,
            deferred: VecDeque::new(),
            scratch: Vec::new(),
            txns: Kept::default(),
            pending: Pending::default(),
            comparing: true,
            moving: HashMap::new(),
            settings,
        }
    }

    /// Recovery is over: the node takes its role, or looks for one.
    pub fn start(&mut self, out: &mut Output) {
        let recovered = self.recovered.take().expect("a sequencer starts once");
        self.step(Event::Started(recovered));
        self.carry_out(out);
    }

    /// The newest committed root: what a new shard begins with.
    pub const fn committed(&self) -> &Root {
        &self.committed
    }

    /// What a snapshot may be made of: not what may still be cut off, nor what is wrong.
    pub fn keepable(&self) -> Option<&Root> {
        let sound = self.part != Part::Idle && !self.node.is_diverged();
        sound.then_some(&self.committed)
    }

    /// What this server is, for reports.
    pub fn standing(&self, now: Now) -> Standing {
        let serving = match self.part {
            Part::Idle => false,
            Part::Leading => self.node.is_alone() || self.settings.leader_serves,
            Part::Learning => true,
        };
        self.career.standing(&self.node, serving, now.monotonic_ms())
    }

    pub const fn node(&self) -> &Node {
        &self.node
    }

    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.digests.iter().copied().collect()
    }

    /// When [`Self::on_tick`] is due at the latest, on the monotonic clock.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.node.deadline_ms()
    }

    /// Takes one message of a shard.
    pub fn on_message(&mut self, message: ToSequencer, now: Now, out: &mut Output) {
        self.now = now;
        match message {
            ToSequencer::Identify { connection, session, ids } => {
                self.owners.identify(session, connection, ids);
            }
            ToSequencer::Disconnected { connection, session } => {
                self.owners.disconnect(session, connection);
            }
            ToSequencer::Touched { sessions, round } => self.on_touched(&sessions, round),
            message => self.on_request(message, out),
        }
        self.carry_out(out);
    }

    /// What needs the leader, who may be this server itself.
    fn on_request(&mut self, message: ToSequencer, out: &mut Output) {
        let Some(message) = self.syncs.hold_behind(message) else { return };
        match self.part {
            Part::Idle => turn_away(&message, out),
            // What the leader does not judge any more is not answered: its connection is about to
            // end, and its client cannot know whether it was done.
            Part::Leading if self.stepping_down => {}
            Part::Leading => self.lead_message(message, out),
            Part::Learning => self.learn_message(message, out),
        }
    }

    /// Takes what happened on the disk or among the members, but for the completions that have a
    /// method of their own.
    pub fn on_event(&mut self, event: Event, now: Now, out: &mut Output) {
        self.now = now;
        match &event {
            Event::Received { link, packet } if !is_sound(packet) => {
                tracing::error!("a transaction of a leader cannot be read; leaving it: {packet:?}");
                out.peers.push(ToPeer::Close { link: *link, fault: None });
                let closed = Event::Closed { link: *link };
                return self.on_event(closed, now, out);
            }
            // These may make the node send a snapshot of what is committed: it waits until that
            // is a root.
            Event::LogRead { .. } | Event::Received { packet: Packet::AckEpoch { .. }, .. }
                if self.part == Part::Leading && !self.is_settled() =>
            {
                self.deferred.push_back((Zxid::ZERO, event));
                return;
            }
            Event::Closed { link } => self.owners.forget(*link),
            Event::Drained { .. } => self.bring_forward(),
            _ => {}
        }
        self.step(event);
        self.carry_out(out);
    }

    /// Seals a root behind what was judged. Called whenever the log is free and has something to
    /// commit, which it does at `now_us` of the monotonic clock.
    pub fn close_batch(&mut self, now_us: u64) {
        self.prepared.seal(&mut self.tree);
        self.batches.submit(now_us);
    }

    /// Everything up to `zxid` is on this server's disk.
    pub fn on_logged(&mut self, zxid: Zxid, now: Now, out: &mut Output) {
        self.batches.end(zxid, now.monotonic_us);
        self.on_event(Event::Logged { zxid }, now, out);
        self.tree.reclaim(RECLAIM_BLOCKS_PER_TURN);
    }

    /// Time has passed: the node may have something to do, sessions may be due, and znodes that
    /// live only for a while.
    pub fn on_tick(&mut self, now: Now, out: &mut Output) {
        self.now = now;
        let was_asleep = self.notice_sleep();
        let is_due = self.node.deadline_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms());
        // What others said meanwhile waits in the sockets: it is heard before their silence is
        // judged, at the next tick. Who is always late judges at every second one.
        self.listens = was_asleep && !self.listens;
        if is_due && !self.listens {
            self.step(Event::Tick);
            self.carry_out(out);
        }
        if self.part == Part::Leading && !self.stepping_down {
            self.look_for_expiry(out);
            self.delete_due();
            self.carry_out(out);
        }
        self.tree.reclaim(RECLAIM_BLOCKS_PER_TURN);
    }

    /// Ends a turn: what was committed in it is shown.
    pub fn settle(&mut self, out: &mut Output) {
        loop {
            match self.part {
                Part::Idle => return,
                Part::Leading => self.publish_judged(out),
                Part::Learning => self.publish_learned(out),
            }
            if !self.is_settled() {
                return;
            }
            let ended = self.syncs.take_ended();
            let strangers = self.strangers.take_confirmed();
            let deferred = self.take_deferred();
            if ended.is_empty() && strangers.is_empty() && deferred.is_none() {
                return;
            }
            for Waiting { connection, held, .. } in ended {
                out.tell(connection.shard, ToShard::Synced { connection });
                for message in held {
                    self.on_request(message, out);
                }
            }
            for stranger in strangers {
                self.refuse_stranger(stranger, out);
            }
            if let Some(event) = deferred.and_then(|event| self.look_again(event)) {
                self.step(event);
            }
            self.carry_out(out);
        }
    }

    /// The first deferred event that waits for nothing more. One that waits for a commit holds up
    /// no other: it may take a follower that is about to join to make that commit.
    fn take_deferred(&mut self) -> Option<Event> {
        let is_due = |(after, _): &(Zxid, Event)| !self.tail.reaches(*after);
        let at = self.deferred.iter().position(is_due)?;
        self.deferred.remove(at).map(|(_, event)| event)
    }

    /// Whether everything that is committed is shown.
    fn is_settled(&self) -> bool {
        !self.tail.reaches(self.committed_to)
    }

    fn step(&mut self, event: Event) {
        let now_ms = self.now.monotonic_ms();
        self.node.step(event, now_ms, &mut self.effects);
        self.career.observe(&self.node, now_ms, &mut self.counters.roles);
    }

    /// Does what the node wants done, and what follows from that.
    fn carry_out(&mut self, out: &mut Output) {
        while !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.carry_out_one(effect, out);
            }
            if self.effects.is_empty() {
                self.effects = effects;
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect, out: &mut Output) {
        count(&effect, self.part == Part::Learning, &mut self.counters.roles);
        match effect {
            Effect::Append { zxid, txn } => {
                self.batches.append(zxid);
                if !self.node.is_alone() {
                    self.tail.push(zxid, txn.clone(), self.now.monotonic_us);
                }
                out.appends.push((zxid, txn));
            }
            Effect::Commit { zxid } => self.committed_to = zxid,
            Effect::Send { link, packet } => out.peers.push(ToPeer::Send { link, packet }),
            Effect::Close { link, fault } => {
                self.owners.forget(link);
                out.peers.push(ToPeer::Close { link, fault });
            }
            Effect::SendSnapshot { link, zxid } => {
                let root = self.root_at(zxid);
                out.peers.push(ToPeer::SendSnapshot { link, zxid, root });
            }
            Effect::Listen => out.peers.push(ToPeer::Listen),
            Effect::StopListening => out.peers.push(ToPeer::StopListening),
            Effect::Connect { leader } => out.peers.push(ToPeer::Connect { leader }),
            Effect::Notify { to, state, vote } => {
                let config = String::from(&**self.node.membership().text());
                out.votes.push((to, Notification::new(state, vote, config)));
            }
            Effect::SaveEpoch { epochs } => out.jobs.push(Job::SaveEpochs(epochs)),
            Effect::Truncate { to } => {
                let rebuild = self.committed.last_zxid() > to;
                out.jobs.push(Job::Truncate { to, rebuild });
            }
            Effect::ReceiveSnapshot { link, zxid } => {
                out.jobs.push(Job::ReceiveSnapshot { link, zxid });
            }
            Effect::ReadLog { link, from } => {
                let newest = self.committed.clone();
                out.jobs.push(Job::ReadLog { link, from, newest });
            }
            Effect::Drain { generation } if flaws::has(Flaw::DrainNotAwaited) => {
                let (last_logged, epochs) = (self.node.last_logged(), self.node.epochs());
                self.step(Event::Drained { generation, last_logged, epochs });
            }
            Effect::Drain { generation } => out.jobs.push(Job::Drain { generation }),
            Effect::Halt => out.jobs.push(Job::Halt),
            Effect::Lead { epoch, last_zxid } => self.lead(epoch, last_zxid, out),
            Effect::Follow { leader, epoch } => self.learn("following", leader, epoch, out),
            Effect::Observe { leader, epoch } => self.learn("observing", leader, epoch, out),
            Effect::StepDown { epoch } => {
                tracing::info!("about to hand over epoch {epoch}");
                self.stepping_down = true;
            }
            Effect::StopServing { reason } => self.stop_serving(reason, out),
            Effect::Request { link, request } => self.on_forwarded(link, request),
            Effect::Touched { touched } => self.on_touched_elsewhere(&touched),
            Effect::Revalidate { link, touch } => self.on_revalidate(link, touch, out),
            Effect::Revalidated { session, valid } => self.on_revalidated(session, valid, out),
            Effect::Synced { session: SessionId::NONE, .. } => self.strangers.confirm(),
            Effect::Synced { session, cxid } => self.syncs.end(session, cxid),
        }
    }

    /// A client asks to see everything that was committed anywhere before.
    fn on_sync(&mut self, sync: message::Sync, out: &mut Output) {
        let message::Sync { connection, session, xid, body } = sync;
        if !self.admit(session, connection, out) {
            return;
        }
        self.syncs.begin(session, xid, connection);
        self.request(session, xid, OpCode::Sync, body, None);
    }

    /// Whether `connection` speaks for `session`; one that does not is closed.
    fn admit(&self, session: SessionId, connection: ConnectionKey, out: &mut Output) -> bool {
        let admitted = self.owners.claim(session, connection) == Claim::Owner;
        if !admitted {
            out.tell(connection.shard, ToShard::Evict { connection });
        }
        admitted
    }

    // ZooKeeper: DataTree.logZxidDigest.
    fn note_digest(&mut self, zxid: Zxid) {
        if !zxid.counter().is_multiple_of(DIGEST_EVERY) {
            return;
        }
        if self.digests.len() == DIGESTS_KEPT {
            self.digests.pop_front();
        }
        self.digests.push_back((zxid, self.tree.view().digest()));
    }

    fn publish(&mut self, mut runs: Vec<Run>, out: &mut Output) {
        for run in &mut runs {
            run.logged = self.batches.show(run.root.last_zxid());
        }
        let Some(last) = runs.last() else { return };
        self.committed = last.root.clone();
        assert!(self.committed.last_zxid() <= self.committed_to, "only what is committed is shown");
        if self.part == Part::Leading {
            self.counters.committed += runs.iter().map(|run| run.entries.len() as u64).sum::<u64>();
        }
        self.published += 1;
        let (sequence, committed_us) = (self.published, self.now.monotonic_us);
        let publication = Publication { sequence, runs, committed_us };
        out.deliveries.push(Delivery::All(Arc::new(publication)));
    }
}

/// Nobody is served: whoever asks for something is shown the door.
fn turn_away(message: &ToSequencer, out: &mut Output) {
    let connection = match message {
        ToSequencer::Connect { connection, .. }
        | ToSequencer::Resume { connection, .. }
        | ToSequencer::Close { connection, .. } => *connection,
        ToSequencer::Sync(sync) => sync.connection,
        ToSequencer::Write(write) => write.connection,
        ToSequencer::Identify { .. }
        | ToSequencer::Touched { .. }
        | ToSequencer::Disconnected { .. } => return,
    };
    out.tell(connection.shard, ToShard::Evict { connection });
}

/// Whether the transaction in a packet, if it has one, can be read and is what it is said to be.
fn is_sound(packet: &Packet) -> bool {
    let (Packet::Proposal { zxid, txn } | Packet::Inform { zxid, txn }) = packet else {
        return true;
    };
    Txn::decode(txn).is_ok_and(|(txn, _)| txn.header.zxid == *zxid)
}
