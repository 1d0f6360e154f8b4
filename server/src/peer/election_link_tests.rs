//! Managers of election connections among themselves, and hostile callers, on loopback.

use menagerie_wire::address::Host;
use menagerie_wire::jute::Put;
use menagerie_wire::notification::{First, ServerState, Vote};

use super::*;
use crate::peer::harness::{self, PATIENCE, next};
use crate::runtime::cores::on_a_core;
use crate::runtime::mailbox::mailbox;

/// A manager and its mailboxes. Its end is that of the manager.
struct Node {
    id: ServerId,
    to: Sender<ElectionInput>,
    from: Receiver<ElectionOutput>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.to.send(ElectionInput::Stop);
    }
}

/// Bound ports of members 1, 2, …; of the last ones there may be no manager.
struct Ensemble {
    book: Arc<AddressBook>,
    ports: Vec<(Option<OwnedFd>, std::net::SocketAddr)>,
}

impl Ensemble {
    fn new(members: usize) -> Self {
        let bound = (0..members).map(|_| harness::listening());
        let ports: Vec<_> = bound.map(|(fd, address)| (Some(fd), address)).collect();
        let members =
            (1..).zip(&ports).map(|(id, (_, address))| harness::member(id, 1, address.port()));
        Self { book: AddressBook::new(members), ports }
    }

    fn address(&self, id: i64) -> std::net::SocketAddr {
        self.ports[usize::try_from(id - 1).unwrap()].1
    }

    fn start(&mut self, id: i64) -> Node {
        let address = self.address(id);
        let port = &mut self.ports[usize::try_from(id - 1).unwrap()];
        let listening = port.0.take().unwrap_or_else(|| net::bind(address, 64).unwrap().0);
        let config = ElectionConfig {
            id: ServerId(id),
            book: Arc::clone(&self.book),
            listening: vec![listening],
            address: HostPort::parse(&address.to_string()).unwrap(),
            connect_timeout: PATIENCE,
            handshake_timeout: PATIENCE,
        };
        let ((to, inbox), (outbox, from)) = (mailbox(), mailbox());
        spawn(run(config, inbox, outbox));
        Node { id: ServerId(id), to, from }
    }
}

fn vote(round: i64) -> Notification<'static> {
    let vote = Vote { leader: ServerId(1), zxid: menagerie_wire::Zxid(5), round, peer_epoch: 1 };
    Notification::new(ServerState::Looking, vote, "version=0")
}

impl Node {
    fn say(&self, to: &Self, round: i64) {
        self.to.send(ElectionInput::Send { to: to.id, notification: vote(round) });
    }

    /// Waits for the word of `from`'s `round`; everything before it is passed over.
    async fn hears(&self, from: ServerId, round: i64) {
        let expect = ElectionOutput::Received { from, notification: vote(round) };
        while next(&self.from).await != expect {}
    }

    async fn sees(&self, expect: ElectionOutput) {
        while next(&self.from).await != expect {}
    }
}

#[test]
fn three_members_find_each_other_whoever_dials_first() {
    on_a_core(|| async {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut ensemble = Ensemble::new(3);
            let nodes = order.map(|id| ensemble.start(id));
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                nodes[one].say(&nodes[other], 7);
                nodes[other].hears(nodes[one].id, 7).await;
                nodes[other].say(&nodes[one], 8);
                nodes[one].hears(nodes[other].id, 8).await;
            }
        }
    });
}

/// Reads what a manager says on a connection that it dialled, or `None` when it hung up.
fn read_hello(listening: &std::net::TcpListener) -> (std::net::TcpStream, InitialMessage) {
    use std::io::Read;
    let (mut socket, _) = listening.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = [0; 256];
    let count = socket.read(&mut hello).unwrap();
    let First::Message { message, len } = InitialMessage::read(&hello[..count]).unwrap() else {
        panic!("the initial message came in pieces");
    };
    assert_eq!(len, count, "nothing follows it yet");
    (socket, message)
}

#[test]
fn the_smaller_id_hangs_up_and_waits_to_be_called() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        let theirs = std::net::TcpListener::from(ensemble.ports[1].0.take().unwrap());
        theirs.set_nonblocking(false).unwrap();
        let small = ensemble.start(1);
        let ours = ensemble.address(1);
        let peer = ServerId(2);
        small.to.send(ElectionInput::Send { to: peer, notification: vote(3) });
        let talk = offload("larger", move || {
            use std::io::{Read, Write};
            let (mut called, hello) = read_hello(&theirs);
            assert_eq!(hello.sid, ServerId(1));
            assert_eq!(called.read(&mut [0]).unwrap(), 0, "the smaller id keeps no call");
            let mut back = std::net::TcpStream::connect(ours).unwrap();
            let me = HostPort::parse("127.0.0.1:1").unwrap();
            back.write_all(&InitialMessage::v1(peer, me).to_bytes()).unwrap();
            let mut message = Vec::new();
            frame::put(&mut message, &vote(3));
            let mut heard = vec![0; message.len()];
            back.read_exact(&mut heard).unwrap();
            assert_eq!(heard, message);
            back.write_all(&message).unwrap();
            back
        });
        let back = talk.await.unwrap();
        small.sees(ElectionOutput::Up { peer }).await;
        small.hears(peer, 3).await;
        drop(back);
        small.sees(ElectionOutput::Down { peer }).await;
    });
}

