//! check: a multi goes on only if a node has the version that the client knows.
//!
//! It changes nothing, but the node's READ right is asked, as its version is what a read shows.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`.

use menagerie_wire::data::perms;
use menagerie_wire::proto::PathVersion;
use menagerie_wire::txn::{SubTxn, TxnBody};
use menagerie_wire::{ErrorCode, OpCode};

use super::{Judge, next_version};
use crate::path;

pub(super) fn prepare<'a>(
    judge: &Judge<'_>,
    check: &PathVersion<'a>,
) -> Result<SubTxn<'a>, ErrorCode> {
    judge.session()?;
    path::validate(&check.path)?;
    let node = judge.node(&check.path)?;
    judge.allows(node, perms::READ)?;
    let version = next_version(node.persisted().version, check.version)?;
    Ok(SubTxn { op: OpCode::Check, body: TxnBody::Check { path: check.path.clone(), version } })
}
