//! Building a whole tree at once, from nodes in order: how a snapshot becomes a tree.
//!
//! Nodes come depth first, parents before children, children by name. What costs time is done in
//! [`Section`]s, which know nothing of each other and may be filled on several threads: making the
//! nodes and their digests. A [`Loader`] then takes the sections in order and only links what they
//! made, with pages as full as they get.
//!
//! The source is not trusted: whatever it says, the result is a well-formed tree or an error, and
//! what was built up to an error is freed.
#![deny(unsafe_code)]

use menagerie_wire::data::Acl;
use menagerie_wire::jute::Reader;
use menagerie_wire::{SessionId, Zxid};
use thiserror::Error;

use super::block::Link;
use super::heap::{Arena, Heap};
use super::map::Builder;
use super::stat::{Owner, StatPersisted};
use super::state::{QUOTA, State};
use super::znode::{self, Seed};
use super::{Tree, acl, bytes, digest, entry, reach, view};

/// Why nodes make no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BulkError {
    #[error("there is no root")]
    NoRoot,
    #[error("a node at depth {depth} follows one at depth {last}")]
    Depth { depth: usize, last: usize },
    #[error("nodes are said to stand where their predecessors do not lead")]
    Base,
    #[error("a child is not above the one before it by name")]
    Order,
    #[error("a name is empty or has a slash in it")]
    Name,
    #[error("a node has access list {index} of {count}")]
    AclIndex { index: u32, count: usize },
    #[error("access list {index} is malformed, given twice, or the open one")]
    Acl { index: usize },
}

/// One node as a source gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// 0 for the root.
    pub(crate) depth: usize,
    /// Empty for the root.
    pub(crate) name: &'a str,
    pub(crate) stat: StatPersisted,
    pub(crate) data: Option<&'a [u8]>,
    /// Among the loader's lists; `None` is the open one.
    pub(crate) acl: Option<u32>,
}

/// The access lists of a tree that is being built.
pub(crate) struct Lists {
    arena: Arena,
    lists: Vec<Link>,
}

/// Nodes in order, made and not yet linked.
pub(crate) struct Section<'a> {
    arena: Arena,
    /// Path of the node that the first one stands in; empty for root and top level.
    base: &'a str,
    /// Path of the last node, and where it ends at each depth.
    path: String,
    ends: Vec<usize>,
    items: Vec<Item<'a>>,
    /// Nodes with each list.
    users: Vec<u64>,
    owned: Vec<(Box<str>, Owner)>,
    digest: u64,
    data_bytes: u64,
}

struct Item<'a> {
    depth: usize,
    name: &'a str,
    link: Link,
}

/// Links sections to a tree.
pub(crate) struct Loader<'a> {
    heap: Heap,
    /// The way to the last node, from the root.
    open: Vec<Open<'a>>,
    users: Vec<u64>,
    owned: Vec<(Box<str>, Owner)>,
    state: State,
}

/// A node whose children are still coming.
struct Open<'a> {
    item: Item<'a>,
    last_child: &'a str,
    children: Builder,
    child_count: u32,
    descendants: u64,
}

impl Open<'_> {
    /// Links a child, which is complete.
    fn add(&mut self, arena: &mut Arena, name: &str, link: Link, descendants: u64) {
        self.child_count += 1;
        self.descendants += 1 + descendants;
        self.children.push(arena, name.as_bytes(), link);
    }
}

/// Everything is built in the version that the tree begins with.
const VERSION: u64 = 1;

