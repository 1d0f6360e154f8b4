//! The numbers of sequential nodes count the creates of their parent: no name is given twice, and
//! numbers rise in the order of the zxids, by one for each node made below the parent.

use std::collections::BTreeMap;

use menagerie_wire::Zxid;

use crate::history::{Change, ChangeKind, History, Write};

use super::Violation;
use super::timeline::{Timelines, parent};

const NAME: &str = "sequential_names";

/// Digits of a number. ZooKeeper: `PrepRequestProcessor`, `%010d`.
const DIGITS: usize = 10;

/// The creates below one parent.
#[derive(Default)]
struct Creates<'h> {
    /// In the order of their zxids; with their number, where they have one.
    known: Vec<(&'h Change, Option<i64>)>,
    doubtful: i64,
}

/// Finds numbers that are out of order.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let timelines = Timelines::of(history);
    let mut violations = Vec::new();
    let mut parents: BTreeMap<&str, Creates<'_>> = BTreeMap::new();
    for change in history.changes.iter().chain(&history.doubtful) {
        let Some((prefix, sequential)) = creation(history, change) else { continue };
        let creates = parents.entry(parent(prefix)).or_default();
        if change.zxid == Zxid::NONE {
            creates.doubtful += 1;
            continue;
        }
        let number = sequential.then(|| number(prefix, change.path())).flatten();
        if sequential && number.is_none() {
            violations.push(Violation {
                checker: NAME,
                text: format!("{} is no name for {prefix}", change.path()),
                operations: vec![change.op],
            });
        }
        creates.known.push((change, number));
    }
    for (path, creates) in parents {
        let timeline = timelines.get(path);
        if timeline.is_some_and(|timeline| timeline.may_be_deleted()) {
            continue;
        }
        let deleted = timeline.iter().flat_map(|timeline| &timeline.changes);
        let deleted = deleted.filter(|change| change.kind == ChangeKind::Deleted);
        let ends: Vec<Zxid> = deleted.map(|change| change.zxid).collect();
        violations.extend(out_of_order(path, &creates, &ends));
    }
    violations
}

/// The path that was asked for, and whether the server was to complete it.
fn creation<'h>(history: &'h History, change: &Change) -> Option<(&'h str, bool)> {
    match history.operations[change.op].request.writes().get(change.part)? {
        Write::Create { path, sequential, .. } => Some((path, *sequential)),
        _ => None,
    }
}

fn number(prefix: &str, path: &str) -> Option<i64> {
    let digits = path.strip_prefix(prefix)?;
    let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| fits)
}

/// `ends` are the zxids at which the parent was deleted: its next life counts from 0.
fn out_of_order(path: &str, creates: &Creates<'_>, ends: &[Zxid]) -> Option<Violation> {
    let life = |zxid: Zxid| ends.partition_point(|end| *end < zxid);
    let mut last: Option<(&Change, i64)> = None;
    let mut since = 0;
    for &(change, number) in &creates.known {
        if last.is_some_and(|(before, _)| life(before.zxid) != life(change.zxid)) {
            last = None;
        }
        since += 1;
        let Some(number) = number else { continue };
        if let Some((before, earlier)) = last {
            let due = earlier + since;
            if number < due || number > due + creates.doubtful {
                let text = format!(
                    "{path}: number {number} after {earlier}, with {since} creates known and {} \
                     perhaps",
                    creates.doubtful
                );
                let operations = vec![before.op, change.op];
                return Some(Violation { checker: NAME, text, operations });
            }
        }
        (last, since) = (Some((change, number)), 0);
    }
    None
}
