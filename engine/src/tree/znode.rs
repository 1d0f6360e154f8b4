//! Nodes: a thin block each, with the data inside when it is small.
//!
//! ```text
//!  0        8       16      24      32      40    48       52        56    60
//! ┌────────┬───────┬───────┬───────┬───────┬─────┬────────┬─────────┬─────┬────────────┐
//! │ header │ czxid │ mzxid │ ctime │ mtime │ acl │ length │ version │ crc │ data       │ Plain
//! └────────┴───────┴───────┴───────┴───────┴─────┴────────┴─────────┴─────┴────────────┘
//!                                                                          64      72
//!                                          Full: the same up to here      ┌───────┬───────┬─
//!                                                                         │ pzxid │ owner │
//!                  80         88            96         104        108     └───────┴───────┴─
//!                 ┌──────────┬─────────────┬──────────┬──────────┬──────────┬────────────┐
//!                 │ children │ descendants │ children#│ cversion │ aversion │ data       │
//!                 └──────────┴─────────────┴──────────┴──────────┴──────────┴────────────┘
//! ```
//!
//! A node is *plain* until it gets a child, an owner or an ACL change: its pzxid is its czxid and
//! the other fields are 0. So the common leaf with 100 bytes of data is exactly 160 bytes. Data
//! longer than [`INLINE_MAX`] stands in a block of its own, and what is here is the link to it:
//! a parent with large data pays nothing for that when its stat changes.
//!
//! `length` is `u32::MAX` for null data; `crc` is the digest's prefix; `acl` is the address of the
//! list in the ACL table, which keeps it alive, and 0 for the open one.

use menagerie_wire::Zxid;
use menagerie_wire::data::Stat;

use super::acl::{self, AclList};
use super::block::{Block, BlockMut, Kind, Link, put_u32, put_u64, u32_at, u64_at};
use super::bytes;
use super::digest;
use super::heap::{Arena, Heap};
use super::stat::{Owner, StatPersisted};

/// Longer data stands outside.
pub(super) const INLINE_MAX: usize = 512;
/// Of outside data so much is asked for at once; what is behind, the processor sees coming.
const PREFETCHED_BYTES: usize = 1 << 10;
const NULL: u32 = u32::MAX;

const CZXID: usize = 8;
const MZXID: usize = 16;
const CTIME: usize = 24;
const MTIME: usize = 32;
const ACL: usize = 40;
const LENGTH: usize = 48;
const VERSION: usize = 52;
const CRC: usize = 56;
const PLAIN_END: usize = 60;
const PZXID: usize = 64;
const OWNER: usize = 72;
const CHILDREN: usize = 80;
const DESCENDANTS: usize = 88;
const CHILD_COUNT: usize = 96;
const CVERSION: usize = 100;
const AVERSION: usize = 104;
const FULL_END: usize = 108;

const _: () = assert!(PLAIN_END + 100 == 160, "the common node fills a size class of allocators");

#[derive(Clone, Copy)]
pub(super) struct Znode<'a> {
    bytes: &'a [u8],
    is_full: bool,
}

/// A node of the open version. Fields that only full nodes have may be set on those alone.
pub(super) struct ZnodeMut<'a> {
    bytes: &'a mut [u8],
    is_full: bool,
}

/// What a node is made from, when no older form of it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed<'a> {
    pub(super) stat: StatPersisted,
    pub(super) data: Option<&'a [u8]>,
    pub(super) crc: u32,
    pub(super) acl: u64,
    /// Children will come.
    pub(super) is_parent: bool,
}

impl<'a> Znode<'a> {
    pub(super) fn new(block: Block<'a>) -> Self {
        let kind = block.kind();
        assert!(matches!(kind, Kind::Plain | Kind::Full), "{kind:?} is no node");
        Self { bytes: block.bytes(), is_full: kind == Kind::Full }
    }

    fn long(self, at: usize) -> i64 {
        u64_at(self.bytes, at) as i64
    }

    fn int(self, at: usize) -> i32 {
        u32_at(self.bytes, at) as i32
    }

