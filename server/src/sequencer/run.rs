//! The waiting half of the sequencer: inbox, log, clock.
//!
//! One task. It takes everything that has come, lets the pure half decide, appends to the log,
//! starts a commit when none is under way, and tells the shards. While a commit is under way the
//! next batch gathers: that is the group commit. The log's ring wakes this core through
//! [`LogEvent`]; a failed commit ends the task, and with it the server.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use menagerie_engine::disk::SystemDisk;
use menagerie_engine::snapshot::jute_stream::StreamError;
use menagerie_engine::tree::Root;
use menagerie_engine::wal::{WalError, Writer};
use menagerie_replication::{Event, Link};
use menagerie_wire::{SessionId, Zxid};
use thiserror::Error;

use crate::admin::metrics::WriteCounters;
use crate::housekeeping::{Housekeeper, Kept, SnapshotPolicy};
use crate::peer::learner_link::LearnerInput;
use crate::runtime::clock::{self, sleep};
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::{spawn, yield_if_needed};
use crate::sequencer::journal::{self, Done, Ended, Journal, Portion};
use crate::sequencer::message::{ToSequencer, ToShard};
use crate::sequencer::ports::{Came, Ports};
use crate::sequencer::publication::Announced;
use crate::sequencer::standing::Standing;
use crate::sequencer::{Delivery, Job, Now, Output, Sequencer, ToPeer};
use crate::store::{ServerStore, StoreError};

/// How often the clock is looked at for expiry.
const TICK: Duration = Duration::from_millis(50);
/// Requests judged, and packets of members taken, before the log and the shards get their turn.
const REQUESTS_PER_TURN: usize = 1024;
/// Bytes that may gather behind the commit under way: above, requests wait in their mailbox, and
/// connections that are owed much are not read.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// How long the log must be quiet before it gets its mark.
const IDLE_BEFORE_MARK_US: u64 = 200_000;

/// Why a sequencer had to end.
#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start the thread {name}: {error}")]
    Thread { name: &'static str, error: io::Error },
    #[error(
        "this member cannot go on: its disk has failed, or its tree is wrong and it was elected"
    )]
    Halted,
}

/// What the sequencer's core can be told beside the shards' requests.
pub enum Input {
    /// The log's ring has completed something.
    Completed,
    /// Completions of the log's ring are not seen any more.
    Blind(io::Error),
    /// A job of the disk is over.
    Done(Box<Result<Done, RunError>>),
    Tick,
    /// A question from another core; answered with the state of this turn.
    Ask(Question, Sender<Answered>),
    /// A snapshot is written, or could not be.
    Kept(Kept),
    /// Finish what is under way, sync the log, stop the shards.
    Stop,
}

/// What a probe wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Report,
    /// A report with the deadlines of all sessions.
    Dump,
    /// Count anew.
    Reset,
}

/// The sequencer's part of a report.
pub struct Answered {
    pub standing: Standing,
    pub counters: WriteCounters,
    pub root: Root,
    pub sessions: usize,
    pub digests: Vec<(Zxid, u64)>,
    /// Only for [`Question::Dump`]: sessions by the wall-clock time at which they would end.
    pub deadlines: BTreeMap<i64, Vec<SessionId>>,
}

/// Everything the sequencer's task needs.
pub struct Parts {
    pub sequencer: Sequencer,
    pub store: ServerStore,
    pub writer: Writer<SystemDisk>,
    /// Requests of the shards. Not taken while too much waits for the log.
    pub requests: Receiver<ToSequencer>,
    /// Everything else. Always taken.
    pub inbox: Receiver<Input>,
    /// For the sub-tasks that wait on this core's behalf.
    pub own_door: Sender<Input>,
    pub shards: Vec<Sender<ToShard>>,
    pub announced: Arc<Announced>,
    pub housekeeper: Housekeeper,
    pub snapshots: SnapshotPolicy,
    /// The ports of a member of an ensemble.
    pub ports: Option<Ports>,
    /// The largest record of a leader's snapshot: a znode with its data, or an access list.
    pub record_bytes_max: usize,
}

