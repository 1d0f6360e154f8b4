//! A client that waits for each answer, for scenarios in which servers die.
//!
//! A [`crate::fleet::Fleet`] ends its run when a server goes away; this client gives an error, and
//! comes back with its session where it is told to.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use menagerie_wire::frame::{self, LENGTH_BYTES};
use menagerie_wire::proto::{ConnectResponse, ReplyHeader, RequestHeader};
use menagerie_wire::{Decode as _, Encode, OpCode, Reader, Xid, Zxid};

use crate::connection::Session;
use crate::requests;

/// A longer frame is no answer to anything that is asked here.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// A longer answer to a four-letter word is cut.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A session on one socket.
pub struct BlockingClient {
    socket: TcpStream,
    last_xid: i32,
    /// `None` when the server does not know the session that was to go on.
    pub session: Option<Session>,
}

impl BlockingClient {
    /// Opens a session or goes on with one; a server that does not answer in `time_max`, now or
    /// later, is an error.
    pub fn connect(
        address: SocketAddr,
        session: Option<&Session>,
        last_zxid_seen: Zxid,
        time_max: Duration,
    ) -> io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, time_max)?;
        socket.set_read_timeout(Some(time_max))?;
        socket.set_nodelay(true)?;
        let request = requests::connect(session, SESSION_TIMEOUT, last_zxid_seen);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &request);
        socket.write_all(&bytes)?;
        let payload = read_frame(&mut socket)?;
        let response = ConnectResponse::from_bytes(&payload).map_err(io::Error::other)?;
        Ok(Self { socket, last_xid: 0, session: Session::granted(&response) })
    }

    /// Sends a request and waits for its reply. Events are left out.
    pub fn ask(&mut self, op: OpCode, body: &impl Encode) -> io::Result<ReplyHeader> {
        self.last_xid += 1;
        let xid = Xid(self.last_xid);
        let mut bytes = Vec::new();
        frame::put_with(&mut bytes, |out| {
            RequestHeader { xid, op: op as i32 }.encode(out);
            body.encode(out);
        });
        self.socket.write_all(&bytes)?;
        loop {
            let payload = read_frame(&mut self.socket)?;
            let header = ReplyHeader::decode(&mut Reader::new(&payload));
            let header = header.map_err(io::Error::other)?;
            if header.xid == xid {
                return Ok(header);
            }
        }
    }
}

/// The answer to a four-letter word. What came before an error is the answer, too: some servers
/// reset the connection behind it.
pub fn four_letter_word(address: SocketAddr, word: &str, time_max: Duration) -> io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, time_max)?;
    socket.set_read_timeout(Some(time_max))?;
    socket.write_all(word.as_bytes())?;
    let mut answer = Vec::new();
    let _ = socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn read_frame(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; LENGTH_BYTES];
    socket.read_exact(&mut head)?;
    let len = usize::try_from(i32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if len > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; len];
    socket.read_exact(&mut payload)?;
    Ok(payload)
}
