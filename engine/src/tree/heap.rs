//! The heap: which blocks may be written, and when one may be freed.
//!
//! Versions number the seals. A block born in the open version belongs to the writer alone and is
//! edited in place; an older one may be part of a sealed state, so [`Heap::own`] copies it first.
//! The block copied from is *retired*: the newest state no longer reaches it, and what may still
//! is exactly the sealed states from its birth up to now.
//!
//! ```text
//!  versions   1     2     3     4     5 (open)
//!  held             ●           ●                   a root of 2 and of 4 is held somewhere
//!  block a    ├───────────────────────┤             retired in 5: waits in the bucket of 4
//!  block b                ├─────┤                   retired in 4: no held version in 3..4, freed
//!  block c    ├─────────────────┤                   retired in 4: waits in the bucket of 2
//! ```
//!
//! A retired block waits in the bucket of the newest held version below its retirement. When that
//! version is let go, the block moves on to the next older held one, or is freed if it was born
//! after that. So a root that is held for long (a snapshot being written) keeps only what it
//! reaches, and letting go of any root costs a bounded number of steps per call of
//! [`Heap::reclaim`].
//!
//! A reader lets a root go by dropping its `Arc`; the writer notices when its own is the last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::block::{self, BlockMut, Content, GRAIN, Kind, Link};
use super::reach;
use super::state::State;

/// Steps of reclaiming that each seal does, beyond twice what the batch retired.
const SEAL_RECLAIM_MIN: usize = 64;

/// An emptied bucket with room for no more than so many blocks is filled again.
const SPARE_BUCKET_MAX: usize = 1024;

/// Freed blocks are kept to be made again, up to this size and so many bytes together.
const SPARE_BYTES_MAX: usize = 2 << 10;
const SPARES_BYTES_MAX: usize = 256 << 10;

/// A sealed state. The writer keeps one `Arc` of it, the roots share the other ones.
pub(super) struct Sealed {
    pub(super) state: State,
    version: u64,
    remains: Arc<Remains>,
}

/// Counts blocks as it makes them; several may work side by side (bulk building).
pub(super) struct Arena {
    /// Version that new blocks are born in.
    birth: u64,
    blocks: u64,
    bytes: u64,
    spares: Spares,
}

/// Freed blocks, by size. What a write takes is mostly what an earlier one gave back.
#[derive(Default)]
struct Spares {
    by_size: Vec<Vec<Link>>,
    bytes: usize,
}

/// Memory of one tree: the arena of its open version and the retired blocks.
pub(super) struct Heap {
    arena: Arena,
    /// Versions somebody may still read, ascending.
    held: VecDeque<Held>,
    /// Buckets of versions that were let go: their blocks are yet to be looked at.
    let_go: VecDeque<Bucket>,
    /// Empty, for the next version that is sealed.
    spare_bucket: Vec<Link>,
    /// Where the search for versions that were let go continues.
    cursor: usize,
    retired_in_batch: usize,
    remains: Arc<Remains>,
}

struct Held {
    sealed: Arc<Sealed>,
    bucket: Vec<Link>,
    /// A reset went behind this version: it is not on the line to the newest state.
    severed: bool,
}

struct Bucket {
    version: u64,
    blocks: Vec<Link>,
}

/// What is left when the writer goes before its last root: freed by whoever is the last.
#[derive(Default)]
struct Remains {
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    /// Shallow: retired one by one.
    retired: Vec<Link>,
    /// Deep: the newest state's links.
    newest: Vec<Link>,
    /// Blocks alive when the writer went.
    blocks: u64,
}

impl Arena {
    pub(super) fn new(birth: u64) -> Self {
        Self { birth, blocks: 0, bytes: 0, spares: Spares::default() }
    }

    /// A block of the open version: `parts` behind the header, then zeros.
    pub(super) fn allocate(&mut self, kind: Kind, size: usize, parts: [&[u8]; 2]) -> Link {
        let size = size.next_multiple_of(GRAIN);
        let content = Content { birth: self.birth, kind, parts };
        self.blocks += 1;
        self.bytes += size as u64;
        match self.spares.take(size) {
            // SAFETY: only what could be freed became a spare, and it is one no more.
            Some(spare) => unsafe { block::reuse(&spare, content) },
            None => block::allocate(size, content),
        }
    }

