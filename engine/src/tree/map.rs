//! Maps from names to links: the children of a node, and the hidden tables.
//!
//! A B+tree of pages. A map is the link to its top page, or none when it is empty; one child needs
//! one small page, a million need four levels. Edits own the pages on their way from the top, so
//! that a batch copies each page once.
//!
//! * All leaves are at one depth; no page is empty; a top that is a branch has at least two pages.
//! * A page splits when it would outgrow [`PAGE_BYTES`]: in its middle, or where names ascend (as
//!   sequential nodes do) at the place of the insert, so that what is behind stays full.
//! * A page below a quarter is merged with a neighbour that has the room.

use super::block::{Kind, Link};
use super::heap::{Arena, Heap};
use super::page::{PAGE_BYTES, Page, PageMut, bytes_for};

/// Pages with fewer names grow beyond [`PAGE_BYTES`] rather than split: their names are long.
const SPLIT_COUNT_MIN: usize = 4;
const MERGE_BELOW: usize = PAGE_BYTES / 4;
/// Merged pages keep room, so that the next insert does not split them again.
const MERGED_MAX: usize = PAGE_BYTES * 3 / 4;

/// A page that is not yet in a branch, and the lower bound of its names.
struct Split {
    bound: Box<[u8]>,
    page: Link,
}

/// What `name` leads to.
pub(super) fn find<'a>(map: &'a Link, name: &[u8]) -> Option<&'a Link> {
    let mut page = page(map)?;
    while !page.is_leaf() {
        page = below(page, page.route(name));
    }
    page.search(name).ok().map(|i| page.link(i))
}

/// Write access to what a name, which is there, leads to.
pub(super) fn own<'a>(heap: &mut Heap, mut map: &'a mut Link, name: &[u8]) -> &'a mut Link {
    loop {
        let top = read(map);
        let (is_leaf, at) = match top.is_leaf() {
            true => (true, top.search(name).expect("an edit follows a find")),
            false => (false, top.route(name)),
        };
        let link = PageMut::new(heap.own(map)).into_link(at);
        if is_leaf {
            return link;
        }
        map = link;
    }
}

/// Adds a name that is not there.
pub(super) fn insert(heap: &mut Heap, map: &mut Link, name: &[u8], link: Link) {
    if map.is_none() {
        *map = new_page(heap.arena(), Kind::Leaf, bytes_for(1, name.len()));
    }
    if let Some(split) = insert_below(heap, map, name, link) {
        let left = std::mem::take(map);
        *map = new_page(heap.arena(), Kind::Branch, bytes_for(2, split.bound.len()));
        let mut top = PageMut::new(heap.own(map));
        top.insert(0, b"", left);
        top.insert(1, &split.bound, split.page);
    }
}

/// Takes a name, which is there, out.
pub(super) fn remove(heap: &mut Heap, map: &mut Link, name: &[u8]) -> Link {
    let link = remove_below(heap, map, name);
    // A top without choice is no level of its own.
    while let Some(top) = page(map) {
        let is_empty = top.count() == 0;
        if !is_empty && (top.is_leaf() || top.count() > 1) {
            break;
        }
        let below = if is_empty { Link::NONE } else { PageMut::new(heap.own(map)).remove(0) };
        heap.replace(map, below);
    }
    link
}

/// All names and what they lead to, in order.
pub(super) fn iter(map: &Link) -> Iter<'_> {
    let mut iter = Iter { above: Vec::new(), leaf: None };
    iter.descend(page(map));
    iter
}

#[derive(Clone)]
pub(super) struct Iter<'a> {
    /// Branches on the way to the leaf, and which page of each comes next.
    above: Vec<(Page<'a>, usize)>,
    leaf: Option<(Page<'a>, usize)>,
}

impl<'a> Iter<'a> {
    fn descend(&mut self, mut from: Option<Page<'a>>) {
        while let Some(page) = from {
            if page.is_leaf() {
                self.leaf = Some((page, 0));
                return;
            }
            self.above.push((page, 1));
            from = Some(below(page, 0));
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a Link);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (leaf, at) = self.leaf.as_mut()?;
            if *at < leaf.count() {
                let i = *at;
                *at += 1;
                return Some((leaf.name(i), leaf.link(i)));
            }
            self.leaf = None;
            while let Some((branch, next)) = self.above.last_mut() {
                if *next < branch.count() {
                    *next += 1;
                    let from = below(*branch, *next - 1);
                    self.descend(Some(from));
                    break;
                }
                self.above.pop();
            }
        }
    }
}

fn insert_below(heap: &mut Heap, map: &mut Link, name: &[u8], link: Link) -> Option<Split> {
    let top = read(map);
    if top.is_leaf() {
        let at = top.search(name).expect_err("the name is not there");
        return add(heap, map, at, name, link);
    }
    let at = top.route(name);
    let low = PageMut::new(heap.own(map)).into_link(at);
    let split = insert_below(heap, low, name, link)?;
    add(heap, map, at + 1, &split.bound, split.page)
}

