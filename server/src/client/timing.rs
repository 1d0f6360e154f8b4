//! How long requests took: answers are noted as they are queued, and timed when their turn ends.
//!
//! So the time until they were given to their sockets is part of it, and one look at the clock does
//! for all answers of a turn. Answers that cannot be told apart are noted as one: those to requests
//! of one kind that came from one client in one go, and are answered in one.

use menagerie_wire::{OpCode, Xid};

use crate::admin::stages::Marks;
use crate::client::shard::Shard;
use crate::client::slow::Slow;
use crate::sequencer::publication::{Entry, Publication, Run};

/// Requests whose answers were queued in this turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(super) op: OpCode,
    pub(super) index: u32,
    pub(super) since_us: u64,
    /// Of what took a transaction.
    pub(super) marks: Option<Marks>,
    /// Of the first of them.
    pub(super) xid: Xid,
    /// The first that it changed, of a write that is slow already.
    pub(super) path: Option<Box<str>>,
    pub(super) count: u64,
}

impl Answers {
    pub(super) const fn one(op: OpCode, index: u32, xid: Xid, since_us: u64) -> Self {
        Self { op, index, since_us, marks: None, xid, path: None, count: 1 }
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.op, self.index, self.since_us) == (other.op, other.index, other.since_us)
            && self.marks == other.marks
    }
}

/// How a write became visible that this shard is hearing of.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(super) publication: &'a Publication,
    pub(super) run: &'a Run,
    pub(super) entry: &'a Entry,
}

impl Way<'_> {
    fn marks(&self, adopted_us: u64) -> Marks {
        Marks {
            judged_us: self.entry.judged_us,
            proposed_us: self.entry.proposed_us,
            submitted_us: self.run.logged.submitted_us,
            durable_us: self.run.logged.durable_us,
            committed_us: self.publication.committed_us,
            adopted_us,
        }
    }
}

impl Shard {
    /// An answer is queued.
    pub(super) fn note(&mut self, answers: Answers) {
        match self.answers.last_mut() {
            Some(last) if last.is_like(&answers) => last.count += 1,
            _ => self.answers.push(answers),
        }
    }

    /// These answers, as ones that a transaction has brought.
    pub(super) fn brought(&self, way: &Way<'_>, mut answers: Answers) -> Answers {
        let now_us = self.now.monotonic_us;
        answers.marks = Some(way.marks(now_us));
        if self.slow.is_slow(now_us.saturating_sub(answers.since_us)) {
            let first = way.entry.outcome.changes.first();
            answers.path = first.map(|change| Box::from(&*change.path));
        }
        answers
    }

    /// Whether answers of this turn are not timed yet.
    pub fn has_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The turn is over at `now_us`: what it has queued was given to the sockets.
    pub fn end_turn(&mut self, now_us: u64) {
        self.time_answers(now_us, |line| tracing::warn!("{line}"));
    }

    /// Logs how many slow requests were not, now and then.
    pub fn look_back(&mut self, now_us: u64) {
        if let Some(line) = self.slow.look_back(now_us) {
            tracing::warn!("{line}");
        }
    }

    /// Times what this turn has answered, and logs what was slow.
    fn time_answers(&mut self, now_us: u64, mut log: impl FnMut(String)) {
        let Self { answers, counters, slow, connections, now, .. } = self;
        for answers in &*answers {
            let total_us = now_us.saturating_sub(answers.since_us);
            counters.operations.record_many_us(answers.op, total_us, answers.count);
            if let Some(marks) = &answers.marks {
                let stages_us = marks.stages_us(answers.since_us, now_us);
                counters.stages.record_many_us(stages_us, answers.count);
            }
            if slow.is_slow(total_us) {
                let session = connections.at(answers.index).map(|it| it.session);
                let turn_us = now.monotonic_us;
                slow.tell(&Slow { answers, session, turn_us, now_us }).map(&mut log);
            }
        }
        answers.clear();
    }
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
