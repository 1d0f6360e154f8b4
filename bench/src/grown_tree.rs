//! A tree of a usual shape, in this process, for the criterion benches: directories of small nodes,
//! and a walk through them in an order that nothing can predict.

use menagerie_engine::tree::{NewNode, Owner, Tree};
use menagerie_wire::Zxid;
use menagerie_wire::data::{Acl, perms};

use crate::random::Random;

pub const VALUE: [u8; 100] = [b'm'; 100];

/// A tree and the paths of the nodes that lie in its directories.
pub struct Grown {
    pub tree: Tree,
    pub paths: Vec<String>,
    random: Random,
}

impl Grown {
    pub fn new(directories: u32, nodes_per_directory: u32) -> Self {
        let mut tree = Tree::new();
        let mut paths = Vec::new();
        for directory in 0..directories {
            let directory = format!("/d{directory:06}");
            insert(&mut tree, &directory, &[]);
            for node in 0..nodes_per_directory {
                let path = format!("{directory}/n{node:08}");
                insert(&mut tree, &path, &VALUE);
                paths.push(path);
            }
        }
        Self { tree, paths, random: Random::seeded(1) }
    }

    /// The tree, and a path in it that nobody expects.
    pub fn step(&mut self) -> (&mut Tree, &str) {
        let nodes = u32::try_from(self.paths.len()).expect("the tree is smaller than 2^32 nodes");
        let index = self.random.below(nodes) as usize;
        (&mut self.tree, &self.paths[index])
    }
}

/// Creates a node that is open to all.
///
/// # Panics
/// When the parent is missing or the node is there.
pub fn insert(tree: &mut Tree, path: &str, data: &[u8]) {
    let acl = [Acl::world(perms::ALL)];
    let (owner, czxid) = (Owner::None, Zxid(1));
    let node = NewNode { data: Some(data), acl: &acl, owner, czxid, ctime_ms: 1 };
    tree.insert(path, node, 1, czxid).expect("the parent is there and the path is free");
}
