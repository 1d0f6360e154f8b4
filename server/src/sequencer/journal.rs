//! The sequencer's disk: the log that is written, and the jobs that interrupt it.
//!
//! Appending and committing happen on this core. What blocks for longer, saving epochs, cutting the
//! log, taking a leader's snapshot in its place, reading back for a learner, happens in threads;
//! their ends come through the sequencer's inbox as [`Done`]. While the log is cut or replaced
//! there is no writer, and the node appends nothing.
//!
//! The first failure of the disk is the end of the server.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use menagerie_engine::disk::SystemDisk;
use menagerie_engine::snapshot::{SnapshotDirectory, jute_stream};
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::wal::writer::Stats;
use menagerie_engine::wal::{WalError, Writer};
use menagerie_replication::{Epochs, Event, Link, LogRead};
use menagerie_wire::Zxid;

use super::output::Job;
use super::run::{Input, RunError};
use crate::runtime::log_event::{self, LogEvent};
use crate::runtime::mailbox::Sender;
use crate::runtime::offload::offload;
use crate::runtime::spawn;
use crate::store::{LogCursor, ServerStore, StoreError};

/// The end of a job.
pub enum Done {
    EpochsSaved(Epochs),
    Truncated {
        last_logged: Zxid,
        writer: Writer<SystemDisk>,
        tree: Option<Tree>,
    },
    /// The log does not reach back. Nothing has changed.
    NotCut {
        to: Zxid,
        writer: Writer<SystemDisk>,
    },
    Installed {
        zxid: Zxid,
        writer: Writer<SystemDisk>,
        tree: Tree,
    },
    /// What a leader sent makes no tree. Nothing has changed.
    Refused {
        link: Link,
        writer: Writer<SystemDisk>,
        error: jute_stream::StreamError,
    },
    LogRead {
        link: Link,
        read: Option<LogRead>,
        cursor: Cursor,
    },
}

type Cursor = LogCursor<SystemDisk, SnapshotDirectory>;

/// A snapshot on its way in.
struct Incoming {
    link: Link,
    zxid: Zxid,
    receiver: jute_stream::Receiver,
}

/// What a portion of a snapshot came to.
pub(super) enum Portion {
    /// More is to come.
    Taken,
    /// The stream has ended, and this came behind it.
    Whole { behind: Vec<u8> },
    /// Nobody waits for it.
    Unwanted,
    /// It is no snapshot.
    Malformed(jute_stream::StreamError),
}

/// The log, and the jobs.
pub(super) struct Journal {
    store: ServerStore,
    /// `None` while the log is cut or replaced.
    writer: Option<Writer<SystemDisk>>,
    door: Sender<Input>,
    /// The writer whose completions are waited for, by number.
    watched: Rc<Cell<u64>>,
    record_bytes_max: usize,
    incoming: Option<Incoming>,
    /// Jobs that must be over before the disk is at rest.
    under_way: usize,
    draining: Option<u64>,
    /// Where learners are in the log, which they get piece by piece.
    reads: BTreeMap<Link, Read>,
}

/// A learner's way through the log.
struct Read {
    /// What is to be read when the learner has room.
    next: Option<(Zxid, Root)>,
    /// `None` while it is read with.
    cursor: Option<Cursor>,
}

impl Journal {
    /// Waits for the writer's completions from here on. `record_bytes_max` bounds a record of a
    /// leader's snapshot.
    pub(super) fn new(
        store: ServerStore,
        writer: Writer<SystemDisk>,
        door: Sender<Input>,
        record_bytes_max: usize,
    ) -> Self {
        let mut journal = Self {
            store,
            writer: None,
            door,
            watched: Rc::default(),
            record_bytes_max,
            incoming: None,
            under_way: 0,
            draining: None,
            reads: BTreeMap::new(),
        };
        journal.watch(writer);
        journal
    }

    fn watch(&mut self, writer: Writer<SystemDisk>) {
        let number = self.watched.get() + 1;
        self.watched.set(number);
        let event_fd = writer.event_fd().expect("a log on a real disk has a ring");
        match LogEvent::new(event_fd) {
            Ok(event) => {
                let watched = Rc::clone(&self.watched);
                spawn(forward_completions(event, number, watched, self.door.clone()));
            }
            Err(error) => self.door.send(Input::Blind(error)),
        }
        self.writer = Some(writer);
    }

    /// Gives the writer up, to be closed.
    fn unwatch(&mut self) -> Writer<SystemDisk> {
        let writer = self.writer.take().expect("the log is cut or replaced once at a time");
        self.watched.set(self.watched.get() + 1);
        // Whoever waits for it looks up and goes.
        writer.event_fd().map(log_event::ring);
        writer
    }

