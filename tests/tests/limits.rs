//! What the server does at its limits: it refuses the one who asks too much, and nobody else
//! notices.

use menagerie_tests::ServerConfig;
use menagerie_tests::child_process::resident_kib;
use menagerie_tests::polling::poll;
use menagerie_tests::raw_client::{RawClient, four_letter, value_of};
use menagerie_tests::server::Menagerie;
use menagerie_wire::frame;
use menagerie_wire::ids::Xid;
use menagerie_wire::jute::{Decode as _, Encode as _};
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::{PathWatch, ReplyHeader, RequestHeader, SetData};
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const SESSION_TIMEOUT_MS: i32 = 30_000;

#[test]
fn surplus_connections_of_one_address_are_closed() {
    let server = Menagerie::start(&ServerConfig::new().key("maxClientCnxns", 2));
    let first = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    let mut second = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert!(RawClient::connect(server.address(), SESSION_TIMEOUT_MS).is_err());

    first.close().unwrap();
    assert_eq!(second.create("/a", b"", 0).unwrap().header.err, 0);
    // The place of the first is free once the server has seen its end.
    let third = || RawClient::connect(server.address(), SESSION_TIMEOUT_MS).ok();
    assert!(poll(Duration::from_secs(10), third).is_some(), "a closed connection still counts");
}

#[test]
fn surplus_connections_in_total_are_closed() {
    let config = ServerConfig::new().key("maxClientCnxns", 0).key("maxCnxns", 1);
    let server = Menagerie::start(&config);
    let mut first = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert!(RawClient::connect(server.address(), SESSION_TIMEOUT_MS).is_err());
    assert_eq!(first.create("/a", b"", 0).unwrap().header.err, 0);
}

/// Whatever part of a handshake they sent: they are closed, and who has a session is not.
#[test]
fn connections_that_do_not_finish_their_handshake_are_closed() {
    let config = ServerConfig::new().property("zookeeper.nio.sessionlessCnxnTimeout", 300);
    let server = Menagerie::start(&config);
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    let slow: Vec<TcpStream> = [&b""[..], &[0, 0], &[0, 0, 0, 45, 0, 0, 0, 0, 0]]
        .into_iter()
        .map(|part| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(part).unwrap();
            stream
        })
        .collect();
    for mut stream in slow {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "closed without a word");
    }
    assert_eq!(client.create("/a", b"", 0).unwrap().header.err, 0);
}

/// Clients that break off (RST) in the middle of whatever they do leave neither connections nor
/// watches behind.
#[test]
fn a_storm_of_connections_that_break_off_leaves_nothing_behind() {
    let config = ServerConfig::new().key("maxClientCnxns", 0).key("4lw.commands.whitelist", "*");
    let server = Menagerie::start(&config);
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert_eq!(client.create("/big", b"", 0).unwrap().header.err, 0);
    for round in 0..300 {
        let broken = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
        let mut stream = broken.into_stream();
        let op = [OpCode::GetData, OpCode::SetData][round % 2];
        stream.write_all(&pipelined(op, 100)).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    let mut text = String::new();
    let nothing_left = poll(Duration::from_secs(20), || {
        text = four_letter(server.address(), "mntr").unwrap();
        // This client, and the connection that asks.
        let left = ["zk_num_alive_connections", "zk_outstanding_requests", "zk_watch_count"];
        (left.map(|name| value_of(&text, name)) == ["2", "0", "0"].map(Some)).then_some(())
    });
    assert!(nothing_left.is_some(), "{text}");
    assert_eq!(client.create("/after", b"", 0).unwrap().header.err, 0);
}

#[test]
fn a_frame_above_jute_maxbuffer_closes_only_its_own_connection() {
    let server = Menagerie::start(&ServerConfig::new().key("jute.maxbuffer", 10_000));
    let mut modest = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    let mut greedy = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert_eq!(greedy.create("/fits", &[0; 9_000], 0).unwrap().header.err, 0);
    assert!(greedy.create("/does-not", &[0; 10_000], 0).is_err());
    assert_eq!(modest.get_data("/fits").unwrap().unwrap().0.len(), 9_000);
}

/// Asks for 400 MB and reads none of it at first. The server may not keep the answers in memory,
/// nor let others wait; and the client gets all of them once it reads.
#[test]
fn a_client_that_does_not_read_costs_little_and_slows_nobody() {
    const VALUE_BYTES: usize = 1_000_000;
    const REQUESTS: usize = 400;
    const GROWTH_KIB_MAX: u64 = 50_000;

    let server = Menagerie::start(&ServerConfig::new());
    let mut modest = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert_eq!(modest.create("/big", &[7; VALUE_BYTES], 0).unwrap().header.err, 0);
    let before_kib = resident_kib(server.pid());

    let greedy = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    let mut stream = greedy.into_stream();
    stream.write_all(&pipelined(OpCode::GetData, REQUESTS)).unwrap();
    for round in 0..200 {
        let path = format!("/n{round}");
        assert_eq!(modest.create(&path, b"x", 0).unwrap().header.err, 0);
        assert_eq!(modest.get_data(&path).unwrap().unwrap().0, b"x");
    }
    let growth_kib = resident_kib(server.pid()).saturating_sub(before_kib);
    assert!(growth_kib < GROWTH_KIB_MAX, "{growth_kib} KiB more for one client");
    assert_eq!(replies(&mut stream, REQUESTS), (0..REQUESTS).collect::<Vec<_>>());
}

/// Far more requests at once than the server lets wait for a commit on one connection, and a read
/// behind each write: the client has to be read from again when the first are answered.
#[test]
fn thousands_of_pipelined_requests_are_all_answered_in_order() {
    const REQUESTS: usize = 20_000;

    let server = Menagerie::start(&ServerConfig::new());
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    for path in ["/big", "/small"] {
        assert_eq!(client.create(path, b"x", 0).unwrap().header.err, 0);
    }
    let mut stream = client.into_stream();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let pair = [OpCode::SetData, OpCode::GetData];
        for (index, op) in pair.into_iter().cycle().take(REQUESTS).enumerate() {
            writer.write_all(&request(op, index)).unwrap();
        }
    });
    assert_eq!(replies(&mut stream, REQUESTS), (0..REQUESTS).collect::<Vec<_>>());
    sender.join().unwrap();
}

