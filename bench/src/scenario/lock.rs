//! `lock`: the lock recipe, as clients that compete for it play it.
//!
//! Everybody creates an ephemeral sequential node, lists the nodes, and holds the lock if no number
//! is lower than its own; otherwise it watches the node before its own and lists again when that
//! goes. Whoever holds the lock gives it back after `--hold-us` by deleting its node, and queues
//! again. A hand-over is the time from the moment the delete leaves to the moment the next one
//! knows that it holds the lock.
//!
//! One thread sees all clients, so exclusion is judged in real time: a client is a holder from the
//! reply that makes it one until it sends its delete, and two at once are a violation. So is a lock
//! that goes to a lower number after a higher one, an event that nobody waits for, and one that
//! never comes.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use menagerie_wire::OpCode;
use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::jute::{JuteError, Reader};
use menagerie_wire::proto::{CreateFlags, PathVersion, PathWatch};

use crate::Scenario;
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::error::BenchError;
use crate::flags::seconds;
use crate::fleet::{Driver, Due, Fleet, Reply};
use crate::latency::{Operation, Recorder};
use crate::report::Report;
use crate::requests;
use crate::target::Target;
use crate::test_tree;
use crate::violations::{Judged, Violation, Violations};

#[derive(Args, Clone, Debug)]
pub struct Lock {
    /// The connections are the clients that compete
    #[command(flatten)]
    target: Target,
    /// Locks; the clients are spread evenly over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    locks: u32,
    /// How long each client keeps a lock, in microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    hold_us: u64,
    /// Length of the measured window
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Load before the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// When no lock goes to anybody for so long, an event is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    event_seconds_max: f64,
}

impl Scenario for Lock {
    fn run(&self) -> Result<Report, BenchError> {
        let root = test_tree::unique_root();
        let directory = |lock: u32| format!("{root}/lock-{lock}");
        let mut fleet = self.target.connect()?;
        test_tree::create_root(&mut fleet, &root)?;
        let unmeasured = Recorder::default();
        test_tree::create(&mut fleet, self.locks, 16, directory, |_| &[], unmeasured)?;
        test_tree::sync(&mut fleet, &root)?;

        let mut load = Load::new(self, (0..self.locks).map(directory).collect());
        let start = Nanos::now() + Duration::from_secs_f64(self.warm_up);
        let end = start + Duration::from_secs_f64(self.seconds);
        load.recorder.open(start, end);
        let cpu = fleet.measure(&mut load, start, end, &self.target.at.pids)?;
        load.stopped = true;
        fleet.run(&mut load, None)?;
        load.report_lost(&mut fleet.violations);

        let mut report = Report::new("lock");
        self.describe(&mut report);
        report.measured(&load.recorder, &cpu, &fleet.close());
        // The sessions are closed, and their nodes gone with them.
        let mut fleet = Fleet::connect(&self.target.at.servers[..1], 1)?;
        test_tree::sync(&mut fleet, &root)?;
        test_tree::delete(&mut fleet, self.locks, 16, directory)?;
        test_tree::delete_root(&mut fleet, &root)?;
        fleet.close();
        Ok(report)
    }
}

impl Lock {
    fn describe(&self, report: &mut Report) {
        self.target.describe(report);
        report.condition("locks", self.locks);
        report.condition("hold_us", self.hold_us);
        report.condition("seconds", self.seconds);
        report.condition("warm_up_seconds", self.warm_up);
    }
}

/// What a client does; it has one request in flight at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Queued nowhere.
    Idle,
    Creating,
    Listing,
    /// Asks for a watch on the node with this number.
    Watching(u32),
    /// Waits for the node with this number to go.
    Waiting(u32),
    Holding,
    Deleting,
}

struct Client {
    state: State,
    /// Of its node.
    number: u32,
    /// When it sent the create of its node.
    queued: Nanos,
    /// It was told to wait since then.
    waited: bool,
}

#[derive(Default)]
struct Held {
    by: Option<usize>,
    /// Number of the node that got the lock last.
    number: Option<u32>,
    /// When the lock was given back.
    released: Nanos,
}

