//! Histories of watches: events that come, come twice, too late, or not at all.

use super::{Bad, Good};
use crate::history::EventKind::{ChildrenChanged, Created, DataChanged, Deleted};
use crate::history::script::{Script, create, created, creation, data, delete, set, setting, stat};
use crate::history::{CreateMode, Reply, Request, WatchedBy};

const WATCH: &str = "watch_exactness";

/// Client 1 has made `/a` at 1; client 2 watches.
fn with_node() -> Script {
    let mut s = Script::with(2);
    s.create(1, "/a", "0", 1);
    s
}

fn watch_data(s: &mut Script, zxid: i64) {
    let request = Request::GetData { path: "/a".to_owned(), watch: true };
    s.done(2, request, zxid, data("0", stat(1, 1, 0)));
}

fn watch_exists(s: &mut Script, path: &str, zxid: i64) {
    s.refused(2, Request::Exists { path: path.to_owned(), watch: true }, zxid, -101);
}

fn watch_children(s: &mut Script, path: &str, zxid: i64) {
    let request = Request::GetChildren { path: path.to_owned(), watch: true };
    s.done(2, request, zxid, Reply::Children { names: vec![], stat: None });
}

fn add_watch(s: &mut Script, path: &str, recursive: bool, zxid: i64) {
    s.done(2, Request::AddWatch { path: path.to_owned(), recursive }, zxid, Reply::Done);
}

fn ping(s: &mut Script, zxid: i64) {
    s.done(2, Request::Ping, zxid, Reply::Done);
}

fn set_watches(seen: i64, data: &[&str], exist: &[&str], child: &[&str]) -> Request {
    let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    Request::SetWatches {
        relative_zxid: menagerie_wire::Zxid(seen),
        data: list(data),
        exist: list(exist),
        child: list(child),
        persistent: vec![],
        recursive: vec![],
    }
}

/// Client 1 makes two children in turn, its end deletes both; it never hears of the second's name.
fn end_of_a_nameless_child() -> Script {
    let mut s = with_node();
    let creation = || creation("/a/s", "x", CreateMode::Ephemeral, true);
    s.done(1, Request::Write(creation()), 2, created("/a/s0000000000"));
    s.lose(1, Request::Write(creation()));
    ping(&mut s, 3);
    add_watch(&mut s, "/a", false, 3);
    s.done(1, Request::CloseSession, 4, Reply::Done);
    s.event(2, 4, ChildrenChanged, "/a");
    s.event(2, 4, ChildrenChanged, "/a");
    s
}

