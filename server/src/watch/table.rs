//! One shard's table of watches: register, trigger, ask, remove.
//!
//! The order of events is ZooKeeper's. For each change there are one or two *routines*; each tells
//! a connection at most one thing:
//!
//! | change  | on the path and, recursively, above it | on the parent |
//! |---------|-----------------------------------------|---------------|
//! | created | NodeCreated to data watches             | NodeChildrenChanged to child watches |
//! | deleted | NodeDeleted to data and child watches   | NodeChildrenChanged to child watches |
//! | data    | NodeDataChanged to data watches         | – |
//!
//! (A persistent watch is both a data and a child watch.) ZooKeeper tells of a deletion in two
//! routines, DATA then CHILD without those just told; as both send the same event, one does.
// ZooKeeper: DataTree.createNode, deleteNode, setData; WatchManager.triggerWatch.

use std::collections::HashSet;

use menagerie_wire::event::EventType;
use menagerie_wire::proto::WatcherType;
use thiserror::Error;

use super::modes::Modes;
use super::paths::Paths;
use super::registry::Registry;
use super::{ConnId, WatchKind};
use crate::config::limits::WATCHES_PER_CONNECTION_MAX;

/// One routine's result: what to tell, and whom. Never empty, each connection once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired<'a> {
    /// For [`EventType::NodeChildrenChanged`] the parent's ACL decides who may hear of it, for the
    /// others the node's own.
    pub kind: EventType,
    pub path: &'a str,
    pub conns: &'a [ConnId],
}

/// A connection that watches more than one may. It is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection already watches {WATCHES_PER_CONNECTION_MAX} paths")]
pub struct WatchLimit;

/// The figures of `wchs`: of data watches only, as in Apache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSummary {
    pub connections: usize,
    pub paths: usize,
    pub watches: usize,
}

/// How many entries ZooKeeper's two tables would have, and how many hear of paths below theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    data: usize,
    child: usize,
    recursive: usize,
}

impl Counts {
    fn account(&mut self, before: Modes, after: Modes) {
        for (count, table) in [
            (&mut self.data, Modes::DATA_TABLE),
            (&mut self.child, Modes::CHILD_TABLE),
            (&mut self.recursive, Modes::RECURSIVE),
        ] {
            *count = *count + usize::from(after.meets(table)) - usize::from(before.meets(table));
        }
    }
}

/// The watches of a shard's connections.
///
/// - A path has a number exactly while somebody watches it.
/// - A connection's registry contains every path that it watches, and perhaps others.
/// - `counts` always equals what a walk over all watchers would count.
#[derive(Default)]
pub struct WatchTable {
    paths: Paths,
    registry: Registry,
    counts: Counts,
    /// Scratch of the routine under way.
    fired: Vec<ConnId>,
}

impl WatchTable {
    /// Registers a watch. The same watch twice is one; other kinds on the path stay.
    ///
    /// # Errors
    /// When the connection watches too much.
    pub fn watch(&mut self, conn: ConnId, path: &str, kind: WatchKind) -> Result<(), WatchLimit> {
        if self.registry.live(conn) >= WATCHES_PER_CONNECTION_MAX {
            return Err(WatchLimit);
        }
        let id = self.paths.intern(path);
        let watchers = self.paths.watchers_mut(id);
        let before = watchers.modes(conn);
        let after = before.with(kind.into());
        if before == after {
            return Ok(());
        }
        watchers.set(conn, after);
        self.counts.account(before, after);
        if before.is_empty() {
            let paths = &self.paths;
            self.registry.add(conn, id, |id| !paths.watchers(id).modes(conn).is_empty());
        }
        Ok(())
    }

    /// checkWatches: whether `conn` has such a watch on exactly this path.
    pub fn watches(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let id = self.paths.find(path);
        id.is_some_and(|id| self.paths.watchers(id).modes(conn).meets(Modes::of_type(kind)))
    }

    /// removeWatches: false when there was none to remove. No event is sent.
    pub fn unwatch(&mut self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let Some(id) = self.paths.find(path) else { return false };
        let watchers = self.paths.watchers_mut(id);
        let before = watchers.modes(conn);
        if !before.meets(Modes::of_type(kind)) {
            return false;
        }
        let after = before.without(Modes::of_type(kind));
        watchers.set(conn, after);
        self.counts.account(before, after);
        if after.is_empty() {
            self.registry.forget_one(conn);
            self.paths.release(id);
        }
        true
    }

