//! What reads saw of single nodes.

use menagerie_wire::{ErrorCode, Zxid};

use super::index::{End, OpIndex, Operation};
use super::operation::{NodeStat, Reply, Request};

/// One node, as a reply showed it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'h> {
    pub op: OpIndex,
    /// Of the reply's header.
    pub zxid: Zxid,
    pub path: &'h str,
    pub found: Found<'h>,
}

/// What was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'h> {
    Absent,
    Node {
        stat: &'h NodeStat,
        /// `None` where the reply does not show it.
        data: Option<Option<&'h str>>,
    },
}

impl Found<'_> {
    /// The last change of the node, where there is one.
    #[must_use]
    pub fn mzxid(&self) -> Option<Zxid> {
        match self {
            Self::Absent => None,
            Self::Node { stat, .. } => Some(stat.mzxid),
        }
    }
}

/// The nodes that an operation saw. Replies without a zxid and errors that tell nothing are left
/// out.
pub(super) fn of(op: OpIndex, operation: &Operation) -> Vec<Sight<'_>> {
    let End::Returned { zxid, result, .. } = &operation.end else { return Vec::new() };
    let sight = |path, result| {
        let found = found(result)?;
        Some(Sight { op, zxid: *zxid, path, found })
    };
    match (&operation.request, result) {
        (
            Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::GetChildren { path, .. },
            result,
        ) => sight(path, result).into_iter().collect(),
        (Request::MultiRead(paths), Ok(Reply::Parts(parts))) => {
            paths.iter().zip(parts).filter_map(|(path, part)| sight(path, part)).collect()
        }
        _ => Vec::new(),
    }
}

fn found(result: &Result<Reply, i32>) -> Option<Found<'_>> {
    match result {
        Err(code) if *code == ErrorCode::NoNode.code() => Some(Found::Absent),
        Err(_) => None,
        Ok(Reply::Data { data, stat }) => Some(Found::Node { stat, data: Some(data.as_deref()) }),
        Ok(reply) => reply.stat().map(|stat| Found::Node { stat, data: None }),
    }
}