    fn full_int(self, at: usize) -> i32 {
        if self.is_full { self.int(at) } else { 0 }
    }

    pub(super) fn persisted(self) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(self.long(CZXID)),
            mzxid: Zxid(self.long(MZXID)),
            pzxid: self.pzxid(),
            ctime_ms: self.long(CTIME),
            mtime_ms: self.long(MTIME),
            version: self.int(VERSION),
            cversion: self.cversion(),
            aversion: self.full_int(AVERSION),
            owner: self.owner(),
        }
    }

    /// As a client sees it.
    // ZooKeeper: DataNode.copyStat
    pub(super) fn stat(self) -> Stat {
        let children = self.child_count() as i32;
        Stat {
            czxid: Zxid(self.long(CZXID)),
            mzxid: Zxid(self.long(MZXID)),
            ctime_ms: self.long(CTIME),
            mtime_ms: self.long(MTIME),
            version: self.int(VERSION),
            cversion: self.cversion().wrapping_mul(2).wrapping_sub(children),
            aversion: self.full_int(AVERSION),
            ephemeral_owner: self.owner().session(),
            data_length: self.data_len() as i32,
            num_children: children,
            pzxid: self.pzxid(),
        }
    }

    pub(super) fn pzxid(self) -> Zxid {
        Zxid(self.long(if self.is_full { PZXID } else { CZXID }))
    }

    pub(super) fn cversion(self) -> i32 {
        self.full_int(CVERSION)
    }

    pub(super) fn owner(self) -> Owner {
        if self.is_full { Owner::from_raw(self.long(OWNER)) } else { Owner::None }
    }

    pub(super) fn child_count(self) -> u32 {
        self.full_int(CHILD_COUNT) as u32
    }

    pub(super) fn descendants(self) -> u64 {
        if self.is_full { u64_at(self.bytes, DESCENDANTS) } else { 0 }
    }

    pub(super) fn crc(self) -> u32 {
        u32_at(self.bytes, CRC)
    }

    /// What the node adds to the tree's digest when its path is counted.
    pub(super) fn digest(self) -> u64 {
        digest::node(self.crc(), &self.persisted())
    }

    /// The map of the children.
    pub(super) fn children(self) -> &'a Link {
        const NO_CHILDREN: &Link = &Link::NONE;
        if !self.is_full {
            return NO_CHILDREN;
        }
        // SAFETY: a link by the layout of full nodes.
        unsafe { Link::at(self.bytes, CHILDREN) }
    }

    /// Address of the access list, 0 for the open one.
    pub(super) fn acl_word(self) -> u64 {
        u64_at(self.bytes, ACL)
    }

    pub(super) fn acl(self) -> AclList<'a> {
        // SAFETY: written as the address of a list that the ACL table of every state with this
        // node keeps; `acls` counts the nodes that use it.
        let list = unsafe { Link::at(self.bytes, ACL) };
        AclList::new(list.block().map_or(acl::OPEN, bytes::content))
    }

    /// 0 when null.
    pub(super) fn data_len(self) -> usize {
        match u32_at(self.bytes, LENGTH) {
            NULL => 0,
            length => length as usize,
        }
    }

    fn data_at(self) -> usize {
        data_at(self.is_full, self.data_len())
    }

    /// The link to data that stands outside.
    pub(super) fn outside(self) -> Option<&'a Link> {
        if self.data_len() <= INLINE_MAX {
            return None;
        }
        // SAFETY: longer data is a link by the layout of both kinds.
        Some(unsafe { Link::at(self.bytes, self.data_at()) })
    }

    pub(super) fn data(self) -> Option<&'a [u8]> {
        if u32_at(self.bytes, LENGTH) == NULL {
            return None;
        }
        if let Some(outside) = self.outside() {
            // Whoever asks will read it.
            outside.prefetch(self.data_len().min(PREFETCHED_BYTES));
            return outside.block().map(bytes::content);
        }
        let at = self.data_at();
        Some(&self.bytes[at..at + self.data_len()])
    }
}

