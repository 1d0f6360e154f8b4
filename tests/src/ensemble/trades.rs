//! What each kind of client does, one operation or one short conversation at a time.

use super::client::{Answer, Client};
use super::workload::{DIRECTORIES, GUARDED, KEYS, PAIR, ROOT, key};
use crate::random::Random;
use menagerie_simulation::history::{CreateMode, Reply, Request, WatchedBy, Write};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CHURNED: usize = 4;
/// Nodes that a client leaves in the queue.
const QUEUED_MAX: usize = 15;
const PIPELINED_MAX: usize = 12;
const BULK_INTERVAL: Duration = Duration::from_millis(300);
const BULK_BYTES_MAX: usize = 200_000;
/// How often a waiting lock client looks for events and keeps its session.
const LOCK_INTERVAL: Duration = Duration::from_millis(40);
const LOCK_LOOKS_MAX: usize = 100;
const QUEUE: &str = DIRECTORIES[0];
const OWNED: &str = DIRECTORIES[1];
const LOCK: &str = DIRECTORIES[2];

/// One kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// Sets data with and without versions, creates and deletes.
    Write,
    /// Several nodes at once.
    Multi,
    /// Reads whatever the server at hand has.
    Read,
    /// Reads behind a sync.
    SyncRead,
    /// Owns ephemerals; closes its session or walks away from it.
    Own,
    /// The lock recipe with sequential ephemerals; writes one node while it holds the lock.
    Lock,
    /// Leaves watches of all kinds.
    Watch,
    /// Sends without waiting, reads between its writes.
    Pipeline,
    /// Writes much at once, seldom.
    Bulk,
}

impl Trade {
    pub const ALL: [Self; 9] = [
        Self::Write,
        Self::Multi,
        Self::Read,
        Self::SyncRead,
        Self::Own,
        Self::Lock,
        Self::Watch,
        Self::Pipeline,
        Self::Bulk,
    ];
}

/// A client with what its trade remembers.
#[derive(Debug)]
pub(super) struct Worker {
    client: Client,
    random: Random,
    stop: Arc<AtomicBool>,
    /// Values written so far.
    written: u64,
    /// The version of each key as last seen.
    versions: [i32; KEYS],
    queued: VecDeque<String>,
    pipelines_lost: u64,
}

