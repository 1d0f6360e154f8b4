//! Snapshots as a whole: what is written is read, and nothing else is.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use menagerie_wire::data::{Acl, perms};
use menagerie_wire::{SessionId, Zxid};
use proptest::prelude::*;

use super::frame::{FOOTER_BYTES, FRAME_BYTES, Footer, Frame, HEADER_BYTES};
use super::mapped::read;
use super::writer::write_chunks;
use super::{Pace, SnapshotError, load, write};
use crate::tree::{NewNode, Node, Owner, Root, StatPersisted, Tree, View};

/// Small, so that small trees have many chunks.
const CHUNK_BYTES: usize = 300;

#[derive(Clone, Debug, PartialEq)]
struct Dumped {
    path: String,
    stat: StatPersisted,
    data: Option<Vec<u8>>,
    acl: Vec<u8>,
    descendants: u64,
}

/// All that can be seen of a state.
fn dump(view: View<'_>) -> (Vec<Dumped>, Vec<String>) {
    let mut nodes = Vec::new();
    let mut open = vec![(String::new(), view.node("/").expect("root"))];
    while let Some((path, node)) = open.pop() {
        nodes.push(Dumped {
            stat: node.persisted(),
            data: node.data().map(Into::into),
            acl: node.acl().jute().to_vec(),
            descendants: node.descendants(),
            path: path.clone(),
        });
        let below = |(name, child): (&str, Node<'_>)| assert_found(view, &path, name, child);
        node.children().for_each(below);
        open.extend(node.children().map(|(name, child)| (format!("{path}/{name}"), child)));
    }
    let mut facts = vec![format!(
        "{} {:x} {} {} {} {}",
        view.last_zxid(),
        view.digest(),
        view.node_count(),
        view.data_bytes(),
        view.ephemeral_count(),
        view.session_count()
    )];
    facts.extend(view.sessions().map(|s| format!("{} {}", s.id(), s.timeout_ms())));
    for id in view.owners() {
        facts.push(format!("{id}: {:?}", view.ephemerals(id).collect::<Vec<_>>()));
    }
    facts.push(format!("{:?}", view.containers().collect::<Vec<_>>()));
    facts.push(format!("{:?}", view.ttls().collect::<Vec<_>>()));
    (nodes, facts)
}

fn assert_found(view: View<'_>, parent: &str, name: &str, child: Node<'_>) {
    let found = view.node(&format!("{parent}/{name}")).expect(name);
    assert_eq!(found.persisted(), child.persisted());
}

#[derive(Clone, Debug)]
struct Planned {
    parent: usize,
    name: String,
    data: Option<Vec<u8>>,
    owner: Owner,
    acl: u8,
    aversion: i32,
}

fn planned() -> impl Strategy<Value = Planned> {
    let owner = prop_oneof![
        6 => Just(Owner::None),
        1 => (-3..3i64).prop_map(|id| Owner::Session(SessionId(2 * id + 1))),
        1 => Just(Owner::Container),
        1 => (1..Owner::TTL_MS_MAX).prop_map(|ttl_ms| Owner::Ttl { ttl_ms }),
    ];
    let data = prop_oneof![
        1 => Just(None),
        1 => Just(Some(vec![])),
        4 => prop::collection::vec(any::<u8>(), 1..150).prop_map(Some),
        1 => (500..3000usize).prop_map(|len| Some(vec![7; len])),
    ];
    let name = prop_oneof!["[a-c]{1,3}", "node-[0-9]{4}", "\\PC{1,9}", "[x]{400,600}"]
        .prop_map(|name| name.replace('/', "-"));
    (0..1000usize, name, data, owner, 0..4u8, -1..3i32).prop_map(
        |(parent, name, data, owner, acl, aversion)| Planned {
            parent,
            name,
            data,
            owner,
            acl,
            aversion,
        },
    )
}

fn tree_of(plan: &[Planned]) -> Tree {
    let mut tree = Tree::new();
    let mut paths = vec![String::new()];
    for (zxid, planned) in (1..).zip(plan) {
        let path = format!("{}/{}", paths[planned.parent % paths.len()], planned.name);
        let acl = match planned.acl {
            0 => vec![Acl::world(perms::ALL)],
            1 => vec![Acl::world(perms::READ)],
            acl => vec![Acl::new(acl.into(), "digest", planned.name.clone())],
        };
        let data = planned.data.as_deref();
        let czxid = Zxid(zxid);
        let node = NewNode { data, acl: &acl, owner: planned.owner, czxid, ctime_ms: zxid * 3 };
        if tree.insert(&path, node, zxid as i32, czxid).is_ok() {
            tree.set_acl(&path, &acl, planned.aversion).expect("just made");
            paths.push(path);
        }
        tree.advance(czxid);
        tree.open_session(SessionId(zxid % 7), zxid as i32);
    }
    tree
}

fn write_small(root: &Root, directory: &Path) -> Vec<u8> {
    let stop = AtomicBool::new(false);
    let (pace, name) = (Pace::UNPACED, "unfinished");
    let written = write_chunks(root, directory, name, pace, &stop, CHUNK_BYTES).expect("write");
    let bytes = fs::read(&written.path).expect("read");
    assert_eq!(bytes.len() as u64, written.bytes);
    bytes
}

fn a_tree() -> Tree {
    let name = |i: usize| format!("n{i}");
    let owners = [Owner::None, Owner::Session(SessionId(1)), Owner::Container];
    let plan: Vec<_> = (0..12)
        .map(|i| Planned {
            parent: i / 2,
            name: name(i),
            data: Some(vec![i as u8; 20 * i]),
            owner: owners[i % 3],
            acl: i as u8 % 4,
            aversion: 0,
        })
        .collect();
    tree_of(&plan)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_is_read(
        plan in prop::collection::vec(planned(), 0..150),
        threads in 1..4usize,
    ) {
        let directory = tempfile::tempdir().expect("directory");
        let root = tree_of(&plan).seal();
        let bytes = write_small(&root, directory.path());
        let mut tree = read(&bytes, threads).expect("a whole snapshot");
        prop_assert_eq!(dump(tree.view()), dump(root.view()));

        // The loaded tree takes edits as any other: here it loses all it has.
        let (nodes, _) = dump(tree.view());
        let held = tree.seal();
        let zxid = tree.view().last_zxid();
        let mut paths: Vec<_> = nodes.iter().map(|node| &*node.path).collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        for path in paths.into_iter().filter(|path| !path.is_empty()) {
            tree.remove(path, zxid).expect("childless by now");
        }
        prop_assert_eq!(tree.view().node_count(), 1);
        prop_assert_eq!(dump(held.view()), dump(root.view()));
    }

    #[test]
    fn a_forger_who_knows_the_checksums_causes_an_error_or_a_sound_tree(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let directory = tempfile::tempdir().expect("directory");
        let mut bytes = write_small(&a_tree().seal(), directory.path());
        let body = HEADER_BYTES..bytes.len() - FOOTER_BYTES;
        let frames = frames(&bytes).into_iter();
        let is_frame = frames.map(|at| at..at + FRAME_BYTES).collect::<Vec<_>>();
        for (place, value) in places {
            let at = body.start + place.index(body.len());
            if !is_frame.iter().any(|frame| frame.contains(&at)) {
                bytes[at] = value;
            }
        }
        forge(&mut bytes);
        if let Ok(tree) = read(&bytes, 2) {
            dump(tree.view());
        }
    }
}

/// Where the frames of a whole snapshot begin.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() - FOOTER_BYTES {
        frames.push(at);
        let frame = bytes[at..].first_chunk().expect("frame");
        let len = Frame::decode(frame).expect("whole").len as usize;
        at += FRAME_BYTES + len.next_multiple_of(16);
    }
    frames
}