impl<'a> ZnodeMut<'a> {
    fn new(block: BlockMut<'a>, is_full: bool) -> Self {
        // SAFETY: the setters below write no header and no link except by `into_children`.
        Self { bytes: unsafe { block.into_bytes() }, is_full }
    }

    fn put_long(&mut self, at: usize, value: i64) {
        put_u64(self.bytes, at, value as u64);
    }

    fn put_full(&mut self, at: usize, value: u32) {
        assert!(self.is_full, "a plain node has no field at {at}");
        put_u32(self.bytes, at, value);
    }

    pub(super) fn set_changed(&mut self, version: i32, mzxid: Zxid, mtime_ms: i64) {
        put_u32(self.bytes, VERSION, version as u32);
        self.put_long(MZXID, mzxid.0);
        self.put_long(MTIME, mtime_ms);
    }

    pub(super) fn set_acl(&mut self, acl: u64, aversion: i32) {
        put_u64(self.bytes, ACL, acl);
        self.put_full(AVERSION, aversion as u32);
    }

    pub(super) fn set_pzxid(&mut self, pzxid: Zxid) {
        assert!(self.is_full, "the pzxid of a plain node is its czxid");
        self.put_long(PZXID, pzxid.0);
    }

    pub(super) fn set_cversion(&mut self, cversion: i32) {
        self.put_full(CVERSION, cversion as u32);
    }

    pub(super) fn set_child_count(&mut self, count: u32) {
        self.put_full(CHILD_COUNT, count);
    }

    pub(super) fn set_descendants(&mut self, count: u64) {
        assert!(self.is_full, "a plain node has no children");
        put_u64(self.bytes, DESCENDANTS, count);
    }

    pub(super) fn into_children(self) -> &'a mut Link {
        assert!(self.is_full, "a plain node has no children");
        // SAFETY: a link by the layout of full nodes.
        unsafe { Link::at_mut(self.bytes, CHILDREN) }
    }
}

/// A new node.
pub(super) fn create(arena: &mut Arena, seed: &Seed<'_>) -> Link {
    let stat = &seed.stat;
    let is_full = seed.is_parent
        || stat.pzxid != stat.czxid
        || stat.cversion != 0
        || stat.aversion != 0
        || stat.owner != Owner::None;
    let mut head = [0; FULL_END];
    put_u64(&mut head, CZXID, stat.czxid.0 as u64);
    put_u64(&mut head, MZXID, stat.mzxid.0 as u64);
    put_u64(&mut head, CTIME, stat.ctime_ms as u64);
    put_u64(&mut head, MTIME, stat.mtime_ms as u64);
    put_u64(&mut head, ACL, seed.acl);
    put_u32(&mut head, VERSION, stat.version as u32);
    if is_full {
        put_u64(&mut head, PZXID, stat.pzxid.0 as u64);
        put_u64(&mut head, OWNER, stat.owner.to_raw() as u64);
        put_u32(&mut head, CVERSION, stat.cversion as u32);
        put_u32(&mut head, AVERSION, stat.aversion as u32);
    }
    assemble(arena, head, is_full, seed.data, seed.crc)
}

/// Write access to a node, as it is.
pub(super) fn own<'a>(heap: &mut Heap, link: &'a mut Link) -> ZnodeMut<'a> {
    let is_full = read(link).is_full;
    ZnodeMut::new(heap.own(link), is_full)
}

/// Write access to a node that has all fields afterwards.
pub(super) fn own_full<'a>(heap: &mut Heap, link: &'a mut Link) -> ZnodeMut<'a> {
    let node = read(link);
    if !node.is_full {
        let mut head = [0; FULL_END];
        head[..PLAIN_END].copy_from_slice(&node.bytes[..PLAIN_END]);
        put_u64(&mut head, PZXID, node.pzxid().0 as u64);
        let new = match node.outside() {
            None => assemble(heap.arena(), head, true, node.data(), node.crc()),
            Some(outside) => {
                // SAFETY: the new block takes the place of the one that this link is in.
                let outside = unsafe { outside.duplicate() };
                enclose(heap.arena(), head, true, outside)
            }
        };
        heap.replace(link, new);
    }
    own(heap, link)
}

