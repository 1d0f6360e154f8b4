//! A small blocking client that speaks the protocol itself: one request, one answer.
//!
//! For tests of the process (restarts, signals, limits) that need a session and a few operations,
//! and no client library. It decodes with `menagerie-wire`, so it proves nothing about the wire
//! itself: the golden conversations do.

use menagerie_wire::data::{Acl, Stat};
use menagerie_wire::frame;
use menagerie_wire::ids::{SessionId, Xid, Zxid};
use menagerie_wire::jute::{Decode as _, Encode, Reader};
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::{
    ConnectRequest, ConnectResponse, Create, PASSWD_LEN, PathVersion, PathWatch, ReplyHeader,
    RequestHeader, SetData,
};
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that is silent for so long is taken for dead.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// One connection with its session.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    xid: Xid,
    session: ConnectResponse,
    events: VecDeque<Reply>,
}

/// What a client says first.
#[derive(Clone, Debug)]
pub struct Introduction {
    pub timeout_ms: i32,
    /// [`SessionId::NONE`] asks for a new session.
    pub session_id: SessionId,
    pub passwd: [u8; PASSWD_LEN],
    /// A server that is behind it turns the client away.
    pub last_zxid_seen: Zxid,
    /// A server that is silent for so long is taken for dead, now and on every later request.
    pub answer_time_max: Duration,
}

impl Introduction {
    /// Asks for a new session.
    #[must_use]
    pub const fn new(timeout_ms: i32) -> Self {
        Self {
            timeout_ms,
            session_id: SessionId::NONE,
            passwd: [0; PASSWD_LEN],
            last_zxid_seen: Zxid::ZERO,
            answer_time_max: ANSWER_TIME_MAX,
        }
    }

    /// Asks for `session` again.
    #[must_use]
    pub const fn again(session: &ConnectResponse) -> Self {
        Self {
            session_id: session.session_id,
            passwd: session.passwd,
            ..Self::new(session.timeout_ms)
        }
    }
}

/// A reply: its header and the bytes behind it.
#[derive(Debug)]
pub struct Reply {
    pub header: ReplyHeader,
    pub body: Vec<u8>,
}

impl RawClient {
    /// Opens a new session.
    ///
    /// # Errors
    /// When the connection fails or ends before the answer.
    pub fn connect(address: SocketAddr, timeout_ms: i32) -> io::Result<Self> {
        Self::introduce(address, &Introduction::new(timeout_ms))
    }

    /// Resumes `session` on a new connection; an expired one shows as [`SessionId::NONE`].
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn resume(address: SocketAddr, session: &ConnectResponse) -> io::Result<Self> {
        Self::introduce(address, &Introduction::again(session))
    }