/// Runs until told to stop.
///
/// # Errors
/// When the disk fails: nothing after the last publication was acknowledged.
pub async fn run(parts: Parts) -> Result<(), RunError> {
    let Parts { sequencer, store, writer, requests, inbox, own_door, .. } = parts;
    let Parts { shards, announced, housekeeper, snapshots, ports, record_bytes_max, .. } = parts;
    let journal = Journal::new(store, writer, own_door.clone(), record_bytes_max);
    spawn(forward_ticks(own_door.clone()));
    let mut running = Running {
        sequencer,
        journal,
        requests,
        inbox,
        own_door,
        shards,
        announced,
        housekeeper,
        snapshots,
        ports,
        out: Output::default(),
        last_commit_us: clock::monotonic_us(),
        records: 0,
        to_keep: None,
        alarm_ms: None,
    };
    let shards = running.shards.clone();
    let result = match running.serve().await {
        Ok(()) => running.stop(),
        Err(error) => Err(error),
    };
    for shard in &shards {
        shard.send(ToShard::Stop);
    }
    result
}

async fn forward_ticks(door: Sender<Input>) {
    loop {
        sleep(TICK).await;
        door.send(Input::Tick);
    }
}

/// What the clocks say.
pub fn now() -> Now {
    Now { monotonic_us: clock::monotonic_us(), wall_ms: clock::wall_ms() }
}

struct Running {
    sequencer: Sequencer,
    journal: Journal,
    requests: Receiver<ToSequencer>,
    inbox: Receiver<Input>,
    own_door: Sender<Input>,
    shards: Vec<Sender<ToShard>>,
    announced: Arc<Announced>,
    housekeeper: Housekeeper,
    snapshots: SnapshotPolicy,
    ports: Option<Ports>,
    out: Output,
    last_commit_us: u64,
    /// Records of the log when its last commit was collected.
    records: u64,
    /// The next snapshot, until it is durable: on a learner commits may be ahead of the own disk.
    to_keep: Option<Root>,
    /// When a tick was asked for out of turn.
    alarm_ms: Option<u64>,
}

impl Running {
    async fn serve(&mut self) -> Result<(), RunError> {
        self.sequencer.start(&mut self.out);
        self.end_turn(now())?;
        loop {
            poll_fn(|cx| self.poll_input(cx)).await;
            let now = now();
            while let Some(input) = self.inbox.try_receive() {
                match input {
                    // Collected below.
                    Input::Completed => {}
                    Input::Blind(error) => return Err(journal::blind(error).into()),
                    Input::Done(done) => self.on_done((*done)?, now),
                    Input::Tick => self.on_tick(now)?,
                    Input::Ask(question, asker) => self.answer(question, &asker, now),
                    Input::Kept(kept) => self.on_kept(&kept),
                    Input::Stop => return Ok(()),
                }
            }
            // In every turn: a commit that has ended is often seen before its event comes round.
            self.collect(now)?;
            self.take_from_members(now)?;
            self.take_requests(now)?;
            self.end_turn(now)?;
            yield_if_needed().await;
        }
    }

    /// Ready when there is something to do.
    fn poll_input(&self, cx: &Context<'_>) -> Poll<()> {
        let inbox = self.inbox.poll_filled(cx);
        if self.is_full() {
            // The end of the commit under way comes through the inbox.
            return inbox;
        }
        let requests = self.requests.poll_filled(cx);
        let ports = self.ports.as_ref().map_or(Poll::Pending, |ports| ports.poll_filled(cx));
        if inbox.is_ready() || ports.is_ready() { Poll::Ready(()) } else { requests }
    }

    /// Whether requests have to wait for the log.
    fn is_full(&self) -> bool {
        self.journal.is_full(PENDING_BYTES_MAX)
    }

    fn take_requests(&mut self, now: Now) -> Result<(), RunError> {
        for _ in 0..REQUESTS_PER_TURN {
            if self.is_full() {
                return Ok(());
            }
            let Some(message) = self.requests.try_receive() else { return Ok(()) };
            self.sequencer.on_message(message, now, &mut self.out);
            self.append()?;
        }
        Ok(())
    }

    fn take_from_members(&mut self, now: Now) -> Result<(), RunError> {
        for _ in 0..REQUESTS_PER_TURN {
            if self.is_full() {
                return Ok(());
            }
            let Some(came) = self.ports.as_mut().and_then(Ports::take) else { return Ok(()) };
            match came {
                Came::Event(event) => {
                    if let Event::Closed { link } = event {
                        self.journal.forget(link);
                    }
                    self.sequencer.on_event(event, now, &mut self.out);
                    self.append()?;
                }
                Came::Room { link } => self.journal.read_on(link),
                Came::Portion { link, bytes } => {
                    let portion = self.journal.take_portion(link, &bytes);
                    self.answer_portion(link, portion, now);
                }
            }
        }
        Ok(())
    }

