//! SIGKILL in a loop under load: nothing acknowledged is lost, nothing else is kept by half.
//!
//! A few [`worker`]s pipeline creates, writes, deletes, multis, sequential and ephemeral creates
//! and closed sessions. At a random moment the server is killed and started again, sometimes
//! killed in its start too; then the whole tree is read, and each worker's [`history`] says whether
//! it can be. Zxids may not go back, a sequence number once acknowledged is never handed out again,
//! sessions are resumed with their ephemerals. Snapshots and log segments are kept small, so that
//! kills hit their changes too.
//!
//! SIGKILL leaves the page cache alive: that a sync reaches the disk is not shown here.

pub mod history;
pub mod worker;

use crate::ServerConfig;
use crate::differential::control::{Control, join, text};
use crate::differential::script::Field;
use crate::random::Random;
use crate::server::Menagerie;
use history::{Found, FoundNode, Place, Violation, writer_of};
use menagerie_wire::data::Stat;
use menagerie_wire::jute::Decode as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use worker::{SEQUENCE_DIR, Seen, Worker};

/// A server is killed at most so long after the load began.
const LOAD_TIME_MAX: Duration = Duration::from_millis(600);

/// A server that is killed in its start is killed at most so long after it began.
const START_TIME_MAX: Duration = Duration::from_millis(60);

/// How long to go on: until the time is over or the kills are done.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub time: Duration,
    pub kills_max: u64,
    pub seed: u64,
    pub workers: usize,
    /// Writes that each worker keeps on their way.
    pub depth: usize,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub kills: u64,
    pub acknowledged: u64,
    /// Writes without an acknowledgement, found after a restart or not.
    pub kept: u64,
    pub lost: u64,
    pub sessions_resumed: u64,
    /// Ephemerals that were found after a restart, summed over all restarts.
    pub ephemerals_found: u64,
    pub sequence_names: usize,
    pub violations: Vec<Violation>,
}

/// Kills and checks until the budget is spent or a promise is broken.
///
/// # Errors
/// When a started server cannot be read.
pub fn run(budget: Budget) -> io::Result<Report> {
    let config = ServerConfig::new()
        .key("tickTime", 10_000)
        .key("maxClientCnxns", 0)
        .key("snapCount", 700)
        .key("preAllocSize", 256);
    let mut server = Menagerie::start(&config);
    let mut workers: Vec<_> =
        (0..budget.workers).map(|number| Worker::new(number, budget.seed, budget.depth)).collect();
    prepare(&server, budget.workers)?;
    let mut random = Random::new(budget.seed);
    let mut report = Report::default();
    let mut names = BTreeSet::new();
    let deadline = Instant::now() + budget.time;
    while report.kills < budget.kills_max && Instant::now() < deadline {
        let pause = random.below(LOAD_TIME_MAX.as_micros() as usize) as u64;
        load_and_kill(&mut server, &mut workers, Duration::from_micros(pause), |outcome| {
            report.count(outcome, &mut names);
        });
        report.kills += 1;
        while random.chance(30) {
            let start = random.below(START_TIME_MAX.as_micros() as usize) as u64;
            server.restart_and_kill(Duration::from_micros(start));
            report.kills += 1;
        }
        server.restart();
        if let Err(violation) = check(&server, &mut workers, &mut report, &mut names)? {
            report.violations.push(violation);
        }
        if !report.violations.is_empty() {
            break;
        }
    }
    report.sequence_names = names.len();
    Ok(report)
}

fn prepare(server: &Menagerie, workers: usize) -> io::Result<()> {
    let mut control = Control::connect(server.address())?;
    control.create("/kill")?;
    control.create(SEQUENCE_DIR)?;
    for worker in 0..workers {
        control.create(&Worker::directory(worker))?;
    }
    Ok(())
}

/// Lets the workers write for the time of `pause`, and kills the server under them.
fn load_and_kill(
    server: &mut Menagerie,
    workers: &mut [Worker],
    pause: Duration,
    mut take: impl FnMut(Result<Seen, Violation>),
) {
    let address = server.address();
    std::thread::scope(|scope| {
        let running: Vec<_> =
            workers.iter_mut().map(|worker| scope.spawn(|| worker.load(address))).collect();
        // The moment of the kill is the input of this test: it follows no event.
        std::thread::sleep(pause);
        server.kill();
        for worker in running {
            take(worker.join().expect("a worker does not panic"));
        }
    });
}

