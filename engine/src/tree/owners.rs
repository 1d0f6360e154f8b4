//! The owner table: sessions with their timeouts, and the paths of the ephemerals each owns.
//!
//! A row exists for an open session, and for an owner of ephemerals that is none (replay may see
//! such): the top bit of its number tells. Keys sort as the ids do.
#![deny(unsafe_code)]

use menagerie_wire::SessionId;

use super::block::Link;
use super::heap::Heap;
use super::{entry, map};

const OPEN: u64 = 1 << 63;

/// A row, read.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    /// `None`: no open session.
    pub(super) timeout_ms: Option<i32>,
    paths: &'a Link,
}

impl<'a> Owner<'a> {
    fn read(entry: &'a Link) -> Self {
        let (number, paths) = entry::read(entry);
        Self { timeout_ms: (number & OPEN != 0).then_some(number as i32), paths }
    }

    pub(super) fn paths(self) -> impl Iterator<Item = &'a str> + use<'a> {
        map::iter(self.paths).map(|(path, _)| str(path))
    }

    pub(super) fn has_paths(self) -> bool {
        !self.paths.is_none()
    }
}

pub(super) fn find(owners: &Link, id: SessionId) -> Option<Owner<'_>> {
    map::find(owners, &key(id)).map(Owner::read)
}

/// All rows, by id.
pub(super) fn iter(owners: &Link) -> impl Iterator<Item = (SessionId, Owner<'_>)> {
    map::iter(owners).map(|(key, entry)| (id(key), Owner::read(entry)))
}

/// Makes the session open. True when it was not.
pub(super) fn open(heap: &mut Heap, owners: &mut Link, id: SessionId, timeout_ms: i32) -> bool {
    let was_open = find(owners, id).is_some_and(|owner| owner.timeout_ms.is_some());
    let entry = row(heap, owners, id);
    entry::set_number(heap, entry, OPEN | u64::from(timeout_ms as u32));
    !was_open
}

/// True when the session was open.
pub(super) fn close(heap: &mut Heap, owners: &mut Link, id: SessionId) -> bool {
    if find(owners, id).is_none_or(|owner| owner.timeout_ms.is_none()) {
        return false;
    }
    let row = row(heap, owners, id);
    entry::set_number(heap, row, 0);
    prune(heap, owners, id);
    true
}

pub(super) fn add(heap: &mut Heap, owners: &mut Link, id: SessionId, path: &str) {
    let row = row(heap, owners, id);
    let paths = entry::own_link(heap, row);
    map::insert(heap, paths, path.as_bytes(), Link::NONE);
}

pub(super) fn remove(heap: &mut Heap, owners: &mut Link, id: SessionId, path: &str) {
    let row = row(heap, owners, id);
    let paths = entry::own_link(heap, row);
    map::remove(heap, paths, path.as_bytes());
    prune(heap, owners, id);
}

/// The row of `id`, made when it is not there.
fn row<'a>(heap: &mut Heap, owners: &'a mut Link, id: SessionId) -> &'a mut Link {
    let key = key(id);
    if map::find(owners, &key).is_none() {
        let entry = entry::create(heap.arena(), 0, Link::NONE);
        map::insert(heap, owners, &key, entry);
    }
    map::own(heap, owners, &key).expect("the row is there by now")
}

/// Takes a row away that says nothing.
fn prune(heap: &mut Heap, owners: &mut Link, id: SessionId) {
    let says_nothing = |owner: Owner<'_>| owner.timeout_ms.is_none() && !owner.has_paths();
    if find(owners, id).is_some_and(says_nothing) {
        let entry = map::remove(heap, owners, &key(id));
        heap.discard(entry);
    }
}

fn key(id: SessionId) -> [u8; 8] {
    (id.0 ^ i64::MIN).to_be_bytes()
}

fn id(key: &[u8]) -> SessionId {
    let key = key.try_into().expect("keys of the owner table are 8 bytes");
    SessionId(i64::from_be_bytes(key) ^ i64::MIN)
}

/// Paths and names come in as `str`.
pub(super) fn str(name: &[u8]) -> &str {
    std::str::from_utf8(name).expect("names of nodes are UTF-8")
}
