//! A row of a hidden table: a number and a link.
//!
//! The ACL table counts the users of a list (and links to it), the owner table notes a session's
//! timeout (and links to the paths of its ephemerals).
//!
//! ```text
//!  0        8      12       16       24     32
//! ┌────────┬──────┬────────┬────────┬──────┐
//! │ header │ size │ unused │ number │ link │
//! └────────┴──────┴────────┴────────┴──────┘
//! ```

use super::block::{Kind, Link, put_u64, u64_at};
use super::heap::{Arena, Heap};

const NUMBER: usize = 16;
const LINK: usize = 24;
const BYTES: usize = 32;

pub(super) fn create(arena: &mut Arena, number: u64, link: Link) -> Link {
    let mut bytes = [0; BYTES];
    put_u64(&mut bytes, NUMBER, number);
    put_u64(&mut bytes, LINK, link.address());
    arena.allocate(Kind::Entry, BYTES, [&bytes[8..], &[]])
}

pub(super) fn read(entry: &Link) -> (u64, &Link) {
    let block = entry.block().expect("every name of a hidden table leads to an entry");
    assert!(block.kind() == Kind::Entry, "{:?} is no entry", block.kind());
    // SAFETY: a link by the layout of entries.
    (u64_at(block.bytes(), NUMBER), unsafe { Link::at(block.bytes(), LINK) })
}

pub(super) fn set_number(heap: &mut Heap, entry: &mut Link, number: u64) {
    // SAFETY: neither header nor link is written.
    put_u64(unsafe { heap.own(entry).into_bytes() }, NUMBER, number);
}

pub(super) fn own_link<'a>(heap: &mut Heap, entry: &'a mut Link) -> &'a mut Link {
    // SAFETY: a link by the layout of entries.
    unsafe { Link::at_mut(heap.own(entry).into_bytes(), LINK) }
}