/// Makes all checksums right.
fn forge(bytes: &mut [u8]) {
    let mut frames_crc = 0;
    for at in frames(bytes) {
        let mut frame = Frame::decode(bytes[at..].first_chunk().expect("frame")).expect("whole");
        let archive = at + FRAME_BYTES;
        frame.crc = crc32c::crc32c(&bytes[archive..archive + frame.len as usize]);
        bytes[at..archive].copy_from_slice(&frame.encode());
        frames_crc = crc32c::crc32c_append(frames_crc, &bytes[at..archive]);
    }
    let footer_at = bytes.len() - FOOTER_BYTES;
    let footer = Footer::decode(bytes[footer_at..].first_chunk().expect("footer"));
    let footer = Footer { frames_crc, ..footer.expect("whole") };
    bytes[footer_at..].copy_from_slice(&footer.encode());
}

#[test]
fn every_flipped_bit_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let mut bytes = write_small(&a_tree().seal(), directory.path());
    assert!(read(&bytes, 2).is_ok());
    for at in 0..bytes.len() {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        assert!(read(&bytes, 1).is_err(), "byte {at}");
        bytes[at] ^= bit;
    }
}

#[test]
fn every_cut_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let bytes = write_small(&a_tree().seal(), directory.path());
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len], 1).is_err(), "{len} of {} bytes", bytes.len());
    }
    // A chunk less, with the footer in place.
    for pair in frames(&bytes).windows(2) {
        let cut = [&bytes[..pair[0]], &bytes[pair[1]..]].concat();
        assert!(read(&cut, 1).is_err(), "without the chunk at {}", pair[0]);
    }
}

