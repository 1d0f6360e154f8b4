//! A history as checkers want it: requests with their ends, connections, sessions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use menagerie_wire::{ServerId, SessionId, Zxid};
use thiserror::Error;

use super::change::{self, Change};
use super::operation::{EventKind, Reply, Request, Write};
use super::record::{HARNESS, Moment, Record};
use super::sight::{self, Sight};

/// The place of an operation in [`History::operations`].
pub type OpIndex = usize;

/// When something happened: the time, and the place among all records.
///
/// Two moments of one client are ordered by place. Those of different clients are ordered by time
/// alone, and at the same time they are concurrent: files that are put together say no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub at_ns: u64,
    pub place: usize,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Returned {
        at: Point,
        zxid: Zxid,
        result: Result<Reply, i32>,
    },
    /// No reply came: it has one effect, later than its invocation, or none.
    Unknown,
    /// It has none.
    NotSent,
}

/// A request and its end.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: u32,
    /// The client's own number of it.
    pub number: u64,
    pub session: SessionId,
    /// Over which it was answered; without an answer, over which it was sent.
    pub connection: Option<usize>,
    pub request: Request,
    pub invoked: Point,
    pub end: End,
}

/// An event that came.
#[derive(Clone, Debug)]
pub struct SeenEvent {
    pub at: Point,
    pub connection: usize,
    pub zxid: Zxid,
    pub kind: EventKind,
    pub path: String,
}

/// What one side of a connection saw, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWire {
    Sent(OpIndex),
    Replied(OpIndex),
    /// Index of [`History::events`].
    Event(usize),
}

/// One connection of a client.
#[derive(Clone, Debug)]
pub struct Connection {
    pub client: u32,
    pub session: SessionId,
    pub node: ServerId,
    pub from: Point,
    /// When it was lost, or the client had made the next one.
    pub until: Option<Point>,
    pub wire: Vec<OnWire>,
}

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct Session {
    /// As the last server granted it.
    pub timeout_ms: u64,
    /// The first closeSession that was answered.
    pub closed_by: Option<OpIndex>,
    /// When somebody was first told that it is no more.
    pub expired: Option<Point>,
    /// In the order of their invocations.
    pub operations: Vec<OpIndex>,
    /// Indexes of [`History::connections`], in order.
    pub connections: Vec<usize>,
}

/// All that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order of their invocations.
    pub operations: Vec<Operation>,
    pub events: Vec<SeenEvent>,
    pub connections: Vec<Connection>,
    pub sessions: BTreeMap<SessionId, Session>,
    pub healed: Option<Point>,
    pub finale: Option<Point>,
    /// When the last record was made.
    pub end_ns: u64,
    /// What acknowledged writes did, in the order of their zxids.
    pub changes: Vec<Change>,
    /// What writes without an answer may have done, in the order of their invocations.
    pub doubtful: Vec<Change>,
}

/// Why records are no history: the recorder errs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HistoryError {
    #[error("client {client} invokes operation {op} twice")]
    InvokedTwice { client: u32, op: u64 },
    #[error("client {client}: operation {op} ends, and is not under way")]
    NotUnderWay { client: u32, op: u64 },
    #[error("client {client}: a reply or event at {at_ns} ns outside any connection")]
    NotConnected { client: u32, at_ns: u64 },
    #[error("client {client}: a reply to operation {op} that does not fit the request")]
    Unfit { client: u32, op: u64 },
}

/// What is kept of a client while records are read.
#[derive(Default)]
struct Client {
    session: SessionId,
    connection: Option<usize>,
    under_way: HashMap<u64, OpIndex>,
    last_number: Option<u64>,
}

impl History {
    /// Puts records together, of one recorder or of many one after the other.
    ///
    /// # Errors
    /// When they contradict each other in a way in which no server can have a part.
    pub fn of(mut records: Vec<Record>) -> Result<Self, HistoryError> {
        records.sort_by_key(|record| record.at_ns);
        let mut history = Self::default();
        let mut clients = BTreeMap::new();
        for (place, Record { at_ns, client, what }) in records.into_iter().enumerate() {
            let point = Point { at_ns, place };
            history.end_ns = at_ns;
            match what {
                Moment::Healed if client == HARNESS => history.healed = Some(point),
                Moment::Finale if client == HARNESS => history.finale = Some(point),
                what => history.take(client, clients.entry(client).or_default(), point, what)?,
            }
        }
        history.changes = change::acknowledged(&history.operations);
        history.doubtful = change::doubtful(&history.operations);
        Ok(history)
    }

