//! A numbered series of requests, sent once each, as fast as the server takes them.
//!
//! Trees are built and removed with [`Sequence`]: the first requests go to the first free
//! connections, each connection keeps a few in flight, and the run is done when the last one is
//! answered. With [`OnEach`] every connection has a series of its own, for what belongs to its
//! session: watches, ephemeral nodes.

use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::fleet::{Driver, Reply};
use crate::latency::{Operation, Recorder};
use crate::progress::Progress;
use crate::violations::Violations;

/// Sends request number `n` on a connection.
pub trait SendNumbered {
    fn send(&mut self, number: u32, connection: &mut Connection, note: Note);
}

impl<F: FnMut(u32, &mut Connection, Note)> SendNumbered for F {
    fn send(&mut self, number: u32, connection: &mut Connection, note: Note) {
        self(number, connection, note);
    }
}

pub struct Sequence<S> {
    send: S,
    count: u32,
    sent: u32,
    answered: u32,
    depth: usize,
    /// Replies with an error, and the last error's code.
    pub failed: u64,
    pub last_error: i32,
    pub recorder: Recorder,
    progress: Progress,
}

impl<S: SendNumbered> Sequence<S> {
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Requests 0 to `count`, at most `depth` in flight per connection.
    pub fn new(count: u32, depth: usize, send: S, recorder: Recorder) -> Self {
        Self {
            send,
            count,
            sent: 0,
            answered: 0,
            depth,
            failed: 0,
            last_error: 0,
            recorder,
            progress: Progress::counted("requests", u64::from(count)),
        }
    }
}

impl<S: SendNumbered> Driver for Sequence<S> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        while self.sent < self.count && connection.in_flight_len() < self.depth {
            let note = Note { key: self.sent, ..Note::plain(Operation::Write, now) };
            self.send.send(self.sent, connection, note);
            self.sent += 1;
        }
    }

    fn on_reply(
        &mut self,
        _connection: &mut Connection,
        note: Note,
        reply: Reply<'_>,
        _violations: &mut Violations,
    ) {
        self.answered += 1;
        self.progress.add();
        let failed = reply.header.err != 0;
        if failed {
            self.failed += 1;
            self.last_error = reply.header.err;
        }
        self.recorder.record(note.operation, note.due, reply.received, failed);
    }

    fn is_done(&self) -> bool {
        self.answered == self.count
    }
}

/// Every connection sends requests 0 to `count` of its own.
pub struct OnEach<S> {
    send: S,
    count: u32,
    /// By connection: the number of its next request.
    next: Vec<u32>,
    unanswered: u64,
    depth: usize,
    /// Replies with an error, and the last error's code.
    pub failed: u64,
    pub last_error: i32,
    pub recorder: Recorder,
    progress: Progress,
}

impl<S: SendNumbered> OnEach<S> {
    /// `count` requests on each of the first `connections` connections.
    pub fn new(connections: usize, count: u32, depth: usize, send: S) -> Self {
        let unanswered = connections as u64 * u64::from(count);
        Self {
            send,
            count,
            next: vec![0; connections],
            unanswered,
            progress: Progress::counted("requests", unanswered),
            depth,
            failed: 0,
            last_error: 0,
            recorder: Recorder::default(),
        }
    }
}

impl<S: SendNumbered> Driver for OnEach<S> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        let Some(next) = self.next.get_mut(connection.index) else { return };
        while *next < self.count && connection.in_flight_len() < self.depth {
            let note = Note { key: *next, ..Note::plain(Operation::Write, now) };
            self.send.send(*next, connection, note);
            *next += 1;
        }
    }

    fn on_reply(
        &mut self,
        _connection: &mut Connection,
        note: Note,
        reply: Reply<'_>,
        _violations: &mut Violations,
    ) {
        self.unanswered -= 1;
        self.progress.add();
        let failed = reply.header.err != 0;
        if failed {
            self.failed += 1;
            self.last_error = reply.header.err;
        }
        self.recorder.record(note.operation, note.due, reply.received, failed);
    }

    fn is_done(&self) -> bool {
        self.unanswered == 0
    }
}
