//! Of two nodes one has delivered everything that the other has: nobody goes a way of his own.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Delivered { zxid, .. } = seen.what else { return None };
    let (missing, _) = ledger.delivered.get(ledger.node(seen.node).delivered)?;
    let is_new = !ledger.places.contains_key(&zxid);
    is_new
        .then(|| format!("delivers {zxid}, which nobody has, without {missing}, which others have"))
}
