//! What a node costs in memory: the aim is 200 bytes for one with 100 bytes of data.

use menagerie_engine::tree::{NewNode, Owner, Tree};
use menagerie_wire::Zxid;
use menagerie_wire::data::{Acl, perms};

const NODES: usize = 20_000;
const DATA: [u8; 100] = [7; 100];
const BYTES_PER_NODE_MAX: usize = 200;

/// Bytes asked of the allocator per node, after all nodes were made in the order of `name` and
/// each was changed once, in batches.
fn bytes_per_node(name: impl Fn(usize) -> String) -> usize {
    let mut tree = Tree::new();
    let acl = const { &[Acl::world(perms::ALL)] };
    let base = tree.memory().1;
    for i in 0..2 * NODES {
        let (path, czxid) = (name(i % NODES), Zxid(i as i64));
        if i < NODES {
            let (data, owner) = (Some(&DATA[..]), Owner::None);
            let node = NewNode { data, acl, owner, czxid, ctime_ms: 1 };
            tree.insert(&path, node, 1, czxid).expect("a new name");
        } else {
            tree.set_data(&path, Some(&DATA), 1, czxid, 2).expect("made before");
        }
        if i % 100 == 0 {
            drop(tree.seal());
        }
    }
    drop(tree.seal());
    tree.reclaim(usize::MAX);
    (tree.memory().1 - base) as usize / NODES
}

#[test]
fn a_node_with_100_bytes_of_data_costs_200() {
    let check = |order, bytes| assert!(bytes <= BYTES_PER_NODE_MAX, "{order}: {bytes} bytes");
    check("ascending", bytes_per_node(|i| format!("/node-{i:07}")));
    check("descending", bytes_per_node(|i| format!("/node-{:07}", NODES - i)));
    // 7919 is prime: each name comes once, in an order without pattern.
    check("scattered", bytes_per_node(|i| format!("/node-{:07}", i * 7919 % NODES)));
}
