//! The matrix of the protocol as cases, and the table against ZooKeeper's own two tables.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const P: &str = "/parent/p";
const PARENT: &str = "/parent";

#[derive(Clone, Copy, Debug)]
enum Change {
    Created,
    Deleted,
    Data,
}

impl Change {
    const ALL: [Self; 3] = [Self::Created, Self::Deleted, Self::Data];

    fn trigger(self, table: &mut WatchTable, path: &str) -> Vec<(EventType, String, Vec<u32>)> {
        let mut told = Vec::new();
        let tell = |fired: Fired<'_>| {
            let mut conns: Vec<u32> = fired.conns.iter().map(|conn| conn.0).collect();
            conns.sort_unstable();
            told.push((fired.kind, fired.path.to_owned(), conns));
        };
        match self {
            Self::Created => table.node_created(path, tell),
            Self::Deleted => table.node_deleted(path, tell),
            Self::Data => table.node_data_changed(path, tell),
        }
        told
    }
}

fn watching(watches: &[(u32, &str, WatchKind)]) -> WatchTable {
    let mut table = WatchTable::default();
    for &(conn, path, kind) in watches {
        table.watch(ConnId::new(conn), path, kind).expect("few watches");
    }
    table
}

/// Triggers created, deleted, data on fresh tables; `expect` holds event types, 0 for none.
fn check(watched: &str, kind: WatchKind, expect: [i32; 3]) {
    for (change, expect) in Change::ALL.into_iter().zip(expect) {
        let mut table = watching(&[(1, watched, kind)]);
        let told = change.trigger(&mut table, P);
        let types: Vec<i32> = told.iter().map(|(kind, ..)| *kind as i32).collect();
        let expect: Vec<i32> = [expect].into_iter().filter(|&kind| kind != 0).collect();
        assert_eq!(types, expect, "{watched} {kind:?} {change:?}");
        let about = if expect == [4] { PARENT } else { P };
        assert!(told.iter().all(|(_, path, conns)| path == about && conns == &[1]));
        let stays = !matches!(kind, WatchKind::Data | WatchKind::Child) || expect.is_empty();
        assert_eq!(table.watches(ConnId::new(1), watched, WatcherType::Any), stays);
    }
}

#[test]
fn each_change_fires_what_the_matrix_says() {
    check(P, WatchKind::Data, [1, 2, 3]);
    check(P, WatchKind::Child, [0, 2, 0]);
    check(PARENT, WatchKind::Child, [4, 4, 0]);
    check(PARENT, WatchKind::Data, [0, 0, 0]);
    check(P, WatchKind::Persistent, [1, 2, 3]);
    check(PARENT, WatchKind::Persistent, [4, 4, 0]);
    check(P, WatchKind::Recursive, [1, 2, 3]);
    check(PARENT, WatchKind::Recursive, [1, 2, 3]);
    check("/", WatchKind::Recursive, [1, 2, 3]);
    check("/", WatchKind::Persistent, [0, 0, 0]);
    check("/par", WatchKind::Recursive, [0, 0, 0]);
    check("", WatchKind::Recursive, [0, 0, 0]);
    check("/parent/p/below", WatchKind::Recursive, [0, 0, 0]);
}

#[test]
fn one_routine_tells_a_connection_once() {
    let mut table = watching(&[
        (1, P, WatchKind::Data),
        (1, P, WatchKind::Child),
        (1, "/", WatchKind::Recursive),
        (1, PARENT, WatchKind::Recursive),
        (1, PARENT, WatchKind::Child),
        (2, PARENT, WatchKind::Recursive),
    ]);
    let told = Change::Deleted.trigger(&mut table, P);
    let expect = [
        (EventType::NodeDeleted, P.to_owned(), vec![1, 2]),
        (EventType::NodeChildrenChanged, PARENT.to_owned(), vec![1]),
    ];
    assert_eq!(told, expect);
    assert!(!table.watches(ConnId::new(1), P, WatcherType::Any), "both were consumed");
    assert!(table.watches(ConnId::new(1), PARENT, WatcherType::Any), "recursive stays");
}

