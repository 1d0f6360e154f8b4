//! Many connections on one thread: sockets in, replies out, and a driver that decides.
//!
//! The loop per wake and connection: one read, every whole frame handed to the driver, the driver
//! asked to refill, one write. Nothing is allocated per request once the buffers have grown. At
//! depth 16 that is about 2 + 2/16 system calls per 16 requests, so that the generator stays far
//! below the cost of the server it measures; its own CPU time stands in every report.
//!
//! The loop does not know what a request means, only that some time passes between two of them.

use std::net::SocketAddr;
use std::time::Duration;

use menagerie_wire::Xid;
use menagerie_wire::event::WatcherEvent;
use menagerie_wire::jute::{Decode as _, Reader};
use menagerie_wire::proto::ReplyHeader;

use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::{CpuMeter, CpuTime};
use crate::error::BenchError;
use crate::framed::{Received, Scratch};
use crate::latency::{Operation, Recorder};
use crate::opening::{Opening, Wanted};
use crate::poller::{Poller, Ready};
use crate::progress::Progress;
use crate::violations::{Judged, Violation, Violations};

/// Asked of every server; those with a smaller maximum grant that.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a handshake may take; a server under load syncs each new session.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(30);
/// A server that owes an answer for so long is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Between two looks for idle sessions and silent servers.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);
/// Connections that shake hands at the same time.
const HANDSHAKES_MAX: usize = 256;

/// What a scenario decides while the fleet waits.
pub trait Driver {
    /// Sends as many requests as `connection` shall have in flight now. Called for every
    /// connection when a run begins and after each of its batches of replies.
    fn refill(&mut self, connection: &mut Connection, now: Nanos);

    /// Takes the reply to the request with `note`, and judges it.
    fn on_reply(&mut self, connection: &mut Connection, note: Note, reply: Reply<'_>) -> Judged;

    /// Takes a watch event, and judges it. A scenario that sets no watches gets none.
    fn on_event(
        &mut self,
        connection: &mut Connection,
        event: WatcherEvent<'_>,
        received: Nanos,
    ) -> Judged {
        let _ = (connection, event, received);
        Err(Violation::UnexpectedEvent)
    }

    /// What is to be sent by the clock, whatever the replies do.
    fn due(&mut self, now: Nanos) -> Due {
        let _ = now;
        Due::Never
    }

    /// Sends the one request that [`Driver::due`] announced for this connection.
    fn send_due(&mut self, connection: &mut Connection) {
        let _ = connection;
    }

    /// Nothing is left to send and nothing to be answered.
    fn is_done(&self) -> bool;
}

/// When the next request of an open loop leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now, on the connection with this index.
    Now(usize),
    At(Nanos),
    Never,
}

/// A reply whose header is judged already.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    pub header: ReplyHeader,
    pub body: &'a [u8],
    pub received: Nanos,
}

pub struct Fleet {
    connections: Vec<Connection>,
    poller: Poller,
    scratch: Scratch,
    ready: Vec<Ready>,
    housekeeping_due: Nanos,
    pub violations: Violations,
}

impl Fleet {
    /// Opens `count` sessions, spread evenly over `servers`.
    pub fn connect(servers: &[SocketAddr], count: usize) -> Result<Self, BenchError> {
        Self::connect_within(servers, count, HANDSHAKE_TIME_MAX)
    }

    /// As [`Fleet::connect`], for servers that may never answer a handshake.
    pub fn connect_within(
        servers: &[SocketAddr],
        count: usize,
        time_max: Duration,
    ) -> Result<Self, BenchError> {
        let wanted: Vec<_> = (0..count)
            .map(|index| index % servers.len())
            .map(|server| Wanted::new(server, servers[server]))
            .collect();
        let connections = Opening {
            session_timeout: SESSION_TIMEOUT,
            at_once: HANDSHAKES_MAX,
            time_max,
            operation: Operation::Connect,
            recorder: &mut Recorder::default(),
            violations: &mut Violations::default(),
        }
        .run(&wanted)?;
        Self::adopt(connections)
    }

