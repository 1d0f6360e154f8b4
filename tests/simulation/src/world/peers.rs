//! The two ports between members, as bytes: votes, and the packets of the quorum port.
//!
//! Every packet passes through the codec on its way, and every vote. What `server/src/peer` adds to
//! that, framing and who may call, has tests of its own; here a message is a parcel.
//!
//! Election: a pair of members has one connection; the newest word to a peer is said again on a new
//! one. A peer that cannot be reached, or whose connection ended, is reported down once.

use menagerie::sequencer::ToPeer;
use menagerie_engine::snapshot::jute_stream::{self, Receiver};
use menagerie_engine::tree::{Root, Tree};
use menagerie_replication::{Event, Link, Packet, PeerFault};
use menagerie_wire::frame::{self, Cut};
use menagerie_wire::jute::{Encode, Put};
use menagerie_wire::notification::{self, Notification};
use menagerie_wire::quorum::{
    DATA_BYTES_MAX_DEFAULT, Next, PacketReader, QuorumPacket, SNAP_SIGNATURE,
};
use menagerie_wire::{ServerId, Zxid};

use super::network::{ConnectionId, Parcel, Place, Port};
use super::script::Verdict;
use super::{Input, Mutant, World};

/// The largest record of a snapshot stream.
const RECORD_BYTES_MAX: usize = 2 << 20;

/// Pause between two attempts to reach a peer on the election port.
const ELECTION_RETRY_US: (u64, u64) = (200_000, 1_000_000);

/// What arrives on one connection of the quorum port.
pub(super) struct Inlet {
    received: Vec<u8>,
    reader: PacketReader,
    stream: Option<(Zxid, Receiver)>,
}

/// What was found in the bytes of a connection.
enum Found {
    Packet(Packet),
    Snapshot(Tree),
}

impl Inlet {
    pub(super) fn new() -> Self {
        let reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
        Self { received: Vec::new(), reader, stream: None }
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        self.received.extend_from_slice(bytes);
        loop {
            if self.stream.is_some() {
                match self.take_stream() {
                    Some(snapshot) => found.push(snapshot),
                    None => return found,
                }
            }
            let next = self.reader.next(&self.received).expect("members say what can be read");
            let Next::Packet { packet, len } = next else { return found };
            if let QuorumPacket::Snap { zxid } = packet {
                self.stream = Some((zxid, Receiver::new(RECORD_BYTES_MAX)));
            }
            found.push(Found::Packet(packet.into()));
            self.received.drain(..len);
        }
    }

    /// The tree, when the stream has come to its end and signature.
    fn take_stream(&mut self) -> Option<Found> {
        let (zxid, receiver) = self.stream.as_mut()?;
        let bytes = std::mem::take(&mut self.received);
        let behind = receiver.push(&bytes).expect("members send whole snapshots")?;
        let mut signature = Vec::new();
        signature.put_string(SNAP_SIGNATURE);
        let rest = behind.strip_prefix(&signature[..]);
        self.received = rest.expect("the signature comes with the last piece").to_vec();
        let zxid = *zxid;
        let (_, receiver) = self.stream.take()?;
        let tree = receiver.finish(zxid).expect("members send whole trees");
        self.reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
        Some(Found::Snapshot(tree))
    }
}

fn link_of(connection: ConnectionId) -> Link {
    Link(connection.0)
}

const fn connection_of(link: Link) -> ConnectionId {
    ConnectionId(link.0)
}

/// Whether no member that keeps to the protocol gives cause for it, however late or dead it is.
const fn is_dishonest(fault: PeerFault) -> bool {
    matches!(
        fault,
        PeerFault::Gap { .. }
            | PeerFault::CommitOutOfOrder { .. }
            | PeerFault::AckOfNothing { .. }
            | PeerFault::CommittedForgotten { .. }
            | PeerFault::CutBeyondEnd { .. }
            | PeerFault::CutWhereNothingIs(_)
    )
}

// ---- the quorum port ----

