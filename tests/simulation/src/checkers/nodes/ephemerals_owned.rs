//! No ephemeral node is there without its owner's session: in each tree that is shown.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(_: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Sessions { zxid, open, ephemerals } = seen.what else { return None };
    let (owner, path) = ephemerals.iter().find(|(owner, _)| !open.contains(owner))?;
    Some(format!("{path} is of session {owner}, which is not open at {zxid}"))
}
