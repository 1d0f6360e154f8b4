//! Quotas: limits on how many nodes and bytes a subtree may hold, and the count of what it holds.
//!
//! Both live in the tree itself, below `/zookeeper/quota`, under the path they speak about: the
//! limits in the data of `zookeeper_limits`, written by administrators; the usage in the data of
//! `zookeeper_stats`, kept by every server as a part of applying transactions. The nearest node
//! upwards that has limits is the one that counts.
//!
//! Soft limits are for people to look at. Hard limits refuse creates and setData when they are
//! enforced. Text that nobody can read refuses as long as it stands there, and is not counted on.
//!
//! Facts: ZooKeeper `Quotas`, `StatsTrack`, `DataTree.updateQuotaStat`,
//! `ZooKeeperServer.checkQuota`. Inside one multi Apache compares with the usage before the multi,
//! we with the usage so far.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use menagerie_wire::ErrorCode;

use super::Judge;
use crate::path;
use crate::tree::{Node, Tree, View};

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD_LIMIT: &str = "countHardLimit";
const BYTE_HARD_LIMIT: &str = "byteHardLimit";

/// What the data of either node says: `count=4,bytes=5=;byteHardLimit=9`. A key that is missing
/// or -1 stands for no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures<'t> {
    values: BTreeMap<&'t str, i64>,
}

impl<'t> Figures<'t> {
    /// `None` when the text is none of this form.
    pub fn parse(data: Option<&'t [u8]>) -> Option<Self> {
        let text = str::from_utf8(data?).ok()?;
        let mut values = BTreeMap::new();
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            values.insert(key, value.parse().ok()?);
        }
        Some(Self { values })
    }

    fn of(count: i64, bytes: i64) -> Self {
        Self { values: BTreeMap::from([(COUNT, count), (BYTES, bytes)]) }
    }

    fn value(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    /// The two old keys first and in their old form: readers of 3.4 stop behind the odd `=`.
    // ZooKeeper: StatsTrack.toString
    fn to_text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.value(COUNT), self.value(BYTES));
        let mut others = self.values.iter().filter(|(key, _)| !matches!(**key, COUNT | BYTES));
        let mut separator = "=;";
        others
            .try_for_each(|(key, value)| {
                let written = write!(text, "{separator}{key}={value}");
                separator = ";";
                written
            })
            .expect("a string takes everything");
        text
    }
}

/// The quota that counts for a path.
struct Quota<'t, 'p> {
    /// The node whose subtree is limited.
    root: &'p str,
    limits: Node<'t>,
    stats: Option<Node<'t>>,
}

/// Walks the mirror of `path` below `/zookeeper/quota`. The root itself cannot have a quota.
// ZooKeeper: DataTree.getMaxPrefixWithQuota
fn nearest<'t, 'p>(view: View<'t>, path: &'p str) -> Option<Quota<'t, 'p>> {
    if !view.has_quotas() {
        return None;
    }
    let mut mirror = view.node(path::QUOTA)?;
    let mut found = None;
    let mut end = 0;
    for name in path.split('/').skip(1) {
        end += 1 + name.len();
        let Some(below) = mirror.child(name) else { break };
        mirror = below;
        if let Some(limits) = mirror.child(LIMITS) {
            found = Some(Quota { root: &path[..end], limits, stats: mirror.child(STATS) });
        }
    }
    found
}

/// Judges whether a create or setData may add this much below its quota's hard limits.
// ZooKeeper: ZooKeeperServer.checkQuota
pub(super) fn check(
    judge: &Judge<'_>,
    path: &str,
    count: i64,
    bytes: i64,
) -> Result<(), ErrorCode> {
    if !judge.rules.enforce_quota {
        return Ok(());
    }
    let Some(quota) = nearest(judge.view, path) else { return Ok(()) };
    let limits = Figures::parse(quota.limits.data()).ok_or(ErrorCode::MarshallingError)?;
    let Some(stats) = quota.stats else { return Ok(()) };
    let usage = Figures::parse(stats.data()).ok_or(ErrorCode::MarshallingError)?;
    let exceeds = |key, limit, added: i64| {
        let limit = limits.value(limit);
        added != 0 && limit > -1 && usage.value(key).saturating_add(added) > limit
    };
    if exceeds(COUNT, COUNT_HARD_LIMIT, count) || exceeds(BYTES, BYTE_HARD_LIMIT, bytes) {
        return Err(ErrorCode::QuotaExceeded);
    }
    Ok(())
}

