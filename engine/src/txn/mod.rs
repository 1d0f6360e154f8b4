//! Transactions: how a request becomes one, and what one does to the tree.
//!
//! [`execute`] judges a request on the newest prepared tree and applies what it allows; a refused
//! one becomes an error transaction, so that every decoded write takes exactly one zxid. The tree
//! it works on is speculative: nothing is promised to anyone until the transaction is durable, and
//! a root sealed before takes it back. [`apply`] does to another tree, or to the same one after a
//! crash, what `execute` did: it asks nothing but the transaction and the tree, so replicas and
//! replays agree.
//!
//! ```text
//!   request ──prepare──► transaction ──apply──► tree, Outcome { result, changes }
//!               │                       ▲
//!      newest prepared tree      log, leader
//! ```
//!
//! One operation, one file, each with its two halves. Reads are in [`read`]; they are no
//! transactions. Watches, replies and sessions' clocks are the server's.
//!
//! Facts: ZooKeeper `PrepRequestProcessor`, `DataTree.processTxn`.

mod change;
mod check;
pub mod container;
mod create;
mod delete;
pub mod eager;
mod multi;
pub mod quota;
pub mod read;
mod reconfig;
mod result;
mod session;
mod set_acl;
mod set_data;
mod size;
#[cfg(test)]
mod testing;

use std::borrow::Cow;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::data::Id;
use menagerie_wire::proto::Request;
use menagerie_wire::txn::{SubTxn, Txn, TxnBody, TxnDigest, TxnHeader};
use menagerie_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use crate::access::{self, Schemes};
use crate::tree::{Node, Tree, TreeError, View};

pub use change::{Change, ChangeKind};
pub use result::{OpResult, Outcome};

/// What configuration decides about requests. It never decides what a transaction does.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `extendedTypesEnabled`: whether TTL nodes may be created.
    pub extended_types: bool,
    /// `enforceQuota`: whether hard limits refuse requests.
    pub enforce_quota: bool,
    /// `skipACL`: whether access lists are not evaluated.
    pub skip_acl: bool,
    /// `reconfigEnabled`.
    pub reconfig: bool,
    /// Schemes that access lists may name beside the ones every server knows.
    pub schemes: Schemes,
    /// `znode.container.maxNeverUsedIntervalMs`: after how long a container that never had a child
    /// is deleted; 0 is never.
    pub container_unused_ms_max: i64,
    /// The largest encoded transaction. Above `jute.maxbuffer` by what a record needs beside the
    /// request it came from.
    pub txn_bytes_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            extended_types: false,
            enforce_quota: false,
            skip_acl: false,
            reconfig: false,
            schemes: Schemes::default(),
            container_unused_ms_max: 0,
            txn_bytes_max: 2 * (menagerie_wire::frame::JUTE_MAXBUFFER_DEFAULT + 1),
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'c> {
    pub session: SessionId,
    /// The identities of the connection: always one of scheme `ip`.
    pub ids: &'c [Id<'static>],
}

/// What a transaction's header says beside its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// 0 for what the server does of its own accord.
    pub session: SessionId,
    pub cxid: Xid,
    pub zxid: Zxid,
    /// The leader's wall clock.
    pub time_ms: i64,
}

/// What the server itself asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalRequest<'a> {
    /// The stamp's session begins.
    CreateSession { timeout_ms: i32 },
    /// The stamp's session has expired.
    CloseSession,
    /// A container or TTL node seems due; refused when it is not, or not any more.
    DeleteContainer { path: Cow<'a, str> },
}

/// A transaction that has been applied to the prepared tree.
#[derive(Clone, Debug)]
pub struct Executed<'a> {
    pub txn: Txn<'a>,
    /// The trailer: the digest of the tree after this transaction. A refused single operation has
    /// none.
    pub digest: Option<TxnDigest>,
    pub outcome: Outcome,
}

/// Judges `request` on `tree` and applies the transaction that it becomes.
///
/// A read is answered [`ErrorCode::Unimplemented`]: it should have gone to [`read::answer`].
///
/// # Panics
/// When `stamp.zxid` is below the tree's last one.
pub fn execute<'a>(
    tree: &mut Tree,
    rules: &Rules,
    caller: &Caller<'_>,
    stamp: Stamp,
    request: &Request<'a>,
) -> Executed<'a> {
    if let Request::Multi(multi) = request {
        return multi::execute(tree, rules, caller, stamp, multi);
    }
    let judge = Judge { view: tree.view(), rules, caller };
    let prepared = match request {
        Request::Create(op, create) => create::prepare(&judge, *op, create),
        Request::Delete(delete) => delete::prepare(&judge, delete),
        Request::SetData(set_data) => set_data::prepare(&judge, set_data),
        Request::SetAcl(set_acl) => set_acl::prepare(&judge, set_acl),
        Request::Reconfig(_) => reconfig::prepare(&judge),
        Request::CloseSession => Ok(session::prepare_close(tree.view(), rules, caller.session)),
        _ => Err(ErrorCode::Unimplemented),
    };
    commit(tree, stamp, prepared.and_then(|sub| size::bound(sub, rules)))
}

