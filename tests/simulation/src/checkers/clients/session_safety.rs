//! A session ends once: after its time, or when it is closed; nothing of it happens afterwards, and
//! its ephemeral nodes are there until then and no longer.
//!
//! - Who was told that a session is closed or expired gets nothing more done in it.
//! - A session that another connection has taken over is not written to through the old one.
//! - A session does not expire sooner than its time-out after the call of its last request that was
//!   answered. (A touch may take [`Settings::touch_ms_max`] to the leader, and be lost with the
//!   server that was to hand it on.)
//! - An ephemeral node has the owner who made it. It is gone at the zxid of the answer to the
//!   close, in a synced read of who was told that the session has expired
//!   ([`Settings::told_expiry_stands`]), and [`Settings::expiry_ms_max`] after its time when the
//!   session has expired, or is silent, and all faults are over. It is there while its session is
//!   seen alive at a later zxid, unless somebody deleted it.

use std::collections::{BTreeMap, HashMap};

use menagerie_wire::{ErrorCode, SessionId, Zxid};

use crate::history::{
    Change, ChangeKind, CreateMode, Found, History, NodeStat, OpIndex, Request, Session, Sight,
};

use super::timeline::Timelines;
use super::{Settings, Violation};

const NAME: &str = "session_safety";
const NS_PER_MS: u64 = 1_000_000;

/// Finds sessions that end too early or too late.
pub(super) fn check(history: &History, settings: &Settings) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, session) in history.sessions.iter().filter(|(id, _)| **id != SessionId::NONE) {
        let mut found = |fault: Option<(String, Vec<OpIndex>)>| {
            violations.extend(fault.map(|(text, operations)| {
                let text = format!("session {id}: {text}");
                Violation { checker: NAME, text, operations }
            }));
        };
        found(works_after_its_end(history, session));
        found(taken_back(history, session));
        found(written_through_an_old_connection(history, session));
        found(expires_early(history, session, settings));
    }
    violations.extend(ephemerals(history, settings));
    violations
}

type Fault = (String, Vec<OpIndex>);

/// When somebody was told of the end of a session, and by which operation.
fn end_ns(history: &History, session: &Session) -> Option<(u64, Option<OpIndex>)> {
    let closed = session.closed_by.and_then(|op| {
        let returned = history.operations[op].returned()?;
        Some((returned.at_ns, Some(op)))
    });
    let expired = session.expired.map(|at| (at.at_ns, None));
    closed.into_iter().chain(expired).min()
}

fn works_after_its_end(history: &History, session: &Session) -> Option<Fault> {
    let (end_ns, by) = end_ns(history, session)?;
    let mut operations = session.operations.iter();
    let late = *operations.find(|op| {
        let operation = &history.operations[**op];
        operation.invoked.at_ns > end_ns && operation.reply().is_some()
    })?;
    Some((
        "a request is carried out after its end".to_owned(),
        by.into_iter().chain([late]).collect(),
    ))
}

fn taken_back(history: &History, session: &Session) -> Option<Fault> {
    let (end_ns, by) = end_ns(history, session)?;
    let mut connections = session.connections.iter().map(|index| &history.connections[*index]);
    let late = connections.find(|connection| connection.from.at_ns > end_ns)?;
    let text = format!("server {} gives it back after its end", late.node);
    Some((text, by.into_iter().collect()))
}

fn written_through_an_old_connection(history: &History, session: &Session) -> Option<Fault> {
    let newest = |at_ns| {
        let from_ns = |index: &usize| history.connections[*index].from.at_ns;
        session.connections.iter().copied().filter(|index| from_ns(index) < at_ns).max()
    };
    let late = *session.operations.iter().find(|op| {
        let operation = &history.operations[**op];
        let newest = newest(operation.invoked.at_ns);
        operation.is_acknowledged_write() && operation.connection < newest
    })?;
    Some(("is written to through a connection that lost it".to_owned(), vec![late]))
}

fn expires_early(history: &History, session: &Session, settings: &Settings) -> Option<Fault> {
    let expired_ns = session.expired?.at_ns;
    let operations = || session.operations.iter().map(|op| (*op, &history.operations[*op]));
    if operations().any(|(_, operation)| operation.request == Request::CloseSession) {
        return None;
    }
    let answered = operations().filter(|(_, operation)| {
        operation.reply().is_some() && operation.invoked.at_ns < expired_ns
    });
    let (last, touched_ns) =
        answered.map(|(op, operation)| (op, operation.invoked.at_ns)).max_by_key(|it| it.1)?;
    let due_ns = touched_ns
        + session.timeout_ms.saturating_sub(settings.touch_ms_max).saturating_mul(NS_PER_MS);
    (expired_ns < due_ns).then(|| {
        let lived_ms = (expired_ns - touched_ns) / NS_PER_MS;
        let text = format!("expires after {lived_ms} ms of {} ms", session.timeout_ms);
        (text, vec![last])
    })
}

