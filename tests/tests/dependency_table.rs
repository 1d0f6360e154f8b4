//! Who may know whom: the drawing of the house, checked against manifests and sources.
//!
//! | crate | may depend on | and therefore cannot |
//! | --- | --- | --- |
//! | wire | thiserror, bytes | know any behaviour |
//! | flaws | nothing | do anything |
//! | replication | wire, flaws, thiserror, bytes | do I/O, read a clock, know a znode |
//! | engine | wire, flaws, and what keeps bytes safe on a disk | open a socket, know a role |
//! | server | wire, flaws, engine, replication, and what waiting needs | hide protocol rules |
//! | bench | wire, engine, and what measuring needs | link the server |
//! | tests | everything | – |

use menagerie_tests::checkout;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our own crates, and which of them each may name, in tests too.
const ROOMS: [(&str, &[&str]); 8] = [
    ("menagerie-wire", &[]),
    ("menagerie-flaws", &[]),
    ("menagerie-replication", &["menagerie-wire", "menagerie-flaws"]),
    ("menagerie-engine", &["menagerie-wire", "menagerie-flaws"]),
    (
        "menagerie",
        &["menagerie-wire", "menagerie-flaws", "menagerie-engine", "menagerie-replication"],
    ),
    ("menagerie-bench", &["menagerie-wire", "menagerie-engine"]),
    (
        "menagerie-simulation",
        &[
            "menagerie-wire",
            "menagerie-flaws",
            "menagerie-engine",
            "menagerie-replication",
            "menagerie",
        ],
    ),
    (
        "menagerie-tests",
        &[
            "menagerie-wire",
            "menagerie-engine",
            "menagerie-replication",
            "menagerie",
            "menagerie-simulation",
        ],
    ),
];

/// The crates of others that the inner rooms may name, each with its reason. Pure computation may
/// be added; what does I/O may not.
const FOREIGN: [(&str, &[(&str, &str)]); 3] = [
    (
        "menagerie-wire",
        &[("thiserror", "typed errors"), ("bytes", "frames that are shared, not copied")],
    ),
    (
        "menagerie-replication",
        &[("thiserror", "typed errors"), ("bytes", "transactions that are shared, not copied")],
    ),
    (
        "menagerie-engine",
        &[
            ("thiserror", "typed errors"),
            ("rkyv", "snapshot chunks"),
            ("memmap2", "reading snapshot chunks at the start"),
            ("io-uring", "one trip per commit"),
            ("libc", "flags and numbers of the kernel's disk calls"),
            ("crc32c", "checksums of records and chunks: pure computation"),
            ("crc32fast", "ZooKeeper's tree digest: pure computation"),
            ("sha1", "ACL digests of quota and auth: pure computation"),
            ("base64", "ACL digests in text: pure computation"),
            ("hashbrown", "hash tables keyed by borrowed parts: pure computation"),
        ],
    ),
];

/// The only files that may hold unsafe code, each with what it needs it for.
const FENCED: &[(&str, &str)] = &[
    ("engine/src/disk/uring.rs", "buffers that the kernel reads while they are lent to the ring"),
    ("engine/src/snapshot/mapped.rs", "mapping a file that nobody changes"),
    ("engine/src/snapshot/paced.rs", "a call on an open descriptor"),
    ("engine/src/tree/block.rs", "links that own blocks without counting"),
    ("engine/src/tree/entry.rs", "the layout of a hidden table's row in its block"),
    ("engine/src/tree/heap.rs", "who may edit a block in place, and when one is freed"),
    ("engine/src/tree/page.rs", "the layout of a page of names in its block"),
    ("engine/src/tree/reach.rs", "following links when a whole state is dropped"),
    ("engine/src/tree/state.rs", "states that are read on other threads"),
    ("engine/src/tree/znode.rs", "the layout of a node in its block"),
    ("server/src/allocator.rs", "an allocator is unsafe by its trait"),
    ("server/src/runtime/log_event.rs", "a file descriptor changes hands"),
    ("server/src/runtime/readiness.rs", "a file descriptor changes hands"),
    ("tests/src/child_process.rs", "a call between fork and exec"),
];

