//! The znode tree: one writer edits the newest state, and any number of sealed roots stay readable.
//!
//! [`Tree`] belongs to the one who orders writes. [`Tree::seal`] ends a batch and hands out a
//! [`Root`]: immutable, exact at one zxid, readable on any thread for as long as it is held.
//! Whether a change is allowed, and which versions and times it carries, is judged in `txn`; the
//! tree keeps links, child counts, the digest, access lists, sessions and what they own.
//!
//! # Shape
//!
//! ```text
//!   Root (sealed at 7)            Tree (open version 8)
//!        │                              │
//!    ┌───▼───┐                      ┌───▼───┐      a state: five links and the sums
//!    │ State │                      │ State │      (root, owners, acls, containers, ttls)
//!    └───┬───┘                      └───┬───┘
//!        │                              │
//!    ┌───▼─────┐ 3                  ┌───▼─────┐ 8  the node "/", copied because a child changed
//!    │ Full  / │                    │ Full  / │    (the number is the version it was born in)
//!    └───┬─────┘                    └───┬─────┘
//!        │                              │
//!    ┌───▼────────────────┐ 3       ┌───▼────────────────┐ 8
//!    │ Leaf  a │ b │ c    │         │ Leaf  a │ b │ c    │   children: names inline, B+tree
//!    └───────┬───┬───┬────┘         └───────┬───┬───┬────┘   of such pages when they are many
//!            │   │   └──────────┐           │   │   │
//!            │   │ 2         ┌──▼─────┐ 3   │   │ ┌─▼──────┐ 8
//!            │ ┌─▼───────┐   │ Full c │     │   │ │ Full c │   set in version 8
//!            │ │ Plain b ◄───┼────────┼─────┼───┘ └────────┘
//!            │ └─────────┘   └────────┘     │                 b and a are in both states:
//!     ┌──────▼──┐ 1                         │                 nothing counts that
//!     │ Plain a ◄───────────────────────────┘
//!     └─────────┘
//! ```
//!
//! * **Blocks have birthdays, not reference counts** (`block`, `heap`). What the open version has
//!   made is edited in place, anything older is copied first: a copy is a `memcpy` of at most a
//!   page, never a walk over what it leads to. A read costs no write of any kind.
//! * **A birthday never exceeds the parent's**: a copy of a block means a copy of all blocks above
//!   it. So a reset finds what is newer than a root by descending only into what is newer.
//! * **The old block is retired** and waits until no root that could reach it is held (`heap`).
//! * **Nodes are named by parent and name.** Names stand in the parent's pages (`page`, `map`);
//!   the node (`znode`) has stat and data in one thin block: 160 bytes with 100 bytes of data.
//! * **Hidden tables are maps of the same kind** (`owners`, `acls`, containers, TTLs), so that a
//!   root is exact in all parts at one zxid.
//!
//! What is not here: who may do what, watches, and anything that depends on time.

mod acl;
mod acls;
mod block;
pub(crate) mod bulk;
mod bytes;
mod digest;
mod entry;
mod heap;
mod map;
mod owners;
mod page;
mod path;
mod reach;
mod stat;
mod state;
mod view;
mod znode;

use std::sync::Arc;

use menagerie_wire::data::{Acl, perms};
use menagerie_wire::{SessionId, Zxid};
use thiserror::Error;

use block::Link;
use heap::{Heap, Sealed};
use state::State;
use znode::Seed;

use crate::path::CONFIG;

pub(crate) use acl::OPEN as OPEN_ACL;
pub use acl::{AclHandle, AclList};
pub use bulk::BulkError;
pub use path::split;
pub use stat::{Owner, StatPersisted};
pub use view::{Children, Node, Session, View};

/// Why an edit has no place in the tree. The tree is unchanged then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    #[error("no node at the path")]
    NoNode,
    #[error("the node exists already")]
    NodeExists,
    #[error("the node has children")]
    NotEmpty,
    #[error("the root can be neither created nor deleted")]
    Root,
}

/// A node as `insert` takes it: all versions 0, mzxid and pzxid = czxid, mtime = ctime.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// Null and empty data are distinct.
    pub data: Option<&'a [u8]>,
    pub acl: &'a [Acl<'a>],
    pub owner: Owner,
    pub czxid: Zxid,
    pub ctime_ms: i64,
}

