//! What leaves on a link: packets, and now and then a snapshot between them.
//!
//! Packets that wait are bytes in a row, so that one write takes all of them. A snapshot is pulled
//! piece by piece when everything before it has left. The queue has a limit, and the answer to
//! "full" is the end of the link: the learner comes back and is brought up from where it was.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use menagerie_wire::jute::Put;
use menagerie_wire::quorum::SNAP_SIGNATURE;

use super::connection::Closed;
use super::pieces::{Found, Pieces};
use crate::runtime::net::{Sent, Socket};

/// Bytes that are kept together; a busy link gives back what it has sent in such steps.
const RUN_BYTES: usize = 256 << 10;

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Snapshot(Pieces),
}

/// Waiting bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    /// How much of the first part has been sent.
    sent: usize,
    /// Bytes that wait, but for those of a snapshot.
    waiting: usize,
}

/// What a flush got done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Flushed {
    pub(super) bytes: usize,
    pub(super) snapshots: usize,
}

impl Outgoing {
    /// Bytes of packets that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether the receiver is waited for; a snapshot's writer may be.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.parts.front(), Some(Part::Bytes(_)))
    }

    /// Whether a snapshot is still to leave: nobody can expect an answer before it has.
    pub(super) fn has_snapshot(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Snapshot(_)))
    }

    /// Appends what `put` writes.
    pub(super) fn push(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        match self.parts.back_mut() {
            Some(Part::Bytes(bytes)) if bytes.len() < RUN_BYTES => {
                let before = bytes.len();
                put(bytes);
                self.waiting += bytes.len() - before;
            }
            _ => {
                let mut bytes = Vec::new();
                put(&mut bytes);
                self.waiting += bytes.len();
                self.parts.push_back(Part::Bytes(bytes));
            }
        }
    }

    /// Appends a snapshot stream and its signature.
    pub(super) fn push_snapshot(&mut self, pieces: Pieces) {
        self.parts.push_back(Part::Snapshot(pieces));
    }

    /// Sends what the socket takes at once, up to a snapshot.
    pub(super) fn send_now(&mut self, socket: &Socket) -> Result<usize, Closed> {
        let mut total = 0;
        while let Some(Part::Bytes(bytes)) = self.parts.front() {
            match socket.send(&bytes[self.sent..])? {
                Sent::Full => break,
                Sent::Bytes(count) => {
                    self.took(count);
                    total += count;
                }
            }
        }
        Ok(total)
    }

    /// Sends all it can, and fetches a snapshot's pieces as they are needed. Pending in any case:
    /// the task is woken when there is more to do.
    ///
    /// # Errors
    /// When the connection is broken, or a snapshot breaks off.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
    ) -> Result<Flushed, Closed> {
        let mut flushed = Flushed::default();
        while let Some(part) = self.parts.front() {
            match part {
                Part::Bytes(bytes) => match socket.poll_send(cx, &bytes[self.sent..]) {
                    Poll::Ready(count) => {
                        let count = count?;
                        self.took(count);
                        flushed.bytes += count;
                    }
                    Poll::Pending => break,
                },
                Part::Snapshot(pieces) => match pieces.poll_next(cx) {
                    Poll::Ready(found) => flushed.snapshots += self.fetched(found)?,
                    Poll::Pending => break,
                },
            }
        }
        Ok(flushed)
    }

    /// Puts a piece before the rest of its snapshot, or ends it.
    fn fetched(&mut self, found: Found) -> Result<usize, Closed> {
        match found {
            Found::Piece(piece) => {
                // Counted as a packet's are, for as long as it is here.
                self.waiting += piece.len();
                self.parts.push_front(Part::Bytes(piece));
                Ok(0)
            }
            Found::End => {
                self.parts.pop_front();
                let mut signature = Vec::new();
                signature.put_string(SNAP_SIGNATURE);
                self.waiting += signature.len();
                self.parts.push_front(Part::Bytes(signature));
                Ok(1)
            }
            Found::BrokenOff => Err(Closed::BrokenOff),
        }
    }

    fn took(&mut self, count: usize) {
        self.sent += count;
        self.waiting -= count;
        if let Some(Part::Bytes(bytes)) = self.parts.front()
            && self.sent == bytes.len()
        {
            self.parts.pop_front();
            self.sent = 0;
        }
    }
}
