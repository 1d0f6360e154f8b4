//! What clients of Apache's servers are told while one of ours leads them.
//!
//! Apache's learner looks for the request that an answer of its leader belongs to only at the head
//! of a queue of all that its clients have asked: an answer out of order is nobody's, and with it
//! all that come later. (ZooKeeper: `CommitProcessor.run`.)

use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::raw_client::RawClient;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::SetData;
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

const SESSION_TIMEOUT_MS: i32 = 10_000;
/// Of a session that asks for both there are half as many of each.
const REQUESTS: usize = 400;
const FOLLOWER: u64 = 2;
const OBSERVER: u64 = 4;

/// The Apache servers come when one of ours leads, and nobody leaves.
fn led_by_one_of_ours() -> Ensemble {
    let mut plan = Plan { network: Network::Direct, ..Plan::new(Flavor::Menagerie, 3, 1) };
    plan.voters[1] = Flavor::Apache;
    plan.observers[0] = Flavor::Apache;
    let mut ensemble = Ensemble::prepare(&plan);
    ensemble.node(1).start();
    ensemble.node(3).start();
    let leader = ensemble.wait_for_leader();
    ensemble.node(FOLLOWER).start();
    ensemble.node(OBSERVER).start();
    ensemble.wait_until_in_sync();
    assert_eq!(ensemble.leaders(), [leader]);
    ensemble
}

fn sync(client: &mut RawClient) -> io::Result<()> {
    client.send(OpCode::Sync, &Cow::Borrowed("/")).map(drop)
}

fn write(client: &mut RawClient) -> io::Result<()> {
    let set = SetData { path: Some("/".into()), data: Some(b"x"), version: -1 };
    client.send(OpCode::SetData, &set).map(drop)
}

/// Sessions that only sync, that only write, and that do both, on one server, without waiting.
fn all_are_answered(address: SocketAddr) -> io::Result<()> {
    let connect = || RawClient::connect(address, SESSION_TIMEOUT_MS);
    let (mut one, mut other, mut both) = (connect()?, connect()?, connect()?);
    for number in 0..REQUESTS {
        sync(&mut one)?;
        write(&mut other)?;
        if number % 2 == 0 { sync(&mut both)? } else { write(&mut both)? }
    }
    for client in [&mut one, &mut other, &mut both] {
        for number in 1..=REQUESTS {
            let header = client.receive()?.header;
            assert_eq!((header.xid.0, header.err), (number as i32, 0), "{header:?}");
        }
    }
    [one, other, both].into_iter().try_for_each(RawClient::close)
}

#[test]
fn who_syncs_and_who_writes_through_apaches_servers_are_both_answered() {
    let mut ensemble = led_by_one_of_ours();
    for id in [FOLLOWER, OBSERVER] {
        let address = ensemble.node(id).client();
        all_are_answered(address).unwrap_or_else(|error| panic!("server {id}: {error}"));
    }
}
