//! setWatches: a client that comes back says what it watched and what it saw last.
//!
//! What has changed meanwhile is told at once, the rest is armed. Each list has its own question to
//! the tree; persistent and recursive watches are always armed and never fire here. Nothing is
//! checked: neither paths nor access.
// ZooKeeper: DataTree.setWatches.

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::Zxid;
use menagerie_wire::data::Stat;
use menagerie_wire::event::EventType;
use menagerie_wire::proto::SetWatches;

use super::table::WatchLimit;
use super::{ConnId, WatchKind, WatchTable};

/// Arms the watches of `request` for `conn`, and hands those that fire to `fire`, in the order in
/// which they are due; they go out with zxid -1, before the reply.
///
/// # Errors
/// When the connection would watch too much; it is to be closed.
pub fn rearm(
    table: &mut WatchTable,
    conn: ConnId,
    request: &SetWatches<'_>,
    stat: impl Fn(&str) -> Option<Stat>,
    mut fire: impl FnMut(EventType, &str),
) -> Result<(), WatchLimit> {
    let forgets = flaws::has(Flaw::SetWatchesForgets);
    let seen = if forgets { Zxid(i64::MAX) } else { request.relative_zxid };
    let mut each = |paths: &[std::borrow::Cow<'_, str>], kind, due: &dyn Fn(&str) -> _| {
        for path in paths {
            match due(path) {
                Some(event) => fire(event, path),
                None => table.watch(conn, path, kind)?,
            }
        }
        Ok(())
    };
    each(&request.data, WatchKind::Data, &|path| match stat(path) {
        None => Some(EventType::NodeDeleted),
        Some(stat) => (stat.mzxid > seen).then_some(EventType::NodeDataChanged),
    })?;
    each(&request.exist, WatchKind::Data, &|path| stat(path).map(|_| EventType::NodeCreated))?;
    each(&request.child, WatchKind::Child, &|path| match stat(path) {
        None => Some(EventType::NodeDeleted),
        Some(stat) => (stat.pzxid > seen).then_some(EventType::NodeChildrenChanged),
    })?;
    each(&request.persistent, WatchKind::Persistent, &|_| None)?;
    each(&request.persistent_recursive, WatchKind::Recursive, &|_| None)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use menagerie_wire::proto::WatcherType;

    use super::*;

    fn list(paths: &[&'static str]) -> Vec<Cow<'static, str>> {
        paths.iter().copied().map(Cow::from).collect()
    }

    #[test]
    fn what_changed_fires_and_the_rest_is_armed() {
        let stat = |path: &str| match path {
            "/old" => Some(Stat { mzxid: Zxid(3), pzxid: Zxid(4), ..Stat::default() }),
            "/new" => Some(Stat { mzxid: Zxid(9), pzxid: Zxid(9), ..Stat::default() }),
            _ => None,
        };
        let request = SetWatches {
            relative_zxid: Zxid(5),
            data: list(&["/gone", "/new", "/old"]),
            exist: list(&["/new", "/gone2"]),
            child: list(&["/gone", "/new", "/old"]),
            persistent: list(&["/p"]),
            persistent_recursive: list(&["/r"]),
        };
        let conn = ConnId::new(0);
        let mut table = WatchTable::default();
        let mut fired = Vec::new();
        let fire = |kind, path: &str| fired.push((kind, path.to_owned()));
        rearm(&mut table, conn, &request, stat, fire).expect("few watches");
        let expect = [
            (EventType::NodeDeleted, "/gone"),
            (EventType::NodeDataChanged, "/new"),
            (EventType::NodeCreated, "/new"),
            (EventType::NodeDeleted, "/gone"),
            (EventType::NodeChildrenChanged, "/new"),
        ];
        let fired: Vec<_> = fired.iter().map(|(kind, path)| (*kind, path.as_str())).collect();
        assert_eq!(fired, expect);
        for (path, kind) in [
            ("/old", WatcherType::Data),
            ("/old", WatcherType::Children),
            ("/gone2", WatcherType::Data),
            ("/p", WatcherType::Persistent),
            ("/r", WatcherType::PersistentRecursive),
        ] {
            assert!(table.watches(conn, path, kind), "{path} {kind:?}");
        }
        assert!(!table.watches(conn, "/new", WatcherType::Any));
        assert!(!table.watches(conn, "/gone", WatcherType::Any));
    }
}
