//! The tree in Apache's form: what follows a SNAP packet, and the body of its snapshot files.
//!
//! ```text
//! i32 sessions, each  i64 id, i32 timeout
//! i32 lists, each     i64 id (from 1), vector<ACL>
//! nodes, each         ustring path, buffer data, i64 list (-1: open), 60 bytes of stat
//! ustring "/"         the end
//! ```
//!
//! Nodes come parents first, the root under the empty path. Written from a held root it is exact
//! at one zxid; Apache's own streams are not, and what arrives behind them is applied again.
//!
//! The [`Receiver`] takes bytes as they come from a peer, who is not trusted: it keeps what makes
//! no whole record yet, and builds a tree aside when the end has come. Nothing it holds is larger
//! than what was received.
//!
//! Facts: ZooKeeper `SerializeUtils.serializeSnapshot`, `DataTree.serialize`, `DataNode`; spec
//! disk-formats section 3.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use menagerie_wire::data::Acl;
use menagerie_wire::jute::{Put, Reader, jute_len};
use menagerie_wire::{JuteError, SessionId, Zxid};
use thiserror::Error;

use crate::tree::bulk::{Lists, Loader, Record, Section};
use crate::tree::{BulkError, Owner, StatPersisted, Tree, View};

/// What stands for an open list.
const OPEN_LIST: i64 = -1;
/// The end of the nodes.
const END: &str = "/";
/// Bytes handed to the sink at once.
const PIECE_BYTES: usize = 64 << 10;

