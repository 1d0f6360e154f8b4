//! What is refused before it is judged: writes that a tree, maybe an older one, does not allow.
//!
//! Asked for by `enableEagerACLCheck`, so that the one who judges, and the log, are spared what
//! strangers try in vain. Only the rights are looked at: what is missing in this tree, or wrong in
//! another way, is left to the judgement. A multi always is.
//!
//! Facts: ZooKeeper `ZooKeeperServer.authWriteRequest`, `effectiveACLPath`.

use menagerie_wire::data::perms;
use menagerie_wire::proto::Request;
use menagerie_wire::{ErrorCode, OpCode};

use super::{Caller, Judge, Rules};
use crate::access;
use crate::path;
use crate::tree::View;

/// Whether `request` may go on to be judged.
///
/// # Errors
/// What it is answered instead, without a transaction: [`ErrorCode::NoAuth`] or
/// [`ErrorCode::InvalidAcl`].
pub fn check(
    view: View<'_>,
    rules: &Rules,
    caller: &Caller<'_>,
    request: &Request<'_>,
) -> Result<(), ErrorCode> {
    let (path, needed, acl) = match request {
        Request::Create(OpCode::Create | OpCode::Create2, create) => {
            (path::parent_of_old(&create.path).ok(), perms::CREATE, Some(&create.acl))
        }
        Request::Delete(delete) => (path::parent_of_old(&delete.path).ok(), perms::DELETE, None),
        Request::SetData(set_data) => (set_data.path.as_deref(), perms::WRITE, None),
        Request::SetAcl(set_acl) => (set_acl.path.as_deref(), perms::ADMIN, Some(&set_acl.acl)),
        _ => return Ok(()),
    };
    let Some(path) = path else { return Ok(()) };
    if let Some(acl) = acl {
        access::fixup(acl.as_deref(), caller.ids, rules.schemes, rules.txn_bytes_max)?;
    }
    let judge = Judge { view, rules, caller };
    view.node(path).map_or(Ok(()), |node| judge.allows(node, needed))
}

#[cfg(test)]
mod tests {
    use menagerie_wire::data::Acl;
    use menagerie_wire::proto::SetAcl;

    use super::super::testing::*;
    use super::*;

    fn check_in(world: &World, request: &Request<'_>) -> Result<(), ErrorCode> {
        let caller = Caller { session: world.session, ids: &world.ids };
        check(world.tree.view(), &world.rules, &caller, request)
    }

    #[test]
    fn each_operation_needs_its_own_right() {
        let requests = [
            (create("/a/b"), perms::CREATE),
            (delete("/a/b", -1), perms::DELETE),
            (set_data("/a", b"", -1), perms::WRITE),
            (set_acl("/a", vec![Acl::world(31)], -1), perms::ADMIN),
        ];
        for (request, needed) in requests {
            for right in 0..5 {
                let mut world = World::new();
                world.ok(create_with("/a", vec![Acl::world(1 << right)]));
                let allowed = 1 << right == needed;
                let expect = if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) };
                assert_eq!(check_in(&world, &request), expect, "{request:?} by {right}");
                world.rules.skip_acl = true;
                assert_eq!(check_in(&world, &request), Ok(()), "{request:?}");
            }
        }
    }

    #[test]
    fn a_list_that_nobody_takes_is_refused_before_the_node_is_looked_for() {
        let world = World::with(&["/a"]);
        for path in ["/a", "/none", "/none/below"] {
            let refused = Err(ErrorCode::InvalidAcl);
            assert_eq!(check_in(&world, &create_with(path, vec![])), refused, "{path}");
            assert_eq!(check_in(&world, &set_acl(path, vec![], -1)), refused, "{path}");
        }
    }

    #[test]
    fn what_is_not_about_rights_goes_on() {
        let mut world = World::new();
        world.ok(create_with("/locked", vec![Acl::world(perms::READ)]));
        let null = SetAcl { path: None, acl: Some(vec![]), version: -1 };
        for request in [
            create("/none/a"),
            delete("/none/a", -1),
            set_data("/none", b"", -1),
            create("no path"),
            delete("/zookeeper", -1),
            Request::SetAcl(null),
            multi(vec![op(create("/locked/a"))]),
            Request::Ping,
        ] {
            assert_eq!(check_in(&world, &request), Ok(()), "{request:?}");
        }
    }
}
