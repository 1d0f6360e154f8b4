//! Blocks: the pieces of memory that states share, and the links between them.
//!
//! A block is one allocation whose first word says when it was born, what it is and how large it
//! is. A [`Link`] is the owning pointer to one. Copying a block copies its links bit by bit: old
//! and new copy then lead to the same blocks, and nobody counts how many do. What makes that sound
//! is kept by `heap`, and the two files are to be read together:
//!
//! * **Alive.** A link that a borrow can reach points to a block that outlives the borrow. (`heap`
//!   frees a block only when no state that can still be read reaches it.)
//! * **One way in.** From the newest state exactly one link leads to a block. (Links are not
//!   `Clone`; only states that are sealed and blocks that are retired hold copies.)
//! * **Frozen.** A block born before the open version is never written again. Readers on other
//!   threads see only such blocks, and received their root through a channel or an `Arc`, so plain
//!   memory is enough.
//!
//! ```text
//!   63                      16 15  12 11        0
//!  ┌──────────────────────────┬──────┬───────────┐
//!  │ birth: version, 48 bits  │ kind │ bytes/16  │  0 sixteenths: the size is the u32 at byte 8
//!  └──────────────────────────┴──────┴───────────┘
//! ```
//!
//! Unsafe code of the tree is here, in `heap` and `reach` (who may copy links and free blocks), and
//! in the few marked lines of `page`, `znode` and `entry` that say which bytes of a block are
//! links.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::{ptr, slice};

/// What a block holds; decides where its links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A childless node with plain stat (`znode`).
    Plain = 1,
    /// A node with all fields (`znode`).
    Full = 2,
    /// Names and what they lead to (`page`).
    Leaf = 3,
    /// Separators and pages (`page`).
    Branch = 4,
    /// Data too large to stand in its node, or an access list (`bytes`).
    Bytes = 5,
    /// A row of a hidden table (`entry`).
    Entry = 6,
}

impl Kind {
    fn of(header: u64) -> Self {
        match header >> 12 & 0xf {
            1 => Self::Plain,
            2 => Self::Full,
            3 => Self::Leaf,
            4 => Self::Branch,
            5 => Self::Bytes,
            6 => Self::Entry,
            kind => unreachable!("block of kind {kind}: its memory was overwritten"),
        }
    }
}

/// Sizes are multiples of this.
pub(super) const GRAIN: usize = 16;
/// Versions fit 48 bits: a million seals per second for nine years.
const VERSION_MAX: u64 = (1 << 48) - 1;
const SIXTEENTHS_MAX: usize = 0xfff;

/// The owning pointer to a block, or none. Not dropped by itself: `heap` discards.
#[derive(Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Link(u64);

/// A block to be read.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
}

/// A block of the open version, to be written.
pub(super) struct BlockMut<'a> {
    bytes: &'a mut [u8],
}

impl Link {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Where the block is: equal for equal blocks, and nothing more.
    pub(super) fn address(&self) -> u64 {
        self.0
    }

    pub(super) fn block(&self) -> Option<Block<'_>> {
        if self.is_none() {
            return None;
        }
        let start: *const u64 = ptr::with_exposed_provenance(self.0 as usize);
        // SAFETY: by "Alive" the block lives as long as this borrow, and by "Frozen" and "One way
        // in" nobody writes it meanwhile. `allocate` made it 8-aligned, initialised, and of the
        // size that its header says.
        let bytes = unsafe {
            let mut size = (*start as usize & SIXTEENTHS_MAX) * GRAIN;
            if size == 0 {
                size = *start.add(1).cast::<u32>() as usize;
            }
            slice::from_raw_parts(start.cast::<u8>(), size)
        };
        Some(Block { bytes })
    }

    /// Asks for the first `bytes` of a block that is about to be searched, all lines at once: one
    /// wait for memory instead of one per step of the search. The block may be shorter.
    pub(super) fn prefetch(&self, bytes: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in (0..bytes).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start: *const i8 = ptr::with_exposed_provenance(self.0 as usize);
            // SAFETY: a hint, which neither reads nor faults, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = bytes;
    }

    /// # Safety
    /// The link must be on the way into the newest state, and the block born in the open version.
    pub(super) unsafe fn block_mut(&mut self) -> BlockMut<'_> {
        let size = self.block().map_or(0, |block| block.bytes.len());
        let start: *mut u8 = ptr::with_exposed_provenance_mut(self.0 as usize);
        assert!(!start.is_null(), "an edit followed a link to nothing");
        // SAFETY: the caller vouches that no other state has this block, and by "One way in" the
        // borrow of this link is the only way to it.
        BlockMut { bytes: unsafe { slice::from_raw_parts_mut(start, size) } }
    }

    /// # Safety
    /// The copy must end in a sealed state, in a block that replaces the one copied from, or in
    /// the hands of `heap`, so that "One way in" holds again.
    pub(super) unsafe fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Reads a link out of a block's bytes at `at`.
    ///
    /// # Safety
    /// The bytes at `at` must be a link by the layout of the block's kind.
    pub(super) unsafe fn at(bytes: &[u8], at: usize) -> &Self {
        assert!(at.is_multiple_of(8) && at + 8 <= bytes.len(), "no link at byte {at}");
        // SAFETY: in bounds, aligned because blocks are, and `Link` is a transparent u64.
        unsafe { &*bytes.as_ptr().add(at).cast::<Self>() }
    }

    /// As [`Self::at`], to be changed.
    ///
    /// # Safety
    /// The bytes at `at` must be a link by the layout of the block's kind.
    pub(super) unsafe fn at_mut(bytes: &mut [u8], at: usize) -> &mut Self {
        assert!(at.is_multiple_of(8) && at + 8 <= bytes.len(), "no link at byte {at}");
        // SAFETY: as in `at`.
        unsafe { &mut *bytes.as_mut_ptr().add(at).cast::<Self>() }
    }
}

