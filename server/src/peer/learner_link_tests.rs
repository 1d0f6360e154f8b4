//! Leaders' and learners' ends of the quorum port on loopback, and those who do not belong there.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use menagerie_engine::snapshot::jute_stream;
use menagerie_engine::tree::{NewNode, Owner, Tree};
use menagerie_replication::{Packet, TxnBytes};
use menagerie_wire::data::Acl;
use menagerie_wire::jute::Put;
use menagerie_wire::quorum::{DATA_BYTES_MAX_DEFAULT, PacketType};
use menagerie_wire::txn::TxnHeader;
use menagerie_wire::{Epoch, OpCode, SessionId, Xid, Zxid};

use super::super::connection::UNTAKEN_BYTES_MAX;
use super::*;
use crate::peer::harness::{self, PATIENCE, next};
use crate::peer::pieces::{LinkGone, pieces};
use crate::runtime::cores::on_a_core;
use crate::runtime::mailbox::mailbox;
use crate::store::send_snapshot;

const LEADER: ServerId = ServerId(1);
const LEARNER: ServerId = ServerId(2);

/// A quorum port and its mailboxes. Its end is that of the port.
struct Port {
    to: Sender<LearnerInput>,
    from: Receiver<LearnerOutput>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.to.send(LearnerInput::Stop);
    }
}

/// A leader's port and the address it listens on when it is told to.
struct Leader {
    port: Port,
    address: SocketAddr,
    config: LearnerLinkConfig,
}

fn start(config: LearnerLinkConfig) -> Port {
    let ((to, inbox), (outbox, from)) = (mailbox(), mailbox());
    spawn(run(config, inbox, outbox));
    Port { to, from }
}

impl Leader {
    fn new(change: impl FnOnce(&mut LearnerLinkConfig)) -> Self {
        let (port, address) = harness::listening();
        drop(port);
        let members = [LEADER.0, LEARNER.0].map(|id| harness::member(id, address.port(), 1));
        let mut config = LearnerLinkConfig {
            id: LEADER,
            book: AddressBook::new(members),
            listen: vec![address],
            init_timeout: PATIENCE,
            dial_timeout: PATIENCE,
            connect_timeout: PATIENCE,
            stuck_timeout: PATIENCE,
            waiting_bytes_max: 64 << 20,
            packet_bytes_max: DATA_BYTES_MAX_DEFAULT,
        };
        change(&mut config);
        Self { port: start(config.clone()), address, config }
    }

    /// A leader, a learner that is only a socket, and the link to it.
    async fn called(change: impl FnOnce(&mut LearnerLinkConfig)) -> (Self, TcpStream, Link) {
        let leader = Self::new(change);
        leader.listen().await;
        let (caller, link) = leader.caller().await;
        (leader, caller, link)
    }

    async fn listen(&self) {
        self.port.to.send(LearnerInput::Listen);
        let LearnerOutput::Listening { addresses } = next(&self.port.from).await else { panic!() };
        assert_eq!(addresses, [self.address]);
    }

    /// The link of a learner that has called, its introduction taken.
    async fn accepted(&self) -> Link {
        let output = next(&self.port.from).await;
        let LearnerOutput::Accepted { link, from: LEARNER } = output else { panic!("{output:?}") };
        assert_eq!(self.port.received(link).await, introduction(LEARNER));
        link
    }

    /// A learner that is only a socket, and its link.
    async fn caller(&self) -> (TcpStream, Link) {
        let mut caller = TcpStream::connect(self.address).unwrap();
        caller.write_all(&bytes(&introduction(LEARNER))).unwrap();
        let link = self.accepted().await;
        (caller, link)
    }

    /// A leader and a learner's port, and the numbers of the link between them.
    async fn with_learner() -> (Self, Port, Link, Link) {
        let leader = Self::new(|_| {});
        leader.listen().await;
        let learner = start(leader.config.clone());
        learner.to.send(LearnerInput::Connect { leader: LEADER });
        let output = next(&learner.from).await;
        let LearnerOutput::Connected { leader: LEADER, link } = output else {
            panic!("{output:?}")
        };
        learner.to.send(LearnerInput::Send { link, packet: introduction(LEARNER) });
        let accepted = leader.accepted().await;
        (leader, learner, accepted, link)
    }
}

