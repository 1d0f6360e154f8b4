//! Pages: sorted names with a link each, packed into one block.
//!
//! ```text
//!  0        8      12     14     16
//! ┌────────┬──────┬──────┬──────┬───────────────┬─────────────┬────────────────┬──────┐
//! │ header │ size │ count│ last │ links 8×count │ ends 4×count│ names, in order│ free │
//! └────────┴──────┴──────┴──────┴───────────────┴─────────────┴────────────────┴──────┘
//!                          `last`: where the last insert went, to notice ascending ones
//! ```
//!
//! Name *i* stands at `ends[i-1]..ends[i]` of the names. There are no gaps: an insert moves what is
//! behind it, at most a page's worth of bytes, which costs less than the bookkeeping of gaps would.
//! In a leaf the links lead to values; in a branch to pages, and name *i* is a lower bound of what
//! page *i* holds (name 0 is never looked at).

use std::cmp::Ordering;
use std::ops::Range;

use super::block::{Block, BlockMut, Kind, Link, put_u32, put_u64, u32_at};

/// A page grows to this and then splits; it is larger only where names are very long.
pub(super) const PAGE_BYTES: usize = 1024;
const COUNT_AT: usize = 12;
const LAST_AT: usize = 14;
const LINKS_AT: usize = 16;
/// Link and end of one name.
const PER_NAME: usize = 12;

/// Bytes of a page with `count` names of together `names` bytes.
pub(super) const fn bytes_for(count: usize, names: usize) -> usize {
    LINKS_AT + PER_NAME * count + names
}

#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    bytes: &'a [u8],
    is_leaf: bool,
}

