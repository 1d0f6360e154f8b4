//! What a node says of itself is on its disk when it leaves: a loss of power at that very moment
//! makes no lie of it.
//!
//! A vote and an ACKEPOCH say neither more nor less: a node that says less than it has lets others
//! win an election without what it has acknowledged. An ACKEPOCH that is no vote, as its sender had
//! promised the epoch before, may claim to have nothing: that asks for a snapshot.

use menagerie_wire::Zxid;

use super::ledger::Ledger;
use super::seen::{Observation, Promise, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let Observation::Promised { promise } = seen.what else { return None };
    let node = ledger.node(seen.node);
    let (last, epochs) = (node.log.last(), node.epochs);
    let is_true = match promise {
        Promise::Vote { zxid, epoch } => zxid == last && epoch == i64::from(epochs.current.0),
        Promise::LearnerInfo { accepted } => accepted == epochs.accepted,
        Promise::LeaderInfo { epoch } => epoch == epochs.accepted,
        Promise::AckEpoch { last_zxid, is_vote } => {
            last_zxid == last || (!is_vote && last_zxid == Zxid::NONE)
        }
        Promise::NewLeader { epoch } => epoch == epochs.current,
        Promise::AckNewLeader { epoch } => {
            let foundation = ledger.foundations.get(&epoch).copied().flatten();
            epoch == epochs.current && foundation.is_none_or(|end| node.log.holds(end))
        }
        Promise::Ack { zxid } => zxid <= last,
    };
    (!is_true).then(|| format!("says {promise:?}; its log ends at {last}, {epochs:?}"))
}