/// Judges and applies what the server itself asks for.
///
/// # Panics
/// As [`execute`].
pub fn execute_internal<'a>(
    tree: &mut Tree,
    rules: &Rules,
    stamp: Stamp,
    request: &InternalRequest<'a>,
) -> Executed<'a> {
    let prepared = match request {
        InternalRequest::CreateSession { timeout_ms } => Ok(session::prepare_open(*timeout_ms)),
        InternalRequest::CloseSession => {
            Ok(session::prepare_close(tree.view(), rules, stamp.session))
        }
        InternalRequest::DeleteContainer { path } => {
            container::prepare(tree.view(), rules, path, stamp.time_ms)
        }
    };
    commit(tree, stamp, prepared)
}

/// Makes an error transaction of a request that cannot be judged here.
///
/// # Panics
/// As [`execute`].
pub fn refuse<'a>(tree: &mut Tree, stamp: Stamp, code: ErrorCode) -> Executed<'a> {
    commit(tree, stamp, Err(code))
}

/// Applies a transaction from the log or from a leader.
///
/// Total and deterministic: replayed over a state that is ahead of it, it changes what Apache's
/// replay would change and reports the rest as the outcome's error.
///
/// # Panics
/// When the transaction's zxid is below the tree's last one: order is the caller's to check.
pub fn apply(tree: &mut Tree, txn: &Txn<'_>) -> Outcome {
    let mut changes = Vec::new();
    let result = match &txn.body {
        TxnBody::Multi(subs) => Ok(multi::apply(tree, &txn.header, subs, &mut changes)),
        body => apply_single(tree, &txn.header, txn.header.op, body, &mut changes),
    };
    tree.advance(txn.header.zxid);
    Outcome { result, changes }
}

/// Applies everything but a multi, which consists of these.
fn apply_single(
    tree: &mut Tree,
    header: &TxnHeader,
    op: OpCode,
    body: &TxnBody<'_>,
    changes: &mut Vec<Change>,
) -> Result<OpResult, ErrorCode> {
    match body {
        TxnBody::CreateSession { timeout_ms } => Ok(session::open(tree, header, *timeout_ms)),
        TxnBody::CloseSession { paths } => {
            Ok(session::close(tree, header, paths.as_deref().unwrap_or_default(), changes))
        }
        TxnBody::Create(create) => create::apply(tree, header, op, create, changes),
        TxnBody::Delete { path } => delete::apply(tree, header, path, changes),
        TxnBody::SetData { path, data, version } => {
            set_data::apply(tree, header, path, data.as_deref(), *version, changes)
        }
        TxnBody::SetAcl { path, acl, version } => set_acl::apply(tree, path, acl, *version),
        TxnBody::Check { .. } => Ok(OpResult::Check),
        TxnBody::Error { err } => Err(result::error_code(*err)),
        TxnBody::Multi(_) => Err(ErrorCode::MarshallingError),
    }
}

/// Turns what was judged into a transaction and applies it.
fn commit<'a>(
    tree: &mut Tree,
    stamp: Stamp,
    prepared: Result<SubTxn<'a>, ErrorCode>,
) -> Executed<'a> {
    let sub = prepared.unwrap_or_else(refusal);
    let txn = Txn { header: stamp.header(sub.op), body: sub.body };
    let outcome = apply(tree, &txn);
    let refused = sub.op == OpCode::Error;
    assert_eq!(outcome.result.is_err(), refused, "{:?} was judged otherwise", txn.header);
    let digest = (!refused).then(|| TxnDigest::new(tree.view().digest()));
    Executed { txn, digest, outcome }
}

/// The transaction of a refused operation.
fn refusal<'a>(code: ErrorCode) -> SubTxn<'a> {
    SubTxn { op: OpCode::Error, body: TxnBody::Error { err: code.code() } }
}

impl Stamp {
    fn header(self, op: OpCode) -> TxnHeader {
        let Self { session, cxid, zxid, time_ms } = self;
        TxnHeader { client_id: session, cxid, zxid, time_ms, op }
    }
}

/// Everything a judgement may ask.
struct Judge<'j> {
    view: View<'j>,
    rules: &'j Rules,
    caller: &'j Caller<'j>,
}

impl<'j> Judge<'j> {
    /// The caller's session must be open: behind its own close, or its expiry, nothing is done.
    fn session(&self) -> Result<(), ErrorCode> {
        let lives = self.view.session(self.caller.session).is_some();
        if lives || flaws::has(Flaw::ClosedSessionWrites) {
            return Ok(());
        }
        Err(ErrorCode::SessionExpired)
    }