    fn answer_portion(&mut self, link: Link, portion: Portion, now: Now) {
        let Some(ports) = &self.ports else { return };
        match portion {
            Portion::Taken => ports.tell(LearnerInput::PortionTaken { link, behind: None }),
            Portion::Whole { behind } => {
                ports.tell(LearnerInput::PortionTaken { link, behind: Some(behind) });
            }
            Portion::Unwanted => ports.tell(LearnerInput::Close { link }),
            Portion::Malformed(error) => self.leave(link, &error, now),
        }
    }

    /// Leaves a leader whose snapshot is none.
    fn leave(&mut self, link: Link, error: &StreamError, now: Now) {
        tracing::error!("the leader's snapshot cannot be used, leaving it: {error}");
        if let Some(ports) = &self.ports {
            ports.tell(LearnerInput::Close { link });
        }
        self.sequencer.on_event(Event::Closed { link }, now, &mut self.out);
    }

    fn on_done(&mut self, done: Done, now: Now) {
        match self.journal.end(done) {
            Ended::Event(event) => self.sequencer.on_event(event, now, &mut self.out),
            Ended::Truncated { last_logged, tree } => {
                self.begin_history(last_logged);
                self.sequencer.on_truncated(last_logged, tree, now, &mut self.out);
            }
            Ended::Installed { zxid, tree } => {
                self.begin_history(zxid);
                self.sequencer.on_installed(zxid, tree, now, &mut self.out);
            }
            Ended::Refused { link, error } => self.leave(link, &error, now),
        }
    }

    /// The log goes on with a new writer behind `zxid`.
    fn begin_history(&mut self, zxid: Zxid) {
        self.to_keep = None;
        self.records = 0;
        self.snapshots.restart(zxid);
    }

    /// Shows what was committed, and does what is to be done.
    fn end_turn(&mut self, now: Now) -> Result<(), RunError> {
        loop {
            self.sequencer.settle(&mut self.out);
            self.append()?;
            for job in self.out.jobs.drain(..) {
                match (&job, &self.ports) {
                    (&Job::ReceiveSnapshot { link, .. }, Some(ports)) => {
                        ports.tell(LearnerInput::ReceiveSnapshot { link });
                    }
                    (&Job::ReadLog { link, .. }, Some(ports)) => {
                        ports.tell(LearnerInput::WhenRoom { link });
                    }
                    _ => {}
                }
                self.journal.begin(job)?;
            }
            self.commit()?;
            let Some(event) = self.journal.drained() else { break };
            self.sequencer.on_event(event, now, &mut self.out);
        }
        if let Some(ports) = &mut self.ports {
            // Nothing of what is closed here is heard of any more.
            for word in &self.out.peers {
                if let ToPeer::Close { link, .. } = word {
                    self.journal.forget(*link);
                }
            }
            ports.send(&mut self.out);
        }
        self.deliver();
        self.set_alarm(now);
        Ok(())
    }

    fn append(&mut self) -> Result<(), RunError> {
        for (zxid, txn) in self.out.appends.drain(..) {
            self.journal.append(zxid, &txn)?;
        }
        Ok(())
    }

    /// When the log is free, commits what was judged.
    fn commit(&mut self) -> Result<(), RunError> {
        if self.journal.may_submit() {
            self.last_commit_us = clock::monotonic_us();
            self.sequencer.close_batch(self.last_commit_us);
            self.journal.submit()?;
        }
        Ok(())
    }

    /// Takes the end of a commit from the log.
    fn collect(&mut self, now: Now) -> Result<(), RunError> {
        if let Some(durable) = self.journal.poll()? {
            self.sequencer.on_logged(durable, now, &mut self.out);
            self.count_commit();
        }
        Ok(())
    }

    fn count_commit(&mut self) {
        let Some(stats) = self.journal.stats() else { return };
        let counters = &mut self.sequencer.counters;
        counters.batch_records.record(stats.records - self.records);
        counters.logged += stats.records - self.records;
        let us = u64::try_from(stats.commit_time_last.as_micros()).unwrap_or(u64::MAX);
        counters.sync_us.record_us(us);
        self.records = stats.records;
    }

    fn on_tick(&mut self, now: Now) -> Result<(), RunError> {
        self.alarm_ms = self.alarm_ms.filter(|&alarm_ms| alarm_ms > now.monotonic_ms());
        self.sequencer.on_tick(now, &mut self.out);
        self.append()?;
        if now.monotonic_us.saturating_sub(self.last_commit_us) > IDLE_BEFORE_MARK_US {
            self.journal.mark_idle()?;
        }
        self.keep_snapshot();
        Ok(())
    }

