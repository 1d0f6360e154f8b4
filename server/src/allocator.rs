//! The allocator of the process: mimalloc, asked in the words that it answers fastest.
//!
//! The crate `mimalloc` asks for every block with its alignment, and above 1 KiB mimalloc then
//! allocates more than was asked for, to have room to shift, and remembers that it did. Values,
//! pages of the tree and buffers are such blocks, and what it aligns without being asked is enough
//! for all of them.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as ffi;

/// What every block of at least this size is aligned to. Smaller ones are aligned to a word.
// mimalloc: types.h, MI_MAX_ALIGN_SIZE.
const ALIGNMENT: usize = 16;
const WORD: usize = size_of::<usize>();

/// mimalloc.
#[derive(Debug)]
pub struct Allocator;

/// Whether mimalloc aligns such a block as wanted without being asked to.
const fn is_aligned_anyway(size: usize, alignment: usize) -> bool {
    alignment <= WORD || (alignment <= ALIGNMENT && size >= ALIGNMENT)
}

// SAFETY: blocks come from mimalloc and go back to it; they are as large as the layout says, and
// as aligned: what is not by itself is asked for with its alignment. None of it unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: any size is allowed, and an alignment is a power of two.
        unsafe {
            if is_aligned_anyway(size, alignment) {
                ffi::mi_malloc(size).cast()
            } else {
                ffi::mi_malloc_aligned(size, alignment).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        unsafe {
            if is_aligned_anyway(size, alignment) {
                ffi::mi_zalloc(size).cast()
            } else {
                ffi::mi_zalloc_aligned(size, alignment).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller got the block from here.
        unsafe { ffi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let alignment = layout.align();
        // SAFETY: the caller got the block from here; otherwise as in `alloc`.
        unsafe {
            if is_aligned_anyway(size, alignment) {
                ffi::mi_realloc(block.cast(), size).cast()
            } else {
                ffi::mi_realloc_aligned(block.cast(), size, alignment).cast()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills the block, so that whoever else had a part of it would notice.
    fn check(size: usize, alignment: usize, grown: usize) {
        let layout = Layout::from_size_align(size, alignment).unwrap();
        let is_aligned = |block: *mut u8| block.addr().is_multiple_of(alignment);
        // SAFETY: the block is used within its size, and freed once.
        unsafe {
            let zeroed = Allocator.alloc_zeroed(layout);
            assert!(is_aligned(zeroed) && (0..size).all(|at| *zeroed.add(at) == 0), "{layout:?}");
            let block = Allocator.alloc(layout);
            assert!(is_aligned(block), "{layout:?}");
            block.write_bytes(7, size);
            let block = Allocator.realloc(block, layout, grown);
            assert!(is_aligned(block), "{layout:?} grown to {grown}");
            assert!((0..size.min(grown)).all(|at| *block.add(at) == 7), "{layout:?}");
            let layout = Layout::from_size_align(grown, alignment).unwrap();
            Allocator.dealloc(block, layout);
            Allocator.dealloc(zeroed, Layout::from_size_align(size, alignment).unwrap());
        }
    }

    #[test]
    fn blocks_are_as_large_and_as_aligned_as_wanted() {
        for alignment in [1, 2, 8, 16, 32, 64, 128, 4096, 65_536] {
            for size in [1, 3, 8, 15, 16, 17, 100, 1_024, 1_025, 1_096, 5_000, 70_000, 3 << 20] {
                for grown in [1, 8, 16, 24, 1_100, 200_000] {
                    check(size, alignment, grown);
                }
            }
        }
    }
}
