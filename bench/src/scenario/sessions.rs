//! `sessions`: storms of clients that connect, come back and vanish, and how others fare meanwhile.
//!
//! Three storms, one after the other. *Connect*: all sessions are opened, `--at-once` handshakes on
//! their way. *Reconnect*: all connections break at once, and every client comes back with its
//! session, to the next server where there are several. *Expire*: every client is heard once more
//! and then never again; each has an ephemeral node, and an observer hears when it goes. A session
//! that ends before its time is over, that is forgotten, or that never ends is a violation.
//!
//! Beside them a few steady clients read and write by the clock, in a thread of their own so that
//! the storm does not delay them here; their latencies stand in the report by storm, and for a time
//! without any. With `--server-pid` and `--storms none` the memory of an idle session is there
//! too: when the server has rested, so that what opening sessions took for a moment is not counted.
//! Where sessions do not outlive the rest it is not.

use std::collections::HashSet;
use std::time::Duration;

use clap::{Args, ValueEnum};
use menagerie_wire::OpCode;
use menagerie_wire::proto::CreateFlags;

use self::witness::{Phase, Witness};
use crate::Scenario;
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::{CpuMeter, resident_bytes};
use crate::error::BenchError;
use crate::flags::{names_of, seconds};
use crate::fleet::Fleet;
use crate::latency::{Operation, Recorder};
use crate::opening::{Opening, Wanted};
use crate::progress::Progress;
use crate::report::Report;
use crate::requests;
use crate::target::Servers;
use crate::test_tree;
use crate::violations::{Violation, Violations};

mod witness;

#[derive(Args, Clone, Debug)]
pub struct Sessions {
    #[command(flatten)]
    at: Servers,
    /// Sessions in each storm
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Handshakes on their way at the same time
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Asked for; the server may grant another one
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    session_timeout_ms: u64,
    /// Storms after the first connects
    #[arg(long, value_enum, value_delimiter = ',', default_value = "reconnect,expire")]
    storms: Vec<Storm>,
    /// A session that still lives so long after its time was over never ends
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    expiry_seconds_max: f64,
    /// Requests of the steady clients per second; half of them are writes
    #[arg(long, value_name = "PER_SECOND", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steady_rate: u32,
    /// How long the steady clients are alone before the first storm
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    idle_seconds: f64,
    /// Do not judge the values that are read (for servers that only play one, like `echo`)
    #[arg(long)]
    unchecked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Storm {
    /// All connections break, and the sessions go on
    Reconnect,
    /// All clients vanish
    Expire,
    /// Nothing: the sessions are closed after the first connects
    None,
}

/// How long one handshake may take: a storm may keep it waiting.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a server rests before its memory is looked at.
const REST: Duration = Duration::from_secs(4);

/// What others feel behind the last event is of the storm, too.
const EXPIRY_AFTERMATH: Duration = Duration::from_millis(200);

impl Scenario for Sessions {
    fn run(&self) -> Result<Report, BenchError> {
        let root = test_tree::unique_root();
        let witness = Witness::start(&self.at.servers, &root, self.steady_rate, !self.unchecked)?;
        let mut run = Run {
            sessions: self,
            witness,
            report: Report::new("sessions"),
            violations: Violations::default(),
        };
        self.describe(&mut run.report);
        let cpu = CpuMeter::start(&self.at.pids)?;
        let mut whole = Recorder::until_the_end();
        run.storms(&root)?;
        whole.close(Nanos::now());
        let cpu = cpu.stop()?;
        let Run { witness, mut report, mut violations, .. } = run;
        let seen = witness.stop()?;
        violations.append(seen.violations);
        report.measured(&whole, &cpu, &violations);
        for recorder in &seen.recorders {
            report.add_operations(recorder);
        }
        remove(&self.at.servers[..1], &root, self.at.servers.len())?;
        Ok(report)
    }
}

/// Removes what the witness made; nodes of sessions that never ended stay.
fn remove(server: &[std::net::SocketAddr], root: &str, clients: usize) -> Result<(), BenchError> {
    let mut fleet = Fleet::connect(server, 1)?;
    test_tree::sync(&mut fleet, root)?;
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    test_tree::delete(&mut fleet, clients, 1, |client| witness::client_path(root, client))?;
    // Both are refused while ephemeral nodes are there, which is reported already.
    let _ = test_tree::delete(&mut fleet, 1, 1, |_| witness::ephemerals(root));
    let _ = test_tree::delete_root(&mut fleet, root);
    fleet.close();
    Ok(())
}

impl Sessions {
    fn describe(&self, report: &mut Report) {
        self.at.describe(report);
        report.condition("sessions", self.sessions);
        report.condition("at_once", self.at_once);
        report.condition("session_timeout_ms", self.session_timeout_ms);
        report.condition("storms", names_of(&self.storms));
        report.condition("steady_rate", self.steady_rate);
        report.condition("idle_seconds", self.idle_seconds);
        report.condition("checked", !self.unchecked);
    }

