//! The last transactions of the log, in memory: what a learner that lags a little is sent.
//!
//! The window holds the log's tail, the uncommitted end included, so that what is in flight can
//! be sent again to a learner that joins. It is trimmed from the old side, and only of what is
//! committed.
//!
//! Invariant: the entries are contiguous, and follow `before`. Every entry is checked on its way
//! in; a hole here would be handed on to learners (ZOOKEEPER-4925).
//!
//! Facts: ZooKeeper `ZKDatabase.committedLog`, `addCommittedProposal`.

use std::collections::VecDeque;

use menagerie_wire::Zxid;

use crate::packet::TxnBytes;

/// A transaction, as log, peers and window hold it: its zxid, and its bytes.
pub type Entry = (Zxid, TxnBytes);

/// Whether a log that ends at `last` may go on with `next`: the next of the epoch, or the first
/// of a later one.
// ZooKeeper: Learner.enforceContinuousProposal.
pub(crate) fn follows(last: Zxid, next: Zxid) -> bool {
    if next.epoch() == last.epoch() {
        last.counter() != u32::MAX && next == last.next()
    } else {
        next.epoch() > last.epoch() && next.counter() == 1
    }
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// [commitLogCount]
    pub txns_max: usize,
    /// Bytes of transactions; a single larger one is kept until it is committed.
    pub bytes_max: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { txns_max: 500, bytes_max: 32 << 20 }
    }
}

/// The window.
#[derive(Clone, Debug)]
pub(crate) struct History {
    limits: HistoryLimits,
    /// The zxid that the log holds, or stands at, before the first entry.
    before: Zxid,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl History {
    pub(crate) const fn new(limits: HistoryLimits, before: Zxid) -> Self {
        Self { limits, before, entries: VecDeque::new(), bytes: 0 }
    }

    pub(crate) const fn before(&self) -> Zxid {
        self.before
    }

    /// Where the log ends.
    pub(crate) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.before, |(zxid, _)| *zxid)
    }

    /// # Panics
    /// When `zxid` does not follow.
    pub(crate) fn push(&mut self, zxid: Zxid, txn: TxnBytes) {
        let last = self.last();
        assert!(follows(last, zxid), "{zxid} would leave a hole in the history behind {last}");
        self.bytes += txn.len();
        self.entries.push_back((zxid, txn));
    }

    /// Forgets the oldest entries beyond the limits, but none above `committed`.
    pub(crate) fn trim(&mut self, committed: Zxid) {
        while self.entries.len() > self.limits.txns_max || self.bytes > self.limits.bytes_max {
            if self.entries.front().is_none_or(|(zxid, _)| *zxid > committed) {
                return;
            }
            let Some((zxid, txn)) = self.entries.pop_front() else { return };
            self.before = zxid;
            self.bytes -= txn.len();
        }
    }

    /// The log was cut behind `to`.
    pub(crate) fn truncate(&mut self, to: Zxid) {
        while self.entries.back().is_some_and(|(zxid, _)| *zxid > to) {
            if let Some((_, txn)) = self.entries.pop_back() {
                self.bytes -= txn.len();
            }
        }
        if self.entries.is_empty() && self.before > to {
            self.before = to;
        }
        assert!(self.last() == to, "the log was cut to {to}, where it holds no transaction");
    }

    /// The log begins anew behind `zxid`, where a snapshot stands.
    pub(crate) fn reset(&mut self, zxid: Zxid) {
        self.entries.clear();
        self.bytes = 0;
        self.before = zxid;
    }

    /// Whether the window can go on from `zxid`: it holds it, or begins right behind it.
    pub(crate) fn reaches(&self, zxid: Zxid) -> bool {
        zxid == self.before || self.entries.binary_search_by_key(&zxid, |(z, _)| *z).is_ok()
    }

    /// The entries above `zxid`, in order.
    pub(crate) fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|(z, _)| *z <= zxid);
        self.entries.range(from..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(txns_max: usize, zxids: impl IntoIterator<Item = i64>) -> History {
        let mut history =
            History::new(HistoryLimits { txns_max, bytes_max: usize::MAX }, Zxid::ZERO);
        for zxid in zxids {
            history.push(Zxid(zxid), TxnBytes::from_static(&[0]));
        }
        history
    }

    fn zxids(history: &History, after: i64) -> Vec<i64> {
        history.after(Zxid(after)).map(|(zxid, _)| zxid.0).collect()
    }

    #[test]
    fn a_log_goes_on_in_its_epoch_or_begins_a_later_one() {
        let cases = [
            (0, 1, true),
            (5, 6, true),
            (5, 7, false),
            (5, 5, false),
            (5, 0x1_0000_0001, true),
            (5, 0x1_0000_0002, false),
            (5, 0x1_0000_0000, false),
            (0x2_0000_0000, 0x2_0000_0001, true),
            (0x2_0000_0001, 0x1_0000_0001, false),
            (0x1_ffff_ffff, 0x2_0000_0000, false),
            (0x1_ffff_ffff, 0x2_0000_0001, true),
        ];
        for (last, next, expect) in cases {
            assert_eq!(follows(Zxid(last), Zxid(next)), expect, "{last:x} then {next:x}");
        }
    }

    #[test]
    #[should_panic(expected = "hole in the history")]
    fn a_hole_is_refused() {
        window(9, [1, 2, 4]);
    }

    #[test]
    fn the_window_forgets_the_oldest_but_nothing_uncommitted() {
        let mut history = window(2, 1..=5);
        history.trim(Zxid(2));
        assert_eq!((history.before(), zxids(&history, 0)), (Zxid(2), vec![3, 4, 5]));
        history.trim(Zxid(5));
        assert_eq!((history.before(), zxids(&history, 0)), (Zxid(3), vec![4, 5]));
        assert!(history.reaches(Zxid(3)) && history.reaches(Zxid(4)));
        assert!(!history.reaches(Zxid(2)) && !history.reaches(Zxid(6)));
    }

    #[test]
    fn a_cut_goes_below_the_window_too() {
        let mut history = window(2, 1..=5);
        history.truncate(Zxid(4));
        assert_eq!(history.last(), Zxid(4));
        history.trim(Zxid(4));
        history.truncate(Zxid(1));
        assert_eq!((history.last(), history.before()), (Zxid(1), Zxid(1)));
        history.push(Zxid(2), TxnBytes::from_static(&[0]));
        assert_eq!(zxids(&history, 1), [2]);
    }
}
