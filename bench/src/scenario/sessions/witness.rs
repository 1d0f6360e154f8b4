//! Who sees a storm from outside: steady clients with latencies, and an observer of what goes.
//!
//! They share a thread that does nothing else. A request belongs to the phase in which it was due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use menagerie_wire::OpCode;
use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::proto::{AddWatchMode, PathWatch, SetData};

use crate::checks::{self, Checks};
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::error::BenchError;
use crate::fleet::{Driver, Due, Fleet, Reply};
use crate::latency::{Operation, Recorder};
use crate::open_loop::Schedule;
use crate::requests::AddWatch;
use crate::test_tree;
use crate::violations::{Judged, Violation, Violations};

/// What the storm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Before the first storm.
    Idle,
    Connect,
    Reconnect,
    Expire,
    /// Between two storms; latencies are not kept.
    Between,
}

/// What requests of the steady clients are, by phase.
const STEADY: [Operation; Phase::Between as usize] = [
    Operation::SteadyIdle,
    Operation::SteadyConnect,
    Operation::SteadyReconnect,
    Operation::SteadyExpiry,
];
const VALUE_BYTES: usize = 100;

pub(super) struct Witness {
    thread: JoinHandle<Result<Seen, BenchError>>,
    shared: Arc<Shared>,
    /// Numbers of ephemeral nodes that are gone, and when that was heard.
    gone: Receiver<(u32, Nanos)>,
}

struct Shared {
    phase: AtomicU8,
    stop: AtomicBool,
}

pub(super) struct Seen {
    /// Latencies of the steady clients, by phase.
    pub(super) recorders: Vec<Recorder>,
    pub(super) violations: Violations,
}

/// The node of a steady client.
pub(super) fn client_path(root: &str, client: u32) -> String {
    format!("{root}/client-{client}")
}

/// The parent of all ephemeral nodes.
pub(super) fn ephemerals(root: &str) -> String {
    format!("{root}/sessions")
}

pub(super) fn ephemeral_path(root: &str, key: usize) -> String {
    format!("{}/{key:07}", ephemerals(root))
}

impl Witness {
    /// Makes the tree and begins. There is a steady client at every server.
    pub(super) fn start(
        servers: &[SocketAddr],
        root: &str,
        rate: u32,
        checked: bool,
    ) -> Result<Self, BenchError> {
        let clients = servers.len();
        let mut fleet = Fleet::connect(servers, clients + 1)?;
        let count = u32::try_from(clients).unwrap_or(u32::MAX);
        let path = |client| client_path(root, client);
        create_tree(&mut fleet, root, count)?;
        let shared = Arc::new(Shared {
            phase: AtomicU8::new(Phase::Idle as u8),
            stop: AtomicBool::new(false),
        });
        let (sender, gone) = mpsc::channel();
        let mut load = Load {
            paths: (0..count).map(path).collect(),
            parent: ephemerals(root),
            value: vec![b'm'; VALUE_BYTES],
            watching: false,
            checks: checked.then(|| Checks::new(clients, count, VALUE_BYTES)),
            schedule: Schedule::new(Nanos::now(), f64::from(rate)),
            recorders: STEADY.iter().map(|_| Recorder::default()).collect(),
            phase: Phase::Between as usize,
            unanswered: 0,
            gone: sender,
            shared: Arc::clone(&shared),
        };
        let witness = move || {
            fleet.run(&mut load, None)?;
            load.follow_phase(Nanos::now());
            Ok(Seen { recorders: load.recorders, violations: fleet.close() })
        };
        Ok(Self { thread: std::thread::spawn(witness), shared, gone })
    }

