//! `failover`: how long writes stop when the leader is killed, and whether any are lost.
//!
//! A few clients create nodes, one after the other, and go to the next server when theirs goes
//! away, with their session. Again and again the leader is killed as by a power failure, and comes
//! back when writes have gone on. Two times are taken of each kill: until the first write that
//! began afterwards was acknowledged to anybody, and the longest time that each client had no
//! acknowledgement. At the end every acknowledged write must be found on every server.
//!
//! Servers are given with the command that starts them, or with the process that they are; a
//! process that was not started here stays dead, so then only a minority can be killed.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use menagerie_wire::OpCode;
use menagerie_wire::proto::PathWatch;
use rustix::process::{Pid, Signal, kill_process};

use self::clients::{Clients, Written};
use crate::Scenario;
use crate::blocking::four_letter_word;
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::CpuMeter;
use crate::error::BenchError;
use crate::flags::seconds;
use crate::fleet::Fleet;
use crate::latency::{Operation, Recorder};
use crate::process::Server;
use crate::progress::Progress;
use crate::report::Report;
use crate::sequence::Sequence;
use crate::test_tree;
use crate::violations::{Violation, Violations};

mod clients;

#[derive(Args, Clone, Debug)]
pub struct Failover {
    /// A member: where it serves, and the shell command that becomes it or its process (repeated)
    #[arg(long = "server", required = true, value_name = "ADDRESS:PORT=COMMAND|ADDRESS:PORT@PID")]
    servers: Vec<Member>,
    /// Kills, one after another
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Clients that write all the time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// How long all servers serve before each kill
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pause: f64,
    /// Writes that stop, or servers that do not come together, for longer fail the run
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    seconds_max: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    address: SocketAddr,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Command(String),
    Process(Pid),
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let member = || {
            // A command may hold any character, an address neither of these two.
            let (address, rest) = text.split_at(text.find(['=', '@'])?);
            let origin = match rest.split_at(1) {
                ("@", pid) => {
                    let pid = pid.parse().ok().filter(|pid| *pid > 0);
                    Origin::Process(pid.and_then(Pid::from_raw)?)
                }
                (_, command) => Origin::Command(command.to_owned()),
            };
            Some(Self { address: address.parse().ok()?, origin })
        };
        member().ok_or_else(|| format!("`{text}` is not ADDRESS:PORT=COMMAND or ADDRESS:PORT@PID"))
    }
}

/// How long a server may take to say what it is.
const WORD_TIME_MAX: Duration = Duration::from_secs(1);
/// Between two looks at servers and clients.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

impl Scenario for Failover {
    fn run(&self) -> Result<Report, BenchError> {
        self.validate()?;
        let cpu = CpuMeter::start(&[])?;
        let mut ensemble = Ensemble::start(self)?;
        ensemble.wait_for_leader()?;
        let root = test_tree::unique_root();
        let servers: Vec<_> = self.servers.iter().map(|member| member.address).collect();
        let mut fleet = Fleet::connect(&servers, servers.len())?;
        test_tree::create_root(&mut fleet, &root)?;
        test_tree::sync(&mut fleet, &root)?;
        fleet.close();

        let mut recorder = Recorder::until_the_end();
        let clients = Clients::start(&servers, &root, self.clients);
        let measured = (|| {
            let mut kills = Progress::of_few("kills", u64::from(self.runs));
            for _ in 0..self.runs {
                self.fail_over(&mut ensemble, &clients, &mut recorder)?;
                kills.add();
            }
            ensemble.wait_for_leader()
        })();
        let written = clients.stop();
        measured?;
        recorder.close(Nanos::now());
        let mut violations = Violations::default();
        let lost = find_lost(&ensemble.living(), &root, &written, &mut violations)?;

        let mut report = Report::new("failover");
        self.describe(&mut report);
        report.measured(&recorder, &cpu.stop()?, &violations);
        report.figure("writes_acknowledged", written.acknowledged.len() as f64);
        report.figure("writes_in_doubt", written.in_doubt.len() as f64);
        report.figure("writes_lost", lost as f64);
        remove(&ensemble.living()[..1], &root, &written)?;
        ensemble.stop()?;
        Ok(report)
    }
}

impl Failover {
    fn validate(&self) -> Result<(), BenchError> {
        let own = self.servers.iter().filter(|m| matches!(m.origin, Origin::Command(_))).count();
        let minority = (self.servers.len().max(1) - 1) / 2;
        if own < self.servers.len() && self.runs as usize > minority {
            let why = "servers that are not started here stay dead, so --runs is at most";
            return Err(BenchError::Usage(format!("{why} {minority}")));
        }
        Ok(())
    }

    fn describe(&self, report: &mut Report) {
        let servers: Vec<_> = self.servers.iter().map(|m| m.address.to_string()).collect();
        report.condition("servers", servers);
        report.condition("runs", self.runs);
        report.condition("clients", self.clients);
        report.condition("pause_seconds", self.pause);
    }

