//! What was acknowledged is there at the end of the run, and nothing that nobody wrote.
//!
//! Judged over what is read behind a sync after [`Moment::Finale`]: nodes by their last known
//! change, and the lists of children. What got no answer may be there or not.
//!
//! [`Moment::Finale`]: crate::history::Moment::Finale

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Change, ChangeKind, End, Found, History, OpIndex, Reply, Request, Sight};

use super::Violation;
use super::timeline::{Timeline, Timelines, parent};

const NAME: &str = "durability";

/// Finds what was lost, and what came from nowhere.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let timelines = Timelines::of(history);
    let synced = final_synced(history);
    let sights = history.sights().filter(|sight| synced.contains(&sight.op));
    let mut violations: Vec<_> =
        sights.filter_map(|sight| judge(timelines.get(sight.path), &sight)).collect();
    let children = present_children(&timelines);
    for op in &synced {
        let operation = &history.operations[*op];
        if let (
            Request::GetChildren { path, .. },
            End::Returned { result: Ok(Reply::Children { names, .. }), .. },
        ) = (&operation.request, &operation.end)
        {
            let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let expected = children.get(path.as_str());
            violations.extend(lost_child(path, expected, &names, *op));
            violations.extend(strange_child(history, &timelines, path, &names, *op));
        }
    }
    violations
}

/// Reads after the finale whose session has had a sync answered after it.
fn final_synced(history: &History) -> BTreeSet<OpIndex> {
    let mut synced = BTreeSet::new();
    for session in history.sessions.values() {
        let finals = session.operations.iter().copied().filter(|op| history.is_final(*op));
        let is_no_sync = |op: &OpIndex| {
            let operation = &history.operations[*op];
            !matches!(operation.request, Request::Sync { .. }) || operation.reply().is_none()
        };
        synced.extend(finals.skip_while(is_no_sync));
    }
    synced
}

fn judge(timeline: Option<&Timeline<'_>>, sight: &Sight<'_>) -> Option<Violation> {
    let violation = |text: String, before: Option<OpIndex>| Violation {
        checker: NAME,
        text: format!("{}: {text}", sight.path),
        operations: before.into_iter().chain([sight.op]).collect(),
    };
    let timeline = timeline?;
    let last = timeline.changes.last().copied();
    if let Some(change) = last
        && timeline.is_hidden(change, sight.found)
    {
        return Some(violation(format!("the change of {} is lost", change.zxid), Some(change.op)));
    }
    let Found::Node { stat, data } = sight.found else { return None };
    let known = last.filter(|change| change.zxid == stat.mzxid);
    let mut writers = timeline.doubtful.iter().chain(&known);
    let fits = |written: Option<&str>| data.is_none_or(|data| data == written);
    let explained =
        writers.any(|change| change.kind != ChangeKind::Deleted && fits(change.data.as_deref()));
    (!explained).then(|| {
        let text = format!("nobody wrote {data:?} at {}", stat.mzxid);
        violation(text, last.map(|change| change.op))
    })
}

/// Nodes that must be there, by parent: name, and who made or changed them last.
fn present_children<'h>(
    timelines: &Timelines<'h>,
) -> BTreeMap<&'h str, BTreeMap<&'h str, OpIndex>> {
    let mut children: BTreeMap<&str, BTreeMap<&str, OpIndex>> = BTreeMap::new();
    for (path, timeline) in timelines.iter() {
        let Some(last) = timeline.changes.last() else { continue };
        if last.kind != ChangeKind::Deleted && !timeline.may_be_deleted() {
            children.entry(parent(path)).or_default().insert(name(path), last.op);
        }
    }
    children
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn lost_child(
    path: &str,
    expected: Option<&BTreeMap<&str, OpIndex>>,
    names: &BTreeSet<&str>,
    op: OpIndex,
) -> Option<Violation> {
    let (name, by) = expected?.iter().find(|(name, _)| !names.contains(*name))?;
    let text = format!("{name} is not among the children of {path}");
    Some(Violation { checker: NAME, text, operations: vec![*by, op] })
}

/// A child that was deleted, or that nobody made.
fn strange_child(
    history: &History,
    timelines: &Timelines<'_>,
    path: &str,
    names: &BTreeSet<&str>,
    op: OpIndex,
) -> Option<Violation> {
    // Nobody knows the names of sequential nodes that got no answer.
    if path == "/" || history.doubtful.iter().any(|change| change.path.is_none()) {
        return None;
    }
    let creates = |change: &&Change| matches!(change.kind, ChangeKind::Created(_));
    let may_be_there = |timeline: &Timeline<'_>| {
        let last = timeline.changes.last();
        last.is_some_and(|change| change.kind != ChangeKind::Deleted)
            || timeline.doubtful.iter().any(creates)
    };
    let name = names.iter().find(|name| {
        let timeline = timelines.get(&format!("{path}/{name}"));
        !timeline.is_some_and(may_be_there)
    })?;
    let text = format!("{name} is among the children of {path}, and should not be");
    Some(Violation { checker: NAME, text, operations: vec![op] })
}