/// What reads tell of ephemeral nodes.
fn ephemerals(history: &History, settings: &Settings) -> Vec<Violation> {
    let timelines = Timelines::of(history);
    let alive = alive_at(history);
    let synced = synced_ns(history);
    let mut violations = Vec::new();
    for sight in history.sights() {
        let fault = match sight.found {
            Found::Node { stat, .. } => owner_fault(&timelines, &sight, stat)
                .or_else(|| outlives(history, settings, &synced, &sight, stat.ephemeral_owner)),
            Found::Absent => gone_early(&timelines, &alive, &sight),
        };
        violations.extend(fault.map(|(text, mut operations)| {
            operations.push(sight.op);
            let text = format!("{} at {}: {text}", sight.path, sight.zxid);
            Violation { checker: NAME, text, operations }
        }));
    }
    violations
}

/// The highest zxid at which each session was seen alive.
fn alive_at(history: &History) -> BTreeMap<SessionId, (Zxid, OpIndex)> {
    let mut alive = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        // A multi whose session is over is answered too: its parts say so.
        let is_over = operation.request == Request::CloseSession
            || operation.refused() == Some(ErrorCode::SessionExpired.code());
        let is_alive = operation.reply().is_some() && !is_over;
        if let Some(zxid) = operation.zxid().filter(|_| is_alive) {
            let newest = alive.entry(operation.session).or_insert((zxid, index));
            *newest = (*newest).max((zxid, index));
        }
    }
    alive
}

/// When the last sync was called behind which each operation was asked for in its session.
fn synced_ns(history: &History) -> HashMap<OpIndex, u64> {
    let mut synced = HashMap::new();
    for session in history.sessions.values() {
        let mut last_ns = None;
        for &index in &session.operations {
            let operation = &history.operations[index];
            if matches!(operation.request, Request::Sync { .. }) && operation.reply().is_some() {
                last_ns = Some(operation.invoked.at_ns);
            }
            synced.extend(last_ns.map(|at_ns| (index, at_ns)));
        }
    }
    synced
}

const fn is_ephemeral(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Created(CreateMode::Ephemeral))
}

fn owner_fault(timelines: &Timelines<'_>, sight: &Sight<'_>, stat: &NodeStat) -> Option<Fault> {
    let creation = timelines.get(sight.path)?.creation_at(sight.zxid)?;
    if creation.zxid != stat.czxid {
        return None;
    }
    let owner = if is_ephemeral(creation) { creation.session } else { SessionId::NONE };
    (stat.ephemeral_owner != owner).then(|| {
        (format!("is of session {}, made by {owner}", stat.ephemeral_owner), vec![creation.op])
    })
}

fn outlives(
    history: &History,
    settings: &Settings,
    synced: &HashMap<OpIndex, u64>,
    sight: &Sight<'_>,
    owner: SessionId,
) -> Option<Fault> {
    let session = history.sessions.get(&owner).filter(|_| owner != SessionId::NONE)?;
    let at_ns = history.operations[sight.op].invoked.at_ns;
    if let Some(closed_by) = session.closed_by
        && history.operations[closed_by].zxid().is_some_and(|zxid| sight.zxid >= zxid)
    {
        return Some((format!("outlives its session {owner}"), vec![closed_by]));
    }
    if let Some(expired) = session.expired {
        let synced_ns = synced.get(&sight.op).filter(|_| settings.told_expiry_stands);
        if synced_ns.is_some_and(|synced_ns| *synced_ns > expired.at_ns) {
            return Some((format!("outlives its expired session {owner}"), vec![]));
        }
        let healed_ns = history.healed.map_or(0, |at| at.at_ns);
        let due_ms = session.timeout_ms.saturating_add(settings.expiry_ms_max);
        let due_ns = expired.at_ns.max(healed_ns) + due_ms.saturating_mul(NS_PER_MS);
        if at_ns > due_ns {
            return Some((format!("outlives its expired session {owner}"), vec![]));
        }
    }
    let last = session.connections.iter().map(|index| history.connections[*index].until);
    let silent_ns = last.max_by_key(|until| until.map_or(u64::MAX, |at| at.at_ns))??.at_ns;
    let from_ns =
        (silent_ns + session.timeout_ms.saturating_mul(NS_PER_MS)).max(history.healed?.at_ns);
    let due_ns = from_ns + settings.expiry_ms_max.saturating_mul(NS_PER_MS);
    (at_ns > due_ns).then(|| {
        let late_ms = (at_ns - from_ns) / NS_PER_MS;
        (format!("is there {late_ms} ms after its session {owner} is due"), vec![])
    })
}

fn gone_early(
    timelines: &Timelines<'_>,
    alive: &BTreeMap<SessionId, (Zxid, OpIndex)>,
    sight: &Sight<'_>,
) -> Option<Fault> {
    let timeline = timelines.get(sight.path)?;
    let creation = timeline.creation_at(sight.zxid).filter(|change| is_ephemeral(change))?;
    if timeline.doubtful.iter().any(|change| change.kind == ChangeKind::Deleted) {
        return None;
    }
    let (zxid, witness) = *alive.get(&creation.session)?;
    (zxid >= sight.zxid).then(|| {
        let text = format!("is gone while its session {} is alive", creation.session);
        (text, vec![creation.op, witness])
    })
}
