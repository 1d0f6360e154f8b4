//! Connections between places: bytes in order, late, or never.
//!
//! A connection has two flows. What is sent into one comes out in order, or the connection ends.
//! A direction between two places may be cut: what travels there is held back, as TCP would hold
//! and repeat it, and goes on when the cut is mended, unless the connection was broken meanwhile.
//! So a partition is a set of cuts, a clog is a cut that nobody breaks, and a direction may be cut
//! alone.
//!
//! It knows no time: the caller says when something arrives, and asks for it then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use menagerie_wire::ServerId;

/// Where a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Node(ServerId),
    Client(u32),
}

/// A connection, for its life. Never used twice in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Election,
    Quorum,
    Client,
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    Bytes(Vec<u8>),
    /// The other end has closed, or is gone.
    End,
}

/// One direction of a connection, by the end that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub connection: ConnectionId,
    /// 0 for what the one who dialled sends.
    pub from: usize,
}

#[derive(Debug, Default)]
struct Way {
    parcels: VecDeque<Parcel>,
    /// Nothing that is sent later arrives before.
    busy_until_us: u64,
    /// Parcels whose time came while the direction was cut.
    held: usize,
}

#[derive(Debug)]
struct Connection {
    port: Port,
    ends: [Place; 2],
    open: [bool; 2],
    ways: [Way; 2],
}

/// All connections, and what is cut.
#[derive(Debug, Default)]
pub struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    cuts: BTreeSet<(Place, Place)>,
    next: u64,
}

impl Network {
    /// Whether what is sent from one place reaches the other.
    #[must_use]
    pub fn reaches(&self, from: Place, to: Place) -> bool {
        self.cuts.is_empty() || !self.cuts.contains(&(from, to))
    }

    #[must_use]
    pub fn reach_each_other(&self, one: Place, other: Place) -> bool {
        self.reaches(one, other) && self.reaches(other, one)
    }

    pub fn cut(&mut self, from: Place, to: Place) {
        self.cuts.insert((from, to));
    }

    pub fn cuts(&self) -> impl Iterator<Item = (Place, Place)> + '_ {
        self.cuts.iter().copied()
    }

    /// Mends one direction; what was held goes on: the flows, each as often as it holds parcels.
    pub fn mend(&mut self, from: Place, to: Place) -> Vec<Flow> {
        self.cuts.remove(&(from, to));
        let mut released = Vec::new();
        for (&connection, found) in &mut self.connections {
            for sender in 0..2 {
                let way = (found.ends[sender], found.ends[1 - sender]);
                if way == (from, to) {
                    let held = std::mem::take(&mut found.ways[sender].held);
                    released.extend((0..held).map(|_| Flow { connection, from: sender }));
                }
            }
        }
        released
    }

    /// Connects `from` with `to`.
    pub fn open(&mut self, port: Port, from: Place, to: Place) -> ConnectionId {
        self.next += 1;
        let id = ConnectionId(self.next);
        let ways = [Way::default(), Way::default()];
        let connection = Connection { port, ends: [from, to], open: [true; 2], ways };
        self.connections.insert(id, connection);
        id
    }

    /// The place at the other end, if `here` has an open end of the connection.
    #[must_use]
    pub fn peer(&self, id: ConnectionId, here: Place) -> Option<Place> {
        let connection = self.connections.get(&id)?;
        let end = connection.end_of(here)?;
        connection.open[end].then_some(connection.ends[1 - end])
    }

    #[must_use]
    pub fn port(&self, id: ConnectionId) -> Option<Port> {
        Some(self.connections.get(&id)?.port)
    }

    /// Sends from `here`, to arrive at `arrives_us` or behind what is under way already. Returns
    /// the flow, and when to look at it.
    pub fn send(
        &mut self,
        id: ConnectionId,
        here: Place,
        parcel: Parcel,
        arrives_us: u64,
    ) -> Option<(Flow, u64)> {
        let connection = self.connections.get_mut(&id)?;
        let from = connection.end_of(here)?;
        if !connection.open[from] {
            return None;
        }
        if matches!(parcel, Parcel::End) {
            connection.open[from] = false;
        }
        let way = &mut connection.ways[from];
        way.parcels.push_back(parcel);
        way.busy_until_us = way.busy_until_us.max(arrives_us);
        Some((Flow { connection: id, from }, way.busy_until_us))
    }

    /// The time of a parcel has come. `None`: it is held, or nobody takes it.
    pub fn arrive(&mut self, flow: Flow) -> Option<(Port, Place, Place, Parcel)> {
        let connection = self.connections.get_mut(&flow.connection)?;
        let (sender, receiver) = (connection.ends[flow.from], connection.ends[1 - flow.from]);
        if self.cuts.contains(&(sender, receiver)) {
            connection.ways[flow.from].held += 1;
            return None;
        }
        let parcel = connection.ways[flow.from].parcels.pop_front()?;
        let taken = connection.open[1 - flow.from];
        let port = connection.port;
        if matches!(parcel, Parcel::End) {
            connection.open[1 - flow.from] = false;
        }
        if connection.open == [false; 2] {
            self.connections.remove(&flow.connection);
        }
        taken.then_some((port, sender, receiver, parcel))
    }

    /// A connection is gone at both ends. Returns those that were open: the place, and what it
    /// loses.
    pub fn break_off(&mut self, id: ConnectionId) -> Vec<(Place, (Port, Place))> {
        let Some(connection) = self.connections.remove(&id) else { return Vec::new() };
        let Connection { port, ends, open, .. } = connection;
        let end = |end: usize| open[end].then_some((ends[end], (port, ends[1 - end])));
        [end(0), end(1)].into_iter().flatten().collect()
    }

    /// The connections of a place that are open at its end.
    #[must_use]
    pub fn of(&self, here: Place) -> Vec<ConnectionId> {
        let mine = |(id, connection): (&ConnectionId, &Connection)| {
            let end = connection.end_of(here)?;
            connection.open[end].then_some(*id)
        };
        self.connections.iter().filter_map(mine).collect()
    }

    /// A place loses power: of what it sent on a connection, the first `kept` parcels are on their
    /// way, and nobody has said goodbye.
    pub fn vanish(&mut self, id: ConnectionId, here: Place, choose: impl FnOnce(usize) -> usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(from) = connection.end_of(here) else { return };
        let way = &mut connection.ways[from];
        let kept = choose(way.parcels.len() + 1);
        way.parcels.truncate(kept);
        way.held = way.held.min(kept);
    }
}