/// Reads what the restarted server has and holds it against every worker's history.
fn check(
    server: &Menagerie,
    workers: &mut [Worker],
    report: &mut Report,
    names: &mut BTreeSet<String>,
) -> io::Result<Result<(), Violation>> {
    let seen = workers.iter().map(|worker| worker.history.last_zxid()).max().unwrap_or(0);
    let Ok(mut control) = Control::connect_having_seen(server.address(), seen) else {
        let text = format!("a client that has seen zxid {seen:#x} is not served");
        return Ok(Err(Violation(text)));
    };
    let zxid_max = control.call(11, Vec::new())?.header.zxid;
    let mut sequence = sequence_nodes(&mut control)?;
    for worker in workers {
        let mut found = own_nodes(&mut control, worker.history.worker)?;
        found.nodes.extend(sequence.remove(&worker.history.worker).unwrap_or_default());
        let pending = worker.history.pending_count();
        for (place, node) in &found.nodes {
            let unknown = worker.history.sequence_name(*place).is_none();
            if matches!(place, Place::Sequence(_)) && unknown && !names.insert(node.name.clone()) {
                return Ok(Err(handed_out_twice(&node.name)));
            }
        }
        let kept = match worker.history.recover(&found, zxid_max) {
            Ok(kept) => kept,
            Err(violation) => return Ok(Err(violation)),
        };
        report.kept += kept as u64;
        report.lost += (pending - kept) as u64;
        report.ephemerals_found += worker.history.ephemeral_count() as u64;
    }
    let left = sequence.into_values().flatten().next();
    Ok(left.map_or(Ok(()), |(place, node)| {
        Err(Violation(format!("{place:?} {} is of nobody", node.name)))
    }))
}

/// The nodes in the shared directory, by the worker whose data they hold.
fn sequence_nodes(
    control: &mut Control,
) -> io::Result<BTreeMap<usize, BTreeMap<Place, FoundNode>>> {
    let mut found: BTreeMap<usize, BTreeMap<_, _>> = BTreeMap::new();
    for name in control.children(SEQUENCE_DIR)? {
        let node = read(control, SEQUENCE_DIR, name)?;
        let (worker, number) = writer_of(&node.data).unwrap_or((usize::MAX, 0));
        found.entry(worker).or_default().insert(Place::Sequence(number), node);
    }
    Ok(found)
}

fn own_nodes(control: &mut Control, worker: usize) -> io::Result<Found> {
    let directory = Worker::directory(worker);
    let mut nodes = BTreeMap::new();
    for name in control.children(&directory)? {
        let number = name.parse().map_err(io::Error::other)?;
        nodes.insert(Place::Own(number), read(control, &directory, name)?);
    }
    let exists = control.call(3, vec![text(&directory), Field::Byte(0)])?;
    let stat = Stat::decode(&mut exists.body()).map_err(io::Error::other)?;
    Ok(Found { nodes, cversion: stat.cversion })
}

fn read(control: &mut Control, parent: &str, name: String) -> io::Result<FoundNode> {
    let reply = control.call(4, vec![text(&join(parent, &name)), Field::Byte(0)])?;
    let mut body = reply.body();
    let data = body.buffer().map_err(io::Error::other)?.unwrap_or_default().to_vec();
    let stat = Stat::decode(&mut body).map_err(io::Error::other)?;
    Ok(FoundNode {
        name,
        data,
        version: stat.version,
        czxid: stat.czxid.0,
        mzxid: stat.mzxid.0,
        owner: stat.ephemeral_owner.0,
    })
}

fn handed_out_twice(name: &str) -> Violation {
    Violation(format!("the sequence name {name} was handed out twice"))
}

impl Report {
    /// Counts what one worker saw. A name that was acknowledged or found before is a violation.
    fn count(&mut self, outcome: Result<Seen, Violation>, names: &mut BTreeSet<String>) {
        match outcome {
            Err(violation) => self.violations.push(violation),
            Ok(seen) => {
                self.acknowledged += seen.acknowledged;
                self.sessions_resumed += seen.sessions_resumed;
                for name in seen.names {
                    if !names.insert(name.clone()) {
                        self.violations.push(handed_out_twice(&name));
                    }
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        write!(
            f,
            "kill loop: {} kills, {} acknowledged writes, {} others kept and {} not, {} sessions \
             resumed, {} ephemerals found, {} sequence names, {} violations",
            self.kills,
            self.acknowledged,
            self.kept,
            self.lost,
            self.sessions_resumed,
            self.ephemerals_found,
            self.sequence_names,
            self.violations.len()
        )
    }
}
