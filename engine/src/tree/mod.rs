//! The znode tree: one writer edits the newest state, and any number of sealed roots stay readable.
//!
//! [`Tree`] belongs to the one who orders writes. [`Tree::seal`] ends a batch and hands out a
//! [`Root`]: immutable, exact at one zxid, readable on any thread for as long as it is held.
//! Whether a change is allowed, and which versions and times it carries, is judged in `txn`; the
//! tree keeps links, child counts, the digest, access lists, sessions and what they own.

mod acl;
mod digest;
mod path;
mod stat;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use menagerie_wire::data::{Acl, Stat, perms};
use menagerie_wire::{SessionId, Zxid};
use thiserror::Error;

pub use acl::{AclHandle, AclList};
pub use path::split;
pub use stat::{Owner, StatPersisted};

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
    state: Arc<State>,
}

/// A sealed state of the tree. Cloning is O(1); reading touches no shared counter.
#[derive(Clone)]
pub struct Root {
    state: Arc<State>,
}

/// One state of the tree, open or sealed, to be read.
#[derive(Clone, Copy)]
pub struct View<'a> {
    state: &'a State,
}

/// A node of a [`View`].
#[derive(Clone, Copy)]
pub struct Node<'a> {
    state: &'a State,
    path: &'a str,
    node: &'a Znode,
}

/// A session of a [`View`].
#[derive(Clone, Copy)]
pub struct Session<'a> {
    state: &'a State,
    id: SessionId,
    timeout_ms: i32,
}

#[derive(Clone, Default)]
struct State {
    nodes: BTreeMap<Box<str>, Znode>,
    sessions: BTreeMap<SessionId, i32>,
    owned: BTreeMap<SessionId, BTreeSet<Box<str>>>,
    containers: BTreeSet<Box<str>>,
    ttls: BTreeSet<Box<str>>,
    last_zxid: Zxid,
    digest: u64,
    data_bytes: u64,
    ephemeral_count: u64,
}

#[derive(Clone, Default)]
struct Znode {
    data: Option<Box<[u8]>>,
    stat: StatPersisted,
    acl: AclHandle,
    child_count: u32,
    descendants: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A fresh tree: `/`, `/zookeeper` and the two nodes below it.
    // ZooKeeper: DataTree.DataTree, DataTree.addConfigNode
    pub fn new() -> Self {
        let root = Znode { data: Some(Box::default()), ..Znode::default() };
        let mut state = State { digest: digest_of("/", &root), ..State::default() };
        state.nodes.insert("/".into(), root);
        let mut tree = Self { state: Arc::new(state) };
        let open = [Acl::world(perms::ALL)];
        let readable = [Acl::world(perms::READ)];
        for (path, acl) in
            [("/zookeeper", &open), ("/zookeeper/quota", &open), ("/zookeeper/config", &readable)]
        {
            let node = NewNode {
                data: Some(b""),
                acl,
                owner: Owner::None,
                czxid: Zxid::ZERO,
                ctime_ms: 0,
            };
            tree.insert(path, node, 0, Zxid::ZERO).expect("the parent was made before");
        }
        tree.set_acl("/zookeeper/config", &readable, -1).expect("the node was just made");
        tree
    }

