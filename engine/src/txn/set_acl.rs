//! setACL: a new access list, one aversion on. Nobody is told.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`, `DataTree.setACL`.

use menagerie_wire::data::{Acl, perms};
use menagerie_wire::proto::SetAcl;
use menagerie_wire::txn::{SubTxn, TxnBody};
use menagerie_wire::{ErrorCode, OpCode};

use super::{Judge, OpResult, next_version};
use crate::access;
use crate::path;
use crate::tree::Tree;

pub(super) fn prepare<'a>(
    judge: &Judge<'_>,
    set_acl: &SetAcl<'a>,
) -> Result<SubTxn<'a>, ErrorCode> {
    judge.session()?;
    let path = set_acl.path.clone().ok_or(ErrorCode::BadArguments)?;
    path::validate(&path)?;
    let (ids, rules) = (judge.caller.ids, judge.rules);
    let acl = access::fixup(set_acl.acl.as_deref(), ids, rules.schemes, rules.txn_bytes_max)?;
    let node = judge.node(&path)?;
    judge.allows(node, perms::ADMIN)?;
    let version = next_version(node.persisted().aversion, set_acl.version)?;
    Ok(SubTxn { op: OpCode::SetAcl, body: TxnBody::SetAcl { path, acl, version } })
}

pub(super) fn apply(
    tree: &mut Tree,
    path: &str,
    acl: &[Acl<'_>],
    aversion: i32,
) -> Result<OpResult, ErrorCode> {
    tree.set_acl(path, acl, aversion)?;
    let node = tree.view().node(path).ok_or(ErrorCode::NoNode)?;
    Ok(OpResult::SetAcl { stat: node.stat() })
}

#[cfg(test)]
mod tests {
    use menagerie_wire::SessionId;
    use menagerie_wire::data::Id;
    use menagerie_wire::proto::Request;

    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_new_list_moves_the_aversion_only() {
        let mut world = World::with(&["/a"]);
        let before = world.node("/a").stat();
        let acl = vec![Acl::world(1), Acl::new(31, "ip", "127.0.0.1")];
        let executed = world.run(set_acl("/a", acl.clone(), 0));
        let stat = menagerie_wire::data::Stat { aversion: 1, ..before };
        assert_eq!(executed.outcome.result, Ok(OpResult::SetAcl { stat }));
        assert!(executed.outcome.changes.is_empty());
        assert_eq!(world.node("/a").acl().iter().collect::<Vec<_>>(), acl);
        world.refuses(set_acl("/a", acl, 0), ErrorCode::BadVersion);
    }

    #[test]
    fn errors_come_in_the_order_of_apache() {
        let mut world = World::with(&["/a"]);
        world.ok(create_with("/locked", vec![Acl::world(15)]));
        let open = || vec![Acl::world(31)];
        let null = SetAcl { path: None, acl: Some(vec![]), version: -1 };
        world.refuses(Request::SetAcl(null), ErrorCode::BadArguments);
        for path in ["", "a", "/a/", "/a//b", "/a/."] {
            world.refuses(set_acl(path, vec![], 9), ErrorCode::BadArguments);
        }
        world.refuses(set_acl("/nope", vec![], 9), ErrorCode::InvalidAcl);
        world.refuses(set_acl("/nope", open(), 9), ErrorCode::NoNode);
        world.refuses(set_acl("/locked", open(), 9), ErrorCode::NoAuth);
        world.refuses(set_acl("/a", open(), 9), ErrorCode::BadVersion);
        world.session = SessionId(99);
        world.refuses(set_acl("", open(), -1), ErrorCode::SessionExpired);
    }

    #[test]
    fn auth_is_stored_as_who_it_was() {
        let mut world = World::with(&["/a"]);
        world.ids.push(Id::new("digest", "bob:h"));
        world.ok(set_acl("/a", vec![Acl::new(31, "auth", "")], -1));
        let stored: Vec<_> = world.node("/a").acl().iter().collect();
        assert_eq!(stored, [Acl::new(31, "digest", "bob:h")]);
    }
}
