//! A log on a disk has no gap: a zxid follows the one before, or is the first of a later epoch.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Logged { txns } = seen.what else { return None };
    let mut last = ledger.node(seen.node).log.last();
    for (zxid, _) in txns {
        let is_next = zxid.epoch() == last.epoch() && zxid.0 == last.0 + 1;
        let is_first = zxid.epoch() > last.epoch() && zxid.counter() == 1;
        if !is_next && !is_first {
            return Some(format!("its log has {zxid} behind {last}"));
        }
        last = *zxid;
    }
    None
}