/// Gives a node other data. `crc` is the digest's prefix for it.
pub(super) fn set_data(heap: &mut Heap, link: &mut Link, data: Option<&[u8]>, crc: u32) {
    let node = read(link);
    let (is_full, old_len) = (node.is_full, node.data_len());
    let len = data.map_or(0, <[u8]>::len);
    let fits = size_of(is_full, len) == node.bytes.len() && len <= INLINE_MAX;
    if fits && old_len <= INLINE_MAX && heap.owns(link) {
        let at = data_at(is_full, len);
        let bytes = ZnodeMut::new(heap.own(link), is_full).bytes;
        bytes[at..at + len].copy_from_slice(data.unwrap_or_default());
        put_u32(bytes, LENGTH, data.map_or(NULL, |_| len as u32));
        put_u32(bytes, CRC, crc);
        return;
    }
    let mut head = [0; FULL_END];
    let end = if is_full { FULL_END } else { PLAIN_END };
    head[..end].copy_from_slice(&node.bytes[..end]);
    // SAFETY: discarded below, together with the block that it is in.
    let outside = node.outside().map(|outside| unsafe { outside.duplicate() });
    let new = assemble(heap.arena(), head, is_full, data, crc);
    heap.replace(link, new);
    if let Some(outside) = outside {
        heap.discard(outside);
    }
}

/// Lets go of a childless node that has been taken out of its parent.
pub(super) fn discard(heap: &mut Heap, link: Link) {
    // SAFETY: discarded here, together with the block that it is in.
    let outside = read(&link).outside().map(|outside| unsafe { outside.duplicate() });
    if let Some(outside) = outside {
        heap.discard(outside);
    }
    heap.discard(link);
}

/// The node behind a link that is not none.
pub(super) fn read(link: &Link) -> Znode<'_> {
    Znode::new(link.block().expect("every name of a directory leads to a node"))
}

fn assemble(
    arena: &mut Arena,
    mut head: [u8; FULL_END],
    is_full: bool,
    data: Option<&[u8]>,
    crc: u32,
) -> Link {
    let len = data.map_or(0, <[u8]>::len);
    assert!(len < NULL as usize, "data of {len} bytes");
    put_u32(&mut head, LENGTH, data.map_or(NULL, |_| len as u32));
    put_u32(&mut head, CRC, crc);
    let data = data.unwrap_or_default();
    if len > INLINE_MAX {
        let outside = bytes::create(arena, data);
        return enclose(arena, head, is_full, outside);
    }
    let at = data_at(is_full, len);
    arena.allocate(kind(is_full), size_of(is_full, len), [&head[8..at], data])
}

/// A node around data that stands outside.
fn enclose(arena: &mut Arena, head: [u8; FULL_END], is_full: bool, outside: Link) -> Link {
    let at = data_at(is_full, INLINE_MAX + 1);
    let mut start = [0; FULL_END.next_multiple_of(8) + 8];
    start[..at.min(FULL_END)].copy_from_slice(&head[..at.min(FULL_END)]);
    put_u64(&mut start, at, outside.address());
    arena.allocate(kind(is_full), size_of(is_full, INLINE_MAX + 1), [&start[8..at + 8], &[]])
}

const fn kind(is_full: bool) -> Kind {
    if is_full { Kind::Full } else { Kind::Plain }
}

/// Where data, or the link to it, begins.
const fn data_at(is_full: bool, len: usize) -> usize {
    let end = if is_full { FULL_END } else { PLAIN_END };
    if len > INLINE_MAX { end.next_multiple_of(8) } else { end }
}

const fn size_of(is_full: bool, len: usize) -> usize {
    let inside = if len > INLINE_MAX { 8 } else { len };
    (data_at(is_full, len) + inside).next_multiple_of(super::block::GRAIN)
}
