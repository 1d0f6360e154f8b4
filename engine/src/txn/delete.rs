//! delete: one childless node goes.
//!
//! The right to do so is the parent's to give; the node's own list is not asked. The parent's
//! `pzxid` moves, its create counter does not.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`, `DataTree.deleteNode`.

use menagerie_wire::data::perms;
use menagerie_wire::proto::PathVersion;
use menagerie_wire::txn::{SubTxn, TxnBody, TxnHeader};
use menagerie_wire::{ErrorCode, OpCode, Zxid};

use super::change::{Change, ChangeKind};
use super::{Judge, OpResult, next_version, quota};
use crate::path;
use crate::tree::{Node, Tree, TreeError};

pub(super) fn prepare<'a>(
    judge: &Judge<'_>,
    delete: &PathVersion<'a>,
) -> Result<SubTxn<'a>, ErrorCode> {
    judge.session()?;
    let parent = judge.node(path::parent_of_old(&delete.path)?)?;
    judge.allows(parent, perms::DELETE)?;
    let node = judge.node(&delete.path)?;
    next_version(node.persisted().version, delete.version)?;
    if node.child_count() > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    Ok(SubTxn { op: OpCode::Delete, body: TxnBody::Delete { path: delete.path.clone() } })
}

/// Also of deleteContainer and of the ephemerals of a closing session.
pub(super) fn apply(
    tree: &mut Tree,
    header: &TxnHeader,
    path: &str,
    changes: &mut Vec<Change>,
) -> Result<OpResult, ErrorCode> {
    let parent_path = path::parent(path);
    let parent = tree.view().node(parent_path).ok_or(ErrorCode::NoNode)?;
    let parent_acl = parent.acl_handle();
    let Some(node) = tree.view().node(path) else {
        // A state that is ahead has lost the child already; the parent must not forget when.
        tree.raise_pzxid(parent_path, header.zxid);
        return Err(ErrorCode::NoNode);
    };
    let acl = node.acl_handle();
    if node.child_count() > 0 {
        remove_below(tree, path, header.zxid)?;
    }
    remove(tree, path, header.zxid)?;
    let kind = ChangeKind::Deleted;
    changes.push(Change { kind, path: path.into(), data_bytes: 0, acl, parent_acl });
    Ok(OpResult::Delete)
}

fn remove(tree: &mut Tree, path: &str, zxid: Zxid) -> Result<(), TreeError> {
    let data = tree.view().node(path).and_then(Node::data);
    let bytes = data.map_or(0, |data| data.len() as i64);
    tree.remove(path, zxid)?;
    quota::deleted(tree, path, bytes);
    Ok(())
}

/// Removes what is below a node, leaf by leaf.
///
/// Below it is something only in a foreign snapshot taken while it changed: a later node of the
/// same name, whose own transactions follow and make its children anew.
fn remove_below(tree: &mut Tree, path: &str, zxid: Zxid) -> Result<(), TreeError> {
    loop {
        let mut leaf = path.to_owned();
        while let Some((name, _)) = tree.view().node(&leaf).and_then(|node| node.children().next())
        {
            leaf.push('/');
            leaf.push_str(name);
        }
        if leaf.len() == path.len() {
            return Ok(());
        }
        remove(tree, &leaf, zxid)?;
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::SessionId;
    use menagerie_wire::data::Acl;

    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_delete_moves_the_parent_s_pzxid_and_visible_cversion() {
        let mut world = World::with(&["/a", "/a/b"]);
        let executed = world.run(delete("/a/b", 0));
        assert_eq!(executed.outcome.result, Ok(OpResult::Delete));
        let stat = world.node("/a").stat();
        assert_eq!((stat.cversion, stat.num_children), (2, 0));
        assert_eq!(stat.pzxid, executed.txn.header.zxid);
        assert_eq!(world.node("/a").persisted().cversion, 1);
        let [change] = &*executed.outcome.changes else { panic!("one change") };
        assert_eq!((change.kind, &*change.path), (ChangeKind::Deleted, "/a/b"));
    }

    #[test]
    fn errors_come_in_the_order_of_apache() {
        let mut world = World::with(&["/a", "/a/b", "/a/b/c"]);
        world.ok(create_with("/locked", vec![Acl::world(23)]));
        for path in ["", "a", "/a\0b", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            world.refuses(delete(path, -1), ErrorCode::BadArguments);
        }
        for path in ["/nope/x", "/a/", "/a//b", "/a/.", "/nope"] {
            world.refuses(delete(path, -1), ErrorCode::NoNode);
        }
        world.refuses(delete("/locked/nope", -1), ErrorCode::NoAuth);
        world.refuses(delete("/a/b", 9), ErrorCode::BadVersion);
        world.refuses(delete("/a/b", -2), ErrorCode::BadVersion);
        world.refuses(delete("/a/b", 0), ErrorCode::NotEmpty);
        world.session = SessionId(99);
        world.refuses(delete("/", -1), ErrorCode::SessionExpired);
    }

    #[test]
    fn the_node_s_own_list_is_not_asked() {
        let mut world = World::with(&["/a"]);
        world.ok(create_with("/a/shut", vec![Acl::world(0)]));
        world.ok(delete("/a/shut", -1));
    }

    #[test]
    fn a_replayed_delete_of_a_lost_child_still_moves_the_parent() {
        let mut world = World::with(&["/a", "/a/b"]);
        let mut txn = world.run(delete("/a/b", 0)).txn;
        txn.header.zxid = Zxid(900);
        let outcome = super::super::apply(&mut world.tree, &txn);
        assert_eq!(outcome.result, Err(ErrorCode::NoNode));
        assert_eq!(world.node("/a").persisted().pzxid, Zxid(900));
    }

    #[test]
    fn a_replayed_delete_takes_a_later_subtree_of_the_same_name() {
        let mut world = World::with(&["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/b/c/e"]);
        let header = world.run(set_data("/a", b"", -1)).txn.header;
        let mut changes = Vec::new();
        let result = apply(&mut world.tree, &header, "/a/b", &mut changes);
        assert_eq!(result, Ok(OpResult::Delete));
        assert_eq!(world.node("/a").descendants(), 0);
        assert_eq!(changes.len(), 1);
    }
}
