//! When what was appended went to the disk, until it is shown: for the stages of writes.
//!
//! The log takes what has gathered in one commit, and has one under way at a time. So there is one
//! entry for each commit, not for each transaction, and no time is taken for it but when a commit
//! begins; it ends with the turn in which that is noticed.

use std::collections::VecDeque;

use menagerie_wire::Zxid;

use super::publication::Logged;

/// Commits of the log with something in them that is not shown yet, oldest first.
#[derive(Default)]
pub(super) struct Batches {
    /// What was appended last.
    appended: Zxid,
    by_last: VecDeque<(Zxid, Logged)>,
}

impl Batches {
    pub(super) const fn append(&mut self, zxid: Zxid) {
        self.appended = zxid;
    }

    /// All that was appended goes to the disk.
    pub(super) fn submit(&mut self, submitted_us: u64) {
        if self.by_last.back().is_none_or(|(last, _)| *last < self.appended) {
            self.by_last.push_back((self.appended, Logged { submitted_us, durable_us: 0 }));
        }
    }

    /// Everything up to `zxid` is on the disk, if that is news.
    pub(super) fn end(&mut self, zxid: Zxid, durable_us: u64) {
        // The mark behind a batch is a commit, too, and tells of the same zxid again.
        let known = self.by_last.back_mut().filter(|(last, _)| *last <= zxid);
        if let Some((_, logged @ Logged { durable_us: 0, .. })) = known {
            logged.durable_us = durable_us;
        }
    }

    /// Everything up to `zxid` is shown. Returns when that one went to the disk.
    pub(super) fn show(&mut self, zxid: Zxid) -> Logged {
        while let Some((last, logged)) = self.by_last.front().copied() {
            if last > zxid {
                return logged;
            }
            self.by_last.pop_front();
            if last == zxid {
                return logged;
            }
        }
        Logged::default()
    }

    /// The log is about to be another one.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(submitted_us: u64, durable_us: u64) -> Logged {
        Logged { submitted_us, durable_us }
    }

    #[test]
    fn each_is_told_the_commit_that_it_was_in() {
        let mut batches = Batches::default();
        for (last, submitted_us) in [(3, 10), (5, 20), (9, 30)] {
            batches.append(Zxid(last));
            batches.submit(submitted_us);
            // Nothing has gathered: not a commit, or the mark behind one.
            batches.submit(submitted_us + 1);
            if last != 9 {
                batches.end(Zxid(last), submitted_us + 5);
                batches.end(Zxid(last), submitted_us + 9);
            }
        }
        assert_eq!(batches.show(Zxid(2)), logged(10, 15), "a part of it");
        assert_eq!(batches.show(Zxid(3)), logged(10, 15));
        assert_eq!(batches.show(Zxid(7)), logged(30, 0), "a quorum was faster than the own disk");
        batches.end(Zxid(9), 35);
        assert_eq!(batches.show(Zxid(9)), logged(30, 35));
        assert_eq!(batches.show(Zxid(10)), Logged::default(), "the log has not taken it yet");
        assert!(batches.by_last.is_empty());
    }
}
