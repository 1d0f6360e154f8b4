//! What a client and an operator see of a server that loses its quorum and gets it back. Apache's
//! servers are put to the same test.

use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::raw_client::RawClient;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::SetData;

const EPHEMERAL: i32 = 1;
const SESSION_TIMEOUT_MS: i32 = 10_000;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Words, and what they answer without a quorum.
const WORDS: [(&str, &str); 16] = [
    ("ruok", "imok"),
    ("isro", "null"),
    ("gtmk", "306"),
    ("hash", NOT_SERVING.trim_ascii_end()),
    ("srvr", NOT_SERVING),
    ("stat", NOT_SERVING),
    ("mntr", NOT_SERVING),
    ("conf", NOT_SERVING),
    ("cons", NOT_SERVING),
    ("crst", NOT_SERVING),
    ("srst", NOT_SERVING),
    ("dirs", NOT_SERVING),
    ("dump", NOT_SERVING),
    ("wchs", NOT_SERVING),
    ("wchc", NOT_SERVING),
    ("wchp", NOT_SERVING),
];

fn a_quorum_is_lost_and_comes_back(flavor: Flavor) {
    let plan = Plan { network: Network::Direct, ..Plan::new(flavor, 3, 0) };
    let mut ensemble = Ensemble::start(&plan);
    let leader = ensemble.wait_for_leader();
    let others: Vec<_> = ensemble.ids().into_iter().filter(|id| *id != leader).collect();
    let [left, other] = others[..] else { panic!("three servers: {others:?}") };
    let address = ensemble.node(left).client();
    let mut client = RawClient::connect(address, SESSION_TIMEOUT_MS).expect("it serves");
    assert_eq!(client.create("/e", b"here", EPHEMERAL).expect("it serves").header.err, 0);
    let session = client.session().clone();

    ensemble.node(other).kill();
    ensemble.node(leader).kill();
    let set = SetData { path: Some("/e".into()), data: Some(b"lost"), version: -1 };
    // It may be sent before the server knows; nobody can commit it.
    let _ended_already = client.send(OpCode::SetData, &set);
    assert!(client.receive().is_err(), "a write is not answered without a quorum");
    for (word, answer) in WORDS {
        assert_eq!(ensemble.node(left).ask(word).as_deref(), Some(answer), "{word}");
    }
    RawClient::connect(address, SESSION_TIMEOUT_MS).expect_err("no session without a quorum");
    RawClient::resume(address, &session).expect_err("nor an old one");

    ensemble.node(other).start();
    ensemble.wait_until_in_sync();
    let mut client = RawClient::resume(address, &session).expect("it serves");
    assert_eq!(client.session().session_id, session.session_id, "the session has outlived it");
    let (_, stat) = client.get_data("/e").expect("it serves").expect("and so has what it owns");
    assert_eq!(stat.ephemeral_owner, session.session_id);
    assert_eq!(client.set_data("/e", b"back").expect("it serves").header.err, 0);
    client.close().expect("it serves");
}

#[test]
fn apache_loses_its_quorum_and_gets_it_back() {
    a_quorum_is_lost_and_comes_back(Flavor::Apache);
}

#[test]
fn menagerie_loses_its_quorum_and_gets_it_back() {
    a_quorum_is_lost_and_comes_back(Flavor::Menagerie);
}
