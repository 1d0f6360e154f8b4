//! Who proposes in an epoch has delivered all that anybody has of earlier ones.
//!
//! Of later ones it need not know: a leader that is cut off proposes on.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Proposed { zxid, .. } = seen.what else { return None };
    let due = ledger.count_before(zxid.epoch());
    let has = ledger.node(seen.node).delivered;
    (has < due).then(|| format!("proposes {zxid} without {}", ledger.delivered[has].0))
}
