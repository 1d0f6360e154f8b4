//! Readers on other threads, while the writer edits, seals and frees.
//!
//! Each batch writes its number into every node and replaces half of the names, so that a block
//! that is freed or written too early shows as a wrong number or a broken shape.

use std::sync::mpsc;
use std::thread;

use menagerie_engine::tree::{NewNode, Owner, Root, Tree};
use menagerie_wire::data::{Acl, perms};
use menagerie_wire::{SessionId, Zxid};

const NODES: u64 = 300;
const BATCHES: u64 = if cfg!(debug_assertions) { 60 } else { 600 };
const READERS: usize = 3;
const OWNER: SessionId = SessionId(5);

#[test]
fn readers_see_whole_batches_while_the_writer_goes_on() {
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (roots, inbox) = mpsc::sync_channel::<Root>(4);
                scope.spawn(move || read(reader, &inbox));
                roots
            })
            .collect();
        let mut tree = Tree::new();
        for batch in 1..=BATCHES {
            write(&mut tree, batch);
            let root = tree.seal();
            for roots in &readers {
                roots.send(root.clone()).expect("the reader goes on until we stop");
            }
            if batch % 7 == 0 {
                write(&mut tree, batch + 1);
                tree.reset_to(&root);
            }
        }
    });
}

fn write(tree: &mut Tree, batch: u64) {
    let data = batch.to_string().repeat(batch as usize % 200 + 1);
    let zxid = Zxid(batch as i64);
    for i in 0..NODES {
        let owner = if i % 2 == 0 { Owner::None } else { Owner::Session(OWNER) };
        let path = path(i, batch);
        if batch == 1 || i % 2 == 1 {
            let acl = [Acl::world(perms::READ), Acl::new(31, "digest", format!("user{batch}"))];
            let czxid = zxid;
            let node = NewNode { data: Some(b""), acl: &acl, owner, czxid, ctime_ms: 0 };
            tree.insert(&path, node, 1, zxid).expect("a new name");
        }
        if batch > 1 && i % 2 == 1 {
            tree.remove(&self::path(i, batch - 1), zxid).expect("of the batch before");
        }
        tree.set_data(&path, Some(data.as_bytes()), 1, zxid, 0).expect("it is there");
    }
    tree.advance(zxid);
}

/// Even nodes stay, odd ones have another name in each batch.
fn path(i: u64, batch: u64) -> String {
    if i.is_multiple_of(2) { format!("/stays-{i}") } else { format!("/goes-{i}-in-{batch}") }
}

fn read(reader: usize, inbox: &mpsc::Receiver<Root>) {
    // Each reader lets go in its own time: at once, after a while, at the end.
    let mut kept = Vec::new();
    for root in inbox {
        check(&root);
        kept.push(root);
        let keep = [0, 5, usize::MAX][reader];
        if kept.len() > keep {
            check(&kept.remove(0));
        }
    }
    kept.iter().for_each(check);
}

fn check(root: &Root) {
    let batch = root.last_zxid().0 as u64;
    let data = batch.to_string().repeat(batch as usize % 200 + 1);
    let view = root.view();
    assert_eq!(view.node_count(), NODES + 4);
    assert_eq!(view.ephemerals(OWNER).count() as u64, NODES / 2);
    for i in 0..NODES {
        let node = view.node(&path(i, batch)).expect("every batch is whole");
        assert_eq!(node.data(), Some(data.as_bytes()));
        let user = if i % 2 == 0 { "user1".to_owned() } else { format!("user{batch}") };
        assert_eq!(node.acl().iter().nth(1), Some(Acl::new(31, "digest", user)));
    }
}
