//! What was delivered anywhere is on the disks of a quorum, and stays there.
//!
//! A learner that comes back with more than its leader has committed is cut and sent the rest
//! again, as by Apache's leaders; what the others' disks make committed meanwhile it may lack for
//! a moment.
//!
//! Asked when a transaction is delivered for the first time, when a log is cut or replaced, and
//! when an epoch gets its leader, whose log must hold all of earlier epochs.
// TLA+: CommittedLogDurability, LeaderLogCompleteness

use menagerie_wire::Zxid;

use super::ledger::Ledger;
use super::seen::{Observation, Seen, TxnHash};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let log = &ledger.node(seen.node).log;
    match seen.what {
        Observation::Delivered { zxid, hash } => {
            let count = ledger.voters_with((zxid, hash));
            let voters = ledger.voters.len();
            let is_lost = !ledger.places.contains_key(&zxid) && count <= voters / 2;
            is_lost.then(|| format!("{zxid} is delivered, on {count} disks of {voters}"))
        }
        Observation::Truncated { to } | Observation::Installed { zxid: to } => {
            let is_delivered = |zxid: &Zxid, hash| {
                let place = ledger.places.get(zxid);
                place.is_some_and(|at| ledger.delivered[*at].1 == hash)
            };
            let own = usize::from(ledger.voters.contains(&seen.node));
            let is_lost = |txn| ledger.voters_with(txn) - own <= ledger.voters.len() / 2;
            let lost = |txn: &&(Zxid, TxnHash)| is_delivered(&txn.0, txn.1) && is_lost(**txn);
            let gone = log.above(to).iter().find(lost);
            gone.map(|(zxid, _)| format!("its log goes back to {to}, and {zxid} was delivered"))
        }
        Observation::Led { epoch } => {
            let last = ledger.count_before(epoch).checked_sub(1)?;
            let last = ledger.delivered[last];
            (!log.holds(last)).then(|| format!("leads epoch {epoch} without {} in its log", last.0))
        }
        _ => None,
    }
}
