//! create, create2, createContainer, createTTL.
//!
//! The four differ in the kind of node they make and in what they answer. The parent's create
//! counter is at once the sequence number of names and the `parentCVersion` of the transaction.
//! At its end, 2^31-1, sequential creates are refused, for their names would repeat; plain ones
//! go on with a counter that stays.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2TxnCreate`, `DataTree.createNode`; for the flags
//! in a multi `MultiOperationRecord` and `Op` of 3.9.

use std::borrow::Cow;
use std::fmt::Write as _;

use menagerie_wire::data::{Stat, perms};
use menagerie_wire::proto::{Create, CreateFlags};
use menagerie_wire::txn::{CreateTxn, NodeKind, SubTxn, TxnBody, TxnHeader};
use menagerie_wire::{ErrorCode, OpCode, SessionId};

use super::change::{Change, ChangeKind};
use super::{Judge, OpResult, quota};
use crate::access;
use crate::path;
use crate::tree::{AclHandle, NewNode, Owner, Tree, TreeError};

/// Digits of a sequence number.
const SEQUENCE_DIGITS: usize = 10;

/// Judges a create and completes it: name, access list, the parent's version.
pub(super) fn prepare<'a>(
    judge: &Judge<'_>,
    op: OpCode,
    create: &Create<'a>,
) -> Result<SubTxn<'a>, ErrorCode> {
    let flags = CreateFlags::try_from(create.flags).map_err(|_| ErrorCode::BadArguments)?;
    let kind = kind_of(judge, op, flags, create.ttl_ms)?;
    judge.session()?;
    let parent_path = path::parent_of_new(&create.path)?;
    let (ids, rules) = (judge.caller.ids, judge.rules);
    let acl = access::fixup(create.acl.as_deref(), ids, rules.schemes, rules.txn_bytes_max)?;
    let parent = judge.node(parent_path)?;
    judge.allows(parent, perms::CREATE)?;
    let counter = parent.persisted().cversion;
    let path = name(create.path.clone(), flags, counter)?;
    path::validate(&path)?;
    let name = path::name(&path);
    // The only valid path without a last name is the root's.
    if name.is_empty() || parent.child(name).is_some() {
        return Err(ErrorCode::NodeExists);
    }
    if matches!(parent.owner(), Owner::Session(_)) {
        return Err(ErrorCode::NoChildrenForEphemerals);
    }
    let data = create.data;
    quota::check(judge, &path, 1, data.map_or(0, <[u8]>::len) as i64)?;
    let parent_cversion = counter.saturating_add(1);
    let data = data.map(Cow::Borrowed);
    let body = TxnBody::Create(CreateTxn { path, data, acl, kind, parent_cversion });
    Ok(SubTxn { op, body })
}

/// The kind of node; at the top level the opcode decides, and flag 4 alone makes no container.
fn kind_of(
    judge: &Judge<'_>,
    op: OpCode,
    flags: CreateFlags,
    ttl_ms: Option<i64>,
) -> Result<NodeKind, ErrorCode> {
    if flags.is_ttl() {
        if !judge.rules.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let ttl_ms = ttl_ms.filter(|ttl_ms| (1..=Owner::TTL_MS_MAX).contains(ttl_ms));
        return Ok(NodeKind::Ttl { ttl_ms: ttl_ms.ok_or(ErrorCode::BadArguments)? });
    }
    match op {
        // Apache lets a TTL of -1 pass here and stops when it applies the transaction.
        OpCode::CreateTtl => Err(ErrorCode::BadArguments),
        OpCode::CreateContainer => Ok(NodeKind::Container),
        _ if flags.is_ephemeral() => Ok(NodeKind::Ephemeral),
        _ => Ok(NodeKind::Persistent),
    }
}