    /// Write access to a block that this arena has just made.
    pub(super) fn fresh<'a>(&self, link: &'a mut Link) -> BlockMut<'a> {
        assert!(self.owns(link), "a block of a sealed version may not be written");
        // SAFETY: born in the open version, and a `&mut Link` is on the way into the newest state
        // (or of a block that no state has yet).
        unsafe { link.block_mut() }
    }

    /// Moves the first `used` bytes of a block that this arena has made to one of another size.
    pub(super) fn resize(&mut self, link: &mut Link, size: usize, used: usize) {
        let old = link.block().expect("a block to resize");
        assert!(old.birth() == self.birth, "a block of a sealed version stays as it is");
        if old.bytes().len() != size {
            let new = self.allocate(old.kind(), size, [&old.bytes()[8..used], &[]]);
            self.release(std::mem::replace(link, new));
        }
    }

    pub(super) fn owns(&self, link: &Link) -> bool {
        link.block().is_some_and(|block| block.birth() == self.birth)
    }

    fn release(&mut self, link: Link) {
        let size = link.block().expect("a link to nothing was discarded").bytes().len();
        self.blocks -= 1;
        self.bytes -= size as u64;
        if let Some(link) = self.spares.keep(link, size) {
            // SAFETY: callers free only what no held version can reach (see `Heap::discard`).
            unsafe { block::release(link) };
        }
    }
}

impl Spares {
    fn take(&mut self, size: usize) -> Option<Link> {
        let spare = self.by_size.get_mut(size / GRAIN)?.pop()?;
        self.bytes -= size;
        Some(spare)
    }

    /// Keeps a block that is to be freed, or gives it back when it is too large.
    fn keep(&mut self, link: Link, size: usize) -> Option<Link> {
        if size > SPARE_BYTES_MAX {
            return Some(link);
        }
        if self.bytes + size > SPARES_BYTES_MAX {
            // Of sizes that nobody asks for any more, or not so much.
            *self = Self::default();
        }
        if cfg!(debug_assertions) {
            // SAFETY: nobody reads it any more.
            unsafe { block::deface(&link) };
        }
        let at = size / GRAIN;
        if self.by_size.len() <= at {
            self.by_size.resize_with(at + 1, Vec::new);
        }
        self.by_size[at].push(link);
        self.bytes += size;
        None
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        for link in self.by_size.drain(..).flatten() {
            // SAFETY: only what could be freed became a spare.
            unsafe { block::release(link) };
        }
    }
}

impl Heap {
    pub(super) fn new() -> Self {
        Self {
            arena: Arena::new(1),
            held: VecDeque::new(),
            let_go: VecDeque::new(),
            spare_bucket: Vec::new(),
            cursor: 0,
            retired_in_batch: 0,
            remains: Arc::default(),
        }
    }