impl<'a> Block<'a> {
    fn header(self) -> u64 {
        u64_at(self.bytes, 0)
    }

    /// The version that the block was born in.
    pub(super) fn birth(self) -> u64 {
        self.header() >> 16
    }

    pub(super) fn kind(self) -> Kind {
        Kind::of(self.header())
    }

    /// The whole block, header included.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> BlockMut<'a> {
    /// The whole block, header included.
    ///
    /// # Safety
    /// The header (and the u32 at byte 8 of kinds other than nodes) must stay, and the bytes that
    /// the kind calls links must stay links that obey "One way in".
    pub(super) unsafe fn into_bytes(self) -> &'a mut [u8] {
        self.bytes
    }
}

/// What a new block begins with: `parts` stand one after the other behind the header, then zeros.
///
/// Kinds other than nodes keep their first 4 bytes after the header for the size.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) birth: u64,
    pub(super) kind: Kind,
    pub(super) parts: [&'a [u8]; 2],
}

/// Makes a block of `size` bytes, a multiple of [`GRAIN`].
pub(super) fn allocate(size: usize, content: Content<'_>) -> Link {
    let layout = layout(size);
    // SAFETY: the layout is not empty, and all of it is written before anyone reads it.
    let start = unsafe {
        let start = alloc(layout);
        if start.is_null() {
            handle_alloc_error(layout);
        }
        fill(start, size, content);
        start
    };
    Link(start.expose_provenance() as u64)
}

/// Makes a new block in the place of one of the same size.
///
/// # Safety
/// As for [`release`].
pub(super) unsafe fn reuse(link: &Link, content: Content<'_>) -> Link {
    let size = link.block().map_or(0, |block| block.bytes.len());
    let start: *mut u8 = ptr::with_exposed_provenance_mut(link.0 as usize);
    assert!(!start.is_null(), "a link to nothing was discarded");
    // SAFETY: the block has this size, and the caller vouches that nobody reads it any more.
    unsafe { fill(start, size, content) };
    Link(link.0)
}

/// Makes sure that whoever reads a block that is none any more, or frees it again, is found out.
///
/// # Safety
/// As for [`release`].
pub(super) unsafe fn deface(link: &Link) {
    let header = link.block().map_or(0, Block::header);
    let _ = Kind::of(header);
    let start: *mut u64 = ptr::with_exposed_provenance_mut(link.0 as usize);
    // SAFETY: it begins with its header, and the caller vouches that nobody reads it any more.
    unsafe { start.write(header & !(0xf << 12)) };
}

/// # Safety
/// The caller must own `size` bytes from `start` on.
unsafe fn fill(start: *mut u8, size: usize, content: Content<'_>) {
    let Content { birth, kind, parts: [first, second] } = content;
    assert!(birth <= VERSION_MAX, "the 48 bits of versions are used up");
    let used = 8 + first.len() + second.len();
    assert!(used <= size && u32::try_from(size).is_ok(), "{used} bytes in a block of {size}");
    let sixteenths = if size / GRAIN > SIXTEENTHS_MAX { 0 } else { size / GRAIN };
    let is_node = matches!(kind, Kind::Plain | Kind::Full);
    assert!(sixteenths > 0 || !is_node, "large data stands outside of its node");
    // SAFETY: the parts fit, as was just seen, and blocks are aligned for their words.
    unsafe {
        start.cast::<u64>().write(birth << 16 | (kind as u64) << 12 | sixteenths as u64);
        start.add(8).copy_from_nonoverlapping(first.as_ptr(), first.len());
        start.add(8 + first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        start.add(used).write_bytes(0, size - used);
        if !is_node {
            start.add(8).cast::<u32>().write(size as u32);
        }
    }
}

/// Gives a block's memory back. What it leads to is not touched.
///
/// # Safety
/// No state that can still be read may reach the block, and no other link may be discarded for it.
pub(super) unsafe fn release(link: Link) {
    let size = link.block().map_or(0, |block| block.bytes.len());
    let start: *mut u8 = ptr::with_exposed_provenance_mut(link.0 as usize);
    assert!(!start.is_null(), "a link to nothing was discarded");
    // SAFETY: `allocate` made it with this layout, and the caller vouches that it is the last use.
    unsafe { dealloc(start, layout(size)) };
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("sizes fit 32 bits")
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().expect("blocks hold all fields of their kind"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("blocks hold all fields of their kind"))
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}