pub(super) struct PageMut<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Page<'a> {
    pub(super) fn new(block: Block<'a>) -> Self {
        let kind = block.kind();
        assert!(matches!(kind, Kind::Leaf | Kind::Branch), "{kind:?} is no page");
        Self { bytes: block.bytes(), is_leaf: kind == Kind::Leaf }
    }

    pub(super) fn is_leaf(self) -> bool {
        self.is_leaf
    }

    pub(super) fn kind(self) -> Kind {
        if self.is_leaf { Kind::Leaf } else { Kind::Branch }
    }

    pub(super) fn count(self) -> usize {
        count(self.bytes)
    }

    /// Bytes in use, header included.
    pub(super) fn used(self) -> usize {
        used(self.bytes)
    }

    /// Bytes that a page with these names alone would use.
    pub(super) fn used_by(self, range: Range<usize>) -> usize {
        let names = start(self.bytes, range.end) - start(self.bytes, range.start);
        bytes_for(range.len(), names)
    }

    /// Bytes of the block.
    pub(super) fn size(self) -> usize {
        self.bytes.len()
    }

    /// Everything behind the header that is in use, for a copy.
    pub(super) fn content(self) -> &'a [u8] {
        &self.bytes[8..self.used()]
    }

    pub(super) fn name(self, i: usize) -> &'a [u8] {
        Names::of(self.bytes).name(i)
    }

    pub(super) fn link(self, i: usize) -> &'a Link {
        assert!(i < self.count(), "page of {} names has no link {i}", self.count());
        // SAFETY: the words from LINKS_AT on are links, as many as the count says.
        unsafe { Link::at(self.bytes, LINKS_AT + 8 * i) }
    }

    /// Where `name` is in a leaf, or would have to be.
    pub(super) fn search(self, name: &[u8]) -> Result<usize, usize> {
        let (names, head) = (Names::of(self.bytes), head(name, name.len()));
        let (mut low, mut high) = (0, names.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match names.compare(middle, name, head) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Which page of a branch holds `name`, if any does.
    pub(super) fn route(self, name: &[u8]) -> usize {
        let (names, head) = (Names::of(self.bytes), head(name, name.len()));
        let (mut low, mut high) = (1, names.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if names.compare(middle, name, head).is_le() { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// Whether the insert before went just below `i`.
    pub(super) fn ascends_to(self, i: usize) -> bool {
        i > 0 && u16_at(self.bytes, LAST_AT) as usize + 1 == i
    }

    /// The first name of the upper half, by bytes; both halves have names.
    pub(super) fn middle(self) -> usize {
        let total = self.used();
        let below = |i: &usize| bytes_for(*i, start(self.bytes, *i)) < total / 2;
        (1..self.count() - 1).find(|i| !below(i)).unwrap_or_else(|| self.count() - 1)
    }
}

impl<'a> PageMut<'a> {
    pub(super) fn new(block: BlockMut<'a>) -> Self {
        // SAFETY: header and size are not written here, and links only move inside of the page or
        // come and go by value.
        Self { bytes: unsafe { block.into_bytes() } }
    }

    pub(super) fn into_link(self, i: usize) -> &'a mut Link {
        assert!(i < count(self.bytes), "page has no link {i}");
        // SAFETY: the words from LINKS_AT on are links, as many as the count says.
        unsafe { Link::at_mut(self.bytes, LINKS_AT + 8 * i) }
    }

    /// Puts a name at `i`. The page must have room for it.
    pub(super) fn insert(&mut self, i: usize, name: &[u8], link: Link) {
        let count = count(self.bytes);
        assert!(i <= count, "page of {count} names cannot take one at {i}");
        let (ends_at, names_at) = (LINKS_AT + 8 * count, bytes_for(count, 0));
        let (from, total) = (start(self.bytes, i), start(self.bytes, count));
        // From the back to the front, so that nothing is overwritten before it has moved.
        let bytes = &mut *self.bytes;
        bytes.copy_within(
            names_at + from..names_at + total,
            names_at + PER_NAME + from + name.len(),
        );
        bytes.copy_within(names_at..names_at + from, names_at + PER_NAME);
        bytes[names_at + PER_NAME + from..][..name.len()].copy_from_slice(name);
        bytes.copy_within(ends_at + 4 * i..names_at, ends_at + 8 + 4 * (i + 1));
        bytes.copy_within(ends_at..ends_at + 4 * i, ends_at + 8);
        put_u32(bytes, ends_at + 8 + 4 * i, from as u32);
        bytes.copy_within(LINKS_AT + 8 * i..ends_at, LINKS_AT + 8 * (i + 1));
        put_u64(bytes, LINKS_AT + 8 * i, link.address());
        put_u16(bytes, COUNT_AT, count + 1);
        put_u16(bytes, LAST_AT, i);
        self.shift_ends(i, name.len() as u32);
    }

    /// Takes the name at `i` out.
    pub(super) fn remove(&mut self, i: usize) -> Link {
        let count = count(self.bytes);
        assert!(i < count, "page of {count} names has none at {i}");
        let (ends_at, names_at) = (LINKS_AT + 8 * count, bytes_for(count, 0));
        let (from, to) = (start(self.bytes, i), end(self.bytes, i));
        let total = start(self.bytes, count);
        // SAFETY: the words from LINKS_AT on are links; this one leaves the page below.
        let link = unsafe { Link::at(self.bytes, LINKS_AT + 8 * i).duplicate() };
        let bytes = &mut *self.bytes;
        bytes.copy_within(LINKS_AT + 8 * (i + 1)..ends_at, LINKS_AT + 8 * i);
        bytes.copy_within(ends_at..ends_at + 4 * i, ends_at - 8);
        bytes.copy_within(ends_at + 4 * (i + 1)..names_at, ends_at - 8 + 4 * i);
        bytes.copy_within(names_at..names_at + from, names_at - PER_NAME);
        bytes.copy_within(names_at + to..names_at + total, names_at - PER_NAME + from);
        put_u16(bytes, COUNT_AT, count - 1);
        self.shift_ends(i, ((to - from) as u32).wrapping_neg());
        link
    }

    /// Copies names and links to the end, where there is room; the caller drops them from `from`.
    /// `first` stands for the first name.
    pub(super) fn append(&mut self, from: Page<'_>, range: Range<usize>, first: Option<&[u8]>) {
        let begin = range.start;
        for i in range {
            let name = first.filter(|_| i == begin).unwrap_or_else(|| from.name(i));
            // SAFETY: the caller drops the link from the page that it is copied from.
            let link = unsafe { from.link(i).duplicate() };
            self.insert(count(self.bytes), name, link);
        }
    }

    /// Keeps the first `keep` names; the links of the others have been copied elsewhere.
    pub(super) fn truncate(&mut self, keep: usize) {
        let count = count(self.bytes);
        assert!(keep <= count, "page of {count} names cannot keep {keep}");
        let (ends_at, names_at) = (LINKS_AT + 8 * count, bytes_for(count, 0));
        let names = start(self.bytes, keep);
        let bytes = &mut *self.bytes;
        bytes.copy_within(ends_at..ends_at + 4 * keep, LINKS_AT + 8 * keep);
        bytes.copy_within(names_at..names_at + names, bytes_for(keep, 0));
        put_u16(bytes, COUNT_AT, keep);
    }

    fn shift_ends(&mut self, from: usize, by: u32) {
        let count = count(self.bytes);
        let ends_at = LINKS_AT + 8 * count;
        for end in self.bytes[ends_at + 4 * from..ends_at + 4 * count].as_chunks_mut::<4>().0 {
            *end = u32::from_ne_bytes(*end).wrapping_add(by).to_ne_bytes();
        }
    }
}

/// The names of a page, as a search asks for them: their places are worked out once.
struct Names<'a> {
    ends: &'a [[u8; 4]],
    /// All of them, and what is free behind.
    text: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let count = count(bytes);
        let (ends, text) = bytes[LINKS_AT + 8 * count..].split_at(4 * count);
        Self { ends: ends.as_chunks().0, text }
    }

    fn end(&self, i: usize) -> usize {
        u32::from_ne_bytes(self.ends[i]) as usize
    }

    /// The text from name `i` on, and the length of the name.
    fn from(&self, i: usize) -> (&'a [u8], usize) {
        let start = if i == 0 { 0 } else { self.end(i - 1) };
        (&self.text[start..], self.end(i) - start)
    }

    fn name(&self, i: usize) -> &'a [u8] {
        let (text, len) = self.from(i);
        &text[..len]
    }

    /// How name `i` stands to another, whose head is known. Most names differ in their heads.
    #[inline(always)]
    fn compare(&self, i: usize, other: &[u8], other_head: u64) -> Ordering {
        let (text, len) = self.from(i);
        let head = head(text, len);
        if head == other_head { text[..len].cmp(other) } else { head.cmp(&other_head) }
    }
}

