//! What a shard measures of its requests: how long each kind took, and a write in each stage.
//!
//! A write is measured by the times that the cores on its way have taken anyway, at the beginning
//! of a turn or of a commit of the log; the shard that answers it gets them with the result. So a
//! stage is exact to the length of a turn, and costs nobody a look at the clock. Stages add up:
//! what was not waited for, and what overlapped with a stage before, takes no time of its own.

use menagerie_wire::OpCode;

use super::latency::Latency;
use super::metrics::Summary;

/// The stages of a write, in the order of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the shard's socket until the sequencer judges it, or sends it to the leader.
    Queue,
    /// On a learner: until the leader's proposal is here.
    Propose,
    /// Until the log gives it to the disk, with all that has gathered meanwhile.
    LogWrite,
    /// Until the disk has it. The write itself is part of it: on a file that is open for direct
    /// I/O both are one operation.
    Sync,
    /// Until a quorum has it, as far as this server knows.
    Quorum,
    /// Until the shard has heard of it.
    Apply,
    /// Until the answer was given to the socket.
    Reply,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Queue,
        Self::Propose,
        Self::LogWrite,
        Self::Sync,
        Self::Quorum,
        Self::Apply,
        Self::Reply,
    ];

    /// As reports and logs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Propose => "propose",
            Self::LogWrite => "log_write",
            Self::Sync => "sync",
            Self::Quorum => "quorum",
            Self::Apply => "apply",
            Self::Reply => "reply",
        }
    }
}

/// When a write came to the end of each stage but the last, in microseconds of the monotonic clock;
/// 0 where nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub judged_us: u64,
    pub proposed_us: u64,
    pub submitted_us: u64,
    pub durable_us: u64,
    pub committed_us: u64,
    pub adopted_us: u64,
}

impl Marks {
    /// How long each stage took of a write that came at `since_us` and was answered at `until_us`,
    /// which is behind all marks. Together they are the time between.
    #[inline]
    pub fn stages_us(&self, since_us: u64, until_us: u64) -> [u64; Stage::ALL.len()] {
        let Self { judged_us, proposed_us, submitted_us, durable_us, committed_us, adopted_us } =
            *self;
        let ends =
            [judged_us, proposed_us, submitted_us, durable_us, committed_us, adopted_us, until_us];
        let mut begin_us = since_us;
        ends.map(|end_us| {
            let end_us = end_us.max(begin_us);
            end_us - std::mem::replace(&mut begin_us, end_us)
        })
    }
}

/// How long writes were in each stage.
#[derive(Clone, Debug, Default)]
pub struct Stages([Latency; Stage::ALL.len()]);

impl Stages {
    /// So many writes took as long.
    #[inline]
    pub fn record_many_us(&mut self, us: [u64; Stage::ALL.len()], times: u64) {
        for (latency, us) in self.0.iter_mut().zip(us) {
            latency.record_many_us(us, times);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (latency, more) in self.0.iter_mut().zip(&other.0) {
            latency.merge(more);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Stage, &Latency)> {
        Stage::ALL.into_iter().zip(&self.0)
    }

    pub fn get(&self, stage: Stage) -> &Latency {
        &self.0[stage as usize]
    }
}

/// How long requests took, by their operation.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    /// By [`slot`]; as long as the highest one that was needed.
    by_slot: Vec<Option<Latency>>,
}

impl Operations {
    /// So many requests took as long.
    pub fn record_many_us(&mut self, op: OpCode, us: u64, times: u64) {
        self.get_mut(op).record_many_us(us, times);
    }

    fn get_mut(&mut self, op: OpCode) -> &mut Latency {
        let slot = slot(op);
        if slot >= self.by_slot.len() {
            self.by_slot.resize(slot + 1, None);
        }
        self.by_slot[slot].get_or_insert_default()
    }

    pub fn merge(&mut self, other: &Self) {
        for (op, latency) in other.iter() {
            self.get_mut(op).merge(latency);
        }
    }

    /// Those that there were, in the order of their numbers on the wire.
    pub fn iter(&self) -> impl Iterator<Item = (OpCode, &Latency)> {
        let of = |op: OpCode| Some((op, self.by_slot.get(slot(op))?.as_ref()?));
        OpCode::ALL.iter().filter_map(move |op| of(*op))
    }

    /// All of them.
    pub fn summary(&self) -> Summary {
        let mut all = Summary::default();
        self.iter().for_each(|(_, latency)| all.merge(&latency.summary()));
        all
    }

    /// Those that a transaction was made for, or those that none was made for.
    // ZooKeeper: ServerStats.updateLatency.
    pub fn of_updates(&self, updates: bool) -> Latency {
        let mut all = Latency::default();
        let chosen = self.iter().filter(|(op, _)| is_update(*op) == updates);
        chosen.for_each(|(_, latency)| all.merge(latency));
        all
    }
}

/// Where an operation is counted: its number on the wire, from the lowest on.
const fn slot(op: OpCode) -> usize {
    (op as i32 - OpCode::CloseSession as i32) as usize
}

const fn is_update(op: OpCode) -> bool {
    op.is_write() || matches!(op, OpCode::CreateSession | OpCode::CloseSession)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_whatever_is_known_of_them() {
        let marks = Marks {
            judged_us: 110,
            proposed_us: 110,
            submitted_us: 115,
            durable_us: 140,
            committed_us: 300,
            adopted_us: 301,
        };
        assert_eq!(marks.stages_us(100, 310), [10, 0, 5, 25, 160, 1, 9]);
        // Committed by the others before the own disk had it; and seen by a core that looked at
        // the clock earlier than the one before.
        let early = Marks { durable_us: 0, adopted_us: 299, ..marks };
        assert_eq!(early.stages_us(100, 310), [10, 0, 5, 0, 185, 0, 10]);
        assert_eq!(Marks::default().stages_us(100, 310), [0, 0, 0, 0, 0, 0, 210]);
    }

    #[test]
    fn operations_are_told_apart_and_merge() {
        let mut operations = Operations::default();
        for op in OpCode::ALL {
            operations.record_many_us(*op, 7, 2);
        }
        let mut all = Operations::default();
        all.record_many_us(OpCode::GetData, 9, 1);
        all.merge(&operations);
        let counts = all.iter().map(|(op, latency)| (op, latency.summary().count));
        assert!(
            counts.eq(OpCode::ALL.iter().map(|op| (*op, 2 + u64::from(*op == OpCode::GetData))))
        );
        let count = OpCode::ALL.len() as u64 * 2 + 1;
        assert_eq!((all.summary().count, all.summary().max), (count, 9));
        let [reads, updates] = [false, true].map(|updates| all.of_updates(updates).summary().count);
        assert_eq!((updates, reads), (22, count - 22));
    }
}
