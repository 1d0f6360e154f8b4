//! What a process asks of its disk, and when that ends.
//!
//! Commits of the log are started and collected as in the server's waiting half. The rarer jobs are
//! one queue behind the appends before them; epochs are saved beside it, and so are snapshots kept.
//! A job is done at the moment in which it ends: a crash before finds the disk as if it had not
//! begun, or cut off in the middle of it (see [`World::crash`]).

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

use menagerie::sequencer::Job;
use menagerie::store::{HistoryNumber, StoreError};
use menagerie_engine::snapshot::Pace;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::wal::purge::Retention;
use menagerie_replication::{Epochs, Event, Link};
use menagerie_wire::{ServerId, Zxid};

use super::machine::{Process, StartError};
use super::{Input, Mutant, World};

/// Snapshots that a member keeps.
const RETENTION: Retention = Retention { snapshots: 2, bytes_max: None };

/// What is asked of a disk beside appending.
#[derive(Default)]
pub(super) struct DiskWork {
    /// In order; each behind what had been appended when it was asked for.
    queue: VecDeque<(Zxid, Job)>,
    /// Whether the first of the queue is being done.
    begun: bool,
    /// Snapshots that have come whole, for installs in the queue.
    received: Vec<(Link, Tree)>,
    saving: Option<Epochs>,
    keeping: Option<(Root, HistoryNumber)>,
    /// The process is about to end, with an error.
    pub(super) halting: bool,
}

/// What a job comes to.
enum Done {
    Truncated { last_logged: Zxid, tree: Option<Tree> },
    NotCut { to: Zxid },
    Installed { zxid: Zxid, tree: Tree },
    Drained { generation: u64, last_logged: Zxid, epochs: Epochs },
}

impl DiskWork {
    /// A snapshot has come whole.
    pub(super) fn receive(&mut self, link: Link, tree: Tree) {
        self.received.push((link, tree));
    }

    /// The log was cut or replaced: what was to wait for more than is left waits for its end.
    fn log_ends_at(&mut self, zxid: Zxid) {
        for (behind, _) in &mut self.queue {
            *behind = (*behind).min(zxid);
        }
    }

    /// A link has ended: what had not come whole by it never will.
    pub(super) fn forget(&mut self, link: Link) {
        let begun = usize::from(self.begun);
        let of_link = |job: &Job| matches!(job, Job::ReceiveSnapshot { link: l, .. } if *l == link);
        let mut index = 0;
        self.queue.retain(|(_, job)| {
            index += 1;
            index <= begun || !of_link(job)
        });
        if !self.queue.iter().any(|(_, job)| of_link(job)) {
            self.received.retain(|(l, _)| *l != link);
        }
    }

    /// A role is over: no snapshot is waited for any more, even one whose link ended before it was
    /// asked for.
    fn give_up(&mut self) {
        let Self { queue, received, begun, .. } = self;
        let mut index = 0;
        queue.retain(|(_, job)| {
            index += 1;
            let waits = |link: &Link| !received.iter().any(|(l, _)| l == link);
            let is_vain = matches!(job, Job::ReceiveSnapshot { link, .. } if waits(link));
            index <= usize::from(*begun) || !is_vain
        });
    }
}

impl Process {
    /// Whether the first job of the queue may begin.
    fn is_due(&self, mutant: Option<Mutant>) -> bool {
        let work = &self.work;
        let Some((behind, job)) = work.queue.front() else { return false };
        let idle = self
            .writer
            .as_ref()
            .is_none_or(|writer| writer.durable_zxid() >= *behind && !writer.is_under_way());
        let hasty = mutant == Some(Mutant::DrainWithoutWaiting);
        let ready = match job {
            Job::Drain { .. } if hasty => return !work.begun,
            Job::Drain { .. } => work.saving.is_none(),
            Job::ReceiveSnapshot { link, .. } => work.received.iter().any(|(l, _)| l == link),
            _ => true,
        };
        idle && ready && !work.begun
    }