    pub fn view(&self) -> View<'_> {
        View { state: &self.state }
    }

    /// Ends the batch: the state so far becomes a root, later edits leave it as it is. O(1).
    pub fn seal(&mut self) -> Root {
        Root { state: self.state.clone() }
    }

    /// Drops everything newer than `root`, which must have been sealed by this tree on the line of
    /// states that led to the present one. Other roots stay readable.
    pub fn reset_to(&mut self, root: &Root) {
        self.state = root.state.clone();
    }

    /// Gives memory of released roots back, at most `budget` blocks. True when more is to do.
    pub fn reclaim(&mut self, budget: usize) -> bool {
        let _ = budget;
        false
    }

    /// Adds a node. The parent's `cversion` and `pzxid` are set when `parent_cversion` is a raise.
    pub fn insert(
        &mut self,
        path: &str,
        node: NewNode<'_>,
        parent_cversion: i32,
        parent_pzxid: Zxid,
    ) -> Result<(), TreeError> {
        let (parent, _) = split(path).ok_or(TreeError::Root)?;
        if self.view().node(path).is_some() {
            return Err(TreeError::NodeExists);
        }
        self.view().node(parent).ok_or(TreeError::NoNode)?;
        let znode = Znode {
            data: node.data.map(Into::into),
            stat: StatPersisted {
                czxid: node.czxid,
                mzxid: node.czxid,
                pzxid: node.czxid,
                ctime_ms: node.ctime_ms,
                mtime_ms: node.ctime_ms,
                owner: node.owner,
                ..StatPersisted::default()
            },
            acl: AclHandle::from_jute(&acl::encode(node.acl)),
            ..Znode::default()
        };
        self.raise_parent(parent, parent_cversion, parent_pzxid);
        let state = Arc::make_mut(&mut self.state);
        state.digest = state.digest.wrapping_add(digest_of(path, &znode));
        state.data_bytes += size_of_node(path, &znode);
        match node.owner {
            Owner::None => {}
            Owner::Session(id) => {
                state.ephemeral_count += 1;
                state.owned.entry(id).or_default().insert(path.into());
            }
            Owner::Container => drop(state.containers.insert(path.into())),
            Owner::Ttl { .. } => drop(state.ttls.insert(path.into())),
        }
        state.nodes.insert(path.into(), znode);
        self.count(path, |znode| znode.child_count += 1, |znode| znode.descendants += 1);
        Ok(())
    }

    /// Removes a childless node. The parent's `pzxid` is raised to `parent_pzxid`, never lowered.
    pub fn remove(&mut self, path: &str, parent_pzxid: Zxid) -> Result<(), TreeError> {
        let node = self.view().node(path).ok_or(TreeError::NoNode)?;
        let (parent, _) = split(path).ok_or(TreeError::Root)?;
        if node.child_count() > 0 {
            return Err(TreeError::NotEmpty);
        }
        self.raise_pzxid(parent, parent_pzxid);
        self.count(path, |znode| znode.child_count -= 1, |znode| znode.descendants -= 1);
        let state = Arc::make_mut(&mut self.state);
        let znode = state.nodes.remove(path).ok_or(TreeError::NoNode)?;
        state.digest = state.digest.wrapping_sub(digest_of(path, &znode));
        state.data_bytes -= size_of_node(path, &znode);
        match znode.stat.owner {
            Owner::None => {}
            Owner::Session(id) => {
                state.ephemeral_count -= 1;
                let owned = state.owned.entry(id).or_default();
                owned.remove(path);
                if owned.is_empty() {
                    state.owned.remove(&id);
                }
            }
            Owner::Container => drop(state.containers.remove(path)),
            Owner::Ttl { .. } => drop(state.ttls.remove(path)),
        }
        Ok(())
    }

    /// Sets a parent's `cversion` and `pzxid` when `cversion` is above the present one; for a
    /// missing parent nothing happens.
    // ZooKeeper: DataTree.createNode, DataTree.setCversionPzxid
    pub fn raise_parent(&mut self, parent: &str, cversion: i32, pzxid: Zxid) {
        let _ = self.edit(parent, |znode| {
            if cversion > znode.stat.cversion {
                znode.stat.cversion = cversion;
                znode.stat.pzxid = pzxid;
            }
        });
    }

    /// Raises a parent's `pzxid`, as the replay of a delete does even when the child is gone.
    // ZooKeeper: DataTree.deleteNode
    pub fn raise_pzxid(&mut self, parent: &str, pzxid: Zxid) {
        let _ = self.edit(parent, |znode| znode.stat.pzxid = znode.stat.pzxid.max(pzxid));
    }

    pub fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        mzxid: Zxid,
        mtime_ms: i64,
    ) -> Result<(), TreeError> {
        self.edit(path, |znode| {
            znode.data = data.map(Into::into);
            znode.stat.version = version;
            znode.stat.mzxid = mzxid;
            znode.stat.mtime_ms = mtime_ms;
        })
    }

    /// Sets data and nothing else, as quota statistics are kept: not a transaction, no version.
    pub fn set_usage(&mut self, path: &str, data: &[u8]) -> Result<(), TreeError> {
        self.edit(path, |znode| znode.data = Some(data.into()))
    }

    pub fn set_acl(&mut self, path: &str, acl: &[Acl<'_>], aversion: i32) -> Result<(), TreeError> {
        self.edit(path, |znode| {
            znode.acl = AclHandle::from_jute(&acl::encode(acl));
            znode.stat.aversion = aversion;
        })
    }

    /// Adds a session or changes its timeout.
    pub fn open_session(&mut self, id: SessionId, timeout_ms: i32) {
        Arc::make_mut(&mut self.state).sessions.insert(id, timeout_ms);
    }

    /// Takes a session from the table; true when it was there. Its ephemerals are not touched.
    pub fn close_session(&mut self, id: SessionId) -> bool {
        Arc::make_mut(&mut self.state).sessions.remove(&id).is_some()
    }

    /// Notes the last transaction applied.
    ///
    /// # Panics
    /// When `zxid` is below the last one.
    pub fn advance(&mut self, zxid: Zxid) {
        let last = self.view().last_zxid();
        assert!(zxid >= last, "the tree is at {last}, it cannot advance to {zxid}");
        Arc::make_mut(&mut self.state).last_zxid = zxid;
    }

    fn edit(&mut self, path: &str, change: impl FnOnce(&mut Znode)) -> Result<(), TreeError> {
        self.view().node(path).ok_or(TreeError::NoNode)?;
        let path = if path.is_empty() { "/" } else { path };
        let state = Arc::make_mut(&mut self.state);
        let znode = state.nodes.get_mut(path).ok_or(TreeError::NoNode)?;
        state.digest = state.digest.wrapping_sub(digest_of(path, znode));
        state.data_bytes -= size_of_node(path, znode);
        change(znode);
        state.digest = state.digest.wrapping_add(digest_of(path, znode));
        state.data_bytes += size_of_node(path, znode);
        Ok(())
    }

    fn count(&mut self, path: &str, own: impl Fn(&mut Znode), all: impl Fn(&mut Znode)) {
        let state = Arc::make_mut(&mut self.state);
        let mut above = split(path);
        if let Some(parent) = above.and_then(|(parent, _)| state.nodes.get_mut(parent)) {
            own(parent);
        }
        while let Some((parent, _)) = above {
            if let Some(znode) = state.nodes.get_mut(parent) {
                all(znode);
            }
            above = split(parent);
        }
    }
}

