//! Epochs are delivered one after the other.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Delivered { zxid, .. } = seen.what else { return None };
    let last = ledger.node(seen.node).last_delivered;
    (zxid.epoch() < last.epoch()).then(|| format!("delivers {zxid} after {last}"))
}