    /// Does what the first job of the queue asks of the disk.
    fn do_job(&mut self, mutant: Option<Mutant>) -> Result<Done, StartError> {
        let (_, job) = self.work.queue.pop_front().expect("a job that was begun");
        self.work.begun = false;
        match job {
            Job::Truncate { to, .. } if mutant == Some(Mutant::TruncateInMemory) => {
                Ok(Done::Truncated { last_logged: to, tree: None })
            }
            Job::Truncate { to, rebuild } => {
                let writer = &mut self.writer;
                let close = || {
                    *writer = None;
                    Ok(())
                };
                let cut = match self.store.cut(to, rebuild, close) {
                    Err(StoreError::OutOfReach(_)) => return Ok(Done::NotCut { to }),
                    cut => cut?,
                };
                self.writer = Some(self.store.open_writer(&cut.log)?);
                self.work.log_ends_at(cut.last_logged);
                Ok(Done::Truncated { last_logged: cut.last_logged, tree: cut.tree })
            }
            Job::ReceiveSnapshot { link, zxid } => {
                let received = &mut self.work.received;
                let at = received.iter().position(|(l, _)| *l == link).expect("it has come");
                let (_, mut tree) = received.remove(at);
                if mutant == Some(Mutant::InstallInMemory) {
                    return Ok(Done::Installed { zxid, tree });
                }
                self.writer = None;
                let end = self.store.install(&tree.seal())?;
                self.writer = Some(self.store.open_writer(&end)?);
                self.work.log_ends_at(zxid);
                Ok(Done::Installed { zxid, tree })
            }
            Job::Drain { generation } => {
                let writer = self.writer.as_ref().expect("a log at rest");
                let last_logged = writer.durable_zxid();
                Ok(Done::Drained { generation, last_logged, epochs: self.store.epochs() })
            }
            Job::SaveEpochs(_) | Job::ReadLog { .. } | Job::KeepEvidence(_) | Job::Halt => {
                unreachable!("not a job of the log")
            }
        }
    }

    fn save_epochs(&mut self) -> Result<Epochs, StoreError> {
        let epochs = self.work.saving.take().expect("epochs on their way");
        self.store.save_epochs(epochs)?;
        Ok(epochs)
    }

    fn keep_snapshot(&mut self) -> Result<(), StoreError> {
        let Some((root, history)) = self.work.keeping.take() else { return Ok(()) };
        let stop = AtomicBool::new(false);
        match self.store.keep_snapshot(&root, history, Pace::UNPACED, &stop) {
            Err(StoreError::Superseded) => return Ok(()),
            kept => kept?,
        }
        self.store.purge(RETENTION)
    }

    /// Does at once whatever the disk is asked for, on a disk that is about to lose power.
    pub(super) fn hurry(&mut self) {
        if self.work.saving.is_some() {
            let _ = self.save_epochs();
        }
        if self.work.keeping.is_some() {
            let _ = self.keep_snapshot();
        }
        if self.work.begun {
            let _ = self.do_job(None);
        }
    }
}

impl World {
    /// Puts what was judged or received behind the log, and starts a commit if the log is free.
    pub(super) fn write_log(&mut self, id: ServerId) -> Result<(), StartError> {
        let (now_us, now) = (self.now_us, self.node_now(id));
        let process = self.process(id);
        let appends = std::mem::take(&mut process.out.appends);
        let led = std::mem::take(&mut process.led) | process.leads();
        let Some(writer) = &mut process.writer else {
            assert!(appends.is_empty(), "{id} appends to a log that is being replaced");
            return Ok(());
        };
        for (zxid, txn) in &appends {
            writer.append(*zxid, txn)?;
        }
        let starts = !writer.is_under_way() && writer.pending_bytes() > 0;
        if starts {
            process.sequencer.close_batch(now.monotonic_us);
            writer.submit()?;
            process.commit_since_us = now_us;
        }
        for (zxid, txn) in &appends {
            self.observer.on_append(id, *zxid, txn, led);
            self.trace.bytes(txn);
        }
        if starts && self.is(Mutant::AckBeforeSync) {
            let Process { sequencer, writer, out, .. } = self.process(id);
            let last = writer.as_ref().map_or(Zxid::ZERO, |log| log.last_zxid());
            sequencer.on_logged(last, now, out);
        }
        if starts {
            self.disk_input(id, self.plan.commit_us, Input::LogDone);
        }
        Ok(())
    }

    /// Takes new jobs, and begins what may begin.
    pub(super) fn queue_jobs(&mut self, id: ServerId) {
        for job in std::mem::take(&mut self.process(id).out.jobs) {
            match job {
                Job::SaveEpochs(epochs) => {
                    self.process(id).work.saving = Some(epochs);
                    self.observer.on_saving(id, epochs);
                    self.disk_input(id, self.plan.job_us, Input::EpochsSaved);
                }
                Job::ReadLog { link, from, .. } => {
                    self.disk_input(id, self.plan.job_us, Input::LogRead { link, from });
                }
                Job::KeepEvidence(root) => {
                    panic!("{id} has another tree than its leader at {}", root.last_zxid())
                }
                Job::Halt => self.process(id).work.halting = true,
                job => {
                    let process = self.process(id);
                    let last = process.writer.as_ref().map_or(Zxid::ZERO, |w| w.last_zxid());
                    if matches!(job, Job::Drain { .. }) {
                        process.work.give_up();
                    }
                    process.work.queue.push_back((last, job));
                }
            }
        }
        self.begin_job(id);
    }

