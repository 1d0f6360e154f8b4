//! What is delivered under a zxid is the same everywhere.
// TLA+: PrefixConsistency, as far as values go

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Delivered { zxid, hash } = seen.what else { return None };
    let (_, other) = ledger.delivered[*ledger.places.get(&zxid)?];
    (hash != other).then(|| format!("{zxid} is {hash:?}, and {other:?} to others"))
}
