//! Which paths a connection watches, so that it can leave without a search of the whole table.
//!
//! A connection keeps a plain list of path numbers that always *contains* what it watches. A fired
//! watch leaves its number behind, as finding it would cost a search; once such leftovers are more
//! than half of the list it is tidied, which costs a constant per watch over time. So a number in
//! the list proves nothing: the path's own watchers decide.

use super::ConnId;
use super::paths::PathId;

#[derive(Default)]
struct Watched {
    /// A superset of the watched paths, with leftovers and doubles.
    paths: Vec<PathId>,
    /// How many of them are really watched.
    live: usize,
}

/// Leftovers that are not worth tidying.
const SLACK: usize = 16;

#[derive(Default)]
pub(super) struct Registry {
    by_conn: Vec<Watched>,
}

impl Registry {
    /// Paths that `conn` watches.
    pub(super) fn live(&self, conn: ConnId) -> usize {
        self.by_conn.get(conn.index()).map_or(0, |watched| watched.live)
    }

    /// `conn` begins to watch `path`; `watches` tells for another path whether it still does.
    pub(super) fn add(&mut self, conn: ConnId, path: PathId, watches: impl Fn(PathId) -> bool) {
        if self.by_conn.len() <= conn.index() {
            self.by_conn.resize_with(conn.index() + 1, Watched::default);
        }
        let watched = &mut self.by_conn[conn.index()];
        if watched.paths.len() > 2 * watched.live + SLACK {
            watched.paths.sort_unstable();
            watched.paths.dedup();
            watched.paths.retain(|&path| watches(path));
            watched.paths.shrink_to(2 * watched.live);
        }
        if watched.paths.len() == watched.paths.capacity() {
            watched.paths.reserve_exact(watched.paths.len() / 2 + 1);
        }
        watched.paths.push(path);
        watched.live += 1;
    }

    /// `conn` watches one path less.
    pub(super) fn forget_one(&mut self, conn: ConnId) {
        let watched = &mut self.by_conn[conn.index()];
        assert!(watched.live > 0, "a connection cannot watch fewer than no paths");
        watched.live -= 1;
        if watched.live == 0 && watched.paths.len() > SLACK {
            watched.paths = Vec::new();
        }
    }

    /// Empties the list of `conn`: whatever it may watch is in the answer.
    pub(super) fn take(&mut self, conn: ConnId) -> Vec<PathId> {
        self.by_conn.get_mut(conn.index()).map(std::mem::take).unwrap_or_default().paths
    }
}
