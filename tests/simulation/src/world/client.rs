//! Clients as real libraries are: one session over many connections, pings, time-outs, watches that
//! are left again, and never the same request twice. What they ask and what they are told is the
//! run's history.

use std::collections::VecDeque;

use menagerie_wire::frame::{self, Cut};
use menagerie_wire::jute::{Decode, Encode, Reader};
use menagerie_wire::proto::{
    ConnectRequest, ConnectResponse, PASSWD_LEN, ReplyHeader, RequestHeader,
};
use menagerie_wire::{OpCode, ServerId, SessionId, Xid, Zxid};

use super::network::{ConnectionId, Parcel, Place, Port};
use super::workload::Workload;
use super::{Happening, Input, World};
use crate::client::{Watches, decode, decode_event, encode};
use crate::history::{EventKind, Moment, Record, Reply, Request};

/// Between two attempts to connect.
const PAUSE_US: (u64, u64) = (10_000, 300_000);
/// Until the first answer of a server is given up.
const HANDSHAKE_US: u64 = 3_000_000;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It does not want a connection.
    Away,
    Dialling,
    Shaking(ConnectionId, ServerId),
    Open(ConnectionId, ServerId),
}

/// What happens to a client by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visit {
    /// The next attempt to connect begins.
    Dial { attempt: u64 },
    /// The server that it dials is reached, or not.
    Reach { attempt: u64, node: ServerId },
    /// Something may be due: a ping, or the end of its patience.
    Due,
    /// It may want something.
    Think,
}

/// A request on its way.
struct Asked {
    xid: Xid,
    op: u64,
    request: Request,
}

/// One client.
pub struct Client {
    session: SessionId,
    passwd: [u8; PASSWD_LEN],
    /// As granted, or as wanted.
    timeout_ms: i32,
    last_zxid: Zxid,
    state: State,
    attempt: u64,
    /// The only server that it goes to, if it is choosy.
    only: Option<ServerId>,
    received: Vec<u8>,
    next_op: u64,
    asked: VecDeque<Asked>,
    watches: Watches,
    heard_us: u64,
    spoke_us: u64,
    due_us: u64,
    pub(super) workload: Option<Workload>,
    /// Answers by the number of the request, for scripts.
    answers: Vec<(u64, Result<Reply, i32>)>,
    events: Vec<(EventKind, String)>,
    /// Sessions that it was told to be no more.
    expired: u64,
}

impl Client {
    pub(super) fn new(timeout_ms: i32, workload: Option<Workload>) -> Self {
        Self {
            session: SessionId::NONE,
            passwd: [0; PASSWD_LEN],
            timeout_ms,
            last_zxid: Zxid::ZERO,
            state: State::Away,
            attempt: 0,
            only: None,
            received: Vec::new(),
            next_op: 1,
            asked: VecDeque::new(),
            watches: Watches::default(),
            heard_us: 0,
            spoke_us: 0,
            due_us: u64::MAX,
            workload,
            answers: Vec::new(),
            events: Vec::new(),
            expired: 0,
        }
    }

    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The newest zxid that it was told.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Where it has a session at the moment.
    #[must_use]
    pub const fn node(&self) -> Option<ServerId> {
        match self.state {
            State::Open(_, node) => Some(node),
            _ => None,
        }
    }

    /// The answer to a request of a script.
    #[must_use]
    pub fn answer(&self, op: u64) -> Option<&Result<Reply, i32>> {
        self.answers.iter().find(|(number, _)| *number == op).map(|(_, result)| result)
    }

    /// The events that a client without a workload was sent.
    #[must_use]
    pub fn events(&self) -> &[(EventKind, String)] {
        &self.events
    }

    #[must_use]
    pub const fn expired(&self) -> u64 {
        self.expired
    }

    /// Requests without an answer.
    #[must_use]
    pub fn asked_count(&self) -> usize {
        self.asked.len()
    }

    const fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Shaking(connection, _) | State::Open(connection, _) => Some(connection),
            State::Away | State::Dialling => None,
        }
    }

    fn forget_session(&mut self) {
        self.session = SessionId::NONE;
        self.passwd = [0; PASSWD_LEN];
        self.watches = Watches::default();
    }

    fn introduction(&self) -> Vec<u8> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session_id: self.session,
            passwd: Some(&self.passwd),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &request);
        bytes
    }

    /// When it pings, or gives a silent server up.
    fn next_due_us(&self) -> u64 {
        let timeout_us = self.timeout_ms as u64 * 1000;
        match self.state {
            State::Away | State::Dialling => u64::MAX,
            State::Shaking(..) => self.heard_us + HANDSHAKE_US,
            State::Open(..) => {
                (self.spoke_us + timeout_us / 3).min(self.heard_us + timeout_us * 2 / 3)
            }
        }
    }

    /// The next whole frame.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let cut = frame::cut(&self.received, frame::JUTE_MAXBUFFER_DEFAULT + 1024);
        let Cut::Frame(payload) = cut.expect("servers send frames") else { return None };
        let payload = payload.to_vec();
        self.received.drain(..frame::LENGTH_BYTES + payload.len());
        Some(payload)
    }
}