pub(super) const BAD: &[Bad] = &[
    ("two children end, and a third is told", WATCH, || {
        let mut s = end_of_a_nameless_child();
        s.event(2, 4, ChildrenChanged, "/a");
        ping(&mut s, 4);
        s
    }),
    ("an event is lost", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        ping(&mut s, 2);
        s
    }),
    ("an event comes behind the data", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("an event comes twice", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("a watch that has fired fires again", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s.set(1, "/a", "2", 3, 2);
        s.event(2, 3, DataChanged, "/a");
        s
    }),
    ("the first change is passed over", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.set(1, "/a", "2", 3, 2);
        s.event(2, 3, DataChanged, "/a");
        s
    }),
    ("an event of a change that was known when the watch was left", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.event(2, 1, Created, "/a");
        s
    }),
    ("an event that nobody asked for", WATCH, || {
        let mut s = with_node();
        ping(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("an event of another kind", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, Deleted, "/a");
        s
    }),
    ("events change places", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        watch_exists(&mut s, "/b", 1);
        s.set(1, "/a", "1", 2, 1);
        s.create(1, "/b", "0", 3);
        s.event(2, 3, Created, "/b");
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("a child watch does not hear of its own node's end", WATCH, || {
        let mut s = with_node();
        watch_children(&mut s, "/a", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        ping(&mut s, 2);
        s
    }),
    ("a child is made without a word", WATCH, || {
        let mut s = with_node();
        watch_children(&mut s, "/a", 1);
        s.create(1, "/a/b", "0", 2);
        ping(&mut s, 2);
        s
    }),
    ("a persistent watch falls silent", WATCH, || {
        let mut s = with_node();
        add_watch(&mut s, "/a", false, 1);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s.set(1, "/a", "2", 3, 2);
        ping(&mut s, 3);
        s
    }),
    ("a recursive watch hears of children's lists", WATCH, || {
        let mut s = with_node();
        add_watch(&mut s, "/a", true, 1);
        s.create(1, "/a/b", "0", 2);
        s.event(2, 2, Created, "/a/b");
        s.event(2, 2, ChildrenChanged, "/a");
        s
    }),
    ("a recursive watch does not hear of a grandchild", WATCH, || {
        let mut s = with_node();
        s.create(1, "/a/b", "0", 2);
        add_watch(&mut s, "/a", true, 2);
        s.create(1, "/a/b/c", "0", 3);
        ping(&mut s, 3);
        s
    }),
    ("a watch that was removed fires", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        let remove = Request::RemoveWatches { path: "/a".to_owned(), watched_by: WatchedBy::Data };
        s.done(2, remove, 1, Reply::Done);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("a watch lives longer than its connection", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.connect(2, 2);
        s.set(1, "/a", "1", 2, 1);
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("what changed during a reconnect is not told", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.connect(2, 2);
        s.done(2, set_watches(1, &["/a"], &[], &[]), 2, Reply::Done);
        s
    }),
    ("a node that was made during a reconnect is not told", WATCH, || {
        let mut s = with_node();
        watch_exists(&mut s, "/b", 1);
        s.create(1, "/b", "0", 2);
        s.connect(2, 2);
        s.done(2, set_watches(1, &[], &["/b"], &[]), 2, Reply::Done);
        s
    }),
    ("a child that was made during a reconnect is not told", WATCH, || {
        let mut s = with_node();
        watch_children(&mut s, "/a", 1);
        s.create(1, "/a/b", "0", 2);
        s.connect(2, 2);
        s.done(2, set_watches(1, &[], &[], &["/a"]), 2, Reply::Done);
        s
    }),
    ("an event at a reconnect without a change", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.connect(2, 2);
        let again = s.begin(2, set_watches(1, &["/a"], &[], &[]));
        s.event(2, -1, DataChanged, "/a");
        s.end(again, 1, Ok(Reply::Done));
        s
    }),
    ("a watch that was left again is lost", WATCH, || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.connect(2, 2);
        s.done(2, set_watches(1, &["/a"], &[], &[]), 1, Reply::Done);
        s.set(1, "/a", "1", 2, 1);
        ping(&mut s, 2);
        s
    }),
    ("what one client was told another is not", WATCH, || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        watch_data(&mut s, 1);
        let request = Request::GetData { path: "/a".to_owned(), watch: true };
        s.done(3, request, 1, data("0", stat(1, 1, 0)));
        s.lose(1, set("/a", "1"));
        s.event(3, 2, DataChanged, "/a");
        ping(&mut s, 2);
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("a watch fires before the data is seen", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s.event(2, 2, DataChanged, "/a");
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.set(1, "/a", "2", 3, 2);
        ping(&mut s, 3);
        s
    }),
    ("an event that was under way when the connection was lost", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.connect(2, 2);
        let again = s.begin(2, set_watches(1, &["/a"], &[], &[]));
        s.event(2, -1, DataChanged, "/a");
        s.end(again, 2, Ok(Reply::Done));
        s.set(1, "/a", "2", 3, 2);
        ping(&mut s, 3);
        s
    }),
    ("a watch is left again at a server that is behind", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.connect(2, 2);
        s.done(2, set_watches(1, &["/a"], &[], &[]), 1, Reply::Done);
        s.event(2, 2, DataChanged, "/a");
        ping(&mut s, 2);
        s
    }),
    ("a node that came and went during a reconnect is not told", || {
        let mut s = with_node();
        watch_exists(&mut s, "/b", 1);
        s.create(1, "/b", "0", 2);
        s.done(1, delete("/b"), 3, Reply::Done);
        s.connect(2, 2);
        s.done(2, set_watches(1, &[], &["/b"], &[]), 3, Reply::Done);
        s.create(1, "/b", "0", 4);
        s.event(2, 4, Created, "/b");
        s
    }),
    ("a node that was made again during a reconnect", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.create(1, "/a", "1", 3);
        s.connect(2, 2);
        let again = s.begin(2, set_watches(1, &["/a"], &["/a"], &["/a"]));
        s.event(2, -1, DataChanged, "/a");
        s.event(2, -1, Created, "/a");
        s.event(2, -1, ChildrenChanged, "/a");
        s.end(again, 3, Ok(Reply::Done));
        s
    }),
    ("a node that is gone after a reconnect is told to both lists", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        watch_children(&mut s, "/a", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.connect(2, 2);
        let again = s.begin(2, set_watches(1, &["/a"], &[], &["/a"]));
        s.event(2, -1, Deleted, "/a");
        s.event(2, -1, Deleted, "/a");
        s.end(again, 2, Ok(Reply::Done));
        s
    }),
    ("a write without an answer is told", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.lose(1, set("/a", "1"));
        s.event(2, 2, DataChanged, "/a");
        s
    }),
    ("data and child watch hear once of their node's end", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        watch_children(&mut s, "/a", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.event(2, 2, Deleted, "/a");
        ping(&mut s, 2);
        s
    }),
    ("persistent and recursive watches hear of all, through an end", || {
        let mut s = with_node();
        add_watch(&mut s, "/a", false, 1);
        add_watch(&mut s, "/a", true, 1);
        s.create(1, "/a/b", "0", 2);
        s.event(2, 2, Created, "/a/b");
        s.event(2, 2, ChildrenChanged, "/a");
        s.done(1, delete("/a/b"), 3, Reply::Done);
        s.event(2, 3, Deleted, "/a/b");
        s.event(2, 3, ChildrenChanged, "/a");
        s.done(1, delete("/a"), 4, Reply::Done);
        s.event(2, 4, Deleted, "/a");
        s.create(1, "/a", "0", 5);
        s.event(2, 5, Created, "/a");
        ping(&mut s, 5);
        s
    }),
    ("a multi tells its parts in their order", || {
        let mut s = with_node();
        add_watch(&mut s, "/a", false, 1);
        let writes = vec![setting("/a", "1", -1), setting("/a", "2", -1)];
        let part = |version| Ok(Reply::Stat(stat(1, 2, version)));
        s.done(1, Request::Multi(writes), 2, Reply::Parts(vec![part(1), part(2)]));
        s.event(2, 2, DataChanged, "/a");
        s.event(2, 2, DataChanged, "/a");
        ping(&mut s, 2);
        s
    }),
    ("the end of a session is told", || {
        let mut s = with_node();
        let creation = creation("/a/e", "x", CreateMode::Ephemeral, false);
        s.done(1, Request::Write(creation), 2, created("/a/e"));
        watch_children(&mut s, "/a", 2);
        s.done(1, Request::CloseSession, 3, Reply::Done);
        s.event(2, 3, ChildrenChanged, "/a");
        ping(&mut s, 3);
        s
    }),
    ("the end of a child whose name no reply told", || {
        let mut s = end_of_a_nameless_child();
        ping(&mut s, 4);
        s
    }),
    ("an event that did not come before the end", || {
        let mut s = with_node();
        watch_data(&mut s, 1);
        s.set(1, "/a", "1", 2, 1);
        s.refused(2, create("/a", "1"), 1, -110);
        s
    }),
];