impl World {
    /// Does what the sequencer wants of the quorum port. False when the sender is gone after it.
    pub(super) fn tell_peer(&mut self, id: ServerId, word: ToPeer) -> bool {
        match word {
            ToPeer::Listen => self.process(id).listening = true,
            ToPeer::StopListening => self.process(id).listening = false,
            ToPeer::Connect { leader } => {
                let in_us = 2 * self.random_us(self.plan.delay_us);
                self.input_in(in_us, id, Input::Dial { leader });
            }
            ToPeer::Send { link, packet } => return self.send_packet(id, link, &packet),
            ToPeer::Close { link, fault } => {
                let accused = fault.filter(|fault| is_dishonest(*fault));
                assert!(accused.is_none(), "{id} accuses an honest member: {accused:?}");
                self.end_link(id, link);
                self.send(connection_of(link), Place::Node(id), Parcel::End);
            }
            ToPeer::SendSnapshot { link, zxid, root } => self.send_snapshot(id, link, zxid, &root),
        }
        true
    }

    fn end_link(&mut self, id: ServerId, link: Link) {
        let process = self.process(id);
        process.links.remove(&link);
        process.cursors.remove(&link);
        process.work.forget(link);
    }

    fn send_packet(&mut self, id: ServerId, link: Link, packet: &Packet) -> bool {
        let place = Place::Node(id);
        let Some(Place::Node(to)) = self.network.peer(connection_of(link), place) else {
            return true;
        };
        self.observer.on_send(id, link, packet);
        self.trace.say(self.now_us, || format!("{id} → {to} {packet:?}"));
        let verdict = self.judge_packet(id, to, packet);
        if verdict == Verdict::Lose {
            // A connection that has lost something delivers nothing more.
            self.break_connection(connection_of(link));
            return self.machines[&id].is_up();
        }
        let bytes = packet.as_wire().to_bytes();
        if self.is(Mutant::RequestTwice) && matches!(packet, Packet::Request(_)) {
            self.send(connection_of(link), place, Parcel::Bytes(bytes.clone()));
        }
        self.send(connection_of(link), place, Parcel::Bytes(bytes));
        self.after_sent(id, to, verdict)
    }

    fn send_snapshot(&mut self, id: ServerId, link: Link, zxid: Zxid, root: &Root) {
        let connection = connection_of(link);
        let place = Place::Node(id);
        self.send(connection, place, Parcel::Bytes(QuorumPacket::Snap { zxid }.to_bytes()));
        if let Some(Place::Node(to)) = self.network.peer(connection, place) {
            self.observer.on_snapshot_sent(id, to, zxid);
            self.trace.say(self.now_us, || format!("{id} → {to} SNAP {zxid}"));
        }
        let sent = self.process(id).sent_root.get_or_insert_with(|| root.clone()).clone();
        let root = if self.is(Mutant::StaleSnapshot) { &sent } else { root };
        let mut pieces = Vec::new();
        let written = jute_stream::write(root.view(), |piece| {
            pieces.push(piece.to_vec());
            Ok::<_, std::convert::Infallible>(())
        });
        let Ok(()) = written;
        if let Some(last) = pieces.last_mut() {
            last.put_string(SNAP_SIGNATURE);
        }
        for piece in pieces {
            self.send(connection, place, Parcel::Bytes(piece));
        }
        let in_us = self.random_us(self.plan.delay_us);
        self.input_in(in_us, id, Input::SnapshotSent(link));
    }

    /// The leader's door is reached, or not.
    pub(super) fn dial(&mut self, id: ServerId, leader: ServerId) {
        let now = self.node_now(id);
        let (from, to) = (Place::Node(id), Place::Node(leader));
        let found = self.machines.get(&leader).filter(|machine| machine.backlog.is_none());
        let listening = found.is_some_and(|machine| {
            machine.process.as_ref().is_some_and(|process| process.listening)
        });
        let event = if listening && self.network.reach_each_other(from, to) {
            let connection = self.network.open(Port::Quorum, from, to);
            let link = link_of(connection);
            self.process(leader).links.insert(link, Inlet::new());
            self.input_in(0, leader, Input::Event(Event::Accepted { link }));
            self.process(id).links.insert(link, Inlet::new());
            Event::Connected { leader, link }
        } else {
            Event::ConnectFailed { leader }
        };
        let process = self.process(id);
        process.sequencer.on_event(event, now, &mut process.out);
    }