/// Counts the node that was just made at `path`; a new node for statistics is filled first.
pub(super) fn created(tree: &mut Tree, path: &str, bytes: i64) {
    if let Some(mirror) = path.strip_prefix(path::QUOTA)
        && let Some((of, STATS)) = mirror.rsplit_once('/')
        && !of.is_empty()
    {
        let usage = measure(tree.view(), of).to_text();
        set_usage(tree, path, &usage);
    }
    count(tree, path, 1, bytes);
}

/// Counts that the node at `path` has gone with its data.
pub(super) fn deleted(tree: &mut Tree, path: &str, bytes: i64) {
    count(tree, path, -1, -bytes);
}

/// Counts that the data at `path` has grown.
pub(super) fn resized(tree: &mut Tree, path: &str, bytes: i64) {
    count(tree, path, 0, bytes);
}

fn count(tree: &mut Tree, path: &str, count: i64, bytes: i64) {
    let Some(quota) = nearest(tree.view(), path) else { return };
    let Some(mut usage) = quota.stats.and_then(|stats| Figures::parse(stats.data())) else {
        return;
    };
    for (key, added) in [(COUNT, count), (BYTES, bytes)] {
        let value = usage.value(key).saturating_add(added);
        usage.values.insert(key, value);
    }
    let text = usage.to_text();
    let stats = [path::QUOTA, quota.root, "/", STATS].concat();
    set_usage(tree, &stats, &text);
}

fn set_usage(tree: &mut Tree, path: &str, text: &str) {
    tree.set_usage(path, text.as_bytes()).expect("the node was just seen");
}

