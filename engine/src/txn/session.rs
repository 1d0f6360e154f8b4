//! createSession and closeSession: a session's entry in the table, and the end of its ephemerals.
//!
//! closeSession carries the paths it deletes. What a session owns can outgrow one transaction;
//! the list then stops at the bound, and the rest is deleted all the same: applying closes with
//! whatever the session still owns, in the order of the paths, on every server alike.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`, `DataTree.killSession`.

use std::borrow::Cow;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::txn::{SubTxn, TxnBody, TxnHeader};
use menagerie_wire::{OpCode, SessionId};

use super::change::Change;
use super::{OpResult, Rules, delete, size};
use crate::tree::{Tree, View};

pub(super) fn prepare_open<'a>(timeout_ms: i32) -> SubTxn<'a> {
    SubTxn { op: OpCode::CreateSession, body: TxnBody::CreateSession { timeout_ms } }
}

/// Closing needs no open session: expiry and the client's own close may cross.
pub(super) fn prepare_close<'a>(view: View<'_>, rules: &Rules, session: SessionId) -> SubTxn<'a> {
    let mut bytes_left = rules.txn_bytes_max.saturating_sub(size::ENVELOPE_BYTES + 4);
    let fits = |path: &&str| {
        let left = bytes_left.checked_sub(size::LENGTH_BYTES + path.len());
        bytes_left = left.unwrap_or(0);
        left.is_some()
    };
    let owned = view.ephemerals(session).take_while(fits);
    let paths = owned.map(|path| Cow::Owned(path.to_owned())).collect();
    SubTxn { op: OpCode::CloseSession, body: TxnBody::CloseSession { paths: Some(paths) } }
}

pub(super) fn open(tree: &mut Tree, header: &TxnHeader, timeout_ms: i32) -> OpResult {
    tree.open_session(header.client_id, timeout_ms);
    OpResult::CreateSession { timeout_ms }
}

pub(super) fn close(
    tree: &mut Tree,
    header: &TxnHeader,
    paths: &[Cow<'_, str>],
    changes: &mut Vec<Change>,
) -> OpResult {
    let session = header.client_id;
    if flaws::has(Flaw::CloseLeavesEphemerals) {
        tree.close_session(session);
        return OpResult::CloseSession;
    }
    for path in paths {
        // A path that is gone already is no failure of the close.
        let _ = delete::apply(tree, header, path, changes);
    }
    let rest: Vec<String> = tree.view().ephemerals(session).map(str::to_owned).collect();
    for path in rest {
        let _ = delete::apply(tree, header, &path, changes);
    }
    tree.close_session(session);
    OpResult::CloseSession
}

#[cfg(test)]
mod tests {
    use menagerie_wire::ErrorCode;
    use menagerie_wire::proto::Request;

    use super::super::testing::*;
    use super::super::{ChangeKind, InternalRequest};
    use super::*;

    const OTHER: SessionId = SessionId(2);

    #[test]
    fn a_session_is_in_the_table_from_open_to_close() {
        let mut world = World::new();
        world.open(OTHER);
        assert_eq!(world.tree.view().session(OTHER).unwrap().timeout_ms(), 10_000);
        world.session = OTHER;
        assert_eq!(world.ok(Request::CloseSession), OpResult::CloseSession);
        assert!(world.tree.view().session(OTHER).is_none());
        world.refuses(create("/a"), ErrorCode::SessionExpired);
    }

    #[test]
    fn a_close_deletes_what_the_session_owns_and_says_so() {
        let mut world = World::with(&["/a"]);
        for path in ["/a/e", "/e"] {
            world.ok(create_as(OpCode::Create, path, 1, None));
        }
        let executed = world.run(Request::CloseSession);
        let paths = Some(vec!["/a/e".into(), "/e".into()]);
        assert_eq!(executed.txn.body, TxnBody::CloseSession { paths });
        let changes = &executed.outcome.changes;
        let told: Vec<_> = changes.iter().map(|change| (change.kind, &*change.path)).collect();
        assert_eq!(told, [(ChangeKind::Deleted, "/a/e"), (ChangeKind::Deleted, "/e")]);
        assert!(!world.has("/e"));
        assert_eq!(world.node("/a").stat().pzxid, executed.txn.header.zxid);
    }

    #[test]
    fn closing_twice_is_no_error() {
        let mut world = World::new();
        world.internal(InternalRequest::CloseSession).unwrap();
        assert_eq!(world.ok(Request::CloseSession), OpResult::CloseSession);
    }

    #[test]
    fn a_list_that_does_not_fit_is_cut_and_everything_goes_all_the_same() {
        let mut world = World::new();
        let names: Vec<String> = (0..50).map(|n| format!("/ephemeral-{n:04}")).collect();
        for name in &names {
            world.ok(create_as(OpCode::Create, name, 1, None));
        }
        world.rules.txn_bytes_max = 300;
        let executed = world.run(Request::CloseSession);
        let TxnBody::CloseSession { paths: Some(paths) } = &executed.txn.body else {
            panic!("{:?}", executed.txn.body)
        };
        assert_eq!(paths.len(), (300 - 48) / 19);
        assert_eq!(executed.outcome.changes.len(), 50);
        assert_eq!(world.tree.view().ephemeral_count(), 0);
    }
}
