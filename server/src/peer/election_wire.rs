//! The bytes under way on one election connection, both ways.
//!
//! At most one message is being sent and at most one is half received; both are bounded by the
//! port's limit, whatever the peer does.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use menagerie_wire::frame::{self, Cut};
use menagerie_wire::notification::{self, Notification};

use super::pairing::{Message, Pair};
use crate::runtime::net::Socket;

/// One connection's bytes.
pub(super) struct Wire {
    socket: Rc<Socket>,
    /// Received, and no whole message yet.
    received: Vec<u8>,
    sending: Message,
    sent: usize,
}

impl Wire {
    /// `early` has been received already.
    pub(super) fn new(socket: Rc<Socket>, early: Vec<u8>) -> Self {
        Self { socket, received: early, sending: Message::from([]), sent: 0 }
    }

    /// Sends what the pair has to say, and hands what it heard to `take`. An error is the end of
    /// the connection; ready means that there may be more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pair: &mut Pair,
        scratch: &mut [u8],
        take: impl FnMut(Notification<'static>),
    ) -> Poll<io::Result<()>> {
        while let Poll::Ready(sent) = self.poll_send(cx) {
            sent?;
            let Some(message) = pair.take_unsent() else { break };
            (self.sending, self.sent) = (message, 0);
        }
        self.take_messages(take)?;
        let count = ready!(self.socket.poll_receive(cx, scratch))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.received.extend_from_slice(&scratch[..count]);
        Poll::Ready(Ok(()))
    }

    /// Ready when the message under way has left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.sending.len() {
            self.sent += ready!(self.socket.poll_send(cx, &self.sending[self.sent..]))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes whole messages; one that cannot be read is ignored, as by Apache.
    fn take_messages(&mut self, mut take: impl FnMut(Notification<'static>)) -> io::Result<()> {
        let mut rest = &self.received[..];
        loop {
            let cut = notification::cut(rest);
            match cut.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                Cut::Missing(_) => break,
                Cut::Frame(payload) => {
                    match Notification::from_bytes(payload) {
                        Ok(notification) => take(into_owned(notification)),
                        Err(error) => tracing::debug!("an election message is ignored: {error}"),
                    }
                    rest = &rest[frame::LENGTH_BYTES + payload.len()..];
                }
            }
        }
        let taken = self.received.len() - rest.len();
        self.received.drain(..taken);
        if self.received.is_empty() {
            // An idle connection holds no buffer.
            self.received = Vec::new();
        }
        Ok(())
    }
}

fn into_owned(notification: Notification<'_>) -> Notification<'static> {
    let Notification { state, vote, version, config } = notification;
    let config = config.map(|text| Cow::Owned(text.into_owned()));
    Notification { state, vote, version, config }
}