    fn node(&self, path: &str) -> Result<Node<'j>, ErrorCode> {
        self.view.node(path).ok_or(ErrorCode::NoNode)
    }

    /// The caller must have one of the rights in `needed` on `node`.
    fn allows(&self, node: Node<'_>, needed: i32) -> Result<(), ErrorCode> {
        if self.rules.skip_acl || access::permits(node.acl(), needed, self.caller.ids) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}

/// The version behind `current`, when it is the one that the client expects; -1 expects any.
///
/// -1 is never a version, as a client could not ask for it.
// ZooKeeper: PrepRequestProcessor.checkAndIncVersion, ZOOKEEPER-4743
fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(match current.wrapping_add(1) {
        -1 => 0,
        next => next,
    })
}

impl From<TreeError> for ErrorCode {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::NoNode => Self::NoNode,
            TreeError::NodeExists => Self::NodeExists,
            TreeError::NotEmpty => Self::NotEmpty,
            TreeError::Root => Self::BadArguments,
        }
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::data::Acl;
    use menagerie_wire::txn::{CreateTxn, NodeKind};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::testing::*;
    use super::*;

    #[test]
    fn a_read_is_no_transaction() {
        World::new().refuses(Request::Ping, ErrorCode::Unimplemented);
    }

    /// Operations that no judge of ours would have passed, as a foreign log may hold them.
    fn foreign() -> impl Strategy<Value = SubTxn<'static>> {
        let paths = [
            "",
            "/",
            "x",
            "//",
            "//x",
            "/a",
            "/a/",
            "/a/b",
            "/a/b/c",
            "/a//b",
            "/nope/x",
            "/.",
            "/zookeeper",
            "/zookeeper/quota",
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quota/a/zookeeper_stats",
        ];
        let kinds = [
            NodeKind::Persistent,
            NodeKind::Ephemeral,
            NodeKind::Container,
            NodeKind::Ttl { ttl_ms: -1 },
            NodeKind::Ttl { ttl_ms: i64::MAX },
            NodeKind::Ttl { ttl_ms: 7 },
        ];
        let ops = [OpCode::Create, OpCode::Create2];
        let versions = [-1, 0, 1, 5, i32::MAX, i32::MIN];
        let numbers = (select(versions.to_vec()), 0..9, select(ops.to_vec()));
        let of = (select(paths.to_vec()), select(kinds.to_vec()), numbers);
        of.prop_map(|(path, kind, (version, which, op))| {
            let (path, data) = (Cow::Borrowed(path), Some(Cow::Borrowed(&b"data"[..])));
            let acl = vec![Acl::world(version)];
            let (op, body) = match which {
                0..4 => {
                    let parent_cversion = version;
                    (op, TxnBody::Create(CreateTxn { path, data, acl, kind, parent_cversion }))
                }
                4 | 5 => (OpCode::Delete, TxnBody::Delete { path }),
                6 => (OpCode::SetData, TxnBody::SetData { path, data, version }),
                7 => (OpCode::SetAcl, TxnBody::SetAcl { path, acl, version }),
                _ => (OpCode::CloseSession, TxnBody::CloseSession { paths: Some(vec![path]) }),
            };
            SubTxn { op, body }
        })
    }

    proptest! {
        #[test]
        fn whatever_a_log_holds_is_applied_alike_everywhere(
            subs in prop::collection::vec(foreign(), 1..40),
            session in select(&[0, 1, i64::MIN, -1][..]),
        ) {
            let mut trees = [Tree::new(), Tree::new()];
            for (at, sub) in subs.into_iter().enumerate() {
                let zxid = Zxid(at as i64 + 1);
                let stamp = Stamp { session: SessionId(session), cxid: Xid(0), zxid, time_ms: 1 };
                let txn = Txn { header: stamp.header(sub.op), body: sub.body };
                let outcomes = trees.each_mut().map(|tree| apply(tree, &txn));
                prop_assert_eq!(&outcomes[0], &outcomes[1]);
                drop(trees[0].seal());
                let views = trees.each_ref().map(Tree::view);
                prop_assert_eq!(views[0].digest(), views[1].digest());
                prop_assert_eq!(views[0].node_count(), views[1].node_count());
            }
        }
    }

    #[test]
    fn versions_count_and_skip_the_one_that_means_any() {
        let check = |current, expected, next| {
            assert_eq!(next_version(current, expected), next);
        };
        check(0, -1, Ok(1));
        check(3, 3, Ok(4));
        check(3, 2, Err(ErrorCode::BadVersion));
        check(3, -2, Err(ErrorCode::BadVersion));
        check(i32::MAX, -1, Ok(i32::MIN));
        check(-2, -1, Ok(0));
        check(-1, -1, Ok(0));
    }
}
