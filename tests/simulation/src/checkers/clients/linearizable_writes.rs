//! Writes have one order, and each takes its place in it between its call and its reply.
//!
//! Two questions. *Zxids*: an acknowledged write has a zxid of its own, higher than that of every
//! write that was acknowledged before it was called. *Answers*: for each node there is an order of
//! its writes, found without a look at the zxids, in which every version and every refusal is
//! right. A node is judged by itself: linearizability is local, and what binds the nodes of a multi
//! together is `multi_atomicity`'s.
//!
//! Reads are not linearizable and are not looked at; those behind a sync are `synced_reads`'.

use std::collections::BTreeMap;

use crate::history::{
    ChangeKind, CreateMode, End, History, OpIndex, Operation, Reply, Request, Write,
};

use super::nameless;
use super::wing_gong::{self, Call, Disorder};
use super::znode::Step;
use super::{UNDECIDED, Violation};

const NAME: &str = "linearizable_writes";

/// Finds what is not linearizable.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(zxid_given_twice(history));
    violations.extend(zxid_behind_time(history));
    for (path, calls) in calls_by_path(history) {
        violations.extend(judge(NAME, path, &calls));
    }
    violations
}

/// Looks for an order of the calls at one node.
pub(super) fn judge(checker: &'static str, path: &str, calls: &[Call<'_>]) -> Option<Violation> {
    let (text, operations) = match wing_gong::order(calls) {
        Ok(()) => return None,
        Err(Disorder::Stuck { ordered, state, blocked }) => {
            let text = format!(
                "{path}: {ordered} of {} operations have an order, to {state}; none fits next",
                calls.len()
            );
            (text, blocked)
        }
        Err(Disorder::Undecided) => {
            let text = format!("{path}: no order was found in time, nor that there is none");
            return Some(Violation { checker: UNDECIDED, text, operations: Vec::new() });
        }
    };
    Some(Violation { checker, text, operations })
}

fn zxid_given_twice(history: &History) -> Option<Violation> {
    let changes = &history.changes;
    let twice = changes.windows(2).find(|two| two[0].zxid == two[1].zxid && two[0].op != two[1].op);
    twice.map(|two| Violation {
        checker: NAME,
        text: format!("two writes have the zxid {}", two[0].zxid),
        operations: vec![two[0].op, two[1].op],
    })
}

fn zxid_behind_time(history: &History) -> Option<Violation> {
    let writes = || {
        let operations = history.operations.iter().enumerate();
        operations.filter(|(_, operation)| operation.is_acknowledged_write())
    };
    let mut returns: Vec<_> = writes()
        .filter_map(|(index, operation)| {
            Some((operation.returned()?.at_ns, operation.zxid()?, index))
        })
        .collect();
    returns.sort_unstable_by_key(|(at_ns, ..)| *at_ns);
    let mut returns = returns.into_iter().peekable();
    let mut highest = None;
    for (index, operation) in writes() {
        while let Some((_, zxid, op)) =
            returns.next_if(|(at_ns, ..)| *at_ns < operation.invoked.at_ns)
        {
            highest = highest.max(Some((zxid, op)));
        }
        let Some((told, by)) = highest else { continue };
        let zxid = operation.zxid()?;
        if zxid <= told {
            return Some(Violation {
                checker: NAME,
                text: format!("a write has the zxid {zxid}, called after {told} was acknowledged"),
                operations: vec![by, index],
            });
        }
    }
    None
}

/// What was written to each node, in the order of the calls.
pub(super) fn calls_by_path(history: &History) -> BTreeMap<&str, Vec<Call<'_>>> {
    let mut by_path: BTreeMap<&str, Vec<Call<'_>>> = BTreeMap::new();
    for (op, operation) in history.operations.iter().enumerate() {
        if operation.end == End::NotSent {
            continue;
        }
        for (path, step) in steps(operation) {
            let calls = by_path.entry(path).or_default();
            match calls.last_mut().filter(|last| last.op == op) {
                Some(call) => call.steps.push(step),
                None => calls.push(call(op, operation, vec![step])),
            }
        }
    }
    add_vanishing(history, &mut by_path);
    nameless::add(history, &mut by_path);
    by_path.retain(|path, _| !is_made_by_the_server(path));
    by_path
}

pub(super) fn call<'h>(op: OpIndex, operation: &Operation, steps: Vec<Step<'h>>) -> Call<'h> {
    Call {
        op,
        steps,
        called_ns: operation.invoked.at_ns,
        returned_ns: operation.returned().map(|at| at.at_ns),
        hint: (operation.zxid().map_or(i64::MAX, |zxid| zxid.0), operation.request.is_read()),
    }
}

/// Nodes that are there from the beginning.
pub(super) fn is_made_by_the_server(path: &str) -> bool {
    path == "/" || path == "/zookeeper" || path.starts_with("/zookeeper/")
}

/// What an operation does to nodes whose names are known.
fn steps(operation: &Operation) -> Vec<(&str, Step<'_>)> {
    let refused = operation.refused();
    let writes = operation.request.writes();
    let part_code = |index: usize| match &operation.end {
        End::Returned { result: Ok(Reply::Parts(parts)), .. } => {
            parts.get(index).and_then(|part| part.as_ref().err()).copied()
        }
        _ => refused,
    };
    let alone = |write: &Write| writes.iter().filter(|it| it.path() == write.path()).count() == 1;
    let step = |(index, (write, reply)): (usize, (_, _))| {
        let write: &Write = write;
        let path = write.target(reply)?;
        let step = match (refused, reply, &operation.end) {
            (Some(_), ..) => Step::Refused(write, part_code(index).filter(|_| alone(write))?),
            (None, Some(reply), _) => Step::Done(write, reply),
            (None, None, End::Unknown) => Step::Unknown(write),
            (None, None, _) => return None,
        };
        Some((path, step))
    };
    let is_write = matches!(operation.request, Request::Write(_) | Request::Multi(_));
    let parts = operation.parts().enumerate().filter(|_| is_write);
    parts.filter_map(step).collect()
}

/// Nodes that the server takes away of its own accord: at any time, as far as this promise goes.
fn add_vanishing<'h>(history: &'h History, by_path: &mut BTreeMap<&'h str, Vec<Call<'h>>>) {
    for change in history.changes.iter().chain(&history.doubtful) {
        let vanishes = matches!(
            change.kind,
            ChangeKind::Created(CreateMode::Ephemeral | CreateMode::Container | CreateMode::Ttl)
        );
        let Some(path) = change.path.as_deref().filter(|_| vanishes) else { continue };
        let vanish = nameless::open_call(history, change.op, Step::Vanish(change.op));
        by_path.entry(path).or_default().push(vanish);
    }
}
