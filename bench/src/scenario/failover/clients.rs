//! The clients of `failover`: each writes, waits, writes; and comes back when its server goes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use menagerie_wire::proto::CreateFlags;
use menagerie_wire::{OpCode, Zxid};

use crate::blocking::BlockingClient;
use crate::clock::Nanos;
use crate::connection::Session;
use crate::requests;

/// Between two attempts to connect.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(2);
/// A server that does not answer in this time is left for the next one.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// What became of the writes, by path.
#[derive(Default)]
pub(super) struct Written {
    pub(super) acknowledged: Vec<String>,
    /// Sent, and neither acknowledged nor refused.
    pub(super) in_doubt: Vec<String>,
}

pub(super) struct Clients {
    threads: Vec<JoinHandle<Written>>,
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    gaps: Mutex<Gaps>,
}

/// The gap that is being measured.
#[derive(Default)]
struct Gaps {
    /// When the leader was killed.
    killed: Nanos,
    /// By client: its last acknowledgement.
    last: Vec<Nanos>,
    /// By client: the longest time without one since the kill.
    longest: Vec<(Nanos, Nanos)>,
    /// By client: the first acknowledgement of a write that began after the kill.
    went_on: Vec<Option<Nanos>>,
}

impl Clients {
    pub(super) fn start(servers: &[SocketAddr], root: &str, count: u32) -> Self {
        let clients = count as usize;
        let gaps = Gaps {
            killed: Nanos::now(),
            last: vec![Nanos::now(); clients],
            longest: vec![(Nanos::default(), Nanos::default()); clients],
            went_on: vec![None; clients],
        };
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), gaps: Mutex::new(gaps) });
        let start = |index: usize| {
            let client = Client {
                index,
                servers: servers.to_vec(),
                next_server: index,
                prefix: format!("{root}/w{index}-"),
                session: None,
                last_zxid: Zxid::ZERO,
                shared: Arc::clone(&shared),
            };
            std::thread::spawn(move || client.run())
        };
        let threads = (0..clients).map(start).collect();
        Self { threads, shared }
    }

    /// To be called right before the kill; the answer is its time.
    pub(super) fn begin_gap(&self) -> Nanos {
        let mut gaps = self.shared.gaps();
        gaps.killed = Nanos::now();
        let lasts = gaps.last.clone();
        gaps.longest = lasts.iter().map(|last| (*last, *last)).collect();
        gaps.went_on.fill(None);
        gaps.killed
    }

    /// Whether every client had a write acknowledged that began after the kill.
    pub(super) fn all_went_on(&self) -> bool {
        self.shared.gaps().went_on.iter().all(Option::is_some)
    }

    /// The first acknowledgement of a write that began after the kill, and the longest gap of each
    /// client.
    pub(super) fn end_gap(&self) -> (Nanos, Vec<(Nanos, Nanos)>) {
        let gaps = self.shared.gaps();
        let first = gaps.went_on.iter().flatten().min().copied();
        (first.unwrap_or(gaps.killed), gaps.longest.clone())
    }

    pub(super) fn stop(self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for thread in self.threads {
            let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.acknowledged.extend(written.acknowledged);
            all.in_doubt.extend(written.in_doubt);
        }
        all
    }
}

impl Shared {
    fn gaps(&self) -> std::sync::MutexGuard<'_, Gaps> {
        // A client that panicked holds nothing half done.
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn acknowledged(&self, client: usize, begun: Nanos) {
        let (mut gaps, now) = (self.gaps(), Nanos::now());
        let (begin, end) = gaps.longest[client];
        let last = std::mem::replace(&mut gaps.last[client], now);
        if now.since(last) > end.since(begin) {
            gaps.longest[client] = (last, now);
        }
        if begun >= gaps.killed {
            gaps.went_on[client].get_or_insert(now);
        }
    }
}

struct Client {
    index: usize,
    servers: Vec<SocketAddr>,
    next_server: usize,
    prefix: String,
    session: Option<Session>,
    last_zxid: Zxid,
    shared: Arc<Shared>,
}

impl Client {
    fn run(mut self) -> Written {
        let mut written = Written::default();
        let mut number = 0;
        while !self.shared.stopped() {
            let Some(mut connection) = self.connect() else {
                std::thread::sleep(ATTEMPT_INTERVAL);
                continue;
            };
            while !self.shared.stopped() {
                number += 1;
                let path = format!("{}{number:08}", self.prefix);
                match self.write(&mut connection, &path) {
                    Some(true) => written.acknowledged.push(path),
                    Some(false) => {}
                    None => {
                        written.in_doubt.push(path);
                        break;
                    }
                }
            }
        }
        written
    }

    /// Connects to the next server.
    fn connect(&mut self) -> Option<BlockingClient> {
        let server = self.servers[self.next_server % self.servers.len()];
        self.next_server += 1;
        let session = self.session.as_ref();
        let connection =
            BlockingClient::connect(server, session, self.last_zxid, ANSWER_TIME_MAX).ok()?;
        self.session.clone_from(&connection.session);
        // A session that is over is left, and the next attempt asks for a new one.
        self.session.is_some().then_some(connection)
    }

    /// Whether a write was acknowledged or refused; `None` when that is not known.
    fn write(&mut self, connection: &mut BlockingClient, path: &str) -> Option<bool> {
        let body = requests::create(path, &[], CreateFlags::Persistent);
        let begun = Nanos::now();
        let header = connection.ask(OpCode::Create, &body).ok()?;
        self.last_zxid = self.last_zxid.max(header.zxid);
        if header.err == 0 {
            self.shared.acknowledged(self.index, begun);
        }
        Some(header.err == 0)
    }
}
