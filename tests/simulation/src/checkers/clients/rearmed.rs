//! setWatches: what must be told at once, what must not, and what is armed.
// ZooKeeper: DataTree.setWatches

use menagerie_wire::Zxid;

use crate::history::{ChangeKind, EventKind, OpIndex, Request};

use super::facts::Facts;
use super::timeline::Timelines;
use super::watched::Watched;

/// What is known at the reply.
pub(super) struct State<'s, 'h> {
    pub(super) timelines: &'s Timelines<'h>,
    pub(super) facts: &'s Facts<'h>,
    /// Of the reply.
    pub(super) zxid: Zxid,
}

/// What is to be told of one path in one list.
enum Due {
    Told(&'static [EventKind]),
    Silence,
    Either(&'static [EventKind]),
}

const GONE: &[EventKind] = &[EventKind::Deleted];
const CREATED: &[EventKind] = &[EventKind::Created];
const CHANGED: &[EventKind] = &[EventKind::DataChanged];
const CHILDREN: &[EventKind] = &[EventKind::ChildrenChanged];
const GONE_OR_CHANGED: &[EventKind] = &[EventKind::Deleted, EventKind::DataChanged];
const GONE_OR_CHILDREN: &[EventKind] = &[EventKind::Deleted, EventKind::ChildrenChanged];

/// Judges what was told (`fired`) before the reply to a setWatches, and arms the rest.
pub(super) fn judge<'h>(
    request: &'h Request,
    state: &State<'_, 'h>,
    mut fired: Vec<(EventKind, &'h str)>,
    watched: &mut Watched<'h>,
    op: OpIndex,
) -> Vec<String> {
    let Request::SetWatches { relative_zxid, data, exist, child, persistent, recursive } = request
    else {
        return Vec::new();
    };
    let (seen, zxid) = (*relative_zxid, state.zxid);
    let mut faults = Vec::new();
    let mut told = |path: &'h str, due: Due| {
        let kinds = match due {
            Due::Told(kinds) | Due::Either(kinds) => kinds,
            Due::Silence => &[],
        };
        let at = fired.iter().position(|(kind, of)| *of == path && kinds.contains(kind));
        match (at, &due) {
            (Some(at), _) => drop(fired.swap_remove(at)),
            (None, Due::Told(kinds)) => {
                let text = format!("setWatches from {seen} at {zxid} is silent of {path}");
                faults.push(format!("{text}: {kinds:?}"));
            }
            (None, _) => {}
        }
        at.is_some() || matches!(due, Due::Told(_))
    };
    for path in data {
        if !told(path, state.data(path, seen)) {
            watched.data(path, op, zxid);
        }
    }
    for path in exist {
        if !told(path, state.exist(path)) {
            watched.data(path, op, zxid);
        }
    }
    for path in child {
        if !told(path, state.child(path, seen)) {
            watched.child(path, op, zxid);
        }
    }
    for path in persistent {
        watched.persistent(path, false, op, zxid);
    }
    for path in recursive {
        watched.persistent(path, true, op, zxid);
    }
    faults.extend(fired.into_iter().map(|(kind, path)| {
        format!("setWatches from {seen} at {zxid} tells {kind:?} of {path} without a reason")
    }));
    faults
}

impl State<'_, '_> {
    /// The zxid of the last change if the node is there, where all changes are known.
    fn certain(&self, path: &str) -> Option<Option<Zxid>> {
        // What the server has made itself nobody has recorded.
        let is_the_server_s = path == "/" || path.starts_with("/zookeeper");
        if is_the_server_s || self.facts.may_be_nameless(path) {
            return None;
        }
        let Some(timeline) = self.timelines.get(path) else { return Some(None) };
        let last = timeline.last_at(self.zxid).filter(|last| last.kind != ChangeKind::Deleted);
        let is_certain = !timeline.may_vanish && timeline.doubtful.is_empty();
        is_certain.then(|| last.map(|change| change.zxid))
    }

    /// Whether a fact of these kinds is known since the client's.
    fn has_changed(&self, path: &str, seen: Zxid, kinds: &[EventKind]) -> bool {
        self.facts.has_changed(path, (seen, self.zxid), kinds)
    }

    fn data(&self, path: &str, seen: Zxid) -> Due {
        const KINDS: &[EventKind] =
            &[EventKind::Created, EventKind::Deleted, EventKind::DataChanged];
        match self.certain(path) {
            Some(None) => Due::Told(GONE),
            Some(Some(mzxid)) if mzxid > seen => Due::Told(CHANGED),
            Some(Some(_)) => Due::Silence,
            None if self.has_changed(path, seen, KINDS) => Due::Told(GONE_OR_CHANGED),
            None => Due::Either(GONE_OR_CHANGED),
        }
    }

    fn exist(&self, path: &str) -> Due {
        match self.certain(path) {
            Some(None) => Due::Silence,
            Some(Some(_)) => Due::Told(CREATED),
            None => Due::Either(CREATED),
        }
    }

    fn child(&self, path: &str, seen: Zxid) -> Due {
        let has_changed = self.has_changed(path, seen, CHILDREN);
        match self.certain(path) {
            Some(None) => Due::Told(GONE),
            // A node that was made meanwhile has a pzxid of its own.
            Some(Some(_)) if has_changed || self.has_changed(path, seen, CREATED) => {
                Due::Told(CHILDREN)
            }
            Some(Some(_)) if !self.facts.may_change_children(path) => Due::Silence,
            Some(Some(_)) => Due::Either(CHILDREN),
            None if has_changed => Due::Told(GONE_OR_CHILDREN),
            None => Due::Either(GONE_OR_CHILDREN),
        }
    }
}
