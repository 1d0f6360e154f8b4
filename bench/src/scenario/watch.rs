//! `watch`: from a write to the events of all who watch, and what they cost.
//!
//! A run goes in rounds. A writer of its own sets `--at-once` nodes together; the round is over
//! when every event of it has come and, where watches are one-shot, every watcher has read the new
//! value and left its watch again, as an application does. With `--rate` rounds begin by the clock,
//! and one that begins late keeps its time on the schedule. Events never wait for each other in
//! this way, so each of them can be expected exactly: one per watch and change, of the right kind,
//! before any reply that shows the change. What is missing, twice there, early or overtaken is a
//! violation; a last round trip on every connection finds events that come too late to be missed.

use std::time::Duration;

use clap::{Args, ValueEnum};
use menagerie_wire::OpCode;
use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::proto::{AddWatchMode, PathWatch, SetData};

use self::rounds::Rounds;
use crate::Scenario;
use crate::checks::{self, Checks};
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::{CpuTime, resident_bytes};
use crate::error::BenchError;
use crate::flags::{name_of, per_second, seconds};
use crate::fleet::{Driver, Due, Fleet, Reply};
use crate::latency::{Operation, Recorder};
use crate::open_loop::Schedule;
use crate::report::Report;
use crate::requests::AddWatch;
use crate::target::Target;
use crate::test_tree;
use crate::violations::{Judged, Violation};

mod rounds;

/// Requests in flight per connection while nodes are created and watches are set.
const BUILD_DEPTH: usize = 16;

#[derive(Args, Clone, Debug)]
pub struct Watch {
    /// The connections are the watchers; the writer has one more
    #[command(flatten)]
    target: Target,
    #[arg(long, value_enum, default_value_t = Kind::OneShot)]
    kind: Kind,
    /// Nodes that each connection watches
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// Every connection watches nodes that no other one watches
    #[arg(long)]
    distinct: bool,
    /// Nodes that are set together in each round
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Size of every value
    #[arg(long, value_name = "BYTES", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
    /// Length of the measured window
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Rounds before the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// Rounds per second; without it one begins when the last is over
    #[arg(long, value_name = "PER_SECOND", value_parser = per_second)]
    rate: Option<f64>,
    /// An event that has not come so long after its write is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    event_seconds_max: f64,
    /// Do not judge the values that are read (for servers that only play one, like `echo`)
    #[arg(long)]
    unchecked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Left by getData, and again after each event
    OneShot,
    /// addWatch on each node
    Persistent,
    /// One addWatch on the parent of all nodes
    Recursive,
}

impl Scenario for Watch {
    fn run(&self) -> Result<Report, BenchError> {
        self.validate()?;
        let watchers = self.target.connections as usize;
        let mut fleet = Fleet::connect(&self.target.at.servers, watchers + 1)?;
        let tree = Tree::new(self);
        let value_of = checks::first_values(vec![b'm'; self.value_bytes as usize]);
        let unmeasured = Recorder::default;
        test_tree::create_root(&mut fleet, &tree.root)?;
        let (nodes, path) = (self.all_nodes(), |node: u32| tree.paths[node as usize].as_str());
        test_tree::create(&mut fleet, nodes, BUILD_DEPTH, path, value_of, unmeasured())?;
        test_tree::sync(&mut fleet, &tree.root)?;

        let mut report = Report::new("watch");
        self.describe(&mut report);
        self.set_watches(&mut fleet, &tree, &mut report)?;
        let mut load = Load::new(self, &tree);
        let cpu = self.measure(&mut fleet, &mut load)?;
        if !load.given_up {
            test_tree::round_trip(&mut fleet, &tree.root)?;
        }
        if load.given_up && load.lost.is_empty() {
            let seconds = self.event_seconds_max as u64;
            return Err(BenchError::Unanswered { unanswered: load.rounds.unanswered(), seconds });
        }
        for &key in &load.lost {
            fleet.violations.add(watchers, Violation::LostEvent { key });
        }
        report.measured(&load.recorder, &cpu, &fleet.violations);
        load.figures(&cpu, &mut report);
        if !load.given_up {
            self.clean_up(fleet, &tree)?;
        }
        Ok(report)
    }
}

