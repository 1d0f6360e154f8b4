//! What a session asks takes effect, and is answered, in the order in which it was asked.
//!
//! On one connection replies come in the order of the requests, and none is left out. Over all
//! connections of a session: the zxids of its acknowledged writes rise, a read knows of the
//! session's earlier writes and not of its later ones. A write without an answer has its place
//! among the writes too, when somebody reads what it alone has written.
//!
//! Reads among each other are `monotonic_reads`'.

use std::collections::{HashMap, VecDeque};

use menagerie_wire::Zxid;

use crate::history::{Connection, End, Found, History, OnWire, OpIndex, Sight};

use super::Violation;

const NAME: &str = "client_fifo";

/// Finds what was done or answered out of its order.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let connections = history.connections.iter();
    let replies = connections.filter_map(|connection| reply_out_of_order(history, connection));
    let sessions = history.sessions.values();
    let seen = seen_writes(history);
    let effects =
        sessions.flat_map(|session| effects_out_of_order(history, &session.operations, &seen));
    replies.chain(effects).collect()
}

/// A reply that overtakes one to an earlier request.
fn reply_out_of_order(history: &History, connection: &Connection) -> Option<Violation> {
    let mut waiting: VecDeque<OpIndex> = VecDeque::new();
    for it in &connection.wire {
        match *it {
            OnWire::Sent(op) if history.operations[op].end != End::NotSent => {
                waiting.push_back(op);
            }
            // What was asked for on no connection has no place in this one's order.
            OnWire::Replied(op) if waiting.contains(&op) => {
                let first = waiting.pop_front()?;
                if first != op {
                    return Some(Violation {
                        checker: NAME,
                        text: "a request was answered before an earlier one".to_owned(),
                        operations: vec![first, op],
                    });
                }
            }
            OnWire::Sent(_) | OnWire::Replied(_) | OnWire::Event(_) => {}
        }
    }
    None
}

/// The zxids of writes without an answer, as readers of their values were told them.
fn seen_writes(history: &History) -> HashMap<OpIndex, Zxid> {
    let mut writers: HashMap<&str, Vec<OpIndex>> = HashMap::new();
    for change in history.changes.iter().chain(&history.doubtful) {
        if let Some(data) = &change.data {
            writers.entry(data).or_default().push(change.op);
        }
    }
    let zxid_of_writer = |sight: Sight<'_>| {
        let Found::Node { stat, data: Some(Some(data)) } = sight.found else { return None };
        match writers.get(data)?[..] {
            [writer] if history.operations[writer].end == End::Unknown => {
                Some((writer, stat.mzxid))
            }
            _ => None,
        }
    };
    history.sights().filter_map(zxid_of_writer).collect()
}

fn effects_out_of_order(
    history: &History,
    operations: &[OpIndex],
    seen: &HashMap<OpIndex, Zxid>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut done: Option<(Zxid, OpIndex)> = None;
    let mut write: Option<(Zxid, OpIndex)> = None;
    let mut read: Option<(Zxid, OpIndex)> = None;
    for &index in operations {
        let operation = &history.operations[index];
        let unanswered = seen.get(&index).copied();
        let Some(zxid) = operation.zxid().or(unanswered) else { continue };
        let mut found = |text: &str, (other, before): (Zxid, OpIndex)| {
            let text = format!("{text}: {zxid} after {other}");
            violations.push(Violation { checker: NAME, text, operations: vec![before, index] });
        };
        let is_acknowledged = operation.is_acknowledged_write();
        if is_acknowledged || unanswered.is_some() {
            // Of two writes at one zxid, one of them without an answer, others speak.
            let is_late = |&(earlier, _): &(Zxid, OpIndex)| match is_acknowledged {
                true => zxid <= earlier,
                false => zxid < earlier,
            };
            if let Some(done) = done.filter(is_late) {
                found("a session's writes change places", done);
            } else if let Some(read) = read.filter(|(seen, _)| is_acknowledged && zxid <= *seen) {
                found("a read knows of a later write of its session", read);
            }
            done = done.max(Some((zxid, index)));
            write = write.max(Some((zxid, index)).filter(|_| is_acknowledged));
        } else if operation.request.is_read() {
            if let Some(write) = write.filter(|(earlier, _)| zxid < *earlier) {
                found("a read does not know of an earlier write of its session", write);
            }
            read = read.max(Some((zxid, index)));
        }
    }
    violations
}
