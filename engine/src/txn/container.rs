//! The nodes that end by themselves: containers whose last child went, TTL nodes left alone.
//!
//! The server looks for them now and then ([`due`]) and asks for their deletion one by one; each
//! is judged again when its turn comes, as a child or a write may have come in between. Apache
//! judges only that the node is childless and no ephemeral, so that a plain node created in the
//! meantime goes too; here it stays.
//!
//! Facts: ZooKeeper `ContainerManager`, `PrepRequestProcessor.pRequest2Txn`.

use std::borrow::Cow;

use menagerie_wire::txn::{SubTxn, TxnBody};
use menagerie_wire::{ErrorCode, OpCode};

use super::Rules;
use crate::path;
use crate::tree::{Node, Owner, View};

/// Paths of the nodes whose time has come at `now_ms` of the leader's wall clock.
pub fn due<'v>(
    view: View<'v>,
    rules: &'v Rules,
    now_ms: i64,
) -> impl Iterator<Item = &'v str> + 'v {
    let candidates = view.containers().chain(view.ttls());
    candidates.filter(move |path| view.node(path).is_some_and(|node| is_due(node, rules, now_ms)))
}

fn is_due(node: Node<'_>, rules: &Rules, now_ms: i64) -> bool {
    let stat = node.persisted();
    let idle_ms = now_ms.saturating_sub(stat.mtime_ms);
    let unused_ms_max = rules.container_unused_ms_max;
    node.child_count() == 0
        && match node.owner() {
            Owner::Container if stat.cversion != 0 => true,
            Owner::Container => unused_ms_max != 0 && idle_ms > unused_ms_max,
            Owner::Ttl { ttl_ms } => ttl_ms != 0 && idle_ms > ttl_ms,
            Owner::None | Owner::Session(_) => false,
        }
}

pub(super) fn prepare<'a>(
    view: View<'_>,
    rules: &Rules,
    path: &Cow<'a, str>,
    now_ms: i64,
) -> Result<SubTxn<'a>, ErrorCode> {
    path::parent_of_old(path)?;
    let node = view.node(path).ok_or(ErrorCode::NoNode)?;
    if node.child_count() > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    if !is_due(node, rules, now_ms) {
        return Err(ErrorCode::BadVersion);
    }
    Ok(SubTxn { op: OpCode::DeleteContainer, body: TxnBody::Delete { path: path.clone() } })
}

#[cfg(test)]
mod tests {
    use super::super::InternalRequest;
    use super::super::OpResult;
    use super::super::testing::*;
    use super::*;

    fn delete_container(world: &mut World, path: &'static str) -> Result<OpResult, ErrorCode> {
        world.internal(InternalRequest::DeleteContainer { path: path.into() })
    }

    #[test]
    fn a_container_is_due_when_its_last_child_has_gone() {
        let mut world = World::new();
        world.ok(create_as(OpCode::CreateContainer, "/c", 4, None));
        let paths = |world: &World, now_ms| {
            due(world.tree.view(), &world.rules, now_ms).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(paths(&world, i64::MAX), "");
        world.ok(create("/c/x"));
        assert_eq!(paths(&world, i64::MAX), "");
        assert_eq!(delete_container(&mut world, "/c"), Err(ErrorCode::NotEmpty));
        world.ok(delete("/c/x", -1));
        assert_eq!(paths(&world, 0), "/c");
        assert_eq!(delete_container(&mut world, "/c"), Ok(OpResult::Delete));
        assert_eq!(delete_container(&mut world, "/c"), Err(ErrorCode::NoNode));
    }

    #[test]
    fn a_container_never_used_is_due_when_the_rules_say_so() {
        let mut world = World::new();
        world.ok(create_as(OpCode::CreateContainer, "/c", 4, None));
        assert_eq!(delete_container(&mut world, "/c"), Err(ErrorCode::BadVersion));
        world.rules.container_unused_ms_max = 1500;
        let made_ms = world.node("/c").stat().mtime_ms;
        let count = |now_ms| due(world.tree.view(), &world.rules, now_ms).count();
        assert_eq!((count(made_ms + 1500), count(made_ms + 1501)), (0, 1));
    }

    #[test]
    fn a_write_restarts_the_clock_of_a_ttl_node_and_a_child_stops_it() {
        let mut world = World::new();
        world.ok(create_as(OpCode::CreateTtl, "/t", 5, Some(1500)));
        world.ok(set_data("/t", b"", -1));
        assert_eq!(delete_container(&mut world, "/t"), Err(ErrorCode::BadVersion));
        world.ok(create("/t/x"));
        assert_eq!(delete_container(&mut world, "/t"), Err(ErrorCode::NotEmpty));
        world.ok(delete("/t/x", -1));
        assert_eq!(delete_container(&mut world, "/t"), Ok(OpResult::Delete));
    }

    #[test]
    fn other_nodes_do_not_end_by_themselves() {
        let mut world = World::with(&["/plain"]);
        world.ok(create_as(OpCode::Create, "/e", 1, None));
        for path in ["/plain", "/e"] {
            assert_eq!(delete_container(&mut world, path), Err(ErrorCode::BadVersion));
        }
        for path in ["", "/", "/zookeeper", "pp"] {
            assert_eq!(delete_container(&mut world, path), Err(ErrorCode::BadArguments));
        }
    }
}