#[test]
fn the_roots_children_have_the_root_as_path() {
    let mut table = watching(&[(3, "/", WatchKind::Child)]);
    let told = Change::Created.trigger(&mut table, "/a");
    assert_eq!(told, [(EventType::NodeChildrenChanged, "/".to_owned(), vec![3])]);
}

#[test]
fn watches_are_removed_by_type() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let removal = |kind: WatcherType, left: &[WatcherType]| {
        let conn = ConnId::new(1);
        let mut table = watching(&[
            (1, P, WatchKind::Data),
            (1, P, WatchKind::Child),
            (1, P, WatchKind::Persistent),
            (1, P, WatchKind::Recursive),
        ]);
        assert!(table.unwatch(conn, P, kind));
        assert!(!table.unwatch(conn, P, kind), "{kind:?} twice");
        assert!(!table.unwatch(ConnId::new(2), P, kind), "not somebody else's");
        for each in [Children, Data, Persistent, PersistentRecursive] {
            assert_eq!(table.watches(conn, P, each), left.contains(&each), "{kind:?} {each:?}");
        }
    };
    removal(Data, &[Children, Persistent, PersistentRecursive]);
    removal(Children, &[Data, Persistent, PersistentRecursive]);
    removal(Persistent, &[Data, Children, PersistentRecursive]);
    removal(PersistentRecursive, &[Data, Children, Persistent]);
    removal(Any, &[]);
}

#[test]
fn the_summary_counts_data_watches_only() {
    let table = watching(&[
        (1, "/f", WatchKind::Data),
        (1, "/", WatchKind::Child),
        (2, "/f", WatchKind::Recursive),
    ]);
    assert_eq!(table.summary(), WatchSummary { connections: 2, paths: 1, watches: 2 });
    assert_eq!(table.watch_count(), 3);
}

/// ZooKeeper's two tables, spelled out.
#[derive(Default)]
struct Model {
    data: BTreeMap<(String, u32), BTreeSet<&'static str>>,
    child: BTreeMap<(String, u32), BTreeSet<&'static str>>,
}

impl Model {
    fn watch(&mut self, conn: u32, path: &str, kind: WatchKind) {
        let (data, child, mode) = match kind {
            WatchKind::Data => (true, false, "standard"),
            WatchKind::Child => (false, true, "standard"),
            WatchKind::Persistent => (true, true, "persistent"),
            WatchKind::Recursive => (true, false, "recursive"),
        };
        for (table, into) in [(&mut self.data, data), (&mut self.child, child)] {
            if into {
                table.entry((path.to_owned(), conn)).or_default().insert(mode);
            }
        }
    }

    fn unwatch(&mut self, conn: u32, path: &str, kind: WatcherType) -> bool {
        let mut removed = false;
        for (is_data, table) in [(true, &mut self.data), (false, &mut self.child)] {
            let Some(modes) = table.get_mut(&(path.to_owned(), conn)) else { continue };
            let before = modes.len();
            modes.retain(|mode| match kind {
                WatcherType::Any => false,
                WatcherType::Data => !(is_data && *mode == "standard"),
                WatcherType::Children => is_data || *mode != "standard",
                WatcherType::Persistent => *mode != "persistent",
                WatcherType::PersistentRecursive => *mode != "recursive",
            });
            removed |= modes.len() < before;
        }
        self.tidy();
        removed
    }

    fn tidy(&mut self) {
        self.data.retain(|_, modes| !modes.is_empty());
        self.child.retain(|_, modes| !modes.is_empty());
    }

    fn drop_connection(&mut self, conn: u32) {
        self.data.retain(|(_, other), _| *other != conn);
        self.child.retain(|(_, other), _| *other != conn);
    }

    fn routine(
        table: &mut BTreeMap<(String, u32), BTreeSet<&'static str>>,
        path: &str,
        skip: &BTreeSet<u32>,
    ) -> BTreeSet<u32> {
        let mut told = BTreeSet::new();
        for ((watched, conn), modes) in table.iter_mut() {
            let below = watched == "/" || path.starts_with(&format!("{watched}/"));
            if watched == path || (below && !watched.is_empty() && modes.contains("recursive")) {
                told.insert(*conn);
            }
            if watched == path {
                modes.remove("standard");
            }
        }
        &told - skip
    }

