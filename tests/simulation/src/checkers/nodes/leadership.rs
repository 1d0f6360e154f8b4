//! An epoch has one leader, ever, and nobody follows another one in it.
//!
//! A server alone is its own ensemble and goes on in the epoch of its log.
// TLA+: Leadership1, Leadership2

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let (leader, epoch, is_new) = match seen.what {
        Observation::Led { epoch } => (seen.node, epoch, true),
        Observation::Followed { leader, epoch } => (leader, epoch, false),
        _ => return None,
    };
    let known = *ledger.leaders.get(&epoch)?;
    let goes_on = known == leader && (!is_new || ledger.voters.len() == 1);
    (!goes_on).then(|| format!("epoch {epoch} of server {known} is led by server {leader}"))
}
