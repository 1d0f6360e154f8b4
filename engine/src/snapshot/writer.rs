//! Writing a snapshot of a held root, while the writer of the tree goes on.
//!
//! The file gets its final name only when all of it is durable. Memory is one chunk and its
//! archive, whatever the size of the tree; nothing here recurses, however deep the tree is.
#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::Zxid;

use super::chunk::{CHUNK_BYTES, Fill, ListChunk, NodeChunk, SessionChunk};
use super::frame::{ALIGNMENT, FOOTER_BYTES, Footer, Frame, Header};
use super::paced::{Interrupted, Pace, PacedFile};
use super::{SnapshotError, io_error};
use crate::disk::{Access, Disk, DiskFile};
use crate::recovery::{snapshot_file_name, unfinished_snapshot_file_name};
use crate::tree::{Node, Root, View};

/// A snapshot that is complete and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    pub zxid: Zxid,
    pub bytes: u64,
    pub nodes: u64,
    pub sessions: u64,
}

/// Writes `root` into `directory`. A snapshot of the same zxid is replaced; setting `stop` ends
/// the writing within milliseconds, and nothing remains of it.
pub fn write(
    root: &Root,
    directory: &Path,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<Written, SnapshotError> {
    let unfinished = unfinished_snapshot_file_name(root.last_zxid());
    write_as(root, directory, &unfinished, pace, stop)
}

/// As [`write`], under this name until it is complete.
pub(super) fn write_as(
    root: &Root,
    directory: &Path,
    unfinished: &str,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<Written, SnapshotError> {
    write_chunks(root, directory, unfinished, pace, stop, CHUNK_BYTES)
}

pub(super) fn write_chunks(
    root: &Root,
    directory: &Path,
    unfinished: &str,
    pace: Pace,
    stop: &AtomicBool,
    chunk_bytes: usize,
) -> Result<Written, SnapshotError> {
    let zxid = root.last_zxid();
    let path = directory.join(snapshot_file_name(zxid));
    let unfinished = directory.join(unfinished);
    let file = File::create(&unfinished).map_err(io_error("create", &unfinished))?;
    let file = PacedFile::new(file, pace, stop);
    let out = Output { file, path: &unfinished, chunk_bytes, chunks: 0, frames_crc: 0 };
    let result = write_all(root.view(), out).and_then(|bytes| {
        fs::rename(&unfinished, &path).map_err(io_error("rename", &unfinished))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("sync", directory))?;
        Ok(bytes)
    });
    let view = root.view();
    match result {
        Ok(bytes) => Ok(Written {
            path,
            zxid,
            bytes,
            nodes: view.node_count(),
            sessions: view.session_count(),
        }),
        Err(error) => {
            // What remains is removed at the next start if it cannot be removed now.
            let _ = fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

/// As [`write_as`], without a pace, on any disk.
pub(super) fn write_on<D: Disk>(
    disk: &D,
    root: &Root,
    unfinished: &str,
) -> Result<(), SnapshotError> {
    let path = Path::new(unfinished);
    let file = disk.create(unfinished, Access::Write).map_err(io_error("create", path))?;
    let file = PlainFile { file, written: 0 };
    let out = Output { file, path, chunk_bytes: CHUNK_BYTES, chunks: 0, frames_crc: 0 };
    write_all(root.view(), out)?;
    disk.rename(unfinished, &snapshot_file_name(root.last_zxid()))
        .and_then(|()| disk.sync_directory())
        .map_err(io_error("rename", path))
}

fn write_all(view: View<'_>, mut out: Output<'_, impl Sink>) -> Result<u64, SnapshotError> {
    let header = Header {
        zxid: view.last_zxid(),
        digest: view.digest(),
        nodes: view.node_count(),
        sessions: view.session_count(),
    };
    out.bytes(&header.encode())?;

    let mut lists = Chunks::<ListChunk>::default();
    let mut index = BTreeMap::new();
    for (i, list) in view.access_lists().enumerate() {
        index.insert(list, i as u32);
        lists.fill(&mut out)?.push(list);
    }
    lists.finish(&mut out)?;

    let mut sessions = Chunks::<SessionChunk>::default();
    for session in view.sessions() {
        sessions.fill(&mut out)?.push(session.id(), session.timeout_ms());
    }
    sessions.finish(&mut out)?;

    write_nodes(view, &index, &mut out)?;
    out.finish(&header)
}

/// All nodes, depth first, children by name.
fn write_nodes<'v>(
    view: View<'v>,
    lists: &BTreeMap<&[u8], u32>,
    out: &mut Output<'_, impl Sink>,
) -> Result<(), SnapshotError> {
    let mut nodes = Chunks::<NodeChunk>::default();
    let list_of = |node: Node<'_>| {
        if node.acl().is_world_all() { None } else { lists.get(node.acl().jute()).copied() }
    };
    let root = view.node("/").expect("every tree has a root");
    nodes.fill(out)?.push(0, "", "", root, list_of(root));

    // The way to the node whose children are written, and where its path ends.
    let mut path = String::new();
    let mut open = vec![(root.children(), 0)];
    while let Some((children, path_len)) = open.last_mut() {
        path.truncate(*path_len);
        let Some((name, node)) = children.next() else {
            open.pop();
            continue;
        };
        let depth = open.len();
        nodes.fill(out)?.push(depth, &path, name, node, list_of(node));
        if node.child_count() > 0 {
            path.push('/');
            path.push_str(name);
            open.push((node.children(), path.len()));
        }
    }
    nodes.finish(out)
}

/// The chunk of one kind that is being filled.
#[derive(Default)]
struct Chunks<C> {
    chunk: C,
    is_begun: bool,
}

impl<C: Fill> Chunks<C> {
    /// The chunk that takes one thing more.
    fn fill(&mut self, out: &mut Output<'_, impl Sink>) -> Result<&mut C, SnapshotError> {
        if self.chunk.size() >= out.chunk_bytes {
            out.chunk(&std::mem::take(&mut self.chunk))?;
        }
        self.is_begun = true;
        Ok(&mut self.chunk)
    }

    fn finish(self, out: &mut Output<'_, impl Sink>) -> Result<(), SnapshotError> {
        if self.is_begun { out.chunk(&self.chunk) } else { Ok(()) }
    }
}

/// A file that is written from its beginning.
trait Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted>;
    fn written(&self) -> u64;
    /// Makes the whole file durable; its length.
    fn finish(self) -> io::Result<u64>;
}

impl Sink for PacedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        PacedFile::write(self, bytes)
    }

    fn written(&self) -> u64 {
        PacedFile::written(self)
    }

    fn finish(self) -> io::Result<u64> {
        PacedFile::finish(self)
    }
}

