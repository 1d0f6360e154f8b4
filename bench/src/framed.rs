//! A non-blocking socket with its half-received frame and its unsent bytes.
//!
//! Both ends of a conversation use it: the generator's connections and the echo server's. Bytes
//! are read into one scratch buffer that all sockets share and stays in the cache; only the
//! beginning of an incomplete frame is kept per socket. What is sent gathers in a buffer and
//! leaves with one write per wake.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use menagerie_wire::frame::{self, Cut, FrameError, LENGTH_BYTES};

/// Where all sockets of a thread receive: one frame of any legal size and one read behind it.
pub struct Scratch(Vec<u8>);

/// Largest frame that is accepted from the other side.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes asked for in one read.
const READ_BYTES: usize = 256 << 10;
/// Capacity that an emptied buffer may keep.
const IDLE_BYTES_MAX: usize = 256 << 10;

impl Default for Scratch {
    fn default() -> Self {
        Self(vec![0; LENGTH_BYTES + FRAME_BYTES_MAX + READ_BYTES])
    }
}

impl Scratch {
    /// The first `len` bytes, to be cut into frames.
    pub fn frames(&self, len: usize) -> Frames<'_> {
        Frames { rest: &self.0[..len] }
    }
}

/// Received bytes, cut frame by frame.
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// The payload of the next whole frame.
    pub fn cut(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        let Cut::Frame(payload) = frame::cut(self.rest, FRAME_BYTES_MAX)? else { return Ok(None) };
        self.rest = &self.rest[LENGTH_BYTES + payload.len()..];
        Ok(Some(payload))
    }

    /// What remains: the beginning of a frame, or nothing.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

pub struct Framed {
    socket: TcpStream,
    /// Beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
    out: Vec<u8>,
    /// Bytes of `out` that are sent already.
    out_sent: usize,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes of the scratch buffer are to be cut into frames; `more` may wait.
    Bytes {
        len: usize,
        more: bool,
    },
    Nothing,
}

impl Framed {
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, partial: Vec::new(), out: Vec::new(), out_sent: 0 })
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads once. The end of the stream is the error `UnexpectedEof`.
    pub fn receive(&mut self, scratch: &mut Scratch) -> io::Result<Received> {
        let have = self.partial.len();
        let Scratch(bytes) = scratch;
        bytes[..have].copy_from_slice(&self.partial);
        match self.socket.read(&mut bytes[have..have + READ_BYTES]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.partial.clear();
                self.partial.shrink_to(IDLE_BYTES_MAX);
                Ok(Received::Bytes { len: have + len, more: len == READ_BYTES })
            }
            Err(error) if would_block(&error) => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Keeps the beginning of a frame until the next read brings more of it.
    pub fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// The buffer to append whole frames to; [`Framed::flush`] sends it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what is unsent, as far as the socket takes it; the next writable edge asks again.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.out_sent < self.out.len() {
            match self.socket.write(&self.out[self.out_sent..]) {
                Ok(len) => self.out_sent += len,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_sent = 0;
        if self.out.capacity() > IDLE_BYTES_MAX {
            self.out.shrink_to(IDLE_BYTES_MAX);
        }
        Ok(())
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
