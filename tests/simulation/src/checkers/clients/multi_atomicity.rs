//! What a multi does is done together or not at all, and its refusal says which part was at fault.
//!
//! A multi that was acknowledged, or of which one part was seen although no reply came, has changed
//! all its nodes at one zxid: nobody who knows of that zxid sees one of them as it was before. A
//! multi that was refused has changed nothing.

use std::collections::HashMap;

use menagerie_wire::{ErrorCode, Zxid};

use crate::history::{
    Change, ChangeKind, End, Found, History, OpIndex, Operation, Reply, Request, Sight, Write,
};

use super::Violation;
use super::timeline::Timelines;

const NAME: &str = "multi_atomicity";

/// Finds multis that were done in part.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let timelines = Timelines::of(history);
    let sights: Vec<_> = history.sights().filter(|sight| !history.is_final(sight.op)).collect();
    let mut violations = Vec::new();
    for sight in &sights {
        let is_multi = |change: &&Change| history.operations[change.op].request.is_multi();
        violations.extend(timelines.hidden(sight).filter(is_multi).map(|change| {
            let text = format!("{} at {} is as before the multi", sight.path, sight.zxid);
            Violation { checker: NAME, text, operations: vec![change.op, sight.op] }
        }));
    }
    violations.extend(seen_in_part(history, &timelines, &sights));
    violations.extend(refused_and_seen(history, &timelines, &sights));
    let operations = history.operations.iter().enumerate();
    violations.extend(operations.filter_map(|(index, operation)| {
        let text = misshapen(operation)?;
        Some(Violation { checker: NAME, text, operations: vec![index] })
    }));
    violations
}

/// Multis without a reply of which one node tells that they were done, and another one that not.
fn seen_in_part(
    history: &History,
    timelines: &Timelines<'_>,
    sights: &[Sight<'_>],
) -> Vec<Violation> {
    let mut parts: HashMap<OpIndex, Vec<&Change>> = HashMap::new();
    for change in &history.doubtful {
        if history.operations[change.op].request.is_multi() {
            parts.entry(change.op).or_default().push(change);
        }
    }
    let done = done_at(&parts, timelines, sights);
    let mut by_path: HashMap<&str, Vec<(&Change, Zxid, OpIndex)>> = HashMap::new();
    for (op, (zxid, witness)) in done {
        for change in &parts[&op] {
            let Some(path) = change.path.as_deref() else { continue };
            by_path.entry(path).or_default().push((change, zxid, witness));
        }
    }
    let mut violations = Vec::new();
    for sight in sights {
        for &(change, zxid, witness) in by_path.get(sight.path).into_iter().flatten() {
            let is_before = match sight.found {
                Found::Node { stat, .. } => stat.mzxid < zxid,
                Found::Absent => {
                    let timeline = timelines.get(sight.path);
                    let deleted = timeline.is_none_or(|it| it.may_be_deleted())
                        || timeline.and_then(|it| it.last_at(sight.zxid)).is_some_and(|last| {
                            last.zxid > zxid && last.kind == ChangeKind::Deleted
                        });
                    change.kind != ChangeKind::Deleted && !deleted
                }
            };
            if sight.zxid >= zxid && is_before {
                let text = format!("{} is as before the multi of {zxid}", sight.path);
                let operations = vec![change.op, witness, sight.op];
                violations.push(Violation { checker: NAME, text, operations });
            }
        }
    }
    violations
}

/// When the multis without a reply were done, as far as data tells that only they wrote.
fn done_at(
    parts: &HashMap<OpIndex, Vec<&Change>>,
    timelines: &Timelines<'_>,
    sights: &[Sight<'_>],
) -> HashMap<OpIndex, (Zxid, OpIndex)> {
    let mut writers: HashMap<(&str, &str), OpIndex> = HashMap::new();
    for change in parts.values().flatten() {
        let Some((path, data)) = change.path.as_deref().zip(change.data.as_deref()) else {
            continue;
        };
        if timelines.get(path).is_some_and(|it| it.unique_data().contains(data)) {
            writers.insert((path, data), change.op);
        }
    }
    let mut done = HashMap::new();
    for sight in sights {
        if let Found::Node { stat, data: Some(Some(data)) } = sight.found
            && let Some(op) = writers.get(&(sight.path, data))
        {
            done.entry(*op).or_insert((stat.mzxid, sight.op));
        }
    }
    done
}

/// Data that only a refused multi would have written, and that was read.
fn refused_and_seen(
    history: &History,
    timelines: &Timelines<'_>,
    sights: &[Sight<'_>],
) -> Vec<Violation> {
    let mut refused: HashMap<(&str, &str), OpIndex> = HashMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        if !operation.request.is_multi() || operation.refused().is_none() {
            continue;
        }
        for write in operation.request.writes() {
            if let Write::Create { path, data: Some(data), sequential: false, .. }
            | Write::SetData { path, data: Some(data), .. } = write
            {
                refused.insert((path, data), index);
            }
        }
    }
    let is_written = |path: &str, data: &str| {
        timelines.get(path).is_some_and(|timeline| {
            let mut all = timeline.changes.iter().chain(&timeline.doubtful);
            all.any(|change| change.data.as_deref() == Some(data))
        })
    };
    let seen = |sight: &Sight<'_>| {
        let Found::Node { data: Some(Some(data)), .. } = sight.found else { return None };
        let op = *refused.get(&(sight.path, data))?;
        let text = format!("{} has the data of a multi that was refused", sight.path);
        let operations = vec![op, sight.op];
        (!is_written(sight.path, data)).then_some(Violation { checker: NAME, text, operations })
    };
    sights.iter().filter_map(seen).collect()
}

/// In what the answer to a multi has not the form of one.
// ZooKeeper: before the part at fault 0, behind it RUNTIMEINCONSISTENCY.
fn misshapen(operation: &Operation) -> Option<String> {
    let End::Returned { result: Ok(Reply::Parts(parts)), .. } = &operation.end else { return None };
    if !matches!(operation.request, Request::Multi(_)) || parts.iter().all(Result::is_ok) {
        return None;
    }
    let behind = ErrorCode::RuntimeInconsistency.code();
    let codes: Option<Vec<i32>> = parts.iter().map(|part| part.as_ref().err().copied()).collect();
    let Some(codes) = codes else {
        return Some("a multi is refused, and one of its parts is done".to_owned());
    };
    let before = codes.iter().take_while(|code| **code == 0).count();
    let fits = codes.get(before).is_some_and(|code| *code != behind)
        && codes[before + 1..].iter().all(|code| *code == behind);
    (!fits).then(|| format!("a multi is refused with {codes:?}"))
}
