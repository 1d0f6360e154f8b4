//! Reading a snapshot: the file is mapped, checked chunk by chunk, and built into a tree.
//!
//! The mapping is a source, not a home: when [`load`] returns, it is gone. Nothing of a chunk is
//! used before its checksum is right and its archive is validated; no number from the file sizes
//! an allocation; what comes out has the digest and the counts that the file promised.
//!
//! The one unsafe call of this module is the mapping itself.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use memmap2::{Advice, Mmap};

use super::chunk::{self, LISTS, NODES, SESSIONS};
use super::frame::{ALIGNMENT, FOOTER_BYTES, FRAME_BYTES, Footer, Frame, HEADER_BYTES, Header};
use super::{ChunkFault, SnapshotError, io_error};
use crate::recovery::zxid_of_snapshot_file;
use crate::tree::Tree;
use crate::tree::bulk::{Lists, Loader, Section};

/// Sections that a thread may have ready before they are linked.
const READY_MAX: usize = 2;

/// Reads the snapshot at `path` on up to `threads` threads beside the caller's.
///
/// The file must not change meanwhile: the lock of the data directory sees to that.
pub fn load(path: &Path, threads: usize) -> Result<Tree, SnapshotError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    // SAFETY: the data directory is locked by this process, which does not change a snapshot that
    // has its final name.
    let mapping = unsafe { Mmap::map(&file) }.map_err(io_error("map", path))?;
    // Only a hint: reading goes on without it.
    let _ = mapping.advise(Advice::WillNeed);
    let tree = read(&mapping, threads)?;
    let found = tree.view().last_zxid();
    let named = path.file_name().and_then(|name| zxid_of_snapshot_file(name.to_str()?));
    match named {
        Some(named) if named != found => Err(SnapshotError::Name { named, found }),
        _ => Ok(tree),
    }
}

/// A chunk by its frame; its archive is not checked.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    index: usize,
    offset: usize,
    kind: u32,
    crc: u32,
    archive: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn fault(&self, fault: ChunkFault) -> SnapshotError {
        SnapshotError::Chunk { index: self.index, offset: self.offset, fault }
    }

    /// Hands the archive to `read` when its checksum is right.
    fn checked<T>(
        &self,
        read: impl FnOnce(&'a [u8]) -> Result<T, ChunkFault>,
    ) -> Result<T, SnapshotError> {
        let found = crc32c::crc32c(self.archive);
        if found != self.crc {
            return Err(self.fault(ChunkFault::Checksum { recorded: self.crc, found }));
        }
        read(self.archive).map_err(|fault| self.fault(fault))
    }
}

pub(super) fn read(bytes: &[u8], threads: usize) -> Result<Tree, SnapshotError> {
    let (header, chunks) = outline(bytes)?;
    let mut lists = Vec::new();
    let mut sessions = Vec::new();
    let mut nodes = Vec::new();
    for chunk in chunks {
        match chunk.kind {
            LISTS if sessions.is_empty() && nodes.is_empty() => {
                lists.append(&mut chunk.checked(chunk::read_lists)?);
            }
            SESSIONS if nodes.is_empty() => {
                sessions.append(&mut chunk.checked(chunk::read_sessions)?);
            }
            NODES => nodes.push(chunk),
            kind => return Err(chunk.fault(ChunkFault::Kind(kind))),
        }
    }
    let lists = Lists::new(lists.into_iter())?;
    let mut loader = Loader::new();
    build(&nodes, &lists, threads.clamp(1, nodes.len().max(1)), &mut loader)?;
    let tree = loader.finish(lists, sessions.into_iter(), header.zxid)?;
    agree(&header, &tree)?;
    Ok(tree)
}

