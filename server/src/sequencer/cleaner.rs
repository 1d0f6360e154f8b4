//! Finds containers and TTL nodes whose time is over.
//!
//! Which nodes those are is `engine::txn::container`'s to say; this file says when to look and how
//! fast to delete. Each pass looks at all of them and spreads its deletions, so that a mass of them
//! does not stall other writes. Each candidate is judged again when its deletion is executed.
//!
//! Facts: ZooKeeper `ContainerManager`.

use std::collections::VecDeque;

use menagerie_engine::tree::View;
use menagerie_engine::txn::{Rules, container};

use crate::sequencer::Now;

/// The keys `znode.container.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerSettings {
    pub check_interval_ms: u64,
    /// Deletions per minute, at most.
    pub per_minute_max: u64,
}

/// When to look, and what is still to be deleted of the last pass.
#[derive(Debug)]
pub(crate) struct Cleaner {
    settings: CleanerSettings,
    next_check_ms: u64,
    candidates: VecDeque<Box<str>>,
    next_deletion_ms: u64,
}

impl Cleaner {
    pub(crate) const fn new(settings: CleanerSettings, now_ms: u64) -> Self {
        Self {
            settings,
            next_check_ms: now_ms + settings.check_interval_ms,
            candidates: VecDeque::new(),
            next_deletion_ms: 0,
        }
    }

    /// The nodes to delete now.
    pub(crate) fn due(&mut self, view: View<'_>, rules: &Rules, now: Now) -> Vec<Box<str>> {
        let now_ms = now.monotonic_ms();
        if now_ms >= self.next_check_ms {
            self.next_check_ms = now_ms + self.settings.check_interval_ms;
            if self.candidates.is_empty() {
                self.candidates = container::due(view, rules, now.wall_ms).map(Box::from).collect();
                self.next_deletion_ms = now_ms;
            }
        }
        if self.candidates.is_empty() || now_ms < self.next_deletion_ms {
            return Vec::new();
        }
        let per_minute = self.settings.per_minute_max.max(1);
        let elapsed_ms = now_ms - self.next_deletion_ms;
        let allowed = 1 + elapsed_ms.saturating_mul(per_minute) / 60_000;
        self.next_deletion_ms += allowed.saturating_mul(60_000) / per_minute;
        let count = usize::try_from(allowed).unwrap_or(usize::MAX).min(self.candidates.len());
        self.candidates.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::tree::{NewNode, Owner, Tree};
    use menagerie_wire::Zxid;

    use super::*;

    const SETTINGS: CleanerSettings =
        CleanerSettings { check_interval_ms: 1_000, per_minute_max: 60_000 };

    fn now(ms: u64) -> Now {
        Now { monotonic_us: ms * 1_000, wall_ms: ms as i64 }
    }

    fn insert(tree: &mut Tree, path: &str, owner: Owner) {
        let node = NewNode {
            data: None,
            acl: &[menagerie_wire::data::Acl::world(31)],
            owner,
            czxid: Zxid(1),
            ctime_ms: 0,
        };
        tree.insert(path, node, 1, Zxid(1)).unwrap();
    }

    #[test]
    fn a_used_and_empty_container_and_a_stale_ttl_node_are_due() {
        let mut tree = Tree::new();
        for path in ["/never", "/used", "/full"] {
            insert(&mut tree, path, Owner::Container);
        }
        insert(&mut tree, "/used/x", Owner::None);
        insert(&mut tree, "/full/x", Owner::None);
        tree.remove("/used/x", Zxid(2)).unwrap();
        insert(&mut tree, "/old", Owner::Ttl { ttl_ms: 500 });
        insert(&mut tree, "/young", Owner::Ttl { ttl_ms: 5_000 });
        let mut cleaner = Cleaner::new(SETTINGS, 0);
        assert_eq!(cleaner.due(tree.view(), &Rules::default(), now(999)), [] as [Box<str>; 0]);
        let mut due = cleaner.due(tree.view(), &Rules::default(), now(1_000));
        due.extend(cleaner.due(tree.view(), &Rules::default(), now(1_001)));
        assert_eq!(due, ["/used".into(), "/old".into()]);
    }

    #[test]
    fn deletions_keep_the_pace() {
        let mut tree = Tree::new();
        for index in 0..100 {
            insert(&mut tree, &format!("/ttl{index}"), Owner::Ttl { ttl_ms: 1 });
        }
        let settings = CleanerSettings { per_minute_max: 600, ..SETTINGS };
        let mut cleaner = Cleaner::new(settings, 0);
        let total: usize = (0..20)
            .map(|step| cleaner.due(tree.view(), &Rules::default(), now(1_000 + step * 100)).len())
            .sum();
        assert_eq!(total, 20, "ten a second for two seconds");
    }
}
