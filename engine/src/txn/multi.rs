//! multi: all of its operations, or none.
//!
//! Each operation is judged on the tree that the ones before it made, and applied at once; when
//! one is refused, the tree goes back to the root sealed before the first. The transaction then
//! keeps the operations before the failing one and has errors in the place of the others: that
//! is what other servers expect, and none of it is ever applied.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequestHelper`, `DataTree.processTxn`.

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::proto::{MultiRequest, WriteOp};
use menagerie_wire::txn::{SubTxn, Txn, TxnBody, TxnDigest, TxnHeader};
use menagerie_wire::{ErrorCode, OpCode};

use super::change::Change;
use super::{
    Caller, Executed, Judge, OpResult, Outcome, Rules, Stamp, apply_single, check, commit, create,
    delete, refusal, result, set_data, size,
};
use crate::tree::Tree;

pub(super) fn execute<'a>(
    tree: &mut Tree,
    rules: &Rules,
    caller: &Caller<'_>,
    stamp: Stamp,
    multi: &MultiRequest<'a>,
) -> Executed<'a> {
    let savepoint = tree.seal();
    let mut run = Run { tree, rules, caller, header: stamp.header(OpCode::Multi) };
    let mut changes = Vec::new();
    let (subs, result) = match run.all(multi, &mut changes) {
        Ok(done) => done,
        Err(code) => {
            tree.reset_to(&savepoint);
            return commit(tree, stamp, Err(code));
        }
    };
    if let OpResult::MultiRefused { .. } = result {
        tree.reset_to(&savepoint);
        changes.clear();
    }
    let header = stamp.header(OpCode::Multi);
    tree.advance(header.zxid);
    let digest = Some(TxnDigest::new(tree.view().digest()));
    let txn = Txn { header, body: TxnBody::Multi(subs) };
    Executed { txn, digest, outcome: Outcome { result: Ok(result), changes } }
}

/// A multi under way.
struct Run<'r> {
    tree: &'r mut Tree,
    rules: &'r Rules,
    caller: &'r Caller<'r>,
    header: TxnHeader,
}

impl Run<'_> {
    /// Judges and applies operation by operation.
    ///
    /// # Errors
    /// When the multi is refused as a whole: invalid flags, too long a transaction, or quota limits
    /// in the way that are none. ZooKeeper tells what it cannot work with from what it refuses.
    fn all<'a>(
        &mut self,
        multi: &MultiRequest<'a>,
        changes: &mut Vec<Change>,
    ) -> Result<(Vec<SubTxn<'a>>, OpResult), ErrorCode> {
        judge_flags(&multi.ops)?;
        let count = multi.ops.len();
        let mut subs = Vec::with_capacity(count);
        let mut results = Vec::with_capacity(count);
        let mut bytes = size::ENVELOPE_BYTES + size::LENGTH_BYTES;
        for op in &multi.ops {
            match self.prepare(op) {
                Ok(sub) => {
                    bytes += size::sub(&sub);
                    if bytes > self.rules.txn_bytes_max {
                        return Err(ErrorCode::MarshallingError);
                    }
                    let result = apply_single(self.tree, &self.header, sub.op, &sub.body, changes);
                    assert!(result.is_ok(), "{:?} of a multi was judged otherwise", sub.op);
                    results.push(result);
                    subs.push(sub);
                }
                Err(code @ ErrorCode::MarshallingError) => return Err(code),
                Err(code) => {
                    let failed = subs.len();
                    subs.push(refusal(code));
                    subs.resize_with(count, || refusal(ErrorCode::RuntimeInconsistency));
                    return Ok((subs, OpResult::MultiRefused { failed, code, count }));
                }
            }
        }
        Ok((subs, OpResult::Multi(results)))
    }

    fn prepare<'a>(&self, op: &WriteOp<'a>) -> Result<SubTxn<'a>, ErrorCode> {
        let judge = Judge { view: self.tree.view(), rules: self.rules, caller: self.caller };
        match op {
            WriteOp::Create(op, create) => {
                create::prepare(&judge, create::op_in_multi(*op, create)?, create)
            }
            WriteOp::Delete(delete) => delete::prepare(&judge, delete),
            WriteOp::SetData(set_data) => set_data::prepare(&judge, set_data),
            WriteOp::Check(check) => check::prepare(&judge, check),
        }
    }
}

