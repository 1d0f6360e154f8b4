//! One client session on one socket.
//!
//! [`crate::opening`] shakes hands; nothing blocks. What replies must obey is [`Conversation`]'s to
//! say.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use menagerie_wire::frame;
use menagerie_wire::proto::{ConnectResponse, PASSWD_LEN, ReplyHeader, RequestHeader};
use menagerie_wire::{Encode, OpCode, SessionId, Xid};

use crate::clock::Nanos;
use crate::conversation::{Conversation, Note};
use crate::error::BenchError;
use crate::framed::Framed;
use crate::opening::Wanted;
use crate::violations::Violations;

pub struct Connection {
    /// Position in its fleet.
    pub index: usize,
    /// Position of its server in the list of servers.
    pub server: usize,
    pub address: SocketAddr,
    pub framed: Framed,
    pub conversation: Conversation,
    pub session: Session,
    last_sent: Nanos,
    ping_sent: Option<Nanos>,
}

/// What a server granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub passwd: [u8; PASSWD_LEN],
    pub timeout: Duration,
}

impl Session {
    /// `None` when the server knows no such session.
    pub fn granted(response: &ConnectResponse) -> Option<Self> {
        let timeout_ms = u64::try_from(response.timeout_ms).ok().filter(|ms| *ms > 0)?;
        let timeout = Duration::from_millis(timeout_ms);
        Some(Self { id: response.session_id, passwd: response.passwd, timeout })
    }
}

impl Connection {
    /// A connection whose handshake was just answered.
    pub fn new(index: usize, wanted: &Wanted, framed: Framed, session: Session) -> Self {
        Self {
            index,
            server: wanted.server,
            address: wanted.address,
            framed,
            conversation: Conversation::default(),
            session,
            last_sent: Nanos::now(),
            ping_sent: None,
        }
    }

    /// No server may end the session before, even if nothing is sent any more. Only for
    /// connections that sent a request: the server counts from when it heard of the last.
    pub fn valid_until(&self) -> Nanos {
        self.last_sent + self.session.timeout
    }

    /// Appends a request; it leaves with the next flush.
    pub fn send(&mut self, op: OpCode, body: &impl Encode, note: Note) {
        let xid = self.conversation.ask(note);
        self.last_sent = note.due;
        frame::put_with(self.framed.out(), |out| {
            RequestHeader { xid, op: op as i32 }.encode(out);
            body.encode(out);
        });
    }

    /// What a failed read or write of its socket means.
    pub fn went_away(&self, why: io::Error) -> BenchError {
        BenchError::WentAway {
            server: self.address,
            connection: self.index,
            in_flight: self.in_flight_len(),
            why,
        }
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
        if self.ping_sent.is_none() && now.since(self.last_sent) > self.session.timeout / 3 {
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