/// Why a stream makes no tree. All of these are the peer's fault.
#[derive(Debug, Error)]
pub enum StreamError {
    #[error("a record of the snapshot stream is malformed: {0}")]
    Jute(#[from] JuteError),
    #[error("a record of the snapshot stream has {bytes} bytes, above the limit of {bytes_max}")]
    Large { bytes: usize, bytes_max: usize },
    #[error("the snapshot stream names {0}")]
    List(&'static str),
    #[error("the nodes of the snapshot stream make no tree: {0}")]
    Tree(#[from] BulkError),
}

/// Writes the tree to `sink` in pieces.
///
/// # Errors
/// The sink's, which ends the writing.
pub fn write<E>(view: View<'_>, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut out = Vec::with_capacity(2 * PIECE_BYTES);
    out.put_int(jute_len(usize::try_from(view.session_count()).unwrap_or(usize::MAX)));
    for session in view.sessions() {
        out.put_long(session.id().0);
        out.put_int(session.timeout_ms());
    }
    let ids: BTreeMap<&[u8], i64> = view.access_lists().zip(1..).collect();
    out.put_int(jute_len(ids.len()));
    for (list, id) in view.access_lists().zip(1i64..) {
        out.put_long(id);
        out.extend_from_slice(list);
    }
    let mut path = String::new();
    let Some(root) = view.node("/") else { unreachable!("every tree has a root") };
    put_node(&mut out, "", root, &ids);
    let mut open = vec![(root.children(), 0)];
    while let Some((children, path_len)) = open.last_mut() {
        path.truncate(*path_len);
        let Some((name, node)) = children.next() else {
            open.pop();
            continue;
        };
        path.push('/');
        path.push_str(name);
        put_node(&mut out, &path, node, &ids);
        if node.child_count() > 0 {
            open.push((node.children(), path.len()));
        }
        if out.len() >= PIECE_BYTES {
            sink(&out)?;
            out.clear();
        }
    }
    out.put_string(END);
    sink(&out)
}

fn put_node(
    out: &mut Vec<u8>,
    path: &str,
    node: crate::tree::Node<'_>,
    ids: &BTreeMap<&[u8], i64>,
) {
    out.put_string(path);
    out.put_buffer(node.data());
    let acl = node.acl();
    let listed = if acl.is_world_all() { None } else { ids.get(acl.jute()).copied() };
    out.put_long(listed.unwrap_or(OPEN_LIST));
    let stat = node.persisted();
    out.put_long(stat.czxid.0);
    out.put_long(stat.mzxid.0);
    out.put_long(stat.ctime_ms);
    out.put_long(stat.mtime_ms);
    out.put_int(stat.version);
    out.put_int(stat.cversion);
    out.put_int(stat.aversion);
    out.put_long(stat.owner.to_raw());
    out.put_long(stat.pzxid.0);
}

/// A node as it was received.
struct Received {
    /// Slashes as 0, so that the order of bytes is the order of the tree.
    key: Box<[u8]>,
    data: Option<Box<[u8]>>,
    list: i64,
    stat: StatPersisted,
}

/// How far a stream has come: how many records of a part are still to come.
enum Part {
    Begin,
    Sessions(usize),
    Lists(usize),
    Nodes,
    End,
}

/// Takes a stream as it arrives.
pub struct Receiver {
    part: Part,
    /// Received, and no whole record yet.
    rest: Vec<u8>,
    record_bytes_max: usize,
    sessions: Vec<(SessionId, i32)>,
    /// Encoded lists by their ids.
    lists: BTreeMap<i64, Vec<u8>>,
    nodes: Vec<Received>,
}

impl Receiver {
    /// `record_bytes_max` bounds one record: a node with its data, or an access list.
    pub const fn new(record_bytes_max: usize) -> Self {
        Self {
            part: Part::Begin,
            rest: Vec::new(),
            record_bytes_max,
            sessions: Vec::new(),
            lists: BTreeMap::new(),
            nodes: Vec::new(),
        }
    }

    /// Takes more bytes. `Some` is what came behind the end of the stream; so it stays.
    ///
    /// # Errors
    /// When the stream is malformed; the receiver must not be used any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, StreamError> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut reader = Reader::new(&rest);
        let left = loop {
            if matches!(self.part, Part::End) {
                return Ok(Some(reader.rest().to_vec()));
            }
            let left = reader.rest().len();
            match self.record(&mut reader) {
                Ok(()) => {}
                Err(StreamError::Jute(JuteError::Short { .. })) => break left,
                Err(error) => return Err(error),
            }
        };
        if left > self.record_bytes_max {
            return Err(StreamError::Large { bytes: left, bytes_max: self.record_bytes_max });
        }
        // In place: a peer that sends byte by byte must not have all of it copied each time.
        rest.drain(..rest.len() - left);
        self.rest = rest;
        Ok(None)
    }

    /// Takes one record, whole or not at all.
    fn record(&mut self, reader: &mut Reader<'_>) -> Result<(), StreamError> {
        match self.part {
            Part::Begin => {
                let count = reader.count()?.unwrap_or(0);
                self.part = Part::Sessions(count);
            }
            Part::Sessions(0) => {
                let count = reader.count()?.unwrap_or(0);
                self.part = Part::Lists(count);
            }
            Part::Sessions(left) => {
                self.sessions.push((SessionId(reader.long()?), reader.int()?));
                self.part = Part::Sessions(left - 1);
            }
            Part::Lists(0) => self.part = Part::Nodes,
            Part::Lists(left) => {
                let id = reader.long()?;
                let start = reader.rest();
                reader.vector::<Acl<'_>>()?;
                let list = &start[..start.len() - reader.rest().len()];
                if self.lists.insert(id, list.to_vec()).is_some() {
                    return Err(StreamError::List("an access list twice"));
                }
                self.part = Part::Lists(left - 1);
            }
            Part::Nodes => {
                let path = reader.string()?;
                if path == END {
                    self.part = Part::End;
                    return Ok(());
                }
                let key = path.bytes().map(|b| if b == b'/' { 0 } else { b }).collect();
                let data = reader.buffer()?;
                let list = reader.long()?;
                let stat = stat(reader)?;
                self.nodes.push(Received { key, data: data.map(Box::from), list, stat });
            }
            Part::End => {}
        }
        Ok(())
    }

    /// The tree, which is at `zxid` by the SNAP packet's word.
    ///
    /// # Errors
    /// When the nodes make no tree: no root, a node without its parent, a list that was not given.
    pub fn finish(mut self, zxid: Zxid) -> Result<Tree, StreamError> {
        self.nodes.sort_by(|a, b| a.key.cmp(&b.key));
        // Ids by the place of their list among those that are not the open one.
        let mut distinct: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut place = BTreeMap::from([(OPEN_LIST, None)]);
        for (&id, list) in &self.lists {
            let open = list == crate::tree::OPEN_ACL;
            let next = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
            place.insert(id, (!open).then(|| *distinct.entry(list).or_insert(next)));
        }
        let mut in_order: Vec<_> = distinct.iter().map(|(list, place)| (*place, *list)).collect();
        in_order.sort_unstable();
        let lists = Lists::new(in_order.into_iter().map(|(_, list)| list))?;
        let mut section = Section::new("", self.nodes.len());
        for node in &self.nodes {
            let acl = place.get(&node.list).ok_or(StreamError::List("a list that it lacks"))?;
            let (depth, name) = place_of(&node.key)?;
            let (stat, data) = (node.stat, node.data.as_deref());
            section.push(&lists, &Record { depth, name, stat, data, acl: *acl })?;
        }
        let mut loader = Loader::new();
        loader.join(section)?;
        Ok(loader.finish(lists, self.sessions.into_iter(), zxid)?)
    }
}

/// Depth and name of the node with this key; the root's is empty.
fn place_of(key: &[u8]) -> Result<(usize, &str), BulkError> {
    let depth = key.iter().filter(|byte| **byte == 0).count();
    let name = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    Ok((depth, str::from_utf8(name).map_err(|_| BulkError::Name)?))
}

fn stat(reader: &mut Reader<'_>) -> Result<StatPersisted, JuteError> {
    Ok(StatPersisted {
        czxid: Zxid(reader.long()?),
        mzxid: Zxid(reader.long()?),
        ctime_ms: reader.long()?,
        mtime_ms: reader.long()?,
        version: reader.int()?,
        cversion: reader.int()?,
        aversion: reader.int()?,
        owner: Owner::from_raw(reader.long()?),
        pzxid: Zxid(reader.long()?),
    })
}

#[cfg(test)]
mod tests {
    use menagerie_wire::data::Acl;

    use super::*;
    use crate::tree::NewNode;

    fn sample() -> Tree {
        let mut tree = Tree::new();
        let open = [Acl::world(31)];
        let hers = [Acl::new(31, "digest", "joe:hash")];
        let mut add = |path: &str, data: Option<&[u8]>, acl: &[Acl<'_>], owner| {
            let node = NewNode { data, acl, owner, czxid: Zxid(7), ctime_ms: 5 };
            tree.insert(path, node, 1, Zxid(7)).unwrap();
        };
        add("/a", Some(b"x"), &open, Owner::None);
        add("/a-b", None, &hers, Owner::Container);
        add("/a/b", Some(b""), &hers, Owner::Session(SessionId(9)));
        add("/a/b2", Some(&[7; 3000]), &open, Owner::Ttl { ttl_ms: 4 });
        add("/ünï", None, &open, Owner::None);
        tree.open_session(SessionId(9), 4_000);
        tree.advance(Zxid(8));
        tree
    }

    fn bytes(tree: &Tree) -> Vec<u8> {
        let mut out = Vec::new();
        let sink = |piece: &[u8]| {
            out.extend_from_slice(piece);
            Ok::<(), std::convert::Infallible>(())
        };
        write(tree.view(), sink).unwrap();
        out
    }

    fn read(stream: &[u8], step: usize) -> Result<Tree, StreamError> {
        let mut receiver = Receiver::new(1 << 20);
        let mut behind = None;
        for piece in stream.chunks(step) {
            assert_eq!(behind, None, "the end came before the last piece");
            behind = receiver.push(piece)?;
        }
        assert_eq!(behind, Some(Vec::new()), "the end did not come");
        receiver.finish(Zxid(8))
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let tree = sample();
        let stream = bytes(&tree);
        for step in [1, 7, 64, stream.len()] {
            let copy = read(&stream, step).unwrap();
            assert_eq!(copy.view().digest(), tree.view().digest());
            assert_eq!(bytes(&copy), stream, "in pieces of {step}");
        }
    }

    #[test]
    fn what_comes_behind_the_end_is_given_back() {
        let mut stream = bytes(&sample());
        stream.extend_from_slice(b"\0\0\0\x0aBenWasHere");
        let behind = Receiver::new(1 << 20).push(&stream).unwrap();
        assert_eq!(behind.as_deref(), Some(&b"\0\0\0\x0aBenWasHere"[..]));
    }

    #[test]
    fn behind_its_end_a_receiver_takes_nothing_more() {
        let mut receiver = Receiver::new(1 << 20);
        assert_eq!(receiver.push(&bytes(&sample())).unwrap(), Some(Vec::new()));
        assert_eq!(receiver.push(b"more").unwrap(), Some(b"more".to_vec()));
        assert!(receiver.finish(Zxid(8)).is_ok());
    }

    #[test]
    fn a_record_above_the_limit_is_refused_before_it_has_come() {
        let stream = bytes(&sample());
        let mut receiver = Receiver::new(1000);
        let refused = stream.chunks(100).find_map(|piece| receiver.push(piece).err());
        assert!(matches!(refused, Some(StreamError::Large { bytes_max: 1000, .. })));
    }

    #[test]
    fn a_node_without_its_parent_or_its_list_makes_no_tree() {
        let node = |path: &str, list: i64| {
            let mut out = Vec::new();
            out.put_string(path);
            out.put_buffer(None);
            out.put_long(list);
            out.extend_from_slice(&[0; 60]);
            out
        };
        let stream = |nodes: &[Vec<u8>]| [&[0; 8], &*nodes.concat(), b"\0\0\0\x01/"].concat();
        let root = node("", OPEN_LIST);
        assert!(read(&stream(&[root.clone(), node("/a", OPEN_LIST)]), 9).is_ok());
        assert!(read(&stream(&[node("/a", OPEN_LIST)]), 9).is_err());
        assert!(read(&stream(&[root.clone(), node("/a/b", OPEN_LIST)]), 9).is_err());
        assert!(read(&stream(&[root.clone(), node("a", OPEN_LIST)]), 9).is_err());
        let listless = read(&stream(&[root, node("/a", 5)]), 9);
        assert!(matches!(listless, Err(StreamError::List(_))));
    }
}
