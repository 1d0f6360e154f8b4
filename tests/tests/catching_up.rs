//! The three ways in which a server that was away gets the history of its leader: from the leader's
//! log, as a snapshot, and by a cut of what was never committed. Each in an ensemble of processes,
//! and each once more in the server's next start.

use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::raw_client::RawClient;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::SetData;

const SESSION_TIMEOUT_MS: i32 = 300_000;
/// More than the 500 that a leader has at hand.
const WRITES: usize = 1_500;
const PATH: &str = "/node";

/// What a leader says of a snapshot that it sends, and a learner of what it cuts.
const SENT: &str = "sending snapshot";
const CUT: &str = "the log was cut behind";

fn ensemble() -> (Ensemble, u64, [u64; 2]) {
    let mut plan = Plan { network: Network::Direct, ..Plan::new(Flavor::Menagerie, 3, 0) };
    // No session ends by itself: that would be a transaction, too.
    plan.config = plan.config.key("maxSessionTimeout", SESSION_TIMEOUT_MS);
    let mut ensemble = Ensemble::start(&plan);
    let leader = ensemble.wait_for_leader();
    let others: Vec<_> = ensemble.ids().into_iter().filter(|id| *id != leader).collect();
    let others = others.try_into().expect("three servers");
    let mut client = client(&mut ensemble, leader);
    assert_eq!(client.create(PATH, b"first", 0).expect("it serves").header.err, 0);
    client.close().expect("it serves");
    ensemble.wait_until_in_sync();
    (ensemble, leader, others)
}

fn client(ensemble: &mut Ensemble, id: u64) -> RawClient {
    let address = ensemble.node(id).client();
    RawClient::connect(address, SESSION_TIMEOUT_MS).expect("it serves")
}

/// Writes values of so many bytes, the last of which begins with `last`.
fn write(ensemble: &mut Ensemble, id: u64, data_bytes: usize, last: u8) {
    let mut client = client(ensemble, id);
    for write in 0..WRITES {
        let first = if write + 1 == WRITES { last } else { b'.' };
        let data = [&[first][..], &vec![b'd'; data_bytes - 1]].concat();
        let set = SetData { path: Some(PATH.into()), data: Some(&data), version: -1 };
        client.send(OpCode::SetData, &set).expect("it serves");
        if write % 100 == 99 {
            (0..100).for_each(|_| assert_eq!(client.receive().expect("it serves").header.err, 0));
        }
    }
    client.close().expect("it serves");
}

/// What the server itself has, the version included.
fn read(ensemble: &mut Ensemble, id: u64) -> (u8, i32) {
    let mut client = client(ensemble, id);
    let (data, stat) = client.get_data(PATH).expect("it serves").expect("the node is there");
    client.close().expect("it serves");
    (data[0], stat.version)
}

/// Ends and starts the server: it finds what it had.
fn check_restart(ensemble: &mut Ensemble, id: u64, expect: (u8, i32)) {
    ensemble.node(id).kill();
    ensemble.node(id).start();
    ensemble.wait_until_in_sync();
    assert_eq!(read(ensemble, id), expect);
}

fn lags_behind(data_bytes: usize, gets_snapshot: bool) {
    let (mut ensemble, leader, [away, _]) = ensemble();
    ensemble.node(away).kill();
    write(&mut ensemble, leader, data_bytes, b'z');
    ensemble.node(away).start();
    ensemble.wait_until_in_sync();
    let expect = (b'z', WRITES as i32);
    assert_eq!(read(&mut ensemble, away), expect);
    let says = ensemble.node(leader).stderr();
    assert_eq!(says.contains(SENT), gets_snapshot, "{says}");
    check_restart(&mut ensemble, away, expect);
}

#[test]
fn a_server_that_lags_by_little_is_brought_up_from_the_log() {
    lags_behind(100, false);
}

#[test]
fn a_server_that_lags_by_more_than_the_tree_is_worth_gets_the_tree() {
    lags_behind(4_000, true);
}

#[test]
fn what_was_never_committed_is_cut_from_the_log_of_the_old_leader() {
    let (mut ensemble, leader, others) = ensemble();
    let mut client = client(&mut ensemble, leader);
    for id in others {
        ensemble.node(id).pause();
    }
    // The leader logs it before it notices that it is alone.
    let set = SetData { path: Some(PATH.into()), data: Some(b"lost"), version: -1 };
    let _ended_already = client.send(OpCode::SetData, &set);
    client.receive().expect_err("nobody else can have committed it");
    ensemble.node(leader).kill();
    for id in others {
        // What is on its way to it is lost with it.
        ensemble.node(id).kill();
        ensemble.node(id).start();
    }
    let new_leader = ensemble.wait_for_leader();
    // Before anything is written in the new epoch: what comes too much is all there is to do.
    ensemble.node(leader).start();
    ensemble.wait_until_serving(leader);
    assert_eq!(read(&mut ensemble, leader), (b'f', 0));
    let says = ensemble.node(new_leader).stderr();
    assert!(!says.contains(SENT), "{says}");
    let says = ensemble.node(leader).stderr();
    assert!(says.contains(CUT), "{says}");
    check_restart(&mut ensemble, leader, (b'f', 0));
}