#[test]
fn only_the_newest_message_waits_for_a_peer_that_is_away() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        drop(ensemble.ports[0].0.take());
        let large = ensemble.start(2);
        let peer = ServerId(1);
        for round in 1..=3 {
            large.to.send(ElectionInput::Send { to: peer, notification: vote(round) });
        }
        large.sees(ElectionOutput::Down { peer }).await;
        let small = ensemble.start(1);
        small.sees(ElectionOutput::Up { peer: large.id }).await;
        let first = ElectionOutput::Received { from: large.id, notification: vote(3) };
        assert_eq!(next(&small.from).await, first);
        large.sees(ElectionOutput::Up { peer }).await;
    });
}

#[test]
fn a_member_whose_name_does_not_resolve_is_down_and_holds_nobody_up() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        let port = |id| ensemble.address(id).port();
        let mut members = vec![harness::member(1, 1, port(1)), harness::member(2, 1, port(2))];
        let (_, mut unnamed) = harness::member(3, 1, 2);
        unnamed[0].host = Host::new("name.invalid").unwrap();
        members.push((ServerId(3), unnamed));
        ensemble.book = AddressBook::new(members);
        let (one, two) = (ensemble.start(1), ensemble.start(2));
        let peer = ServerId(3);
        one.to.send(ElectionInput::Send { to: peer, notification: vote(1) });
        one.say(&two, 2);
        two.hears(one.id, 2).await;
        // Of both, in whatever order.
        let mut down = false;
        let mut up = false;
        while !(down && up) {
            let output = next(&one.from).await;
            down |= output == ElectionOutput::Down { peer };
            up |= output == ElectionOutput::Up { peer: two.id };
        }
    });
}

#[test]
fn a_peer_that_comes_back_hears_the_last_message_again() {
    on_a_core(|| async {
        for (stays, leaves) in [(2, 1), (1, 2)] {
            let mut ensemble = Ensemble::new(2);
            let (one, other) = (ensemble.start(stays), ensemble.start(leaves));
            one.say(&other, 4);
            other.hears(one.id, 4).await;
            drop(other);
            one.sees(ElectionOutput::Down { peer: ServerId(leaves) }).await;
            let other = ensemble.start(leaves);
            other.hears(one.id, 4).await;
            one.sees(ElectionOutput::Up { peer: other.id }).await;
        }
    });
}

/// The initial message of a member, then `words`.
fn member_says(id: i64, words: &[u8]) -> Vec<u8> {
    let address = HostPort::parse("127.0.0.1:9").unwrap();
    let mut bytes = InitialMessage::v1(ServerId(id), address).to_bytes();
    bytes.extend_from_slice(words);
    bytes
}

#[test]
fn hostile_bytes_end_their_own_connection_and_no_other() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(3);
        let (one, two) = (ensemble.start(1), ensemble.start(2));
        one.say(&two, 1);
        two.hears(one.id, 1).await;
        one.sees(ElectionOutput::Up { peer: two.id }).await;
        let mut long_address = member_says(3, &[]);
        long_address[16..20].copy_from_slice(&i32::MAX.to_be_bytes());
        let huge = i32::MAX.to_be_bytes();
        let (unknown, ourselves) = (member_says(9, &[]), member_says(1, &[]));
        let noise: Vec<u8> =
            (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let hostile = [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            [vec![0xff; 8], noise].concat(),
            long_address,
            unknown,
            ourselves,
            member_says(3, &huge),
            member_says(3, &[0; 4]),
        ];
        for words in hostile {
            harness::says_and_is_cut_off(ensemble.address(1), words).await;
        }
        one.say(&two, 2);
        two.say(&one, 3);
        two.hears(one.id, 2).await;
        let mut disturbed = false;
        let last = ElectionOutput::Received { from: two.id, notification: vote(3) };
        loop {
            let output = next(&one.from).await;
            disturbed |= output == ElectionOutput::Down { peer: two.id };
            if output == last {
                break;
            }
        }
        assert!(!disturbed, "the connection between members was not touched");
    });
}

#[test]
fn a_second_caller_with_a_members_id_takes_its_place_and_loses_it_again() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        let (one, two) = (ensemble.start(1), ensemble.start(2));
        one.say(&two, 1);
        two.hears(one.id, 1).await;
        let mut message = vec![];
        frame::put(&mut message, &vote(9));
        message.put_int(-1);
        harness::says_and_is_cut_off(ensemble.address(1), member_says(2, &message)).await;
        one.hears(two.id, 9).await;
        two.say(&one, 5);
        one.hears(two.id, 5).await;
        one.say(&two, 6);
        two.hears(one.id, 6).await;
    });
}

#[test]
fn a_message_that_cannot_be_read_is_passed_over() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        drop(ensemble.ports[1].0.take());
        let one = ensemble.start(1);
        let mut words = vec![];
        words.put_buffer(Some(b"short"));
        frame::put(&mut words, &vote(2));
        words.put_int(0);
        harness::says_and_is_cut_off(ensemble.address(1), member_says(2, &words)).await;
        one.hears(ServerId(2), 2).await;
    });
}

#[test]
fn callers_who_say_nothing_make_way_for_members() {
    on_a_core(|| async {
        let mut ensemble = Ensemble::new(2);
        let to = ensemble.address(1);
        let call = move || std::net::TcpStream::connect(to).unwrap();
        let (one, two) = (ensemble.start(1), ensemble.start(2));
        let count = 2 * crate::peer::callers::CALLERS_MAX;
        let silent = offload("silent", move || (0..count).map(|_| call()).collect::<Vec<_>>());
        let silent = silent.await.unwrap();
        two.say(&one, 1);
        one.hears(two.id, 1).await;
        drop(silent);
    });
}