    /// A fleet of sessions that are open already.
    pub fn adopt(mut connections: Vec<Connection>) -> Result<Self, BenchError> {
        let poller = Poller::new()?;
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.index = index;
            poller.register(connection.framed.socket(), index)?;
        }
        Ok(Self {
            connections,
            poller,
            scratch: Scratch::default(),
            ready: Vec::new(),
            housekeeping_due: Nanos::now() + HOUSEKEEPING_INTERVAL,
            violations: Violations::default(),
        })
    }

    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Drives the connections until the driver is done, or until `end`.
    ///
    /// # Errors
    /// When a server goes away, falls silent or sends what is no ZooKeeper frame.
    pub fn run(&mut self, driver: &mut impl Driver, end: Option<Nanos>) -> Result<(), BenchError> {
        let now = Nanos::now();
        for connection in &mut self.connections {
            driver.refill(connection, now);
            flush(connection)?;
        }
        while !driver.is_done() {
            let next_due = self.send_due(driver)?;
            let now = Nanos::now();
            if end.is_some_and(|end| now >= end) {
                break;
            }
            if now >= self.housekeeping_due {
                self.keep_house(now)?;
            }
            let wake = [next_due, end, Some(self.housekeeping_due)];
            let timeout = wake.into_iter().flatten().min().map(|wake| wake.since(now));
            let mut ready = std::mem::take(&mut self.ready);
            self.poller.wait(timeout, &mut ready)?;
            for &edge in &ready {
                self.serve(edge, driver)?;
            }
            self.ready = ready;
        }
        Ok(())
    }

    /// Breaks every connection; the sessions live on. The answer is what was found so far.
    pub fn abandon(self) -> Violations {
        self.violations
    }

    /// Drives the connections until `start` as a warm-up, and measures from there to `end`.
    pub fn measure(
        &mut self,
        driver: &mut impl Driver,
        start: Nanos,
        end: Nanos,
        server_pids: &[u32],
    ) -> Result<CpuTime, BenchError> {
        let warm_up = Progress::timed("warm-up", start.since(Nanos::now()));
        self.run(driver, Some(start))?;
        drop(warm_up);
        let _measured = Progress::timed("load", end.since(start));
        let cpu = CpuMeter::start(server_pids)?;
        self.run(driver, Some(end))?;
        cpu.stop()
    }

    /// Ends every session; a server that is gone does not matter any more.
    pub fn close(mut self) -> Violations {
        for connection in &mut self.connections {
            connection.close_session();
            // The socket's buffer has room for these few bytes, or the session will expire.
            let _ = connection.framed.flush();
        }
        self.violations
    }

    fn send_due(&mut self, driver: &mut impl Driver) -> Result<Option<Nanos>, BenchError> {
        loop {
            match driver.due(Nanos::now()) {
                Due::Now(index) => {
                    let connection = &mut self.connections[index];
                    driver.send_due(connection);
                    flush(connection)?;
                }
                Due::At(time) => return Ok(Some(time)),
                Due::Never => return Ok(None),
            }
        }
    }

    fn serve(&mut self, edge: Ready, driver: &mut impl Driver) -> Result<(), BenchError> {
        let connection = &mut self.connections[edge.token];
        if edge.readable || edge.hung_up {
            loop {
                let received = connection.framed.receive(&mut self.scratch);
                let received = received.map_err(|why| connection.went_away(why))?;
                let Received::Bytes { len, more } = received else { break };
                take_replies(connection, driver, &self.scratch, len, &mut self.violations)?;
                if !more && !edge.hung_up {
                    break;
                }
            }
            driver.refill(connection, Nanos::now());
        }
        flush(connection)
    }

    fn keep_house(&mut self, now: Nanos) -> Result<(), BenchError> {
        self.housekeeping_due = now + HOUSEKEEPING_INTERVAL;
        for connection in &mut self.connections {
            let waiting = connection.waiting_since().map(|since| now.since(since));
            if let Some(silence) = waiting.filter(|silence| *silence > SILENCE_MAX) {
                return Err(BenchError::Silent {
                    server: connection.address,
                    connection: connection.index,
                    seconds: silence.as_secs(),
                });
            }
            connection.ping_when_idle(now);
            flush(connection)?;
        }
        Ok(())
    }
}

fn take_replies(
    connection: &mut Connection,
    driver: &mut impl Driver,
    scratch: &Scratch,
    len: usize,
    violations: &mut Violations,
) -> Result<(), BenchError> {
    let received = Nanos::now();
    let server = connection.address;
    let mut frames = scratch.frames(len);
    while let Some(payload) = frames.cut().map_err(|source| BenchError::Frame { server, source })? {
        let jute = |source| BenchError::Jute { server, source };
        let mut reader = Reader::new(payload);
        let header = ReplyHeader::decode(&mut reader).map_err(jute)?;
        if header.xid == Xid::NOTIFICATION {
            let event = WatcherEvent::decode_body(header.zxid, reader.rest()).map_err(jute)?;
            let judged = connection.conversation.see_event(header.zxid);
            violations.judge(connection.index, judged);
            let judged = driver.on_event(connection, event, received);
            violations.judge(connection.index, judged);
        } else if let Some(note) = connection.take_reply(&header, violations) {
            let reply = Reply { header, body: reader.rest(), received };
            let judged = driver.on_reply(connection, note, reply);
            violations.judge(connection.index, judged);
        }
    }
    connection.framed.keep(frames.rest());
    Ok(())
}

fn flush(connection: &mut Connection) -> Result<(), BenchError> {
    connection.framed.flush().map_err(|why| connection.went_away(why))
}
