//! Snapshots: one state of the tree in a file, exact at one zxid.
//!
//! ```text
//!  ┌────────────────┐ 0
//!  │ header, 64     │ zxid, digest, counts, crc32c
//!  ├────────────────┤ 64
//!  │ frame, 16      │ kind, length, crc32c of the payload, crc32c of the frame
//!  │ payload (rkyv) │ an independent archive of 8 MiB or so
//!  ├────────────────┤ next multiple of 16
//!  │ frame …        │ first access lists, then sessions, then nodes depth first
//!  ├────────────────┤
//!  │ footer, 64     │ number of chunks, length of the file, zxid, digest, crc32c of all frames
//!  └────────────────┘
//! ```
//!
//! Writing takes a held [`Root`](crate::tree::Root), so it disturbs nobody and needs no moment of
//! rest; it is paced so that the log's commits do not wait behind it (`paced`). Reading maps the
//! file and takes nothing from a chunk before its checksum and its archive have been checked;
//! nodes then leave the mapping by a bulk build on several threads (`mapped`). Chunks are archives
//! of their own since rkyv's offsets end at 2 GiB, and so that they can be read side by side.
//!
//! A snapshot under its final name is complete; which one counts is the manifest's to say.

mod chunk;
mod frame;
pub mod jute_stream;
mod mapped;
mod paced;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use menagerie_wire::Zxid;
use thiserror::Error;

use crate::tree::BulkError;

pub use mapped::load;
pub use paced::Pace;
pub use shelf::{SnapshotDirectory, Snapshots};
pub use writer::{Written, write};

/// Why a snapshot was not written, or cannot be used.
#[derive(Debug, Error)]
pub enum SnapshotError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the writing was stopped")]
    Stopped,
    #[error("{bytes} bytes are too few for a snapshot")]
    Short { bytes: usize },
    #[error("the {part} is not one of ours, or is damaged")]
    Damaged { part: &'static str },
    #[error("{what}: the file says {recorded:#x}, its content {found:#x}")]
    Differs { what: &'static str, recorded: u64, found: u64 },
    #[error("chunk {index} at byte {offset}: {fault}")]
    Chunk { index: usize, offset: usize, fault: ChunkFault },
    #[error("the nodes make no tree: {0}")]
    Tree(#[from] BulkError),
    #[error("the snapshot is of {found}, its name says {named}")]
    Name { named: Zxid, found: Zxid },
}

/// What is wrong with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkFault {
    #[error("its frame is damaged")]
    Frame,
    #[error("it ends behind the file")]
    Length,
    #[error("its checksum is {recorded:#x}, its bytes make {found:#x}")]
    Checksum { recorded: u32, found: u32 },
    #[error("its archive is malformed")]
    Archive,
    #[error("its lengths do not add up")]
    Lengths,
    #[error("a name is not UTF-8")]
    Utf8,
    #[error("kind {0} is unknown or out of place")]
    Kind(u32),
    #[error("{0}")]
    Node(BulkError),
}

fn io_error<'p>(
    action: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> SnapshotError + use<'p> {
    move |source| SnapshotError::Io { action, path: path.to_owned(), source }
}