impl World {
    /// A client that does only what a script says; at `only`, or anywhere. It connects at once.
    pub fn add_client(&mut self, only: Option<ServerId>) -> u32 {
        let number = self.clients.len() as u32 + 1;
        let mut client = Client::new(self.plan.session_timeout_ms, None);
        client.only = only;
        self.clients.insert(number, client);
        self.dial_from(number);
        number
    }

    /// # Panics
    /// When there is none of that number.
    #[must_use]
    pub fn client(&self, number: u32) -> &Client {
        &self.clients[&number]
    }

    fn client_mut(&mut self, number: u32) -> &mut Client {
        self.clients.get_mut(&number).expect("a client of this world")
    }

    pub(super) fn record(&mut self, client: u32, what: Moment) {
        self.trace.say(self.now_us, || format!("client {client}: {what:?}"));
        self.records.push(Record { at_ns: self.now_us * 1000, client, what });
    }

    pub(super) fn visit_in(&mut self, in_us: u64, number: u32, visit: Visit) {
        self.happens_in(in_us, Happening::Client(number, visit));
    }

    pub(super) fn visit(&mut self, number: u32, visit: Visit) {
        let client = &self.clients[&number];
        match visit {
            Visit::Dial { attempt } | Visit::Reach { attempt, .. }
                if client.state != State::Dialling || client.attempt != attempt => {}
            Visit::Dial { .. } => self.dial_from(number),
            Visit::Reach { node, .. } => self.reach_from(number, node),
            Visit::Due => self.client_due(number),
            Visit::Think => self.think(number),
        }
    }

    // ---- connections ----

    /// Goes to a server: another one than the last, if it can choose.
    pub(super) fn dial_from(&mut self, number: u32) {
        let members = self.plan.voters + self.plan.observers;
        let chosen = ServerId(1 + self.random.below(members as usize) as i64);
        let in_us = self.random_us(self.plan.delay_us);
        let client = self.client_mut(number);
        client.state = State::Dialling;
        client.attempt += 1;
        let (attempt, node) = (client.attempt, client.only.unwrap_or(chosen));
        self.visit_in(in_us, number, Visit::Reach { attempt, node });
    }

    fn reach_from(&mut self, number: u32, node: ServerId) {
        let (here, there) = (Place::Client(number), Place::Node(node));
        if !self.machines[&node].is_up() || !self.network.reach_each_other(here, there) {
            return self.dial_again(number);
        }
        let connection = self.network.open(Port::Client, here, there);
        self.reach(node, Input::Admit { connection, client: number });
        let now_us = self.now_us;
        let client = self.client_mut(number);
        client.state = State::Shaking(connection, node);
        client.received.clear();
        (client.heard_us, client.spoke_us) = (now_us, now_us);
        let introduction = client.introduction();
        self.send(connection, here, Parcel::Bytes(introduction));
        self.set_due(number);
    }

    fn dial_again(&mut self, number: u32) {
        let in_us = self.random_us(PAUSE_US);
        let client = self.client_mut(number);
        client.state = State::Dialling;
        client.attempt += 1;
        let attempt = client.attempt;
        self.visit_in(in_us, number, Visit::Dial { attempt });
    }

    fn set_due(&mut self, number: u32) {
        let client = self.client_mut(number);
        let due_us = client.next_due_us();
        if due_us < client.due_us {
            client.due_us = due_us;
            let in_us = due_us.saturating_sub(self.now_us);
            self.visit_in(in_us, number, Visit::Due);
        }
    }

    fn client_due(&mut self, number: u32) {
        let now_us = self.now_us;
        let client = self.client_mut(number);
        if client.due_us > now_us {
            return;
        }
        client.due_us = u64::MAX;
        let timeout_us = client.timeout_ms as u64 * 1000;
        match client.state {
            State::Away | State::Dialling => return,
            State::Shaking(..) if now_us >= client.heard_us + HANDSHAKE_US => {
                return self.leave_connection(number);
            }
            State::Open(..) if now_us >= client.heard_us + timeout_us * 2 / 3 => {
                return self.leave_connection(number);
            }
            State::Open(connection, _) if now_us >= client.spoke_us + timeout_us / 3 => {
                client.spoke_us = now_us;
                let mut bytes = Vec::new();
                let header = RequestHeader { xid: Xid::PING, op: OpCode::Ping as i32 };
                frame::put(&mut bytes, &header);
                self.send(connection, Place::Client(number), Parcel::Bytes(bytes));
            }
            _ => {}
        }
        self.set_due(number);
    }

    /// The client hangs up, and goes elsewhere with its session.
    pub fn leave_connection(&mut self, number: u32) {
        if let Some(connection) = self.clients[&number].connection() {
            self.send(connection, Place::Client(number), Parcel::End);
        }
        self.client_lost(number);
    }

