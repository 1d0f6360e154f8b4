//! A numbered series of requests, sent once each, as fast as the server takes them.
//!
//! Trees are built and removed with it: the first requests go to the first free connections, each
//! connection keeps a few in flight, and the run is done when the last one is answered. Or every
//! connection has such a series of its own, for what belongs to its session: watches, ephemeral
//! nodes.

use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::fleet::{Driver, Reply};
use crate::latency::{Operation, Recorder};
use crate::progress::Progress;
use crate::violations::Judged;

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
    /// The number of the next request: of all connections, or of each by its index.
    next: Vec<u32>,
    on_each: bool,
    unanswered: u64,
    depth: usize,
    /// Replies with an error, and the last error's code.
    pub failed: u64,
    pub last_error: i32,
    pub recorder: Recorder,
    progress: Progress,
}

impl<S: SendNumbered> Sequence<S> {
    /// Requests 0 to `count`, at most `depth` in flight per connection.
    pub fn new(count: u32, depth: usize, send: S, recorder: Recorder) -> Self {
        Self::series(vec![0], count, depth, send, recorder)
    }

    /// Requests 0 to `count` on each of the first `connections` connections.
    pub fn on_each(connections: usize, count: u32, depth: usize, send: S) -> Self {
        let series = Self::series(vec![0; connections], count, depth, send, Recorder::default());
        Self { on_each: true, ..series }
    }

    fn series(next: Vec<u32>, count: u32, depth: usize, send: S, recorder: Recorder) -> Self {
        let unanswered = next.len() as u64 * u64::from(count);
        Self {
            send,
            count,
            next,
            on_each: false,
            unanswered,
            depth,
            failed: 0,
            last_error: 0,
            recorder,
            progress: Progress::counted("requests", unanswered),
        }
    }

    /// Requests of a whole series.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl<S: SendNumbered> Driver for Sequence<S> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        let series = if self.on_each { connection.index } else { 0 };
        let Some(next) = self.next.get_mut(series) else { return };
        while *next < self.count && connection.in_flight_len() < self.depth {
            let note = Note { key: *next, ..Note::plain(Operation::Write, now) };
            self.send.send(*next, connection, note);
            *next += 1;
        }
    }

    fn on_reply(&mut self, _: &mut Connection, note: Note, reply: Reply<'_>) -> Judged {
        self.unanswered -= 1;
        self.progress.add();
        let failed = reply.header.err != 0;
        if failed {
            self.failed += 1;
            self.last_error = reply.header.err;
        }
        self.recorder.record(note.operation, note.due, reply.received, failed);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.unanswered == 0
    }
}
