//! What one connection watches, by path.
// ZooKeeper: WatchManager, WatcherMode; the matrix of events and watches.

use std::collections::HashMap;

use menagerie_wire::Zxid;

use crate::history::{EventKind, OpIndex, WatchedBy};

use super::facts::Fact;
use super::timeline::parent;

/// Which request armed a watch, and what its client knew then.
#[derive(Clone, Copy, Debug)]
struct Armed {
    by: OpIndex,
    from: Zxid,
}

/// The watches at one path. Each kind is there once, however often it is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Watches {
    data: Option<Armed>,
    child: Option<Armed>,
    persistent: Option<Armed>,
    recursive: Option<Armed>,
}

/// All watches of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched<'h> {
    by_path: HashMap<&'h str, Watches>,
}

impl<'h> Watched<'h> {
    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    fn at(&mut self, path: &'h str) -> &mut Watches {
        self.by_path.entry(path).or_default()
    }

    /// Of getData and exists.
    pub(super) fn data(&mut self, path: &'h str, by: OpIndex, from: Zxid) {
        self.at(path).data.get_or_insert(Armed { by, from });
    }

    /// Of getChildren.
    pub(super) fn child(&mut self, path: &'h str, by: OpIndex, from: Zxid) {
        self.at(path).child.get_or_insert(Armed { by, from });
    }

    /// Of addWatch.
    pub(super) fn persistent(&mut self, path: &'h str, deep: bool, by: OpIndex, from: Zxid) {
        let watches = self.at(path);
        let slot = if deep { &mut watches.recursive } else { &mut watches.persistent };
        slot.get_or_insert(Armed { by, from });
    }

    pub(super) fn remove(&mut self, path: &str, watched_by: WatchedBy) {
        let Some(watches) = self.by_path.get_mut(path) else { return };
        match watched_by {
            WatchedBy::Children => watches.child = None,
            WatchedBy::Data => watches.data = None,
            WatchedBy::Persistent => watches.persistent = None,
            WatchedBy::Recursive => watches.recursive = None,
            WatchedBy::Any => *watches = Watches::default(),
        }
    }

    /// Who waits for this to be told: the request that asked.
    pub(super) fn waits_for(&self, fact: &Fact<'_>) -> Option<OpIndex> {
        let here = self.by_path.get(fact.path).and_then(|it| it.hear(fact.kind));
        let armed = here.or_else(|| self.recursive(fact.kind, fact.path))?;
        (armed.from < fact.zxid).then_some(armed.by)
    }

    /// An event came: uses up what fires once. Whether somebody had asked for it.
    pub(super) fn fire(&mut self, kind: EventKind, path: &str, zxid: Zxid) -> bool {
        let asked = self.waits_for(&Fact { zxid, kind, path }).is_some();
        if let Some(watches) = self.by_path.get_mut(path) {
            if kind != EventKind::ChildrenChanged {
                watches.data = None;
            }
            if matches!(kind, EventKind::ChildrenChanged | EventKind::Deleted) {
                watches.child = None;
            }
        }
        asked
    }

    fn recursive(&self, kind: EventKind, path: &str) -> Option<Armed> {
        if kind == EventKind::ChildrenChanged {
            return None;
        }
        let mut path = path;
        loop {
            let armed = self.by_path.get(path).and_then(|watches| watches.recursive);
            if armed.is_some() || path == "/" {
                return armed;
            }
            path = parent(path);
        }
    }
}

impl Watches {
    fn hear(&self, kind: EventKind) -> Option<Armed> {
        let data = self.data.filter(|_| kind != EventKind::ChildrenChanged);
        let is_of_children = matches!(kind, EventKind::ChildrenChanged | EventKind::Deleted);
        let child = self.child.filter(|_| is_of_children);
        self.persistent.or(data).or(child)
    }
}
