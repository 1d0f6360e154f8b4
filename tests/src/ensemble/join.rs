//! How long an empty follower needs to join a big tree, and what other clients feel of it.
//!
//! The tree is made through clients. Then one follower is killed and its data removed; from its
//! start to the moment it says to follow, a reader and a writer at the other servers take the time
//! of every request, and compare it with what they saw before.

use super::Ensemble;
use super::timing::Times;
use crate::raw_client::RawClient;
use menagerie_wire::data::Acl;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::{Create, MultiRequest, WriteOp};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Nodes that one multi creates.
const BATCH: usize = 500;
/// Multis on their way.
const DEPTH: usize = 4;
/// Children of one directory.
const DIRECTORY: usize = 10_000;
const SESSION_TIMEOUT_MS: i32 = 40_000;
/// How long times are taken before the follower starts.
const BASELINE: Duration = Duration::from_secs(5);
const REQUEST_INTERVAL: Duration = Duration::from_millis(1);
const WRITTEN: &str = "/written";

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    pub loading: Duration,
    /// From the start of the empty server to its first answer as a follower.
    pub joining: Duration,
    pub reads_before: Times,
    pub reads_meanwhile: Times,
    pub writes_before: Times,
    pub writes_meanwhile: Times,
}

/// Fills the tree with `znodes` nodes of `data_bytes` each and lets an empty follower join.
///
/// # Errors
/// When a client is not served.
///
/// # Panics
/// When the follower does not join.
pub fn join(ensemble: &mut Ensemble, znodes: usize, data_bytes: usize) -> io::Result<Joined> {
    let leader = ensemble.wait_for_leader();
    let followers: Vec<_> = ensemble.voters().into_iter().filter(|id| *id != leader).collect();
    let [joining, other, ..] = followers[..] else { panic!("two followers are needed") };
    let mut joined = Joined::default();
    let began = Instant::now();
    fill(ensemble.node(leader).client(), znodes, data_bytes)?;
    joined.loading = began.elapsed();
    ensemble.wait_until_in_sync();
    ensemble.node(joining).kill();
    ensemble.node(joining).remove_data();
    let [reader, writer] = [other, leader].map(|id| ensemble.node(id).client());
    let probes = [Probe::new(reader, false), Probe::new(writer, true)];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| -> io::Result<()> {
        let running = probes.each_ref().map(|probe| scope.spawn(|| probe.run(&over)));
        std::thread::sleep(BASELINE);
        [joined.reads_before, joined.writes_before] = probes.each_ref().map(Probe::take);
        let began = Instant::now();
        ensemble.node(joining).start();
        ensemble.wait_until_serving(joining);
        joined.joining = began.elapsed();
        [joined.reads_meanwhile, joined.writes_meanwhile] = probes.each_ref().map(Probe::take);
        over.store(true, Ordering::Relaxed);
        running.into_iter().try_for_each(|probe| probe.join().expect("a probe does not panic"))
    })?;
    Ok(joined)
}

fn fill(address: SocketAddr, znodes: usize, data_bytes: usize) -> io::Result<()> {
    let mut client = RawClient::connect(address, SESSION_TIMEOUT_MS)?;
    client.create(WRITTEN, b"", 0)?;
    let data = vec![b'd'; data_bytes];
    let mut under_way = 0;
    for first in (0..znodes).step_by(BATCH) {
        let directory = format!("/tree{}", first / DIRECTORY);
        if first % DIRECTORY == 0 {
            drain(&mut client, &mut under_way, 0)?;
            client.create(&directory, b"", 0)?;
        }
        let names = first..znodes.min(first + BATCH);
        let paths: Vec<_> = names.map(|name| format!("{directory}/node{name}")).collect();
        client.send(OpCode::Multi, &creates(&paths, &data))?;
        under_way += 1;
        drain(&mut client, &mut under_way, DEPTH)?;
    }
    drain(&mut client, &mut under_way, 0)?;
    client.close()
}

fn creates<'a>(paths: &'a [String], data: &'a [u8]) -> MultiRequest<'a> {
    let create = |path: &'a String| Create {
        path: path.into(),
        data: Some(data),
        acl: Some(vec![Acl::world(31)]),
        flags: 0,
        ttl_ms: None,
    };
    let ops = paths.iter().map(|path| WriteOp::Create(OpCode::Create, create(path))).collect();
    MultiRequest { ops }
}

fn drain(client: &mut RawClient, under_way: &mut usize, left: usize) -> io::Result<()> {
    while *under_way > left {
        let reply = client.receive()?;
        assert_eq!(reply.header.err, 0, "a multi of creates below a new directory succeeds");
        *under_way -= 1;
    }
    Ok(())
}

/// A client that takes the time of its requests.
struct Probe {
    address: SocketAddr,
    writes: bool,
    times: Mutex<Vec<Duration>>,
}

impl Probe {
    const fn new(address: SocketAddr, writes: bool) -> Self {
        Self { address, writes, times: Mutex::new(Vec::new()) }
    }

    fn run(&self, over: &AtomicBool) -> io::Result<()> {
        let mut client = RawClient::connect(self.address, SESSION_TIMEOUT_MS)?;
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            if self.writes {
                client.set_data(WRITTEN, b"value")?;
            } else {
                client.get_data(WRITTEN)?.map_err(|code| io::Error::other(code.to_string()))?;
            }
            let elapsed = began.elapsed();
            self.times.lock().expect("nobody panics with the times").push(elapsed);
            // The pace of the probe.
            std::thread::sleep(REQUEST_INTERVAL);
        }
        client.close()
    }

    /// The times since the last call.
    fn take(&self) -> Times {
        Times::new(std::mem::take(&mut self.times.lock().expect("nobody panics with the times")))
    }
}

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "filling the tree: {:.1} s", self.loading.as_secs_f64())?;
        writeln!(f, "joining: {:.2} s", self.joining.as_secs_f64())?;
        writeln!(f, "reads before: {}", self.reads_before)?;
        writeln!(f, "reads meanwhile: {}", self.reads_meanwhile)?;
        writeln!(f, "writes before: {}", self.writes_before)?;
        write!(f, "writes meanwhile: {}", self.writes_meanwhile)
    }
}