/// The first eight bytes of the name that `text` begins with, as a number that sorts as they do;
/// a shorter name ends in zeros.
#[inline(always)]
fn head(text: &[u8], len: usize) -> u64 {
    let eight = text.first_chunk().map_or_else(|| short_head(text), |e| u64::from_be_bytes(*e));
    if len < 8 { eight & !(u64::MAX >> (8 * len)) } else { eight }
}

/// The head of a text of less than eight bytes.
#[cold]
fn short_head(text: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..text.len()].copy_from_slice(text);
    u64::from_be_bytes(eight)
}

fn count(bytes: &[u8]) -> usize {
    u16_at(bytes, COUNT_AT) as usize
}

fn used(bytes: &[u8]) -> usize {
    bytes_for(count(bytes), start(bytes, count(bytes)))
}

/// Where name `i` begins among the names; `count` gives their whole length.
fn start(bytes: &[u8], i: usize) -> usize {
    if i == 0 { 0 } else { end(bytes, i - 1) }
}

fn end(bytes: &[u8], i: usize) -> usize {
    u32_at(bytes, LINKS_AT + 8 * count(bytes) + 4 * i) as usize
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn put_u16(bytes: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).expect("a page has far fewer than 65536 names");
    bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_as_their_bytes_do_whatever_stands_behind_them() {
        let all: [&[u8]; 12] = [
            b"",
            b"\0",
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0",
            b"a\0\0\0\0\0\0\0\0",
            b"abcdefg",
            b"abcdefgh",
            b"abcdefghi",
            b"abcdefgi",
            b"b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for behind in [&b""[..], b"\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            for (name, other) in all.iter().flat_map(|name| all.map(|other| (*name, other))) {
                let end = (name.len() as u32).to_ne_bytes();
                let names = Names { ends: &[end], text: &[name, behind].concat() };
                let order = names.compare(0, other, head(other, other.len()));
                assert_eq!(order, name.cmp(other), "{name:?} and {other:?} before {behind:?}");
            }
        }
    }
}
