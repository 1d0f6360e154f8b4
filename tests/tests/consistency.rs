//! What connections on different cores may see of each other, under load.
//!
//! On a standalone server a write that was answered is seen by every read that begins after it, on
//! whatever connection; an event reaches a client before any reply that knows of its transaction;
//! a watch fires for the first change after the read that set it; what one multi wrote is seen
//! together. Each reader checks every reply and event it gets against these rules.

use menagerie_tests::ServerConfig;
use menagerie_tests::differential::control::{Control, connect_request, text};
use menagerie_tests::differential::lane::{Lane, Received};
use menagerie_tests::differential::script::{Field, Meaning, Opening, Part, Request};
use menagerie_tests::differential::view::{EVENT_XID, Header};
use menagerie_tests::random::Random;
use menagerie_tests::server::Menagerie;
use menagerie_wire::data::Stat;
use menagerie_wire::jute::{Decode as _, Reader};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

const KEYS: usize = 3;
const READERS: u64 = 4;
const LOAD_TIME: Duration = Duration::from_secs(6);
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);
const PAIR: [&str; 2] = ["/left", "/right"];

/// What the writers were told so far, and whether they are to stop.
#[derive(Default)]
struct Told {
    versions: [AtomicI32; KEYS],
    over: AtomicBool,
}

#[test]
fn connections_agree_on_what_has_happened() {
    let config = ServerConfig::new().key("menagerie.shards", 3).key("maxClientCnxns", 0);
    let server = Menagerie::start(&config);
    let mut control = Control::connect(server.address()).expect("the server serves");
    for path in (0..KEYS).map(key).chain(PAIR.map(str::to_owned)) {
        control.create(&path).expect("a fresh server takes the keys");
    }
    let (address, told) = (server.address(), &Told::default());
    std::thread::scope(|scope| {
        for number in 0..KEYS {
            scope.spawn(move || write_key(&mut Client::connect(address), number, told));
        }
        scope.spawn(move || write_pairs(&mut Client::connect(address), told));
        let readers: Vec<_> = (0..READERS)
            .map(|seed| scope.spawn(move || read_keys(&mut Client::connect(address), seed, told)))
            .collect();
        // The time of the load is the input of this test.
        std::thread::sleep(LOAD_TIME);
        told.over.store(true, Ordering::SeqCst);
        for reader in readers {
            let events = reader.join().expect("no rule was broken");
            assert!(events > 0, "watches fire");
        }
    });
}

fn key(number: usize) -> String {
    format!("/key{number}")
}

/// Raises the version of one key, a few writes at a time on their way.
fn write_key(client: &mut Client, number: usize, told: &Told) {
    const DEPTH: usize = 4;
    let set = Request::new(5, vec![text(&key(number)), Field::Data(None), Field::Int(-1)]);
    for _ in 0..DEPTH {
        client.send(&set);
    }
    while !told.over.load(Ordering::SeqCst) {
        let reply = client.reply();
        assert_eq!(reply.header.err, 0);
        told.versions[number].store(reply.stat().version, Ordering::SeqCst);
        client.send(&set);
    }
}

/// Gives both nodes of the pair the same new data, in one multi.
fn write_pairs(client: &mut Client, told: &Told) {
    for round in 0u64.. {
        if told.over.load(Ordering::SeqCst) {
            return;
        }
        let set = |path| Part {
            op: 5,
            done: false,
            fields: vec![text(path), Field::Data(Some(round.to_be_bytes().into())), Field::Int(-1)],
        };
        let end = Part { op: -1, done: true, fields: Vec::new() };
        let [left, right] = PAIR.map(set);
        client.send(&Request::new(14, vec![Field::Parts(vec![left, right, end])]));
        assert_eq!(client.reply().header.err, 0);
    }
}

