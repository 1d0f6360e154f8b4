//! A read behind a `sync` is linearizable: it shows every write that was acknowledged, to whomever,
//! before the sync was called.
//!
//! ZooKeeper promises less (ZOOKEEPER-1675: a leader that was deposed and does not know it answers
//! syncs); Menagerie promises this always. Judged twice: by zxids, over all nodes at once, and for
//! each node by its values, where such a read takes effect between the call of the sync and its own
//! reply. A node whose writes alone have no order is `linearizable_writes`', and what is lost at
//! the end of a run `durability`'s. Where zxids are not exact ([`Settings::exact_zxids`]) only
//! values are judged.

use std::collections::{BTreeMap, HashMap, HashSet};

use menagerie_wire::Zxid;

use crate::history::{Found, History, OpIndex, Operation, Request, Session, Sight};

use super::durability;
use super::linearizable_writes::{call, calls_by_path, is_made_by_the_server, judge};
use super::wing_gong::{self, Call};
use super::znode::Step;
use super::{Settings, Violation};

const NAME: &str = "synced_reads";

/// Finds synced reads that are too old.
pub(super) fn check(history: &History, settings: &Settings) -> Vec<Violation> {
    let floors = floors(history);
    let sessions = history.sessions.values().filter(|_| settings.exact_zxids);
    let mut violations: Vec<_> =
        sessions.filter_map(|session| behind_its_sync(history, session, &floors)).collect();
    let mut writes = calls_by_path(history);
    let lost: HashSet<OpIndex> = durability::check(history)
        .iter()
        .filter_map(|violation| violation.operations.last().copied())
        .collect();
    for (path, mut reads) in reads_by_path(history) {
        reads.retain(|read| !lost.contains(&read.op));
        let mut calls = writes.remove(path).unwrap_or_default();
        let count = calls.len();
        calls.extend(reads);
        if let Some(violation) = judge(NAME, path, &calls)
            && wing_gong::order(&calls[..count]).is_ok()
        {
            violations.push(violation);
        }
    }
    violations
}

/// For each answered sync the newest write that had been acknowledged when it was called.
fn floors(history: &History) -> HashMap<OpIndex, (Zxid, OpIndex)> {
    let operations = || history.operations.iter().enumerate();
    let mut acknowledged: Vec<_> = operations()
        .filter(|(_, operation)| operation.is_acknowledged_write())
        .filter_map(|(index, operation)| {
            Some((operation.returned()?.at_ns, operation.zxid()?, index))
        })
        .collect();
    acknowledged.sort_unstable_by_key(|(at_ns, ..)| *at_ns);
    let mut acknowledged = acknowledged.into_iter().peekable();
    let mut newest = None;
    let mut floors = HashMap::new();
    for (index, sync) in operations().filter(|(_, operation)| is_answered_sync(operation)) {
        let before = |at_ns| at_ns < sync.invoked.at_ns;
        while let Some((_, zxid, op)) = acknowledged.next_if(|(at_ns, ..)| before(*at_ns)) {
            newest = newest.max(Some((zxid, op)));
        }
        floors.extend(newest.map(|newest| (index, newest)));
    }
    floors
}

fn is_answered_sync(operation: &Operation) -> bool {
    matches!(operation.request, Request::Sync { .. }) && operation.reply().is_some()
}

/// A sync, or a read behind one, with a zxid below what the sync was to wait for.
fn behind_its_sync(
    history: &History,
    session: &Session,
    floors: &HashMap<OpIndex, (Zxid, OpIndex)>,
) -> Option<Violation> {
    let mut floor: Option<(Zxid, OpIndex, OpIndex)> = None;
    for &index in &session.operations {
        let operation = &history.operations[index];
        if let Some(&(zxid, write)) = floors.get(&index) {
            floor = floor.max(Some((zxid, write, index)));
        }
        let is_judged = operation.request.is_read() || is_answered_sync(operation);
        let Some(seen) = operation.zxid().filter(|_| is_judged) else { continue };
        if let Some((zxid, write, sync)) = floor.filter(|(zxid, ..)| seen < *zxid) {
            return Some(Violation {
                checker: NAME,
                text: format!("{seen} behind a sync that was called after {zxid}"),
                operations: vec![write, sync, index],
            });
        }
    }
    None
}

/// The synced reads of each node, called when their sync was.
fn reads_by_path(history: &History) -> BTreeMap<&str, Vec<Call<'_>>> {
    let mut sights: HashMap<OpIndex, Vec<Sight<'_>>> = HashMap::new();
    for sight in history.sights() {
        sights.entry(sight.op).or_default().push(sight);
    }
    let mut by_path: BTreeMap<&str, Vec<Call<'_>>> = BTreeMap::new();
    for session in history.sessions.values() {
        let mut synced_ns = None;
        for &index in &session.operations {
            let operation = &history.operations[index];
            if is_answered_sync(operation) {
                synced_ns = Some(operation.invoked.at_ns);
            }
            let Some(called_ns) = synced_ns else { continue };
            for sight in sights.get(&index).into_iter().flatten() {
                let step = match sight.found {
                    Found::Absent => Step::Absent,
                    Found::Node { stat, data } => Step::Found { version: stat.version, data },
                };
                let call = Call { called_ns, ..call(index, operation, vec![step]) };
                by_path.entry(sight.path).or_default().push(call);
            }
        }
    }
    by_path.retain(|path, _| !is_made_by_the_server(path));
    by_path
}