    /// Bytes or the end of a connection of the quorum port.
    pub(super) fn quorum_parcel(&mut self, id: ServerId, connection: ConnectionId, parcel: Parcel) {
        let now = self.node_now(id);
        let link = link_of(connection);
        let process = self.process(id);
        let Some(inlet) = process.links.get_mut(&link) else { return };
        let Parcel::Bytes(bytes) = parcel else {
            self.end_link(id, link);
            let process = self.process(id);
            return process.sequencer.on_event(Event::Closed { link }, now, &mut process.out);
        };
        for found in inlet.take(&bytes) {
            match found {
                Found::Packet(packet) => {
                    self.trace.say(self.now_us, || format!("{id} ◄ {packet:?}"));
                    let process = self.process(id);
                    let received = Event::Received { link, packet };
                    process.sequencer.on_event(received, now, &mut process.out);
                }
                Found::Snapshot(tree) => self.process(id).work.receive(link, tree),
            }
        }
    }
}

// ---- the election port ----

impl World {
    /// Sends a vote.
    pub(super) fn vote(&mut self, id: ServerId, to: ServerId, vote: &Notification<'_>) {
        self.observer.on_vote(id, to, vote);
        self.trace
            .say(self.now_us, || format!("{id} votes to {to}: {:?} {:?}", vote.state, vote.vote));
        let mut bytes = Vec::new();
        frame::put(&mut bytes, vote);
        let peer = self.process(id).election.entry(to).or_default();
        peer.last = Some(bytes.clone());
        match peer.connection {
            Some(connection) => self.send(connection, Place::Node(id), Parcel::Bytes(bytes)),
            None if peer.retrying => {}
            None => self.call(id, to),
        }
    }

    /// Tries to reach a peer on the election port.
    pub(super) fn call(&mut self, id: ServerId, to: ServerId) {
        let (here, there) = (Place::Node(id), Place::Node(to));
        let retry_us = self.random_us(ELECTION_RETRY_US);
        let up = self.machines.get(&to).is_some_and(|machine| machine.process.is_some());
        let reachable = up && self.network.reach_each_other(here, there);
        let peer = self.process(id).election.entry(to).or_default();
        peer.retrying = false;
        if peer.connection.is_some() {
            return;
        }
        if reachable {
            let connection = self.network.open(Port::Election, here, there);
            self.meet(id, to, connection);
            self.meet(to, id, connection);
            return;
        }
        peer.retrying = true;
        let was_down = std::mem::replace(&mut peer.down, true);
        self.input_in(retry_us, id, Input::Call(to));
        if !was_down {
            let event = Event::ElectionLinkDown { peer: to };
            self.input_in(0, id, Input::Event(event));
        }
    }

    /// A connection stands: what was last said is said again.
    fn meet(&mut self, id: ServerId, peer: ServerId, connection: ConnectionId) {
        let found = self.process(id).election.entry(peer).or_default();
        let old = found.connection.replace(connection);
        found.down = false;
        let last = found.last.clone();
        if let Some(old) = old {
            self.send(old, Place::Node(id), Parcel::End);
        }
        self.input_in(0, id, Input::Event(Event::ElectionLinkUp { peer }));
        if let Some(bytes) = last {
            self.send(connection, Place::Node(id), Parcel::Bytes(bytes));
        }
    }

    /// Bytes or the end of a connection of the election port.
    pub(super) fn election_parcel(
        &mut self,
        id: ServerId,
        from: ServerId,
        connection: ConnectionId,
        parcel: Parcel,
    ) {
        let now = self.node_now(id);
        let Parcel::Bytes(bytes) = parcel else {
            let peer = self.process(id).election.entry(from).or_default();
            if peer.connection != Some(connection) {
                return;
            }
            peer.connection = None;
            let was_down = std::mem::replace(&mut peer.down, true);
            if !was_down {
                let process = self.process(id);
                let event = Event::ElectionLinkDown { peer: from };
                process.sequencer.on_event(event, now, &mut process.out);
            }
            return;
        };
        let cut = notification::cut(&bytes).expect("members frame their votes");
        let Cut::Frame(payload) = cut else { panic!("half a vote") };
        let vote = Notification::from_bytes(payload).expect("members send votes that can be read");
        let Notification { state, vote, version, config } = vote;
        let process = self.process(id);
        let config = config.map(|config| Event::ConfigHeard { text: config.into() });
        for event in config.into_iter().chain([Event::Notified { from, state, vote, version }]) {
            process.sequencer.on_event(event, now, &mut process.out);
        }
    }
}