impl Worker {
    pub(super) fn new(client: Client, seed: u64, stop: Arc<AtomicBool>) -> Self {
        let random = Random::new(seed.wrapping_mul(31));
        let queued = VecDeque::new();
        let (written, versions, pipelines_lost) = (0, [0; KEYS], 0);
        Self { client, random, stop, written, versions, queued, pipelines_lost }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn work(&mut self, trade: Trade, pause_max: Duration) {
        while !self.stopped() {
            if !self.client.connect(1) {
                continue;
            }
            match trade {
                Trade::Write => self.write(),
                Trade::Multi => self.multi(),
                Trade::Read => self.read(),
                Trade::SyncRead => self.sync_read(),
                Trade::Own => self.own(),
                Trade::Lock => self.lock(),
                Trade::Watch => self.watch(),
                Trade::Pipeline => self.pipeline(),
                Trade::Bulk => self.bulk(),
            }
            // The pace is an input of the run.
            let pause = self.random.below(pause_max.as_micros() as usize + 1) as u64;
            std::thread::sleep(Duration::from_micros(pause));
        }
        self.client.call(Request::CloseSession);
        self.client.disconnect();
    }

    fn value(&mut self) -> Option<String> {
        self.written += 1;
        Some(format!("{}.{}", self.client.number(), self.written))
    }

    fn create(&mut self, path: String, mode: CreateMode, sequential: bool) -> Write {
        Write::Create { path, data: self.value(), mode, sequential }
    }

    fn set(&mut self, path: &str, version: i32) -> Write {
        Write::SetData { path: path.to_owned(), data: self.value(), version }
    }

    fn churned(&mut self) -> String {
        format!("{ROOT}/churn{}", self.random.below(CHURNED))
    }

    fn any_path(&mut self) -> String {
        match self.random.below(10) {
            0..5 => key(self.random.below(KEYS)),
            5..8 => self.churned(),
            _ => (*self.random.pick(&PAIR)).to_owned(),
        }
    }

    fn write(&mut self) {
        let number = self.random.below(KEYS);
        let write = match self.random.below(100) {
            0..40 => self.set(&key(number), -1),
            40..65 => self.set(&key(number), self.versions[number]),
            65..75 => {
                let path = self.churned();
                self.create(path, CreateMode::Persistent, false)
            }
            75..85 => Write::Delete { path: self.churned(), version: -1 },
            _ => {
                let read = Request::GetData { path: key(number), watch: false };
                let answer = self.client.call(read);
                return self.learn(number, &answer);
            }
        };
        let answer = self.client.call(Request::Write(write));
        self.learn(number, &answer);
    }

    fn learn(&mut self, number: usize, answer: &Answer) {
        if let Some(Ok(Reply::Stat(stat) | Reply::Data { stat, .. })) = answer {
            self.versions[number] = stat.version;
        }
    }

    fn multi(&mut self) {
        let number = self.random.below(KEYS);
        let writes = match self.random.below(4) {
            0 => PAIR.map(|path| self.set(path, -1)).to_vec(),
            1 => {
                let read = Request::Exists { path: key(number), watch: false };
                let answer = self.client.call(read);
                self.learn(number, &answer);
                let version = self.versions[number];
                vec![
                    Write::Check { path: key(number), version },
                    self.set(&key(number), version),
                    self.set(PAIR[0], -1),
                ]
            }
            2 => {
                let (one, other) = (self.churned(), self.churned());
                let create = self.create(one, CreateMode::Persistent, false);
                vec![create, Write::Delete { path: other, version: -1 }, self.set(PAIR[1], -1)]
            }
            _ => {
                let path = format!("{QUEUE}/n-");
                let create = self.create(path, CreateMode::Persistent, true);
                vec![create, self.set(&key(number), -1)]
            }
        };
        let answer = self.client.call(Request::Multi(writes));
        if let Some(Ok(Reply::Parts(parts))) = answer {
            self.enqueue(parts.into_iter().next().and_then(Result::ok));
        }
    }

    /// Remembers a node of the queue, and removes an old one when there are many.
    fn enqueue(&mut self, created: Option<Reply>) {
        if let Some(Reply::Created { path, .. }) = created
            && path.starts_with(QUEUE)
        {
            self.queued.push_back(path);
        }
        if self.queued.len() > QUEUED_MAX
            && let Some(path) = self.queued.pop_front()
        {
            self.client.call(Request::Write(Write::Delete { path, version: -1 }));
        }
    }

    fn read(&mut self) {
        let (path, watch) = (self.any_path(), false);
        let request = match self.random.below(10) {
            0..3 => Request::Exists { path, watch },
            3..7 => Request::GetData { path, watch },
            7..8 => {
                let path = (*self.random.pick(&DIRECTORIES)).to_owned();
                Request::GetChildren { path, watch }
            }
            _ => Request::MultiRead(PAIR.map(str::to_owned).to_vec()),
        };
        self.client.call(request);
    }

    fn sync_read(&mut self) {
        let path = self.any_path();
        let sync = Request::Sync { path: path.clone() };
        let read = Request::GetData { path, watch: false };
        if self.random.chance(50) {
            self.client.call_all(vec![sync, read]);
        } else if self.client.call(sync).is_some() {
            self.client.call(read);
        }
    }

    fn own(&mut self) {
        let path = format!("{OWNED}/{}-{}", self.client.number(), self.random.below(3));
        let request = match self.random.below(100) {
            0..50 => Request::Write(self.create(path, CreateMode::Ephemeral, false)),
            50..70 => Request::Write(Write::Delete { path, version: -1 }),
            70..90 => Request::GetChildren { path: OWNED.to_owned(), watch: false },
            90..98 => Request::CloseSession,
            _ => return self.client.abandon(),
        };
        self.client.call(request);
    }

    fn watch(&mut self) {
        let path = self.any_path();
        let request = match self.random.below(20) {
            0..7 => Request::GetData { path, watch: true },
            7..14 => Request::Exists { path, watch: true },
            14..17 => {
                let path = (*self.random.pick(&DIRECTORIES)).to_owned();
                Request::GetChildren { path, watch: true }
            }
            17 => Request::AddWatch { path: key(0), recursive: false },
            18 => Request::AddWatch { path: DIRECTORIES[1].to_owned(), recursive: true },
            _ => Request::RemoveWatches { path: key(0), watched_by: WatchedBy::Persistent },
        };
        self.client.call(request);
        self.client.events.clear();
    }

    /// After lost replies it goes on with another node: how many of a pipeline's writes happened
    /// is asked about one node only once.
    fn pipeline(&mut self) {
        let own = format!("{ROOT}/line{}-{}", self.client.number(), self.pipelines_lost);
        let mut requests = Vec::new();
        for _ in 0..=self.random.below(PIPELINED_MAX) {
            let path = own.clone();
            requests.push(match self.random.below(10) {
                0..5 => Request::Write(self.set(&own, -1)),
                5..7 => Request::GetData { path, watch: false },
                7 => Request::Write(self.create(path, CreateMode::Persistent, false)),
                8 => Request::Write(Write::Delete { path, version: -1 }),
                _ => {
                    let path = format!("{QUEUE}/n-");
                    Request::Write(self.create(path, CreateMode::Persistent, true))
                }
            });
        }
        let answers = self.client.call_all(requests);
        self.pipelines_lost += u64::from(answers.iter().any(Option::is_none));
        for answer in answers {
            self.enqueue(answer.and_then(Result::ok));
        }
    }

    /// A value of many packets.
    fn bulk(&mut self) {
        // Histories hold every value: there may not be many big ones.
        std::thread::sleep(BULK_INTERVAL);
        let path = format!("{ROOT}/bulk");
        let size = self.random.below(BULK_BYTES_MAX);
        let data = self.value().map(|value| value + &".".repeat(size));
        let write = if self.random.chance(30) {
            let mode = CreateMode::Persistent;
            Write::Create { path: path.clone(), data, mode, sequential: false }
        } else {
            Write::SetData { path: path.clone(), data, version: -1 }
        };
        self.client.call(Request::Write(write));
        if self.random.chance(20) {
            self.client.call(Request::GetData { path, watch: false });
        }
    }

    /// Takes the lock, writes under it, and lets go of it.
    fn lock(&mut self) {
        let create = self.create(format!("{LOCK}/n-"), CreateMode::Ephemeral, true);
        let Some(Ok(Reply::Created { path, .. })) = self.client.call(Request::Write(create)) else {
            // The node may be there, and nobody would let go of it: the session has to end.
            return self.client.abandon();
        };
        let session = self.client.session_id();
        let held = self.wait_for_turn(&path, session);
        let read = Request::GetData { path: GUARDED.to_owned(), watch: false };
        if held && let Some(Ok(Reply::Data { stat, .. })) = self.client.call(read) {
            let set = self.set(GUARDED, stat.version);
            self.client.call(Request::Write(set));
        }
        let path = path.as_str();
        let delete = || Request::Write(Write::Delete { path: path.to_owned(), version: -1 });
        if self.client.call(delete()).is_none() {
            self.client.abandon();
        }
    }

    /// Waits until no older node is left; `false` when that did not happen in time.
    fn wait_for_turn(&mut self, path: &str, session: menagerie_wire::SessionId) -> bool {
        for _ in 0..LOCK_LOOKS_MAX {
            if self.stopped() || !self.client.connect(1) || self.client.session_id() != session {
                return false;
            }
            let list = Request::GetChildren { path: LOCK.to_owned(), watch: false };
            let Some(Ok(Reply::Children { names, .. })) = self.client.call(list) else { continue };
            let mine = path.strip_prefix(LOCK).and_then(|rest| rest.strip_prefix('/'));
            let older = names.into_iter().filter(|name| Some(name.as_str()) < mine).max();
            let Some(older) = older.map(|name| format!("{LOCK}/{name}")) else { return true };
            self.client.call(Request::Exists { path: older, watch: true });
            // The event comes with a later reply.
            std::thread::sleep(LOCK_INTERVAL);
        }
        false
    }
}