    pub(super) fn begin_job(&mut self, id: ServerId) {
        let mutant = self.plan.mutant;
        let process = self.process(id);
        if !process.is_due(mutant) {
            return;
        }
        process.work.begun = true;
        let Some((_, job)) = process.work.queue.front() else { return };
        match *job {
            Job::Truncate { to, .. } => self.observer.on_truncating(id, to),
            Job::ReceiveSnapshot { zxid, .. } => self.observer.on_installing(id, zxid),
            _ => {}
        }
        self.disk_input(id, self.plan.job_us, Input::JobDone);
    }

    /// A commit has ended.
    pub(super) fn log_done(&mut self, id: ServerId) -> Result<(), StartError> {
        let now = self.node_now(id);
        let process = self.process(id);
        let Some(writer) = &mut process.writer else { return Ok(()) };
        if let Some(durable) = writer.poll()? {
            process.commit_since_us = u64::MAX;
            self.observer.on_durable(id, durable);
            let process = self.process(id);
            process.sequencer.on_logged(durable, now, &mut process.out);
        }
        Ok(())
    }

    pub(super) fn epochs_saved(&mut self, id: ServerId) -> Result<(), StartError> {
        let now = self.node_now(id);
        let process = self.process(id);
        let epochs = process.work.saving.expect("epochs on their way");
        if self.is(Mutant::EpochsInMemory) {
            self.process(id).work.saving = None;
        } else {
            self.process(id).save_epochs()?;
            self.observer.on_saved(id);
        }
        let process = self.process(id);
        process.sequencer.on_event(Event::EpochSaved { epochs }, now, &mut process.out);
        Ok(())
    }

    pub(super) fn job_done(&mut self, id: ServerId) -> Result<(), StartError> {
        let now = self.node_now(id);
        let mutant = self.plan.mutant;
        let done = self.process(id).do_job(mutant)?;
        let process = self.machines.get_mut(&id).and_then(|machine| machine.process.as_mut());
        let process = process.expect("a process that runs");
        let (sequencer, out) = (&mut process.sequencer, &mut process.out);
        match done {
            Done::NotCut { to } => {
                self.observer.on_not_cut(id);
                sequencer.on_event(Event::CannotCut { to }, now, out);
            }
            Done::Truncated { last_logged, tree } => {
                self.observer.on_replaced(id, last_logged);
                sequencer.on_truncated(last_logged, tree, now, out);
            }
            Done::Installed { zxid, tree } => {
                self.observer.on_replaced(id, zxid);
                sequencer.on_installed(zxid, tree, now, out);
            }
            Done::Drained { generation, last_logged, epochs } => {
                let drained = Event::Drained { generation, last_logged, epochs };
                sequencer.on_event(drained, now, out);
            }
        }
        Ok(())
    }

    /// Reads the log for a learner that is behind the history window.
    pub(super) fn log_read(&mut self, id: ServerId, link: Link, from: Zxid) {
        let now = self.node_now(id);
        let process = self.process(id);
        if !process.links.contains_key(&link) {
            return;
        }
        let durable = process.writer.as_ref().map_or(Zxid::ZERO, |log| log.durable_zxid());
        if from >= durable {
            // What it needs is on its way to the disk.
            return self.disk_input(id, self.plan.job_us, Input::LogRead { link, from });
        }
        let Process { store, sequencer, cursors, out, .. } = process;
        let cursor = cursors.entry(link).or_insert_with(|| store.log_cursor());
        let read = cursor.read(from, durable, sequencer.committed());
        sequencer.on_event(Event::LogRead { link, read }, now, out);
    }

    /// Begins a snapshot of what is committed, if one is due.
    pub(super) fn look_after_snapshots(&mut self, id: ServerId) {
        let every = self.plan.snapshot_every;
        let process = self.process(id);
        if process.txns_since_snapshot < every || process.work.keeping.is_some() {
            return;
        }
        let root = process.sequencer.committed().clone();
        // A quorum may have committed what the own disk does not hold yet.
        if process.writer.as_ref().is_none_or(|log| log.durable_zxid() < root.last_zxid()) {
            return;
        }
        process.txns_since_snapshot = 0;
        process.work.keeping = Some((root, process.store.history()));
        if let Some(writer) = &mut process.writer {
            writer.roll();
        }
        self.disk_input(id, self.plan.job_us, Input::SnapshotKept);
    }

    pub(super) fn snapshot_kept(&mut self, id: ServerId) -> Result<(), StartError> {
        let process = self.process(id);
        // A server goes on without: its log holds everything.
        let _ = process.keep_snapshot();
        process.pool.work_once()?;
        Ok(())
    }
}