    fn take(
        &mut self,
        number: u32,
        client: &mut Client,
        at: Point,
        what: Moment,
    ) -> Result<(), HistoryError> {
        match what {
            Moment::Invoke { op, request } => self.invoke(number, client, at, (op, request))?,
            Moment::Return { op, zxid, result } => {
                let index = client.end(number, op)?;
                let connection = client.connected(number, at)?;
                let operation = &mut self.operations[index];
                if !fits(&operation.request, &result) {
                    return Err(HistoryError::Unfit { client: number, op });
                }
                let closes = result.is_ok() && operation.request == Request::CloseSession;
                operation.connection = Some(connection);
                operation.end = End::Returned { at, zxid, result };
                self.connections[connection].wire.push(OnWire::Replied(index));
                if closes {
                    self.session(operation_session(&self.operations[index])).close(index);
                }
            }
            Moment::Lost { op } => drop(client.end(number, op)?),
            Moment::NotSent { op } => {
                let index = client.end(number, op)?;
                self.operations[index].end = End::NotSent;
            }
            Moment::Event { zxid, kind, path } => {
                let connection = client.connected(number, at)?;
                self.connections[connection].wire.push(OnWire::Event(self.events.len()));
                self.events.push(SeenEvent { at, connection, zxid, kind, path });
            }
            Moment::Connected { session, node, timeout_ms, resumed: _ } => {
                let index = self.connections.len();
                self.disconnect(client.connection.replace(index), at);
                client.session = session;
                let wire = Vec::new();
                let (from, until) = (at, None);
                let connection = Connection { client: number, session, node, from, until, wire };
                self.connections.push(connection);
                let session = self.session(session);
                session.timeout_ms = timeout_ms;
                session.connections.push(index);
            }
            Moment::Disconnected => self.disconnect(client.connection.take(), at),
            Moment::Expired { session } => {
                let session = self.session(session);
                session.expired = session.expired.or(Some(at));
            }
            // Only the harness's word counts.
            Moment::Healed | Moment::Finale => {}
        }
        Ok(())
    }

    fn invoke(
        &mut self,
        number: u32,
        client: &mut Client,
        invoked: Point,
        (op, request): (u64, Request),
    ) -> Result<(), HistoryError> {
        if client.last_number.is_some_and(|last| op <= last) {
            return Err(HistoryError::InvokedTwice { client: number, op });
        }
        client.last_number = Some(op);
        let index = self.operations.len();
        client.under_way.insert(op, index);
        if let Some(connection) = client.connection {
            self.connections[connection].wire.push(OnWire::Sent(index));
        }
        self.session(client.session).operations.push(index);
        self.operations.push(Operation {
            client: number,
            number: op,
            session: client.session,
            connection: client.connection,
            request,
            invoked,
            end: End::Unknown,
        });
        Ok(())
    }

    fn disconnect(&mut self, connection: Option<usize>, at: Point) {
        if let Some(index) = connection {
            self.connections[index].until = Some(at);
        }
    }

    fn session(&mut self, id: SessionId) -> &mut Session {
        self.sessions.entry(id).or_insert_with(|| Session {
            timeout_ms: 0,
            closed_by: None,
            expired: None,
            operations: Vec::new(),
            connections: Vec::new(),
        })
    }

    /// Whether an operation looks at the outcome of the run.
    #[must_use]
    pub fn is_final(&self, op: OpIndex) -> bool {
        self.finale.is_some_and(|finale| self.operations[op].invoked.at_ns > finale.at_ns)
    }

    /// What reads saw, in the order of their invocations.
    pub fn sights(&self) -> impl Iterator<Item = Sight<'_>> {
        self.operations.iter().enumerate().flat_map(|(index, op)| sight::of(index, op))
    }
}

const fn operation_session(operation: &Operation) -> SessionId {
    operation.session
}

/// Whether a reply has the form that belongs to its request.
fn fits(request: &Request, result: &Result<Reply, i32>) -> bool {
    let Ok(reply) = result else { return true };
    let fits_write = |write: &Write, reply: &Reply| match write {
        Write::Create { .. } => matches!(reply, Reply::Created { .. }),
        Write::SetData { .. } => matches!(reply, Reply::Stat(_)),
        Write::Delete { .. } | Write::Check { .. } => matches!(reply, Reply::Done),
    };
    match (request, reply) {
        (Request::Write(write), reply) => fits_write(write, reply),
        (Request::Multi(writes), Reply::Parts(parts)) => {
            let fits_part = |(write, part): (_, &Result<Reply, i32>)| {
                part.as_ref().map_or(true, |reply| fits_write(write, reply))
            };
            writes.len() == parts.len() && writes.iter().zip(parts).all(fits_part)
        }
        (Request::MultiRead(paths), Reply::Parts(parts)) => {
            let is_data =
                |part: &Result<Reply, i32>| matches!(part, Err(_) | Ok(Reply::Data { .. }));
            paths.len() == parts.len() && parts.iter().all(is_data)
        }
        (Request::Exists { .. }, Reply::Stat(_))
        | (Request::GetData { .. }, Reply::Data { .. })
        | (Request::GetChildren { .. }, Reply::Children { .. }) => true,
        (
            Request::Sync { .. }
            | Request::Ping
            | Request::SetWatches { .. }
            | Request::AddWatch { .. }
            | Request::RemoveWatches { .. }
            | Request::CloseSession,
            Reply::Done,
        ) => true,
        _ => false,
    }
}

impl Client {
    fn end(&mut self, client: u32, op: u64) -> Result<OpIndex, HistoryError> {
        self.under_way.remove(&op).ok_or(HistoryError::NotUnderWay { client, op })
    }