    /// Has a tick come when the node wants one before the next regular one.
    fn set_alarm(&mut self, now: Now) {
        let Some(due_ms) = self.sequencer.deadline_ms() else { return };
        let wait = Duration::from_millis(due_ms.saturating_sub(now.monotonic_ms()));
        if wait >= TICK || self.alarm_ms.is_some_and(|alarm_ms| alarm_ms <= due_ms) {
            return;
        }
        self.alarm_ms = Some(due_ms);
        let door = self.own_door.clone();
        spawn(async move {
            sleep(wait).await;
            door.send(Input::Tick);
        });
    }

    /// Begins a snapshot when one is due, of a state that is committed and on the own disk.
    fn keep_snapshot(&mut self) {
        let Some(stats) = self.journal.stats() else { return };
        if self.to_keep.is_none() {
            let keepable = self.sequencer.keepable();
            let due = keepable.filter(|root| self.snapshots.is_due(root.last_zxid(), stats));
            self.to_keep = due.cloned();
        }
        let Some(root) = self.to_keep.take_if(|root| root.last_zxid() <= self.journal.durable())
        else {
            return;
        };
        let zxid = root.last_zxid();
        if self.housekeeper.snapshot(root) {
            self.journal.roll();
            self.snapshots.taken(zxid, stats);
        }
    }

    fn on_kept(&mut self, kept: &Kept) {
        let counters = &mut self.sequencer.counters;
        match &kept.result {
            Ok(time) => {
                tracing::info!("snapshot {} written in {time:?}", kept.zxid);
                counters.snapshot_ms.record(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            }
            Err(error) => {
                counters.snapshot_errors += 1;
                tracing::error!("snapshot {} failed, the log is kept: {error}", kept.zxid);
            }
        }
    }

    /// Enqueues to all shards, then announces, then wakes: only then may a reply leave.
    fn deliver(&mut self) {
        if self.out.deliveries.is_empty() {
            return;
        }
        let mut newest = None;
        for delivery in self.out.deliveries.drain(..) {
            match delivery {
                Delivery::One(shard, message) => {
                    if let Some(door) = self.shards.get(usize::from(shard)) {
                        door.push(message);
                    }
                }
                Delivery::All(publication) => {
                    newest = Some(publication.sequence);
                    for door in &self.shards {
                        door.push(ToShard::Publish(Arc::clone(&publication)));
                    }
                }
            }
        }
        if let Some(sequence) = newest {
            self.announced.announce(sequence);
        }
        for door in &self.shards {
            door.wake();
        }
    }

    fn answer(&mut self, question: Question, asker: &Sender<Answered>, now: Now) {
        let sequencer = &mut self.sequencer;
        if question == Question::Reset {
            sequencer.counters = WriteCounters::default();
        }
        let deadlines = match question {
            Question::Dump => sequencer.deadlines(now),
            Question::Report | Question::Reset => BTreeMap::new(),
        };
        asker.send(Answered {
            standing: sequencer.standing(now),
            counters: sequencer.counters.clone(),
            root: sequencer.committed().clone(),
            sessions: sequencer.session_count(),
            digests: sequencer.digests(),
            deadlines,
        });
    }

    /// Commits what is judged, tells its writers, and leaves a synced log behind.
    fn stop(mut self) -> Result<(), RunError> {
        self.append()?;
        self.sequencer.close_batch(clock::monotonic_us());
        if let Some(durable) = self.journal.flush()? {
            self.sequencer.on_logged(durable, now(), &mut self.out);
            self.sequencer.settle(&mut self.out);
            tracing::info!("the log is synced up to {durable}");
        }
        self.deliver();
        if let Some(ports) = &self.ports {
            ports.stop();
        }
        let last = self.last_snapshot();
        self.journal.close()?;
        if let Some(root) = last {
            self.housekeeper.end_with(root);
        }
        Ok(())
    }

    /// The state to be kept at the end, when the next start would have much to replay otherwise.
    fn last_snapshot(&self) -> Option<Root> {
        let stats = self.journal.stats()?;
        let root = self.sequencer.keepable()?;
        let zxid = root.last_zxid();
        // One that is under way is given up, so it counts for nothing.
        let due = self.housekeeper.is_busy() || self.snapshots.is_last_due(zxid, stats);
        (due && zxid <= self.journal.durable()).then(|| root.clone())
    }
}
