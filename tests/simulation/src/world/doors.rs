//! The clients' side of a process: connections to shards, and bytes that shards leave for them.
//!
//! The same turns as the server's waiting half takes: bytes in when a shard wants them, bytes out
//! as they are left, the end of a connection behind its last byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use menagerie::sequencer::message::{ConnectionKey, ToSequencer, ToShard};
use menagerie::sequencer::publication::Publication;
use menagerie::sequencer::{Delivery, Now};
use menagerie_wire::ServerId;

use super::machine::Process;
use super::network::{ConnectionId, Parcel, Place};
use super::{Mutant, World};

/// Connections of clients, by both of their names.
#[derive(Default)]
pub(super) struct Doors {
    by_connection: BTreeMap<ConnectionId, Door>,
    by_key: BTreeMap<(u16, u32), ConnectionId>,
    opened: u16,
    /// What a mutant keeps from a shard for a while.
    held_back: Option<Arc<Publication>>,
}

struct Door {
    key: ConnectionKey,
    /// Has come, and the shard does not want it yet.
    held: Vec<u8>,
}

impl Doors {
    fn remove(&mut self, connection: ConnectionId) -> Option<ConnectionKey> {
        let key = self.by_connection.remove(&connection)?.key;
        self.by_key.remove(&(key.shard, key.index));
        Some(key)
    }
}

impl Process {
    /// A client has connected.
    pub(super) fn admit(&mut self, connection: ConnectionId, client: u32, now: Now) {
        let shard = self.doors.opened % self.shards.len() as u16;
        self.doors.opened = self.doors.opened.wrapping_add(1);
        let port = 1024 + (client % 60_000) as u16;
        let shard = &mut self.shards[usize::from(shard)];
        shard.begin_turn(now);
        let key = shard.open(([127, 0, 0, 1], port).into());
        self.doors.by_key.insert((key.shard, key.index), connection);
        self.doors.by_connection.insert(connection, Door { key, held: Vec::new() });
    }

    /// Bytes have come from a client.
    pub(super) fn receive(&mut self, connection: ConnectionId, bytes: &[u8], now: Now) {
        let Some(door) = self.doors.by_connection.get_mut(&connection) else { return };
        let shard = &mut self.shards[usize::from(door.key.shard)];
        shard.begin_turn(now);
        door.held.extend_from_slice(bytes);
        if shard.wants_bytes(door.key) {
            let held = std::mem::take(&mut door.held);
            shard.receive(door.key.index, &held);
        }
    }

    /// A client has gone.
    pub(super) fn lost(&mut self, connection: ConnectionId) {
        if let Some(key) = self.doors.remove(connection) {
            self.shards[usize::from(key.shard)].closed(key);
        }
    }

    /// Hands the sequencer's news to the shards, and the shards' to the sequencer. False when
    /// there was none.
    pub(super) fn exchange(&mut self, now: Now, mutant: Option<Mutant>) -> bool {
        let mut any = false;
        for delivery in std::mem::take(&mut self.out.deliveries) {
            any = true;
            match delivery {
                Delivery::One(shard, message) => {
                    self.shards[usize::from(shard)].on_message(message);
                }
                Delivery::All(publication) => {
                    let count = publication.runs.iter().map(|run| run.entries.len() as u64);
                    self.txns_since_snapshot += count.sum::<u64>();
                    let late = mutant == Some(Mutant::ShardBehind) && self.shards.len() > 1;
                    let told = self.shards.len() - usize::from(late);
                    for shard in &mut self.shards[..told] {
                        shard.on_message(ToShard::Publish(publication.clone()));
                    }
                    if late {
                        let held = self.doors.held_back.replace(publication);
                        if let Some(held) = held {
                            self.shards[told].on_message(ToShard::Publish(held));
                        }
                    }
                }
            }
        }
        for shard in &mut self.shards {
            for mut message in shard.take_outbox() {
                any = true;
                if let ToSequencer::Touched { sessions, .. } = &mut message
                    && mutant == Some(Mutant::TouchesLost)
                {
                    sessions.clear();
                }
                if let ToSequencer::Sync(sync) = &message
                    && mutant == Some(Mutant::SyncAtOnce)
                {
                    let connection = sync.connection;
                    let synced = Delivery::One(connection.shard, ToShard::Synced { connection });
                    self.out.deliveries.push(synced);
                    continue;
                }
                self.sequencer.on_message(message, now, &mut self.out);
            }
            shard.end_turn(now.monotonic_us);
        }
        any
    }

    /// What shards have left for clients: bytes, or the end (`None`).
    pub(super) fn flush(&mut self) -> Vec<(ConnectionId, Option<Vec<u8>>)> {
        let mut left = Vec::new();
        for (number, shard) in (0u16..).zip(&mut self.shards) {
            let dirty = shard.take_dirty();
            for &index in &dirty {
                let Some(&connection) = self.doors.by_key.get(&(number, index)) else { continue };
                let Some(door) = self.doors.by_connection.get_mut(&connection) else { continue };
                let key = door.key;
                loop {
                    if let Some(unsent) = shard.unsent(key).filter(|unsent| !unsent.is_empty()) {
                        let bytes = unsent.to_vec();
                        shard.took(key, bytes.len());
                        left.push((connection, Some(bytes)));
                    }
                    if shard.can_go_on(key) {
                        shard.go_on(index);
                    } else if !door.held.is_empty() && shard.wants_bytes(key) {
                        let held = std::mem::take(&mut door.held);
                        shard.receive(index, &held);
                    } else if shard.unsent(key).is_none_or(<[u8]>::is_empty) {
                        break;
                    }
                }
                if shard.is_closing(key) {
                    shard.closed(key);
                    self.doors.remove(connection);
                    left.push((connection, None));
                }
            }
            shard.recycle_dirty(dirty);
        }
        left
    }
}

impl World {
    /// Sends to clients what is left for them. False when there was nothing.
    pub(super) fn send_to_clients(&mut self, id: ServerId) -> bool {
        let left = self.process(id).flush();
        let any = !left.is_empty();
        for (connection, bytes) in left {
            let parcel = bytes.map_or(Parcel::End, Parcel::Bytes);
            self.send(connection, Place::Node(id), parcel);
        }
        any
    }
}