/// Reads pipelined between writes, and a client that takes the answers only when all is sent: what
/// the commits bring may not be lost behind reads that the socket has no room for.
#[test]
fn a_client_that_reads_late_gets_the_answers_to_its_writes() {
    const VALUE_BYTES: usize = 100_000;
    const REQUESTS: usize = 600;

    let server = Menagerie::start(&ServerConfig::new());
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert_eq!(client.create("/big", &[7; VALUE_BYTES], 0).unwrap().header.err, 0);
    assert_eq!(client.create("/small", b"x", 0).unwrap().header.err, 0);
    let mut stream = client.into_stream();
    let op = |index| if index % 20 == 0 { OpCode::SetData } else { OpCode::GetData };
    let requests = (0..REQUESTS).flat_map(|index| request(op(index), index));
    stream.write_all(&requests.collect::<Vec<_>>()).unwrap();
    let mut other = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    for round in 0..50 {
        assert_eq!(other.create(&format!("/n{round}"), b"", 0).unwrap().header.err, 0);
    }
    assert_eq!(replies(&mut stream, REQUESTS), (0..REQUESTS).collect::<Vec<_>>());
}

/// `count` requests for `/big`, with the xids from 0 on.
fn pipelined(op: OpCode, count: usize) -> Vec<u8> {
    (0..count).flat_map(|xid| request(op, xid)).collect()
}

fn request(op: OpCode, xid: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_with(&mut bytes, |out| {
        let xid = Xid(i32::try_from(xid).expect("a test sends less than 2^31 requests"));
        RequestHeader { xid, op: op as i32 }.encode(out);
        if op == OpCode::SetData {
            SetData { path: Some("/small".into()), data: Some(b"y"), version: -1 }.encode(out);
        } else {
            PathWatch { path: "/big".into(), watch: false }.encode(out);
        }
    });
    bytes
}

/// The xids of the next `count` replies.
fn replies(stream: &mut TcpStream, count: usize) -> Vec<usize> {
    let mut reader = BufReader::new(stream);
    let mut xid = || {
        let mut length = [0; frame::LENGTH_BYTES];
        reader.read_exact(&mut length).expect("a reply comes");
        let mut payload = vec![0; u32::from_be_bytes(length) as usize];
        reader.read_exact(&mut payload).expect("a reply comes whole");
        let header = ReplyHeader::from_bytes(&payload).expect("a reply has a header");
        assert_eq!(header.err, 0);
        usize::try_from(header.xid.0).expect("no event is awaited")
    };
    (0..count).map(|_| xid()).collect()
}
