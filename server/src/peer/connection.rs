//! One connection of the quorum port, leader's or learner's side.
//!
//! A link ends once and says why: by its peer, by the network, or because the peer said what nobody
//! says, was silent for too long, or did not take what was sent to it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use menagerie_wire::quorum::QuorumPacket;
use thiserror::Error;

use super::incoming::{Incoming, PeerError};
use super::outgoing::Outgoing;
use crate::runtime::clock::monotonic_ms;
use crate::runtime::net::Socket;

/// Bytes of one peer's packets that may wait to be looked at. Above, nothing more is read from it:
/// whoever is slower than its peer slows it, and does not keep what it sends.
pub(super) const UNTAKEN_BYTES_MAX: usize = 16 << 20;

/// Why a link has ended.
#[derive(Debug, Error)]
pub enum Closed {
    #[error("the peer hung up")]
    HungUp,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the peer said what cannot be read: {0}")]
    Peer(#[from] PeerError),
    #[error("the peer was silent for {ms} ms")]
    Silent { ms: u64 },
    #[error("the peer took nothing for {ms} ms")]
    Stuck { ms: u64 },
    #[error("{bytes} bytes waited for the peer, above the limit of {bytes_max}")]
    Full { bytes: usize, bytes_max: usize },
    #[error("the snapshot for the peer could not be written")]
    BrokenOff,
}

/// What happened in a turn of a link.
pub(super) enum Happened<'a> {
    Received { packet: QuorumPacket<'a>, bytes: usize },
    Portion(Vec<u8>),
    SnapshotSent,
    Room,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    pub(super) packet_bytes_max: usize,
    pub(super) waiting_bytes_max: usize,
    pub(super) stuck_ms_max: u64,
}

pub(super) struct Connection {
    pub(super) socket: Rc<Socket>,
    incoming: Incoming,
    outgoing: Outgoing,
    limits: ConnectionLimits,
    silent_ms_max: u64,
    /// When the peer was last heard, or last had no reason to speak.
    heard_ms: u64,
    /// When bytes last left, or none waited.
    moved_ms: u64,
    waker: Option<Waker>,
    wants_room: bool,
    /// Bytes of packets that were handed on and are not taken.
    untaken_bytes: usize,
}

impl Connection {
    /// `early` has been received already; `silence` is how long the peer may say nothing.
    pub(super) fn new(
        socket: Rc<Socket>,
        early: Vec<u8>,
        limits: ConnectionLimits,
        silence: Duration,
    ) -> Self {
        let now_ms = monotonic_ms();
        Self {
            socket,
            incoming: Incoming::new(limits.packet_bytes_max, early),
            outgoing: Outgoing::default(),
            limits,
            silent_ms_max: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
            heard_ms: now_ms,
            moved_ms: now_ms,
            waker: None,
            wants_room: false,
            untaken_bytes: 0,
        }
    }

    /// Queues a packet.
    pub(super) fn send(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Closed> {
        self.outgoing.push(put);
        let (bytes, bytes_max) = (self.outgoing.waiting(), self.limits.waiting_bytes_max);
        if bytes > bytes_max { Err(Closed::Full { bytes, bytes_max }) } else { Ok(()) }
    }

    pub(super) fn send_snapshot(&mut self, pieces: super::pieces::Pieces) {
        self.outgoing.push_snapshot(pieces);
    }

    /// So many bytes of packets have been looked at.
    pub(super) fn taken(&mut self, bytes: usize) {
        self.untaken_bytes -= bytes;
        self.wake();
    }

    fn wants_bytes(&self) -> bool {
        self.incoming.wants_bytes() && self.untaken_bytes < UNTAKEN_BYTES_MAX
    }

    pub(super) fn ask_for_room(&mut self) {
        self.wants_room = true;
        self.wake();
    }

    pub(super) fn begin_stream(&mut self) {
        self.incoming.begin_stream();
        self.heard_ms = monotonic_ms();
        self.wake();
    }

    pub(super) fn portion_taken(&mut self, behind: Option<Vec<u8>>) {
        self.incoming.portion_taken(behind);
        self.heard_ms = monotonic_ms();
        self.wake();
    }

    /// Sends what was queued in this turn; the task sees to what does not fit.
    pub(super) fn flush(&mut self) -> Result<(), Closed> {
        if self.outgoing.send_now(&self.socket)? > 0 {
            self.moved_ms = monotonic_ms();
        }
        if self.outgoing.waiting() > 0 || self.outgoing.has_snapshot() {
            self.wake();
        }
        Ok(())
    }

    /// Lets its task have a turn.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sends and receives once. An error is the link's end; ready means that there may be more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        mut tell: impl FnMut(Happened<'_>),
    ) -> Poll<Result<(), Closed>> {
        self.waker = Some(cx.waker().clone());
        let flushed = self.outgoing.poll_flush(cx, &self.socket)?;
        if flushed.bytes > 0 {
            self.moved_ms = monotonic_ms();
        }
        if flushed.snapshots > 0 {
            self.heard_ms = monotonic_ms();
            (0..flushed.snapshots).for_each(|_| tell(Happened::SnapshotSent));
        }
        let half_empty = self.outgoing.waiting() <= self.limits.waiting_bytes_max / 2;
        if half_empty && std::mem::take(&mut self.wants_room) {
            tell(Happened::Room);
        }
        let untaken = &mut self.untaken_bytes;
        self.incoming.take_packets(|packet, bytes| {
            *untaken += bytes;
            tell(Happened::Received { packet, bytes });
        })?;
        if let Some(portion) = self.incoming.take_portion() {
            tell(Happened::Portion(portion));
        }
        if !self.wants_bytes() {
            return Poll::Pending;
        }
        let count = ready!(self.socket.poll_receive(cx, scratch))?;
        if count == 0 {
            return Poll::Ready(Err(Closed::HungUp));
        }
        self.heard_ms = monotonic_ms();
        self.incoming.push(&scratch[..count]);
        Poll::Ready(Ok(()))
    }

    /// Looks at the clock.
    pub(super) fn check(&mut self, now_ms: u64) -> Result<(), Closed> {
        if !self.wants_bytes() || self.outgoing.has_snapshot() {
            self.heard_ms = now_ms;
        }
        if !self.outgoing.is_blocked() {
            self.moved_ms = now_ms;
        }
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        let stuck_ms = now_ms.saturating_sub(self.moved_ms);
        if silent_ms >= self.silent_ms_max {
            return Err(Closed::Silent { ms: silent_ms });
        }
        if stuck_ms >= self.limits.stuck_ms_max {
            return Err(Closed::Stuck { ms: stuck_ms });
        }
        // A wake that was lost costs no more than the time between two looks.
        self.wake();
        Ok(())
    }
}