/// Apache reads the flags of every create before it judges the first operation.
fn judge_flags(ops: &[WriteOp<'_>]) -> Result<(), ErrorCode> {
    ops.iter().try_for_each(|op| match op {
        WriteOp::Create(op, create) => create::op_in_multi(*op, create).map(|_| ()),
        WriteOp::Delete(_) | WriteOp::SetData(_) | WriteOp::Check(_) => Ok(()),
    })
}

/// Applies a multi from the log or from a leader. One error among its operations means that none
/// took place.
pub(super) fn apply(
    tree: &mut Tree,
    header: &TxnHeader,
    subs: &[SubTxn<'_>],
    changes: &mut Vec<Change>,
) -> OpResult {
    let error = |(index, sub): (usize, &SubTxn<'_>)| match sub.body {
        TxnBody::Error { err } => Some((index, result::error_code(err))),
        _ => None,
    };
    if let Some((failed, code)) = subs.iter().enumerate().find_map(error) {
        return OpResult::MultiRefused { failed, code, count: subs.len() };
    }
    let apply = |sub: &SubTxn<'_>| apply_single(tree, header, sub.op, &sub.body, changes);
    let left_out = usize::from(flaws::has(Flaw::MultiLosesItsEnd));
    OpResult::Multi(subs[..subs.len().saturating_sub(left_out)].iter().map(apply).collect())
}

#[cfg(test)]
mod tests {
    use menagerie_wire::data::Acl;

    use super::super::testing::*;
    use super::*;

    #[test]
    fn operations_see_the_effects_of_those_before_them() {
        let mut world = World::new();
        let ops = vec![
            op(create("/a")),
            op(create("/a/b")),
            op(set_data("/a/b", b"x", 0)),
            check_op("/a/b", 1),
            op(delete("/a/b", 1)),
            op(create_as(OpCode::Create2, "/a/s-", 2, None)),
        ];
        let executed = world.run(multi(ops));
        let Ok(OpResult::Multi(results)) = executed.outcome.result else { panic!("refused") };
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(executed.outcome.changes.len(), 5);
        let stat = world.node("/a/s-0000000001").stat();
        assert_eq!(stat.czxid, executed.txn.header.zxid);
        assert_eq!(world.node("/a").persisted().cversion, 2);
    }

    #[test]
    fn a_refused_operation_takes_everything_back() {
        let mut world = World::with(&["/a", "/b"]);
        let digest = world.tree.view().digest();
        let ops = vec![
            op(create_as(OpCode::Create, "/a/s-", 2, None)),
            op(delete("/b", -1)),
            op(create("/a")),
            op(create("/never")),
        ];
        let executed = world.run(multi(ops));
        let refused = OpResult::MultiRefused { failed: 2, code: ErrorCode::NodeExists, count: 4 };
        assert_eq!(executed.outcome.result, Ok(refused));
        assert!(executed.outcome.changes.is_empty());
        assert_eq!(executed.digest, Some(TxnDigest::new(digest)));
        let TxnBody::Multi(subs) = &executed.txn.body else { panic!("no multi") };
        let ops: Vec<_> = subs.iter().map(|sub| sub.op).collect();
        assert_eq!(ops, [OpCode::Create, OpCode::Delete, OpCode::Error, OpCode::Error]);
        assert_eq!(subs[2].body, TxnBody::Error { err: -110 });
        assert_eq!(subs[3].body, TxnBody::Error { err: -2 });
        assert!(world.has("/b"));
        assert_eq!(world.node("/a").persisted().cversion, 0);
    }

    #[test]
    fn an_empty_multi_takes_a_zxid_and_nothing_else() {
        let mut world = World::new();
        assert_eq!(world.ok(multi(vec![])), OpResult::Multi(vec![]));
    }

    #[test]
    fn each_operation_is_judged_as_it_is_alone() {
        let mut world = World::with(&["/a", "/a/b"]);
        world.ok(create_with("/shut", vec![Acl::world(2)]));
        world.ok(create_as(OpCode::Create, "/e", 1, None));
        let mut check = |op, code| assert_eq!(world.multi_codes(vec![op]), (0, code));
        check(check_op("/nope", -1), ErrorCode::NoNode);
        check(check_op("/a", 9), ErrorCode::BadVersion);
        check(check_op("/shut", 9), ErrorCode::NoAuth);
        check(check_op("/a/", 9), ErrorCode::BadArguments);
        check(op(delete("/a", -1)), ErrorCode::NotEmpty);
        check(op(delete("/zookeeper", -1)), ErrorCode::BadArguments);
        check(op(create("/a/")), ErrorCode::BadArguments);
        check(op(create("/e/x")), ErrorCode::NoChildrenForEphemerals);
        check(op(create_as(OpCode::CreateTtl, "/t", 5, Some(0))), ErrorCode::BadArguments);
        check(op(create_as(OpCode::CreateTtl, "/t", 9, Some(5))), ErrorCode::BadArguments);
    }

    #[test]
    fn flags_decide_the_kind_and_bad_ones_spoil_the_whole() {
        let mut world = World::new();
        for flags in [5, 9, -1] {
            let ops = vec![op(create("/a")), op(create_as(OpCode::Create, "/b", flags, None))];
            world.refuses(multi(ops), ErrorCode::MarshallingError);
        }
        assert!(!world.has("/a"));
        let ops = vec![
            op(create_as(OpCode::Create, "/c", 4, None)),
            op(create_as(OpCode::CreateTtl, "/t", 5, Some(9))),
            op(create_as(OpCode::CreateTtl, "/plain", 0, Some(9))),
        ];
        let Ok(OpResult::Multi(results)) = world.result(multi(ops)) else { panic!("refused") };
        assert!(matches!(results[0], Ok(OpResult::Create2 { .. })));
        assert!(matches!(results[1], Ok(OpResult::Create2 { .. })));
        assert!(matches!(results[2], Ok(OpResult::Create { .. })));
        assert_eq!(world.node("/c").owner(), crate::tree::Owner::Container);
    }

    #[test]
    fn a_multi_that_would_not_fit_into_a_transaction_is_refused_as_a_whole() {
        let mut world = World::new();
        world.rules.txn_bytes_max = 400;
        let names: Vec<String> = (0..8).map(|n| format!("/node-{n}")).collect();
        let ops = names.iter().map(|name| op(create(name))).collect();
        world.refuses(multi(ops), ErrorCode::MarshallingError);
        assert!(!world.has("/node-0"));
    }
}
