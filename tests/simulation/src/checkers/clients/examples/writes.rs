//! Histories of writes: their order, and what became of those that got no answer.

use super::{Bad, Good};
use crate::history::Reply;
use crate::history::script::{
    Script, TIMEOUT_MS, create, created, creation, data, delete, get, set, setting, stat,
};
use crate::history::{CreateMode, Request};

const LINEARIZABLE: &str = "linearizable_writes";
const FIFO: &str = "client_fifo";

const NODE_EXISTS: i32 = -110;
const NO_NODE: i32 = -101;
const BAD_VERSION: i32 = -103;

const SEQUENTIAL: &str = "sequential_names";

fn make_sequential(s: &mut Script, client: u32, number: &str, zxid: i64) {
    let creation = creation("/q/s-", "x", CreateMode::Persistent, true);
    let path = format!("/q/s-{number}");
    s.done(client, Request::Write(creation), zxid, created(&path));
}

/// With a parent for sequential nodes.
fn with_queue() -> Script {
    let mut s = Script::with(2);
    s.create(1, "/q", "", 1);
    s
}

pub(super) const BAD: &[Bad] = &[
    ("a version is given twice", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "x", 2, 1);
        s.set(2, "/a", "y", 3, 1);
        s
    }),
    ("one of two concurrent writes is lost", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        let (one, two) = (s.begin(1, set("/a", "x")), s.begin(2, set("/a", "y")));
        s.end(one, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s.end(two, 3, Ok(Reply::Stat(stat(1, 3, 1))));
        s
    }),
    ("two creates of one node succeed", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 1);
        s.create(2, "/a", "y", 2);
        s
    }),
    ("a delete is forgotten", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.refused(2, create("/a", "y"), 3, NODE_EXISTS);
        s
    }),
    ("a write that got no answer happens twice", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 1);
        s.lose(1, set("/a", "y"));
        s.set(2, "/a", "z", 4, 3);
        s
    }),
    ("zxids are against the time", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 7);
        s.create(2, "/b", "x", 6);
        s
    }),
    ("two writes share a zxid", LINEARIZABLE, || {
        let mut s = Script::with(2);
        let one = s.begin(1, create("/a", "x"));
        let two = s.begin(2, create("/b", "x"));
        s.end(one, 5, Ok(created("/a")));
        s.end(two, 5, Ok(created("/b")));
        s
    }),
    ("a version is refused that is right", LINEARIZABLE, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 1);
        s.refused(2, Request::Write(setting("/a", "y", 0)), 2, BAD_VERSION);
        s
    }),
    ("a write without an answer overtakes a later one", FIFO, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.create(1, "/b", "0", 2);
        s.lose(1, set("/a", "old"));
        s.set(1, "/b", "new", 3, 1);
        s.get(2, "/a", 4, ("old", stat(1, 4, 1)));
        s
    }),
    ("pipelined writes change places", FIFO, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "0", 1);
        s.create(1, "/b", "0", 2);
        let (one, two) = (s.begin(1, set("/a", "x")), s.begin(1, set("/b", "y")));
        s.end(one, 4, Ok(Reply::Stat(stat(1, 4, 1))));
        s.end(two, 3, Ok(Reply::Stat(stat(2, 3, 1))));
        s
    }),
    ("replies change places", FIFO, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "0", 1);
        let (one, two) = (s.begin(1, get("/a")), s.begin(1, get("/a")));
        s.end(two, 1, Ok(data("0", stat(1, 1, 0))));
        s.end(one, 1, Ok(data("0", stat(1, 1, 0))));
        s
    }),
    ("a session does not read its own write", FIFO, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "0", 1);
        s.get(1, "/a", 1, ("0", stat(1, 1, 0)));
        s.create(1, "/b", "0", 2);
        s.connect(1, 2);
        s.get(1, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("a read sees a later write of its own session", FIFO, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "0", 1);
        let (read, write) = (s.begin(1, get("/a")), s.begin(1, set("/a", "1")));
        s.end(read, 2, Ok(data("1", stat(1, 2, 1))));
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("a number is given twice", SEQUENTIAL, || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000000", 2);
        let creation = creation("/q/t-", "x", CreateMode::Persistent, true);
        s.done(2, Request::Write(creation), 3, created("/q/t-0000000000"));
        s
    }),
    ("numbers fall", SEQUENTIAL, || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000001", 2);
        make_sequential(&mut s, 1, "0000000000", 3);
        s
    }),
    ("a plain create is not counted", SEQUENTIAL, || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000000", 2);
        s.create(2, "/q/plain", "x", 3);
        make_sequential(&mut s, 1, "0000000001", 4);
        s
    }),
    ("a number is left out", SEQUENTIAL, || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000000", 2);
        make_sequential(&mut s, 1, "0000000002", 3);
        s
    }),
    ("a name without its digits", SEQUENTIAL, || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "1", 2);
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("concurrent writes are ordered against their replies", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        let (one, two) = (s.begin(1, set("/a", "x")), s.begin(2, set("/a", "y")));
        s.end(one, 3, Ok(Reply::Stat(stat(1, 3, 2))));
        s.end(two, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("a write without an answer happened", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, set("/a", "x"));
        s.set(2, "/a", "y", 3, 2);
        s
    }),
    ("a write without an answer did not happen", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, set("/a", "x"));
        s.set(2, "/a", "y", 2, 1);
        s
    }),
    ("a write without an answer happens later", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, set("/a", "x"));
        s.set(2, "/a", "y", 2, 1);
        s.set(2, "/a", "z", 4, 3);
        s
    }),
    ("many creates without answers, and one of them wins", || {
        let mut s = Script::with(3);
        for client in 1..=2 {
            s.lose(client, create("/a", &client.to_string()));
        }
        s.refused(3, create("/a", "3"), 1, NODE_EXISTS);
        s.get(3, "/a", 1, ("2", stat(1, 1, 0)));
        s
    }),
    ("an ephemeral goes of its own accord", || {
        let mut s = Script::with(2);
        let creation = creation("/e", "x", CreateMode::Ephemeral, false);
        s.done(1, Request::Write(creation), 1, created("/e"));
        s.wait_ms(TIMEOUT_MS);
        s.expire(1, 1);
        s.refused(2, set("/e", "y"), 3, NO_NODE);
        s
    }),
    ("a request that never left has no effect", || {
        let mut s = Script::with(1);
        s.create(1, "/a", "0", 1);
        let begun = s.begin(1, delete("/a"));
        s.not_sent(begun);
        s.set(1, "/a", "y", 2, 1);
        s
    }),
    ("refused writes have the zxid of what is newest", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.refused(1, create("/a", "1"), 5, NODE_EXISTS);
        s.refused(2, Request::Write(setting("/a", "1", 4)), 5, BAD_VERSION);
        s.set(1, "/a", "2", 6, 1);
        s
    }),
    ("a create without an answer may have taken a number", || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000000", 2);
        s.lose(2, Request::Write(creation("/q/t-", "x", CreateMode::Persistent, true)));
        make_sequential(&mut s, 1, "0000000002", 4);
        make_sequential(&mut s, 1, "0000000003", 5);
        s
    }),
    ("a parent that is made again counts from the beginning", || {
        let mut s = with_queue();
        make_sequential(&mut s, 1, "0000000000", 2);
        s.done(1, delete("/q/s-0000000000"), 3, Reply::Done);
        s.done(1, delete("/q"), 4, Reply::Done);
        s.create(1, "/q", "", 5);
        make_sequential(&mut s, 1, "0000000000", 6);
        s
    }),
];
