//! Opens sessions, many at once and none of them waiting for another.
//!
//! Sockets connect without blocking, the request leaves as soon as the kernel takes it, and the
//! next handshake begins when one is answered. Sessions that are open are kept alive meanwhile, as
//! a slow server may take longer for all than one session lasts.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use menagerie_wire::frame;
use menagerie_wire::proto::{ConnectResponse, ReplyHeader};
use menagerie_wire::{Decode as _, Reader, Zxid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::clock::Nanos;
use crate::connection::{Connection, Session};
use crate::error::BenchError;
use crate::framed::{Framed, Received, Scratch};
use crate::latency::{Operation, Recorder};
use crate::poller::{Poller, Ready};
use crate::progress::Progress;
use crate::requests;
use crate::violations::{Violation, Violations};

/// Between two looks for sessions that must be kept alive, and handshakes that take too long.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);

/// How sessions are opened, and what is measured of it.
pub struct Opening<'a> {
    /// Asked of every server, which may grant another one.
    pub session_timeout: Duration,
    /// Handshakes on their way at the same time.
    pub at_once: usize,
    /// A handshake that takes longer fails all of them.
    pub time_max: Duration,
    pub operation: Operation,
    pub recorder: &'a mut Recorder,
    pub violations: &'a mut Violations,
}

/// Where a session is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Position of the server in the list of servers.
    pub server: usize,
    pub address: SocketAddr,
    /// The session to go on with, and until when it must be known; `None` wants a new one.
    pub session: Option<(Session, Nanos)>,
}

impl Wanted {
    /// A new session.
    pub fn new(server: usize, address: SocketAddr) -> Self {
        Self { server, address, session: None }
    }

    /// The session of `connection`, at any server.
    pub fn again(server: usize, address: SocketAddr, connection: &Connection) -> Self {
        let session = (connection.session.clone(), connection.valid_until());
        Self { server, address, session: Some(session) }
    }
}

/// One handshake on its way.
struct Handshake {
    framed: Framed,
    begun: Nanos,
}

enum Slot {
    Handshake(Handshake),
    Open(Connection),
    /// The server does not know the session that was to go on.
    Lost,
}

/// All slots, by position in the list of what is wanted.
struct Slots<'a, 'b> {
    opening: &'a mut Opening<'b>,
    wanted: &'a [Wanted],
    slots: Vec<Slot>,
    on_their_way: usize,
    poller: Poller,
    scratch: Scratch,
    progress: Progress,
}

impl Opening<'_> {
    /// Opens all sessions that are wanted, in this order. Those that should go on and are not known
    /// any more are missing in the answer, and violations unless they came too late.
    pub fn run(&mut self, wanted: &[Wanted]) -> Result<Vec<Connection>, BenchError> {
        let mut slots = Slots {
            opening: self,
            wanted,
            slots: Vec::with_capacity(wanted.len()),
            on_their_way: 0,
            poller: Poller::new()?,
            scratch: Scratch::default(),
            progress: Progress::counted("handshakes", wanted.len() as u64),
        };
        slots.run()?;
        let open = slots.slots.into_iter().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(connection),
            Slot::Handshake(_) | Slot::Lost => None,
        });
        Ok(open.collect())
    }
}

impl Slots<'_, '_> {
    fn run(&mut self) -> Result<(), BenchError> {
        let mut ready: Vec<Ready> = Vec::new();
        let mut housekeeping_due = Nanos::now() + HOUSEKEEPING_INTERVAL;
        loop {
            while self.slots.len() < self.wanted.len() && self.on_their_way < self.opening.at_once {
                self.begin()?;
            }
            if self.on_their_way == 0 {
                return Ok(());
            }
            let now = Nanos::now();
            if now >= housekeeping_due {
                self.keep_house(now)?;
                housekeeping_due = now + HOUSEKEEPING_INTERVAL;
            }
            // A short limit on handshakes is looked at as often as it is short.
            let wake = housekeeping_due.since(now).min(self.opening.time_max);
            self.poller.wait(Some(wake), &mut ready)?;
            for &edge in &ready {
                self.serve(edge)?;
            }
            self.check_time()?;
        }
    }

