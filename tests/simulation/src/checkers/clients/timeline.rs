//! What is known of each node's changes, in the order of their zxids.

use std::collections::{BTreeMap, HashSet};

use menagerie_wire::Zxid;

use crate::history::{Change, ChangeKind, CreateMode, Found, History, Sight};

use super::nameless;

/// The known changes of all nodes.
#[derive(Debug, Default)]
pub(super) struct Timelines<'h> {
    by_path: BTreeMap<&'h str, Timeline<'h>>,
}

/// The known changes of one node.
#[derive(Debug, Default)]
pub(super) struct Timeline<'h> {
    /// Acknowledged, with rising zxids.
    pub(super) changes: Vec<&'h Change>,
    /// Those that may have happened.
    pub(super) doubtful: Vec<&'h Change>,
    /// Whether the server may have taken the node away of its own accord.
    pub(super) may_vanish: bool,
}

impl<'h> Timelines<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut timelines = Self::default();
        for change in &history.changes {
            timelines.at(change.path()).changes.push(change);
        }
        for change in &history.doubtful {
            if let Some(path) = &change.path {
                timelines.at(path).doubtful.push(change);
            }
        }
        let nameless = nameless::by_asked_path(history);
        for (path, timeline) in &mut timelines.by_path {
            let makers = nameless::asked_path(path).and_then(|asked| nameless.get(asked));
            timeline.doubtful.extend(makers.into_iter().flatten());
            let mut all = timeline.changes.iter().chain(&timeline.doubtful);
            timeline.may_vanish = all.any(|change| vanishes(change));
        }
        timelines
    }

    fn at(&mut self, path: &'h str) -> &mut Timeline<'h> {
        self.by_path.entry(path).or_default()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Timeline<'h>> {
        self.by_path.get(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'h str, &Timeline<'h>)> {
        self.by_path.iter().map(|(path, timeline)| (*path, timeline))
    }

    /// The last known change that a sight should show and does not.
    pub(super) fn hidden(&self, sight: &Sight<'_>) -> Option<&'h Change> {
        let timeline = self.get(sight.path)?;
        let change = timeline.last_at(sight.zxid)?;
        timeline.is_hidden(change, sight.found).then_some(change)
    }
}

impl<'h> Timeline<'h> {
    /// The last change up to `zxid`.
    pub(super) fn last_at(&self, zxid: Zxid) -> Option<&'h Change> {
        let count = self.changes.partition_point(|change| change.zxid <= zxid);
        count.checked_sub(1).map(|index| self.changes[index])
    }

    /// The last creation up to `zxid`, of the node that is there then.
    pub(super) fn creation_at(&self, zxid: Zxid) -> Option<&'h Change> {
        let count = self.changes.partition_point(|change| change.zxid <= zxid);
        let mut changes = self.changes[..count].iter().rev();
        let last = changes.find(|change| !matches!(change.kind, ChangeKind::DataChanged))?;
        matches!(last.kind, ChangeKind::Created(_)).then_some(last)
    }

    /// Whether `found` is older than `change`, the last one that it may show.
    pub(super) fn is_hidden(&self, change: &Change, found: Found<'_>) -> bool {
        match found {
            Found::Node { stat, .. } => stat.mzxid < change.zxid,
            Found::Absent => change.kind != ChangeKind::Deleted && !self.may_be_deleted(),
        }
    }

    /// Whether the node may have gone without anybody's knowledge.
    pub(super) fn may_be_deleted(&self) -> bool {
        self.may_vanish || self.doubtful.iter().any(|change| change.kind == ChangeKind::Deleted)
    }

    /// Data that one operation alone gave to this node, and never twice.
    pub(super) fn unique_data(&self) -> HashSet<&'h str> {
        let mut once = HashSet::new();
        let mut twice = HashSet::new();
        for change in self.changes.iter().chain(&self.doubtful) {
            if let Some(data) = change.data.as_deref()
                && !once.insert(data)
            {
                twice.insert(data);
            }
        }
        &once - &twice
    }
}

/// Whether a change makes a node that the server may take away.
pub(super) fn vanishes(change: &Change) -> bool {
    let kind = change.kind;
    matches!(kind, ChangeKind::Created(mode) if mode != CreateMode::Persistent)
}

/// The path of the node above; of a node at the top, and of the root itself, the root's.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}
