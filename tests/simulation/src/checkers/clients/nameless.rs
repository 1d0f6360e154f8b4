//! Sequential nodes whose create was never answered: nobody knows their names, yet they are there.
//!
//! Such a create may have made any node below its path whose name no reply has told. Where a read
//! shows what the node was made with, only a create with that data can have made it.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Change, ChangeKind, CreateMode, Found, History, OpIndex, Write};

use super::wing_gong::Call;
use super::znode::Step;

/// Digits of the number at the end of a sequential node's name.
const DIGITS: usize = 10;

/// Adds to the calls at each node those that may have made it without a word.
pub(super) fn add<'h>(history: &'h History, by_path: &mut BTreeMap<&'h str, Vec<Call<'h>>>) {
    let creates: Vec<_> = history.doubtful.iter().filter_map(|it| create(history, it)).collect();
    if creates.is_empty() {
        return;
    }
    let told: BTreeSet<&str> =
        history.changes.iter().filter(is_creation).map(Change::path).collect();
    let mut firsts: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for path in by_path.keys().filter(|path| !told.contains(**path)) {
        firsts.insert(path, BTreeSet::new());
    }
    for sight in history.sights().filter(|sight| !told.contains(sight.path)) {
        let data = firsts.entry(sight.path).or_default();
        if let Found::Node { stat, data: Some(found) } = sight.found
            && stat.version == 0
        {
            data.insert(found);
        }
    }
    for (path, firsts) in firsts {
        let Some(asked) = asked_path(path) else { continue };
        for &(op, write) in &creates {
            let Write::Create { path: under, data, mode, .. } = write else { continue };
            if under == asked && (firsts.is_empty() || firsts.contains(&data.as_deref())) {
                let calls = by_path.entry(path).or_default();
                calls.push(open_call(history, op, Step::Unknown(write)));
                if *mode != CreateMode::Persistent {
                    calls.push(open_call(history, op, Step::Vanish(op)));
                }
            }
        }
    }
}

/// Creates that may have made nodes without a word, by the path that was asked for.
pub(super) fn by_asked_path(history: &History) -> BTreeMap<&str, Vec<&Change>> {
    let mut creates: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in &history.doubtful {
        if let Some((_, write)) = create(history, change) {
            creates.entry(write.path()).or_default().push(change);
        }
    }
    creates
}

/// Something that may happen at any time after the call of `op`.
pub(super) fn open_call<'h>(history: &History, op: OpIndex, step: Step<'h>) -> Call<'h> {
    Call {
        op,
        steps: vec![step],
        called_ns: history.operations[op].invoked.at_ns,
        returned_ns: None,
        hint: (i64::MAX, false),
    }
}

fn create<'h>(history: &'h History, change: &Change) -> Option<(OpIndex, &'h Write)> {
    let write = &history.operations[change.op].request.writes()[change.part];
    (change.path.is_none() && is_creation(&change)).then_some((change.op, write))
}

const fn is_creation(change: &&Change) -> bool {
    matches!(change.kind, ChangeKind::Created(_))
}

/// The path of a sequential node without its number.
pub(super) fn asked_path(path: &str) -> Option<&str> {
    let (asked, number) = path.split_at_checked(path.len().checked_sub(DIGITS)?)?;
    number.bytes().all(|digit| digit.is_ascii_digit()).then_some(asked)
}