fn digest_of(path: &str, node: &Znode) -> u64 {
    if digest::is_counted(path) {
        digest::node(digest::prefix(path, node.data.as_deref()), &node.stat)
    } else {
        0
    }
}

fn size_of_node(path: &str, node: &Znode) -> u64 {
    let path_len = if path == "/" { 0 } else { path.len() };
    (path_len + node.data.as_ref().map_or(0, |data| data.len())) as u64
}

impl Root {
    pub fn view(&self) -> View<'_> {
        View { state: &self.state }
    }

    /// The zxid that this root is exact at.
    pub fn last_zxid(&self) -> Zxid {
        self.state.last_zxid
    }
}

impl<'a> View<'a> {
    /// The node at a canonical path; `""` is `/`.
    pub fn node(self, path: &str) -> Option<Node<'a>> {
        let path = if path.is_empty() { "/" } else { path };
        let (path, node) = self.state.nodes.get_key_value(path)?;
        Some(Node { state: self.state, path, node })
    }

    pub fn last_zxid(self) -> Zxid {
        self.state.last_zxid
    }

    /// Apache's tree digest, version 2.
    pub fn digest(self) -> u64 {
        self.state.digest
    }

    /// Nodes, the root included.
    pub fn node_count(self) -> u64 {
        self.state.nodes.len() as u64
    }

    /// Bytes of all paths and data, as `approximateDataSize` counts.
    pub fn data_bytes(self) -> u64 {
        self.state.data_bytes
    }

    pub fn ephemeral_count(self) -> u64 {
        self.state.ephemeral_count
    }

    pub fn session(self, id: SessionId) -> Option<Session<'a>> {
        let timeout_ms = *self.state.sessions.get(&id)?;
        Some(Session { state: self.state, id, timeout_ms })
    }

    /// All sessions, by id.
    pub fn sessions(self) -> impl Iterator<Item = Session<'a>> {
        let state = self.state;
        state.sessions.iter().map(move |(&id, &timeout_ms)| Session { state, id, timeout_ms })
    }

    /// Paths of the ephemerals of `id`, sorted, whether or not the session is in the table.
    pub fn ephemerals(self, id: SessionId) -> impl Iterator<Item = &'a str> {
        self.state.owned.get(&id).into_iter().flatten().map(|path| &**path)
    }

    /// Every owner of ephemerals, by id, whether or not it is in the session table.
    pub fn owners(self) -> impl Iterator<Item = SessionId> + 'a {
        self.state.owned.keys().copied()
    }

    /// Paths of the container nodes, sorted.
    pub fn containers(self) -> impl Iterator<Item = &'a str> {
        self.state.containers.iter().map(|path| &**path)
    }

    /// Paths of the TTL nodes, sorted.
    pub fn ttls(self) -> impl Iterator<Item = &'a str> {
        self.state.ttls.iter().map(|path| &**path)
    }
}

