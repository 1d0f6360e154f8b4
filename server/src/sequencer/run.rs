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
use std::time::{Duration, Instant};

use menagerie_engine::disk::SystemDisk;
use menagerie_engine::tree::Root;
use menagerie_engine::wal::{WalError, Writer};
use menagerie_wire::{SessionId, Zxid};

use crate::admin::metrics::WriteCounters;

use crate::housekeeping::{Housekeeper, Kept, SnapshotPolicy};
use crate::runtime::clock::{self, sleep};
use crate::runtime::log_event::LogEvent;
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::{spawn, yield_if_needed};
use crate::sequencer::message::{ToSequencer, ToShard};
use crate::sequencer::publication::Announced;
use crate::sequencer::standing::Standing;
use crate::sequencer::{Delivery, Now, Output, Sequencer};

/// How often the clock is looked at for expiry.
const TICK: Duration = Duration::from_millis(50);
/// Requests judged before the log and the shards get their turn again.
const REQUESTS_PER_TURN: usize = 1024;
/// Bytes that may gather behind the commit under way: above, requests wait in their mailbox, and
/// connections that are owed much are not read.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// How long the log must be quiet before it gets its mark.
const IDLE_BEFORE_MARK: Duration = Duration::from_millis(200);

/// What the sequencer's core can be told beside the shards' requests.
pub enum Input {
    /// The log's ring has completed something.
    Completed,
    /// Completions of the log's ring are not seen any more.
    Blind(io::Error),
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
}

/// Runs until told to stop.
///
/// # Errors
/// When the log cannot be written: nothing after the last publication was acknowledged.
pub async fn run(parts: Parts) -> Result<(), WalError> {
    let own_door = parts.own_door.clone();
    let event_fd = parts.writer.event_fd().expect("a log on a real disk has a ring");
    match LogEvent::new(event_fd) {
        Ok(event) => spawn(forward_completions(event, own_door.clone())),
        Err(error) => own_door.send(Input::Blind(error)),
    }
    spawn(forward_ticks(own_door));
    let shards = parts.shards.clone();
    let mut running =
        Running { parts, out: Output::default(), last_commit: Instant::now(), records: 0 };
    let result = match running.serve().await {
        Ok(()) => running.stop(),
        Err(error) => Err(error),
    };
    for shard in &shards {
        shard.send(ToShard::Stop);
    }
    result
}

async fn forward_completions(event: LogEvent, door: Sender<Input>) {
    loop {
        match event.completed().await {
            Ok(()) => door.send(Input::Completed),
            Err(error) => return door.send(Input::Blind(error)),
        }
    }
}

fn blind(error: io::Error) -> WalError {
    let file = "the event of its ring".to_owned();
    WalError::Io { what: "wait for", file, error: Arc::new(error) }
}

async fn forward_ticks(door: Sender<Input>) {
    loop {
        sleep(TICK).await;
        door.send(Input::Tick);
    }
}

/// What the clocks say.
pub fn now() -> Now {
    Now { monotonic_ms: clock::monotonic_ms(), wall_ms: clock::wall_ms() }
}

struct Running {
    parts: Parts,
    out: Output,
    last_commit: Instant,
    /// Records of the log when its last commit was collected.
    records: u64,
}

impl Running {
    async fn serve(&mut self) -> Result<(), WalError> {
        self.parts.sequencer.start(&mut self.out);
        loop {
            poll_fn(|cx| self.poll_input(cx)).await;
            let now = now();
            while let Some(input) = self.parts.inbox.try_receive() {
                match input {
                    // Collected below.
                    Input::Completed => {}
                    Input::Blind(error) => return Err(blind(error)),
                    Input::Tick => self.on_tick(now)?,
                    Input::Ask(question, asker) => self.answer(question, &asker, now),
                    Input::Kept(kept) => self.on_kept(&kept),
                    Input::Stop => return Ok(()),
                }
            }
            // In every turn: a commit that has ended is often seen before its event comes round.
            self.collect(now)?;
            self.take_requests(now)?;
            self.parts.sequencer.settle(&mut self.out);
            self.commit()?;
            self.deliver();
            yield_if_needed().await;
        }
    }