    fn begin(&mut self) -> Result<(), BenchError> {
        let index = self.slots.len();
        let wanted = &self.wanted[index];
        let begun = Nanos::now();
        let open = || {
            let mut framed = Framed::new(begin_to_connect(wanted.address)?)?;
            let session = wanted.session.as_ref().map(|(session, _)| session);
            let timeout = self.opening.session_timeout;
            frame::put(framed.out(), &requests::connect(session, timeout, Zxid::ZERO));
            framed.flush()?;
            Ok(framed)
        };
        let framed =
            open().map_err(|source| BenchError::Connect { server: wanted.address, source })?;
        self.poller.register(framed.socket(), index)?;
        self.slots.push(Slot::Handshake(Handshake { framed, begun }));
        self.on_their_way += 1;
        Ok(())
    }

    fn serve(&mut self, edge: Ready) -> Result<(), BenchError> {
        let (index, server) = (edge.token, self.wanted[edge.token].address);
        let connect = |source| BenchError::Connect { server, source };
        let handshake = match &mut self.slots[index] {
            Slot::Open(connection) => {
                return take_pongs(connection, &mut self.scratch, self.opening.violations);
            }
            Slot::Lost => return Ok(()),
            Slot::Handshake(handshake) => handshake,
        };
        handshake.framed.flush().map_err(connect)?;
        if !edge.readable && !edge.hung_up {
            return Ok(());
        }
        let received = handshake.framed.receive(&mut self.scratch).map_err(connect)?;
        let Received::Bytes { len, .. } = received else { return Ok(()) };
        let mut frames = self.scratch.frames(len);
        let payload = frames.cut().map_err(|source| BenchError::Frame { server, source })?;
        let Some(payload) = payload else {
            handshake.framed.keep(frames.rest());
            return Ok(());
        };
        let response = ConnectResponse::from_bytes(payload)
            .map_err(|source| BenchError::Jute { server, source })?;
        handshake.framed.keep(frames.rest());
        self.finish(index, &response)
    }

    /// Takes the answer to a handshake.
    fn finish(&mut self, index: usize, response: &ConnectResponse) -> Result<(), BenchError> {
        let answered = Nanos::now();
        let wanted = &self.wanted[index];
        let Slot::Handshake(handshake) = std::mem::replace(&mut self.slots[index], Slot::Lost)
        else {
            return Ok(());
        };
        self.on_their_way -= 1;
        self.progress.add();
        let session = Session::granted(response);
        let failed = session.is_none();
        let Opening { operation, recorder, violations, .. } = &mut *self.opening;
        recorder.record(*operation, handshake.begun, answered, failed);
        match (session, &wanted.session) {
            (None, None) => return Err(BenchError::Refused { server: wanted.address }),
            (None, Some((_, valid_until))) if answered >= *valid_until => {}
            (None, Some(_)) => violations.add(index, Violation::SessionLost),
            (Some(session), before) => {
                if before.as_ref().is_some_and(|(before, _)| before.id != session.id) {
                    violations.add(index, Violation::SessionLost);
                }
                let connection = Connection::new(index, wanted, handshake.framed, session);
                self.slots[index] = Slot::Open(connection);
            }
        }
        Ok(())
    }

    fn keep_house(&mut self, now: Nanos) -> Result<(), BenchError> {
        for slot in &mut self.slots {
            if let Slot::Open(connection) = slot {
                connection.ping_when_idle(now);
                connection.framed.flush().map_err(|why| connection.went_away(why))?;
            }
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), BenchError> {
        // They began in the order of the list, so the first is the oldest.
        let oldest = self.slots.iter().zip(self.wanted).find_map(|(slot, wanted)| match slot {
            Slot::Handshake(handshake) => Some((handshake.begun, wanted.address)),
            Slot::Open(_) | Slot::Lost => None,
        });
        match oldest {
            Some((begun, server)) if Nanos::now().since(begun) > self.opening.time_max => {
                let source = io::ErrorKind::TimedOut.into();
                Err(BenchError::Connect { server, source })
            }
            _ => Ok(()),
        }
    }
}

/// A socket that is connected, or will be.
fn begin_to_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what an open session is sent while others open: answers to pings.
fn take_pongs(
    connection: &mut Connection,
    scratch: &mut Scratch,
    violations: &mut Violations,
) -> Result<(), BenchError> {
    let server = connection.address;
    let received = connection.framed.receive(scratch).map_err(|why| connection.went_away(why))?;
    let Received::Bytes { len, .. } = received else { return Ok(()) };
    let mut frames = scratch.frames(len);
    while let Some(payload) = frames.cut().map_err(|source| BenchError::Frame { server, source })? {
        let header = ReplyHeader::decode(&mut Reader::new(payload))
            .map_err(|source| BenchError::Jute { server, source })?;
        connection.take_reply(&header, violations);
    }
    connection.framed.keep(frames.rest());
    Ok(())
}
