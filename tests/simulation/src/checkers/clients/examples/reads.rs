//! Histories of reads: of lagging servers, across reconnects, behind a sync.

use super::{Bad, Good};
use crate::history::script::{Script, create, creation, data, delete, get, set, stat};
use crate::history::{CreateMode, Reply, Request};

const MONOTONIC: &str = "monotonic_reads";
const SYNCED: &str = "synced_reads";
const SERVER: &str = "server_order";
const AT_ZXID: &str = "reads_at_zxid";

pub(super) const BAD: &[Bad] = &[
    ("a session goes to a server that is behind", MONOTONIC, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.connect(2, 2);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("an old value under a new zxid", MONOTONIC, || {
        let mut s = Script::with(2);
        s.lose(1, create("/a", "0"));
        s.lose(1, set("/a", "1"));
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.get(2, "/a", 3, ("0", stat(1, 1, 0)));
        s
    }),
    ("a version is two things", MONOTONIC, || {
        let mut s = Script::with(2);
        for value in ["0", "1"] {
            s.lose(1, create("/a", value));
        }
        s.get(2, "/a", 2, ("1", stat(2, 2, 0)));
        s.get(2, "/a", 2, ("0", stat(2, 2, 0)));
        s
    }),
    ("a sync is answered by a leader that is none any more", SYNCED, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.create(1, "/b", "0", 9);
        s.sync(2, 1);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("two synced reads of a write under way go back", SYNCED, || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        let write = s.begin(1, set("/a", "1"));
        s.sync(2, 2);
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.sync(3, 1);
        s.get(3, "/a", 1, ("0", stat(1, 1, 0)));
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("a sequential node with data that no create had", SYNCED, || {
        let mut s = Script::with(2);
        s.lose(1, Request::Write(creation("/n-", "1", CreateMode::Persistent, true)));
        s.sync(2, 1);
        s.get(2, "/n-0000000000", 1, ("2", stat(1, 1, 0)));
        s
    }),
    ("a synced read shows data that nobody wrote", SYNCED, || {
        let mut s = Script::with(2);
        s.lose(1, create("/a", "1"));
        s.sync(2, 3);
        s.get(2, "/a", 3, ("2", stat(2, 2, 0)));
        s
    }),
    ("two connections of one server see different times", SERVER, || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        s.connect(2, 2);
        s.connect(3, 2);
        s.get(2, "/a", 2, ("0", stat(1, 1, 0)));
        s.get(3, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("a server does not show what it has acknowledged", SERVER, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.connect(2, 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("a server has lost a write, and reads on", AT_ZXID, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 3, ("0", stat(1, 1, 0)));
        s
    }),
    ("a delete is not seen", AT_ZXID, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.get(2, "/a", 2, ("0", stat(1, 1, 0)));
        s
    }),
    ("a node is not there any more", AT_ZXID, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.get_nothing(2, "/a", 2);
        s
    }),
    ("a read shows what is not committed yet", AT_ZXID, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        let write = s.begin(1, set("/a", "1"));
        s.get(2, "/a", 1, ("1", stat(1, 2, 1)));
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("a read shows other data than was written", AT_ZXID, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.get(2, "/a", 1, ("1", stat(1, 1, 0)));
        s
    }),
    ("one change is two things to two sessions", AT_ZXID, || {
        let mut s = Script::with(3);
        for value in ["0", "1"] {
            s.lose(1, create("/a", value));
        }
        s.get(2, "/a", 2, ("1", stat(2, 2, 0)));
        s.get(3, "/a", 2, ("0", stat(2, 2, 0)));
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("a follower that lags may be read without a sync", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "1", 2, 1);
        s.connect(2, 2);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s
    }),
    ("a read behind a sync sees a write beside the sync, or not", || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        let write = s.begin(1, set("/a", "1"));
        s.sync(3, 1);
        s.get(3, "/a", 1, ("0", stat(1, 1, 0)));
        s.sync(2, 2);
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("a synced read sees a write without an answer, and a later one does too", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, delete("/a"));
        s.sync(2, 1);
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s.sync(2, 2);
        s.get_nothing(2, "/a", 2);
        s
    }),
    ("a read beside a write sees it or not", || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        let write = s.begin(1, set("/a", "1"));
        let (one, two) = (s.begin(2, get("/a")), s.begin(3, get("/a")));
        s.end(one, 2, Ok(data("1", stat(1, 2, 1))));
        s.end(two, 1, Ok(data("0", stat(1, 1, 0))));
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s
    }),
    ("two reads of one server beside each other", || {
        let mut s = Script::with(3);
        s.create(1, "/a", "0", 1);
        s.connect(2, 2);
        s.connect(3, 2);
        let (one, two) = (s.begin(2, get("/a")), s.begin(3, get("/a")));
        s.end(one, 2, Ok(data("0", stat(1, 1, 0))));
        s.end(two, 1, Ok(data("0", stat(1, 1, 0))));
        s
    }),
    ("a node that was made again has a lower version", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "1", 2, 1);
        s.get(2, "/a", 2, ("1", stat(1, 2, 1)));
        s.done(1, delete("/a"), 3, Reply::Done);
        s.create(1, "/a", "2", 4);
        s.get(2, "/a", 4, ("2", stat(4, 4, 0)));
        s
    }),
    ("a sequential node whose create was not answered", || {
        let mut s = Script::with(2);
        s.lose(1, Request::Write(creation("/n-", "1", CreateMode::Persistent, true)));
        s.sync(2, 1);
        s.get(2, "/n-0000000000", 1, ("1", stat(1, 1, 0)));
        s
    }),
];
