//! `restart`: how long a start command takes until the server answers its first read.
//!
//! The server is asked to end with SIGTERM after each start; the data it left is what the next
//! start loads.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use menagerie_wire::OpCode;
use menagerie_wire::proto::PathWatch;

use crate::Scenario;
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::cpu::{CpuMeter, CpuTime, resident_bytes};
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::latency::{Operation, Recorder};
use crate::process::Server;
use crate::progress::Progress;
use crate::report::Report;
use crate::sequence::Sequence;
use crate::violations::Violations;

#[derive(Args, Clone, Debug)]
pub struct Restart {
    /// Shell command that becomes the server, in the foreground
    #[arg(long, value_name = "COMMAND")]
    start: String,
    /// Where it will serve
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// Starts, one after another
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// A server that does not serve for so long has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    seconds_max: u64,
}

/// Between two attempts to open a session.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(2);
/// How long an attempt may take at first, and at last. Apache never answers a handshake that came
/// before it was ready, so a patient attempt would measure itself.
const ATTEMPT_TIME_MIN: Duration = Duration::from_millis(20);
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(1);
/// In between it may take this part of the time that has passed, which bounds the error.
const ATTEMPT_PART: u32 = 20;

impl Scenario for Restart {
    fn run(&self) -> Result<Report, BenchError> {
        let mut recorder = Recorder::until_the_end();
        let mut cpu = CpuTime::default();
        let mut resident_max = 0;
        let meter = CpuMeter::start(&[])?;
        let mut starts = Progress::of_few("starts", u64::from(self.runs));
        for _ in 0..self.runs {
            let begin = Nanos::now();
            let mut server = Server::start(&self.start)?;
            self.wait_until_serving(&mut server, begin)?;
            recorder.record(Operation::Read, begin, Nanos::now(), false);
            resident_max = resident_bytes(&[server.id()])?.max(resident_max);
            server.terminate()?;
            starts.add();
        }
        cpu.client = meter.stop()?.client;
        recorder.close(Nanos::now());

        let mut report = Report::new("restart");
        report.condition("start", self.start.as_str());
        report.condition("runs", self.runs);
        report.measured(&recorder, &cpu, &Violations::default());
        report.figure("rss_after_start_bytes", resident_max as f64);
        Ok(report)
    }
}

impl Restart {
    fn wait_until_serving(&self, server: &mut Server, begin: Nanos) -> Result<(), BenchError> {
        let attempt = || {
            let passed = Nanos::now().since(begin);
            let time_max = (passed / ATTEMPT_PART).clamp(ATTEMPT_TIME_MIN, ATTEMPT_TIME_MAX);
            read_root(self.server, time_max)
        };
        while attempt().is_err() {
            server.check()?;
            if Nanos::now().since(begin).as_secs() >= self.seconds_max {
                return Err(server.failed(format!("does not serve after {} s", self.seconds_max)));
            }
            std::thread::sleep(ATTEMPT_INTERVAL);
        }
        Ok(())
    }
}

/// Opens a session and reads the root node.
fn read_root(server: SocketAddr, handshake_time_max: Duration) -> Result<(), BenchError> {
    let mut fleet = Fleet::connect_within(&[server], 1, handshake_time_max)?;
    let read = |_: u32, connection: &mut Connection, note: Note| {
        connection.send(OpCode::GetData, &PathWatch { path: "/".into(), watch: false }, note);
    };
    fleet.run(&mut Sequence::new(1, 1, read, Recorder::default()), None)?;
    fleet.close();
    Ok(())
}