impl Port {
    async fn received(&self, from: Link) -> Packet {
        match next(&self.from).await {
            LearnerOutput::Received { link, packet, bytes } if link == from => {
                self.to.send(LearnerInput::Taken { link, bytes });
                packet
            }
            // A packet of a megabyte is no message.
            other => panic!("instead of a packet of {from:?}: {:.200}", format!("{other:?}")),
        }
    }

    async fn closed(&self, ended: Link) -> Closed {
        match next(&self.from).await {
            LearnerOutput::Closed { link, reason } if link == ended => reason,
            other => panic!("{other:?}"),
        }
    }
}

const fn introduction(sid: ServerId) -> Packet {
    let (accepted_epoch, config_version) = (Epoch(3), Zxid(0));
    Packet::LearnerInfo { observer: false, accepted_epoch, sid, config_version }
}

const fn ack(zxid: i64) -> Packet {
    Packet::Ack { zxid: Zxid(zxid) }
}

fn proposal(zxid: i64, body_bytes: usize) -> Packet {
    let (zxid, client_id, cxid) = (Zxid(zxid), SessionId(7), Xid(1));
    let mut txn = TxnHeader { client_id, cxid, zxid, time_ms: 5, op: OpCode::Create }.to_bytes();
    txn.extend(std::iter::repeat_n(7, body_bytes));
    Packet::Proposal { zxid, txn: TxnBytes::from(txn) }
}

fn bytes(packet: &Packet) -> Vec<u8> {
    packet.as_wire().to_bytes()
}

#[test]
fn packets_arrive_in_the_order_in_which_they_were_sent() {
    on_a_core(|| async {
        let (leader, learner, to_learner, to_leader) = Leader::with_learner().await;
        let size = |zxid: i64| usize::try_from(zxid * 37 % 5_000).unwrap();
        for zxid in 1..=500 {
            let packet = proposal(zxid, size(zxid));
            leader.port.to.push(LearnerInput::Send { link: to_learner, packet });
            learner.to.push(LearnerInput::Send { link: to_leader, packet: ack(zxid) });
        }
        leader.port.to.wake();
        learner.to.wake();
        for zxid in 1..=500 {
            assert_eq!(learner.received(to_leader).await, proposal(zxid, size(zxid)));
            assert_eq!(leader.port.received(to_learner).await, ack(zxid));
        }
        leader.port.to.send(LearnerInput::WhenRoom { link: to_learner });
        assert!(matches!(next(&leader.port.from).await, LearnerOutput::Room { .. }));
    });
}

#[test]
fn the_door_is_open_only_while_somebody_leads() {
    on_a_core(|| async {
        let leader = Leader::new(|_| {});
        let learner = start(leader.config.clone());
        for _ in 0..2 {
            learner.to.send(LearnerInput::Connect { leader: LEADER });
            let output = next(&learner.from).await;
            assert!(matches!(output, LearnerOutput::CannotConnect { leader: LEADER, .. }));
            leader.listen().await;
            let (_caller, link) = leader.caller().await;
            leader.port.to.send(LearnerInput::Close { link });
            leader.port.to.send(LearnerInput::StopListening);
        }
    });
}

#[test]
fn a_port_that_is_taken_is_reported() {
    on_a_core(|| async {
        let (_taken, address) = harness::listening();
        let leader = Leader::new(|config| config.listen = vec![address]);
        leader.port.to.send(LearnerInput::Listen);
        let output = next(&leader.port.from).await;
        assert!(matches!(output, LearnerOutput::CannotListen { .. }), "{output:?}");
    });
}

