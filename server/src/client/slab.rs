//! The connections of one shard, by index. An index is used again; its generation is not.
//!
//! They stand in chunks, so that one more never moves those that are there: a storm of clients
//! waits for no copy, and pays for no memory that copies left behind.

use crate::client::connection::Connection;
use crate::sequencer::message::ConnectionKey;

/// Connections in one allocation.
const CHUNK: usize = 64;

/// Connections by index.
#[derive(Debug)]
pub(crate) struct Slab {
    shard: u16,
    chunks: Vec<Box<[Option<Connection>; CHUNK]>>,
    /// Indices that have been used.
    used: usize,
    free: Vec<u32>,
    generations: u32,
}

impl Slab {
    pub(crate) const fn new(shard: u16) -> Self {
        Self { shard, chunks: Vec::new(), used: 0, free: Vec::new(), generations: 0 }
    }

    /// Adds the connection that `make` builds for its generation.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32) -> Connection) -> ConnectionKey {
        self.generations = self.generations.wrapping_add(1);
        let connection = make(self.generations);
        let index = self.free.pop().unwrap_or_else(|| {
            if self.used.is_multiple_of(CHUNK) {
                self.chunks.push(Box::new([const { None }; CHUNK]));
            }
            self.used += 1;
            u32::try_from(self.used - 1).expect("fewer connections than descriptors")
        });
        self.chunks[index as usize / CHUNK][index as usize % CHUNK] = Some(connection);
        ConnectionKey { shard: self.shard, index, generation: self.generations }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Connection> {
        let removed = self.chunks.get_mut(index as usize / CHUNK)?[index as usize % CHUNK].take();
        if removed.is_some() {
            self.free.push(index);
        }
        removed
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Connection> {
        self.chunks.get(index as usize / CHUNK)?[index as usize % CHUNK].as_ref()
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.chunks.get_mut(index as usize / CHUNK)?[index as usize % CHUNK].as_mut()
    }

    /// The connection, if it is still the same one.
    pub(crate) fn find(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.at_mut(key.index).filter(|connection| connection.generation == key.generation)
    }

    pub(crate) fn key(&self, index: u32, connection: &Connection) -> ConnectionKey {
        ConnectionKey { shard: self.shard, index, generation: connection.generation }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        (0u32..).zip(entries).filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Connection)> {
        let entries = self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut());
        (0u32..).zip(entries).filter_map(|(index, entry)| Some((index, entry.as_mut()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.used - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use menagerie_engine::access;

    use super::*;

    fn connect(slab: &mut Slab) -> ConnectionKey {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let id = access::ip_identity(peer.ip());
        slab.insert(|generation| Connection::new(generation, peer, id, 0))
    }

    #[test]
    fn connections_are_found_by_their_keys_and_indices_are_used_again() {
        let mut slab = Slab::new(0);
        let mut keys: Vec<_> = (0..2 * CHUNK + 1).map(|_| connect(&mut slab)).collect();
        assert!(keys.iter().zip(0..).all(|(key, index)| key.index == index));
        for index in [0, CHUNK - 1, CHUNK, 2 * CHUNK] {
            let gone = keys[index];
            assert!(slab.remove(gone.index).is_some() && slab.remove(gone.index).is_none());
            assert!(slab.at(gone.index).is_none() && slab.find(gone).is_none());
            keys[index] = connect(&mut slab);
            assert_eq!(keys[index].index, gone.index);
            assert!(slab.find(gone).is_none(), "the key of one that is gone");
        }
        assert!(keys.iter().all(|key| slab.find(*key).is_some()));
        assert!(slab.iter().map(|(index, _)| index).eq(0..=2 * CHUNK as u32));
        assert_eq!(slab.len(), keys.len());
        assert!(slab.at(3 * CHUNK as u32).is_none() && slab.remove(3 * CHUNK as u32).is_none());
    }
}
