//! An ephemeral node is there exactly as long as its owner's session: after each transaction.

use std::collections::BTreeSet;

use menagerie_wire::{SessionId, Zxid};

use super::ledger::{Ledger, NodeLedger};
use super::seen::{Observation, Seen, SessionChange};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    match seen.what {
        Observation::SessionsChanged { zxid, changes } => {
            after_transaction(ledger.node(seen.node), zxid, changes)
        }
        Observation::SessionsRestored { zxid, open, ephemerals } => {
            let open: BTreeSet<_> = open.iter().collect();
            let (owner, path) = ephemerals.iter().find(|(owner, _)| !open.contains(owner))?;
            Some(format!("{path} is of session {owner}, which is not open at {zxid}"))
        }
        _ => None,
    }
}

fn after_transaction(
    node: &NodeLedger,
    zxid: Zxid,
    changes: &[SessionChange<'_>],
) -> Option<String> {
    let is_open = |session: &SessionId| {
        let last = changes.iter().rev().find_map(|change| match change {
            SessionChange::Opened(id) if id == session => Some(true),
            SessionChange::Closed(id) if id == session => Some(false),
            _ => None,
        });
        last.unwrap_or_else(|| node.sessions.contains_key(session))
    };
    let is_deleted = |owner: &SessionId, path: &str| {
        changes.contains(&SessionChange::EphemeralDeleted(*owner, path))
    };
    changes.iter().find_map(|change| match change {
        SessionChange::EphemeralCreated(owner, path) => {
            let is_orphan = !is_open(owner) && !is_deleted(owner, path);
            is_orphan.then(|| format!("{path} is made at {zxid} for {owner}, which is not open"))
        }
        SessionChange::Closed(owner) if !is_open(owner) => {
            let owned = node.sessions.get(owner)?;
            let left = owned.iter().find(|path| !is_deleted(owner, path))?;
            Some(format!("{left} outlives its session {owner}, closed at {zxid}"))
        }
        _ => None,
    })
}
