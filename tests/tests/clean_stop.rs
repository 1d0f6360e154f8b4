//! What SIGTERM leaves behind: a start that has little to do.

use menagerie_tests::ServerConfig;
use menagerie_tests::raw_client::{RawClient, four_letter, value_of};
use menagerie_tests::server::Menagerie;

const SESSION_TIMEOUT_MS: i32 = 30_000;
const NODES: usize = 20;

/// Creates nodes, ends the server with SIGTERM and starts it again; how many transactions it then
/// applied from its log.
fn replayed_after_a_stop(snap_count: u64) -> u64 {
    let config = ServerConfig::new().key("snapCount", snap_count);
    let config = config.key("4lw.commands.whitelist", "mntr");
    let mut server = Menagerie::start(&config);
    let client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS);
    let mut client = client.expect("a session");
    for node in 0..NODES {
        let reply = client.create(&format!("/{node}"), b"data", 0).expect("a reply");
        assert_eq!(reply.header.err, 0);
    }
    assert!(server.stop().success());
    server.restart();
    let client = RawClient::resume(server.address(), client.session());
    let mut client = client.expect("the session goes on");
    for node in 0..NODES {
        let found = client.get_data(&format!("/{node}")).expect("a reply");
        assert_eq!(found.expect("it is there").0, b"data");
    }
    let figures = four_letter(server.address(), "mntr").expect("an answer");
    let loaded = value_of(&figures, "zk_sum_startup_txns_loaded").expect("mntr says so");
    loaded.parse().expect("a number")
}

#[test]
fn a_clean_stop_with_much_log_behind_it_leaves_nothing_to_replay() {
    assert_eq!(replayed_after_a_stop(100), 0);
}

#[test]
fn a_clean_stop_with_little_log_behind_it_writes_no_snapshot() {
    // The session's begin is a transaction, too.
    assert_eq!(replayed_after_a_stop(1_000), NODES as u64 + 1);
}