    pub(super) fn arena(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Takes over the blocks of an arena that built side by side, of the same version.
    pub(super) fn adopt(&mut self, other: Arena) {
        assert_eq!(self.arena.birth, other.birth, "blocks of another version");
        self.arena.blocks += other.blocks;
        self.arena.bytes += other.bytes;
    }

    /// Blocks alive, retired ones included, and their bytes.
    pub(super) fn live(&self) -> (u64, u64) {
        (self.arena.blocks, self.arena.bytes)
    }

    pub(super) fn owns(&self, link: &Link) -> bool {
        self.arena.owns(link)
    }

    /// Write access to the block of `link`, which is copied first when it is not of this version.
    pub(super) fn own<'a>(&mut self, link: &'a mut Link) -> BlockMut<'a> {
        if !self.owns(link) {
            let block = link.block().expect("an edit follows links that a read has followed");
            let size = block.bytes().len();
            let copy = self.arena.allocate(block.kind(), size, [&block.bytes()[8..], &[]]);
            self.replace(link, copy);
        }
        self.arena.fresh(link)
    }

    /// Puts a block, made from the one in `link`, in its place.
    pub(super) fn replace(&mut self, link: &mut Link, new: Link) {
        let old = std::mem::replace(link, new);
        self.discard(old);
    }

    /// Lets go of a block that the newest state no longer reaches. Its links are not followed: the
    /// caller has moved or discarded what they lead to.
    pub(super) fn discard(&mut self, link: Link) {
        if self.owns(&link) {
            self.arena.release(link);
            return;
        }
        self.retired_in_batch += 1;
        self.settle(link, self.held.len());
    }

    /// Puts a retired block into the bucket of the newest of the first `among` held versions, if
    /// that can reach it, or frees it.
    fn settle(&mut self, link: Link, among: usize) {
        let birth = link.block().map_or(0, |block| block.birth());
        match among.checked_sub(1).map(|i| &mut self.held[i]) {
            Some(held) if held.sealed.version >= birth => held.bucket.push(link),
            // No held version is within birth..retirement, and a version that is not held any
            // more is never read again.
            _ => self.arena.release(link),
        }
    }

    /// Ends the open version: what `state` reaches is frozen from here on.
    pub(super) fn seal(&mut self, state: &State) -> Arc<Sealed> {
        self.reclaim(SEAL_RECLAIM_MIN + 2 * self.retired_in_batch);
        self.retired_in_batch = 0;
        let version = self.arena.birth;
        self.arena.birth += 1;
        // SAFETY: the copy is part of a sealed state, and the version it may reach is closed.
        let state = unsafe { state.duplicate() };
        let sealed = Arc::new(Sealed { state, version, remains: self.remains.clone() });
        let bucket = std::mem::take(&mut self.spare_bucket);
        self.held.push_back(Held { sealed: sealed.clone(), bucket, severed: false });
        sealed
    }

    /// Looks for versions that were let go and frees what only they needed, in at most `budget`
    /// steps. True when more is to do.
    pub(super) fn reclaim(&mut self, budget: usize) -> bool {
        let mut steps = budget;
        for _ in 0..self.held.len().min(budget) {
            if self.cursor >= self.held.len() {
                self.cursor = 0;
            }
            steps -= 1;
            // The count is a cheap look at a line that readers share; being unique also means that
            // what the readers did has happened before.
            let sealed = &mut self.held[self.cursor].sealed;
            if Arc::strong_count(sealed) > 1 || Arc::get_mut(sealed).is_none() {
                self.cursor += 1;
            } else if let Some(held) = self.held.remove(self.cursor)
                && !held.bucket.is_empty()
            {
                let version = held.sealed.version;
                self.let_go.push_back(Bucket { version, blocks: held.bucket });
            }
        }
        while let Some(mut bucket) = self.let_go.pop_front() {
            let among = self.held.partition_point(|held| held.sealed.version <= bucket.version);
            while steps > 0
                && let Some(link) = bucket.blocks.pop()
            {
                steps -= 1;
                self.settle(link, among);
            }
            if !bucket.blocks.is_empty() {
                self.let_go.push_front(bucket);
                return true;
            }
            if bucket.blocks.capacity() <= SPARE_BUCKET_MAX {
                self.spare_bucket = bucket.blocks;
            }
        }
        false
    }

    /// Brings `state` back to a held one of this heap, on the line that led here.
    pub(super) fn reset(&mut self, state: &mut State, to: &Sealed) {
        assert!(Arc::ptr_eq(&self.remains, &to.remains), "the root is of another tree");
        let version = to.version;
        let at = self.held.partition_point(|held| held.sealed.version < version);
        let target = self.held.get(at).filter(|held| held.sealed.version == version);
        assert!(target.is_some_and(|held| !held.severed), "the root is on a line left before");

        let mut newer = Vec::new();
        // SAFETY: the state is replaced below.
        let mut links = unsafe { state.duplicate() }.into_links();
        while let Some(link) = links.pop() {
            if link.block().is_some_and(|block| block.birth() > version) {
                // SAFETY: the block is discarded, and the copies only tell what it led to.
                unsafe { reach::push_links(&link, &mut links) };
                newer.push(link);
            }
        }
        // What was born up to `version` and retired after it is reached again.
        for held in self.held.range_mut(at..) {
            held.bucket.retain(|link| is_newer(link, version));
        }
        for bucket in self.let_go.iter_mut().filter(|bucket| bucket.version >= version) {
            bucket.blocks.retain(|link| is_newer(link, version));
        }
        for held in self.held.range_mut(at + 1..) {
            held.severed = true;
        }
        newer.into_iter().for_each(|link| self.discard(link));
        // SAFETY: "One way in" counts from the newest state, and the one before is gone.
        *state = unsafe { to.state.duplicate() };
    }

    /// The end of the writer: roots may live on, the last one frees everything.
    pub(super) fn abandon(&mut self, state: &State) {
        let mut left = self.remains.left.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the newest state is read no more; its links are walked once, in `Remains::drop`.
        left.newest = unsafe { state.duplicate() }.into_links();
        left.blocks = self.arena.blocks;
        left.retired = self.held.drain(..).flat_map(|held| held.bucket).collect();
        left.retired.extend(self.let_go.drain(..).flat_map(|bucket| bucket.blocks));
    }
}

