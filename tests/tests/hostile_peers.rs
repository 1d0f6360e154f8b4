//! What comes in on the ports between servers, from those who know a member's address but do not
//! speak as a member does: it costs them their connection, and nobody notices.
//!
//! The observer of the ensemble has ended, and the test calls in its name. (Whoever calls in the
//! name of a follower that is up takes its place: without TLS an id and an address are all that a
//! member has to show.)

use menagerie_replication::{Packet, TxnBytes};
use menagerie_tests::child_process::resident_kib;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::raw_client::{RawClient, four_letter};
use menagerie_wire::address::HostPort;
use menagerie_wire::frame;
use menagerie_wire::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use menagerie_wire::jute::Encode as _;
use menagerie_wire::notification::{InitialMessage, Notification, ServerState, Vote};
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::SetData;
use menagerie_wire::quorum::{DATA_BYTES_MAX_DEFAULT, Next, PacketReader, Touch};
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SESSION_TIMEOUT_MS: i32 = 10_000;
const OBSERVER: i64 = 4;
/// Far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three servers, a client of a follower, and the place of an observer.
struct Scene {
    ensemble: Ensemble,
    leader: u64,
    client: RawClient,
}

impl Scene {
    fn new() -> Self {
        let plan = Plan { network: Network::Direct, ..Plan::new(Flavor::Menagerie, 3, 1) };
        let mut ensemble = Ensemble::start(&plan);
        ensemble.node(OBSERVER as u64).kill();
        let leader = ensemble.wait_for_leader();
        let follower = ensemble.voters().into_iter().find(|id| *id != leader);
        let address = ensemble.node(follower.expect("two of three")).client();
        let mut client = RawClient::connect(address, SESSION_TIMEOUT_MS).expect("it serves");
        client.create("/a", b"", 0).expect("it serves");
        Self { ensemble, leader, client }
    }

    /// The client has its session and connection, and the leader its reign.
    fn check_nobody_noticed(&mut self, what: &str) {
        for data in [what.as_bytes(), b"again"] {
            let reply = self.client.set_data("/a", data);
            let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(reply.header.err, 0, "{what}");
            let (found, _) = self.client.get_data("/a").expect(what).expect(what);
            assert_eq!(found, data, "{what}");
        }
        assert_eq!(self.ensemble.leaders(), [self.leader], "{what}");
    }

    fn leaders_ports(&self) -> [SocketAddr; 2] {
        self.ensemble.ports(self.leader)
    }

    /// All open ports between servers.
    fn ports(&self) -> Vec<SocketAddr> {
        let [quorum, _] = self.leaders_ports();
        let voters = self.ensemble.voters();
        voters.into_iter().map(|id| self.ensemble.ports(id)[1]).chain([quorum]).collect()
    }

    fn leaders_descriptors(&mut self) -> usize {
        let pid = self.ensemble.node(self.leader).pid();
        fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
    }

    fn leaders_megabytes(&mut self) -> u64 {
        resident_kib(self.ensemble.node(self.leader).pid()) / 1024
    }

    fn observer(&self) -> Observer {
        let [quorum, _] = self.leaders_ports();
        let mut observer = Observer { stream: call(quorum), received: Vec::new() };
        let (accepted_epoch, sid, config_version) = (Epoch(0), ServerId(OBSERVER), Zxid::ZERO);
        observer.say(&Packet::LearnerInfo { observer: true, accepted_epoch, sid, config_version });
        observer
    }
}