impl Watch {
    fn validate(&self) -> Result<(), BenchError> {
        let nodes = u64::from(self.nodes) * u64::from(self.owners());
        let usage = |why: &str| Err(BenchError::Usage(why.to_owned()));
        if u64::from(self.at_once) > nodes || u32::try_from(nodes).is_err() {
            return usage("--at-once is more than there are nodes, or those are more than 2^32");
        }
        if self.distinct && self.kind == Kind::Recursive {
            return usage("a recursive watch is on the parent of all nodes: leave --distinct out");
        }
        Ok(())
    }

    /// Connections that have nodes of their own; one stands for all of them.
    fn owners(&self) -> u32 {
        if self.distinct { self.target.connections } else { 1 }
    }

    fn all_nodes(&self) -> u32 {
        self.nodes * self.owners()
    }

    fn watches_per_connection(&self) -> u32 {
        if self.kind == Kind::Recursive { 1 } else { self.nodes }
    }

    fn describe(&self, report: &mut Report) {
        self.target.describe(report);
        report.condition("kind", name_of(self.kind));
        report.condition("nodes", self.nodes);
        report.condition("distinct", self.distinct);
        report.condition("at_once", self.at_once);
        report.condition("value_bytes", self.value_bytes);
        report.condition("seconds", self.seconds);
        report.condition("warm_up_seconds", self.warm_up);
        report.condition("loop", if self.rate.is_some() { "open" } else { "closed" });
        report.condition("checked", !self.unchecked);
        if let Some(rate) = self.rate {
            report.condition("rate", rate);
        }
    }

    /// Sets all watches. Where the server's memory is looked at, the same reads go first without
    /// watches: the growth is then that of the watches, not of buffers.
    fn set_watches(
        &self,
        fleet: &mut Fleet,
        tree: &Tree,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        let watchers = self.target.connections as usize;
        let count = self.watches_per_connection();
        let pids = &self.target.at.pids;
        if !pids.is_empty() {
            let read = |number: u32, connection: &mut Connection, note: Note| {
                let path = tree.path_of(self, connection.index, number);
                let body = PathWatch { path: path.into(), watch: false };
                connection.send(OpCode::GetData, &body, note);
            };
            test_tree::on_each(fleet, watchers, count, BUILD_DEPTH, read)?;
        }
        let before = resident_bytes(pids)?;
        let began = Nanos::now();
        let set = |number: u32, connection: &mut Connection, note: Note| {
            self.kind.set(connection, tree.path_of(self, connection.index, number), note);
        };
        test_tree::on_each(fleet, watchers, count, BUILD_DEPTH, set)?;
        let seconds = Nanos::now().since(began).as_secs_f64();
        let watches = u64::from(count) * watchers as u64;
        report.figure("watches", watches as f64);
        report.figure("watches_set_per_second", (watches as f64 / seconds).round());
        if !pids.is_empty() {
            let grown = resident_bytes(pids)?.saturating_sub(before);
            report.figure("rss_before_watches_bytes", before as f64);
            report.figure("rss_bytes_per_watch", grown as f64 / watches as f64);
        }
        Ok(())
    }

    fn measure(&self, fleet: &mut Fleet, load: &mut Load<'_>) -> Result<CpuTime, BenchError> {
        let start = Nanos::now() + Duration::from_secs_f64(self.warm_up);
        let end = start + Duration::from_secs_f64(self.seconds);
        load.recorder.open(start, end);
        let cpu = fleet.measure(load, start, end, &self.target.at.pids)?;
        load.stopped = true;
        fleet.run(load, None)?;
        Ok(cpu)
    }