impl Lists {
    /// Takes encoded lists, all different.
    pub(crate) fn new<'j>(jute: impl Iterator<Item = &'j [u8]>) -> Result<Self, BulkError> {
        let mut lists = Self { arena: Arena::new(VERSION), lists: Vec::new() };
        for (index, jute) in jute.enumerate() {
            let mut reader = Reader::new(jute);
            let is_list = matches!(reader.vector::<Acl<'_>>(), Ok(Some(_))) && reader.is_empty();
            if !is_list || jute == acl::OPEN {
                return Err(BulkError::Acl { index });
            }
            lists.lists.push(bytes::create(&mut lists.arena, jute));
        }
        Ok(lists)
    }

    fn address(&self, acl: Option<u32>) -> Result<u64, BulkError> {
        let Some(index) = acl else { return Ok(0) };
        let list = self.lists.get(index as usize).map(Link::address);
        list.ok_or(BulkError::AclIndex { index, count: self.lists.len() })
    }

    /// The table, by the number of users of each list; lists without users are dropped.
    fn into_table(mut self, heap: &mut Heap, users: &[u64]) -> Result<Link, BulkError> {
        let mut order: Vec<usize> = (0..self.lists.len()).collect();
        order.sort_by_key(|index| jute(&self.lists[*index]));
        let twice = |pair: &&[usize]| jute(&self.lists[pair[0]]) == jute(&self.lists[pair[1]]);
        if let Some(pair) = order.windows(2).find(twice) {
            return Err(BulkError::Acl { index: pair[1] });
        }
        heap.adopt(std::mem::replace(&mut self.arena, Arena::new(VERSION)));
        let mut table = Builder::default();
        for index in order {
            let list = std::mem::take(&mut self.lists[index]);
            match users.get(index).copied().unwrap_or(0) {
                0 => heap.discard(list),
                count => {
                    let key = jute(&list).to_vec();
                    let entry = entry::create(heap.arena(), count, list);
                    table.push(heap.arena(), &key, entry);
                }
            }
        }
        Ok(table.finish(heap.arena()))
    }
}

fn jute(list: &Link) -> &[u8] {
    list.block().map_or(&[], bytes::content)
}

impl<'a> Section<'a> {
    /// `base` is the path of the node that the first one stands in. With room for `nodes`, which
    /// the caller has seen.
    pub(crate) fn new(base: &'a str, nodes: usize) -> Self {
        let above = base.match_indices('/').map(|(at, _)| at);
        Self {
            arena: Arena::new(VERSION),
            base,
            path: base.to_owned(),
            ends: above.chain([base.len()]).collect(),
            items: Vec::with_capacity(nodes),
            users: Vec::new(),
            owned: Vec::new(),
            digest: 0,
            data_bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, lists: &Lists, record: &Record<'a>) -> Result<(), BulkError> {
        let Record { depth, name, stat, data, acl } = *record;
        self.walk_to(depth, name)?;
        let path = if depth == 0 { "/" } else { &self.path };
        let acl_address = lists.address(acl)?;
        if let Some(index) = acl {
            let index = index as usize;
            self.users.resize(self.users.len().max(index + 1), 0);
            self.users[index] += 1;
        }
        let crc = digest::prefix(path, data);
        let seed = Seed { stat, data, crc, acl: acl_address, is_parent: false };
        let link = znode::create(&mut self.arena, &seed);
        if digest::is_counted(path) {
            self.digest = self.digest.wrapping_add(digest::node(crc, &stat));
        }
        self.data_bytes += super::size(path, data.map_or(0, <[u8]>::len));
        if stat.owner != Owner::None {
            self.owned.push((path.into(), stat.owner));
        }
        self.items.push(Item { depth, name, link });
        Ok(())
    }
}

impl Section<'_> {
    fn walk_to(&mut self, depth: usize, name: &str) -> Result<(), BulkError> {
        if name.is_empty() != (depth == 0) || name.contains('/') {
            return Err(BulkError::Name);
        }
        let last = self.ends.len() - 1;
        if depth > last + 1 || (self.items.is_empty() && depth != 0 && depth != last + 1) {
            return Err(BulkError::Depth { depth, last });
        }
        if depth > 0 {
            self.ends.truncate(depth);
            self.path.truncate(self.ends[depth - 1]);
            self.path.push('/');
            self.path.push_str(name);
            self.ends.push(self.path.len());
        }
        Ok(())
    }
}

impl<'a> Loader<'a> {
    pub(crate) fn new() -> Self {
        Self {
            heap: Heap::new(),
            open: Vec::new(),
            users: Vec::new(),
            owned: Vec::new(),
            state: State::EMPTY,
        }
    }