fn call(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Waits for the end of a connection.
fn hear_the_end(mut stream: &TcpStream, what: &str) {
    match std::io::copy(&mut stream, &mut std::io::sink()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{what}: {error}"),
    }
}

/// The test, as the observer.
struct Observer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Observer {
    fn say(&mut self, packet: &Packet) {
        self.write(&packet.as_wire().to_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        // It may have been hung up on already.
        let _ = self.stream.write_all(bytes);
    }

    fn hear(&mut self) -> Packet {
        let mut reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
        loop {
            if let Next::Packet { packet, len } = reader.next(&self.received).expect("a packet") {
                let packet = packet.into();
                self.received.drain(..len);
                return packet;
            }
            let mut piece = vec![0; 1 << 16];
            let count = self.stream.read(&mut piece).expect("the leader speaks");
            assert!(count > 0, "the leader hung up");
            self.received.extend_from_slice(&piece[..count]);
        }
    }

    /// Goes the whole way as an observer does.
    fn join(&mut self) {
        let Packet::LeaderInfo { epoch } = self.hear() else { panic!("no LEADERINFO") };
        self.say(&Packet::AckEpoch { last_zxid: Zxid::ZERO, current_epoch: Some(Epoch(0)) });
        while !matches!(self.hear(), Packet::NewLeader { .. }) {}
        self.say(&Packet::Ack { zxid: Zxid::new(epoch, 0) });
        while !matches!(self.hear(), Packet::UpToDate) {}
    }

    fn request(&mut self, session: SessionId, cxid: i32, op: OpCode, body: &[u8]) {
        self.say(&request(session, cxid, op, body));
    }
}

fn request(session: SessionId, cxid: i32, op: OpCode, body: &[u8]) -> Packet {
    let (cxid, body, authinfo) = (Xid(cxid), TxnBytes::copy_from_slice(body), None);
    Packet::Request(menagerie_replication::ForwardedRequest { session, cxid, op, body, authinfo })
}

#[test]
fn noise_and_silence_on_the_ports_between_servers_disturb_nobody() {
    let mut scene = Scene::new();
    let before = scene.leaders_descriptors();
    let noise: Vec<u8> = (0..5_000u32).map(|at| ((at * at) >> 3) as u8).collect();
    let ff = [0xff; 64];
    let words: [&[u8]; 6] =
        [&noise, &noise[1_000..1_007], &[0; 64], &ff, b"GET / HTTP/1.1\r\n\r\n", b"ruok"];
    let mut open = Vec::new();
    for port in scene.ports() {
        for words in words {
            for _ in 0..5 {
                let mut stream = call(port);
                // It may be hung up on before it has said all of it.
                let _ = stream.write_all(words);
                open.push(stream);
            }
        }
        // More than may be there who have not said who they are.
        open.extend((0..100).map(|_| call(port)));
    }
    scene.check_nobody_noticed("noise and silence");
    let now = scene.leaders_descriptors();
    assert!(now < before + 2 * 64 + 20, "{before} descriptors of the leader became {now}");
    drop(open);
    scene.check_nobody_noticed("their end");
}

#[test]
fn who_says_what_no_observer_says_is_cut_off() {
    let mut scene = Scene::new();
    let zxid = Zxid(1 << 60);
    let touched = vec![Touch { session: SessionId(1), timeout_ms: -1 }];
    let info = |sid| Packet::LearnerInfo {
        observer: true,
        accepted_epoch: Epoch(u32::MAX >> 1),
        sid: ServerId(sid),
        config_version: zxid,
    };
    let packets = [
        Packet::Proposal { zxid, txn: TxnBytes::from_static(&[1, 2, 3]) },
        Packet::Ack { zxid },
        Packet::Commit { zxid },
        Packet::PingReply { zxid, touched },
        Packet::Revalidate(Touch { session: SessionId(1), timeout_ms: 1 }),
        Packet::Inform { zxid, txn: TxnBytes::new() },
        Packet::Snap { zxid },
        Packet::LeaderInfo { epoch: Epoch(9) },
        Packet::UpToDate,
        info(OBSERVER),
        info(77),
        request(SessionId(1), 1, OpCode::SetData, &[]),
    ];
    for packet in packets {
        let mut observer = scene.observer();
        observer.say(&packet);
        hear_the_end(&observer.stream, &format!("{packet:?}"));
    }
    let bytes: [&[u8]; 4] = [
        // A type that is none; data of 1 GiB, and of a negative length; half of it and the end.
        &[0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 1, 2, 3, 4],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 1, 2, 3, 4],
        &[255; 40],
    ];
    for bytes in bytes {
        let mut observer = scene.observer();
        observer.write(bytes);
        hear_the_end(&observer.stream, &format!("{bytes:?}"));
    }
    scene.check_nobody_noticed("hostile packets");
}

#[test]
fn votes_that_lie_move_no_leader() {
    let mut scene = Scene::new();
    let states = [
        ServerState::Looking,
        ServerState::Following,
        ServerState::Leading,
        ServerState::Observing,
    ];
    let mut open = Vec::new();
    for id in scene.ensemble.voters() {
        let [_, election] = scene.ensemble.ports(id);
        let mut stream = call(election);
        let address = HostPort::parse("127.0.0.1:1").expect("an address");
        let mut words = InitialMessage::v1(ServerId(OBSERVER), address).to_bytes();
        for state in states {
            for leader in [1, 2, 3, OBSERVER, -1, i64::MIN] {
                let leader = ServerId(leader);
                let (zxid, round, peer_epoch) = (Zxid(i64::MAX), i64::MAX, i64::MAX);
                let vote = Vote { leader, zxid, round, peer_epoch };
                let config = "server.9=nobody:1:2\nversion=7fffffff".to_owned();
                frame::put(&mut words, &Notification::new(state, vote, config));
            }
        }
        words.extend_from_slice(&[0x7f; 64]);
        stream.write_all(&words).expect("it is listened to");
        open.push(stream);
    }
    for stream in open {
        hear_the_end(&stream, "a frame of 2 GiB");
    }
    scene.check_nobody_noticed("lies");
}

#[test]
fn an_observer_that_takes_nothing_is_cut_off_and_costs_little() {
    let mut scene = Scene::new();
    let mut observer = scene.observer();
    observer.join();
    let began = Instant::now();
    let mut written = 0;
    let data = vec![7; 500_000];
    let client = scene.ensemble.node(scene.leader).client();
    let is_connected = || {
        let mntr = four_letter(client, "mntr").expect("it serves");
        mntr.contains("zk_synced_observers\t1\n")
    };
    while is_connected() {
        assert!(began.elapsed() < PATIENCE, "still there after {written} writes of 500 kB");
        assert_eq!(scene.client.set_data("/a", &data).expect("it serves").header.err, 0);
        written += 1;
    }
    let megabytes = scene.leaders_megabytes();
    assert!(megabytes < 512, "{megabytes} MB");
    scene.check_nobody_noticed("a stuck observer");
}

#[test]
fn an_observer_that_floods_its_leader_disturbs_nobody() {
    let mut scene = Scene::new();
    scene.client.create("/b", b"", 0).expect("it serves");
    let mut observer = scene.observer();
    observer.join();
    let session = SessionId(OBSERVER << 56 | 1);
    observer.request(session, 0, OpCode::CreateSession, &SESSION_TIMEOUT_MS.to_be_bytes());
    let data = vec![7; 900_000];
    let body = SetData { path: Some("/b".into()), data: Some(&data), version: -1 }.to_bytes();
    let began = Instant::now();
    let (mut asked, mut most) = (0, 0);
    observer.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
    // It listens to nobody, so it is cut off at last.
    while began.elapsed() < Duration::from_secs(5) {
        asked += 1;
        let packet = request(session, asked, OpCode::SetData, &body).as_wire().to_bytes();
        if observer.stream.write_all(&packet).is_err() {
            break;
        }
        most = most.max(scene.leaders_megabytes());
    }
    assert!(most < 700, "{most} MB for {asked} requests of 900 kB");
    scene.check_nobody_noticed("a flood of requests");
}
