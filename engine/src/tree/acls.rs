//! The ACL table: each distinct list once, with the number of nodes that use it.
//!
//! Nodes hold the address of the list, so that reading one looks nothing up; the table keeps the
//! list alive as long as its count is above 0, and with it every state that still has such a node.
//! The open list is address 0: it is not in the table and costs nothing.
#![deny(unsafe_code)]

use super::acl::OPEN;
use super::block::Link;
use super::heap::Heap;
use super::{bytes, entry, map};

/// Counts one node more with this list and returns its address.
pub(super) fn intern(heap: &mut Heap, acls: &mut Link, jute: &[u8]) -> u64 {
    if jute == OPEN {
        return 0;
    }
    if let Some(entry) = map::own(heap, acls, jute) {
        let (count, list) = entry::read(entry);
        let address = list.address();
        entry::set_number(heap, entry, count + 1);
        return address;
    }
    let list = bytes::create(heap.arena(), jute);
    let address = list.address();
    let entry = entry::create(heap.arena(), 1, list);
    map::insert(heap, acls, jute, entry);
    address
}

/// Counts one node less with this list; the last one takes it out of the table.
pub(super) fn release(heap: &mut Heap, acls: &mut Link, jute: &[u8]) {
    if jute == OPEN {
        return;
    }
    let entry = map::own(heap, acls, jute).expect("a list in use is in the table");
    let (count, _) = entry::read(entry);
    assert!(count > 0, "more nodes let go of an access list than used it");
    if count > 1 {
        return entry::set_number(heap, entry, count - 1);
    }
    let list = std::mem::take(entry::own_link(heap, entry));
    let entry = map::remove(heap, acls, jute);
    heap.discard(list);
    heap.discard(entry);
}
