//! What a transaction changed, for those who watch.

use crate::tree::AclHandle;

/// How a node changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Deleted,
    DataChanged,
}

/// One changed node. Changes of its access list, and of quota statistics, are not among these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    pub path: Box<str>,
    /// Length of the data that was written with it.
    pub data_bytes: usize,
    /// The node's list: who may be told about it. Of a deleted node, its last one.
    pub acl: AclHandle,
    /// The parent's list, for those who watch its children. Open when they learn nothing.
    pub parent_acl: AclHandle,
}