    pub(super) fn begin(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Waits until `count` nodes are gone, or not any longer.
    pub(super) fn wait_until_gone(&self, count: usize, deadline: Nanos) -> Vec<(u32, Nanos)> {
        let mut gone = Vec::with_capacity(count);
        while gone.len() < count {
            let rest = deadline.since(Nanos::now());
            // Nobody sends any more when the witness has failed, which its end will tell.
            let Ok(next) = self.gone.recv_timeout(rest) else { break };
            gone.push(next);
        }
        gone
    }

    pub(super) fn stop(self) -> Result<Seen, BenchError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Creates the root, a node for each client and the parent of the ephemeral nodes.
fn create_tree(fleet: &mut Fleet, root: &str, clients: u32) -> Result<(), BenchError> {
    let value_of = checks::first_values(vec![b'm'; VALUE_BYTES]);
    test_tree::create_root(fleet, root)?;
    let path = |client| client_path(root, client);
    test_tree::create(fleet, clients, 1, path, value_of, Recorder::default())?;
    test_tree::create(fleet, 1, 1, |_| ephemerals(root), |_| &[], Recorder::default())?;
    test_tree::sync(fleet, root)
}

/// The driver of the witness.
struct Load {
    paths: Vec<String>,
    parent: String,
    value: Vec<u8>,
    watching: bool,
    checks: Option<Checks>,
    schedule: Schedule,
    recorders: Vec<Recorder>,
    /// The phase that requests belong to now.
    phase: usize,
    unanswered: u64,
    gone: Sender<(u32, Nanos)>,
    shared: Arc<Shared>,
}

impl Load {
    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Moves the windows of the recorders with the phases.
    fn follow_phase(&mut self, now: Nanos) {
        let phase = usize::from(self.shared.phase.load(Ordering::Relaxed));
        if phase == self.phase {
            return;
        }
        if let Some(recorder) = self.recorders.get_mut(self.phase) {
            recorder.close(now);
        }
        if let Some(recorder) = self.recorders.get_mut(phase) {
            recorder.open(now, Nanos(u64::MAX));
        }
        self.phase = phase;
    }

    fn operation(&self) -> Operation {
        STEADY.get(self.phase).copied().unwrap_or(Operation::SteadyIdle)
    }
}

impl Driver for Load {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        if connection.index == self.paths.len() && !self.watching {
            self.watching = true;
            let note = Note::plain(Operation::Read, now);
            let mode = AddWatchMode::PersistentRecursive;
            connection.send(OpCode::AddWatch, &AddWatch { path: &self.parent, mode }, note);
            self.unanswered += 1;
        }
    }

    fn on_reply(&mut self, connection: &mut Connection, note: Note, reply: Reply<'_>) -> Judged {
        self.unanswered -= 1;
        // The only other request is the observer's for its watch.
        let phase = STEADY.iter().position(|steady| *steady == note.operation);
        let Some(phase) = phase else { return Ok(()) };
        let failed = reply.header.err != 0;
        self.recorders[phase].record(note.operation, note.due, reply.received, failed);
        let Some(checks) = self.checks.as_mut().filter(|_| !failed) else { return Ok(()) };
        let (server, behind) = (connection.server, connection.conversation.behind());
        if note.sequence > 0 {
            checks.on_write(server, &note, behind, reply.body)
        } else {
            checks.on_read(server, &note, behind, reply.body)
        }
    }

    fn on_event(
        &mut self,
        _connection: &mut Connection,
        event: WatcherEvent<'_>,
        received: Nanos,
    ) -> Judged {
        let name = event.path.strip_prefix(&*self.parent).and_then(|name| name.strip_prefix('/'));
        let key = name.and_then(|name| name.parse().ok()).ok_or(Violation::UnexpectedEvent)?;
        match event.kind {
            EventType::NodeCreated => Ok(()),
            EventType::NodeDeleted => {
                // Whoever wants to know has the other end.
                let _ = self.gone.send((key, received));
                Ok(())
            }
            _ => Err(Violation::UnexpectedEvent),
        }
    }

    fn due(&mut self, now: Nanos) -> Due {
        if self.stopped() {
            return Due::Never;
        }
        let due = self.schedule.next_due();
        // Two requests in turn for each client: a read, a write.
        let turn = self.schedule.taken() / 2 % self.paths.len() as u64;
        if due <= now { Due::Now(turn as usize) } else { Due::At(due) }
    }

    fn send_due(&mut self, connection: &mut Connection) {
        let write = self.schedule.taken() % 2 == 1;
        let due = self.schedule.take();
        self.follow_phase(due);
        let key = u32::try_from(connection.index).unwrap_or(u32::MAX);
        let server = connection.server;
        let version_min = self.checks.as_ref().map_or(0, |checks| checks.version_min(server, key));
        let sequence = if write { self.schedule.taken() } else { 0 };
        let note = Note { key, version_min, sequence, ..Note::plain(self.operation(), due) };
        let path = self.paths[connection.index].as_str();
        if write {
            checks::label(&mut self.value, key, sequence);
            let body = SetData { path: Some(path.into()), data: Some(&self.value), version: -1 };
            connection.send(OpCode::SetData, &body, note);
        } else {
            let body = PathWatch { path: path.into(), watch: false };
            connection.send(OpCode::GetData, &body, note);
        }
        self.unanswered += 1;
    }

    fn is_done(&self) -> bool {
        self.stopped() && self.unanswered == 0
    }
}