fn is_newer(link: &Link, version: u64) -> bool {
    link.block().is_some_and(|block| block.birth() > version)
}

impl Drop for Remains {
    fn drop(&mut self) {
        let left = self.left.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: writer and roots are gone; the newest state has one way to each block, and
        // retired ones are not among them.
        let mut freed = unsafe { reach::release_all(&mut left.newest) };
        for link in left.retired.drain(..) {
            // SAFETY: as above; each retired block is in one bucket.
            unsafe { block::release(link) };
            freed += 1;
        }
        debug_assert_eq!(freed, left.blocks, "blocks leaked or were freed twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::bytes;

    /// Makes a block in the open version and seals it.
    fn born(heap: &mut Heap) -> (Link, Arc<Sealed>) {
        let link = bytes::create(heap.arena(), b"block");
        (link, heap.seal(&State::EMPTY))
    }

    fn blocks(heap: &mut Heap) -> u64 {
        heap.reclaim(usize::MAX);
        heap.live().0
    }

    #[test]
    fn a_retired_block_waits_for_the_roots_that_may_reach_it_and_no_others() {
        // The drawing above: 2 and 4 are held.
        let mut heap = Heap::new();
        let (a, one) = born(&mut heap);
        let (c, two) = born(&mut heap);
        let (b, three) = born(&mut heap);
        drop((one, three));
        assert_eq!(blocks(&mut heap), 3);
        heap.discard(b);
        heap.discard(c);
        assert_eq!(heap.live().0, 2, "b, born in 3 and retired in 4, is in no held version");
        let four = heap.seal(&State::EMPTY);
        heap.discard(a);
        assert_eq!(blocks(&mut heap), 2);
        drop(four);
        assert_eq!(blocks(&mut heap), 2, "a, born in 1, moves on to version 2");
        drop(two);
        assert_eq!(blocks(&mut heap), 0);
    }

    #[test]
    fn a_block_of_the_open_version_is_freed_at_once() {
        let mut heap = Heap::new();
        let _held = heap.seal(&State::EMPTY);
        let link = bytes::create(heap.arena(), b"block");
        heap.discard(link);
        assert_eq!(heap.live(), (0, 0));
    }

    #[test]
    fn a_freed_block_is_made_again_and_few_are_kept() {
        let mut heap = Heap::new();
        let first = bytes::create(heap.arena(), b"one");
        let address = first.address();
        heap.discard(first);
        assert_eq!(heap.live(), (0, 0));
        let larger = bytes::create(heap.arena(), &[7; 100]);
        let again = bytes::create(heap.arena(), b"two");
        assert_eq!(
            (again.address(), bytes::content(again.block().unwrap())),
            (address, &b"two"[..])
        );
        assert_ne!(larger.address(), address);
        let size = larger.block().unwrap().bytes().len();
        for link in [larger, again] {
            heap.discard(link);
        }
        let many = 2 * SPARES_BYTES_MAX / size;
        let blocks: Vec<_> = (0..many).map(|_| bytes::create(heap.arena(), &[7; 100])).collect();
        blocks.into_iter().for_each(|link| heap.discard(link));
        let huge = bytes::create(heap.arena(), &[7; SPARE_BYTES_MAX]);
        heap.discard(huge);
        let spares = &heap.arena.spares;
        let kept: usize = spares.by_size.iter().map(Vec::len).sum();
        assert!((1..=SPARES_BYTES_MAX / size).contains(&kept), "{kept} of {many}");
        assert!(spares.bytes <= SPARES_BYTES_MAX);
    }

    #[test]
    fn reclaiming_takes_no_more_steps_than_it_may() {
        let mut heap = Heap::new();
        let links: Vec<_> = (0..100).map(|_| bytes::create(heap.arena(), b"block")).collect();
        let sealed = heap.seal(&State::EMPTY);
        links.into_iter().for_each(|link| heap.discard(link));
        drop(sealed);
        // One step finds the version that was let go.
        assert!(heap.reclaim(41));
        assert_eq!(heap.live().0, 60);
        assert!(!heap.reclaim(1000));
        assert_eq!(heap.live().0, 0);
    }

    #[test]
    #[should_panic(expected = "on a line left before")]
    fn a_root_on_a_line_left_before_is_no_way_back() {
        let mut heap = Heap::new();
        let mut state = State::EMPTY;
        let (first, second) = (heap.seal(&state), heap.seal(&state));
        heap.reset(&mut state, &first);
        heap.reset(&mut state, &second);
    }
}
