//! The end of the log that is not committed yet, as far as this server knows.
//!
//! A learner applies from here what its leader commits. Every member keeps it, because a role may
//! end at any time: the next leader may have this tail committed, or cut off.

use std::collections::VecDeque;

use menagerie_replication::TxnBytes;
use menagerie_wire::Zxid;

/// Transactions that were given to the log, above the committed root.
#[derive(Default)]
pub(super) struct Tail {
    /// With when they were, in microseconds of the monotonic clock.
    entries: VecDeque<(Zxid, TxnBytes, u64)>,
}

impl Tail {
    pub(super) fn push(&mut self, zxid: Zxid, txn: TxnBytes, now_us: u64) {
        let last = self.last().unwrap_or(Zxid::ZERO);
        assert!(zxid > last, "{zxid} behind {last} in the tail of the log");
        self.entries.push_back((zxid, txn, now_us));
    }

    pub(super) fn last(&self) -> Option<Zxid> {
        self.entries.back().map(|(zxid, ..)| *zxid)
    }

    /// The next one, if it is not above `zxid`.
    pub(super) fn pop(&mut self, zxid: Zxid) -> Option<(Zxid, TxnBytes, u64)> {
        self.reaches(zxid).then(|| self.entries.pop_front()).flatten()
    }

    /// Whether there is anything up to `zxid`.
    pub(super) fn reaches(&self, zxid: Zxid) -> bool {
        self.entries.front().is_some_and(|(first, ..)| *first <= zxid)
    }

    /// Those above `zxid`, in order.
    pub(super) fn after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &TxnBytes)> {
        let from = self.entries.partition_point(|(entry, ..)| *entry <= zxid);
        self.entries.range(from..).map(|(zxid, txn, _)| (*zxid, txn))
    }

    /// Everything up to `zxid` is in the committed root.
    pub(super) fn forget_to(&mut self, zxid: Zxid) {
        while self.pop(zxid).is_some() {}
    }

    /// The log was cut behind `zxid`.
    pub(super) fn cut(&mut self, zxid: Zxid) {
        let from = self.entries.partition_point(|(entry, ..)| *entry <= zxid);
        self.entries.truncate(from);
    }
}