/// Header, and chunks by their frames; the footer vouches for all of them.
fn outline(bytes: &[u8]) -> Result<(Header, Vec<Chunk<'_>>), SnapshotError> {
    let short = SnapshotError::Short { bytes: bytes.len() };
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(short);
    };
    let Some((body, footer)) = rest.split_last_chunk::<FOOTER_BYTES>() else {
        return Err(short);
    };
    let header = Header::decode(header)?;
    let footer = Footer::decode(footer)?;
    differs("length", footer.file_bytes, bytes.len() as u64)?;
    differs("zxid of the footer", header.zxid.0 as u64, footer.zxid.0 as u64)?;
    differs("digest of the footer", header.digest, footer.digest)?;

    let mut chunks = Vec::new();
    let mut frames_crc = 0;
    let mut at = 0;
    while at < body.len() {
        let (chunk, end) = chunk_at(body, at, chunks.len())?;
        frames_crc = crc32c::crc32c_append(frames_crc, &body[at..at + FRAME_BYTES]);
        chunks.push(chunk);
        at = end;
    }
    differs("number of chunks", footer.chunks, chunks.len() as u64)?;
    differs("checksum of the frames", footer.frames_crc.into(), frames_crc.into())?;
    Ok((header, chunks))
}

/// The chunk whose frame is at `at`, and where the next one begins.
fn chunk_at(body: &[u8], at: usize, index: usize) -> Result<(Chunk<'_>, usize), SnapshotError> {
    let offset = HEADER_BYTES + at;
    let fault = |fault| SnapshotError::Chunk { index, offset, fault };
    let rest = &body[at..];
    let frame = rest.first_chunk::<FRAME_BYTES>().ok_or_else(|| fault(ChunkFault::Length))?;
    let Frame { kind, len, crc } = Frame::decode(frame).map_err(fault)?;
    let len = len as usize;
    let end = FRAME_BYTES + len.next_multiple_of(ALIGNMENT);
    if end > rest.len() {
        return Err(fault(ChunkFault::Length));
    }
    let (archive, padding) = rest[FRAME_BYTES..end].split_at(len);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(fault(ChunkFault::Frame));
    }
    Ok((Chunk { index, offset, kind, crc, archive }, at + end))
}

type Made<'a> = Result<Section<'a>, SnapshotError>;

/// Makes the nodes on several threads, and links them here, in order.
fn build<'a>(
    chunks: &[Chunk<'a>],
    lists: &Lists,
    threads: usize,
    loader: &mut Loader<'a>,
) -> Result<(), SnapshotError> {
    thread::scope(|scope| {
        let ready: Vec<Receiver<Made<'a>>> = (0..threads)
            .map(|first| {
                let (made, ready) = mpsc::sync_channel(READY_MAX);
                scope.spawn(move || make(chunks, lists, first, threads, &made));
                ready
            })
            .collect();
        for (i, chunk) in chunks.iter().enumerate() {
            let section = ready[i % threads].recv().expect("each chunk gets an answer")?;
            loader.join(section).map_err(|error| chunk.fault(error.into()))?;
        }
        Ok(())
    })
}

/// Makes every `step`th section, until the one who links them has gone.
fn make<'a>(
    chunks: &[Chunk<'a>],
    lists: &Lists,
    first: usize,
    step: usize,
    made: &SyncSender<Made<'a>>,
) {
    for chunk in chunks.iter().skip(first).step_by(step) {
        let section = chunk.checked(|archive| chunk::read_nodes(archive, lists));
        if made.send(section).is_err() {
            return;
        }
    }
}

/// Whether the tree is what the header promised.
fn agree(header: &Header, tree: &Tree) -> Result<(), SnapshotError> {
    let view = tree.view();
    differs("number of nodes", header.nodes, view.node_count())?;
    differs("number of sessions", header.sessions, view.session_count())?;
    differs("digest", header.digest, view.digest())
}

fn differs(what: &'static str, recorded: u64, found: u64) -> Result<(), SnapshotError> {
    if recorded == found { Ok(()) } else { Err(SnapshotError::Differs { what, recorded, found }) }
}
