//! setData: new data, one version on.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`, `DataTree.setData`.

use std::borrow::Cow;

use menagerie_wire::data::perms;
use menagerie_wire::proto::SetData;
use menagerie_wire::txn::{SubTxn, TxnBody, TxnHeader};
use menagerie_wire::{ErrorCode, OpCode};

use super::change::{Change, ChangeKind};
use super::{Judge, OpResult, next_version, quota};
use crate::path;
use crate::tree::{AclHandle, Tree};

pub(super) fn prepare<'a>(
    judge: &Judge<'_>,
    set_data: &SetData<'a>,
) -> Result<SubTxn<'a>, ErrorCode> {
    judge.session()?;
    let path = set_data.path.clone().ok_or(ErrorCode::BadArguments)?;
    path::validate(&path)?;
    let node = judge.node(&path)?;
    judge.allows(node, perms::WRITE)?;
    if path == path::CONFIG {
        // Apache lets the superuser overwrite what the ensemble says about itself.
        return Err(ErrorCode::BadArguments);
    }
    quota::check(judge, &path, 0, length(set_data.data) - node.data_len() as i64)?;
    let version = next_version(node.persisted().version, set_data.version)?;
    let data = set_data.data.map(Cow::Borrowed);
    Ok(SubTxn { op: OpCode::SetData, body: TxnBody::SetData { path, data, version } })
}

/// Also of reconfig.
pub(super) fn apply(
    tree: &mut Tree,
    header: &TxnHeader,
    path: &str,
    data: Option<&[u8]>,
    version: i32,
    changes: &mut Vec<Change>,
) -> Result<OpResult, ErrorCode> {
    let (node, old_len) = tree.set_data(path, data, version, header.zxid, header.time_ms)?;
    let (stat, acl) = (node.stat(), node.acl_handle());
    quota::resized(tree, path, length(data) - old_len as i64);
    let (kind, parent_acl) = (ChangeKind::DataChanged, AclHandle::OPEN);
    let data_bytes = data.map_or(0, <[u8]>::len);
    changes.push(Change { kind, path: path.into(), data_bytes, acl, parent_acl });
    Ok(OpResult::SetData { stat })
}

fn length(data: Option<&[u8]>) -> i64 {
    data.map_or(0, |data| data.len() as i64)
}

#[cfg(test)]
mod tests {
    use menagerie_wire::SessionId;
    use menagerie_wire::data::{Acl, Id, Stat};
    use menagerie_wire::proto::Request;

    use super::super::testing::*;
    use super::*;

    #[test]
    fn new_data_moves_version_mzxid_and_mtime_only() {
        let mut world = World::with(&["/a"]);
        let before = world.node("/a").stat();
        let executed = world.run(set_data("/a", b"longer than before", 0));
        let stat = Stat {
            version: 1,
            mzxid: executed.txn.header.zxid,
            mtime_ms: executed.txn.header.time_ms,
            data_length: 18,
            ..before
        };
        assert_eq!(executed.outcome.result, Ok(OpResult::SetData { stat }));
        assert_eq!(world.node("/a").data(), Some(&b"longer than before"[..]));
        let [change] = &*executed.outcome.changes else { panic!("one change") };
        assert_eq!((change.kind, &*change.path), (ChangeKind::DataChanged, "/a"));
    }

    #[test]
    fn null_data_stays_null() {
        let mut world = World::with(&["/a"]);
        world.ok(Request::SetData(SetData { path: Some("/a".into()), data: None, version: -1 }));
        assert_eq!(world.node("/a").data(), None);
        world.ok(set_data("/a", b"", -1));
        assert_eq!(world.node("/a").data(), Some(&b""[..]));
    }

    #[test]
    fn errors_come_in_the_order_of_apache() {
        let mut world = World::with(&["/a"]);
        world.ok(create_with("/locked", vec![Acl::world(29)]));
        let null = SetData { path: None, data: None, version: -1 };
        world.refuses(Request::SetData(null), ErrorCode::BadArguments);
        for path in ["", "a", "/a/", "/a//b", "/a/.", "/a\0"] {
            world.refuses(set_data(path, b"", 9), ErrorCode::BadArguments);
        }
        world.refuses(set_data("/nope", b"", 9), ErrorCode::NoNode);
        world.refuses(set_data("/locked", b"", 9), ErrorCode::NoAuth);
        world.refuses(set_data("/a", b"", 9), ErrorCode::BadVersion);
        world.refuses(set_data("/a", b"", -2), ErrorCode::BadVersion);
        world.session = SessionId(99);
        world.refuses(set_data("", b"", -1), ErrorCode::SessionExpired);
    }

    #[test]
    fn nobody_overwrites_the_configuration() {
        let mut world = World::new();
        world.refuses(set_data(path::CONFIG, b"x", -1), ErrorCode::NoAuth);
        world.ids.push(Id::new("super", ""));
        world.refuses(set_data(path::CONFIG, b"x", -1), ErrorCode::BadArguments);
        world.ok(set_data("/", b"root", -1));
        world.ok(set_data(path::ZOOKEEPER, b"x", -1));
    }
}
