//! What is known to have changed, in the words of watch events.

use std::collections::{HashMap, HashSet};
use std::fmt;

use menagerie_wire::Zxid;

use crate::history::{Change, ChangeKind, EventKind, History};

use super::timeline::{parent, vanishes};

/// Something that watchers of a path are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fact<'h> {
    pub(super) zxid: Zxid,
    pub(super) kind: EventKind,
    pub(super) path: &'h str,
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} at {}", self.kind, self.path, self.zxid)
    }
}

/// All facts, and what else may have happened.
#[derive(Debug)]
pub(super) struct Facts<'h> {
    /// In the order of zxids; of one transaction, in its own order.
    ordered: Vec<Fact<'h>>,
    counts: HashMap<Fact<'h>, usize>,
    /// By path, in the order of zxids.
    by_path: HashMap<&'h str, Vec<(Zxid, EventKind)>>,
    /// Transactions of which all is known.
    told_zxids: HashSet<Zxid>,
    /// What changes without an answer, and ends of sessions, may tell.
    possible: HashMap<(EventKind, &'h str), usize>,
    /// Parents of nodes whose names nobody knows, and how many of those they may have.
    nameless: HashMap<&'h str, usize>,
}

impl<'h> Facts<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut facts = Self {
            ordered: Vec::new(),
            counts: HashMap::new(),
            by_path: HashMap::new(),
            told_zxids: HashSet::new(),
            possible: HashMap::new(),
            nameless: HashMap::new(),
        };
        for change in &history.changes {
            facts.told_zxids.insert(change.zxid);
            for (kind, path) in tells(change, change.path()) {
                facts.ordered.push(Fact { zxid: change.zxid, kind, path });
            }
        }
        for change in history.changes.iter().chain(&history.doubtful) {
            let Some(path) = &change.path else {
                let request = &history.operations[change.op].request;
                let parent = parent(request.writes()[change.part].path());
                *facts.nameless.entry(parent).or_default() += 1;
                continue;
            };
            if change.zxid == Zxid::NONE {
                facts.may_tell(tells(change, path));
            }
            if vanishes(change) {
                facts.may_tell(deletion(path));
            }
        }
        // What one client was told of has happened for all.
        let mut heard: HashSet<Fact<'_>> = HashSet::new();
        for event in &history.events {
            let fact = Fact { zxid: event.zxid, kind: event.kind, path: &event.path };
            if fact.zxid > Zxid::ZERO && !facts.told_zxids.contains(&fact.zxid) {
                heard.insert(fact);
            }
        }
        heard.retain(|fact| facts.is_possible(fact));
        let mut heard: Vec<_> = heard.into_iter().collect();
        heard.sort_unstable();
        facts.ordered.extend(heard);
        facts.ordered.sort_by_key(|fact| fact.zxid);
        for fact in &facts.ordered {
            *facts.counts.entry(*fact).or_default() += 1;
            facts.by_path.entry(fact.path).or_default().push((fact.zxid, fact.kind));
        }
        facts
    }

    fn may_tell(&mut self, told: impl IntoIterator<Item = (EventKind, &'h str)>) {
        for what in told {
            *self.possible.entry(what).or_default() += 1;
        }
    }

    /// The facts above `from`, up to `to`.
    pub(super) fn between(&self, from: Zxid, to: Zxid) -> &[Fact<'h>] {
        let start = self.ordered.partition_point(|fact| fact.zxid <= from);
        let end = self.ordered.partition_point(|fact| fact.zxid <= to);
        &self.ordered[start..end.max(start)]
    }

    /// How often this may be told to one who wants to hear all.
    pub(super) fn count(&self, fact: &Fact<'_>) -> usize {
        if self.told_zxids.contains(&fact.zxid) {
            return self.counts.get(fact).copied().unwrap_or(1);
        }
        let named = self.possible.get(&(fact.kind, fact.path)).copied().unwrap_or_default();
        let tells_the_parent = fact.kind == EventKind::ChildrenChanged;
        let nameless = self.nameless.get(fact.path).copied().filter(|_| tells_the_parent);
        (named + nameless.unwrap_or_default()).max(1)
    }

    /// Whether it has happened, or may have.
    pub(super) fn is_possible(&self, fact: &Fact<'_>) -> bool {
        if self.told_zxids.contains(&fact.zxid) {
            return self.counts.contains_key(fact);
        }
        // Of what the server does there nothing is recorded.
        let is_the_server_s = fact.path.starts_with("/zookeeper");
        is_the_server_s
            || self.possible.contains_key(&(fact.kind, fact.path))
            || self.nameless.contains_key(fact.path)
            || self.may_be_nameless(fact.path)
    }

    /// Whether a node may have been made under a name that no reply told.
    pub(super) fn may_be_nameless(&self, path: &str) -> bool {
        self.nameless.contains_key(parent(path))
    }

    /// Whether one of `kinds` is known of a path above `from`, up to `to`.
    pub(super) fn has_changed(
        &self,
        path: &str,
        (from, to): (Zxid, Zxid),
        kinds: &[EventKind],
    ) -> bool {
        let Some(facts) = self.by_path.get(path) else { return false };
        let start = facts.partition_point(|(zxid, _)| *zxid <= from);
        let known = facts[start..].iter().take_while(|(zxid, _)| *zxid <= to);
        known.into_iter().any(|(_, kind)| kinds.contains(kind))
    }

    /// Whether children of a path may have changed without a fact.
    pub(super) fn may_change_children(&self, path: &str) -> bool {
        self.nameless.contains_key(path)
            || self.possible.contains_key(&(EventKind::ChildrenChanged, path))
    }
}

/// What watchers hear of a change.
fn tells<'h>(change: &Change, path: &'h str) -> Vec<(EventKind, &'h str)> {
    match change.kind {
        ChangeKind::Created(_) => {
            vec![(EventKind::Created, path), (EventKind::ChildrenChanged, parent(path))]
        }
        ChangeKind::DataChanged => vec![(EventKind::DataChanged, path)],
        ChangeKind::Deleted => deletion(path).to_vec(),
    }
}

fn deletion(path: &str) -> [(EventKind, &str); 2] {
    [(EventKind::Deleted, path), (EventKind::ChildrenChanged, parent(path))]
}
