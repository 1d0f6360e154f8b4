//! Menagerie answers as Apache ZooKeeper does, for as many random scripts as fit into seconds.
//! (`cargo run -p menagerie-tests --bin differential` goes on for as long as one likes.)
//!
//! The comparison itself is tested too: Apache against itself must show nothing, and a proxy that
//! changes a single number in some replies must be found out by a short script.

use menagerie_tests::apache::Apache;
use menagerie_tests::differential::lane::{Lane, Received};
use menagerie_tests::differential::pair::{Features, Kind, Pair, config};
use menagerie_tests::differential::script::framed;
use menagerie_tests::differential::{Budget, compare, start_and_compare};
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const FIRST_SEED: u64 = 20_000;

fn seconds(seconds: u64) -> Budget {
    Budget {
        seed: FIRST_SEED,
        time: Duration::from_secs(seconds),
        scripts_max: u64::MAX,
        findings_max: 1,
    }
}

fn check(second: Kind, features: Features, budget: Budget) {
    let report = start_and_compare(second, features, budget).expect("both servers start");
    assert!(report.scripts > 0);
    if let Some(finding) = report.findings.first() {
        panic!("{finding}");
    }
}

#[test]
fn menagerie_answers_as_apache_zookeeper_does() {
    check(Kind::Menagerie, Features::All, seconds(20));
}

#[test]
fn menagerie_has_the_same_features_switched_on_by_default() {
    check(Kind::Menagerie, Features::Default, seconds(6));
}

#[test]
fn apache_zookeeper_shows_no_difference_from_itself() {
    check(Kind::Apache, Features::All, seconds(8));
}

#[test]
fn what_a_proxy_changes_is_found_by_a_short_script() {
    let servers = [0, 1].map(|_| Apache::start(&config(Features::All)));
    let check = |spoil: Spoil, expect: &str| {
        let proxy = spoiling_proxy(servers[1].address(), spoil);
        let mut pair = Pair::at([servers[0].address(), proxy], Kind::Apache).expect("both serve");
        let report = compare(&mut pair, seconds(60)).expect("both go on serving");
        let finding = report.findings.first().expect("the spoiled replies are found");
        assert!(finding.script.steps.len() <= 4, "{finding}");
        assert!(finding.divergence.apache.contains(expect), "{finding}");
    };
    check(one_version_too_high, " version=");
    check(no_event_of_deleted_nodes, "event ");
    check(error_without_a_zxid, "err=-101");
}

/// Changes a frame that a server sends; false: keeps it back.
type Spoil = fn(&mut [u8]) -> bool;

fn one_version_too_high(frame: &mut [u8]) -> bool {
    // The reply to setData: a header and a Stat, whose version is 32 bytes in.
    if frame.len() == 16 + 68 && frame[12..16] == [0; 4] {
        frame[16 + 35] = frame[16 + 35].wrapping_add(1);
    }
    true
}

fn no_event_of_deleted_nodes(frame: &mut [u8]) -> bool {
    frame.len() < 20 || frame[..4] != [0xff; 4] || frame[16..20] != [0, 0, 0, 2]
}

fn error_without_a_zxid(frame: &mut [u8]) -> bool {
    if frame.len() == 16 && frame[12..16] == (-101i32).to_be_bytes() {
        frame[4..12].fill(0);
    }
    true
}

/// Listens on a port of its own and forwards to `server`; each frame of the server goes through
/// `spoil` first.
fn spoiling_proxy(server: SocketAddr, spoil: Spoil) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it was just bound");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || forward(client, server, spoil));
        }
    });
    address
}

/// Forwards until one end closes, and closes the other then.
fn forward(mut client: TcpStream, server: SocketAddr, spoil: Spoil) -> io::Result<()> {
    let mut to_server = TcpStream::connect(server)?;
    for stream in [&client, &to_server] {
        stream.set_nodelay(true)?;
    }
    let mut from_server = Lane::over(to_server.try_clone()?);
    let mut from_client = client.try_clone()?;
    std::thread::spawn(move || {
        io::copy(&mut from_client, &mut to_server)?;
        to_server.shutdown(Shutdown::Write)
    });
    while let Received::Frame(mut frame) = from_server.receive(Duration::from_secs(600)) {
        if spoil(&mut frame) {
            client.write_all(&framed(&frame))?;
        }
    }
    client.shutdown(Shutdown::Both)
}
