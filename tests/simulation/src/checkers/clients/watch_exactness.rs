//! Every watch tells of the first change behind it, once, before its client can know of the change
//! otherwise; a persistent one of every change. Nothing else is told.
//!
//! Each connection is gone through in the order in which its client saw it ([`watched`] keeps what
//! is armed). Up to the zxid of a reply everything must have been told: a known change that
//! somebody watches and that no event told before the reply is lost, or late. An event must have
//! been asked for, be of a change that may have happened, and come once.
//!
//! setWatches is judged by what is known of its nodes between the zxid that the client names and
//! that of the reply: what has changed must be told before the reply, what has not must not. A
//! node that was made and deleted meanwhile may be missed by an exists watch: ZooKeeper's
//! documented hole.
//!
//! Changes that nobody was told of (writes without an answer, the ends of sessions) are not asked
//! for, but accepted. Access lists are not known here: histories with watches on nodes that their
//! clients may not read are not for this checker.
//!
//! [`watched`]: super::watched

use std::collections::HashMap;

use menagerie_wire::{ErrorCode, Zxid};

use crate::history::{
    Connection, End, EventKind, History, OnWire, OpIndex, Operation, Request, SeenEvent,
};

use super::facts::{Fact, Facts};
use super::timeline::Timelines;
use super::watched::Watched;
use super::{Violation, rearmed};

pub(super) const NAME: &str = "watch_exactness";

/// Finds events that are missing, late, or not asked for.
pub(super) fn check(history: &History) -> Vec<Violation> {
    if history.events.is_empty() && !history.operations.iter().any(leaves_watches) {
        return Vec::new();
    }
    let timelines = Timelines::of(history);
    let facts = Facts::of(history);
    let connections = history.connections.iter();
    connections.flat_map(|it| Replay::new(history, &timelines, &facts).of(it)).collect()
}

fn leaves_watches(operation: &Operation) -> bool {
    matches!(
        operation.request,
        Request::Exists { watch: true, .. }
            | Request::GetData { watch: true, .. }
            | Request::GetChildren { watch: true, .. }
            | Request::AddWatch { .. }
            | Request::SetWatches { .. }
    )
}

/// One connection, gone through in order.
struct Replay<'h> {
    history: &'h History,
    timelines: &'h Timelines<'h>,
    facts: &'h Facts<'h>,
    watched: Watched<'h>,
    /// Everything up to here must have been told.
    front: Option<Zxid>,
    /// How often each change above `front` was told.
    told: HashMap<Fact<'h>, usize>,
    /// Told by setWatches, whose reply has not come.
    rearmed: Vec<(EventKind, &'h str)>,
    violations: Vec<Violation>,
}

impl<'h> Replay<'h> {
    fn new(history: &'h History, timelines: &'h Timelines<'h>, facts: &'h Facts<'h>) -> Self {
        Self {
            history,
            timelines,
            facts,
            watched: Watched::default(),
            front: None,
            told: HashMap::new(),
            rearmed: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn of(mut self, connection: &Connection) -> Vec<Violation> {
        for it in &connection.wire {
            match *it {
                OnWire::Sent(_) => {}
                OnWire::Replied(op) => self.on_reply(op),
                OnWire::Event(event) => self.on_event(&self.history.events[event]),
            }
        }
        self.violations
    }

    fn fault(&mut self, text: String, operations: Vec<OpIndex>) {
        self.violations.push(Violation { checker: NAME, text, operations });
    }

    fn on_reply(&mut self, op: OpIndex) {
        let operation = &self.history.operations[op];
        let Some(zxid) = operation.zxid() else { return };
        // A client that closes its session need not hear of what that deletes.
        if operation.request != Request::CloseSession {
            self.advance(zxid, Some(op));
        }
        let End::Returned { result, .. } = &operation.end else { return };
        let is_missing = *result == Err(ErrorCode::NoNode.code());
        let stat = result.as_ref().ok().and_then(|reply| reply.stat());
        // Apache's servers may show more than the zxid says.
        let data_from = zxid.max(stat.map_or(zxid, |stat| stat.mzxid));
        let child_from = zxid.max(stat.map_or(zxid, |stat| stat.pzxid));
        match &operation.request {
            Request::Exists { path, watch: true } if result.is_ok() || is_missing => {
                self.watched.data(path, op, data_from);
            }
            Request::GetData { path, watch: true } if result.is_ok() => {
                self.watched.data(path, op, data_from);
            }
            Request::GetChildren { path, watch: true } if result.is_ok() => {
                self.watched.child(path, op, child_from);
            }
            Request::AddWatch { path, recursive } if result.is_ok() => {
                self.watched.persistent(path, *recursive, op, zxid);
            }
            Request::RemoveWatches { path, watched_by } if result.is_ok() => {
                self.watched.remove(path, *watched_by);
            }
            Request::SetWatches { .. } if result.is_ok() => self.on_set_watches(op, zxid),
            _ => {}
        }
    }

    fn on_set_watches(&mut self, op: OpIndex, zxid: Zxid) {
        let fired = std::mem::take(&mut self.rearmed);
        let request = &self.history.operations[op].request;
        let state = rearmed::State { timelines: self.timelines, facts: self.facts, zxid };
        let faults = rearmed::judge(request, &state, fired, &mut self.watched, op);
        for text in faults {
            self.fault(text, vec![op]);
        }
    }

    fn on_event(&mut self, event: &'h SeenEvent) {
        let SeenEvent { zxid, kind, path, .. } = event;
        if *zxid == Zxid::NONE {
            self.rearmed.push((*kind, path));
            return;
        }
        let fact = Fact { zxid: *zxid, kind: *kind, path };
        if self.front.is_some_and(|front| *zxid <= front) {
            let front = self.front.unwrap_or_default();
            return self.fault(format!("{fact} is told behind {front}"), vec![]);
        }
        self.advance(Zxid(zxid.0 - 1), None);
        if !self.facts.is_possible(&fact) {
            self.fault(format!("{fact} is told, and did not happen"), vec![]);
        }
        let asked = self.watched.fire(*kind, path, *zxid);
        let told = self.told.entry(fact).or_default();
        *told += 1;
        if *told > self.facts.count(&fact) {
            self.fault(format!("{fact} is told again"), vec![]);
        } else if !asked {
            self.fault(format!("{fact} is told, and nobody asked"), vec![]);
        }
    }

    /// Everything up to `zxid` is known to the client now: `by` the reply, or a later event.
    fn advance(&mut self, zxid: Zxid, by: Option<OpIndex>) {
        let Some(front) = self.front else {
            self.front = Some(zxid);
            return;
        };
        if zxid <= front {
            return;
        }
        self.front = Some(zxid);
        let mut seen: HashMap<Fact<'h>, usize> = HashMap::new();
        for fact in self.facts.between(front, zxid) {
            if self.watched.is_empty() {
                break;
            }
            let seen = seen.entry(*fact).or_default();
            *seen += 1;
            if self.told.get(fact).is_some_and(|told| told >= seen) {
                continue;
            }
            if let Some(armed_by) = self.watched.waits_for(fact) {
                self.watched.fire(fact.kind, fact.path, fact.zxid);
                let text = format!("{fact} is not told before {zxid}");
                self.fault(text, [Some(armed_by), by].into_iter().flatten().collect());
            }
        }
        self.told.retain(|fact, _| fact.zxid > zxid);
    }
}
