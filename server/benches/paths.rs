//! What operations take of the processor between socket and log, as a program to be counted: see
//! `tests/count_instructions`.
//!
//! `paths PATH COUNT` makes a server of the real shard, sequencer, tree and log, and does one thing
//! COUNT times. Under callgrind the difference between two counts is what the thing itself takes,
//! and is the same number on every run and on a machine that is busy. Not counted: system calls,
//! the executor, and the disk, of which only the promise to have written is left.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use menagerie::allocator::Allocator;
use menagerie::client::password::SessionSecret;
use menagerie::client::shard::{self, Shard};
use menagerie::sequencer::message::{ConnectionKey, ToShard};
use menagerie::sequencer::{self, CleanerSettings, Delivery, Now, Output, Sequencer};
use menagerie_engine::disk::{Access, Commit, CommitQueue, Disk, DiskFile, Finished, RingError};
use menagerie_engine::tree::Tree;
use menagerie_engine::txn::Rules;
use menagerie_engine::wal::{self, LogEnd, Reader, SegmentPool, Writer};
use menagerie_wire::data::Acl;
use menagerie_wire::proto::{ConnectRequest, Create, PathWatch, RequestHeader, SetData};
use menagerie_wire::{Encode, OpCode, ServerId, SessionId, Xid, Zxid, frame};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const DIRECTORIES: usize = 100;
const NODES_PER_DIRECTORY: usize = 100;
const NODES: usize = DIRECTORIES * NODES_PER_DIRECTORY;
const VALUE: [u8; 1024] = [b'm'; 1024];
/// Who hears of one change, on the path `event`.
const WATCHERS: usize = 1_000;
/// Requests that arrive together on the paths named `pipelined`.
const DEPTH: usize = 16;
const SEGMENT_BYTES: u64 = 16 << 20;
/// How long each step of a write takes on the server's clock.
const STEP_US: u64 = 150;

/// A server without sockets.
struct Server {
    shard: Shard,
    sequencer: Sequencer,
    log: Writer<Nowhere>,
    out: Output,
    now: Now,
}

impl Server {
    /// Over nodes of 1 KiB.
    fn new() -> Self {
        let rules = Rules { extended_types: true, ..Rules::default() };
        let now = Now { monotonic_us: 0, wall_ms: 1_000_000 };
        let settings = sequencer::Settings {
            server: ServerId(1),
            shards: 1,
            tick_ms: 2_000,
            rules: rules.clone(),
            digests: true,
            cleaner: CleanerSettings { check_interval_ms: 60_000, per_minute_max: 10_000 },
            leader_serves: true,
            leaves_on_mismatch: true,
        };
        let mut out = Output::default();
        let mut sequencer = Sequencer::standalone(settings, Tree::new(), now);
        sequencer.start(&mut out);
        let of_shard = shard::Settings {
            rules,
            session_timeout_ms_min: 4_000,
            session_timeout_ms_max: 40_000,
            frame_bytes_max: frame::JUTE_MAXBUFFER_DEFAULT,
            super_digest: None,
            enforced_schemes: Vec::new(),
            secret: SessionSecret::new([7; SessionSecret::LEN]),
            eager_acl_check: false,
            output_bytes_max: 16 << 20,
            outstanding_requests_max: 1_000,
            slow_request_us: Some(1_000_000),
        };
        let shard = Shard::new(0, of_shard, sequencer.committed().clone(), true);
        Self { shard, sequencer, log: log(), out, now }
    }

    fn filled() -> (Self, ConnectionKey) {
        let mut server = Self::new();
        let key = server.client();
        for directory in 0..DIRECTORIES {
            server.write(key, &create(&format!("/d{directory:03}"), b""));
            for node in 0..NODES_PER_DIRECTORY {
                let path = path(directory * NODES_PER_DIRECTORY + node);
                server.write(key, &create(&path, &VALUE));
            }
        }
        (server, key)
    }

    fn client(&mut self) -> ConnectionKey {
        let key = self.shard.open(([127, 0, 0, 1], 40_000).into());
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session_id: SessionId::NONE,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &request);
        self.write(key, &bytes);
        key
    }

    /// What comes from a socket in one go.
    fn receive(&mut self, key: ConnectionKey, bytes: &[u8]) {
        self.shard.begin_turn(self.now);
        self.shard.receive(key.index, bytes);
    }

    /// What goes to a socket in one go. Returns how much it was.
    fn send(&mut self, key: ConnectionKey) -> usize {
        let bytes = self.shard.unsent(key).map_or(0, <[u8]>::len);
        self.shard.took(key, bytes);
        bytes
    }

    fn send_all(&mut self) -> usize {
        let dirty = self.shard.take_dirty();
        let keys = dirty.iter().filter_map(|index| self.shard.key_at(*index)).collect::<Vec<_>>();
        self.shard.recycle_dirty(dirty);
        let bytes = keys.into_iter().map(|key| self.send(key)).sum();
        self.shard.end_turn(self.now.monotonic_us);
        bytes
    }

    /// Requests go all the way: judged, logged, synced, shown, answered. Each step takes time.
    fn write(&mut self, key: ConnectionKey, bytes: &[u8]) {
        self.receive(key, bytes);
        self.now.monotonic_us += STEP_US;
        for message in self.shard.take_outbox() {
            self.sequencer.on_message(message, self.now, &mut self.out);
        }
        self.sequencer.settle(&mut self.out);
        for (zxid, txn) in self.out.appends.drain(..) {
            self.log.append(zxid, &txn).expect("memory takes all");
        }
        self.now.monotonic_us += STEP_US;
        self.sequencer.close_batch(self.now.monotonic_us);
        let durable = self.log.flush().expect("memory takes all");
        self.now.monotonic_us += STEP_US;
        self.sequencer.on_logged(durable, self.now, &mut self.out);
        self.sequencer.settle(&mut self.out);
        self.now.monotonic_us += STEP_US;
        self.shard.begin_turn(self.now);
        for delivery in self.out.deliveries.drain(..) {
            let message = match delivery {
                Delivery::One(_, message) => message,
                Delivery::All(publication) => ToShard::Publish(publication),
            };
            self.shard.on_message(message);
        }
        assert!(self.send_all() > 0, "it is answered");
    }
}

