//! The watchers of one path: sorted by connection, four bytes each.
//!
//! Most watched paths have one watcher, which needs no allocation; a path that a whole fleet
//! watches has one flat list. Sorted, so that a connection finds its entry by bisection and one
//! list never names a connection twice.

use super::ConnId;
use super::modes::Modes;

/// A connection above, its modes in the low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Watcher(u32);

impl Watcher {
    const fn new(conn: ConnId, modes: Modes) -> Self {
        Self(conn.0 << Modes::BITS | modes.bits())
    }

    const fn conn(self) -> ConnId {
        ConnId(self.0 >> Modes::BITS)
    }

    const fn modes(self) -> Modes {
        Modes::from_bits(self.0)
    }
}

/// The watchers of one path; a path that is watched has at least one.
#[derive(Clone, Debug)]
pub(super) struct Watchers(List);

#[derive(Clone, Debug)]
enum List {
    None,
    One(Watcher),
    /// Never empty. Boxed, as there are many slots and few such lists.
    #[expect(clippy::box_collection, reason = "16 bytes a slot instead of 24")]
    Many(Box<Vec<Watcher>>),
}

const _: () = assert!(size_of::<Watchers>() == 16);

impl Watchers {
    pub(super) const NONE: Self = Self(List::None);

    fn as_slice(&self) -> &[Watcher] {
        match &self.0 {
            List::None => &[],
            List::One(watcher) => std::slice::from_ref(watcher),
            List::Many(watchers) => watchers,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, Modes)> {
        self.as_slice().iter().map(|watcher| (watcher.conn(), watcher.modes()))
    }

    fn position(&self, conn: ConnId) -> Result<usize, usize> {
        self.as_slice().binary_search_by_key(&conn, |watcher| watcher.conn())
    }

    pub(super) fn modes(&self, conn: ConnId) -> Modes {
        self.position(conn).map_or(Modes::NONE, |index| self.as_slice()[index].modes())
    }

    /// Replaces the modes of `conn`; none at all take it off the list.
    pub(super) fn set(&mut self, conn: ConnId, modes: Modes) {
        let watcher = Watcher::new(conn, modes);
        match (self.position(conn), &mut self.0) {
            (Ok(_), List::One(_)) if modes.is_empty() => self.0 = List::None,
            (Ok(_), List::One(only)) => *only = watcher,
            (Ok(index), List::Many(watchers)) if modes.is_empty() => {
                watchers.remove(index);
                self.give_back();
            }
            (Ok(index), List::Many(watchers)) => watchers[index] = watcher,
            (Err(_), _) if modes.is_empty() => {}
            (_, List::None) => self.0 = List::One(watcher),
            (Err(index), List::One(only)) => {
                let mut watchers = Vec::with_capacity(4);
                watchers.push(*only);
                watchers.insert(index, watcher);
                self.0 = List::Many(Box::new(watchers));
            }
            (Err(index), List::Many(watchers)) => {
                if watchers.len() == watchers.capacity() {
                    watchers.reserve_exact(watchers.len() / 2 + 2);
                }
                watchers.insert(index, watcher);
            }
        }
    }

    /// Meets every watcher whose modes meet `hit` with its modes before and after: standard ones
    /// among them are consumed.
    pub(super) fn fire(&mut self, hit: Modes, mut met: impl FnMut(ConnId, Modes, Modes)) {
        let consumed = |modes: Modes| modes.without(hit.and(Modes::STANDARD));
        match &mut self.0 {
            List::None => {}
            List::One(watcher) => {
                let (conn, before) = (watcher.conn(), watcher.modes());
                if before.meets(hit) {
                    met(conn, before, consumed(before));
                    self.set(conn, consumed(before));
                }
            }
            List::Many(watchers) => {
                watchers.retain_mut(|watcher| {
                    let (conn, before) = (watcher.conn(), watcher.modes());
                    if !before.meets(hit) {
                        return true;
                    }
                    let after = consumed(before);
                    met(conn, before, after);
                    *watcher = Watcher::new(conn, after);
                    !after.is_empty()
                });
                self.give_back();
            }
        }
    }

    /// A list that has become much shorter than its memory returns the rest.
    fn give_back(&mut self) {
        let List::Many(watchers) = &mut self.0 else { return };
        if watchers.is_empty() {
            self.0 = List::None;
        } else if 4 * watchers.len() <= watchers.capacity() {
            watchers.shrink_to(2 * watchers.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_stays_sorted_and_tight() {
        let mut watchers = Watchers::NONE;
        for index in [5, 1, 9, 3, 7] {
            watchers.set(ConnId::new(index), Modes::DATA);
        }
        watchers.set(ConnId::new(3), Modes::CHILD);
        watchers.set(ConnId::new(9), Modes::NONE);
        let got: Vec<_> = watchers.iter().map(|(conn, modes)| (conn.0, modes)).collect();
        let expect = [(1, Modes::DATA), (3, Modes::CHILD), (5, Modes::DATA), (7, Modes::DATA)];
        assert_eq!(got, expect);
        for index in [1, 3, 5, 7] {
            watchers.set(ConnId::new(index), Modes::NONE);
        }
        assert!(watchers.is_empty());
        assert!(matches!(watchers.0, List::None), "the list's memory is returned");
    }

    #[test]
    fn firing_consumes_what_it_hits_and_nothing_else() {
        let both = Modes::DATA.with(Modes::CHILD);
        for crowd in [0, 3] {
            let mut watchers = Watchers::NONE;
            watchers.set(ConnId::new(0), both);
            for index in 1..=crowd {
                watchers.set(ConnId::new(index), Modes::PERSISTENT);
            }
            let mut met = Vec::new();
            watchers.fire(Modes::DATA, |conn, before, after| met.push((conn.0, before, after)));
            assert_eq!(met, [(0, both, Modes::CHILD)]);
            assert_eq!(watchers.modes(ConnId::new(0)), Modes::CHILD);
            assert_eq!(watchers.iter().count(), 1 + crowd as usize);
        }
    }
}