    /// Links the nodes of the next section.
    pub(crate) fn join(&mut self, mut section: Section<'a>) -> Result<(), BulkError> {
        let arena = std::mem::replace(&mut section.arena, Arena::new(VERSION));
        self.heap.adopt(arena);
        self.users.resize(self.users.len().max(section.users.len()), 0);
        for (users, more) in self.users.iter_mut().zip(&section.users) {
            *users += more;
        }
        self.owned.append(&mut section.owned);
        self.state.digest = self.state.digest.wrapping_add(section.digest);
        self.state.data_bytes += section.data_bytes;
        let depth = section.items.first().map_or(0, |item| item.depth);
        if !self.is_way_to(depth, section.base) {
            return Err(BulkError::Base);
        }
        for i in 0..section.items.len() {
            let next_depth = section.items.get(i + 1).map(|next| next.depth);
            self.enter(&mut section.items[i], next_depth)?;
        }
        Ok(())
    }

    /// Whether `base` is the path of the open node above `depth`.
    fn is_way_to(&self, depth: usize, base: &str) -> bool {
        let names = self.open.iter().take(depth).skip(1).map(|open| open.item.name);
        let above = base.split('/').skip(1);
        depth <= self.open.len() && names.eq(above)
    }

    /// `next_depth` is that of the node behind it, where it is known.
    fn enter(&mut self, item: &mut Item<'a>, next_depth: Option<usize>) -> Result<(), BulkError> {
        let last = self.open.len().saturating_sub(1);
        let is_root = self.open.is_empty() && self.state.root.is_none();
        if (item.depth == 0) != is_root || item.depth > self.open.len() {
            return Err(BulkError::Depth { depth: item.depth, last });
        }
        while self.open.len() > item.depth {
            self.close();
        }
        if let Some(parent) = self.open.last_mut() {
            if item.name <= parent.last_child {
                return Err(BulkError::Order);
            }
            parent.last_child = item.name;
            if next_depth.is_some_and(|next| next <= item.depth) {
                // Childless, as most are: nothing of it has to stay open.
                parent.add(self.heap.arena(), item.name, std::mem::take(&mut item.link), 0);
                return Ok(());
            }
        }
        let link = std::mem::take(&mut item.link);
        self.open.push(Open {
            item: Item { link, ..*item },
            last_child: "",
            children: Builder::default(),
            child_count: 0,
            descendants: 0,
        });
        Ok(())
    }

    /// Links the last node, whose children are complete, to its parent.
    fn close(&mut self) {
        let Some(Open { mut item, children, child_count, descendants, .. }) = self.open.pop()
        else {
            return;
        };
        if child_count > 0 {
            let map = children.finish(self.heap.arena());
            let mut node = znode::own_full(&mut self.heap, &mut item.link);
            node.set_child_count(child_count);
            node.set_descendants(descendants);
            *node.into_children() = map;
        }
        match self.open.last_mut() {
            Some(parent) => parent.add(self.heap.arena(), item.name, item.link, descendants),
            None => self.state.root = item.link,
        }
    }

    /// The tree, at `last_zxid`.
    pub(crate) fn finish(
        mut self,
        lists: Lists,
        sessions: impl Iterator<Item = (SessionId, i32)>,
        last_zxid: Zxid,
    ) -> Result<Tree, BulkError> {
        while !self.open.is_empty() {
            self.close();
        }
        if self.state.root.is_none() {
            return Err(BulkError::NoRoot);
        }
        self.state.acls = lists.into_table(&mut self.heap, &self.users)?;
        let owned = std::mem::take(&mut self.owned);
        let heap = std::mem::replace(&mut self.heap, Heap::new());
        let state = std::mem::replace(&mut self.state, State::EMPTY);
        let mut tree = Tree { state, heap };
        let quotas = view::find(&tree.state, QUOTA).map_or(0, |node| node.child_count());
        tree.state.quota_count = u64::from(quotas);
        for (path, owner) in &owned {
            tree.enlist(path, *owner);
        }
        for (id, timeout_ms) in sessions {
            tree.open_session(id, timeout_ms);
        }
        tree.advance(last_zxid);
        Ok(tree)
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        reach::abandon(self.lists.drain(..));
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        reach::abandon(self.items.drain(..).map(|item| item.link));
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        reach::abandon(self.open.drain(..).map(|open| open.item.link));
        reach::abandon(std::mem::replace(&mut self.state, State::EMPTY).into_links().into_iter());
    }
}
