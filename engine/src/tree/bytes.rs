//! A block of bytes: data too large to stand in its node, or an access list.
//!
//! ```text
//!  0        8      12       16
//! ┌────────┬──────┬────────┬───────┐
//! │ header │ size │ length │ bytes │
//! └────────┴──────┴────────┴───────┘
//! ```
#![deny(unsafe_code)]

use super::block::{Block, Kind, Link, put_u32, u32_at};
use super::heap::Arena;

const LENGTH: usize = 12;
const START: usize = 16;

pub(super) fn create(arena: &mut Arena, content: &[u8]) -> Link {
    let mut head = [0; START - 8];
    put_u32(&mut head, LENGTH - 8, content.len() as u32);
    arena.allocate(Kind::Bytes, START + content.len(), [&head, content])
}

pub(super) fn content(block: Block<'_>) -> &[u8] {
    let kind = block.kind();
    assert!(kind == Kind::Bytes, "{kind:?} is no block of bytes");
    let bytes = block.bytes();
    &bytes[START..START + u32_at(bytes, LENGTH) as usize]
}