struct PlainFile<F> {
    file: F,
    written: u64,
}

impl<F: DiskFile> Sink for PlainFile<F> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        self.file.write_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn finish(self) -> io::Result<u64> {
        if !flaws::has(Flaw::SnapshotNotSynced) {
            self.file.sync()?;
        }
        Ok(self.written)
    }
}

/// The file, and what its footer will say.
struct Output<'a, S> {
    file: S,
    path: &'a Path,
    /// A chunk is written when it has grown to this.
    chunk_bytes: usize,
    chunks: u64,
    frames_crc: u32,
}

impl<S: Sink> Output<'_, S> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write(bytes).map_err(|interrupted| match interrupted {
            Interrupted::Stopped => SnapshotError::Stopped,
            Interrupted::Io(source) => io_error("write", self.path)(source),
        })
    }

    fn chunk<C: Fill>(&mut self, chunk: &C) -> Result<(), SnapshotError> {
        let archive = chunk.archive().expect("memory is all that archiving needs");
        let len = u32::try_from(archive.len()).expect("chunks are far below 4 GiB");
        let crc = crc32c::crc32c(&archive);
        let frame = Frame { kind: C::KIND, len, crc }.encode();
        self.frames_crc = crc32c::crc32c_append(self.frames_crc, &frame);
        self.chunks += 1;
        self.bytes(&frame)?;
        self.bytes(&archive)?;
        let padding = archive.len().next_multiple_of(ALIGNMENT) - archive.len();
        self.bytes(&[0; ALIGNMENT][..padding])
    }

    fn finish(mut self, header: &Header) -> Result<u64, SnapshotError> {
        let footer = Footer {
            chunks: self.chunks,
            file_bytes: self.file.written() + FOOTER_BYTES as u64,
            zxid: header.zxid,
            digest: header.digest,
            frames_crc: self.frames_crc,
        };
        self.bytes(&footer.encode())?;
        self.file.finish().map_err(io_error("sync", self.path))
    }
}