    /// Watches end with their sessions, or deleting the nodes would fire all of them.
    fn clean_up(&self, fleet: Fleet, tree: &Tree) -> Result<(), BenchError> {
        fleet.close();
        let mut fleet = Fleet::connect(&self.target.at.servers[..1], 1)?;
        test_tree::sync(&mut fleet, &tree.root)?;
        let path = |node: u32| tree.paths[node as usize].as_str();
        test_tree::delete(&mut fleet, self.all_nodes(), 1024, path)?;
        test_tree::delete_root(&mut fleet, &tree.root)?;
        fleet.close();
        Ok(())
    }
}

impl Kind {
    /// Asks for a watch on `path`.
    fn set(self, connection: &mut Connection, path: &str, note: Note) {
        let mode = match self {
            Self::OneShot => {
                let body = PathWatch { path: path.into(), watch: true };
                return connection.send(OpCode::GetData, &body, note);
            }
            Self::Persistent => AddWatchMode::Persistent,
            Self::Recursive => AddWatchMode::PersistentRecursive,
        };
        connection.send(OpCode::AddWatch, &AddWatch { path, mode }, note);
    }
}

/// Paths of 24 bytes, as many applications have them.
struct Tree {
    root: String,
    paths: Vec<String>,
}

impl Tree {
    fn new(watch: &Watch) -> Self {
        let root = test_tree::unique_short_root();
        let paths = (0..watch.all_nodes()).map(|node| format!("{root}/{node:010}")).collect();
        Self { root, paths }
    }

    /// Where watch `number` of a connection is.
    fn path_of(&self, watch: &Watch, connection: usize, number: u32) -> &str {
        match watch.kind {
            Kind::Recursive => &self.root,
            _ if watch.distinct => &self.paths[connection * watch.nodes as usize + number as usize],
            _ => &self.paths[number as usize],
        }
    }

    /// The number of a node, from the digits at the end of its path.
    fn node(&self, path: &str) -> Option<u32> {
        let (_, digits) = path.rsplit_once('/')?;
        let node: u32 = digits.parse().ok()?;
        self.paths.get(node as usize).is_some_and(|known| known == path).then_some(node)
    }
}

/// The driver: writes of a round, events, watches that are left again.
struct Load<'a> {
    watch: &'a Watch,
    tree: &'a Tree,
    value: Vec<u8>,
    rounds: Rounds,
    checks: Checks,
    recorder: Recorder,
    schedule: Option<Schedule>,
    stopped: bool,
    /// A round was not complete in time.
    given_up: bool,
    /// Nodes whose events did not come, once for each of these.
    lost: Vec<u32>,
}

impl<'a> Load<'a> {
    fn new(watch: &'a Watch, tree: &'a Tree) -> Self {
        let (nodes, watchers) = (watch.all_nodes(), watch.target.connections);
        let watchers_per_node = if watch.distinct { 1 } else { watchers };
        let servers = watch.target.at.servers.len();
        Self {
            watch,
            tree,
            value: vec![b'm'; watch.value_bytes as usize],
            rounds: Rounds::new(nodes, watch.at_once, watchers_per_node),
            checks: Checks::new(servers, nodes, watch.value_bytes as usize),
            recorder: Recorder::default(),
            schedule: watch.rate.map(|rate| Schedule::new(Nanos::now(), rate)),
            stopped: false,
            given_up: false,
            lost: Vec::new(),
        }
    }

    fn begin_round(&mut self, writer: &mut Connection) {
        let due = self.schedule.as_mut().map_or_else(Nanos::now, Schedule::take);
        let deadline = Nanos::now() + Duration::from_secs_f64(self.watch.event_seconds_max);
        let sequence = self.rounds.begin(due, deadline);
        for node in self.rounds.nodes() {
            let version_min = self.checks.version_min(writer.server, node);
            let plain = Note::plain(Operation::Write, due);
            let note = Note { key: node, version_min, sequence, ..plain };
            checks::label(&mut self.value, node, sequence);
            let path = Some(self.tree.paths[node as usize].as_str().into());
            let body = SetData { path, data: Some(&self.value), version: -1 };
            writer.send(OpCode::SetData, &body, note);
        }
    }

