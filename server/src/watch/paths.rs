//! The watched paths: each stored once, numbered, and found by its hash.
//!
//! A number is four bytes where a path would be dozens, which is what lets connections remember
//! their watches cheaply. Numbers are used again; whoever keeps one must ask whether it still means
//! what it meant.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::watchers::Watchers;

/// The number of a watched path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathId(u32);

struct Slot {
    /// Empty in a free slot.
    path: Box<str>,
    /// Empty in a free slot, and in none else while no call is under way.
    watchers: Watchers,
}

/// Slots that an emptied table keeps, so that a lone watch that comes and goes allocates nothing.
const SLOTS_KEPT: usize = 1_024;

#[derive(Default)]
pub(super) struct Paths {
    slots: Vec<Slot>,
    free: Vec<PathId>,
    by_hash: HashTable<PathId>,
    /// Seeded per process: clients choose paths.
    hasher: DefaultHashBuilder,
}

impl Paths {
    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    pub(super) fn find(&self, path: &str) -> Option<PathId> {
        let same = |id: &PathId| &*self.slots[id.0 as usize].path == path;
        self.by_hash.find(self.hasher.hash_one(path), same).copied()
    }

    /// The number of `path`, which from now on has one.
    pub(super) fn intern(&mut self, path: &str) -> PathId {
        if let Some(id) = self.find(path) {
            return id;
        }
        let slot = Slot { path: path.into(), watchers: Watchers::NONE };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(self.slots.len() / 2 + 8);
                }
                self.slots.push(slot);
                PathId(u32::try_from(self.slots.len() - 1).expect("memory ends before path ids"))
            }
        };
        let Self { slots, by_hash, hasher, .. } = self;
        let hash = |id: &PathId| hasher.hash_one(&*slots[id.0 as usize].path);
        by_hash.insert_unique(hash(&id), id, hash);
        id
    }

    pub(super) fn watchers(&self, id: PathId) -> &Watchers {
        &self.slots[id.0 as usize].watchers
    }

    pub(super) fn watchers_mut(&mut self, id: PathId) -> &mut Watchers {
        &mut self.slots[id.0 as usize].watchers
    }

    /// Forgets the path if its last watcher is gone.
    pub(super) fn release(&mut self, id: PathId) {
        let slot = &mut self.slots[id.0 as usize];
        if !slot.watchers.is_empty() {
            return;
        }
        let hash = self.hasher.hash_one(&*slot.path);
        let entry = self.by_hash.find_entry(hash, |other| *other == id);
        entry.expect("a path is released once").remove();
        *slot = Slot { path: Box::default(), watchers: Watchers::NONE };
        self.free.push(id);
        if self.by_hash.is_empty() && self.slots.len() > SLOTS_KEPT {
            *self = Self { hasher: self.hasher.clone(), ..Self::default() };
        }
    }

    /// Every watched path with its watchers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Watchers)> {
        let used = self.slots.iter().filter(|slot| !slot.watchers.is_empty());
        used.map(|slot| (&*slot.path, &slot.watchers))
    }
}