    /// Drops whatever `conn` watches: watches die with their connection.
    pub fn drop_connection(&mut self, conn: ConnId) {
        for id in self.registry.take(conn) {
            let watchers = self.paths.watchers_mut(id);
            let before = watchers.modes(conn);
            if !before.is_empty() {
                watchers.set(conn, Modes::NONE);
                self.counts.account(before, Modes::NONE);
                self.paths.release(id);
            }
        }
    }

    pub fn node_created(&mut self, path: &str, mut tell: impl FnMut(Fired<'_>)) {
        self.routine(EventType::NodeCreated, path, Modes::DATA_TABLE, &mut tell);
        self.children_changed(path, &mut tell);
    }

    pub fn node_deleted(&mut self, path: &str, mut tell: impl FnMut(Fired<'_>)) {
        self.routine(EventType::NodeDeleted, path, Modes::ALL, &mut tell);
        self.children_changed(path, &mut tell);
    }

    pub fn node_data_changed(&mut self, path: &str, mut tell: impl FnMut(Fired<'_>)) {
        self.routine(EventType::NodeDataChanged, path, Modes::DATA_TABLE, &mut tell);
    }

    fn children_changed(&mut self, path: &str, tell: &mut impl FnMut(Fired<'_>)) {
        if let Some(parent) = parent(path) {
            self.routine(EventType::NodeChildrenChanged, parent, Modes::CHILD_TABLE, tell);
        }
    }

    fn routine(
        &mut self,
        kind: EventType,
        path: &str,
        hit: Modes,
        tell: &mut impl FnMut(Fired<'_>),
    ) {
        if self.paths.is_empty() {
            return;
        }
        self.fired.clear();
        self.fire_on(path, hit);
        if hit.meets(Modes::RECURSIVE) && self.counts.recursive > 0 {
            self.hear_above(path);
        }
        if !self.fired.is_empty() {
            tell(Fired { kind, path, conns: &self.fired });
        }
    }

    /// Collects, and consumes, on the path itself.
    fn fire_on(&mut self, path: &str, hit: Modes) {
        let Some(id) = self.paths.find(path) else { return };
        let Self { paths, registry, counts, fired } = self;
        paths.watchers_mut(id).fire(hit, |conn, before, after| {
            fired.push(conn);
            counts.account(before, after);
            if after.is_empty() {
                registry.forget_one(conn);
            }
        });
        paths.release(id);
    }

    /// Collects who watches an ancestor recursively, without those already collected.
    fn hear_above(&mut self, path: &str) {
        let on_path = self.fired.len();
        for ancestor in std::iter::successors(parent(path), |path| parent(path)) {
            let Some(id) = self.paths.find(ancestor) else { continue };
            let recursive = |(_, modes): &(_, Modes)| modes.meets(Modes::RECURSIVE);
            let watchers = self.paths.watchers(id).iter().filter(recursive);
            self.fired.extend(watchers.map(|(conn, _)| conn));
        }
        if self.fired.len() > on_path {
            self.fired.sort_unstable();
            self.fired.dedup();
        }
    }

    /// Entries of both tables, as `zk_watch_count` counts them.
    pub fn watch_count(&self) -> usize {
        self.counts.data + self.counts.child
    }

    /// Walks the whole table.
    pub fn summary(&self) -> WatchSummary {
        let mut connections = HashSet::new();
        let mut paths = 0;
        for (_, conns) in self.data_watches() {
            paths += 1;
            connections.extend(conns);
        }
        WatchSummary { connections: connections.len(), paths, watches: self.counts.data }
    }

    /// Every path with a data watch and the connections that have one, for `wchc` and `wchp`.
    pub fn data_watches(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        let on_data = |(_, modes): &(_, Modes)| modes.meets(Modes::DATA_TABLE);
        let paths =
            self.paths.iter().filter(move |(_, watchers)| watchers.iter().any(|w| on_data(&w)));
        paths.map(move |(path, watchers)| {
            (path, watchers.iter().filter(on_data).map(|(conn, _)| conn))
        })
    }
}

/// The path of the parent; `None` for the root and for what is no path.
fn parent(path: &str) -> Option<&str> {
    match path.bytes().rposition(|byte| byte == b'/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        end => Some(&path[..end]),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