    fn fail_over(
        &self,
        ensemble: &mut Ensemble<'_>,
        clients: &Clients,
        recorder: &mut Recorder,
    ) -> Result<(), BenchError> {
        ensemble.wait_for_leader()?;
        std::thread::sleep(Duration::from_secs_f64(self.pause));
        let leader = ensemble.wait_for_leader()?;
        let killed = clients.begin_gap();
        ensemble.kill(leader)?;
        let deadline = killed + Duration::from_secs_f64(self.seconds_max);
        while !clients.all_went_on() {
            ensemble.check()?;
            if Nanos::now() >= deadline {
                let why = format!("no write in {} s after the leader was killed", self.seconds_max);
                return Err(BenchError::Ensemble(why));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        let (first, gaps) = clients.end_gap();
        recorder.record(Operation::Failover, killed, first, false);
        for (begin, end) in gaps {
            recorder.record(Operation::ClientGap, begin, end, false);
        }
        ensemble.restart(leader)
    }
}

/// The servers, as far as they live.
struct Ensemble<'a> {
    failover: &'a Failover,
    /// By member: its process, if it was started here and lives.
    processes: Vec<Option<Server>>,
    /// Members that were killed and do not come back.
    dead: Vec<usize>,
}

impl<'a> Ensemble<'a> {
    fn start(failover: &'a Failover) -> Result<Self, BenchError> {
        let processes = failover.servers.iter().map(|member| match &member.origin {
            Origin::Command(command) => Server::start(command).map(Some),
            Origin::Process(_) => Ok(None),
        });
        Ok(Self { failover, processes: processes.collect::<Result<_, _>>()?, dead: Vec::new() })
    }

    fn living(&self) -> Vec<SocketAddr> {
        let members = self.failover.servers.iter().enumerate();
        let living = members.filter(|(index, _)| !self.dead.contains(index));
        living.map(|(_, member)| member.address).collect()
    }

    /// Waits until one server leads and all others that live follow.
    fn wait_for_leader(&mut self) -> Result<usize, BenchError> {
        let deadline = Nanos::now() + Duration::from_secs_f64(self.failover.seconds_max);
        loop {
            self.check()?;
            let mut leaders = Vec::new();
            let mut others = 0;
            for (index, member) in self.failover.servers.iter().enumerate() {
                match mode(member.address).as_deref() {
                    Some("leader") => leaders.push(index),
                    Some("follower" | "observer") => others += 1,
                    _ => {}
                }
            }
            if let [leader] = leaders[..]
                && others + 1 == self.failover.servers.len() - self.dead.len()
            {
                return Ok(leader);
            }
            if Nanos::now() >= deadline {
                let why = format!("{} lead and {others} follow them", leaders.len());
                return Err(BenchError::Ensemble(format!("no ensemble: {why}")));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn kill(&mut self, member: usize) -> Result<(), BenchError> {
        if let Some(server) = self.processes[member].take() {
            return server.kill();
        }
        if let Origin::Process(pid) = self.failover.servers[member].origin {
            kill_process(pid, Signal::KILL).map_err(|error| {
                BenchError::Ensemble(format!("process {pid} cannot be killed: {error}"))
            })?;
            self.dead.push(member);
        }
        Ok(())
    }

    fn restart(&mut self, member: usize) -> Result<(), BenchError> {
        if let Origin::Command(command) = &self.failover.servers[member].origin {
            self.processes[member] = Some(Server::start(command)?);
        }
        Ok(())
    }

    /// Fails when a server ended that was not killed.
    fn check(&mut self) -> Result<(), BenchError> {
        self.processes.iter_mut().flatten().try_for_each(Server::check)
    }

    fn stop(self) -> Result<(), BenchError> {
        self.processes.into_iter().flatten().try_for_each(Server::terminate)
    }
}

/// What a server says that it is.
fn mode(server: SocketAddr) -> Option<String> {
    let answer = four_letter_word(server, "srvr", WORD_TIME_MAX).ok()?;
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
    Some(mode.trim().to_owned())
}

/// Looks for every acknowledged write on every server.
fn find_lost(
    servers: &[SocketAddr],
    root: &str,
    written: &Written,
    violations: &mut Violations,
) -> Result<u64, BenchError> {
    let count = u32::try_from(written.acknowledged.len()).unwrap_or(u32::MAX);
    let mut lost_in_all = 0;
    for (index, server) in servers.iter().enumerate() {
        let mut fleet = Fleet::connect(&[*server], 1)?;
        test_tree::sync(&mut fleet, root)?;
        let exists = |number: u32, connection: &mut Connection, note: Note| {
            let path = written.acknowledged[number as usize].as_str();
            let body = PathWatch { path: path.into(), watch: false };
            connection.send(OpCode::Exists, &body, note);
        };
        let mut reads = Sequence::new(count, 64, exists, Recorder::default());
        fleet.run(&mut reads, None)?;
        if reads.failed > 0 {
            violations.add(index, Violation::LostWrites { count: reads.failed });
        }
        lost_in_all += reads.failed;
        violations.append(fleet.close());
    }
    Ok(lost_in_all)
}

/// Removes all that the clients wrote; what is in doubt, or lost, may not be there.
fn remove(server: &[SocketAddr], root: &str, written: &Written) -> Result<(), BenchError> {
    let mut fleet = Fleet::connect(server, 1)?;
    for paths in [&written.acknowledged, &written.in_doubt] {
        let count = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        let _ = test_tree::delete(&mut fleet, count, 64, |number| paths[number as usize].as_str());
    }
    test_tree::delete_root(&mut fleet, root)?;
    fleet.close();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_an_address_and_a_command_or_a_process() {
        let address = "127.0.0.1:2181".parse().unwrap();
        let check = |text: &str, origin: Option<Origin>| {
            let expect = origin.map(|origin| Member { address, origin });
            assert_eq!(text.parse().ok(), expect, "{text}");
        };
        let command = "server --set a=b x@y".to_owned();
        check("127.0.0.1:2181=server --set a=b x@y", Some(Origin::Command(command)));
        check("127.0.0.1:2181@42", Pid::from_raw(42).map(Origin::Process));
        check("127.0.0.1:2181@0", None);
        check("127.0.0.1:2181@-1", None);
        check("127.0.0.1:2181@x", None);
        check("127.0.0.1:2181", None);
        check("localhost=x", None);
    }
}
