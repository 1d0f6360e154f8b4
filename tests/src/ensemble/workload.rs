//! Clients at work while the ensemble suffers: each thread is one client with one trade.
//!
//! All of them share a small tree, so that they meet often. Every value that is written is written
//! once, by which a reader's reply tells whose write it saw. A client that loses its connection
//! goes on with its session at another server; what it asked remains open. Nothing is judged here.

use super::client::{Answer, Client, Servers};
use super::journal::Journal;
use super::trades::{Trade, Worker};
use menagerie_simulation::history::{CreateMode, Reply, Request, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is shared lies under it.
pub const ROOT: &str = "/trades";
/// With children that clients make and remove.
pub const DIRECTORIES: [&str; 3] = ["/trades/queue", "/trades/owned", "/trades/lock"];
/// What is only written by the holder of the lock.
pub const GUARDED: &str = "/trades/guarded";
/// Written together, by multis.
pub const PAIR: [&str; 2] = ["/trades/left", "/trades/right"];
pub const KEYS: usize = 5;
/// The shared nodes are made by whoever connects within so many attempts.
const CONNECT_ATTEMPTS: usize = 400;
/// A read of the whole tree must end within this time, the connecting included, from one server.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

/// A node that is always there.
#[must_use]
pub fn key(number: usize) -> String {
    format!("{ROOT}/key{number}")
}

/// How hard the clients work.
#[derive(Clone, Debug)]
pub struct Load {
    pub trades: Vec<Trade>,
    /// Between two operations of a client there is any time up to this.
    pub pause_max: Duration,
    pub session_timeout_ms: i32,
    pub seed: u64,
}

impl Load {
    /// Each trade once, and two more writers and readers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut trades = Trade::ALL.to_vec();
        trades.extend([Trade::Write, Trade::Read]);
        Self { trades, pause_max: Duration::from_millis(20), session_timeout_ms: 4_000, seed }
    }
}

/// Threads at work. They end when it is dropped.
#[derive(Debug)]
pub struct Workload {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Creates the shared nodes and sets everyone to work.
    ///
    /// # Panics
    /// When the ensemble does not take the shared nodes.
    #[must_use]
    pub fn start(servers: &Servers, journal: &Arc<Journal>, load: &Load) -> Self {
        let client = |seed| {
            Client::new(Arc::clone(servers), journal, load.session_timeout_ms, load.seed ^ seed)
        };
        prepare(&mut client(0));
        let stop = Arc::new(AtomicBool::new(false));
        let work = |(seed, trade): (u64, &Trade)| {
            let mut worker = Worker::new(client(seed), load.seed ^ seed, Arc::clone(&stop));
            let (trade, pause_max) = (*trade, load.pause_max);
            std::thread::spawn(move || worker.work(trade, pause_max))
        };
        let workers = (1..).zip(&load.trades).map(work).collect();
        Self { stop, workers }
    }

    /// Lets everyone finish the operation under way.
    ///
    /// # Panics
    /// When a client was answered with what is no answer.
    pub fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker.join().expect("a client understands what it is told");
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // A panic has been printed, and another one is under way.
            let _ = worker.join();
        }
    }
}

fn prepare(client: &mut Client) {
    assert!(client.connect(CONNECT_ATTEMPTS), "no server gives a session");
    let keys = (0..KEYS).map(key);
    let fixed = [ROOT, GUARDED].into_iter().chain(DIRECTORIES).chain(PAIR).map(str::to_owned);
    for path in fixed.chain(keys) {
        let data = Some(format!("first of {path}"));
        let create = Write::Create { path, data, mode: CreateMode::Persistent, sequential: false };
        let answer = client.call(Request::Write(create));
        assert!(matches!(answer, Some(Ok(_))), "a sound ensemble takes a node: {answer:?}");
    }
    client.call(Request::CloseSession);
}

/// Reads the whole tree from each server, after a sync.
///
/// # Errors
/// Names the server that does not answer.
pub fn read_everything(servers: &Servers, journal: &Arc<Journal>) -> Result<(), String> {
    for &(id, address) in servers.iter() {
        let silent = || format!("server {id} does not answer although no fault is left");
        let mut client = Client::new(Arc::new(vec![(id, address)]), journal, 10_000, 0);
        let mut paths = vec![ROOT.to_owned()];
        let mut synced = false;
        let deadline = Instant::now() + READ_TIME_MAX;
        while let Some(path) = paths.last().cloned() {
            if Instant::now() > deadline {
                return Err(silent());
            }
            if !client.is_connected() {
                synced = false;
                if !client.connect(1) {
                    continue;
                }
            }
            if !synced {
                synced = client.call(Request::Sync { path: ROOT.to_owned() }).is_some();
                continue;
            }
            let read = read_node(&mut client, &path);
            let Some(names) = read else { continue };
            paths.pop();
            paths.extend(names.into_iter().map(|name| format!("{path}/{name}")));
        }
        client.call(Request::CloseSession);
    }
    Ok(())
}

/// Reads one node; its children's names, or `None` when there was no answer.
fn read_node(client: &mut Client, path: &str) -> Option<Vec<String>> {
    let (path, watch) = (path.to_owned(), false);
    let data: Answer = client.call(Request::GetData { path: path.clone(), watch });
    data?.ok();
    match client.call(Request::GetChildren { path, watch })? {
        Ok(Reply::Children { names, .. }) => Some(names),
        // An ephemeral of a session that expires about now.
        _ => Some(Vec::new()),
    }
}