fn name(path: Cow<'_, str>, flags: CreateFlags, counter: i32) -> Result<Cow<'_, str>, ErrorCode> {
    if !flags.is_sequential() {
        return Ok(path);
    }
    if counter == i32::MAX {
        return Err(ErrorCode::BadArguments);
    }
    let mut name = String::with_capacity(path.len() + SEQUENCE_DIGITS);
    name.push_str(&path);
    write!(name, "{counter:0SEQUENCE_DIGITS$}").expect("a string takes everything");
    Ok(Cow::Owned(name))
}

/// The operation that a create inside a multi stands for: there the flags decide.
///
/// # Errors
/// When the flags spoil the multi as a whole.
pub(super) fn op_in_multi(op: OpCode, create: &Create<'_>) -> Result<OpCode, ErrorCode> {
    match (op, CreateFlags::try_from(create.flags)) {
        (_, Ok(CreateFlags::Container)) => Ok(OpCode::CreateContainer),
        (OpCode::CreateTtl, Ok(flags)) if flags.is_ttl() => Ok(OpCode::CreateTtl),
        (OpCode::CreateTtl, _) => Ok(OpCode::Create),
        (_, Ok(flags)) if !flags.is_ttl() => Ok(op),
        _ => Err(ErrorCode::MarshallingError),
    }
}

pub(super) fn apply(
    tree: &mut Tree,
    header: &TxnHeader,
    op: OpCode,
    create: &CreateTxn<'_>,
    changes: &mut Vec<Change>,
) -> Result<OpResult, ErrorCode> {
    let path = &*create.path;
    if !path::is_canonical(path) {
        return Err(ErrorCode::BadArguments);
    }
    let parent_path = path::parent(path);
    let parent_cversion = match create.parent_cversion {
        -1 => {
            let parent = tree.view().node(parent_path).ok_or(ErrorCode::NoNode)?;
            parent.persisted().cversion.saturating_add(1)
        }
        cversion => cversion,
    };
    let node = NewNode {
        data: create.data.as_deref(),
        acl: &create.acl,
        owner: owner(create.kind, header.client_id)?,
        czxid: header.zxid,
        ctime_ms: header.time_ms,
    };
    let parent_acl = match tree.insert(path, node, parent_cversion, header.zxid) {
        Err(TreeError::NodeExists) => return Err(replay(tree, header, op, create)),
        inserted => inserted?.acl_handle(),
    };
    if parent_cversion == i32::MAX {
        // The counter stays, but the set of children has changed.
        tree.raise_pzxid(parent_path, header.zxid);
    }
    let data_len = create.data.as_ref().map_or(0, |data| data.len());
    quota::created(tree, path, data_len as i64);
    let path: Box<str> = path.into();
    let result = match op {
        OpCode::Create => OpResult::Create { path: path.clone() },
        _ => {
            OpResult::Create2 { path: path.clone(), stat: first_stat(header, node.owner, data_len) }
        }
    };
    let acl = AclHandle::new(&create.acl);
    let kind = ChangeKind::Created;
    changes.push(Change { kind, path, data_bytes: data_len, acl, parent_acl });
    Ok(result)
}

/// The stat of a node that was just made, as a client sees it.
// ZooKeeper: DataTree.createStat
fn first_stat(header: &TxnHeader, owner: Owner, data_len: usize) -> Stat {
    Stat {
        czxid: header.zxid,
        mzxid: header.zxid,
        pzxid: header.zxid,
        ctime_ms: header.time_ms,
        mtime_ms: header.time_ms,
        ephemeral_owner: owner.session(),
        data_length: data_len as i32,
        ..Stat::default()
    }
}

/// A state that is ahead of the transaction has the node already, perhaps of a later creation:
/// its list becomes the transaction's, and the parent's counter is not left behind.
// ZooKeeper: DataTree.createNode, and DataTree.processTxn below its switch
fn replay(tree: &mut Tree, header: &TxnHeader, op: OpCode, create: &CreateTxn<'_>) -> ErrorCode {
    let aversion = tree.view().node(&create.path).map_or(0, |node| node.persisted().aversion);
    if let Err(error) = tree.set_acl(&create.path, &create.acl, aversion) {
        return error.into();
    }
    if op == OpCode::Create {
        let parent = path::parent(&create.path);
        let cversion = match create.parent_cversion {
            -1 => tree
                .view()
                .node(parent)
                .map_or(0, |node| node.persisted().cversion.saturating_add(1)),
            cversion => cversion,
        };
        tree.raise_parent(parent, cversion, header.zxid);
    }
    ErrorCode::NodeExists
}

/// Whose the node is. A transaction from elsewhere may carry what no judge of ours would pass.
fn owner(kind: NodeKind, session: SessionId) -> Result<Owner, ErrorCode> {
    match kind {
        NodeKind::Persistent => Ok(Owner::None),
        NodeKind::Ephemeral => Ok(Owner::from_raw(session.0)),
        NodeKind::Container => Ok(Owner::Container),
        NodeKind::Ttl { ttl_ms } if (0..=Owner::TTL_MS_MAX).contains(&ttl_ms) => {
            Ok(Owner::Ttl { ttl_ms })
        }
        NodeKind::Ttl { .. } => Err(ErrorCode::BadArguments),
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::Zxid;
    use menagerie_wire::data::Acl;

    use super::super::InternalRequest;
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_create_moves_the_parent_s_counter_and_pzxid_only() {
        let mut world = World::with(&["/a"]);
        let before = world.node("/a").persisted();
        let executed = world.run(create_as(OpCode::Create2, "/a/b", 0, None));
        let (zxid, time_ms) = (executed.txn.header.zxid, executed.txn.header.time_ms);
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            data_length: 4,
            ..Stat::default()
        };
        let result = OpResult::Create2 { path: "/a/b".into(), stat };
        assert_eq!(executed.outcome.result, Ok(result));
        let after = world.node("/a").persisted();
        assert_eq!(after, crate::tree::StatPersisted { pzxid: zxid, cversion: 1, ..before });
        let [change] = &*executed.outcome.changes else { panic!("one change") };
        assert_eq!((change.kind, &*change.path), (ChangeKind::Created, "/a/b"));
    }

    #[test]
    fn errors_come_in_the_order_of_apache() {
        let mut world = World::with(&["/a", "/a/b"]);
        world.ok(create_as(OpCode::Create, "/e", 1, None));
        world.ok(create_with("/locked", vec![Acl::world(27)]));
        world.ok(create_with("/locked-parent", vec![Acl::world(31)]));
        let bad_acl = |path| create_with(path, vec![]);
        // Flags and TTL before anything else.
        world.refuses(create_as(OpCode::Create, "bad", 7, None), ErrorCode::BadArguments);
        world.refuses(create_as(OpCode::Create, "/t", 5, None), ErrorCode::BadArguments);
        world.refuses(create_as(OpCode::CreateTtl, "/t", 0, Some(-1)), ErrorCode::BadArguments);
        world.refuses(create_as(OpCode::CreateTtl, "/t", 0, Some(9)), ErrorCode::BadArguments);
        for ttl_ms in [0, -1, 1 << 40] {
            let request = create_as(OpCode::CreateTtl, "/t", 5, Some(ttl_ms));
            world.refuses(request, ErrorCode::BadArguments);
        }
        // The coarse path, then the list, then the parent and its right.
        for path in ["", "bad", "/a\0"] {
            world.refuses(bad_acl(path), ErrorCode::BadArguments);
        }
        for path in ["/a//x", "/nope/x", "/a/b", "/locked/x", "/e/x"] {
            world.refuses(bad_acl(path), ErrorCode::InvalidAcl);
        }
        for path in ["/a//x", "/nope/x", "a/x", "/a/./x"] {
            world.refuses(create(path), ErrorCode::NoNode);
        }
        world.refuses(create("/locked/."), ErrorCode::NoAuth);
        // The whole path, then what stands there, then the kind of the parent.
        for path in ["/a/", "//", "/.", "/a/..", "//a", "/a/\u{1}"] {
            world.refuses(create(path), ErrorCode::BadArguments);
        }
        for path in ["/", "/a", "/zookeeper"] {
            world.refuses(create(path), ErrorCode::NodeExists);
        }
        world.refuses(create("/e/x"), ErrorCode::NoChildrenForEphemerals);
        world.refuses(
            create_as(OpCode::Create, "/e/x", 2, None),
            ErrorCode::NoChildrenForEphemerals,
        );
    }

    #[test]
    fn ttl_nodes_need_extended_types_whatever_their_ttl() {
        let mut world = World::new();
        world.rules.extended_types = false;
        for ttl_ms in [1500, -3] {
            let request = create_as(OpCode::CreateTtl, "/t", 5, Some(ttl_ms));
            world.refuses(request, ErrorCode::Unimplemented);
        }
        world.refuses(create_as(OpCode::Create, "/t", 6, None), ErrorCode::Unimplemented);
    }

    #[test]
    fn nothing_is_created_behind_the_end_of_the_session() {
        let mut world = World::new();
        world.session = SessionId(99);
        world.refuses(create("/a"), ErrorCode::SessionExpired);
        world.refuses(create("bad"), ErrorCode::SessionExpired);
        world.refuses(create_as(OpCode::Create, "bad", 9, None), ErrorCode::BadArguments);
    }

    #[test]
    fn the_opcode_decides_the_kind_at_the_top_level() {
        let mut world = World::new();
        let mut check = |op, path, flags, ttl_ms, expect: Owner| {
            world.ok(create_as(op, path, flags, ttl_ms));
            let name = if flags & 2 == 2 { format!("{path}0000000003") } else { path.to_owned() };
            assert_eq!(world.node(&name).owner(), expect, "{op:?} {flags}");
        };
        check(OpCode::Create, "/plain", 4, None, Owner::None);
        check(OpCode::CreateContainer, "/cont", 0, None, Owner::Container);
        check(OpCode::CreateContainer, "/eph", 1, None, Owner::Container);
        check(OpCode::CreateContainer, "/seq", 2, None, Owner::Container);
        check(OpCode::CreateTtl, "/ttl", 5, Some(5000), Owner::Ttl { ttl_ms: 5000 });
        check(OpCode::Create2, "/e", 1, None, Owner::Session(SESSION));
    }

    #[test]
    fn sequence_numbers_count_every_create_of_the_parent() {
        let mut world = World::with(&["/a", "/a/x"]);
        world.ok(delete("/a/x", -1));
        let mut check = |path, expect: &str| {
            let result = world.ok(create_as(OpCode::Create, path, 2, None));
            assert_eq!(result, OpResult::Create { path: expect.into() });
        };
        check("/a/s-", "/a/s-0000000001");
        check("/a/", "/a/0000000002");
        check("/a/.", "/a/.0000000003");
        world.refuses(create_as(OpCode::Create, "/a/\u{1}", 2, None), ErrorCode::BadArguments);
        let result = world.ok(create_as(OpCode::Create, "/a/t-", 3, None));
        assert_eq!(result, OpResult::Create { path: "/a/t-0000000004".into() });
    }

    #[test]
    fn an_exhausted_counter_refuses_sequential_names_only() {
        let mut world = World::with(&["/a"]);
        world.tree.raise_parent("/a", i32::MAX - 1, Zxid(3));
        let sequential = || create_as(OpCode::Create, "/a/s-", 2, None);
        let (tree, rules) = (&mut world.tree, &world.rules);
        let caller = super::super::Caller { session: SESSION, ids: &[] };
        let mut run = |zxid, request: menagerie_wire::proto::Request<'_>| {
            let cxid = menagerie_wire::Xid(1);
            let stamp = super::super::Stamp { session: SESSION, cxid, zxid, time_ms: 1 };
            super::super::execute(tree, rules, &caller, stamp, &request).outcome.result
        };
        assert!(run(Zxid(10), sequential()).is_ok());
        assert_eq!(run(Zxid(11), sequential()), Err(ErrorCode::BadArguments));
        assert!(run(Zxid(12), create("/a/plain")).is_ok());
        let stat = world.node("/a").persisted();
        assert_eq!((stat.cversion, stat.pzxid), (i32::MAX, Zxid(12)));
        assert!(world.has("/a/s-2147483646"));
    }

    #[test]
    fn a_create_replayed_over_its_own_effect_changes_only_the_list() {
        let mut world = World::with(&["/a"]);
        let executed = world.run(create("/a/b"));
        world.ok(set_acl("/a/b", vec![Acl::world(15)], -1));
        world.ok(set_data("/a/b", b"newer", -1));
        let digest = world.tree.view().digest();
        let mut txn = executed.txn;
        txn.header.zxid = world.tree.view().last_zxid();
        let outcome = super::super::apply(&mut world.tree, &txn);
        assert_eq!(outcome.result, Err(ErrorCode::NodeExists));
        assert!(outcome.changes.is_empty());
        assert_eq!(world.tree.view().digest(), digest);
        assert!(world.node("/a/b").acl().is_world_all());
    }

    #[test]
    fn an_ephemeral_belongs_to_its_session_until_it_closes() {
        let mut world = World::with(&["/a"]);
        world.ok(create_as(OpCode::Create, "/a/e", 1, None));
        let owned: Vec<_> = world.tree.view().ephemerals(SESSION).collect();
        assert_eq!(owned, ["/a/e"]);
        world.internal(InternalRequest::CloseSession).unwrap();
        assert!(!world.has("/a/e"));
    }
}
