//! How runs end: what is there, and who is answered.

use super::{Bad, Good};
use crate::history::script::{Script, create, delete, get, set, stat};
use crate::history::{Reply, Request};

const DURABILITY: &str = "durability";
const LIVENESS: &str = "liveness";

fn list(s: &mut Script, client: u32, path: &str, zxid: i64, names: &[&str]) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let request = Request::GetChildren { path: path.to_owned(), watch: false };
    s.done(client, request, zxid, Reply::Children { names, stat: None });
}

/// `/a` is made and set, and everybody stops; client 2 has synced.
fn ended() -> Script {
    let mut s = Script::with(2);
    s.create(1, "/a", "0", 1);
    s.set(1, "/a", "1", 2, 1);
    s.finale();
    s.sync(2, 0x1_0000_0001);
    s
}

const LATE: i64 = 0x1_0000_0001;

pub(super) const BAD: &[Bad] = &[
    ("an acknowledged write is lost", DURABILITY, || {
        let mut s = ended();
        s.get(2, "/a", LATE, ("0", stat(1, 1, 0)));
        s
    }),
    ("an acknowledged node is lost", DURABILITY, || {
        let mut s = ended();
        s.get_nothing(2, "/a", LATE);
        s
    }),
    ("a deleted node is back", DURABILITY, || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.done(1, delete("/a"), 2, Reply::Done);
        s.finale();
        s.sync(2, LATE);
        s.refused(2, get("/b"), LATE, -101);
        list(&mut s, 2, "/", LATE, &["zookeeper"]);
        s.done(2, Request::Exists { path: "/a".to_owned(), watch: false }, LATE, {
            Reply::Stat(stat(1, 1, 0))
        });
        s
    }),
    ("data that nobody wrote", DURABILITY, || {
        let mut s = ended();
        s.get(2, "/a", LATE, ("2", stat(1, LATE, 2)));
        s
    }),
    ("a child is missing", DURABILITY, || {
        let mut s = ended();
        list(&mut s, 2, "/", LATE, &["zookeeper"]);
        s
    }),
    ("a child that nobody made", DURABILITY, || {
        let mut s = ended();
        list(&mut s, 2, "/a", LATE, &["b"]);
        s
    }),
    ("no answer without faults", LIVENESS, || {
        let mut s = Script::with(1);
        s.healed();
        s.create(1, "/a", "0", 1);
        s.wait_ms(6);
        s.lose(1, get("/a"));
        s.wait_ms(6);
        s.sync(1, 1);
        s
    }),
    ("a late answer without faults", LIVENESS, || {
        let mut s = Script::with(1);
        s.healed();
        s.create(1, "/a", "0", 1);
        s.wait_ms(6);
        let read = s.begin(1, get("/a"));
        s.wait_ms(6);
        s.end(read, 1, Ok(Reply::Data { data: Some("0".to_owned()), stat: stat(1, 1, 0) }));
        s
    }),
    ("an ensemble does not recover", LIVENESS, || {
        let mut s = Script::with(2);
        s.healed();
        s.lose(1, create("/a", "0"));
        s.wait_ms(1);
        s.lose(1, create("/a", "0"));
        s.create(2, "/b", "0", 3);
        s.wait_ms(6);
        s.sync(2, 3);
        s
    }),
];

pub(super) const GOOD: &[Good] = &[
    ("everything is there", || {
        let mut s = ended();
        s.get(2, "/a", LATE, ("1", stat(1, 2, 1)));
        list(&mut s, 2, "/", LATE, &["a", "zookeeper"]);
        list(&mut s, 2, "/a", LATE, &[]);
        s
    }),
    ("a read without a sync may be late in the end, too", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.set(1, "/a", "1", 2, 1);
        s.finale();
        s.get(2, "/a", 1, ("0", stat(1, 1, 0)));
        s
    }),
    ("a write without an answer is there", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, set("/a", "1"));
        s.lose(1, create("/b", "1"));
        s.finale();
        s.sync(2, LATE);
        s.get(2, "/a", LATE, ("1", stat(1, 2, 1)));
        list(&mut s, 2, "/", LATE, &["a", "b", "zookeeper"]);
        s
    }),
    ("a write without an answer is not there", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, set("/a", "1"));
        s.lose(1, delete("/a"));
        s.finale();
        s.sync(2, LATE);
        s.get(2, "/a", LATE, ("0", stat(1, 1, 0)));
        s
    }),
    ("a node is perhaps deleted", || {
        let mut s = Script::with(2);
        s.create(1, "/a", "0", 1);
        s.lose(1, delete("/a"));
        s.finale();
        s.sync(2, LATE);
        s.get_nothing(2, "/a", LATE);
        list(&mut s, 2, "/", LATE, &["zookeeper"]);
        s
    }),
    ("an ensemble recovers in its time", || {
        let mut s = Script::with(1);
        s.healed();
        s.lose(1, create("/a", "0"));
        s.wait_ms(3);
        s.lose(1, create("/a", "0"));
        s.wait_ms(1);
        s.sync(1, 1);
        s.wait_ms(10);
        s.sync(1, 1);
        s
    }),
    ("what was asked last need not be answered", || {
        let mut s = Script::with(1);
        s.healed();
        s.create(1, "/a", "0", 1);
        s.wait_ms(6);
        s.begin(1, get("/a"));
        s
    }),
];
