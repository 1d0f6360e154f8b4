//! A numbered series of requests, sent once each, as fast as the server takes them.
//!
//! Trees are built and removed with it: the first requests go to the first free connections, each
//! connection keeps a few in flight, and the run is done when the last one is answered.

use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::fleet::{Driver, Reply};
use crate::latency::{Operation, Recorder};
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
}

impl<S: SendNumbered> Sequence<S> {
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Requests 0 to `count`, at most `depth` in flight per connection.
    pub fn new(count: u32, depth: usize, send: S, recorder: Recorder) -> Self {
        Self { send, count, sent: 0, answered: 0, depth, failed: 0, last_error: 0, recorder }
    }
}

impl<S: SendNumbered> Driver for Sequence<S> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        while self.sent < self.count && connection.in_flight_len() < self.depth {
            let note = Note {
                operation: Operation::Write,
                due: now,
                key: self.sent,
                version_min: 0,
                sequence: 0,
            };
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
