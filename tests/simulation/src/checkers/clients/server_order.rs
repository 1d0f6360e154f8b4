//! One server never goes back: what it has told anybody, it knows when the next one asks.
//!
//! Over all connections of one server, in real time: a request that is sent after a reply has come
//! is answered from a state that is not older than that reply's. It holds across restarts too, for
//! a server that comes back serves nobody before it has what its leader has committed. Where zxids
//! are not exact ([`Settings::exact_zxids`]) nothing is judged.
//!
//! What one session sees is `monotonic_reads`' and `client_fifo`'s; that zxids of writes rise with
//! time `linearizable_writes`'.

use std::collections::BTreeMap;

use menagerie_wire::{ServerId, Zxid};

use crate::history::{History, OpIndex};

use super::{Settings, Violation};

const NAME: &str = "server_order";

/// A request and its reply at one server.
struct Answered {
    op: OpIndex,
    invoked_ns: u64,
    returned_ns: u64,
    zxid: Zxid,
}

/// Finds servers that go back.
pub(super) fn check(history: &History, settings: &Settings) -> Vec<Violation> {
    let mut servers: BTreeMap<ServerId, Vec<Answered>> = BTreeMap::new();
    for (op, operation) in history.operations.iter().enumerate() {
        let node = operation.connection.map(|index| history.connections[index].node);
        if let (Some(node), Some(at), Some(zxid)) = (node, operation.returned(), operation.zxid()) {
            let (invoked_ns, returned_ns) = (operation.invoked.at_ns, at.at_ns);
            let answered = Answered { op, invoked_ns, returned_ns, zxid };
            servers.entry(node).or_default().push(answered);
        }
    }
    let servers = servers.into_iter().filter(|_| settings.exact_zxids);
    servers.filter_map(|(node, answered)| goes_back(history, node, answered)).collect()
}

fn goes_back(history: &History, node: ServerId, answered: Vec<Answered>) -> Option<Violation> {
    let mut by_return: Vec<&Answered> = answered.iter().collect();
    by_return.sort_unstable_by_key(|it| it.returned_ns);
    let mut by_return = by_return.into_iter().peekable();
    let mut newest: Option<(Zxid, OpIndex)> = None;
    let is_write = |op: OpIndex| history.operations[op].is_acknowledged_write();
    for it in answered.iter().filter(|it| !is_write(it.op)) {
        while let Some(before) = by_return.next_if(|before| before.returned_ns < it.invoked_ns) {
            newest = newest.max(Some((before.zxid, before.op)));
        }
        let session = |op: OpIndex| history.operations[op].session;
        let older = newest.filter(|(told, op)| it.zxid < *told && session(*op) != session(it.op));
        if let Some((told, before)) = older {
            let text = format!("server {node} says {} after it has said {told}", it.zxid);
            return Some(Violation { checker: NAME, text, operations: vec![before, it.op] });
        }
    }
    None
}
