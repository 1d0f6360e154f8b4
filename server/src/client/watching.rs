//! Watches of a shard's clients: leaving them, asking about them, and telling of changes.
//!
//! The table says who is to be told; this file asks whether each may read the node, and queues the
//! frame, encoded once, on each connection. A client that does not take its events is cut off at a
//! named limit: they are never dropped one by one, and others are not slowed.

use menagerie_engine::access;
use menagerie_engine::txn::{Change, ChangeKind};
use menagerie_wire::data::perms;
use menagerie_wire::event::EventType;
use menagerie_wire::jute::Put;
use menagerie_wire::proto::Request;
use menagerie_wire::{ErrorCode, Xid, Zxid};

use crate::client::connection::{Connection, Phase};
use crate::client::shard::Shard;
use crate::client::unsent::Spares;
use crate::watch::{ConnId, Fired, WatchKind, encode_event, rearm};

impl Shard {
    /// Tells the watchers of one change.
    pub(super) fn on_change(&mut self, zxid: Zxid, change: &Change) {
        let Self {
            watches,
            connections,
            dirty,
            event,
            spares,
            settings,
            counters,
            outstanding,
            ..
        } = self;
        let tell = |fired: Fired<'_>| {
            event.clear();
            encode_event(event, zxid, fired.kind, fired.path);
            let acl = match fired.kind {
                EventType::NodeChildrenChanged => &change.parent_acl,
                _ => &change.acl,
            };
            let open = settings.rules.skip_acl || acl.is_world_readable();
            let mut told = 0;
            for conn in fired.conns {
                let Ok(index) = u32::try_from(conn.index()) else { continue };
                let Some(connection) = connections.at_mut(index) else { continue };
                if connection.phase == Phase::Closing {
                    continue;
                }
                if open || access::may_read(acl, &connection.ids) {
                    if push_event(connection, spares, event, settings.output_bytes_max) {
                        told += 1;
                    } else {
                        counters.connections_dropped += 1;
                        *outstanding -= connection.cut_off(spares);
                    }
                    dirty.push(index);
                }
            }
            counters.record_events(fired.kind, told, event.len());
        };
        match change.kind {
            ChangeKind::Created => watches.node_created(&change.path, tell),
            ChangeKind::Deleted => watches.node_deleted(&change.path, tell),
            ChangeKind::DataChanged => watches.node_data_changed(&change.path, tell),
        }
    }

    /// Leaves the watch that a read asked for. A refused read leaves none, except an exists of a
    /// node that is not there.
    pub(super) fn arm(&mut self, index: u32, request: &Request<'_>, result: Result<(), ErrorCode>) {
        let (read, kind) = match request {
            Request::Exists(read) if matches!(result, Ok(()) | Err(ErrorCode::NoNode)) => {
                (read, WatchKind::Data)
            }
            Request::GetData(read) if result.is_ok() => (read, WatchKind::Data),
            Request::GetChildren(read) | Request::GetChildren2(read) if result.is_ok() => {
                (read, WatchKind::Child)
            }
            _ => return,
        };
        if read.watch && self.watches.watch(ConnId::new(index), &read.path, kind).is_err() {
            self.end_for_watching_too_much(index);
        }
    }

    fn end_for_watching_too_much(&mut self, index: u32) {
        tracing::warn!("closing connection {index}: it watches too many paths");
        self.end_at(index);
    }

    /// Answers setWatches, addWatch, checkWatches and removeWatches.
    pub(super) fn answer_watch_request(
        &mut self,
        index: u32,
        xid: Xid,
        zxid: Zxid,
        request: &Request<'_>,
    ) {
        let conn = ConnId::new(index);
        let found = match request {
            Request::SetWatches(_) => {
                self.set_watches(index, request);
                return self.put_reply(index, xid, zxid, |_| {});
            }
            Request::AddWatch(path, mode) => {
                let path = path.as_deref().unwrap_or_default();
                if self.watches.watch(conn, path, (*mode).into()).is_err() {
                    return self.end_for_watching_too_much(index);
                }
                // ZooKeeper: an ErrorResponse that holds no error.
                return self.put_reply(index, xid, zxid, |out| out.put_int(0));
            }
            Request::CheckWatches(path, kind) => {
                path.as_deref().is_some_and(|path| self.watches.watches(conn, path, *kind))
            }
            Request::RemoveWatches(path, kind) => {
                path.as_deref().is_some_and(|path| self.watches.unwatch(conn, path, *kind))
            }
            _ => unreachable!("only watch requests come here"),
        };
        if found {
            self.put_reply(index, xid, zxid, |_| {});
        } else {
            self.put_error(index, xid, zxid, ErrorCode::NoWatcher);
        }
    }

    /// Queues the events that are due, arms the rest. A node that the client may not read is
    /// neither told of nor watched (Apache tells: CVE-2024-23944 in another place).
    fn set_watches(&mut self, index: u32, request: &Request<'_>) {
        let Request::SetWatches(set) = request else { return };
        let Self { watches, connections, root, settings, event, spares, .. } = self;
        let Some(connection) = connections.at_mut(index) else { return };
        let view = root.view();
        let may_read = |path: &str| {
            settings.rules.skip_acl
                || view
                    .node(path)
                    .is_none_or(|node| access::permits(node.acl(), perms::READ, &connection.ids))
        };
        event.clear();
        let fire = |kind, path: &str| {
            if may_read(path) {
                encode_event(event, Zxid::NONE, kind, path);
            }
        };
        let stat = |path: &str| view.node(path).map(|node| node.stat());
        let result = rearm(watches, ConnId::new(index), set, stat, fire);
        connection.unsent.end(spares).extend_from_slice(event);
        if result.is_err() {
            self.end_for_watching_too_much(index);
        }
    }
}

/// Queues an event; false when the connection is to be cut off instead.
fn push_event(
    connection: &mut Connection,
    spares: &mut Spares,
    event: &[u8],
    unsent_bytes_max: usize,
) -> bool {
    if connection.unsent.bytes().len() + event.len() > unsent_bytes_max {
        tracing::warn!(
            "cutting off {}: it does not read, {} bytes of replies and events wait for it",
            connection.peer,
            connection.unsent.bytes().len()
        );
        return false;
    }
    connection.unsent.end(spares).extend_from_slice(event);
    connection.traffic.sent += 1;
    true
}
