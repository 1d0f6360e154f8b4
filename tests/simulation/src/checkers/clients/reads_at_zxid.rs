//! A read shows the tree as it was at the zxid of its reply: neither newer nor older.
//!
//! Its header's zxid says which transactions its server had applied. What was acknowledged with a
//! zxid up to that must be there, what has a higher one must not; and one change is the same thing
//! to all sessions. The parts of a multi are `multi_atomicity`'s, what is read at the end of a run
//! `durability`'s, ephemeral nodes that are missing `session_safety`'s.

use std::collections::HashMap;

use menagerie_wire::Zxid;

use crate::history::{Change, ChangeKind, Found, History, NodeStat, Sight};

use super::timeline::Timelines;
use super::{Settings, Violation};

const NAME: &str = "reads_at_zxid";

/// Finds reads of another state than that of their zxid.
pub(super) fn check(history: &History, settings: &Settings) -> Vec<Violation> {
    let timelines = Timelines::of(history);
    let mut violations = Vec::new();
    let mut known: HashMap<(&str, Zxid), Sight<'_>> = HashMap::new();
    for sight in history.sights().filter(|sight| !history.is_final(sight.op)) {
        let change = timelines.get(sight.path).and_then(|it| it.last_at(sight.zxid));
        let fault = timelines
            .hidden(&sight)
            .filter(|change| !history.operations[change.op].request.is_multi())
            .map(|change| (format!("the change of {} is not seen", change.zxid), Some(change.op)))
            .or_else(|| impossible(&sight, settings))
            .or_else(|| differs(change?, sight.found));
        let other = sight.found.mzxid().and_then(|mzxid| {
            let first = *known.entry((sight.path, mzxid)).or_insert(sight);
            let session = |op: usize| history.operations[op].session;
            let is_other = session(first.op) != session(sight.op) && !same(first, sight);
            is_other.then(|| (format!("the change of {mzxid} is two things"), Some(first.op)))
        });
        violations.extend(fault.or(other).map(|(text, before)| Violation {
            checker: NAME,
            text: format!("{} at {}: {text}", sight.path, sight.zxid),
            operations: before.into_iter().chain([sight.op]).collect(),
        }));
    }
    violations
}

type Fault = (String, Option<usize>);

/// What no server could have said.
fn impossible(sight: &Sight<'_>, settings: &Settings) -> Option<Fault> {
    let Found::Node { stat, .. } = sight.found else { return None };
    let NodeStat { czxid, mzxid, pzxid, .. } = *stat;
    if settings.exact_zxids && mzxid.max(pzxid) > sight.zxid {
        return Some((format!("a change of {} is seen", mzxid.max(pzxid)), None));
    }
    (czxid > mzxid || czxid > pzxid)
        .then(|| (format!("made at {czxid}, changed at {mzxid} and {pzxid}"), None))
}

/// In what a sight is not as its last change has made the node.
fn differs(change: &Change, found: Found<'_>) -> Option<Fault> {
    let Found::Node { stat, data } = found else { return None };
    if change.zxid != stat.mzxid || change.kind == ChangeKind::Deleted {
        return None;
    }
    let created = matches!(change.kind, ChangeKind::Created(_));
    let version = change.stat.map_or(if created { 0 } else { stat.version }, |it| it.version);
    let text = if data.is_some_and(|data| data != change.data.as_deref()) {
        format!("data {:?} was written, {data:?} is read", change.data)
    } else if stat.version != version {
        format!("version {version} was written, {} is read", stat.version)
    } else if created && stat.czxid != change.zxid {
        format!("made at {}, and czxid is {}", change.zxid, stat.czxid)
    } else {
        return None;
    };
    Some((text, Some(change.op)))
}

fn same(one: Sight<'_>, other: Sight<'_>) -> bool {
    let (Found::Node { stat: a, data: x }, Found::Node { stat: b, data: y }) =
        (one.found, other.found)
    else {
        return true;
    };
    (a.czxid, a.version, a.ephemeral_owner) == (b.czxid, b.version, b.ephemeral_owner)
        && x.zip(y).is_none_or(|(x, y)| x == y)
}