    fn trigger(&mut self, change: Change, path: &str) -> Vec<(EventType, String, Vec<u32>)> {
        let none = BTreeSet::new();
        let mut calls = Vec::new();
        let kind = match change {
            Change::Created => EventType::NodeCreated,
            Change::Deleted => EventType::NodeDeleted,
            Change::Data => EventType::NodeDataChanged,
        };
        let mut told = Self::routine(&mut self.data, path, &none);
        if matches!(change, Change::Deleted) {
            told.extend(Self::routine(&mut self.child, path, &told));
        }
        calls.push((kind, path.to_owned(), told));
        if let (Change::Created | Change::Deleted, Some(parent)) = (change, parent(path)) {
            let told = Self::routine(&mut self.child, parent, &none);
            calls.push((EventType::NodeChildrenChanged, parent.to_owned(), told));
        }
        self.tidy();
        calls.retain(|(.., told)| !told.is_empty());
        calls
            .into_iter()
            .map(|(kind, path, told)| (kind, path, told.into_iter().collect()))
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Watch(u32, &'static str, WatchKind),
    Unwatch(u32, &'static str, WatcherType),
    Drop(u32),
    Change(Change, &'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let conn = 0..5u32;
    let path = || prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "", "/d"]);
    let node = prop::sample::select(vec!["/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "/d"]);
    let kind = prop::sample::select(vec![
        WatchKind::Data,
        WatchKind::Child,
        WatchKind::Persistent,
        WatchKind::Recursive,
    ]);
    let removed = (1..=5).prop_map(|code| WatcherType::try_from(code).expect("1 to 5"));
    let change = prop::sample::select(Change::ALL.to_vec());
    let step = prop_oneof![
        6 => (conn.clone(), path(), kind).prop_map(|(c, p, k)| Step::Watch(c, p, k)),
        1 => (conn.clone(), path(), removed).prop_map(|(c, p, k)| Step::Unwatch(c, p, k)),
        1 => conn.prop_map(Step::Drop),
        4 => (change, node).prop_map(|(c, p)| Step::Change(c, p)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_table_tells_what_zookeepers_two_tables_tell(steps in steps()) {
        let mut table = WatchTable::default();
        let mut model = Model::default();
        for step in steps {
            match step.clone() {
                Step::Watch(conn, path, kind) => {
                    table.watch(ConnId::new(conn), path, kind).expect("few watches");
                    model.watch(conn, path, kind);
                }
                Step::Unwatch(conn, path, kind) => {
                    let removed = table.unwatch(ConnId::new(conn), path, kind);
                    prop_assert_eq!(removed, model.unwatch(conn, path, kind), "{:?}", step);
                }
                Step::Drop(conn) => {
                    table.drop_connection(ConnId::new(conn));
                    model.drop_connection(conn);
                }
                Step::Change(change, path) => {
                    let told = change.trigger(&mut table, path);
                    prop_assert_eq!(told, model.trigger(change, path), "{:?}", step);
                }
            }
            prop_assert_eq!(table.watch_count(), model.data.len() + model.child.len());
            prop_assert_eq!(table.summary().watches, model.data.len());
        }
        for conn in 0..5 {
            table.drop_connection(ConnId::new(conn));
        }
        prop_assert!(table.paths.is_empty());
        prop_assert_eq!(table.counts, Counts::default());
    }
}

#[test]
fn a_watch_that_comes_and_goes_does_not_grow_the_registry() {
    let mut table = watching(&[(0, "/stays", WatchKind::Persistent)]);
    for round in 0..10_000 {
        let path = format!("/n{}", round % 7);
        table.watch(ConnId::new(0), &path, WatchKind::Data).expect("few watches");
        Change::Data.trigger(&mut table, &path);
    }
    assert!(table.registry.take(ConnId::new(0)).len() <= 32);
}
