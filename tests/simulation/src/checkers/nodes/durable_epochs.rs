//! The epochs on a disk never go back; `currentEpoch` is at most `acceptedEpoch`, and so is the
//! epoch of what is logged.

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let node = ledger.node(seen.node);
    match seen.what {
        Observation::EpochsSaved { epochs } => {
            let before = node.epochs;
            let goes_on = epochs.accepted >= before.accepted && epochs.current >= before.current;
            let fits = epochs.current <= epochs.accepted;
            (!goes_on || !fits).then(|| format!("saves {epochs:?} over {before:?}"))
        }
        Observation::Logged { txns } => {
            let (last, _) = txns.last()?;
            let accepted = node.epochs.accepted;
            (last.epoch() > accepted).then(|| format!("logs {last}, and has accepted {accepted}"))
        }
        _ => None,
    }
}