struct Load<'a> {
    lock: &'a Lock,
    directories: Vec<String>,
    clients: Vec<Client>,
    held: Vec<Held>,
    /// When holders give back, in this order.
    releases: VecDeque<(Nanos, usize)>,
    recorder: Recorder,
    /// When a lock went to somebody last.
    progress: Nanos,
    busy: usize,
    stopped: bool,
    given_up: bool,
}

impl<'a> Load<'a> {
    fn new(lock: &'a Lock, directories: Vec<String>) -> Self {
        let client =
            |_| Client { state: State::Idle, number: 0, queued: Nanos::default(), waited: false };
        Self {
            lock,
            clients: (0..lock.target.connections).map(client).collect(),
            held: directories.iter().map(|_| Held::default()).collect(),
            directories,
            releases: VecDeque::new(),
            recorder: Recorder::default(),
            progress: Nanos::now(),
            busy: 0,
            stopped: false,
            given_up: false,
        }
    }

    fn lock_of(&self, client: usize) -> usize {
        client % self.directories.len()
    }

    fn path(&self, client: usize, number: u32) -> String {
        format!("{}/n-{number:010}", self.directories[self.lock_of(client)])
    }

    fn queue(&mut self, connection: &mut Connection, now: Nanos) {
        let directory = &self.directories[self.lock_of(connection.index)];
        let path = format!("{directory}/n-");
        let body = requests::create(path, &[], CreateFlags::EphemeralSequential);
        connection.send(OpCode::Create, &body, Note::plain(Operation::Write, now));
        let client = &mut self.clients[connection.index];
        (client.state, client.queued, client.waited) = (State::Creating, now, false);
        self.busy += 1;
    }

    fn list(&mut self, connection: &mut Connection, now: Nanos) {
        let directory = self.directories[self.lock_of(connection.index)].as_str();
        let body = PathWatch { path: directory.into(), watch: false };
        connection.send(OpCode::GetChildren, &body, Note::plain(Operation::Read, now));
        self.clients[connection.index].state = State::Listing;
    }

    /// Finds the place of a client among those that are queued.
    fn take_list(&mut self, connection: &mut Connection, body: &[u8], now: Nanos) -> Judged {
        let own = self.clients[connection.index].number;
        let numbers = numbers(body).map_err(|_| Violation::Undecodable { key: own })?;
        let before = numbers.into_iter().filter(|number| *number < own).max();
        let Some(before) = before else { return self.hold(connection, now) };
        let path = self.path(connection.index, before);
        let body = PathWatch { path: path.into(), watch: true };
        connection.send(OpCode::Exists, &body, Note::plain(Operation::Read, now));
        self.clients[connection.index].state = State::Watching(before);
        Ok(())
    }

    fn hold(&mut self, connection: &mut Connection, now: Nanos) -> Judged {
        let (index, lock) = (connection.index, self.lock_of(connection.index));
        let (client, held) = (&mut self.clients[index], &mut self.held[lock]);
        let (other, before) = (held.by.replace(index), held.number.replace(client.number));
        client.state = State::Holding;
        self.progress = now;
        self.recorder.record(Operation::Acquire, client.queued, now, false);
        if client.waited && other.is_none() {
            self.recorder.record(Operation::Handover, held.released, now, false);
        }
        let number = client.number;
        let release = now + Duration::from_micros(self.lock.hold_us);
        if self.lock.hold_us == 0 {
            self.release(connection, now);
        } else {
            self.releases.push_back((release, index));
        }
        if let Some(other) = other {
            return Err(Violation::TwoHolders { other: other as u32 });
        }
        match before.filter(|before| *before >= number) {
            Some(before) => Err(Violation::LockOrder { before, number }),
            None => Ok(()),
        }
    }

    fn release(&mut self, connection: &mut Connection, now: Nanos) {
        let (index, lock) = (connection.index, self.lock_of(connection.index));
        let held = &mut self.held[lock];
        held.released = now;
        held.by = held.by.filter(|holder| *holder != index);
        let path = self.path(index, self.clients[index].number);
        let body = PathVersion { path: path.into(), version: -1 };
        connection.send(OpCode::Delete, &body, Note::plain(Operation::Write, now));
        self.clients[index].state = State::Deleting;
    }