impl Connection {
    fn end_of(&self, here: Place) -> Option<usize> {
        self.ends.iter().position(|end| *end == here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Place = Place::Node(ServerId(1));
    const TWO: Place = Place::Node(ServerId(2));

    fn text(arrived: Option<(Port, Place, Place, Parcel)>) -> Option<Vec<u8>> {
        match arrived?.3 {
            Parcel::Bytes(bytes) => Some(bytes),
            Parcel::End => Some(b"end".to_vec()),
        }
    }

    #[test]
    fn a_cut_direction_holds_what_travels_and_a_mended_one_delivers_it_in_order() {
        let mut network = Network::default();
        let id = network.open(Port::Quorum, ONE, TWO);
        let send = |network: &mut Network, bytes: &[u8], at| {
            network.send(id, ONE, Parcel::Bytes(bytes.to_vec()), at).unwrap()
        };
        let (flow, first_us) = send(&mut network, b"a", 20);
        let (_, second_us) = send(&mut network, b"b", 10);
        assert_eq!((first_us, second_us), (20, 20), "nothing overtakes");
        network.cut(ONE, TWO);
        assert!(network.arrive(flow).is_none());
        assert!(network.arrive(flow).is_none());
        assert_eq!(network.mend(ONE, TWO), [flow, flow]);
        assert_eq!(text(network.arrive(flow)), Some(b"a".to_vec()));
        assert_eq!(text(network.arrive(flow)), Some(b"b".to_vec()));
    }

    #[test]
    fn the_end_comes_behind_what_was_sent_and_ends_both_sides() {
        let mut network = Network::default();
        let id = network.open(Port::Client, ONE, TWO);
        let (flow, _) = network.send(id, ONE, Parcel::Bytes(b"a".to_vec()), 1).unwrap();
        network.send(id, ONE, Parcel::End, 2).unwrap();
        assert!(network.send(id, ONE, Parcel::Bytes(b"b".to_vec()), 3).is_none());
        assert_eq!(text(network.arrive(flow)), Some(b"a".to_vec()));
        assert_eq!(network.peer(id, TWO), Some(ONE));
        assert_eq!(text(network.arrive(flow)), Some(b"end".to_vec()));
        assert_eq!(network.peer(id, TWO), None);
        assert!(network.of(TWO).is_empty());
    }
}