#[test]
fn a_link_is_not_read_while_too_much_of_it_is_not_looked_at() {
    const PACKET_BYTES: usize = 1 << 20;
    const PACKETS: i64 = 64;
    on_a_core(|| async {
        let (leader, mut caller, from) = Leader::called(|_| {}).await;
        let (sent, said) = mailbox();
        let thread = thread::spawn(move || {
            for zxid in 1..=PACKETS {
                caller.write_all(&bytes(&proposal(zxid, PACKET_BYTES))).unwrap();
                sent.send(zxid);
            }
            caller
        });
        // What the sockets hold comes on top; they would hold it all before long.
        let mut received = 0;
        while received < UNTAKEN_BYTES_MAX / PACKET_BYTES {
            let LearnerOutput::Received { .. } = next(&leader.port.from).await else { panic!() };
            received += 1;
        }
        // Another link is read meanwhile, turn by turn and as much: nothing comes but from there.
        let (mut other, from_other) = leader.caller().await;
        let other = thread::spawn(move || {
            let said = (1..=PACKETS)
                .try_for_each(|zxid| other.write_all(&bytes(&proposal(zxid, PACKET_BYTES))));
            said.map(|()| other)
        });
        for zxid in 1..=PACKETS {
            assert_eq!(leader.port.received(from_other).await, proposal(zxid, PACKET_BYTES));
        }
        let bytes = received * PACKET_BYTES;
        leader.port.to.send(LearnerInput::Taken { link: from, bytes });
        for zxid in received as i64 + 1..=PACKETS {
            assert_eq!(leader.port.received(from).await, proposal(zxid, PACKET_BYTES));
        }
        while next(&said).await != PACKETS {}
        drop((thread.join().unwrap(), other.join().unwrap().unwrap()));
    });
}

/// A port whose queue is full: whoever calls waits.
fn port_that_does_not_answer() -> (OwnedFd, Vec<TcpStream>, u16) {
    let (listening, address) = net::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 0).unwrap();
    let mut callers = Vec::new();
    while let Ok(caller) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        callers.push(caller);
    }
    (listening, callers, address.port())
}