    fn idle(&mut self, connection: &mut Connection, now: Nanos) {
        self.clients[connection.index].state = State::Idle;
        self.busy -= 1;
        if !self.stopped {
            self.queue(connection, now);
        }
    }

    /// Whoever still waits was not told.
    fn report_lost(&self, violations: &mut Violations) {
        for (index, client) in self.clients.iter().enumerate().filter(|_| self.given_up) {
            if let State::Waiting(key) = client.state {
                violations.add(index, Violation::LostEvent { key });
            }
        }
    }
}

impl Driver for Load<'_> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        if self.clients[connection.index].state == State::Idle && !self.stopped {
            self.queue(connection, now);
        }
    }

    fn on_reply(&mut self, connection: &mut Connection, note: Note, reply: Reply<'_>) -> Judged {
        let (index, now) = (connection.index, reply.received);
        let failed = reply.header.err != 0;
        self.recorder.record(note.operation, note.due, now, failed);
        match self.clients[index].state {
            State::Creating if !failed => match number_of(reply.body) {
                Ok(number) => {
                    self.clients[index].number = number;
                    self.list(connection, now);
                    Ok(())
                }
                Err(_) => Err(Violation::Undecodable { key: 0 }),
            },
            State::Listing if !failed => self.take_list(connection, reply.body, now),
            State::Watching(number) => {
                self.clients[index].waited = true;
                if failed {
                    // It went in between.
                    self.list(connection, now);
                } else {
                    self.clients[index].state = State::Waiting(number);
                }
                Ok(())
            }
            _ => {
                self.idle(connection, now);
                Ok(())
            }
        }
    }

    fn on_event(
        &mut self,
        connection: &mut Connection,
        event: WatcherEvent<'_>,
        received: Nanos,
    ) -> Judged {
        let index = connection.index;
        match self.clients[index].state {
            State::Waiting(number) if event.path == self.path(index, number) => {
                if event.kind != EventType::NodeDeleted {
                    return Err(Violation::WrongEvent { key: number });
                }
                self.list(connection, received);
                Ok(())
            }
            _ => Err(Violation::UnexpectedEvent),
        }
    }

    fn due(&mut self, now: Nanos) -> Due {
        if let Some((due, index)) = self.releases.front().copied() {
            return if due <= now { Due::Now(index) } else { Due::At(due) };
        }
        let deadline = self.progress + Duration::from_secs_f64(self.lock.event_seconds_max);
        if now >= deadline {
            self.given_up = true;
            return Due::Never;
        }
        Due::At(deadline)
    }

    fn send_due(&mut self, connection: &mut Connection) {
        self.releases.pop_front();
        self.release(connection, Nanos::now());
    }

    fn is_done(&self) -> bool {
        self.given_up || (self.stopped && self.busy == 0)
    }
}

/// The numbers of all nodes in the reply to getChildren.
fn numbers(body: &[u8]) -> Result<Vec<u32>, JuteError> {
    let mut reader = Reader::new(body);
    let count = reader.count()?.unwrap_or(0);
    (0..count).map(|_| number_of_name(reader.buffer()?)).collect()
}

/// The number of the node in the reply to a sequential create.
fn number_of(body: &[u8]) -> Result<u32, JuteError> {
    number_of_name(Reader::new(body).buffer()?)
}

fn number_of_name(name: Option<&[u8]>) -> Result<u32, JuteError> {
    let digits = name.and_then(|name| name.last_chunk::<10>()).ok_or(JuteError::Null)?;
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or(JuteError::Unknown(0, "number of a node"))
}

#[cfg(test)]
mod tests {
    use menagerie_wire::jute::Put as _;

    use super::*;

    #[test]
    fn numbers_are_the_last_ten_digits() {
        let mut body = Vec::new();
        body.put_int(2);
        body.put_string("n-0000000012");
        body.put_string("n-2147483647");
        assert_eq!(numbers(&body), Ok(vec![12, i32::MAX as u32]));
        assert_eq!(number_of(&body[4..]), Ok(12));
        for len in 0..body.len() {
            assert!(numbers(&body[..len]).is_err(), "{len} bytes");
        }
    }
}