/// Reads keys with watches, and the pair, until it is over. Returns how many events came.
fn read_keys(client: &mut Client, seed: u64, told: &Told) -> u64 {
    let mut random = Random::new(seed);
    let mut seen = [0; KEYS];
    while !told.over.load(Ordering::SeqCst) {
        let number = random.below(KEYS);
        let at_least = told.versions[number].load(Ordering::SeqCst);
        client.send(&Request::new(3, vec![text(&key(number)), Field::Byte(1)]));
        let stat = client.reply().stat();
        assert!(stat.version >= at_least, "version {} after {at_least} was told", stat.version);
        assert!(stat.version >= seen[number], "version {} after {}", stat.version, seen[number]);
        seen[number] = stat.version;
        client.watch(number, stat.mzxid.0);
        read_pair(client);
    }
    client.events
}

fn read_pair(client: &mut Client) {
    let get = |path| Part { op: 4, done: false, fields: vec![text(path), Field::Byte(0)] };
    let end = Part { op: -1, done: true, fields: Vec::new() };
    let [left, right] = PAIR.map(get);
    client.send(&Request::new(22, vec![Field::Parts(vec![left, right, end])]));
    let reply = client.reply();
    let mut body = Reader::new(&reply.frame[16..]);
    let mut result = || -> Result<_, menagerie_wire::JuteError> {
        let (_op, _done, _err) = (body.int()?, body.byte()?, body.int()?);
        let data = body.buffer()?.map(<[u8]>::to_vec);
        Ok((data, Stat::decode(&mut body)?.mzxid))
    };
    let (left, right) = (result().expect("two results"), result().expect("two results"));
    if left.1 != right.1 {
        // Only before the first multi do the nodes have zxids of their own.
        assert_eq!((left.0, right.0), (None, None), "half of a multi was seen");
    }
}

/// A connection that checks what holds for every reply and event.
struct Client {
    lane: Lane,
    xid: i32,
    /// Of the last reply.
    zxid: i64,
    /// Per key: the last change known when a watch was set that has not fired.
    watched: [Option<i64>; KEYS],
    events: u64,
}

struct Reply {
    header: Header,
    frame: Vec<u8>,
}

impl Reply {
    fn stat(&self) -> Stat {
        Stat::from_bytes(&self.frame[16..]).expect("the reply holds a Stat")
    }
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut lane = Lane::connect(address).expect("the server listens");
        lane.send(&connect_request(&Opening::new(), 0, 0, &[0; 16]));
        assert!(matches!(lane.receive(REPLY_TIME_MAX), Received::Frame(_)), "a session is given");
        Self { lane, xid: 0, zxid: 0, watched: [None; KEYS], events: 0 }
    }

    fn send(&mut self, request: &Request) {
        self.xid += 1;
        self.lane.send(&request.frame(self.xid, Meaning { root: "$", seen_zxid: 0 }));
    }

    /// The next reply; events before it are checked on the way.
    fn reply(&mut self) -> Reply {
        loop {
            let Received::Frame(frame) = self.lane.receive(REPLY_TIME_MAX) else {
                panic!("no reply to request {}", self.xid);
            };
            let header = Header::of(&frame).expect("a frame has a header");
            if header.xid == EVENT_XID {
                self.on_event(header.zxid, &frame);
                continue;
            }
            assert!(header.zxid >= self.zxid, "zxid {} after {}", header.zxid, self.zxid);
            self.zxid = header.zxid;
            return Reply { header, frame };
        }
    }

    fn on_event(&mut self, zxid: i64, frame: &[u8]) {
        let mut body = Reader::new(&frame[16 + 8..]);
        let path = body.string().expect("an event has a path");
        let number = (0..KEYS).find(|number| key(*number) == path).expect("only keys are watched");
        let since = self.watched[number].take().expect("a watch fires once");
        assert!(zxid > self.zxid, "the event of {zxid} came behind a reply with {}", self.zxid);
        assert!(zxid > since, "the event of {zxid} was known when its watch was set at {since}");
        self.events += 1;
    }

    /// The last read has set a watch on a key that was then changed last at `mzxid`. An older watch
    /// must have fired if the key has changed since.
    fn watch(&mut self, number: usize, mzxid: i64) {
        if let Some(since) = self.watched[number] {
            assert_eq!(since, mzxid, "a change was read, and its event had not come");
        }
        self.watched[number] = Some(mzxid);
    }
}