/// Puts a name into a page at `at`, and splits the page when it is full.
fn add(heap: &mut Heap, map: &mut Link, at: usize, name: &[u8], link: Link) -> Option<Split> {
    let page = read(map);
    if has_room(page, name) {
        place(heap, map, at, name, link);
        return None;
    }
    let count = page.count();
    let cut = if page.ascends_to(at) { at } else { page.middle() };
    let mut right = new_page(heap.arena(), page.kind(), page.used_by(cut..count));
    PageMut::new(heap.arena().fresh(&mut right)).append(page, cut..count, None);
    PageMut::new(heap.own(map)).truncate(cut);
    if at < cut || (at == cut && cut < count && has_room(read(map), name)) {
        place(heap, map, at, name, link);
    } else {
        place(heap, &mut right, at - cut, name, link);
    }
    let (low, high) = (read(map), read(&right));
    let bound = match low.is_leaf() {
        true => separator(low.name(low.count() - 1), high.name(0)),
        false => high.name(0).into(),
    };
    Some(Split { bound, page: right })
}

/// Puts a name into a page that is not to be split.
fn place(heap: &mut Heap, map: &mut Link, at: usize, name: &[u8], link: Link) {
    make_room(heap, map, name.len() + bytes_for(1, 0));
    PageMut::new(heap.own(map)).insert(at, name, link);
}

/// Owns a page with `more` bytes of room. One that grows within its batch will grow on.
fn make_room(heap: &mut Heap, map: &mut Link, more: usize) {
    let page = read(map);
    let need = page.used() + more;
    let size = match heap.owns(map) {
        true if need <= page.size() => return,
        true => (need + need / 4).min(PAGE_BYTES.max(need)),
        false => need,
    };
    let copy = heap.arena().allocate(page.kind(), page_size(size), [page.content(), &[]]);
    heap.replace(map, copy);
}

fn remove_below(heap: &mut Heap, map: &mut Link, name: &[u8]) -> Link {
    let top = read(map);
    if top.is_leaf() {
        let at = top.search(name).expect("an edit follows a find");
        return PageMut::new(heap.own(map)).remove(at);
    }
    let at = top.route(name);
    let low = PageMut::new(heap.own(map)).into_link(at);
    let link = remove_below(heap, low, name);
    tend(heap, map, at);
    link
}

/// Removes page `at` of a branch when it is empty, merges it when it is small.
fn tend(heap: &mut Heap, map: &mut Link, at: usize) {
    let branch = read(map);
    let page = below(branch, at);
    if page.count() == 0 {
        let empty = PageMut::new(heap.own(map)).remove(at);
        return heap.discard(empty);
    }
    if page.used() >= MERGE_BELOW {
        return;
    }
    let fits = |left: &usize| {
        *left + 1 < branch.count()
            && below(branch, *left).used() + below(branch, *left + 1).used() <= MERGED_MAX
    };
    if let Some(left) = at.checked_sub(1).into_iter().chain([at]).find(fits) {
        merge(heap, map, left);
    }
}

fn merge(heap: &mut Heap, map: &mut Link, left: usize) {
    let bound = read(map).name(left + 1).to_vec();
    let right = PageMut::new(heap.own(map)).remove(left + 1);
    let into = PageMut::new(heap.own(map)).into_link(left);
    let from = read(&right);
    make_room(heap, into, from.used() + bound.len());
    let first = (!from.is_leaf()).then_some(&*bound);
    PageMut::new(heap.own(into)).append(from, 0..from.count(), first);
    heap.discard(right);
}

/// Whether a page takes a name without a split.
fn has_room(page: Page<'_>, name: &[u8]) -> bool {
    let need = page.used() + bytes_for(1, name.len()) - bytes_for(0, 0);
    need <= PAGE_BYTES || page.count() < SPLIT_COUNT_MIN
}

/// The shortest bound between two names: above `low`, not above `high`.
fn separator(low: &[u8], high: &[u8]) -> Box<[u8]> {
    let common = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    high[..=common].into()
}

/// Allocators keep sizes apart in such steps; a finer one would waste what it saves.
fn page_size(used: usize) -> usize {
    used.next_multiple_of(if used <= PAGE_BYTES / 2 { 64 } else { 128 })
}

fn new_page(arena: &mut Arena, kind: Kind, size: usize) -> Link {
    arena.allocate(kind, page_size(size), [&[], &[]])
}

fn below(branch: Page<'_>, at: usize) -> Page<'_> {
    read(branch.link(at))
}

fn page(link: &Link) -> Option<Page<'_>> {
    link.block().map(Page::new)
}

/// The page behind a link that is not none.
fn read(link: &Link) -> Page<'_> {
    page(link).expect("every link of a branch leads to a page")
}
