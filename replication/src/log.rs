//! What of a node's state is on its disk, and what is on its way there.
//!
//! Every disk effect passes here, and so does every completion, whatever role asked for it. A
//! completion therefore moves the durable index and nothing else; a role learns of it afterwards,
//! if it still lives (design rule 3). What a node says of itself in a vote or to a leader is read
//! here, from the durable side (rule 2).
//!
//! Invariants, checked in release builds too:
//! - durable ≤ last; what is logged was appended, in order, without a hole;
//! - current ≤ accepted, epoch of `durable` ≤ accepted; neither epoch ever goes back;
//! - nothing is appended while the log is cut or replaced.

use menagerie_wire::Zxid;

use crate::effect::{Effect, Effects};
use crate::event::{Epochs, Link, Recovered};
use crate::history::{History, HistoryLimits, follows};
use crate::packet::TxnBytes;

/// The log of a node, as the machine knows it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) history: History,
    pub(crate) durable: Zxid,
    pub(crate) epochs: Epochs,
    /// Epochs on their way to the disk.
    pub(crate) saving: Option<Epochs>,
    /// Where the log will end when the cut or the snapshot that is under way is durable.
    pub(crate) rebuilding: Option<Zxid>,
    /// Since when the oldest unfinished append, or the last progress, is waited for.
    pub(crate) waiting_since_ms: Option<u64>,
}

impl Log {
    pub(crate) fn new(limits: HistoryLimits, recovered: Recovered) -> Self {
        let Recovered { last_logged, epochs, tail, before_tail } = recovered;
        let mut history = History::new(limits, before_tail);
        for (zxid, txn) in tail {
            if follows(history.last(), zxid) {
                history.push(zxid, txn);
                history.trim(zxid);
            } else {
                // A log of Apache's may begin behind a fuzzy snapshot, or lack a file: what is
                // older than the hole cannot be sent on.
                history.reset(zxid);
            }
        }
        assert!(history.last() == last_logged, "the recovered tail ends where the log ends");
        let log = Self {
            history,
            durable: last_logged,
            epochs,
            saving: None,
            rebuilding: None,
            waiting_since_ms: None,
        };
        log.check_epochs();
        log
    }

    /// What a node stands for that has not recovered yet.
    pub(crate) fn empty(limits: HistoryLimits) -> Self {
        Self::new(limits, Recovered::alone(Zxid::ZERO))
    }

    fn check_epochs(&self) {
        let Epochs { accepted, current } = self.epochs;
        assert!(current <= accepted, "currentEpoch {current} is above acceptedEpoch {accepted}");
        let logged = self.durable.epoch();
        assert!(logged <= accepted, "epoch {logged} is logged, {accepted} accepted");
    }

    pub(crate) fn last(&self) -> Zxid {
        self.history.last()
    }

    pub(crate) const fn durable(&self) -> Zxid {
        self.durable
    }

    pub(crate) const fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Whether the log is cut or replaced at the moment.
    pub(crate) const fn is_rebuilding(&self) -> bool {
        self.rebuilding.is_some()
    }

    /// Whether everything that was asked of the disk is done.
    pub(crate) fn is_quiet(&self) -> bool {
        self.durable == self.last() && self.saving.is_none() && self.rebuilding.is_none()
    }

    /// How long the disk has made no progress with appends that wait.
    pub(crate) fn waiting_ms(&self, now_ms: u64) -> u64 {
        self.waiting_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms))
    }

    pub(crate) fn append(&mut self, zxid: Zxid, txn: TxnBytes, now_ms: u64, fx: &mut Effects) {
        assert!(self.rebuilding.is_none(), "{zxid} is appended to a log that is being replaced");
        self.history.push(zxid, TxnBytes::clone(&txn));
        self.waiting_since_ms.get_or_insert(now_ms);
        fx.push(Effect::Append { zxid, txn });
    }

    pub(crate) fn save_epochs(&mut self, epochs: Epochs, fx: &mut Effects) {
        assert!(self.saving.is_none(), "one change of epochs at a time");
        assert!(epochs.accepted >= self.epochs.accepted, "acceptedEpoch never goes back");
        assert!(epochs.current >= self.epochs.current, "currentEpoch never goes back");
        assert!(epochs.current <= epochs.accepted, "no history of an epoch not accepted");
        self.saving = Some(epochs);
        fx.push(Effect::SaveEpoch { epochs });
    }

    pub(crate) fn truncate(&mut self, to: Zxid, fx: &mut Effects) {
        assert!(self.is_quiet(), "the log is cut while it is written");
        assert!(to <= self.durable, "{to} is beyond the end of the log, {}", self.durable);
        self.rebuilding = Some(to);
        fx.push(Effect::Truncate { to });
    }

    pub(crate) fn receive_snapshot(&mut self, link: Link, zxid: Zxid, fx: &mut Effects) {
        assert!(self.is_quiet(), "the log is replaced while it is written");
        self.rebuilding = Some(zxid);
        fx.push(Effect::ReceiveSnapshot { link, zxid });
    }

    pub(crate) fn on_logged(&mut self, zxid: Zxid, now_ms: u64) {
        assert!(zxid <= self.last(), "{zxid} is logged, the log ends at {}", self.last());
        if zxid <= self.durable {
            return;
        }
        self.durable = zxid;
        self.waiting_since_ms = (self.durable < self.last()).then_some(now_ms);
    }

    pub(crate) fn on_epoch_saved(&mut self, epochs: Epochs) {
        assert!(self.saving == Some(epochs), "{epochs:?} saved, {:?} were due", self.saving);
        self.saving = None;
        self.epochs = epochs;
    }

    pub(crate) fn on_truncated(&mut self, last_logged: Zxid) {
        let due = self.rebuilding.take();
        assert!(due.is_some_and(|to| last_logged <= to), "cut to {last_logged}, {due:?} was due");
        self.history.truncate(last_logged);
        self.durable = last_logged;
    }

    pub(crate) fn on_not_cut(&mut self, to: Zxid) {
        let due = self.rebuilding.take();
        assert!(due == Some(to), "{to} is out of reach, {due:?} was due");
    }

    pub(crate) fn on_installed(&mut self, zxid: Zxid) {
        let due = self.rebuilding.take();
        assert!(due == Some(zxid), "{zxid} installed, {due:?} was due");
        self.history.reset(zxid);
        self.durable = zxid;
    }

    /// The disk is idle, and this is what it holds. A snapshot whose link ended was never
    /// installed.
    pub(crate) fn on_drained(&mut self, last_logged: Zxid, epochs: Epochs) {
        self.rebuilding = None;
        assert!(self.saving.is_none(), "drained with epochs under way");
        assert!(self.durable == self.last(), "drained with appends under way");
        assert!(last_logged == self.durable, "{last_logged} on disk, {} known", self.durable);
        assert!(epochs == self.epochs, "{epochs:?} on disk, {:?} known", self.epochs);
        self.waiting_since_ms = None;
    }
}