    /// The client hangs up, and goes to that server with its session.
    pub fn move_client(&mut self, number: u32, to: ServerId) {
        self.client_mut(number).only = Some(to);
        self.leave_connection(number);
    }

    /// The client hangs up, forgets its session, and begins a new one.
    pub fn abandon_session(&mut self, number: u32) {
        self.leave_connection(number);
        self.client_mut(number).forget_session();
    }

    fn client_lost(&mut self, number: u32) {
        let client = self.client_mut(number);
        let asked = std::mem::take(&mut client.asked);
        let was_open = client.node().is_some();
        for Asked { op, .. } in asked {
            self.record(number, Moment::Lost { op });
        }
        if was_open {
            self.record(number, Moment::Disconnected);
        }
        self.dial_again(number);
    }

    pub(super) fn client_parcel(&mut self, number: u32, connection: ConnectionId, parcel: Parcel) {
        let now_us = self.now_us;
        let client = self.client_mut(number);
        if client.connection() != Some(connection) {
            return;
        }
        let Parcel::Bytes(bytes) = parcel else { return self.client_lost(number) };
        client.received.extend_from_slice(&bytes);
        client.heard_us = now_us;
        while let Some(frame) = self.client_mut(number).frame() {
            match self.clients[&number].state {
                State::Shaking(_, node) => self.introduced(number, connection, node, &frame),
                State::Open(..) => self.told(number, &frame),
                State::Away | State::Dialling => break,
            }
        }
        self.set_due(number);
    }

    fn introduced(&mut self, number: u32, connection: ConnectionId, node: ServerId, frame: &[u8]) {
        let response = ConnectResponse::from_bytes(frame).expect("servers answer handshakes");
        let client = self.client_mut(number);
        if response.session_id == SessionId::NONE {
            let session = client.session;
            client.forget_session();
            client.expired += 1;
            self.record(number, Moment::Expired { session });
            return self.leave_connection(number);
        }
        let resumed = client.session == response.session_id;
        client.session = response.session_id;
        client.passwd = response.passwd;
        client.timeout_ms = response.timeout_ms;
        client.state = State::Open(connection, node);
        let again = client.watches.again(client.last_zxid);
        let (session, timeout_ms) = (response.session_id, response.timeout_ms as u64);
        self.record(number, Moment::Connected { session, node, timeout_ms, resumed });
        if let Some(request) = again {
            self.ask(number, request);
        }
    }

    // ---- requests ----

    /// Asks for something, if the client has a session at the moment; the number of the request.
    pub fn ask(&mut self, number: u32, request: Request) -> Option<u64> {
        let now_us = self.now_us;
        let client = self.client_mut(number);
        let State::Open(connection, _) = client.state else { return None };
        let op = client.next_op;
        client.next_op += 1;
        client.spoke_us = now_us;
        let xid = match request {
            Request::SetWatches { .. } => Xid::SET_WATCHES,
            _ => Xid((op & 0x3fff_ffff) as i32),
        };
        let (code, body) = encode(&request);
        let mut bytes = Vec::new();
        frame::put_with(&mut bytes, |out| {
            RequestHeader { xid, op: code as i32 }.encode(out);
            out.extend_from_slice(&body);
        });
        client.asked.push_back(Asked { xid, op, request: request.clone() });
        self.record(number, Moment::Invoke { op, request });
        self.send(connection, Place::Client(number), Parcel::Bytes(bytes));
        Some(op)
    }

    /// A reply or an event.
    fn told(&mut self, number: u32, frame: &[u8]) {
        let reader = &mut Reader::new(frame);
        let header = ReplyHeader::decode(reader).expect("a reply has a header");
        let body = reader.rest();
        let zxid = header.zxid;
        let client = self.client_mut(number);
        match header.xid {
            Xid::NOTIFICATION => {
                let (kind, path) = decode_event(zxid, body).expect("an event is an event");
                client.watches.fired(kind, &path);
                if client.workload.is_none() {
                    client.events.push((kind, path.clone()));
                }
                self.record(number, Moment::Event { zxid, kind, path });
            }
            Xid::PING => client.last_zxid = client.last_zxid.max(zxid),
            xid => {
                let asked = client.asked.pop_front().expect("a reply answers something");
                assert!(
                    asked.xid == xid,
                    "reply {xid:?} to client {number}, {:?} is due",
                    asked.xid
                );
                let result = decode(&asked.request, header.err, body);
                let result = result.expect("a reply has the form of its request");
                client.last_zxid = client.last_zxid.max(zxid);
                client.watches.left(&asked.request, &result);
                if client.workload.is_none() {
                    client.answers.push((asked.op, result.clone()));
                }
                self.record(number, Moment::Return { op: asked.op, zxid, result });
                if asked.request == Request::CloseSession {
                    self.client_mut(number).forget_session();
                    self.leave_connection(number);
                }
            }
        }
    }
}
