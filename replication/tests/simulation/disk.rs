//! A disk: what is durable, and the queue of what is not.
//!
//! Work on the log is done in order. A power loss keeps any beginning of the queue: what was
//! written may have reached the medium, or not, but nothing later without everything earlier (the
//! real log's recovery cuts at the first damage). The epochs are in another file: they become
//! durable before or after what was asked for at the same time.

use std::collections::VecDeque;

use menagerie_replication::{Entry, Epochs, Event, Link, TxnBytes};
use menagerie_wire::Zxid;

/// A transaction: its zxid and a number that no other has.
pub(crate) type Txn = (Zxid, u64);

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append(Txn),
    Truncate(Zxid),
    Install { link: Link, content: Vec<Txn> },
    Drain(u64),
}

/// What survives a power loss, and what does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Durable, from the beginning of time; a snapshot is a beginning of this.
    pub(crate) log: Vec<Txn>,
    pub(crate) epochs: Epochs,
    pub(crate) queue: VecDeque<Op>,
    /// Epochs on their way.
    pub(crate) saving: Option<Epochs>,
}

/// A transaction as nodes see it.
pub(crate) fn entry((zxid, value): &Txn) -> Entry {
    (*zxid, bytes(*value))
}

pub(crate) fn bytes(value: u64) -> TxnBytes {
    TxnBytes::copy_from_slice(&value.to_be_bytes())
}

pub(crate) fn value(txn: &[u8]) -> u64 {
    u64::from_be_bytes(txn.try_into().expect("a transaction of this world is a number"))
}

pub(crate) fn last(log: &[Txn]) -> Zxid {
    log.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
}

/// How much of `log` is at or below `zxid`.
pub(crate) fn count_to(log: &[Txn], zxid: Zxid) -> usize {
    log.partition_point(|(z, _)| *z <= zxid)
}

impl Disk {
    /// Makes one piece of work durable.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(txn) => self.log.push(*txn),
            Op::Truncate(to) => {
                let keep = count_to(&self.log, *to);
                self.log.truncate(keep);
            }
            Op::Install { content, .. } => self.log.clone_from(content),
            Op::Drain(_) => {}
        }
    }

    /// Makes one piece of work durable, and returns what its node is told then.
    pub(crate) fn complete(&mut self, op: &Op) -> Event {
        self.apply(op);
        let (last_logged, epochs) = (last(&self.log), self.epochs);
        match *op {
            Op::Append((zxid, _)) => Event::Logged { zxid },
            Op::Truncate(_) => Event::Truncated { last_logged },
            Op::Install { .. } => Event::Installed { zxid: last_logged },
            Op::Drain(generation) => Event::Drained { generation, last_logged, epochs },
        }
    }

    /// Makes the epochs durable that are on their way.
    pub(crate) fn save_epochs(&mut self) {
        let Some(epochs) = self.saving.take() else { return };
        assert!(epochs.accepted >= self.epochs.accepted, "acceptedEpoch went back");
        assert!(epochs.current >= self.epochs.current, "currentEpoch went back");
        self.epochs = epochs;
    }

    /// Power is lost. Of the work on the log, the first `survives` pieces reached the medium.
    pub(crate) fn crash(&mut self, survives: usize, epochs_survive: bool) {
        if epochs_survive {
            self.save_epochs();
        }
        self.saving = None;
        let queue = std::mem::take(&mut self.queue);
        for op in queue.iter().take(survives) {
            self.apply(op);
        }
    }
}