/// The writer's tree: the newest prepared state.
pub struct Tree {
    state: State,
    heap: Heap,
}

/// A sealed state of the tree. Cloning is O(1); reading touches no shared counter.
#[derive(Clone)]
pub struct Root {
    sealed: Arc<Sealed>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.heap.abandon(&self.state);
    }
}

impl Tree {
    /// A fresh tree: `/`, `/zookeeper` and the two nodes below it.
    // ZooKeeper: DataTree.DataTree, DataTree.addConfigNode
    pub fn new() -> Self {
        let mut tree = Self { state: State::EMPTY, heap: Heap::new() };
        let crc = digest::prefix("/", Some(b""));
        let stat = StatPersisted::default();
        let seed = Seed { stat, data: Some(b""), crc, acl: 0, is_parent: true };
        tree.state.root = znode::create(tree.heap.arena(), &seed);
        tree.state.digest = digest::node(crc, &stat);

        for path in ["/zookeeper", "/zookeeper/quota"] {
            tree.insert_own(path, perms::ALL).expect("the parent was made before");
        }
        tree.insert_config().expect("the parent was made before");
        tree
    }

    fn insert_own(&mut self, path: &str, perms: i32) -> Result<(), TreeError> {
        let node = NewNode {
            data: Some(b""),
            acl: &[Acl::world(perms)],
            owner: Owner::None,
            czxid: Zxid::ZERO,
            ctime_ms: 0,
        };
        self.insert(path, node, 0, Zxid::ZERO).map(drop)
    }

    fn insert_config(&mut self) -> Result<(), TreeError> {
        self.insert_own(CONFIG, perms::READ)?;
        self.set_acl(CONFIG, &[Acl::world(perms::READ)], -1)
    }

    /// Says in `/zookeeper/config` who belongs to the ensemble. That is no transaction: each member
    /// says it of its own tree, before it serves from it, and what is below `/zookeeper/` is not in
    /// the digest. Nothing happens to a node that says so already.
    ///
    /// # Errors
    /// When the tree is a foreign one that has no `/zookeeper`.
    // ZooKeeper: ZKDatabase.initConfigInZKDatabase
    pub fn set_config(
        &mut self,
        text: &str,
        version: Zxid,
        mtime_ms: i64,
    ) -> Result<(), TreeError> {
        match view::find(&self.state, CONFIG) {
            // The text has the version in it.
            Some(node) if node.data() == Some(text.as_bytes()) => return Ok(()),
            Some(_) => {}
            // From before ZooKeeper 3.5.
            None => self.insert_config()?,
        }
        self.set_data(CONFIG, Some(text.as_bytes()), -1, version, mtime_ms).map(drop)
    }

