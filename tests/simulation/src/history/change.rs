//! What writes did to the tree, or may have done, one node at a time.

use menagerie_wire::{SessionId, Zxid};

use super::index::{End, OpIndex, Operation};
use super::operation::{CreateMode, NodeStat, Write};

/// How a node was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created(CreateMode),
    DataChanged,
    Deleted,
}

/// One changed node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of the transaction; [`Zxid::NONE`] when no reply tells.
    pub zxid: Zxid,
    pub op: OpIndex,
    /// Which part of a multi; 0 for others.
    pub part: usize,
    pub session: SessionId,
    /// `None`: a sequential node of which no reply tells the name.
    pub path: Option<String>,
    pub kind: ChangeKind,
    /// What the node holds afterwards.
    pub data: Option<String>,
    /// As the reply tells it.
    pub stat: Option<NodeStat>,
}

impl Change {
    /// The path of an acknowledged change.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }
}

/// The changes of all acknowledged writes, in the order of their zxids.
pub(super) fn acknowledged(operations: &[Operation]) -> Vec<Change> {
    let mut changes: Vec<Change> = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.is_acknowledged_write())
        .flat_map(|(index, operation)| of(index, operation))
        .collect();
    changes.sort_by_key(|change| (change.zxid, change.op, change.part));
    changes
}

/// The changes that writes without an answer may have made.
pub(super) fn doubtful(operations: &[Operation]) -> Vec<Change> {
    let unknown = |(_, operation): &(_, &Operation)| operation.end == End::Unknown;
    let operations = operations.iter().enumerate().filter(unknown);
    operations.flat_map(|(index, operation)| of(index, operation)).collect()
}

fn of(op: OpIndex, operation: &Operation) -> impl Iterator<Item = Change> {
    operation.parts().enumerate().filter_map(move |(part, (write, reply))| {
        let (kind, data) = match write {
            Write::Create { mode, data, .. } => (ChangeKind::Created(*mode), data.clone()),
            Write::SetData { data, .. } => (ChangeKind::DataChanged, data.clone()),
            Write::Delete { .. } => (ChangeKind::Deleted, None),
            Write::Check { .. } => return None,
        };
        Some(Change {
            zxid: operation.zxid().unwrap_or(Zxid::NONE),
            op,
            part,
            session: operation.session,
            path: write.target(reply).map(str::to_owned),
            kind,
            data,
            stat: reply.and_then(|reply| reply.stat()).copied(),
        })
    })
}
