//! A client that writes down what it asks and what it is told.
//!
//! It holds one session over many connections, as client libraries do: when a connection is lost it
//! goes to another server with its session, the newest zxid that it has seen, and its watches. It
//! never asks again: a request without a reply stays one of which nobody knows what it did.

use super::journal::{Journal, Page};
use crate::random::Random;
use crate::raw_client::{Introduction, RawClient};
use menagerie_simulation::client::{Watches, decode, decode_event, encode};
use menagerie_simulation::history::{EventKind, Moment, Reply, Request};
use menagerie_wire::ids::{ServerId, SessionId, Xid, Zxid};
use menagerie_wire::proto::ConnectResponse;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server that is silent for so long is left for another one.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// Servers as clients know them.
pub type Servers = Arc<Vec<(u64, SocketAddr)>>;

/// One client, which has at most one connection and one session at a time.
#[derive(Debug)]
pub struct Client {
    servers: Servers,
    page: Page,
    random: Random,
    timeout_ms: i32,
    connection: Option<RawClient>,
    session: Option<ConnectResponse>,
    last_zxid: Zxid,
    next_op: u64,
    watches: Watches,
    /// Events that came, in order, for whoever waits for one.
    pub events: VecDeque<(EventKind, String)>,
}

/// The reply to a request, or the number of the error; `None` when none came.
pub type Answer = Option<Result<Reply, i32>>;

impl Client {
    /// A client that chooses among `servers` and is not connected yet.
    #[must_use]
    pub fn new(servers: Servers, journal: &Arc<Journal>, timeout_ms: i32, seed: u64) -> Self {
        let page = journal.page();
        let random = Random::new(seed.wrapping_add(u64::from(page.client())));
        Self {
            servers,
            page,
            random,
            timeout_ms,
            connection: None,
            session: None,
            last_zxid: Zxid::ZERO,
            next_op: 1,
            watches: Watches::default(),
            events: VecDeque::new(),
        }
    }

    /// The number by which the history knows this client.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.page.client()
    }

    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// The session, if there is one that is not known to be gone.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session.as_ref().map_or(SessionId::NONE, |session| session.session_id)
    }

    /// Tries servers, at most `attempts` times, until one gives a session or gives it back.
    pub fn connect(&mut self, attempts: usize) -> bool {
        for _ in 0..attempts {
            if self.connection.is_some() {
                return true;
            }
            let servers = Arc::clone(&self.servers);
            let (id, address) = *self.random.pick(&servers);
            if self.introduce(id, address).is_err() {
                // A server that comes back tells nobody.
                std::thread::sleep(CONNECT_INTERVAL);
            }
        }
        self.connection.is_some()
    }

    fn introduce(&mut self, id: u64, address: SocketAddr) -> io::Result<()> {
        let asked = match &self.session {
            Some(session) => Introduction::again(session),
            None => Introduction::new(self.timeout_ms),
        };
        let asked = Introduction {
            last_zxid_seen: self.last_zxid,
            answer_time_max: ANSWER_TIME_MAX,
            ..asked
        };
        let connection = RawClient::introduce(address, &asked)?;
        let given = connection.session().clone();
        if given.session_id == SessionId::NONE {
            self.page.write(Moment::Expired { session: asked.session_id });
            self.forget();
            return Ok(());
        }
        let resumed = given.session_id == asked.session_id;
        self.page.write(Moment::Connected {
            session: given.session_id,
            node: ServerId(id as i64),
            timeout_ms: given.timeout_ms as u64,
            resumed,
        });
        self.session = Some(given);
        self.connection = Some(connection);
        if let Some(request) = self.watches.again(self.last_zxid) {
            self.call(request);
        }
        Ok(())
    }

    /// Sends a request, if there is a connection, and waits for the reply.
    pub fn call(&mut self, request: Request) -> Answer {
        self.call_all(vec![request]).pop().flatten()
    }

    /// Sends requests one behind the other without waiting, and then takes their replies.
    pub fn call_all(&mut self, requests: Vec<Request>) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::new();
        if self.connection.is_none() {
            answers.resize(requests.len(), None);
            return answers;
        }
        let first = self.next_op;
        self.next_op += requests.len() as u64;
        let mut lost = false;
        let mut sent = Vec::new();
        for (op, request) in (first..).zip(&requests) {
            self.page.write(Moment::Invoke { op, request: request.clone() });
            let xid = self.send(request);
            lost |= xid.is_err();
            sent.push((op, request, xid.unwrap_or(Xid(0))));
            if lost {
                break;
            }
        }
        for (op, request, xid) in sent {
            let reply = if lost { None } else { self.receive(op, request, xid) };
            if reply.is_none() {
                lost = true;
                self.page.write(Moment::Lost { op });
            }
            answers.push(reply);
        }
        answers.resize(requests.len(), None);
        if lost {
            self.disconnect();
        }
        answers
    }

    fn send(&mut self, request: &Request) -> io::Result<Xid> {
        let (op, body) = encode(request);
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        connection.send(op, &Body(&body))
    }

    /// Takes the events before the next reply, and that reply.
    fn receive(&mut self, op: u64, request: &Request, xid: Xid) -> Answer {
        let connection = self.connection.as_mut()?;
        let reply = connection.receive();
        let events: Vec<_> = connection.events().drain(..).collect();
        for event in events {
            let zxid = event.header.zxid;
            let (kind, path) = decode_event(zxid, &event.body).expect("an event is an event");
            self.watches.fired(kind, &path);
            self.events.push_back((kind, path.clone()));
            self.page.write(Moment::Event { zxid, kind, path });
        }
        let reply = reply.ok()?;
        assert_eq!(reply.header.xid, xid, "replies come in the order of the requests: {request:?}");
        let result = decode(request, reply.header.err, &reply.body);
        let result = result.unwrap_or_else(|error| panic!("the reply to {request:?}: {error}"));
        self.last_zxid = self.last_zxid.max(reply.header.zxid);
        self.watches.left(request, &result);
        let zxid = reply.header.zxid;
        self.page.write(Moment::Return { op, zxid, result: result.clone() });
        if *request == Request::CloseSession {
            self.disconnect();
            self.forget();
        }
        Some(result)
    }

    /// Leaves the connection and keeps the session.
    pub fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.page.write(Moment::Disconnected);
        }
    }

    /// Leaves connection and session: the servers have to find out by its silence.
    pub fn abandon(&mut self) {
        self.disconnect();
        self.forget();
    }

    fn forget(&mut self) {
        self.session = None;
        self.watches = Watches::default();
        self.events.clear();
    }
}

/// A body that is already encoded.
struct Body<'a>(&'a [u8]);

impl menagerie_wire::jute::Encode for Body<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0);
    }
}