    pub(super) fn append(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), WalError> {
        self.writer.as_mut().expect("nothing is appended while the log is cut").append(zxid, txn)
    }

    /// Whether there is something to commit, and nothing under way.
    pub(super) fn may_submit(&self) -> bool {
        self.writer.as_ref().is_some_and(|log| !log.is_under_way() && log.pending_bytes() > 0)
    }

    pub(super) fn submit(&mut self) -> Result<(), WalError> {
        self.writer.as_mut().map_or(Ok(()), |log| log.submit().map(drop))
    }

    /// Whether what gathers behind the commit under way is more than `bytes_max`.
    pub(super) fn is_full(&self, bytes_max: usize) -> bool {
        let full = |log: &Writer<_>| log.is_under_way() && log.pending_bytes() > bytes_max;
        self.writer.as_ref().is_some_and(full)
    }

    /// The end of the commit under way.
    pub(super) fn poll(&mut self) -> Result<Option<Zxid>, WalError> {
        self.writer.as_mut().map_or(Ok(None), Writer::poll)
    }

    pub(super) fn mark_idle(&mut self) -> Result<(), WalError> {
        self.writer.as_mut().map_or(Ok(()), |log| log.mark_idle().map(drop))
    }

    pub(super) fn roll(&mut self) {
        if let Some(log) = &mut self.writer {
            log.roll();
        }
    }

    pub(super) fn stats(&self) -> Option<Stats> {
        self.writer.as_ref().map(Writer::stats)
    }

    pub(super) fn durable(&self) -> Zxid {
        self.writer.as_ref().map_or(Zxid::ZERO, Writer::durable_zxid)
    }

    /// Commits everything and ends. Returns where the log ends.
    pub(super) fn flush(&mut self) -> Result<Option<Zxid>, WalError> {
        self.writer.as_mut().map(Writer::flush).transpose()
    }

    pub(super) fn close(self) -> Result<(), WalError> {
        self.writer.map_or(Ok(()), |log| log.close().map(drop))
    }

    /// Begins a job. Reading for a learner waits for [`Self::read_on`].
    pub(super) fn begin(&mut self, job: Job) -> Result<(), RunError> {
        match job {
            Job::SaveEpochs(epochs) => self.save_epochs(epochs),
            Job::Truncate { to, rebuild } => self.truncate(to, rebuild),
            Job::ReceiveSnapshot { link, zxid } => {
                let receiver = jute_stream::Receiver::new(self.record_bytes_max);
                self.incoming = Some(Incoming { link, zxid, receiver });
            }
            Job::ReadLog { link, from, newest } => {
                let cursor = || Read { next: None, cursor: Some(self.store.log_cursor()) };
                self.reads.entry(link).or_insert_with(cursor).next = Some((from, newest));
            }
            Job::Drain { generation } => {
                self.incoming = None;
                self.reads.clear();
                self.draining = Some(generation);
            }
            Job::KeepEvidence(root) => self.keep_evidence(root),
            Job::Halt => return Err(RunError::Halted),
        }
        Ok(())
    }

    fn save_epochs(&mut self, epochs: Epochs) {
        let store = self.store.clone();
        self.run("save-epochs", move || {
            store.save_epochs(epochs).map(|()| Done::EpochsSaved(epochs)).map_err(Into::into)
        });
    }

    fn truncate(&mut self, to: Zxid, rebuild: bool) {
        let store = self.store.clone();
        let writer = self.unwatch();
        self.run("truncate-log", move || {
            let mut open = Some(writer);
            let close = || open.take().map_or(Ok(()), |writer| writer.close().map(drop));
            let cut = store.cut(to, rebuild, close);
            if let (Err(StoreError::OutOfReach(error)), Some(writer)) = (&cut, open) {
                tracing::warn!("the log cannot be cut behind {to}: {error}");
                return Ok(Done::NotCut { to, writer });
            }
            let cut = cut?;
            let writer = store.open_writer(&cut.log)?;
            Ok(Done::Truncated { last_logged: cut.last_logged, writer, tree: cut.tree })
        });
    }

    /// Nobody waits for it, and a failure of it changes nothing.
    fn keep_evidence(&self, root: Root) {
        let store = self.store.clone();
        spawn(async {
            match offload("keep-evidence", move || store.keep_evidence(&root)).await {
                Ok(Ok(Some(directory))) => {
                    tracing::error!("the tree that differs is kept in {}", directory.display());
                }
                Ok(Ok(None)) => tracing::error!("earlier trees that differed are kept, not this"),
                Ok(Err(error)) => tracing::error!("a tree that differs cannot be kept: {error}"),
                Err(error) => tracing::error!("a tree that differs cannot be kept: {error}"),
            }
        });
    }

