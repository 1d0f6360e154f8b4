//! Histories for tests, written down as they happen.
//!
//! Every call moves the time on by one, so what is written later is later.

use std::collections::BTreeMap;

use menagerie_wire::{ServerId, SessionId, Zxid};

use super::index::History;
use super::operation::{CreateMode, EventKind, NodeStat, Reply, Request, Write};
use super::record::{HARNESS, Moment, Record};

/// A test's way to write a history. Client `n` has session `n` unless told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Script {
    now_ns: u64,
    next_op: u64,
    records: Vec<Record>,
    /// The last connection of each client: session and server.
    connections: BTreeMap<u32, (i64, i64)>,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    client: u32,
    op: u64,
}

/// The time-out of every session of a script.
pub(crate) const TIMEOUT_MS: u64 = 10;

impl Script {
    /// With so many clients, each connected to a server of its own: `n` to server `n`.
    pub(crate) fn with(clients: u32) -> Self {
        let mut script = Self::default();
        for client in 1..=clients {
            script.connect(client, i64::from(client));
        }
        script
    }

    pub(crate) fn history(self) -> History {
        History::of(self.records).expect("a script keeps to the rules of recorders")
    }

    pub(crate) fn record(&mut self, client: u32, what: Moment) {
        self.now_ns += 1;
        self.records.push(Record { at_ns: self.now_ns, client, what });
    }

    /// Lets time go by.
    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now_ns += ms * 1_000_000;
    }

    pub(crate) fn healed(&mut self) {
        self.record(HARNESS, Moment::Healed);
    }

    pub(crate) fn finale(&mut self) {
        self.record(HARNESS, Moment::Finale);
    }

    /// Gives the client its session, or a connection to another server.
    pub(crate) fn connect(&mut self, client: u32, node: i64) {
        self.connect_as(client, i64::from(client), node);
    }

    pub(crate) fn connect_as(&mut self, client: u32, session: i64, node: i64) {
        self.connections.insert(client, (session, node));
        let (session, node) = (SessionId(session), ServerId(node));
        let resumed = false;
        self.record(client, Moment::Connected { session, node, timeout_ms: TIMEOUT_MS, resumed });
    }

    pub(crate) fn disconnect(&mut self, client: u32) {
        self.record(client, Moment::Disconnected);
    }

    pub(crate) fn expire(&mut self, client: u32, session: i64) {
        self.record(client, Moment::Expired { session: SessionId(session) });
    }

    pub(crate) fn begin(&mut self, client: u32, request: Request) -> Begun {
        self.next_op += 1;
        let op = self.next_op;
        self.record(client, Moment::Invoke { op, request });
        Begun { client, op }
    }

    pub(crate) fn end(&mut self, begun: Begun, zxid: i64, result: Result<Reply, i32>) {
        let zxid = Zxid(zxid);
        self.record(begun.client, Moment::Return { op: begun.op, zxid, result });
    }

    /// A request without an answer: its connection breaks, and the client makes the next one.
    pub(crate) fn lose(&mut self, client: u32, request: Request) {
        let begun = self.begin(client, request);
        self.disconnect(client);
        self.record(client, Moment::Lost { op: begun.op });
        let (session, node) = self.connections[&client];
        self.connect_as(client, session, node);
    }

    pub(crate) fn not_sent(&mut self, begun: Begun) {
        self.record(begun.client, Moment::NotSent { op: begun.op });
    }

    /// A request and its reply.
    pub(crate) fn done(&mut self, client: u32, request: Request, zxid: i64, reply: Reply) {
        let begun = self.begin(client, request);
        self.end(begun, zxid, Ok(reply));
    }

    pub(crate) fn refused(&mut self, client: u32, request: Request, zxid: i64, code: i32) {
        let begun = self.begin(client, request);
        self.end(begun, zxid, Err(code));
    }

    pub(crate) fn event(&mut self, client: u32, zxid: i64, kind: EventKind, path: &str) {
        let path = path.to_owned();
        self.record(client, Moment::Event { zxid: Zxid(zxid), kind, path });
    }

    /// Creates a node that stays.
    pub(crate) fn create(&mut self, client: u32, path: &str, data: &str, zxid: i64) {
        self.done(client, create(path, data), zxid, created(path));
    }

    /// Sets data, whatever the version; `version` is what the reply says.
    pub(crate) fn set(&mut self, client: u32, path: &str, data: &str, zxid: i64, version: i32) {
        self.done(client, set(path, data), zxid, Reply::Stat(stat(1, zxid, version)));
    }

    /// Reads a node that was created at 1, if nothing else is said of it.
    pub(crate) fn get(&mut self, client: u32, path: &str, zxid: i64, found: (&str, NodeStat)) {
        self.done(client, get(path), zxid, data(found.0, found.1));
    }

    pub(crate) fn get_nothing(&mut self, client: u32, path: &str, zxid: i64) {
        self.refused(client, get(path), zxid, -101);
    }

    pub(crate) fn sync(&mut self, client: u32, zxid: i64) {
        self.done(client, Request::Sync { path: "/".to_owned() }, zxid, Reply::Done);
    }
}

/// Of a node that was created at `czxid` and changed at `mzxid`.
pub(crate) fn stat(czxid: i64, mzxid: i64, version: i32) -> NodeStat {
    NodeStat {
        czxid: Zxid(czxid),
        mzxid: Zxid(mzxid),
        pzxid: Zxid(czxid),
        version,
        cversion: 0,
        ephemeral_owner: SessionId::NONE,
        num_children: 0,
    }
}

pub(crate) fn data(data: &str, stat: NodeStat) -> Reply {
    Reply::Data { data: Some(data.to_owned()), stat }
}

pub(crate) fn created(path: &str) -> Reply {
    Reply::Created { path: path.to_owned(), stat: None }
}

pub(crate) fn create(path: &str, data: &str) -> Request {
    Request::Write(creation(path, data, CreateMode::Persistent, false))
}

pub(crate) fn creation(path: &str, data: &str, mode: CreateMode, sequential: bool) -> Write {
    Write::Create { path: path.to_owned(), data: Some(data.to_owned()), mode, sequential }
}

pub(crate) fn set(path: &str, data: &str) -> Request {
    Request::Write(setting(path, data, -1))
}

pub(crate) fn setting(path: &str, data: &str, version: i32) -> Write {
    Write::SetData { path: path.to_owned(), data: Some(data.to_owned()), version }
}

pub(crate) fn delete(path: &str) -> Request {
    Request::Write(Write::Delete { path: path.to_owned(), version: -1 })
}

pub(crate) fn get(path: &str) -> Request {
    Request::GetData { path: path.to_owned(), watch: false }
}
