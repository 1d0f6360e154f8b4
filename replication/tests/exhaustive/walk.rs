//! Visits every state within given bounds once, with several threads.
//!
//! Each thread walks depth first with a stack of its own, gives of it to those that have nothing
//! left, and asks all of them whether a state is new. Only the print of a state is remembered: that
//! two states share one, so that the second is taken for known, happens with a probability of
//! states² / 2⁶⁵.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::world::{Bounds, World};

const SHARDS: usize = 256;

/// How far a walk went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) states: u64,
    pub(super) steps: u64,
    pub(super) reigns_max: usize,
    pub(super) commits_max: usize,
}

/// A print is a hash already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("prints are numbers")
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}

type Prints = HashSet<u64, BuildHasherDefault<Same>>;

/// The states that were visited.
struct Seen([Mutex<Prints>; SHARDS]);

impl Seen {
    /// Whether it is new.
    fn insert(&self, print: u64) -> bool {
        // The set itself uses the lowest and the highest bits.
        let shard = (print >> 40) as usize % SHARDS;
        lock(&self.0[shard]).insert(print)
    }
}

/// What is left to do for those who have nothing.
#[derive(Default)]
struct Pool {
    shared: Mutex<Shared>,
    changed: Condvar,
    hungry: AtomicBool,
    failed: AtomicBool,
}

#[derive(Default)]
struct Shared {
    worlds: Vec<World>,
    idle: usize,
}

impl Pool {
    /// One state to go on from; none when everybody has come to the end.
    fn take(&self, threads: usize) -> Option<World> {
        let mut shared = lock(&self.shared);
        shared.idle += 1;
        loop {
            if self.failed.load(Relaxed) {
                self.changed.notify_all();
                return None;
            }
            if let Some(world) = shared.worlds.pop() {
                shared.idle -= 1;
                return Some(world);
            }
            if shared.idle == threads {
                self.changed.notify_all();
                return None;
            }
            self.hungry.store(true, Relaxed);
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives away the older half, which is likely to lead further.
    fn give(&self, stack: &mut Vec<World>) {
        let mut shared = lock(&self.shared);
        self.hungry.store(false, Relaxed);
        let half = stack.len() / 2;
        shared.worlds.extend(stack.drain(..half));
        self.changed.notify_all();
    }

    fn fail(&self) {
        let _shared = lock(&self.shared);
        self.failed.store(true, Relaxed);
        self.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Panics
/// When something that must hold does not, after it has printed what led there.
pub(super) fn walk(bounds: Bounds) -> Walk {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let seen = Seen(std::array::from_fn(|_| Mutex::default()));
    let start = World::new(bounds);
    seen.insert(start.print());
    let pool = Pool::default();
    lock(&pool.shared).worlds.push(start);
    let walks: Vec<Walk> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| walk_some(&seen, &pool, threads));
        let all: Vec<_> = (0..threads).map(|_| one()).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        all.into_iter().map(join).collect()
    });
    let add = |sum: Walk, walk: Walk| Walk {
        states: sum.states + walk.states,
        steps: sum.steps + walk.steps,
        reigns_max: sum.reigns_max.max(walk.reigns_max),
        commits_max: sum.commits_max.max(walk.commits_max),
    };
    walks.into_iter().fold(Walk { states: 1, ..Walk::default() }, add)
}

fn walk_some(seen: &Seen, pool: &Pool, threads: usize) -> Walk {
    let mut walk = Walk::default();
    let mut stack = Vec::new();
    while let Some(world) = stack.pop().or_else(|| pool.take(threads)) {
        for action in world.actions() {
            let mut next = world.clone();
            walk.steps += 1;
            let stepped = catch_unwind(AssertUnwindSafe(|| next.take(action)));
            if let Err(panic) = stepped {
                let way = next.way().into_iter().map(|action| format!("    {action:?}\n"));
                eprintln!("after\n{}", way.collect::<String>());
                pool.fail();
                resume_unwind(panic);
            }
            if !next.is_beyond() && seen.insert(next.print()) {
                walk.states += 1;
                walk.reigns_max = walk.reigns_max.max(next.checkers.reign_count());
                walk.commits_max = walk.commits_max.max(next.checkers.committed().len());
                stack.push(next);
            }
        }
        if pool.hungry.load(Relaxed) && stack.len() > 1 {
            pool.give(&mut stack);
        }
    }
    walk
}
