//! A session never goes back, whatever servers it is connected to one after the other.
//!
//! The zxids of its reads, syncs and pings never fall; what it reads of one node is never older
//! than what it read before, and the same version is never two things.
//!
//! Reads and the session's own writes are `client_fifo`'s.

use std::collections::HashMap;

use menagerie_wire::Zxid;

use crate::history::{Found, History, OpIndex, Session, Sight};

use super::Violation;

const NAME: &str = "monotonic_reads";

/// Finds sessions that go back.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut by_op: HashMap<OpIndex, Vec<Sight<'_>>> = HashMap::new();
    for sight in history.sights() {
        by_op.entry(sight.op).or_default().push(sight);
    }
    let sessions = history.sessions.values();
    sessions.filter_map(|session| goes_back(history, session, &by_op)).collect()
}

fn goes_back(
    history: &History,
    session: &Session,
    sights: &HashMap<OpIndex, Vec<Sight<'_>>>,
) -> Option<Violation> {
    let mut newest: Option<(Zxid, OpIndex)> = None;
    let mut nodes: HashMap<&str, Sight<'_>> = HashMap::new();
    for &index in &session.operations {
        let operation = &history.operations[index];
        let violation =
            |text, before| Violation { checker: NAME, text, operations: vec![before, index] };
        // Writes tell of their own transaction, which a later read of an older root cannot know.
        let Some(zxid) = operation.zxid().filter(|_| operation.request.writes().is_empty()) else {
            continue;
        };
        if let Some((seen, before)) = newest.filter(|(seen, _)| zxid < *seen) {
            return Some(violation(format!("{zxid} after {seen}"), before));
        }
        newest = newest.max(Some((zxid, index)));
        for sight in sights.get(&index).into_iter().flatten() {
            let path = sight.path;
            if let Some(before) = nodes.insert(path, *sight)
                && let Some(fault) = older(before.found, sight.found)
            {
                return Some(violation(format!("{path}: {fault}"), before.op));
            }
        }
    }
    None
}

/// In what a later sight of a node is older than an earlier one.
fn older(before: Found<'_>, after: Found<'_>) -> Option<String> {
    let (Found::Node { stat: old, data: old_data }, Found::Node { stat: new, data: new_data }) =
        (before, after)
    else {
        return None;
    };
    if (new.czxid, new.mzxid) < (old.czxid, old.mzxid) || new.mzxid < old.mzxid {
        return Some(format!("the change of {} after that of {}", new.mzxid, old.mzxid));
    }
    if new.czxid == old.czxid && new.version < old.version {
        return Some(format!("version {} after {}", new.version, old.version));
    }
    let differs = old_data.zip(new_data).is_some_and(|(old, new)| old != new);
    if new.mzxid == old.mzxid && (new.version != old.version || differs) {
        return Some(format!("the change of {} is two things", new.mzxid));
    }
    None
}