    fn connected(&self, client: u32, at: Point) -> Result<usize, HistoryError> {
        self.connection.ok_or(HistoryError::NotConnected { client, at_ns: at.at_ns })
    }
}

impl Session {
    fn close(&mut self, op: OpIndex) {
        self.closed_by = self.closed_by.or(Some(op));
    }
}

impl Operation {
    /// Zxid and reply, when it was answered and not refused.
    #[must_use]
    pub fn reply(&self) -> Option<(Zxid, &Reply)> {
        match &self.end {
            End::Returned { zxid, result: Ok(reply), .. } => Some((*zxid, reply)),
            _ => None,
        }
    }

    /// The error it was answered with. That of a multi stands in its parts.
    #[must_use]
    pub fn refused(&self) -> Option<i32> {
        match &self.end {
            End::Returned { result: Err(code), .. } => Some(*code),
            End::Returned { result: Ok(Reply::Parts(parts)), .. } if self.request.is_multi() => {
                parts.iter().find_map(|part| part.as_ref().err().copied().filter(|code| *code != 0))
            }
            _ => None,
        }
    }

    /// The zxid of its reply, if it had one that means something.
    #[must_use]
    pub fn zxid(&self) -> Option<Zxid> {
        match self.end {
            End::Returned { zxid, .. } if zxid > Zxid::ZERO => Some(zxid),
            _ => None,
        }
    }

    #[must_use]
    pub fn returned(&self) -> Option<Point> {
        match self.end {
            End::Returned { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Whether it is a write that was acknowledged.
    #[must_use]
    pub fn is_acknowledged_write(&self) -> bool {
        !self.request.writes().is_empty() && self.reply().is_some() && self.refused().is_none()
    }

    /// Its writes, each with its own reply, if it was acknowledged.
    pub fn parts(&self) -> impl Iterator<Item = (&Write, Option<&Reply>)> {
        let reply = self.reply().filter(|_| self.refused().is_none()).map(|(_, reply)| reply);
        let part = move |index: usize| match reply {
            Some(Reply::Parts(parts)) if self.request.is_multi() => {
                parts.get(index).and_then(|part| part.as_ref().ok())
            }
            reply => reply,
        };
        self.request.writes().iter().enumerate().map(move |(index, it)| (it, part(index)))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, number, session, request, invoked, end, .. } = self;
        write!(f, "{} ns client {client} session {session} #{number}: ", invoked.at_ns)?;
        write!(f, "{request:?} -> ")?;
        match end {
            End::Returned { at, zxid, result } => {
                write!(f, "{result:?} at zxid {zxid}, {} ns", at.at_ns)
            }
            End::Unknown => f.write_str("no answer"),
            End::NotSent => f.write_str("not sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(moments: impl IntoIterator<Item = Moment>) -> Result<History, HistoryError> {
        let connected = Moment::Connected {
            session: SessionId(7),
            node: ServerId(1),
            timeout_ms: 10,
            resumed: false,
        };
        let moments = [connected].into_iter().chain(moments).enumerate();
        let record = |(at, what)| Record { at_ns: at as u64, client: 1, what };
        History::of(moments.map(record).collect())
    }

    fn invoke(op: u64) -> Moment {
        Moment::Invoke { op, request: Request::Ping }
    }

    fn done(op: u64) -> Moment {
        Moment::Return { op, zxid: Zxid(5), result: Ok(Reply::Done) }
    }

    #[test]
    fn requests_meet_their_ends() {
        let moments = [
            invoke(1),
            invoke(2),
            done(1),
            Moment::Lost { op: 2 },
            invoke(3),
            Moment::NotSent { op: 3 },
            invoke(4),
        ];
        let history = history(moments).unwrap();
        assert_eq!(history.operations[0].zxid(), Some(Zxid(5)));
        assert_eq!(history.operations[1].end, End::Unknown);
        assert_eq!(history.operations[2].end, End::NotSent);
        assert_eq!(history.operations[3].end, End::Unknown);
        assert_eq!(history.sessions[&SessionId(7)].operations, [0, 1, 2, 3]);
        assert_eq!(history.connections[0].wire[2], OnWire::Replied(0));
    }

    #[test]
    fn a_recorder_that_errs_is_told() {
        let twice = HistoryError::InvokedTwice { client: 1, op: 1 };
        assert_eq!(history([invoke(1), done(1), invoke(1)]).unwrap_err(), twice);
        let unasked = HistoryError::NotUnderWay { client: 1, op: 2 };
        assert_eq!(history([invoke(1), done(2)]).unwrap_err(), unasked);
        let alone = HistoryError::NotConnected { client: 1, at_ns: 3 };
        assert_eq!(history([invoke(1), Moment::Disconnected, done(1)]).unwrap_err(), alone);
        let names = Ok(Reply::Children { names: vec![], stat: None });
        let other = Moment::Return { op: 1, zxid: Zxid(5), result: names };
        let unfit = HistoryError::Unfit { client: 1, op: 1 };
        assert_eq!(history([invoke(1), other]).unwrap_err(), unfit);
    }
}
