//! The log: every transaction, in zxid order, on the disk before anybody hears of it.
//!
//! ```text
//!  log.1                 log.5e2                      spare.7 (pre-written, waits)
//!  ┌──────┬──────┬─────┐ ┌──────┬───────┬────┬──────┐ ┌─────────────────────────┐
//!  │header│batch │batch│ │header│ batch │mark│ free │ │ blank header, old bytes │
//!  └──────┴──────┴─────┘ └──────┴───────┴────┴──────┘ └─────────────────────────┘
//!  batch = batch header, records; padded to a whole number of 4096-byte blocks
//! ```
//!
//! *Normal case.* The [`Writer`] gathers records in memory while the batch before
//! is on its way; one commit is under way at a time, and it is one trip to the device. Segments are
//! written full of zeros before they are used, and purged ones are used again ([`pool`]): a write
//! that changes no metadata costs half.
//!
//! *What a reader can trust.* A segment has a random nonce; the chain value of its records starts
//! from it, and each record carries the value of the one before. Bytes that a recycled file held
//! earlier can therefore never continue a log. A segment header names the zxid and chain value it
//! follows: the [`Reader`] ends the segment before there, whatever else it holds.
//!
//! *The bad cases.* A batch that was under way when the power went may be there in part: that is
//! the torn tail, nobody was answered, and the log ends in front of it. Damage to anything that was
//! synced is something else and must not shorten the log: every batch header says how far the log
//! was synced when it was written, so a later valid batch convicts an earlier damaged one. An idle
//! log gets a mark (a batch without records), so the last records are covered too. Such damage
//! stops the start, with file and offset. After the first failed write or sync a writer takes
//! nothing more.
//!
//! *Left out.* No compression, no repair, no decision about who may append what.
#![deny(unsafe_code)]

pub mod pool;
pub mod purge;
pub mod reader;
pub mod record;
pub mod segment;
pub mod tail;
pub mod truncate;
pub mod writer;

mod batch;

use crate::disk::{RingError, Step};
use menagerie_wire::Zxid;
use std::io;
use std::sync::Arc;

pub use pool::SegmentPool;
pub use reader::{LogEnd, Reader, Record};
pub use tail::{Tail, TailLimits, tail};
pub use truncate::truncate;
pub use writer::{Settings, Writer};

/// What can go wrong with the log. Cloned into every refusal that follows a failed commit.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    #[error("{step} failed on {file} at byte {offset}: {error}")]
    Commit { file: String, offset: u64, step: Step, error: Arc<io::Error> },
    #[error("the log takes nothing more since a commit failed: {first}")]
    Refused { first: Box<Self> },
    #[error("cannot {what} {file}: {error}")]
    Io { what: &'static str, file: String, error: Arc<io::Error> },
    #[error(
        "{file} is damaged at byte {offset}, in a part of the log that was already synced: \
         {reason}; the log is whole up to zxid {last_whole}"
    )]
    Damaged { file: String, offset: u64, reason: String, last_whole: Zxid },
    #[error(
        "transactions {first_missing} to {last_missing} are missing: {file} begins behind them and \
         no other log file holds them"
    )]
    Gap { file: String, first_missing: Zxid, last_missing: Zxid },
    #[error("the log cannot be cut behind {zxid}: it holds no such record")]
    NotInLog { zxid: Zxid },
    #[error("a batch of {bytes} bytes is more than one write can carry ({bytes_max})")]
    BatchTooLarge { bytes: usize, bytes_max: usize },
    #[error(transparent)]
    Ring(#[from] Arc<RingError>),
}

impl WalError {
    pub(crate) fn io(what: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, file: file.to_owned(), error: Arc::new(error) }
    }
}

/// Whether `next` may stand right behind `last` in a log: the next counter of the epoch, or the
/// first one of a later epoch.
// ZooKeeper: Leader.propose counts on within an epoch; Leader.lead sets the zxid to (epoch, 0).
pub fn follows(last: Zxid, next: Zxid) -> bool {
    let same_epoch = next.epoch() == last.epoch();
    if same_epoch { next.0 == last.0.wrapping_add(1) } else { next > last && next.counter() == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use menagerie_wire::Epoch;

    #[test]
    fn a_record_follows_within_its_epoch_or_begins_a_later_one() {
        let at = |epoch, counter| Zxid::new(Epoch(epoch), counter);
        let check = |last, next, expect| assert_eq!(follows(last, next), expect, "{last} {next}");
        check(Zxid::ZERO, at(0, 1), true);
        check(at(0, 1), at(0, 2), true);
        check(at(0, 1), at(0, 1), false);
        check(at(0, 1), at(0, 3), false);
        check(at(1, 9), at(2, 1), true);
        check(at(1, 9), at(5, 1), true);
        check(at(1, 9), at(2, 2), false);
        check(at(1, 9), at(2, 0), false);
        check(at(2, 1), at(1, 1), false);
        check(at(1, u32::MAX), at(2, 0), false);
        check(at(1, u32::MAX), at(2, 1), true);
    }
}