    pub fn view(&self) -> View<'_> {
        View::new(&self.state)
    }

    /// Ends the batch: the state so far becomes a root, later edits leave it as it is. O(1), plus
    /// a share of reclaiming that is bounded by what the batch changed.
    pub fn seal(&mut self) -> Root {
        Root { sealed: self.heap.seal(&self.state) }
    }

    /// Drops everything newer than `root`, in time of what was changed since. Other roots stay
    /// readable.
    ///
    /// # Panics
    /// When `root` was not sealed by this tree, or is on a line of states that an earlier reset
    /// has left.
    pub fn reset_to(&mut self, root: &Root) {
        self.heap.reset(&mut self.state, &root.sealed);
    }

    /// Gives memory of released roots back in at most `budget` steps. True when more is to do.
    pub fn reclaim(&mut self, budget: usize) -> bool {
        self.heap.reclaim(budget)
    }

    /// Blocks and bytes allocated for all states together, as the allocator was asked for them.
    pub fn memory(&self) -> (u64, u64) {
        self.heap.live()
    }

    /// Adds a node, and returns its parent. The parent's `cversion` and `pzxid` are set when
    /// `parent_cversion` is a raise.
    pub fn insert(
        &mut self,
        path: &str,
        node: NewNode<'_>,
        parent_cversion: i32,
        parent_pzxid: Zxid,
    ) -> Result<Node<'_>, TreeError> {
        let (parent, name) = split(path).ok_or(TreeError::Root)?;
        let above = view::find(&self.state, parent).ok_or(TreeError::NoNode)?;
        if map::find(above.children(), name.as_bytes()).is_some() {
            return Err(TreeError::NodeExists);
        }
        let stat = StatPersisted {
            czxid: node.czxid,
            mzxid: node.czxid,
            pzxid: node.czxid,
            ctime_ms: node.ctime_ms,
            mtime_ms: node.ctime_ms,
            owner: node.owner,
            ..StatPersisted::default()
        };
        let crc = digest::prefix(path, node.data);
        let acl = self.intern(node.acl);
        let seed = Seed { stat, data: node.data, crc, acl, is_parent: false };
        let child = znode::create(self.heap.arena(), &seed);
        weigh(&mut self.state.digest, path, znode::read(&child).digest(), 0);

        self.state.data_bytes += size(path, node.data.map_or(0, <[u8]>::len));
        self.enlist(path, node.owner);
        Ok(self.edit_parent(parent, 1, |heap, link| {
            let before = znode::read(link);
            let (count, cversion) = (before.child_count(), before.cversion());
            let mut above = znode::own_full(heap, link);
            above.set_child_count(count + 1);
            if parent_cversion > cversion {
                above.set_cversion(parent_cversion);
                above.set_pzxid(parent_pzxid);
            }
            map::insert(heap, above.into_children(), name.as_bytes(), child);
        }))
    }

    /// Removes a childless node. The parent's `pzxid` is raised to `parent_pzxid`, never lowered.
    pub fn remove(&mut self, path: &str, parent_pzxid: Zxid) -> Result<(), TreeError> {
        let node = view::find(&self.state, path).ok_or(TreeError::NoNode)?;
        let (parent, name) = split(path).ok_or(TreeError::Root)?;
        if node.child_count() > 0 {
            return Err(TreeError::NotEmpty);
        }
        let (owner, len, digest) = (node.owner(), node.data_len(), node.digest());
        let acl = (node.acl_word() != 0).then(|| node.acl().jute().to_vec());
        weigh(&mut self.state.digest, path, 0, digest);
        self.edit_parent(parent, -1, |heap, link| {
            let before = znode::read(link);
            let (count, pzxid) = (before.child_count(), before.pzxid());
            let mut above = znode::own_full(heap, link);
            above.set_child_count(count - 1);
            above.set_pzxid(pzxid.max(parent_pzxid));
            let child = map::remove(heap, above.into_children(), name.as_bytes());
            znode::discard(heap, child);
        });
        if let Some(jute) = acl {
            acls::release(&mut self.heap, &mut self.state.acls, &jute);
        }
        self.state.data_bytes -= size(path, len);
        self.delist(path, owner);
        Ok(())
    }

    /// Sets a parent's `cversion` and `pzxid` when `cversion` is above the present one; for a
    /// missing parent nothing happens.
    // ZooKeeper: DataTree.createNode, DataTree.setCversionPzxid
    pub fn raise_parent(&mut self, parent: &str, cversion: i32, pzxid: Zxid) {
        if view::find(&self.state, parent).is_some_and(|node| node.cversion() < cversion) {
            let raised = self.edit(parent, |heap, link| {
                let mut node = znode::own_full(heap, link);
                node.set_cversion(cversion);
                node.set_pzxid(pzxid);
            });
            raised.map(drop).expect("the parent was found before");
        }
    }

    /// Raises a parent's `pzxid`, as the replay of a delete does even when the child is gone.
    // ZooKeeper: DataTree.deleteNode
    pub fn raise_pzxid(&mut self, parent: &str, pzxid: Zxid) {
        if view::find(&self.state, parent).is_some_and(|node| node.pzxid() < pzxid) {
            self.edit(parent, |heap, link| znode::own_full(heap, link).set_pzxid(pzxid))
                .map(drop)
                .expect("the parent was found before");
        }
    }

    /// Sets data, and returns the node and how much it had before.
    pub fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        mzxid: Zxid,
        mtime_ms: i64,
    ) -> Result<(Node<'_>, usize), TreeError> {
        self.replace_data(path, data, |heap, link| {
            znode::own(heap, link).set_changed(version, mzxid, mtime_ms);
        })
    }

    /// Sets data and nothing else, as quota statistics are kept: not a transaction, no version.
    pub fn set_usage(&mut self, path: &str, data: &[u8]) -> Result<(), TreeError> {
        self.replace_data(path, Some(data), |_, _| {}).map(drop)
    }

    pub fn set_acl(&mut self, path: &str, acl: &[Acl<'_>], aversion: i32) -> Result<(), TreeError> {
        let node = view::find(&self.state, path).ok_or(TreeError::NoNode)?;
        let old = (node.acl_word() != 0).then(|| node.acl().jute().to_vec());
        // First the new one: when it is the old one, its count must not touch 0.
        let new = self.intern(acl);
        self.edit(path, |heap, link| znode::own_full(heap, link).set_acl(new, aversion))?;
        if let Some(jute) = old {
            acls::release(&mut self.heap, &mut self.state.acls, &jute);
        }
        Ok(())
    }

    /// Adds a session or changes its timeout.
    pub fn open_session(&mut self, id: SessionId, timeout_ms: i32) {
        let is_new = owners::open(&mut self.heap, &mut self.state.owners, id, timeout_ms);
        self.state.session_count += u64::from(is_new);
    }

    /// Takes a session from the table; true when it was there. Its ephemerals are not touched.
    pub fn close_session(&mut self, id: SessionId) -> bool {
        let was_open = owners::close(&mut self.heap, &mut self.state.owners, id);
        self.state.session_count -= u64::from(was_open);
        was_open
    }

    /// Notes the last transaction applied.
    ///
    /// # Panics
    /// When `zxid` is below the last one.
    pub fn advance(&mut self, zxid: Zxid) {
        let last = self.state.last_zxid;
        assert!(zxid >= last, "the tree is at {last}, it cannot advance to {zxid}");
        self.state.last_zxid = zxid;
    }

    fn intern(&mut self, acl: &[Acl<'_>]) -> u64 {
        if acl == const { &[Acl::world(perms::ALL)] } {
            return 0;
        }
        acls::intern(&mut self.heap, &mut self.state.acls, &acl::encode(acl))
    }

    fn replace_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        then: impl FnOnce(&mut Heap, &mut Link),
    ) -> Result<(Node<'_>, usize), TreeError> {
        let crc = digest::prefix(path, data);
        self.edit(path, |heap, link| {
            let old_len = znode::read(link).data_len();
            znode::set_data(heap, link, data, crc);
            then(heap, link);
            old_len
        })
    }

    /// Changes a node, and the sums with it. Returns the node.
    fn edit<T>(
        &mut self,
        path: &str,
        change: impl FnOnce(&mut Heap, &mut Link) -> T,
    ) -> Result<(Node<'_>, T), TreeError> {
        let State { root, digest, data_bytes, .. } = &mut self.state;
        let link = own_path(&mut self.heap, root, path, 0).ok_or(TreeError::NoNode)?;
        let before = znode::read(link);
        let (digest_before, len_before) = (before.digest(), before.data_len() as u64);
        let result = change(&mut self.heap, link);
        let node = znode::read(link);
        weigh(digest, path, node.digest(), digest_before);
        *data_bytes = *data_bytes + node.data_len() as u64 - len_before;
        Ok((Node::new(node), result))
    }

    /// Changes a parent that gets `by` children more, and the sums with it. Returns the parent.
    fn edit_parent(
        &mut self,
        path: &str,
        by: i64,
        change: impl FnOnce(&mut Heap, &mut Link),
    ) -> Node<'_> {
        let State { root, digest, quota_count, .. } = &mut self.state;
        let link = own_path(&mut self.heap, root, path, by);
        let link = link.expect("the parent was found before");
        let before = znode::read(link).digest();
        count_below(&mut self.heap, link, by);
        if path == state::QUOTA {
            *quota_count = quota_count.wrapping_add_signed(by);
        }
        change(&mut self.heap, link);
        let node = znode::read(link);
        weigh(digest, path, node.digest(), before);
        Node::new(node)
    }

    /// Notes a new node in the table of its kind.
    fn enlist(&mut self, path: &str, owner: Owner) {
        let (heap, state) = (&mut self.heap, &mut self.state);
        match owner {
            Owner::None => {}
            Owner::Session(id) => {
                owners::add(heap, &mut state.owners, id, path);
                state.ephemeral_count += 1;
            }
            Owner::Container => {
                map::insert(heap, &mut state.containers, path.as_bytes(), Link::NONE);
            }
            Owner::Ttl { .. } => map::insert(heap, &mut state.ttls, path.as_bytes(), Link::NONE),
        }
    }

    fn delist(&mut self, path: &str, owner: Owner) {
        let (heap, state) = (&mut self.heap, &mut self.state);
        match owner {
            Owner::None => {}
            Owner::Session(id) => {
                owners::remove(heap, &mut state.owners, id, path);
                state.ephemeral_count -= 1;
            }
            Owner::Container => drop(map::remove(heap, &mut state.containers, path.as_bytes())),
            Owner::Ttl { .. } => drop(map::remove(heap, &mut state.ttls, path.as_bytes())),
        }
    }
}