#[test]
fn an_attempt_to_reach_a_leader_takes_no_longer_than_it_may() {
    on_a_core(|| async {
        let (_listening, _callers, port) = port_that_does_not_answer();
        let leader = Leader::new(|config| {
            config.dial_timeout = TICK;
            config.connect_timeout = 100 * TICK;
            let other = harness::member(9, port, 1);
            let members = [LEADER.0, LEARNER.0].map(|id| harness::member(id, port, 1));
            config.book = AddressBook::new(members.into_iter().chain([other]));
        });
        leader.port.to.send(LearnerInput::Connect { leader: ServerId(9) });
        let LearnerOutput::CannotConnect { error, .. } = next(&leader.port.from).await else {
            panic!()
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // It is no limit for a link.
        leader.listen().await;
        let (_caller, link) = leader.caller().await;
        sleep(4 * TICK).await;
        assert!(leader.port.from.try_receive().is_none());
        leader.port.to.send(LearnerInput::Close { link });
    });
}

#[test]
fn a_peer_that_spoke_while_this_process_stood_still_was_not_silent() {
    on_a_core(|| async {
        let silence = Duration::from_secs(1);
        let (leader, mut caller, link) =
            Leader::called(|config| config.init_timeout = silence).await;
        sleep(2 * TICK).await;
        caller.write_all(&bytes(&ack(7))).unwrap();
        // The whole core stands still.
        thread::sleep(silence + Duration::from_millis(LATE_MS));
        sleep(4 * TICK).await;
        assert_eq!(leader.port.received(link).await, ack(7));
        assert!(leader.port.from.try_receive().is_none(), "it is still there");
        assert!(matches!(leader.port.closed(link).await, Closed::Silent { .. }));
    });
}

/// Byte `at` of a stream that tells when something is lost or doubled.
fn stream_byte(at: usize) -> u8 {
    (at >> 8 ^ at) as u8
}

#[test]
fn a_snapshot_of_20_mb_goes_between_packets_portion_by_portion() {
    const LEN: usize = 20 << 20;
    on_a_core(|| async {
        let (leader, learner, to_learner, to_leader) = Leader::with_learner().await;
        let (writer, pieces) = pieces();
        let thread = thread::spawn(move || {
            let stream: Vec<u8> = (0..LEN).map(stream_byte).collect();
            stream.chunks(100_000).try_for_each(|piece| writer.write(piece))?;
            writer.finish();
            Ok::<(), LinkGone>(())
        });
        let zxid = Zxid(9);
        let (link, to) = (to_learner, &leader.port.to);
        to.send(LearnerInput::SendSnapshot { link, zxid, pieces });
        to.send(LearnerInput::Send { link, packet: ack(10) });
        assert_eq!(learner.received(to_leader).await, Packet::Snap { zxid });
        learner.to.send(LearnerInput::ReceiveSnapshot { link: to_leader });
        let mut at = 0;
        while at < LEN {
            let output = next(&learner.from).await;
            let LearnerOutput::Portion { bytes, .. } = output else { panic!("{output:?}") };
            assert!(bytes.len() <= 2 * SCRATCH_BYTES, "{} bytes at once", bytes.len());
            assert!(learner.from.try_receive().is_none(), "one portion at a time");
            let (ours, behind) = bytes.split_at(bytes.len().min(LEN - at));
            let expect = (at..at + ours.len()).map(stream_byte);
            assert!(ours.iter().copied().eq(expect), "damaged near byte {at}");
            at += ours.len();
            let behind = (at == LEN).then(|| behind.to_vec());
            learner.to.send(LearnerInput::PortionTaken { link: to_leader, behind });
        }
        assert_eq!(learner.received(to_leader).await, ack(10));
        assert!(matches!(next(&leader.port.from).await, LearnerOutput::SnapshotSent { .. }));
        assert_eq!(thread.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_tree_crosses_a_link_as_apache_writes_it() {
    on_a_core(|| async {
        let (leader, learner, link, to_leader) = Leader::with_learner().await;
        let mut tree = Tree::new();
        for at in 0..3_000 {
            let (acl, data) = ([Acl::world(31)], vec![7; at % 300]);
            let (owner, czxid) = (Owner::None, Zxid(7));
            let node = NewNode { data: Some(&data), acl: &acl, owner, czxid, ctime_ms: 5 };
            tree.insert(&format!("/node-{at}"), node, 1, czxid).unwrap();
        }
        let zxid = Zxid(7);
        tree.advance(zxid);
        let digest = tree.view().digest();
        let (writer, pieces) = pieces();
        let root = tree.seal();
        let thread = thread::spawn(move || send_snapshot(root, writer));
        leader.port.to.send(LearnerInput::SendSnapshot { link, zxid, pieces });
        assert_eq!(learner.received(to_leader).await, Packet::Snap { zxid });
        learner.to.send(LearnerInput::ReceiveSnapshot { link: to_leader });
        let mut receiver = jute_stream::Receiver::new(1 << 20);
        let mut ended = false;
        while !ended {
            let output = next(&learner.from).await;
            let LearnerOutput::Portion { bytes, .. } = output else { panic!("{output:?}") };
            let behind = receiver.push(&bytes).unwrap();
            ended = behind.is_some();
            learner.to.send(LearnerInput::PortionTaken { link: to_leader, behind });
        }
        assert_eq!(receiver.finish(zxid).unwrap().view().digest(), digest);
        assert_eq!(thread.join().unwrap(), Ok(()));
        leader.port.to.send(LearnerInput::Send { link, packet: ack(8) });
        assert_eq!(learner.received(to_leader).await, ack(8), "packets go on behind the stream");
    });
}

#[test]
fn a_receiver_that_does_not_move_is_cut_and_frees_the_snapshot() {
    on_a_core(|| async {
        let (leader, _caller, link) =
            Leader::called(|config| config.stuck_timeout = Duration::from_millis(300)).await;
        let (writer, pieces) = pieces();
        let thread = thread::spawn(move || {
            // Without end: only a bounded way lets go of it.
            let piece = vec![0; 64 << 10];
            (0usize..).take_while(|_| writer.write(&piece).is_ok()).count() * piece.len()
        });
        leader.port.to.send(LearnerInput::SendSnapshot { link, zxid: Zxid(1), pieces });
        let reason = leader.port.closed(link).await;
        assert!(matches!(reason, Closed::Stuck { .. }), "{reason}");
        assert!(thread.join().unwrap() < 64 << 20, "more than kernel and link may hold");
    });
}

#[test]
fn a_snapshot_that_breaks_off_ends_the_link() {
    on_a_core(|| async {
        let (leader, _caller, link) = Leader::called(|_| {}).await;
        let (writer, pieces) = pieces();
        writer.write(b"half a record").unwrap();
        drop(writer);
        leader.port.to.send(LearnerInput::SendSnapshot { link, zxid: Zxid(1), pieces });
        let reason = leader.port.closed(link).await;
        assert!(matches!(reason, Closed::BrokenOff), "{reason}");
    });
}

#[test]
fn a_peer_for_whom_too_much_waits_is_cut() {
    on_a_core(|| async {
        let (leader, _caller, link) = Leader::called(|config| {
            (config.packet_bytes_max, config.waiting_bytes_max) = (1 << 20, 4 << 20);
        })
        .await;
        // More than the limit and what the kernel holds.
        let packet = proposal(1, 1 << 20);
        for _ in 0..64 {
            leader.port.to.send(LearnerInput::Send { link, packet: packet.clone() });
        }
        let reason = leader.port.closed(link).await;
        assert!(matches!(reason, Closed::Full { bytes_max: 4_194_304, .. }), "{reason}");
    });
}

#[test]
fn a_silent_peer_is_cut() {
    on_a_core(|| async {
        let (leader, _caller, link) =
            Leader::called(|config| config.init_timeout = Duration::from_millis(100)).await;
        let reason = leader.port.closed(link).await;
        assert!(matches!(reason, Closed::Silent { ms: 100.. }), "{reason}");
    });
}

#[test]
fn the_end_of_a_link_is_reported_once_and_our_own_closing_never() {
    on_a_core(|| async {
        let (leader, learner, to_learner, to_leader) = Leader::with_learner().await;
        learner.to.send(LearnerInput::Close { link: to_leader });
        learner.to.send(LearnerInput::Send { link: to_leader, packet: ack(1) });
        let reason = leader.port.closed(to_learner).await;
        assert!(matches!(reason, Closed::HungUp), "{reason}");
        leader.port.to.send(LearnerInput::Send { link: to_learner, packet: ack(1) });
        leader.port.to.send(LearnerInput::Close { link: to_learner });
        // Whatever else there were to say would come before the answer to this.
        leader.listen().await;
        learner.to.send(LearnerInput::Connect { leader: LEADER });
        let output = next(&learner.from).await;
        let LearnerOutput::Connected { link, .. } = output else { panic!("{output:?}") };
        assert_ne!(link, to_leader, "a number is never used again");
    });
}

#[test]
fn hostile_bytes_end_their_own_connection_and_no_link() {
    on_a_core(|| async {
        let (leader, learner, to_learner, to_leader) = Leader::with_learner().await;
        let mut huge = Vec::new();
        huge.put_int(PacketType::FollowerInfo as i32);
        huge.put_long(0);
        huge.put_int(i32::MAX);
        let hostile = [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0xff; 4096],
            huge,
            bytes(&introduction(ServerId(9))),
            bytes(&introduction(LEADER)),
            bytes(&ack(1)),
            bytes(&proposal(1, 20)),
            bytes(&proposal(1, 100_000)),
        ];
        for words in hostile {
            harness::says_and_is_cut_off(leader.address, words).await;
        }
        leader.port.to.send(LearnerInput::Send { link: to_learner, packet: ack(5) });
        assert_eq!(learner.received(to_leader).await, ack(5));
        learner.to.send(LearnerInput::Send { link: to_leader, packet: ack(6) });
        assert_eq!(leader.port.received(to_learner).await, ack(6), "nobody else was heard of");
    });
}

#[test]
fn a_member_that_says_what_nobody_says_is_cut() {
    on_a_core(|| async {
        let (leader, mut caller, link) = Leader::called(|_| {}).await;
        caller.write_all(&[0xff; 64]).unwrap();
        let reason = leader.port.closed(link).await;
        assert!(matches!(reason, Closed::Peer(_)), "{reason}");
    });
}
