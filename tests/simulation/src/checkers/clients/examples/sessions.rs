//! Histories of sessions: their end, their moves, their ephemeral nodes.

use menagerie_wire::SessionId;

use super::{Bad, Good};
use crate::history::script::{
    Script, TIMEOUT_MS, create, created, creation, delete, get, set, setting, stat,
};
use crate::history::{CreateMode, NodeStat, Reply, Request};

const SESSION: &str = "session_safety";
const SESSION_EXPIRED: i32 = -112;

fn make_ephemeral(s: &mut Script, client: u32, path: &str, zxid: i64) {
    let creation = creation(path, "x", CreateMode::Ephemeral, false);
    s.done(client, Request::Write(creation), zxid, created(path));
}

fn owned(czxid: i64, owner: i64) -> NodeStat {
    NodeStat { ephemeral_owner: SessionId(owner), ..stat(czxid, czxid, 0) }
}

fn close(s: &mut Script, client: u32, zxid: i64) {
    s.done(client, Request::CloseSession, zxid, Reply::Done);
}

pub(super) const BAD: &[Bad] = &[
    ("a closed session writes", SESSION, || {
        let mut s = Script::with(1);
        close(&mut s, 1, 1);
        s.create(1, "/a", "x", 2);
        s
    }),
    ("an expired session reads", SESSION, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "x", 1);
        s.wait_ms(TIMEOUT_MS);
        s.expire(1, 1);
        s.get(1, "/a", 1, ("x", stat(1, 1, 0)));
        s
    }),
    ("a closed session is given back", SESSION, || {
        let mut s = Script::with(1);
        close(&mut s, 1, 1);
        s.connect(1, 2);
        s
    }),
    ("a write through a connection that was taken over", SESSION, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "x", 1);
        s.connect_as(2, 1, 2);
        s.set(1, "/a", "y", 2, 1);
        s
    }),
    ("a session expires at once", SESSION, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "x", 1);
        s.expire(1, 1);
        s
    }),
    ("a session expires a little early", SESSION, || {
        let mut s = Script::with(1);
        s.create(1, "/a", "x", 1);
        s.wait_ms(TIMEOUT_MS - 3);
        s.expire(1, 1);
        s
    }),
    ("an ephemeral outlives the close", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        close(&mut s, 1, 2);
        s.get(2, "/e", 2, ("x", owned(1, 1)));
        s
    }),
    ("an ephemeral outlives its expired session", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.wait_ms(TIMEOUT_MS);
        s.expire(1, 1);
        s.finale();
        s.sync(2, 2);
        s.get(2, "/e", 2, ("x", owned(1, 1)));
        s
    }),
    ("a silent session never expires", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.disconnect(1);
        s.healed();
        s.wait_ms(TIMEOUT_MS + 10);
        s.get(2, "/e", 2, ("x", owned(1, 1)));
        s
    }),
    ("an ephemeral is gone before its session", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.create(2, "/a", "x", 2);
        s.get_nothing(2, "/e", 2);
        s.get(1, "/a", 2, ("x", stat(2, 2, 0)));
        s
    }),
    ("an ephemeral has another owner", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.get(2, "/e", 1, ("x", owned(1, 2)));
        s
    }),
    ("an ephemeral has become persistent", SESSION, || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.get(2, "/e", 1, ("x", owned(1, 0)));
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("a multi is told that its session is over", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        let multi =
            s.begin(1, Request::Multi(vec![setting("/e", "1", -1), setting("/e", "2", -1)]));
        s.wait_ms(TIMEOUT_MS);
        s.get_nothing(2, "/e", 2);
        s.end(multi, 3, Ok(Reply::Parts(vec![Err(SESSION_EXPIRED), Err(-2)])));
        s
    }),
    ("a lagging server shows an ephemeral whose session is closed", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        close(&mut s, 1, 2);
        s.get(2, "/e", 1, ("x", owned(1, 1)));
        s.get_nothing(2, "/e", 2);
        s
    }),
    ("a session expires in its time, and is heard of later", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.disconnect(1);
        s.wait_ms(TIMEOUT_MS);
        s.get_nothing(2, "/e", 2);
        s.wait_ms(TIMEOUT_MS);
        s.expire(1, 1);
        s
    }),
    ("an expired client opens another session", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.wait_ms(TIMEOUT_MS);
        s.expire(1, 1);
        s.connect_as(1, 9, 1);
        make_ephemeral(&mut s, 1, "/e", 3);
        s.get(2, "/e", 3, ("x", owned(3, 9)));
        s
    }),
    ("a write that was under way when its session moved", || {
        let mut s = Script::with(1);
        s.create(1, "/a", "x", 1);
        let write = s.begin(1, set("/a", "y"));
        s.connect_as(2, 1, 2);
        s.end(write, 2, Ok(Reply::Stat(stat(1, 2, 1))));
        s.refused(1, set("/a", "z"), 2, -118);
        s
    }),
    ("an ephemeral is deleted by somebody else", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.done(2, delete("/e"), 2, Reply::Done);
        s.get_nothing(1, "/e", 2);
        s
    }),
    ("an ephemeral is perhaps deleted by somebody else", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.lose(2, delete("/e"));
        s.get_nothing(1, "/e", 2);
        s
    }),
    ("a session is closed, and the close is not answered", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.lose(1, Request::CloseSession);
        s.get_nothing(2, "/e", 2);
        s.expire(1, 1);
        s
    }),
    ("a session that is connected does not end by being silent", || {
        let mut s = Script::with(2);
        make_ephemeral(&mut s, 1, "/e", 1);
        s.healed();
        s.wait_ms(5 * TIMEOUT_MS);
        let read = s.begin(2, get("/e"));
        s.end(read, 2, Ok(Reply::Data { data: Some("x".to_owned()), stat: owned(1, 1) }));
        s.refused(1, create("/e", "y"), 3, -110);
        s
    }),
];