    fn wants(&self, storm: Storm) -> bool {
        self.storms.contains(&storm)
    }
}

/// A run and what it found so far.
struct Run<'a> {
    sessions: &'a Sessions,
    witness: Witness,
    report: Report,
    violations: Violations,
}

impl Run<'_> {
    fn storms(&mut self, root: &str) -> Result<(), BenchError> {
        let idle = Duration::from_secs_f64(self.sessions.idle_seconds);
        let progress = Progress::timed("idle", idle);
        std::thread::sleep(idle);
        drop(progress);
        let servers = &self.sessions.at.servers;
        let wanted: Vec<_> = (0..self.sessions.sessions as usize)
            .map(|key| key % servers.len())
            .map(|server| Wanted::new(server, servers[server]))
            .collect();
        let pids = &self.sessions.at.pids;
        let outlives = Duration::from_millis(self.sessions.session_timeout_ms) > 2 * REST;
        let weighs = !pids.is_empty() && self.sessions.storms == [Storm::None] && outlives;
        // Where memory is looked at, others come first and stay: buffers have grown then, and the
        // growth is that of the sessions.
        let first = weighs.then(|| open_first(self.sessions, root)).transpose()?;
        let before = if weighs { rested_bytes(pids)? } else { 0 };
        let connections = self.open(&wanted, Operation::Connect, Phase::Connect)?;
        let mut fleet = Fleet::adopt(connections)?;
        self.check_ids(&fleet);
        if self.violations.count > 0 {
            // Nothing can be expected of sessions that are mixed up.
            self.violations.append(fleet.close());
            return Ok(());
        }
        if weighs {
            // All that was sent is answered then, and the server is idle but for the witness.
            test_tree::round_trip(&mut fleet, root)?;
            let grown = rested_bytes(pids)?.saturating_sub(before);
            let sessions = f64::from(self.sessions.sessions);
            self.report.figure("rss_before_sessions_bytes", before as f64);
            self.report.figure("rss_bytes_per_session", grown as f64 / sessions);
        }
        if let Some(first) = first {
            self.violations.append(first.close());
        }
        let expire = self.sessions.wants(Storm::Expire);
        if expire {
            create_ephemerals(&mut fleet, root)?;
        }
        if self.sessions.wants(Storm::Reconnect) {
            fleet = self.reconnect(fleet, root)?;
        }
        if expire && self.violations.count == 0 {
            return self.expire(fleet, root);
        }
        self.violations.append(fleet.close());
        Ok(())
    }

    fn open(
        &mut self,
        wanted: &[Wanted],
        operation: Operation,
        phase: Phase,
    ) -> Result<Vec<Connection>, BenchError> {
        let cpu = CpuMeter::start(&self.sessions.at.pids)?;
        self.witness.begin(phase);
        let mut recorder = Recorder::until_the_end();
        let connections = Opening {
            session_timeout: Duration::from_millis(self.sessions.session_timeout_ms),
            at_once: self.sessions.at_once as usize,
            time_max: HANDSHAKE_TIME_MAX,
            operation,
            recorder: &mut recorder,
            violations: &mut self.violations,
        }
        .run(wanted)?;
        recorder.close(Nanos::now());
        self.witness.begin(Phase::Between);
        self.report.add_operations(&recorder);
        if let Some(server) = cpu.stop()?.server {
            let name = if operation == Operation::Connect {
                "connect_server_cpu_s"
            } else {
                "reconnect_server_cpu_s"
            };
            self.report.figure(name, server.as_secs_f64());
        }
        Ok(connections)
    }

    fn check_ids(&mut self, fleet: &Fleet) {
        let mut ids = HashSet::new();
        for connection in fleet.connections() {
            if !ids.insert(connection.session.id) {
                self.violations.add(connection.index, Violation::SessionTwice);
            }
        }
    }

    fn reconnect(&mut self, mut fleet: Fleet, root: &str) -> Result<Fleet, BenchError> {
        test_tree::round_trip(&mut fleet, root)?;
        let servers = &self.sessions.at.servers;
        let wanted: Vec<_> = fleet
            .connections()
            .iter()
            .map(|connection| {
                let server = (connection.server + 1) % servers.len();
                Wanted::again(server, servers[server], connection)
            })
            .collect();
        self.violations.append(fleet.abandon());
        let connections = self.open(&wanted, Operation::Reconnect, Phase::Reconnect)?;
        Fleet::adopt(connections)
    }

    /// All clients are heard a last time, and vanish.
    fn expire(&mut self, mut fleet: Fleet, root: &str) -> Result<(), BenchError> {
        test_tree::round_trip(&mut fleet, root)?;
        let ends: Vec<Nanos> = fleet.connections().iter().map(Connection::valid_until).collect();
        self.violations.append(fleet.abandon());
        let (first, last) = (ends.iter().min(), ends.iter().max().copied().unwrap_or_default());
        let _progress = Progress::timed("expiry", last.since(Nanos::now()));
        let mut recorder = Recorder::until_the_end();
        // Before, there is nothing that others could feel.
        std::thread::sleep(first.map_or(Duration::ZERO, |first| first.since(Nanos::now())));
        let cpu = CpuMeter::start(&self.sessions.at.pids)?;
        self.witness.begin(Phase::Expire);
        let deadline = last + Duration::from_secs_f64(self.sessions.expiry_seconds_max);
        let gone = self.witness.wait_until_gone(ends.len(), deadline);
        recorder.close(Nanos::now());
        std::thread::sleep(EXPIRY_AFTERMATH);
        self.witness.begin(Phase::Between);
        if let Some(server) = cpu.stop()?.server {
            self.report.figure("expiry_server_cpu_s", server.as_secs_f64());
        }
        let mut lives: HashSet<u32> = (0..self.sessions.sessions).collect();
        for (key, received) in gone {
            let end = ends[key as usize];
            recorder.record(Operation::Expiry, end, received, false);
            lives.remove(&key);
            if received < end {
                let early_ms = end.since(received).as_millis() as u64;
                self.violations.add(key as usize, Violation::ExpiredEarly { key, early_ms });
            }
        }
        for key in lives {
            self.violations.add(key as usize, Violation::NotExpired { key });
        }
        self.report.add_operations(&recorder);
        Ok(())
    }
}

/// Sessions beside the measured ones, as many as may come at once, which have been heard.
fn open_first(sessions: &Sessions, root: &str) -> Result<Fleet, BenchError> {
    let mut fleet = Fleet::connect(&sessions.at.servers, sessions.at_once as usize)?;
    test_tree::round_trip(&mut fleet, root)?;
    Ok(fleet)
}

fn rested_bytes(pids: &[u32]) -> Result<u64, BenchError> {
    std::thread::sleep(REST);
    resident_bytes(pids)
}

/// Each session gets a node that ends with it.
fn create_ephemerals(fleet: &mut Fleet, root: &str) -> Result<(), BenchError> {
    let create = |_: u32, connection: &mut Connection, note: Note| {
        let path = witness::ephemeral_path(root, connection.index);
        let body = requests::create(path, &[], CreateFlags::Ephemeral);
        connection.send(OpCode::Create, &body, note);
    };
    test_tree::on_each(fleet, fleet.len(), 1, 1, create)
}