/// Counts the subtree at `path`, its root included; nothing when there is none.
// ZooKeeper: DataTree.getCounts
fn measure(view: View<'_>, path: &str) -> Figures<'static> {
    let (mut count, mut bytes) = (0, 0);
    let mut stack: Vec<Node<'_>> = view.node(path).into_iter().collect();
    while let Some(node) = stack.pop() {
        count += 1;
        bytes += node.data().map_or(0, |data| data.len() as i64);
        stack.extend(node.children().map(|(_, child)| child));
    }
    Figures::of(count, bytes)
}

#[cfg(test)]
mod tests {
    use menagerie_wire::OpCode;
    use menagerie_wire::proto::{Create, Request};

    use super::super::testing::*;
    use super::*;

    const STATS_OF_Q: &str = "/zookeeper/quota/q/zookeeper_stats";
    const LIMITS_OF_Q: &str = "/zookeeper/quota/q/zookeeper_limits";

    fn create_data<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
        Request::Create(OpCode::Create, Create { data: Some(data), ..new(path) })
    }

    /// `/q` with two nodes and five bytes, and these limits.
    fn world(limits: &[u8]) -> World {
        let mut world = World::new();
        world.rules.enforce_quota = true;
        for (path, data) in [("/q", &b""[..]), ("/q/a", b"12345"), ("/zookeeper/quota/q", b"")] {
            world.ok(create_data(path, data));
        }
        world.ok(create_data(LIMITS_OF_Q, limits));
        world.ok(create_data(STATS_OF_Q, b"count=0,bytes=0"));
        world
    }

    fn usage(world: &World) -> &str {
        str::from_utf8(world.node(STATS_OF_Q).data().unwrap()).unwrap()
    }

    #[test]
    fn figures_are_read_and_written_as_apache_does() {
        let check = |text: &str, expect: &str| {
            let figures = Figures::parse(Some(text.as_bytes())).expect(text);
            assert_eq!(figures.to_text(), expect);
        };
        check("", "count=-1,bytes=-1");
        check("count=4,bytes=5", "count=4,bytes=5");
        let both = "count=4,bytes=5=;byteHardLimit=9;countHardLimit=8";
        check("count=4,bytes=5=;countHardLimit=8;byteHardLimit=9", both);
        check("bytes=5;count=4,,byteHardLimit=9,countHardLimit=8", both);
        for text in ["garbage", "count=", "count=x"] {
            assert_eq!(Figures::parse(Some(text.as_bytes())), None, "{text}");
        }
        assert_eq!(Figures::parse(None), None);
    }

    #[test]
    fn usage_follows_every_change_without_touching_the_stat() {
        let mut world = world(b"count=-1,bytes=-1");
        let stat = world.node(STATS_OF_Q).persisted();
        assert_eq!(usage(&world), "count=2,bytes=5");
        world.ok(create_data("/q/b", b"1"));
        assert_eq!(usage(&world), "count=3,bytes=6");
        world.ok(set_data("/q/b", b"123", -1));
        assert_eq!(usage(&world), "count=3,bytes=8");
        world.ok(delete("/q/b", -1));
        assert_eq!(usage(&world), "count=2,bytes=5");
        world.ok(create("/qq"));
        assert_eq!(usage(&world), "count=2,bytes=5");
        assert_eq!(world.node(STATS_OF_Q).persisted(), stat);
    }

    #[test]
    fn hard_limits_refuse_what_exceeds_them() {
        let mut world = world(b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3");
        world.ok(create_data("/q/b", b"1"));
        world.refuses(create_data("/q/c", b""), ErrorCode::QuotaExceeded);
        world.refuses(set_data("/q/a", &[b'x'; 30], -1), ErrorCode::QuotaExceeded);
        world.refuses(set_data("/q/a", &[b'x'; 40], 7), ErrorCode::QuotaExceeded);
        world.ok(set_data("/q/a", &[b'x'; 19], -1));
        world.refuses(set_data("/q/a", b"", 7), ErrorCode::BadVersion);
        let ops = vec![op(delete("/q/b", -1)), op(create("/q/b")), op(create("/q/c"))];
        assert_eq!(world.multi_codes(ops), (1, ErrorCode::QuotaExceeded));
        assert_eq!(usage(&world), "count=3,bytes=20");
        world.ok(delete(LIMITS_OF_Q, -1));
        world.ok(create_data("/q/free", &[b'x'; 100]));
        assert_eq!(usage(&world), "count=3,bytes=20");
    }

    #[test]
    fn limits_bind_only_where_they_are_enforced_and_hard() {
        let mut world = world(b"count=1,bytes=1");
        world.ok(create_data("/q/b", b"12345678"));
        world.ok(set_data(LIMITS_OF_Q, b"countHardLimit=1", -1));
        world.refuses(create("/q/c"), ErrorCode::QuotaExceeded);
        world.rules.enforce_quota = false;
        world.ok(create("/q/c"));
    }

    #[test]
    fn unreadable_limits_refuse_and_unreadable_usage_is_left_alone() {
        let mut world = world(b"garbage");
        world.refuses(create("/q/b"), ErrorCode::MarshallingError);
        let creates = ["/other", "/q/b"].map(|path| op(create(path)));
        world.refuses(multi(creates.into()), ErrorCode::MarshallingError);
        world.ok(set_data(LIMITS_OF_Q, b"", -1));
        world.ok(set_data(STATS_OF_Q, b"garbage", -1));
        world.rules.enforce_quota = false;
        world.ok(create("/q/b"));
        assert_eq!(usage(&world), "garbage");
    }

    #[test]
    fn the_nearest_quota_counts() {
        let mut world = world(b"");
        let mirror = "/zookeeper/quota/q/a";
        world.ok(create_data(mirror, b""));
        world.ok(create_data(&format!("{mirror}/zookeeper_limits"), b""));
        let stats = format!("{mirror}/zookeeper_stats");
        world.ok(create_data(&stats, b""));
        world.ok(create_data("/q/a/x", b"1"));
        assert_eq!(world.node(&stats).data(), Some(&b"count=2,bytes=6"[..]));
        assert_eq!(usage(&world), "count=2,bytes=5");
        world.ok(create_data("/q/x", b"1"));
        assert_eq!(usage(&world), "count=3,bytes=6");
    }

    #[test]
    fn the_root_has_no_quota() {
        let mut world = World::new();
        world.ok(create_data("/zookeeper/quota/zookeeper_limits", b"countHardLimit=1"));
        world.ok(create_data("/zookeeper/quota/zookeeper_stats", b"count=7,bytes=7"));
        world.ok(create("/a"));
        let stats = world.node("/zookeeper/quota/zookeeper_stats").data();
        assert_eq!(stats, Some(&b"count=7,bytes=7"[..]));
    }
}
