//! What is delivered was proposed by somebody.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Delivered { zxid, hash } = seen.what else { return None };
    let known = ledger.proposed.contains(&(zxid, hash));
    (!known).then(|| format!("{zxid} ({hash:?}) is delivered and was never proposed"))
}
