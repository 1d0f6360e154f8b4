//! What the network between the servers does at this moment: for each direction between two of
//! them, whether bytes pass and how late.
//!
//! Whoever carries bytes asks [`Links::pass`], which waits until they may go; the nemesis changes
//! the links while bytes wait. A blocked link loses nothing, as TCP would send again what was lost:
//! what was on its way arrives once the link is open, if the two still listen.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One direction between two servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub blocked: bool,
    /// Packets are lost. Only between namespaces: a relay has bytes, not packets.
    pub lossy: bool,
    /// Only over relays.
    pub delay: Duration,
}

impl Link {
    const OPEN: Self = Self { blocked: false, lossy: false, delay: Duration::ZERO };
    pub const BLOCKED: Self = Self { blocked: true, ..Self::OPEN };
    pub const LOSSY: Self = Self { lossy: true, ..Self::OPEN };

    #[must_use]
    pub const fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::OPEN }
    }
}

/// All directions; those not named are open and immediate.
#[derive(Debug, Default)]
pub struct Links {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<(u64, u64), Link>,
    ended: bool,
}

impl Links {
    /// Changes the direction from one server to another.
    pub fn set(&self, from: u64, to: u64, link: Link) {
        self.lock().links.insert((from, to), link);
        self.changed.notify_all();
    }

    /// Opens every direction.
    pub fn heal(&self) {
        self.lock().links.clear();
        self.changed.notify_all();
    }

    /// Lets go of everyone who waits: nothing passes any more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until what came at `came` may go on; `false` when nothing passes any more.
    #[must_use]
    pub fn pass(&self, from: u64, to: u64, came: Instant) -> bool {
        let mut state = self.lock();
        while !state.ended {
            let link = state.links.get(&(from, to)).copied().unwrap_or_default();
            let left = (came + link.delay).saturating_duration_since(Instant::now());
            state = if link.blocked {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else if left.is_zero() {
                return true;
            } else {
                let waited = self.changed.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_for_an_open_link_and_for_their_time() {
        let links = Links::default();
        links.set(1, 2, Link::BLOCKED);
        assert!(links.pass(2, 1, Instant::now()), "the other direction is open");
        let began = Instant::now();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| links.pass(1, 2, began));
            let delay = Duration::from_millis(30);
            links.set(1, 2, Link::slow(delay));
            assert!(waiting.join().unwrap());
            assert!(began.elapsed() >= delay);
        });
    }

    #[test]
    fn the_end_lets_go_of_everyone() {
        let links = Links::default();
        links.set(1, 2, Link::BLOCKED);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| links.pass(1, 2, Instant::now()));
            links.end();
            assert!(!waiting.join().unwrap());
        });
    }
}
