//! What a block leads to, by its kind: for resets, and for the end of a tree or of a builder.

use super::block::{self, Kind, Link};
use super::entry;
use super::page::Page;
use super::znode::Znode;

/// Appends copies of all links of a block, none included.
///
/// A node's access list is not among them: it belongs to the ACL table.
///
/// # Safety
/// As for [`Link::duplicate`]: the copies must not outlive the use that `heap` makes of them.
pub(super) unsafe fn push_links(from: &Link, links: &mut Vec<Link>) {
    let Some(block) = from.block() else { return };
    // SAFETY: passed on to the caller.
    let mut push = |link: &Link| links.push(unsafe { link.duplicate() });
    match block.kind() {
        Kind::Bytes => {}
        Kind::Plain | Kind::Full => {
            let node = Znode::new(block);
            node.outside().into_iter().chain([node.children()]).for_each(&mut push);
        }
        Kind::Leaf | Kind::Branch => {
            let page = Page::new(block);
            (0..page.count()).for_each(|i| push(page.link(i)));
        }
        Kind::Entry => push(entry::read(from).1),
    }
}

/// Frees what a builder has made and no state has got, when the building is given up.
pub(super) fn abandon(links: impl Iterator<Item = Link>) {
    // SAFETY: builders own what they make until it becomes part of a tree, by one link each.
    unsafe { release_all(&mut links.collect()) };
}

/// Frees all that the links lead to, and returns how many blocks that were.
///
/// # Safety
/// Nobody else may have a way to any of it, and no two links to the same.
pub(super) unsafe fn release_all(links: &mut Vec<Link>) -> u64 {
    let mut count = 0;
    while let Some(link) = links.pop() {
        if link.is_none() {
            continue;
        }
        // SAFETY: the caller vouches that this is the last use; what the block leads to is noted
        // before, and each block has one way in.
        unsafe {
            push_links(&link, links);
            block::release(link);
        }
        count += 1;
    }
    count
}