/// Owns the way to a node; each node above it gets `by` descendants more.
///
/// When there is no node at the path, the way so far is copied for nothing, which nobody sees; with
/// a `by` other than 0 the node must be there.
fn own_path<'a>(
    heap: &mut Heap,
    mut link: &'a mut Link,
    path: &str,
    by: i64,
) -> Option<&'a mut Link> {
    for name in path::names(path)? {
        if znode::read(link).child_count() == 0 {
            return None;
        }
        count_below(heap, link, by);
        let children = znode::own_full(heap, link).into_children();
        link = map::own(heap, children, name)?;
    }
    Some(link)
}

fn count_below(heap: &mut Heap, link: &mut Link, by: i64) {
    if by != 0 {
        let count = znode::read(link).descendants().wrapping_add_signed(by);
        znode::own_full(heap, link).set_descendants(count);
    }
}

/// Counts a node at `path` in the digest of the tree.
fn weigh(digest: &mut u64, path: &str, plus: u64, minus: u64) {
    if digest::is_counted(path) {
        *digest = digest.wrapping_add(plus).wrapping_sub(minus);
    }
}

/// What a node adds to `data_bytes`.
// ZooKeeper: DataTree.getNodeSize
fn size(path: &str, data_len: usize) -> u64 {
    let path_len = if path == "/" { 0 } else { path.len() };
    (path_len + data_len) as u64
}