    /// Ready when there is something to do.
    fn poll_input(&self, cx: &Context<'_>) -> Poll<()> {
        let inbox = self.parts.inbox.poll_filled(cx);
        if self.is_full() {
            // The end of the commit under way comes through the inbox.
            return inbox;
        }
        let requests = self.parts.requests.poll_filled(cx);
        if inbox.is_ready() { inbox } else { requests }
    }

    /// Whether requests have to wait for the log.
    fn is_full(&self) -> bool {
        self.parts.writer.is_under_way() && self.parts.writer.pending_bytes() > PENDING_BYTES_MAX
    }

    fn take_requests(&mut self, now: Now) -> Result<(), WalError> {
        for _ in 0..REQUESTS_PER_TURN {
            if self.is_full() {
                return Ok(());
            }
            let Some(message) = self.parts.requests.try_receive() else { return Ok(()) };
            self.parts.sequencer.on_message(message, now, &mut self.out);
            self.append()?;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), WalError> {
        for (zxid, txn) in self.out.appends.drain(..) {
            self.parts.writer.append(zxid, &txn)?;
        }
        Ok(())
    }

    /// When the log is free, commits what was judged.
    fn commit(&mut self) -> Result<(), WalError> {
        self.append()?;
        if !self.parts.writer.is_under_way() && self.parts.writer.pending_bytes() > 0 {
            self.parts.sequencer.close_batch();
            self.parts.writer.submit()?;
            self.last_commit = Instant::now();
        }
        Ok(())
    }

    /// Takes the end of a commit from the log.
    fn collect(&mut self, now: Now) -> Result<(), WalError> {
        if let Some(durable) = self.parts.writer.poll()? {
            self.parts.sequencer.on_logged(durable, now, &mut self.out);
            let stats = self.parts.writer.stats();
            let counters = &mut self.parts.sequencer.counters;
            counters.batch_records.record(stats.records - self.records);
            counters.logged += stats.records - self.records;
            let us = u64::try_from(stats.commit_time_last.as_micros()).unwrap_or(u64::MAX);
            counters.sync_us.record(us);
            self.records = stats.records;
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Now) -> Result<(), WalError> {
        self.parts.sequencer.on_tick(now, &mut self.out);
        if self.last_commit.elapsed() > IDLE_BEFORE_MARK {
            self.parts.writer.mark_idle()?;
        }
        let committed = self.parts.sequencer.committed();
        if self.parts.snapshots.is_due(committed.last_zxid(), self.parts.writer.stats())
            && self.parts.housekeeper.snapshot(committed.clone())
        {
            self.parts.writer.roll();
            self.parts.snapshots.taken(committed.last_zxid(), self.parts.writer.stats());
        }
        Ok(())
    }

    fn on_kept(&mut self, kept: &Kept) {
        let counters = &mut self.parts.sequencer.counters;
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
                    if let Some(door) = self.parts.shards.get(usize::from(shard)) {
                        door.push(message);
                    }
                }
                Delivery::All(publication) => {
                    newest = Some(publication.sequence);
                    for door in &self.parts.shards {
                        door.push(ToShard::Publish(Arc::clone(&publication)));
                    }
                }
            }
        }
        if let Some(sequence) = newest {
            self.parts.announced.announce(sequence);
        }
        for door in &self.parts.shards {
            door.wake();
        }
    }

    fn answer(&mut self, question: Question, asker: &Sender<Answered>, now: Now) {
        let sequencer = &mut self.parts.sequencer;
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
    fn stop(mut self) -> Result<(), WalError> {
        self.append()?;
        self.parts.sequencer.close_batch();
        let durable = self.parts.writer.flush()?;
        self.parts.sequencer.on_logged(durable, now(), &mut self.out);
        self.parts.sequencer.settle(&mut self.out);
        self.deliver();
        self.parts.writer.close()?;
        tracing::info!("the log is synced up to {durable}");
        Ok(())
    }
}