    /// Takes an event of a known node for a watcher of it.
    fn hear(
        &mut self,
        connection: &mut Connection,
        node: u32,
        event: WatcherEvent<'_>,
        received: Nanos,
    ) -> Result<(), Violation> {
        let watcher = if self.watch.distinct { 0 } else { connection.index };
        let due = self.rounds.hear(node, watcher, received)?;
        self.recorder.record(Operation::Event, due, received, false);
        if self.watch.kind == Kind::OneShot {
            // The event came, so its change is there to be read.
            let version_min = self.rounds.changes(node);
            let note = Note { key: node, version_min, ..Note::plain(Operation::Read, received) };
            self.rounds.ask();
            self.watch.kind.set(connection, &self.tree.paths[node as usize], note);
        }
        let judged = self.rounds.name(node, event.zxid);
        self.end_round();
        let right = event.kind == EventType::NodeDataChanged;
        if right { judged } else { Err(Violation::WrongEvent { key: node }) }
    }

    fn end_round(&mut self) {
        let Some(times) = self.rounds.end_if_complete() else { return };
        let kinds = [
            (Operation::FirstEvent, times.first),
            (Operation::MedianEvent, times.median),
            (Operation::P99Event, times.p99),
            (Operation::LastEvent, times.last),
        ];
        for (kind, delay) in kinds {
            self.recorder.record(kind, times.due, times.due + delay, false);
        }
    }

    fn figures(&self, cpu: &CpuTime, report: &mut Report) {
        let events = self.recorder.answered_of(Operation::Event) as f64;
        let server = cpu.server.map(|server| server.as_secs_f64()).filter(|seconds| *seconds > 0.0);
        if let Some(seconds) = server {
            report.figure("events_per_server_cpu_s", (events / seconds).round());
        }
    }
}

impl Driver for Load<'_> {
    fn refill(&mut self, _connection: &mut Connection, _now: Nanos) {}

    fn on_reply(&mut self, connection: &mut Connection, note: Note, reply: Reply<'_>) -> Judged {
        let failed = reply.header.err != 0;
        self.recorder.record(note.operation, note.due, reply.received, failed);
        self.rounds.answered();
        let write = note.operation == Operation::Write;
        let named = if write { self.rounds.name(note.key, reply.header.zxid) } else { Ok(()) };
        self.end_round();
        if failed || self.watch.unchecked {
            return named;
        }
        let (server, behind) = (connection.server, connection.conversation.behind());
        let checked = if write {
            self.checks.on_write(server, &note, behind, reply.body)
        } else {
            self.checks.on_read(server, &note, behind, reply.body)
        };
        named.and(checked)
    }

    fn on_event(
        &mut self,
        connection: &mut Connection,
        event: WatcherEvent<'_>,
        received: Nanos,
    ) -> Judged {
        let watchers = self.watch.target.connections as usize;
        let owner = |node: &u32| {
            let owner = (*node / self.watch.nodes) as usize;
            connection.index < watchers && (!self.watch.distinct || owner == connection.index)
        };
        match self.tree.node(event.path).filter(owner) {
            Some(node) => self.hear(connection, node, event, received),
            None => Err(Violation::UnexpectedEvent),
        }
    }

    fn due(&mut self, now: Nanos) -> Due {
        if self.given_up {
            return Due::Never;
        }
        if let Some(deadline) = self.rounds.deadline() {
            if now >= deadline {
                self.lost = self.rounds.lost();
                (self.stopped, self.given_up) = (true, true);
                return Due::Never;
            }
            return Due::At(deadline);
        }
        let due = self.schedule.as_ref().map_or(now, Schedule::next_due);
        if self.stopped {
            Due::Never
        } else if due <= now {
            Due::Now(self.watch.target.connections as usize)
        } else {
            Due::At(due)
        }
    }

    fn send_due(&mut self, connection: &mut Connection) {
        self.begin_round(connection);
    }

    fn is_done(&self) -> bool {
        self.stopped && (self.rounds.deadline().is_none() || self.given_up)
    }
}
