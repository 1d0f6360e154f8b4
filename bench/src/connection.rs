//! One client session on one socket.
//!
//! The handshake blocks, in two halves, so that a fleet can have many of them on their way; after
//! it nothing blocks. What replies must obey is [`Conversation`]'s to say.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use menagerie_wire::frame::{self, LENGTH_BYTES};
use menagerie_wire::proto::{
    ConnectRequest, ConnectResponse, PASSWD_LEN, ReplyHeader, RequestHeader,
};
use menagerie_wire::{Decode as _, Encode, OpCode, SessionId, Xid, Zxid};

use crate::clock::Nanos;
use crate::conversation::{Conversation, Note};
use crate::error::BenchError;
use crate::framed::Framed;
use crate::violations::Violations;

/// Handshake frames are tiny; a longer one is no ZooKeeper server's.
const HANDSHAKE_BYTES_MAX: usize = 1024;

pub struct Connection {
    /// Position in its fleet.
    pub index: usize,
    /// Position of its server in the list of servers.
    pub server: usize,
    pub address: SocketAddr,
    pub framed: Framed,
    pub conversation: Conversation,
    session_timeout: Duration,
    last_sent: Nanos,
    ping_sent: Option<Nanos>,
}

/// A connected socket whose session is being opened.
pub struct Handshake {
    socket: TcpStream,
    address: SocketAddr,
}

impl Handshake {
    /// Connects and asks for a session, without waiting for the answer, which may then take
    /// `time_max`.
    pub fn begin(
        address: SocketAddr,
        session_timeout: Duration,
        time_max: Duration,
    ) -> Result<Self, BenchError> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX),
            session_id: SessionId::NONE,
            passwd: Some(&[0; PASSWD_LEN]),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &request);
        let open = || {
            let mut socket = TcpStream::connect(address)?;
            socket.set_read_timeout(Some(time_max))?;
            socket.write_all(&bytes)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| BenchError::Connect { server: address, source })?;
        Ok(Self { socket, address })
    }

    /// Waits for the answer.
    pub fn finish(mut self, index: usize, server: usize) -> Result<Connection, BenchError> {
        let address = self.address;
        let connect = |source| BenchError::Connect { server: address, source };
        let payload = self.read_frame().map_err(connect)?;
        let response = ConnectResponse::from_bytes(&payload)
            .map_err(|source| BenchError::Jute { server: address, source })?;
        let timeout_ms = u64::try_from(response.timeout_ms).unwrap_or(0);
        if timeout_ms == 0 {
            return Err(BenchError::Refused { server: address });
        }
        Ok(Connection {
            index,
            server,
            address,
            framed: Framed::new(self.socket).map_err(connect)?,
            conversation: Conversation::default(),
            session_timeout: Duration::from_millis(timeout_ms),
            last_sent: Nanos::now(),
            ping_sent: None,
        })
    }

    fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; LENGTH_BYTES];
        self.socket.read_exact(&mut head)?;
        let len = usize::try_from(i32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if len > HANDSHAKE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut payload = vec![0; len];
        self.socket.read_exact(&mut payload)?;
        Ok(payload)
    }
}

impl Connection {
    /// Appends a request; it leaves with the next flush.
    pub fn send(&mut self, op: OpCode, body: &impl Encode, note: Note) {
        let xid = self.conversation.ask(note);
        self.last_sent = note.due;
        frame::put_with(self.framed.out(), |out| {
            RequestHeader { xid, op: op as i32 }.encode(out);
            body.encode(out);
        });
    }

    pub fn in_flight_len(&self) -> usize {
        self.conversation.in_flight_len()
    }

    /// Judges a reply's header and hands out the note of its request; `None` for pings and for
    /// replies that nobody asked for.
    pub fn take_reply(
        &mut self,
        header: &ReplyHeader,
        violations: &mut Violations,
    ) -> Option<Note> {
        violations.judge(self.index, self.conversation.see(header.zxid));
        if header.xid == Xid::PING {
            self.ping_sent = None;
            return None;
        }
        let (note, judged) = self.conversation.answer(header);
        violations.judge(self.index, judged);
        note
    }

    /// Keeps the session alive; to be called a few times per session timeout.
    pub fn ping_when_idle(&mut self, now: Nanos) {
        if self.ping_sent.is_none() && now.since(self.last_sent) > self.session_timeout / 3 {
            let header = RequestHeader { xid: Xid::PING, op: OpCode::Ping as i32 };
            frame::put(self.framed.out(), &header);
            self.last_sent = now;
            self.ping_sent = Some(now);
        }
    }

    /// Asks the server to end the session.
    pub fn close_session(&mut self) {
        let header = RequestHeader { xid: Xid(0), op: OpCode::CloseSession as i32 };
        frame::put(self.framed.out(), &header);
    }

    /// Since when the server owes an answer.
    pub fn waiting_since(&self) -> Option<Nanos> {
        let oldest = self.conversation.oldest().map(|note| note.due);
        match (oldest, self.ping_sent) {
            (Some(request), Some(ping)) => Some(request.min(ping)),
            (request, ping) => request.or(ping),
        }
    }
}
