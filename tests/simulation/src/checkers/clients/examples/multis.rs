//! Histories of multis: whole, in part, refused, without an answer.

use super::{Bad, Good};
use crate::history::script::{Script, create, creation, data, get, setting, stat};
use crate::history::{CreateMode, Reply, Request, Write};

const MULTI: &str = "multi_atomicity";

const NO_NODE: i32 = -101;
const RUNTIME_INCONSISTENCY: i32 = -2;

/// Sets two nodes at once.
fn pair(value: &str) -> Request {
    Request::Multi(vec![setting("/a", value, -1), setting("/b", value, -1)])
}

fn pair_done(zxid: i64, version: i32) -> Reply {
    let part = |czxid| Ok(Reply::Stat(stat(czxid, zxid, version)));
    Reply::Parts(vec![part(1), part(2)])
}

/// `/a`, made at 1, and `/b`, made at 2.
fn with_pair(clients: u32) -> Script {
    let mut s = Script::with(clients);
    s.create(1, "/a", "0", 1);
    s.create(1, "/b", "0", 2);
    s
}

pub(super) const BAD: &[Bad] = &[
    ("half of a multi is seen", MULTI, || {
        let mut s = with_pair(2);
        s.done(1, pair("1"), 3, pair_done(3, 1));
        s.get(2, "/a", 3, ("1", stat(1, 3, 1)));
        s.get(2, "/b", 3, ("0", stat(2, 2, 0)));
        s
    }),
    ("half of a multi without an answer is seen", MULTI, || {
        let mut s = with_pair(2);
        s.lose(1, pair("1"));
        s.get(2, "/a", 3, ("1", stat(1, 3, 1)));
        s.get(2, "/b", 3, ("0", stat(2, 2, 0)));
        s
    }),
    ("one reply shows half of a multi", MULTI, || {
        let mut s = with_pair(2);
        s.lose(1, pair("1"));
        let both = Request::MultiRead(vec!["/a".to_owned(), "/b".to_owned()]);
        let parts = vec![Ok(data("0", stat(1, 1, 0))), Ok(data("1", stat(2, 3, 1)))];
        s.done(2, both, 3, Reply::Parts(parts));
        s
    }),
    ("a multi makes a node and does not change the other", MULTI, || {
        let mut s = with_pair(2);
        let make = creation("/c", "1", CreateMode::Persistent, false);
        s.lose(1, Request::Multi(vec![setting("/a", "1", -1), make]));
        s.get(2, "/a", 3, ("1", stat(1, 3, 1)));
        s.get_nothing(2, "/c", 4);
        s
    }),
    ("a refused multi has written", MULTI, || {
        let mut s = with_pair(2);
        let write = vec![setting("/a", "1", -1), setting("/none", "1", -1)];
        let parts = Reply::Parts(vec![Err(0), Err(NO_NODE)]);
        s.done(1, Request::Multi(write), 3, parts);
        s.get(2, "/a", 3, ("1", stat(1, 3, 1)));
        s
    }),
    ("a refused multi has done a part", MULTI, || {
        let mut s = with_pair(1);
        let parts = Reply::Parts(vec![Ok(Reply::Stat(stat(1, 3, 1))), Err(NO_NODE)]);
        let writes = vec![setting("/a", "1", -1), setting("/none", "1", -1)];
        s.done(1, Request::Multi(writes), 3, parts);
        s
    }),
    ("the codes of a refused multi do not fit", MULTI, || {
        let mut s = with_pair(1);
        let codes = vec![Err(NO_NODE), Err(0)];
        let writes = vec![setting("/none", "1", -1), setting("/a", "1", -1)];
        s.done(1, Request::Multi(writes), 3, Reply::Parts(codes));
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("a multi is seen as a whole, before and after", || {
        let mut s = with_pair(3);
        let multi = s.begin(1, pair("1"));
        s.get(2, "/a", 2, ("0", stat(1, 1, 0)));
        s.get(2, "/b", 3, ("1", stat(2, 3, 1)));
        s.end(multi, 3, Ok(pair_done(3, 1)));
        s.get(3, "/b", 2, ("0", stat(2, 2, 0)));
        s.get(3, "/a", 3, ("1", stat(1, 3, 1)));
        s
    }),
    ("a multi without an answer happened between two reads", || {
        let mut s = with_pair(2);
        s.lose(1, pair("1"));
        s.get(2, "/b", 2, ("0", stat(2, 2, 0)));
        s.get(2, "/a", 3, ("1", stat(1, 3, 1)));
        s
    }),
    ("a multi without an answer did not happen", || {
        let mut s = with_pair(2);
        s.lose(1, pair("1"));
        s.done(2, pair("2"), 3, pair_done(3, 1));
        s.get(2, "/a", 3, ("2", stat(1, 3, 1)));
        s
    }),
    ("a part of a multi is written over", || {
        let mut s = with_pair(2);
        s.done(1, pair("1"), 3, pair_done(3, 1));
        s.done(1, Request::Write(setting("/b", "2", 1)), 4, Reply::Stat(stat(2, 4, 2)));
        s.get(2, "/a", 4, ("1", stat(1, 3, 1)));
        s.get(2, "/b", 4, ("2", stat(2, 4, 2)));
        s
    }),
    ("a multi sees its own parts", || {
        let mut s = Script::with(2);
        let check = Write::Check { path: "/c".to_owned(), version: 1 };
        let make = creation("/c", "0", CreateMode::Persistent, false);
        let writes = vec![make, setting("/c", "1", 0), check];
        let created = Reply::Created { path: "/c".to_owned(), stat: None };
        let parts = vec![Ok(created), Ok(Reply::Stat(stat(1, 1, 1))), Ok(Reply::Done)];
        s.done(1, Request::Multi(writes), 1, Reply::Parts(parts));
        s.get(2, "/c", 1, ("1", stat(1, 1, 1)));
        s
    }),
    ("a multi is refused for its middle part", || {
        let mut s = with_pair(1);
        let writes = vec![setting("/a", "1", 0), setting("/none", "1", -1), setting("/b", "1", 7)];
        let codes = vec![Err(0), Err(NO_NODE), Err(RUNTIME_INCONSISTENCY)];
        s.done(1, Request::Multi(writes), 3, Reply::Parts(codes));
        s.done(1, get("/a"), 3, data("0", stat(1, 1, 0)));
        s.refused(1, create("/a", "1"), 4, -110);
        s
    }),
];
