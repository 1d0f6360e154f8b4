//! One client connection of a replay: bytes out, frames or text in, always within a time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How the wait for input ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A frame with its length prefix, or text.
    Bytes(Vec<u8>),
    /// The server closed the connection.
    Closed,
    /// Nothing complete came in time.
    Silence,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Received and not yet handed out.
    input: Vec<u8>,
    closed: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new(), closed: false })
    }

    /// Sends all of `bytes`. That the server has closed the connection is no error here: it shows
    /// in what is received.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame, its length prefix included.
    pub(super) fn frame(&mut self, timeout: Duration) -> Received {
        self.receive(timeout, |input, _| {
            let prefix = i32::from_be_bytes(*input.first_chunk()?);
            // A prefix that is no length is handed out as it is, to be shown as a difference.
            let length = usize::try_from(prefix).unwrap_or(0);
            (input.len() >= 4 + length).then_some(4 + length)
        })
    }

    /// All that the server sends until it closes the connection.
    pub(super) fn rest(&mut self, timeout: Duration) -> Received {
        self.receive(timeout, |input, closed| (closed && !input.is_empty()).then_some(input.len()))
    }

    /// Says that nothing more will be sent, so that a live server closes the connection.
    pub(super) fn finish(&mut self) {
        // A connection that is already closed cannot be shut down; then there is nothing to do.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until `complete` says how many bytes belong together.
    fn receive(
        &mut self,
        timeout: Duration,
        complete: impl Fn(&[u8], bool) -> Option<usize>,
    ) -> Received {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(size) = complete(&self.input, self.closed) {
                return Received::Bytes(self.input.drain(..size).collect());
            }
            if self.closed {
                return Received::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read_some(left) {
                return Received::Silence;
            }
        }
    }

    /// Reads once; false when nothing came in `timeout`.
    fn read_some(&mut self, timeout: Duration) -> bool {
        let mut chunk = [0; 16 * 1024];
        self.stream.set_read_timeout(Some(timeout)).expect("the timeout is not zero");
        match self.stream.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(size) => self.input.extend_from_slice(&chunk[..size]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            // A reset is how a server closes a connection whose input it has not read.
            Err(_) => self.closed = true,
        }
        true
    }
}
