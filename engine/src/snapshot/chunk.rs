//! What a chunk holds: many small things of one kind, as heads of fixed size and one run of bytes.
//!
//! A string per node would mean a pointer per node to write and to validate. Here the archive has
//! one vector of numbers and one of bytes, and the lengths in the heads say how the bytes are cut.
#![deny(unsafe_code)]

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Serialize};

use menagerie_wire::{SessionId, Zxid};

use super::ChunkFault;
use crate::tree::bulk::{BulkError, Lists, Record, Section};
use crate::tree::{Node, Owner, StatPersisted};

/// How large chunks get: one may exceed it by its last node.
pub(super) const CHUNK_BYTES: usize = 8 << 20;
const _: () = assert!(CHUNK_BYTES <= 64 << 20, "chunks are small beside the offsets of rkyv");

pub(super) const LISTS: u32 = 1;
pub(super) const SESSIONS: u32 = 2;
pub(super) const NODES: u32 = 3;

const NULL: u32 = u32::MAX;
const OPEN_LIST: u32 = u32::MAX;

/// Access lists, encoded.
#[derive(Archive, Serialize, Default)]
pub(super) struct ListChunk {
    lens: Vec<u32>,
    bytes: Vec<u8>,
}

#[derive(Archive, Serialize, Default)]
pub(super) struct SessionChunk {
    sessions: Vec<SessionHead>,
}

#[derive(Archive, Serialize)]
struct SessionHead {
    id: i64,
    timeout_ms: i32,
    reserved: u32,
}

/// Nodes, depth first: for each its name and then its data among the bytes.
#[derive(Archive, Serialize, Default)]
pub(super) struct NodeChunk {
    /// Path of what the first node stands in; empty for root and top level.
    base: String,
    heads: Vec<NodeHead>,
    bytes: Vec<u8>,
}

#[derive(Archive, Serialize)]
struct NodeHead {
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    owner: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    /// 0 for the root.
    depth: u32,
    name_len: u32,
    /// `NULL` for null.
    data_len: u32,
    /// Index of the list over all list chunks.
    acl: u32,
    reserved: u32,
}

/// A chunk that is filled for writing.
pub(super) trait Fill: Default {
    const KIND: u32;
    /// Bytes that its archive will have, nearly.
    fn size(&self) -> usize;
    fn archive(&self) -> Result<AlignedVec, Failure>;
}

impl Fill for ListChunk {
    const KIND: u32 = LISTS;

    fn size(&self) -> usize {
        self.bytes.len() + 4 * self.lens.len()
    }

    fn archive(&self) -> Result<AlignedVec, Failure> {
        rkyv::to_bytes(self)
    }
}

impl Fill for SessionChunk {
    const KIND: u32 = SESSIONS;

    fn size(&self) -> usize {
        size_of::<ArchivedSessionHead>() * self.sessions.len()
    }

    fn archive(&self) -> Result<AlignedVec, Failure> {
        rkyv::to_bytes(self)
    }
}

impl Fill for NodeChunk {
    const KIND: u32 = NODES;

    fn size(&self) -> usize {
        self.bytes.len() + size_of::<ArchivedNodeHead>() * self.heads.len()
    }

    fn archive(&self) -> Result<AlignedVec, Failure> {
        rkyv::to_bytes(self)
    }
}

impl ListChunk {
    pub(super) fn push(&mut self, jute: &[u8]) {
        self.lens.push(jute.len() as u32);
        self.bytes.extend_from_slice(jute);
    }
}

impl SessionChunk {
    pub(super) fn push(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.push(SessionHead { id: id.0, timeout_ms, reserved: 0 });
    }
}

impl NodeChunk {
    /// `above` is the path of the parent.
    pub(super) fn push(
        &mut self,
        depth: usize,
        above: &str,
        name: &str,
        node: Node<'_>,
        acl: Option<u32>,
    ) {
        if self.heads.is_empty() {
            above.clone_into(&mut self.base);
        }
        let stat = node.persisted();
        let data = node.data();
        self.heads.push(NodeHead {
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            pzxid: stat.pzxid.0,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            owner: stat.owner.to_raw(),
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            depth: depth as u32,
            name_len: name.len() as u32,
            data_len: data.map_or(NULL, |data| data.len() as u32),
            acl: acl.unwrap_or(OPEN_LIST),
            reserved: 0,
        });
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(data.unwrap_or_default());
    }
}

/// The lists of an archive whose checksum was right.
pub(super) fn read_lists(archive: &[u8]) -> Result<Vec<&[u8]>, ChunkFault> {
    let chunk =
        rkyv::access::<ArchivedListChunk, Failure>(archive).map_err(|_| ChunkFault::Archive)?;
    let mut bytes = &*chunk.bytes;
    let lists = chunk.lens.iter().map(|len| cut(&mut bytes, len.to_native()));
    let lists = lists.collect::<Result<_, _>>()?;
    if bytes.is_empty() { Ok(lists) } else { Err(ChunkFault::Lengths) }
}

/// The sessions of an archive whose checksum was right: id and timeout.
pub(super) fn read_sessions(archive: &[u8]) -> Result<Vec<(SessionId, i32)>, ChunkFault> {
    let chunk =
        rkyv::access::<ArchivedSessionChunk, Failure>(archive).map_err(|_| ChunkFault::Archive)?;
    let session =
        |head: &ArchivedSessionHead| (SessionId(head.id.to_native()), head.timeout_ms.to_native());
    Ok(chunk.sessions.iter().map(session).collect())
}

/// Makes the nodes of an archive whose checksum was right.
pub(super) fn read_nodes<'a>(archive: &'a [u8], lists: &Lists) -> Result<Section<'a>, ChunkFault> {
    let chunk =
        rkyv::access::<ArchivedNodeChunk, Failure>(archive).map_err(|_| ChunkFault::Archive)?;
    let mut bytes = &*chunk.bytes;
    // The heads are there, and each is longer than what the section keeps of it.
    let mut section = Section::new(&chunk.base, chunk.heads.len());
    for head in chunk.heads.iter() {
        let name = cut(&mut bytes, head.name_len.to_native())?;
        let data = match head.data_len.to_native() {
            NULL => None,
            len => Some(cut(&mut bytes, len)?),
        };
        let record = Record {
            depth: head.depth.to_native() as usize,
            name: std::str::from_utf8(name).map_err(|_| ChunkFault::Utf8)?,
            stat: head.stat(),
            data,
            acl: Some(head.acl.to_native()).filter(|acl| *acl != OPEN_LIST),
        };
        section.push(lists, &record)?;
    }
    if bytes.is_empty() { Ok(section) } else { Err(ChunkFault::Lengths) }
}

impl ArchivedNodeHead {
    fn stat(&self) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(self.czxid.to_native()),
            mzxid: Zxid(self.mzxid.to_native()),
            pzxid: Zxid(self.pzxid.to_native()),
            ctime_ms: self.ctime_ms.to_native(),
            mtime_ms: self.mtime_ms.to_native(),
            version: self.version.to_native(),
            cversion: self.cversion.to_native(),
            aversion: self.aversion.to_native(),
            owner: Owner::from_raw(self.owner.to_native()),
        }
    }
}

impl From<BulkError> for ChunkFault {
    fn from(error: BulkError) -> Self {
        Self::Node(error)
    }
}

fn cut<'a>(bytes: &mut &'a [u8], len: u32) -> Result<&'a [u8], ChunkFault> {
    let (head, tail) = bytes.split_at_checked(len as usize).ok_or(ChunkFault::Lengths)?;
    *bytes = tail;
    Ok(head)
}
