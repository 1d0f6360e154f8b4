//! Who delivers a transaction has delivered before it all that anybody had delivered before it.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Delivered { zxid, .. } = seen.what else { return None };
    let next = ledger.node(seen.node).delivered;
    let skips = *ledger.places.get(&zxid)? > next;
    skips.then(|| format!("delivers {zxid} without {}", ledger.delivered[next].0))
}