impl<'a> Session<'a> {
    pub fn id(self) -> SessionId {
        self.id
    }

    pub fn timeout_ms(self) -> i32 {
        self.timeout_ms
    }

    /// Paths of its ephemeral nodes, sorted.
    pub fn ephemerals(self) -> impl Iterator<Item = &'a str> {
        View { state: self.state }.ephemerals(self.id)
    }
}

impl<'a> Node<'a> {
    pub fn data(self) -> Option<&'a [u8]> {
        self.node.data.as_deref()
    }

    /// As a client sees it.
    // ZooKeeper: DataNode.copyStat
    pub fn stat(self) -> Stat {
        let stat = &self.node.stat;
        let children = self.node.child_count as i32;
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            cversion: stat.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: stat.aversion,
            ephemeral_owner: stat.owner.session(),
            data_length: self.data().map_or(0, |data| data.len() as i32),
            num_children: children,
            pzxid: stat.pzxid,
        }
    }

    pub fn persisted(self) -> StatPersisted {
        self.node.stat
    }

    pub fn owner(self) -> Owner {
        self.node.stat.owner
    }

    pub fn acl(self) -> AclList<'a> {
        self.node.acl.list()
    }

    pub fn acl_handle(self) -> AclHandle {
        self.node.acl.clone()
    }

    pub fn child_count(self) -> u32 {
        self.node.child_count
    }

    pub fn child(self, name: &str) -> Option<Self> {
        let slash = if self.path == "/" { "" } else { self.path };
        View { state: self.state }.node(&format!("{slash}/{name}"))
    }

    /// Children by name, sorted by bytes.
    pub fn children(self) -> impl Iterator<Item = (&'a str, Self)> {
        let state = self.state;
        let under = if self.path == "/" { "/".to_owned() } else { format!("{}/", self.path) };
        let len = under.len();
        let range = (Bound::Excluded(under.clone().into_boxed_str()), Bound::Unbounded);
        state
            .nodes
            .range::<Box<str>, _>(range)
            .take_while(move |(path, _)| path.starts_with(&under))
            .filter(move |(path, _)| !path[len..].contains('/'))
            .map(move |(path, node)| (&path[len..], Node { state, path, node }))
    }

    /// Nodes below this one, at any depth.
    pub fn descendants(self) -> u64 {
        self.node.descendants
    }
}

#[cfg(test)]
mod tests {
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
