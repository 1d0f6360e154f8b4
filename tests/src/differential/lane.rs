//! One TCP connection to one of the two servers, in whole frames.
//!
//! Nothing is judged here. "Closed" covers every way in which a connection ends, because a server
//! that closes with unread input resets, and both are the same answer to a client.

use menagerie_wire::frame::{Cut, LENGTH_BYTES, cut};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// No reply of a test is longer; a length above it is nonsense from the server.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// A connection and the bytes that are not yet a frame.
#[derive(Debug)]
pub struct Lane {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What a connection brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A payload, without its length.
    Frame(Vec<u8>),
    Closed,
    /// Nothing in time.
    Silence,
}

impl Lane {
    /// # Errors
    /// What the operating system says when nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Cuts what comes over `stream` into frames.
    #[must_use]
    pub const fn over(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes. A connection that is closed shows so at the next [`Self::receive`].
    pub fn send(&mut self, bytes: &[u8]) {
        // The peer may have closed: what it sent before that is still to be read.
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame, waited for at most `timeout`.
    pub fn receive(&mut self, timeout: Duration) -> Received {
        let deadline = Instant::now() + timeout;
        loop {
            match cut(&self.received, PAYLOAD_BYTES_MAX) {
                Err(_) => return Received::Closed,
                Ok(Cut::Frame(payload)) => {
                    let payload = payload.to_vec();
                    self.received.drain(..LENGTH_BYTES + payload.len());
                    return Received::Frame(payload);
                }
                Ok(Cut::Missing(_)) => {}
            }
            match self.fill(deadline) {
                Ok(0) => return Received::Closed,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Received::Silence;
                }
                Err(_) => return Received::Closed,
            }
        }
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 << 10];
        let len = self.stream.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..len]);
        Ok(len)
    }
}
