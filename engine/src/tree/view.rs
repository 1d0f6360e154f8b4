//! Reading: what a view of one state shows of nodes, sessions and sums.
//!
//! A read follows links and compares names; it writes nothing, counts nothing and takes no lock.
#![deny(unsafe_code)]

use menagerie_wire::data::Stat;
use menagerie_wire::{SessionId, Zxid};

use super::acl::{AclHandle, AclList};
use super::block::Link;
use super::stat::{Owner, StatPersisted};
use super::state::State;
use super::znode::{self, Znode};
use super::{map, owners, path};

/// One state of the tree, open or sealed, to be read.
#[derive(Clone, Copy)]
pub struct View<'a> {
    state: &'a State,
}

/// A node of a [`View`].
#[derive(Clone, Copy)]
pub struct Node<'a> {
    node: Znode<'a>,
}

/// The children of a [`Node`], sorted by the bytes of their names.
#[derive(Clone)]
pub struct Children<'a> {
    links: map::Iter<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, link) = self.links.next()?;
        Some((owners::str(name), Node { node: znode::read(link) }))
    }
}

/// An open session of a [`View`].
#[derive(Clone, Copy)]
pub struct Session<'a> {
    id: SessionId,
    timeout_ms: i32,
    owner: owners::Owner<'a>,
}

pub(super) fn find<'a>(state: &'a State, path: &str) -> Option<Znode<'a>> {
    let mut node = znode::read(&state.root);
    for name in path::names(path)? {
        node = znode::read(map::find(node.children(), name)?);
    }
    Some(node)
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state }
    }

    /// The node at a canonical path; `""` is `/`.
    pub fn node(self, path: &str) -> Option<Node<'a>> {
        find(self.state, path).map(|node| Node { node })
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
        1 + znode::read(&self.state.root).descendants()
    }

    /// Bytes of all paths and data, as `approximateDataSize` counts.
    pub fn data_bytes(self) -> u64 {
        self.state.data_bytes
    }

    pub fn ephemeral_count(self) -> u64 {
        self.state.ephemeral_count
    }

    pub fn session_count(self) -> u64 {
        self.state.session_count
    }

    /// Whether `/zookeeper/quota` has children. No walk: every write asks.
    pub fn has_quotas(self) -> bool {
        self.state.quota_count > 0
    }

    pub fn session(self, id: SessionId) -> Option<Session<'a>> {
        owners::find(&self.state.owners, id).and_then(|owner| Session::new(id, owner))
    }

    /// All open sessions, by id.
    pub fn sessions(self) -> impl Iterator<Item = Session<'a>> + use<'a> {
        owners::iter(&self.state.owners).filter_map(|(id, owner)| Session::new(id, owner))
    }

    /// Paths of the ephemerals of `id`, sorted, whether or not the session is open.
    pub fn ephemerals(self, id: SessionId) -> impl Iterator<Item = &'a str> + use<'a> {
        let owner = owners::find(&self.state.owners, id);
        owner.into_iter().flat_map(owners::Owner::paths)
    }

    /// Every owner of ephemerals, by id, whether or not its session is open.
    pub fn owners(self) -> impl Iterator<Item = SessionId> + use<'a> {
        let owners = owners::iter(&self.state.owners);
        owners.filter(|(_, owner)| owner.has_paths()).map(|(id, _)| id)
    }

    /// Every access list in use but the open one, encoded.
    pub(crate) fn access_lists(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        map::iter(&self.state.acls).map(|(jute, _)| jute)
    }

    /// Paths of the container nodes, sorted.
    pub fn containers(self) -> impl Iterator<Item = &'a str> + use<'a> {
        paths(&self.state.containers)
    }

    /// Paths of the TTL nodes, sorted.
    pub fn ttls(self) -> impl Iterator<Item = &'a str> + use<'a> {
        paths(&self.state.ttls)
    }
}

fn paths(map: &Link) -> impl Iterator<Item = &str> {
    map::iter(map).map(|(path, _)| owners::str(path))
}

impl<'a> Session<'a> {
    fn new(id: SessionId, owner: owners::Owner<'a>) -> Option<Self> {
        owner.timeout_ms.map(|timeout_ms| Self { id, timeout_ms, owner })
    }

    pub fn id(self) -> SessionId {
        self.id
    }

    pub fn timeout_ms(self) -> i32 {
        self.timeout_ms
    }

    /// Paths of its ephemeral nodes, sorted.
    pub fn ephemerals(self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.owner.paths()
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(node: Znode<'a>) -> Self {
        Self { node }
    }

    /// Null and empty data are distinct.
    pub fn data(self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// Bytes of its data, 0 when null; large data is not looked at.
    pub fn data_len(self) -> usize {
        self.node.data_len()
    }

    /// As a client sees it: cversion is 2 × creates − children, and only ephemerals have an owner.
    pub fn stat(self) -> Stat {
        self.node.stat()
    }

    pub fn persisted(self) -> StatPersisted {
        self.node.persisted()
    }

    pub fn owner(self) -> Owner {
        self.node.owner()
    }

    pub fn acl(self) -> AclList<'a> {
        self.node.acl()
    }

    /// The access list for use beyond this view.
    pub fn acl_handle(self) -> AclHandle {
        match self.node.acl_word() {
            0 => AclHandle::OPEN,
            _ => AclHandle::from_jute(self.node.acl().jute()),
        }
    }

    pub fn child_count(self) -> u32 {
        self.node.child_count()
    }

    pub fn child(self, name: &str) -> Option<Self> {
        let link = map::find(self.node.children(), name.as_bytes())?;
        Some(Self { node: znode::read(link) })
    }

    /// Children by name, sorted by bytes.
    pub fn children(self) -> Children<'a> {
        Children { links: map::iter(self.node.children()) }
    }

    /// The names of [`Self::children`], as UTF-8 bytes, without a look at the nodes.
    pub fn child_names(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        map::iter(self.node.children()).map(|(name, _)| name)
    }

    /// Nodes below this one, at any depth.
    pub fn descendants(self) -> u64 {
        self.node.descendants()
    }
}