/// A disk that takes everything and keeps nothing.
#[derive(Clone)]
struct Nowhere;

/// A file of it.
struct Nothing;

/// Commits that end where they begin.
#[derive(Default)]
struct AtOnce(Option<Finished>);

impl Disk for Nowhere {
    type File = Nothing;
    type Queue = AtOnce;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create(&self, _: &str, _: Access) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn open(&self, _: &str, _: Access) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn queue(&self) -> Result<AtOnce, RingError> {
        Ok(AtOnce::default())
    }
}

impl DiskFile for Nothing {
    fn bytes(&self) -> io::Result<u64> {
        Ok(SEGMENT_BYTES)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl CommitQueue for AtOnce {
    type File = Nothing;

    fn start(&mut self, commit: Commit<Nothing>) {
        self.0 = Some(Finished { buffer: commit.buffer, result: Ok(()) });
    }

    fn poll(&mut self) -> Option<Finished> {
        self.0.take()
    }

    fn wait(&mut self) -> Option<Finished> {
        self.0.take()
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn log() -> Writer<Nowhere> {
    let disk = Nowhere;
    let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).expect("memory takes all");
    let reader = Reader::open(&disk, Zxid::ZERO, Zxid::ZERO).expect("it is empty");
    let end: LogEnd = reader.finish().expect("it is empty");
    let settings = wal::Settings { synced: true, nonce_seed: 1 };
    Writer::open(disk, pool, &end, settings).expect("memory takes all")
}

fn path(node: usize) -> String {
    format!("/d{:03}/n{:03}", node / NODES_PER_DIRECTORY, node % NODES_PER_DIRECTORY)
}

/// One packet for each node, or for as many nodes as there are requests in it, in an order that no
/// cache likes. They are made beforehand, so that only the server is counted.
fn packets(requests: usize, request: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let scattered = |turn: usize| request(&path(turn * 7_919 % NODES));
    let nodes: Vec<usize> = (0..NODES).collect();
    nodes.chunks(requests).map(|some| some.iter().copied().flat_map(scattered).collect()).collect()
}

/// A request. Its xid is no matter to a server.
fn request(op: OpCode, body: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_with(&mut bytes, |out| {
        RequestHeader { xid: Xid(1), op: op as i32 }.encode(out);
        body.encode(out);
    });
    bytes
}

fn create(path: &str, data: &[u8]) -> Vec<u8> {
    let acl = Some(vec![Acl::world(31)]);
    let body = Create { path: path.into(), data: Some(data), acl, flags: 0, ttl_ms: None };
    request(OpCode::Create, &body)
}

fn get(path: &str, watch: bool) -> Vec<u8> {
    request(OpCode::GetData, &PathWatch { path: path.into(), watch })
}

fn set(path: &str) -> Vec<u8> {
    let body = SetData { path: Some(path.into()), data: Some(&VALUE), version: -1 };
    request(OpCode::SetData, &body)
}

/// getData of 1 KiB, so many in a packet; a count is a request.
fn read(count: usize, depth: usize, watch: bool) {
    let (mut server, key) = Server::filled();
    let packets = packets(depth, |path| get(path, watch));
    for turn in 0..count / depth {
        server.receive(key, &packets[turn % packets.len()]);
        assert!(server.send_all() > depth * VALUE.len());
    }
}

/// setData of 1 KiB, so many in a packet and in a commit; a count is a request.
fn write(count: usize, depth: usize) {
    let (mut server, key) = Server::filled();
    let packets = packets(depth, set);
    for turn in 0..count / depth {
        server.write(key, &packets[turn % packets.len()]);
    }
}

/// create of 1 KiB in one directory, each with a commit of its own.
fn create_each(count: usize) {
    let (mut server, key) = Server::filled();
    for turn in 0..count {
        server.write(key, &create(&format!("/d000/c{turn:07}"), &VALUE));
    }
}

/// One watcher of a thousand is told, reads and watches again; a count is an event.
fn event(count: usize) {
    let (mut server, key) = Server::filled();
    let watchers: Vec<_> = (0..WATCHERS).map(|_| server.client()).collect();
    let (get, set) = (get("/d000/n000", true), set("/d000/n000"));
    for _ in 0..count / WATCHERS {
        for watcher in &watchers {
            server.receive(*watcher, &get);
        }
        assert!(server.send_all() > WATCHERS * VALUE.len());
        server.write(key, &set);
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `cargo bench` names no path: there is nothing to be timed here.
    let [path, count] = words[..] else { return ExitCode::SUCCESS };
    let Ok(count) = count.parse() else { return ExitCode::from(2) };
    match path {
        "read" => read(count, 1, false),
        "read_pipelined" => read(count, DEPTH, false),
        "read_and_watch" => read(count, 1, true),
        "write" => write(count, 1),
        "write_pipelined" => write(count, DEPTH),
        "create" => create_each(count),
        "event" => event(count),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
