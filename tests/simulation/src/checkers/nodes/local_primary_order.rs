//! What one leader proposes has zxids without a gap, and is delivered in that order without one.

use menagerie_wire::Zxid;

use super::ledger::Ledger;
use super::seen::{Observation, Seen};

pub(super) fn check(ledger: &Ledger, seen: &Seen<'_>) -> Option<String> {
    let node = ledger.node(seen.node);
    let (verb, last, zxid) = match seen.what {
        Observation::Proposed { zxid, .. } => ("proposes", node.last_proposed, zxid),
        // Going back to another epoch is `global_primary_order`'s.
        Observation::Delivered { zxid, .. } if zxid.epoch() >= node.last_delivered.epoch() => {
            ("delivers", node.last_delivered, zxid)
        }
        _ => return None,
    };
    let is_new_epoch = zxid.epoch() != last.epoch();
    let due = if is_new_epoch { Zxid::new(zxid.epoch(), 1) } else { Zxid(last.0 + 1) };
    (zxid != due).then(|| format!("{verb} {zxid} after {last}; {due} is due"))
}
