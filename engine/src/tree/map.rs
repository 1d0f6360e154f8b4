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
#![deny(unsafe_code)]

use super::block::{Kind, Link};
use super::heap::{Arena, Heap};
use super::page::{PAGE_BYTES, Page, PageMut, bytes_for};
use super::reach;

/// Pages with fewer names grow beyond [`PAGE_BYTES`] rather than split: their names are long.
const SPLIT_COUNT_MIN: usize = 4;
const MERGE_BELOW: usize = PAGE_BYTES / 4;
/// Merged pages keep room, so that the next insert does not split them again.
const MERGED_MAX: usize = PAGE_BYTES * 3 / 4;

/// A page that is not yet in a branch, and the lower bound of its names.
#[derive(Default)]
struct Split {
    bound: Box<[u8]>,
    page: Link,
}

/// What `name` leads to.
pub(super) fn find<'a>(map: &'a Link, name: &[u8]) -> Option<&'a Link> {
    map.prefetch(PAGE_BYTES);
    let mut page = page(map)?;
    while !page.is_leaf() {
        let link = page.link(page.route(name));
        link.prefetch(PAGE_BYTES);
        page = read(link);
    }
    page.search(name).ok().map(|i| page.link(i))
}

/// Write access to what `name` leads to. Pages on the way are copied even when it is not there.
pub(super) fn own<'a>(heap: &mut Heap, mut map: &'a mut Link, name: &[u8]) -> Option<&'a mut Link> {
    loop {
        map.prefetch(PAGE_BYTES);
        let top = page(map)?;
        let (is_leaf, at) = match top.is_leaf() {
            true => (true, top.search(name).ok()?),
            false => (false, top.route(name)),
        };
        let link = PageMut::new(heap.own(map)).into_link(at);
        if is_leaf {
            return Some(link);
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

/// Builds a map from names in ascending order, with full pages.
///
/// The pages of the right edge are open, one per level; a full one is closed into the level above.
#[derive(Default)]
pub(super) struct Builder {
    levels: Vec<Split>,
}

impl Builder {
    /// # Panics
    /// When `name` is not above the one before.
    pub(super) fn push(&mut self, arena: &mut Arena, name: &[u8], link: Link) {
        let mut bound = Box::default();
        if let Some(open) = self.levels.first() {
            let leaf = read(&open.page);
            let last = leaf.name(leaf.count() - 1);
            assert!(last < name, "names are added to a map in ascending order");
            if !has_room(leaf, name) {
                bound = separator(last, name);
            }
        }
        self.push_at(arena, 0, name, link, bound);
    }

    /// `bound` is the lower bound of a page that begins with this name, should one begin.
    fn push_at(
        &mut self,
        arena: &mut Arena,
        level: usize,
        name: &[u8],
        link: Link,
        bound: Box<[u8]>,
    ) {
        let kind = if level == 0 { Kind::Leaf } else { Kind::Branch };
        if level == self.levels.len() {
            self.levels.push(Split { bound, page: new_page(arena, kind, PAGE_BYTES) });
        } else if !has_room(read(&self.levels[level].page), name) {
            let new = Split { bound, page: new_page(arena, kind, PAGE_BYTES) };
            let mut full = std::mem::replace(&mut self.levels[level], new);
            trim(arena, &mut full.page);
            self.push_at(arena, level + 1, &full.bound.clone(), full.page, full.bound);
        }
        let open = &mut self.levels[level].page;
        let need = read(open).used() + bytes_for(1, name.len());
        if need > read(open).size() {
            let used = read(open).used();
            arena.resize(open, page_size(need), used);
        }
        let at = read(open).count();
        PageMut::new(arena.fresh(open)).insert(at, name, link);
    }

    pub(super) fn finish(mut self, arena: &mut Arena) -> Link {
        let mut level = 0;
        while level < self.levels.len() {
            let Split { bound, mut page } = std::mem::take(&mut self.levels[level]);
            trim(arena, &mut page);
            level += 1;
            if level == self.levels.len() {
                return page;
            }
            self.push_at(arena, level, &bound.clone(), page, bound);
        }
        Link::NONE
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        // Open pages are not linked to each other yet.
        reach::abandon(self.levels.drain(..).map(|open| open.page));
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

fn trim(arena: &mut Arena, link: &mut Link) {
    let used = read(link).used();
    arena.resize(link, page_size(used), used);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks order, bounds, depth and fill, and returns names and depth.
    fn check(map: &Link, low: &[u8], high: Option<&[u8]>, names: &mut Vec<Vec<u8>>) -> usize {
        let Some(page) = page(map) else { return 0 };
        assert!(page.count() > 0, "an empty page");
        let longest = (0..page.count()).map(|i| page.name(i).len()).max().unwrap_or(0);
        let is_small = page.used() <= PAGE_BYTES + 2 * longest;
        assert!(is_small || page.count() <= SPLIT_COUNT_MIN, "page of {}", page.used());
        let mut depth = None;
        for i in 0..page.count() {
            if page.is_leaf() {
                assert!(page.name(i) >= low && high.is_none_or(|high| page.name(i) < high));
                names.push(page.name(i).to_vec());
                continue;
            }
            let low = if i == 0 { low } else { page.name(i) };
            let high = if i + 1 < page.count() { Some(page.name(i + 1)) } else { high };
            let below = check(page.link(i), low, high, names);
            assert_eq!(*depth.get_or_insert(below), below, "leaves at one depth");
        }
        1 + depth.unwrap_or(0)
    }

    fn names_of(map: &Link) -> (Vec<Vec<u8>>, usize) {
        let mut names = Vec::new();
        let depth = check(map, b"", None, &mut names);
        assert!(map_names(map).eq(names.iter().map(|name| &**name)));
        (names, depth)
    }

    fn map_names(map: &Link) -> impl Iterator<Item = &[u8]> {
        iter(map).map(|(name, _)| name)
    }

    fn free(heap: &mut Heap, map: &mut Link) {
        let (names, _) = names_of(map);
        for name in &names {
            assert_eq!(remove(heap, map, name), Link::NONE);
        }
        assert!(map.is_none());
        assert_eq!(heap.live(), (0, 0));
    }

    fn fill(map: &Link) -> f64 {
        fn sum(map: &Link) -> (usize, usize) {
            let page = read(map);
            if page.is_leaf() {
                return (page.used(), 1);
            }
            let below = (0..page.count()).map(|i| sum(page.link(i)));
            below.fold((0, 0), |(used, count), more| (used + more.0, count + more.1))
        }
        let (used, count) = sum(map);
        used as f64 / (count * PAGE_BYTES) as f64
    }

    #[test]
    fn ascending_names_fill_their_pages() {
        let check = |name: fn(u32) -> String| {
            let (mut heap, mut map) = (Heap::new(), Link::NONE);
            for i in 0..5000 {
                insert(&mut heap, &mut map, name(i).as_bytes(), Link::NONE);
            }
            assert!(fill(&map) > 0.9, "{} is only {}", name(0), fill(&map));
            free(&mut heap, &mut map);
        };
        check(|i| format!("lock-{i:010}"));
        // Two sequences in one directory: one of them ascends in the middle.
        check(|i| format!("{}-{i:010}", if i % 5000 < 2500 { "b" } else { "a" }));
    }

    #[test]
    fn a_map_built_in_bulk_is_dense_and_can_be_edited() {
        for count in [0, 1, 2, 40, 41, 42, 5000, 100_000] {
            let mut heap = Heap::new();
            let mut builder = Builder::default();
            let name = |i: u32| format!("n{i:06}").into_bytes();
            for i in 0..count {
                builder.push(heap.arena(), &name(2 * i), Link::NONE);
            }
            let mut map = builder.finish(heap.arena());
            let (names, _) = names_of(&map);
            assert!(names.into_iter().eq((0..count).map(|i| name(2 * i))));
            assert!(count < 5000 || fill(&map) > 0.9, "{count}");
            for i in 0..count.min(500) {
                insert(&mut heap, &mut map, &name(2 * i * (count / 500).max(1) + 1), Link::NONE);
            }
            free(&mut heap, &mut map);
        }
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => "[ab]{1,12}".prop_map(String::into_bytes),
            2 => "prefix-that-all-of-them-have-[0-9]{3}".prop_map(String::into_bytes),
            1 => "[xy]{200,900}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 1..40),
        ]
    }

    proptest! {
        #[test]
        fn a_map_holds_what_a_set_holds(
            names in prop::collection::vec((name(), any::<bool>()), 1..400),
            bulk in any::<bool>(),
        ) {
            let mut heap = Heap::new();
            let mut set = std::collections::BTreeSet::new();
            let mut map = Link::NONE;
            if bulk {
                let half = &names[..names.len() / 2];
                set.extend(half.iter().map(|(name, _)| name.clone()));
                let mut builder = Builder::default();
                set.iter().for_each(|name| builder.push(heap.arena(), name, Link::NONE));
                map = builder.finish(heap.arena());
            }
            for (name, keep) in &names {
                prop_assert_eq!(find(&map, name).is_some(), set.contains(name));
                if set.insert(name.clone()) {
                    insert(&mut heap, &mut map, name, Link::NONE);
                } else if !keep {
                    set.remove(name);
                    remove(&mut heap, &mut map, name);
                }
            }
            prop_assert!(names_of(&map).0.iter().eq(&set));
            free(&mut heap, &mut map);
        }
    }
}
