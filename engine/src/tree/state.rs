//! One state of the tree: the links from which everything is reached, and the sums over it.
//!
//! The hidden tables are maps like the children of a node are, so that a sealed state is exact in
//! all its parts at one zxid, and a reset brings all of them back.

use menagerie_wire::Zxid;

use super::block::Link;

/// Where quotas are kept, mirrored by path.
pub(super) const QUOTA: &str = "/zookeeper/quota";

pub(super) struct State {
    /// The node `/`.
    pub(super) root: Link,
    /// By session id: timeout, and the paths of its ephemerals (`owners`).
    pub(super) owners: Link,
    /// By jute bytes: the access lists that are not open, and their users (`acls`).
    pub(super) acls: Link,
    /// Paths of container nodes; the links are none.
    pub(super) containers: Link,
    /// Paths of TTL nodes; the links are none.
    pub(super) ttls: Link,
    pub(super) last_zxid: Zxid,
    pub(super) digest: u64,
    /// Paths and data, without what each node costs.
    pub(super) data_bytes: u64,
    pub(super) ephemeral_count: u64,
    pub(super) session_count: u64,
    /// Children of [`QUOTA`]: asked for with every write, and nearly always 0.
    pub(super) quota_count: u64,
}

impl State {
    /// No node, not even the root.
    pub(super) const EMPTY: Self = Self {
        root: Link::NONE,
        owners: Link::NONE,
        acls: Link::NONE,
        containers: Link::NONE,
        ttls: Link::NONE,
        last_zxid: Zxid::ZERO,
        digest: 0,
        data_bytes: 0,
        ephemeral_count: 0,
        session_count: 0,
        quota_count: 0,
    };

    /// # Safety
    /// As for [`Link::duplicate`].
    pub(super) unsafe fn duplicate(&self) -> Self {
        // SAFETY: passed on to the caller.
        let copy = |link: &Link| unsafe { link.duplicate() };
        Self {
            root: copy(&self.root),
            owners: copy(&self.owners),
            acls: copy(&self.acls),
            containers: copy(&self.containers),
            ttls: copy(&self.ttls),
            ..*self
        }
    }

    pub(super) fn into_links(self) -> Vec<Link> {
        vec![self.root, self.owners, self.acls, self.containers, self.ttls]
    }
}