    /// Opens or resumes a session, as `introduction` says.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn introduce(address: SocketAddr, introduction: &Introduction) -> io::Result<Self> {
        let answer_time_max = introduction.answer_time_max;
        let mut stream = TcpStream::connect_timeout(&address, answer_time_max)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(answer_time_max))?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: introduction.last_zxid_seen,
            timeout_ms: introduction.timeout_ms,
            session_id: introduction.session_id,
            passwd: Some(&introduction.passwd),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &request);
        stream.write_all(&bytes)?;
        let session = ConnectResponse::from_bytes(&read_frame(&mut stream)?);
        let session = session.map_err(io::Error::other)?;
        Ok(Self { stream, xid: Xid(0), session, events: VecDeque::new() })
    }

    /// What the server said to the handshake: id, password, negotiated timeout.
    #[must_use]
    pub fn session(&self) -> &ConnectResponse {
        &self.session
    }

    /// The connection itself, for a test that misbehaves on it.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends one request and waits for its reply; see [`Self::events`] for what comes before it.
    ///
    /// # Errors
    /// When the connection ends before the reply.
    pub fn call(&mut self, op: OpCode, body: &impl Encode) -> io::Result<Reply> {
        let xid = self.send(op, body)?;
        let reply = self.receive()?;
        assert_eq!(reply.header.xid, xid, "replies come in the order of the requests");
        Ok(reply)
    }

    /// Sends one request and does not wait.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, op: OpCode, body: &impl Encode) -> io::Result<Xid> {
        self.xid.0 += 1;
        let header = RequestHeader { xid: self.xid, op: op as i32 };
        let mut bytes = Vec::new();
        frame::put_with(&mut bytes, |out| {
            header.encode(out);
            body.encode(out);
        });
        self.stream.write_all(&bytes)?;
        Ok(self.xid)
    }

    /// Waits for the next reply; watch events before it are kept.
    ///
    /// # Errors
    /// When the connection ends before it.
    pub fn receive(&mut self) -> io::Result<Reply> {
        loop {
            let payload = read_frame(&mut self.stream)?;
            let mut reader = Reader::new(&payload);
            let header = ReplyHeader::decode(&mut reader).map_err(io::Error::other)?;
            if header.xid != Xid::NOTIFICATION {
                return Ok(Reply { header, body: reader.rest().to_vec() });
            }
            self.events.push_back(Reply { header, body: reader.rest().to_vec() });
        }
    }

    /// Watch events in the order in which they came, each with its header; taken by the caller.
    pub const fn events(&mut self) -> &mut VecDeque<Reply> {
        &mut self.events
    }

    /// Creates a node open to the world; `flags` as in [`Create`].
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> io::Result<Reply> {
        let acl = Some(vec![Acl::world(31)]);
        let create = Create { path: path.into(), data: Some(data), acl, flags, ttl_ms: None };
        self.call(OpCode::Create, &create)
    }

    /// # Errors
    /// As [`Self::call`].
    pub fn set_data(&mut self, path: &str, data: &[u8]) -> io::Result<Reply> {
        let set = SetData { path: Some(path.into()), data: Some(data), version: -1 };
        self.call(OpCode::SetData, &set)
    }

    /// # Errors
    /// As [`Self::call`].
    pub fn delete(&mut self, path: &str) -> io::Result<Reply> {
        self.call(OpCode::Delete, &PathVersion { path: path.into(), version: -1 })
    }

    /// The data and Stat of a node, or the code of the error.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn get_data(&mut self, path: &str) -> io::Result<Result<(Vec<u8>, Stat), i32>> {
        let reply = self.call(OpCode::GetData, &PathWatch { path: path.into(), watch: false })?;
        if reply.header.err != 0 {
            return Ok(Err(reply.header.err));
        }
        let mut reader = Reader::new(&reply.body);
        let data = reader.buffer().map_err(io::Error::other)?.unwrap_or_default().to_vec();
        let stat = Stat::decode(&mut reader).map_err(io::Error::other)?;
        Ok(Ok((data, stat)))
    }

    /// Closes the session; the server answers and then closes the connection.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn close(mut self) -> io::Result<()> {
        self.call(OpCode::CloseSession, &Nothing)?;
        self.read_end()
    }

    /// Waits until the server closes the connection.
    ///
    /// # Errors
    /// When it stays open, or more than watch events is read.
    pub fn read_end(&mut self) -> io::Result<()> {
        loop {
            match read_frame(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => return Ok(()),
            }
        }
    }
}

/// The body of requests that have none.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _out: &mut Vec<u8>) {}
}

/// Sends a four-letter word and reads the text that answers it.
///
/// # Errors
/// When the connection fails or stays open.
pub fn four_letter(address: SocketAddr, word: &str) -> io::Result<String> {
    four_letter_within(address, word, ANSWER_TIME_MAX)
}

/// As [`four_letter`], from a server that may be unable to answer.
///
/// # Errors
/// As [`four_letter`], and when the server is silent for `answer_time_max`.
pub fn four_letter_within(
    address: SocketAddr,
    word: &str,
    answer_time_max: Duration,
) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, answer_time_max)?;
    stream.set_read_timeout(Some(answer_time_max))?;
    stream.write_all(word.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What stands behind `key` at the beginning of a line of an answer to a four-letter word.
#[must_use]
pub fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; frame::LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerConfig;
    use crate::apache::Apache;

    #[test]
    fn apache_understands_the_client() {
        let apache = Apache::start(&ServerConfig::new());
        let mut client = RawClient::connect(apache.address(), 30_000).unwrap();
        assert_eq!(client.create("/a", b"one", 0).unwrap().header.err, 0);
        assert_eq!(client.set_data("/a", b"two").unwrap().header.err, 0);
        let (data, stat) = client.get_data("/a").unwrap().unwrap();
        assert_eq!((data.as_slice(), stat.version), (b"two".as_slice(), 1));
        assert_eq!(client.delete("/a").unwrap().header.err, 0);
        assert_eq!(client.get_data("/a").unwrap().unwrap_err(), -101);
        let session = client.session().clone();
        let resumed = RawClient::resume(apache.address(), &session).unwrap();
        client.read_end().expect("a resume moves the session to the new connection");
        resumed.close().unwrap();
        let expired = RawClient::resume(apache.address(), &session).unwrap();
        assert_eq!(expired.session().session_id, SessionId::NONE);
        assert!(four_letter(apache.address(), "srvr").unwrap().contains("Mode: standalone"));
    }
}
