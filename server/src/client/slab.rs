//! The connections of one shard, by index. An index is used again; its generation is not.

use crate::client::connection::Connection;
use crate::sequencer::message::ConnectionKey;

/// Connections by index.
#[derive(Debug)]
pub(crate) struct Slab {
    shard: u16,
    entries: Vec<Option<Connection>>,
    free: Vec<u32>,
    generations: u32,
}

impl Slab {
    pub(crate) const fn new(shard: u16) -> Self {
        Self { shard, entries: Vec::new(), free: Vec::new(), generations: 0 }
    }

    /// Adds the connection that `make` builds for its generation.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32) -> Connection) -> ConnectionKey {
        self.generations = self.generations.wrapping_add(1);
        let connection = make(self.generations);
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer connections than descriptors")
        });
        self.entries[index as usize] = Some(connection);
        ConnectionKey { shard: self.shard, index, generation: self.generations }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Connection> {
        let removed = self.entries.get_mut(index as usize)?.take();
        if removed.is_some() {
            self.free.push(index);
        }
        removed
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Connection> {
        self.entries.get(index as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    /// The connection, if it is still the same one.
    pub(crate) fn find(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.at_mut(key.index).filter(|connection| connection.generation == key.generation)
    }

    pub(crate) fn key(&self, index: u32, connection: &Connection) -> ConnectionKey {
        ConnectionKey { shard: self.shard, index, generation: connection.generation }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0u32..).zip(&self.entries).filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Connection)> {
        (0u32..).zip(&mut self.entries).filter_map(|(index, entry)| Some((index, entry.as_mut()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}