impl Root {
    pub fn view(&self) -> View<'_> {
        View::new(&self.sealed.state)
    }

    /// The zxid that this root is exact at.
    pub fn last_zxid(&self) -> Zxid {
        self.sealed.state.last_zxid
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::data::Stat;

    use super::*;

    fn node(data: &[u8], owner: Owner, zxid: i64) -> (Zxid, NewNode<'_>) {
        let acl = const { &[Acl::world(perms::ALL)] };
        let czxid = Zxid(zxid);
        (czxid, NewNode { data: Some(data), acl, owner, czxid, ctime_ms: zxid * 10 })
    }

    fn create(tree: &mut Tree, path: &str, owner: Owner, zxid: i64) {
        let (zxid, new) = node(b"data", owner, zxid);
        let parent = split(path).expect("a path below the root").0;
        let cversion = tree.view().node(parent).expect("parent").persisted().cversion + 1;
        tree.insert(path, new, cversion, zxid).expect("insert");
        tree.advance(zxid);
    }

    #[test]
    fn a_fresh_tree_is_apache_s() {
        let tree = Tree::new();
        let view = tree.view();
        assert_eq!(view.digest(), 0x51c6_d660);
        assert_eq!(view.node_count(), 4);
        let check = |path: &str, cversion, children, descendants| {
            let node = view.node(path).expect(path);
            let stat = node.stat();
            assert_eq!((stat.cversion, stat.num_children), (cversion, children), "{path}");
            assert_eq!(node.descendants(), descendants, "{path}");
            assert_eq!(node.data(), Some(&b""[..]), "{path}");
        };
        check("/", -1, 1, 3);
        check("/zookeeper", -2, 2, 2);
        check("/zookeeper/quota", 0, 0, 0);
        check("/zookeeper/config", 0, 0, 0);
        let config = view.node("/zookeeper/config").expect("config");
        assert_eq!(config.stat().aversion, -1);
        assert_eq!(config.acl().iter().collect::<Vec<_>>(), [Acl::world(perms::READ)]);
    }

    #[test]
    fn a_member_says_who_belongs_to_its_ensemble_as_apache_does() {
        let mut tree = Tree::new();
        create(&mut tree, "/a", Owner::None, 1);
        let before = (tree.view().digest(), tree.view().last_zxid(), tree.view().node_count());
        let text = "server.1=a:2888:3888:participant\nversion=0";
        tree.set_config(text, Zxid::ZERO, 1_795_162_508_874).expect("/zookeeper is there");
        let check = |tree: &Tree| {
            let view = tree.view();
            let node = view.node(CONFIG).expect("config");
            assert_eq!(node.data(), Some(text.as_bytes()));
            assert_eq!(node.acl().iter().collect::<Vec<_>>(), [Acl::world(perms::READ)]);
            let data_length = i32::try_from(text.len()).unwrap();
            let stat = Stat {
                mtime_ms: 1_795_162_508_874,
                version: -1,
                aversion: -1,
                data_length,
                ..Stat::default()
            };
            assert_eq!(node.stat(), stat);
            assert_eq!((view.digest(), view.last_zxid(), view.node_count()), before);
            let ours = view.node("/zookeeper").expect("ours").stat();
            assert_eq!((ours.cversion, ours.num_children), (-2, 2));
        };
        check(&tree);
        tree.set_config(text, Zxid::ZERO, 2_000_000_000_000).expect("/zookeeper is there");
        check(&tree);
        // A tree from before there was such a node.
        tree.remove(CONFIG, Zxid::ZERO).expect("it is there");
        tree.set_config(text, Zxid::ZERO, 1_795_162_508_874).expect("/zookeeper is there");
        check(&tree);
    }

    #[test]
    fn a_tree_without_our_own_nodes_gets_no_configuration() {
        let mut tree = Tree::new();
        for path in [CONFIG, "/zookeeper/quota", "/zookeeper"] {
            tree.remove(path, Zxid::ZERO).expect("it is there");
        }
        assert_eq!(tree.set_config("version=0", Zxid::ZERO, 1), Err(TreeError::NoNode));
        assert_eq!(tree.view().node_count(), 1);
    }

    #[test]
    fn a_root_keeps_its_state_while_the_writer_goes_on() {
        let mut tree = Tree::new();
        create(&mut tree, "/a", Owner::None, 1);
        let first = tree.seal();
        create(&mut tree, "/a/b", Owner::Session(SessionId(7)), 2);
        let second = tree.seal();
        tree.remove("/a/b", Zxid(3)).expect("remove");
        assert!(first.view().node("/a/b").is_none());
        assert!(second.view().node("/a/b").is_some());
        assert!(tree.view().node("/a/b").is_none());
        assert_eq!(second.view().ephemerals(SessionId(7)).collect::<Vec<_>>(), ["/a/b"]);
        assert_eq!(first.last_zxid(), Zxid(1));
        tree.reset_to(&first);
        assert_eq!(tree.view().digest(), first.view().digest());
    }

    #[test]
    fn paths_that_are_not_canonical_name_no_node() {
        let mut tree = Tree::new();
        create(&mut tree, "/a", Owner::None, 1);
        for path in ["/a/", "//", "//a", "a", "/a//b"] {
            assert!(tree.view().node(path).is_none(), "{path}");
        }
        assert!(tree.view().node("").is_some());
    }

    #[test]
    fn children_come_sorted_and_only_direct_ones() {
        let mut tree = Tree::new();
        for (zxid, path) in ["/b", "/a", "/a/x", "/a-b", "/é"].into_iter().enumerate() {
            create(&mut tree, path, Owner::None, zxid as i64 + 1);
        }
        let root = tree.view().node("/").expect("root");
        let names: Vec<_> = root.children().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "a-b", "b", "zookeeper", "é"]);
        assert_eq!(root.descendants(), 8);
        assert_eq!(tree.remove("/a", Zxid(9)), Err(TreeError::NotEmpty));
        assert_eq!(tree.remove("/c", Zxid(9)), Err(TreeError::NoNode));
    }
}
