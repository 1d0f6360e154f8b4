//! What the server does at its limits: it refuses the one who asks too much, and nobody else
//! notices.

use menagerie_tests::ServerConfig;
use menagerie_tests::raw_client::RawClient;
use menagerie_tests::server::Menagerie;
use menagerie_wire::frame;
use menagerie_wire::ids::Xid;
use menagerie_wire::jute::Encode as _;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::{PathWatch, RequestHeader};
use std::io::Write as _;
use std::time::{Duration, Instant};

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
    let deadline = Instant::now() + Duration::from_secs(10);
    while RawClient::connect(server.address(), SESSION_TIMEOUT_MS).is_err() {
        assert!(Instant::now() < deadline, "a closed connection still counts");
    }
}

#[test]
fn surplus_connections_in_total_are_closed() {
    let config = ServerConfig::new().key("maxClientCnxns", 0).key("maxCnxns", 1);
    let server = Menagerie::start(&config);
    let mut first = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert!(RawClient::connect(server.address(), SESSION_TIMEOUT_MS).is_err());
    assert_eq!(first.create("/a", b"", 0).unwrap().header.err, 0);
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

/// Asks for 400 MB and reads none of it. The server may stop reading from that client or cut it
/// off; it may not keep the answers in memory, nor let others wait.
#[test]
fn a_client_that_does_not_read_costs_little_and_slows_nobody() {
    const VALUE_BYTES: usize = 1_000_000;
    const REQUESTS: usize = 400;
    const GROWTH_KIB_MAX: u64 = 100_000;

    let server = Menagerie::start(&ServerConfig::new());
    let mut modest = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    assert_eq!(modest.create("/big", &[7; VALUE_BYTES], 0).unwrap().header.err, 0);
    let before_kib = resident_kib(server.pid());

    let greedy = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).unwrap();
    let mut requests = Vec::new();
    for xid in 0..REQUESTS {
        frame::put_with(&mut requests, |out| {
            let xid = Xid(i32::try_from(xid).unwrap());
            RequestHeader { xid, op: OpCode::GetData as i32 }.encode(out);
            PathWatch { path: "/big".into(), watch: false }.encode(out);
        });
    }
    let mut stream = greedy.into_stream();
    // That the server cuts the connection off meanwhile is one of the right answers.
    let _ = stream.write_all(&requests);

    for round in 0..200 {
        let path = format!("/n{round}");
        assert_eq!(modest.create(&path, b"x", 0).unwrap().header.err, 0);
        assert_eq!(modest.get_data(&path).unwrap().unwrap().0, b"x");
    }
    let growth_kib = resident_kib(server.pid()).saturating_sub(before_kib);
    assert!(growth_kib < GROWTH_KIB_MAX, "{growth_kib} KiB more for one client");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.expect("the kernel prints a number of kB")
}
