//! Trees at one zxid are equal, on whatever node and however they came about.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Digested { zxid, digest } = seen.what else { return None };
    let (other, expected) = *ledger.digests.get(&zxid)?;
    (digest != expected).then(|| {
        format!("the tree at {zxid} has the digest {digest:#x}, on server {other} {expected:#x}")
    })
}