    /// Takes a part of the snapshot that a leader sends.
    pub(super) fn take_portion(&mut self, from: Link, bytes: &[u8]) -> Portion {
        let wanted = self.incoming.take_if(|incoming| incoming.link == from);
        let Some(mut incoming) = wanted else { return Portion::Unwanted };
        match incoming.receiver.push(bytes) {
            Ok(None) => {
                self.incoming = Some(incoming);
                Portion::Taken
            }
            Ok(Some(behind)) => {
                self.install(incoming);
                Portion::Whole { behind }
            }
            Err(error) => Portion::Malformed(error),
        }
    }

    fn install(&mut self, Incoming { link, zxid, receiver }: Incoming) {
        let store = self.store.clone();
        let writer = self.unwatch();
        self.run("install-snapshot", move || {
            let mut tree = match receiver.finish(zxid) {
                Ok(tree) => tree,
                Err(error) => return Ok(Done::Refused { link, writer, error }),
            };
            writer.close()?;
            let log = store.install(&tree.seal())?;
            let writer = store.open_writer(&log)?;
            Ok(Done::Installed { zxid, writer, tree })
        });
    }

    /// The learner has room: reads on for it.
    pub(super) fn read_on(&mut self, link: Link) {
        let Some(read) = self.reads.get_mut(&link) else { return };
        let (Some((from, newest)), Some(mut cursor)) = (read.next.take(), read.cursor.take())
        else {
            return;
        };
        let durable = self.durable();
        self.run("read-log", move || {
            let read = cursor.read(from, durable, &newest);
            Ok(Done::LogRead { link, read, cursor })
        });
    }

    /// A link has ended.
    pub(super) fn forget(&mut self, link: Link) {
        self.reads.remove(&link);
        self.incoming.take_if(|incoming| incoming.link == link);
    }

    fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<Done, RunError> + Send + 'static,
    ) {
        self.under_way += 1;
        let door = self.door.clone();
        spawn(async move {
            let done = offload(name, work).await;
            let done = done.unwrap_or_else(|error| Err(RunError::Thread { name, error }));
            door.send(Input::Done(Box::new(done)));
        });
    }

    /// A job is over: what it was about is taken back, and what the node has to hear of it.
    pub(super) fn end(&mut self, done: Done) -> Ended {
        self.under_way -= 1;
        match done {
            Done::EpochsSaved(epochs) => Ended::Event(Event::EpochSaved { epochs }),
            Done::Truncated { last_logged, writer, tree } => {
                self.watch(writer);
                Ended::Truncated { last_logged, tree }
            }
            Done::NotCut { to, writer } => {
                self.watch(writer);
                Ended::Event(Event::CannotCut { to })
            }
            Done::Installed { zxid, writer, tree } => {
                self.watch(writer);
                Ended::Installed { zxid, tree }
            }
            Done::Refused { link, writer, error } => {
                self.watch(writer);
                Ended::Refused { link, error }
            }
            Done::LogRead { link, read, cursor } => {
                if let Some(of_link) = self.reads.get_mut(&link) {
                    of_link.cursor = Some(cursor);
                }
                Ended::Event(Event::LogRead { link, read })
            }
        }
    }

    /// The role is over and the disk is at rest.
    pub(super) fn drained(&mut self) -> Option<Event> {
        let at_rest = |log: &Writer<_>| !log.is_under_way() && log.pending_bytes() == 0;
        if self.under_way > 0 || !self.writer.as_ref().is_some_and(at_rest) {
            return None;
        }
        let generation = self.draining.take()?;
        let (last_logged, epochs) = (self.durable(), self.store.epochs());
        Some(Event::Drained { generation, last_logged, epochs })
    }
}

/// What the sequencer has to hear of the end of a job.
pub(super) enum Ended {
    Event(Event),
    Truncated { last_logged: Zxid, tree: Option<Tree> },
    Installed { zxid: Zxid, tree: Tree },
    Refused { link: Link, error: jute_stream::StreamError },
}

async fn forward_completions(
    event: LogEvent,
    number: u64,
    watched: Rc<Cell<u64>>,
    door: Sender<Input>,
) {
    while watched.get() == number {
        match event.completed().await {
            Ok(()) => door.send(Input::Completed),
            Err(error) => return door.send(Input::Blind(error)),
        }
    }
}

pub(super) fn blind(error: io::Error) -> WalError {
    let file = "the event of its ring".to_owned();
    WalError::Io { what: "wait for", file, error: Arc::new(error) }
}