#[test]
fn a_snapshot_is_exact_at_its_root_while_the_writer_goes_on() {
    let directory = tempfile::tempdir().expect("directory");
    let mut tree = a_tree();
    let acl = [Acl::world(perms::ALL)];
    let mut zxid = 100;
    let mut write_on = |tree: &mut Tree, count: i64| {
        for _ in 0..count {
            zxid += 1;
            let (czxid, data) = (Zxid(zxid), Some(&[1; 2000][..]));
            let node = NewNode { data, acl: &acl, owner: Owner::None, czxid, ctime_ms: zxid };
            tree.insert(&format!("/later-{zxid}"), node, 1, czxid).expect("a new name");
            tree.set_data("/n0", data, zxid as i32, czxid, zxid).expect("it is there");
            tree.advance(czxid);
            drop(tree.seal());
        }
    };
    write_on(&mut tree, 500);
    let root = tree.seal();
    let done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let pace = Pace { bytes_per_s: Some(20 << 20), until: None };
            let written = write(&root, directory.path(), pace, &AtomicBool::new(false));
            done.store(true, Ordering::Relaxed);
            written.expect("write")
        });
        while !done.load(Ordering::Relaxed) {
            write_on(&mut tree, 1);
        }
        writing.join().expect("no panic")
    });
    let loaded = load(&written.path, 2).expect("a whole snapshot");
    assert_eq!(dump(loaded.view()), dump(root.view()));
    assert_eq!(written.zxid, root.last_zxid());
    assert!(tree.view().last_zxid() > root.last_zxid());
}

#[test]
fn a_writer_that_is_stopped_or_late_leaves_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let root = a_tree().seal();
    for (pace, stop) in [(Pace::default(), true), (Pace::until(Instant::now()), false)] {
        let result = write(&root, directory.path(), pace, &AtomicBool::new(stop));
        assert!(matches!(result, Err(SnapshotError::Stopped)), "{result:?}");
        assert_eq!(fs::read_dir(directory.path()).expect("directory").count(), 0);
    }
}

#[test]
fn a_snapshot_under_a_wrong_name_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let root = a_tree().seal();
    let stop = AtomicBool::new(false);
    let written = write(&root, directory.path(), Pace::UNPACED, &stop).expect("write");
    assert_eq!(written.path, directory.path().join("snapshot.c"));
    let wrong = directory.path().join("snapshot.d");
    fs::rename(&written.path, &wrong).expect("rename");
    let result = load(&wrong, 1).map(|_| ());
    assert!(matches!(result, Err(SnapshotError::Name { .. })), "{result:?}");
}