/// What the sources of a room never name, outside comments.
const UNNAMED: [(&str, &[&str]); 3] = [
    (
        "replication/src",
        &["znode", "std::fs", "std::net", "std::thread", "std::time", "SystemTime", "Instant"],
    ),
    (
        "engine/src",
        &["TcpStream", "TcpListener", "UdpSocket", "leader", "follower", "observer", "learner"],
    ),
    ("wire/src", &["std::fs", "std::net", "std::thread", "std::time"]),
];

/// The runtime is named behind one door.
const GLOMMIO_DOOR: &str = "server/src/runtime";

#[test]
fn our_crates_name_only_the_rooms_below_them() {
    let manifests = manifests();
    let names: Vec<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    assert!(manifests.keys().map(String::as_str).all(|name| names.contains(&name)), "a new crate");
    for (name, allowed) in ROOMS {
        let ours = manifests[name].iter().map(|d| d.name.as_str()).filter(|d| names.contains(d));
        let above: BTreeSet<_> = ours.filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(above.is_empty(), "{name} must not depend on {above:?}");
    }
}

#[test]
fn inner_rooms_name_only_the_listed_crates_of_others() {
    let manifests = manifests();
    for (name, allowed) in FOREIGN {
        for dependency in manifests[name].iter().filter(|dependency| !dependency.for_tests) {
            let dependency = dependency.name.as_str();
            let ours = ROOMS.iter().any(|(room, _)| *room == dependency);
            let listed = allowed.iter().any(|(foreign, _)| *foreign == dependency);
            assert!(
                ours || listed,
                "{name} depends on {dependency}, which the table does not list"
            );
        }
    }
}

#[test]
fn only_the_runtime_names_glommio() {
    let named = named_in("", "glommio");
    let outside: Vec<_> = named.iter().filter(|file| !file.starts_with(GLOMMIO_DOOR)).collect();
    assert!(outside.is_empty(), "glommio is named outside {GLOMMIO_DOOR}: {outside:?}");
}

#[test]
fn unsafe_code_stays_in_its_fence() {
    let mut found = BTreeSet::new();
    for kind in ["{", "fn ", "impl ", "trait ", "extern "] {
        found.extend(named_in("", &format!("unsafe {kind}")));
    }
    let expected: BTreeSet<PathBuf> = FENCED.iter().map(|(path, _)| path.into()).collect();
    let outside: Vec<_> = found.difference(&expected).collect();
    let stale: Vec<_> = expected.difference(&found).collect();
    assert!(outside.is_empty(), "unsafe code outside the fence: {outside:?}");
    assert!(stale.is_empty(), "no unsafe code any more, take them off the list: {stale:?}");
}

#[test]
fn rooms_do_not_know_what_lies_outside_them() {
    for (room, words) in UNNAMED {
        for word in words {
            let found = named_in(room, word);
            assert!(found.is_empty(), "{room} must not know `{word}`: {found:?}");
        }
    }
}

struct Dependency {
    name: String,
    for_tests: bool,
}

/// The direct dependencies of each crate of the workspace, as cargo reads the manifests.
fn manifests() -> BTreeMap<String, Vec<Dependency>> {
    let cargo = std::env::var_os("CARGO").expect("cargo runs this test");
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(checkout::root())
        .output()
        .expect("cargo can be executed");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a name is a string").to_owned();
    let dependency = |value: &Value| Dependency {
        name: text(&value["name"]),
        for_tests: value["kind"].as_str() == Some("dev"),
    };
    let list = |value: &Value| value.as_array().expect("a list").clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"]).iter().map(dependency).collect();
            (text(&package["name"]), dependencies)
        })
        .collect()
}

/// The Rust files below `room`, but for this one, whose code, comments aside, contains `word` in
/// any case.
fn named_in(room: &str, word: &str) -> BTreeSet<PathBuf> {
    let word = word.to_lowercase();
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_lowercase();
    let names =
        |path: &PathBuf| checkout::read(path).lines().any(|line| code(line).contains(&word));
    let files = checkout::files_with_extension("rs").into_iter();
    let in_room = |path: &PathBuf| path.starts_with(room) && path != Path::new(file!());
    files.filter(in_room).filter(names).collect()
}
