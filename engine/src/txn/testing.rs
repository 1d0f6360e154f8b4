//! A tree with one client, for the tests of the operations.
//!
//! Whatever is executed here is encoded, decoded and applied to a second tree, and both must agree
//! in outcome and digest: a replica never differs from the server that judged.

use menagerie_wire::data::{Acl, Id};
use menagerie_wire::proto::{Create, MultiRequest, PathVersion, Request, SetAcl, SetData, WriteOp};
use menagerie_wire::txn::{Txn, TxnBody, TxnDigest};
use menagerie_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::{
    Caller, Executed, InternalRequest, OpResult, Rules, Stamp, apply, execute, execute_internal,
};
use crate::tree::{Node, Tree};

/// The client's session.
pub(super) const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);

/// Time passes by one second per transaction.
const TICK_MS: i64 = 1000;

pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) rules: Rules,
    pub(super) ids: Vec<Id<'static>>,
    pub(super) session: SessionId,
    replica: Tree,
    zxid: Zxid,
}

impl World {
    /// A fresh tree, and [`SESSION`] open. TTL nodes are allowed.
    pub(super) fn new() -> Self {
        let rules = Rules { extended_types: true, ..Rules::default() };
        let ids = vec![Id::new("ip", "127.0.0.1")];
        let (tree, replica) = (Tree::new(), Tree::new());
        let mut world = Self { tree, rules, ids, session: SESSION, replica, zxid: Zxid(0) };
        world.open(SESSION);
        world
    }

    /// A [`World::new`] in which these nodes have been created.
    pub(super) fn with(paths: &[&str]) -> Self {
        let mut world = Self::new();
        for path in paths {
            world.ok(create(path));
        }
        world
    }

    pub(super) fn open(&mut self, session: SessionId) {
        let before = std::mem::replace(&mut self.session, session);
        self.internal(InternalRequest::CreateSession { timeout_ms: 10_000 }).expect("opens");
        self.session = before;
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.zxid.0 * TICK_MS
    }

    fn stamp(&mut self) -> Stamp {
        self.zxid = self.zxid.next();
        Stamp { session: self.session, cxid: Xid(7), zxid: self.zxid, time_ms: self.now_ms() }
    }

    pub(super) fn run<'a>(&mut self, request: Request<'a>) -> Executed<'a> {
        let stamp = self.stamp();
        let caller = Caller { session: self.session, ids: &self.ids };
        let executed = execute(&mut self.tree, &self.rules, &caller, stamp, &request);
        self.replicate(&executed);
        executed
    }

    pub(super) fn internal(&mut self, request: InternalRequest<'_>) -> Result<OpResult, ErrorCode> {
        let stamp = self.stamp();
        let executed = execute_internal(&mut self.tree, &self.rules, stamp, &request);
        self.replicate(&executed);
        executed.outcome.result
    }

    fn replicate(&mut self, executed: &Executed<'_>) {
        let mut bytes = Vec::new();
        executed.txn.encode(executed.digest, &mut bytes);
        assert!(bytes.len() <= self.rules.txn_bytes_max, "{} bytes", bytes.len());
        let (txn, digest) = Txn::decode(&bytes).expect("decodes");
        assert_eq!((&txn, digest), (&executed.txn, executed.digest));
        assert_eq!(apply(&mut self.replica, &txn), executed.outcome);
        let digest = TxnDigest::new(self.replica.view().digest());
        assert_eq!(digest, TxnDigest::new(self.tree.view().digest()));
        let is_error = matches!(txn.body, TxnBody::Error { .. });
        assert_eq!(executed.digest, (!is_error).then_some(digest));
        assert_eq!(self.tree.view().last_zxid(), self.zxid);
    }

    pub(super) fn result(&mut self, request: Request<'_>) -> Result<OpResult, ErrorCode> {
        self.run(request).outcome.result
    }

    pub(super) fn ok(&mut self, request: Request<'_>) -> OpResult {
        self.result(request).expect("is allowed")
    }

    /// The request is refused with this code.
    pub(super) fn refuses(&mut self, request: Request<'_>, code: ErrorCode) {
        let shown = format!("{request:?}");
        assert_eq!(self.result(request).err(), Some(code), "{shown}");
    }

    /// The multi is refused: these are the codes of its results.
    pub(super) fn multi_codes(&mut self, ops: Vec<WriteOp<'_>>) -> (usize, ErrorCode) {
        match self.ok(multi(ops)) {
            OpResult::MultiRefused { failed, code, .. } => (failed, code),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn node(&self, path: &str) -> Node<'_> {
        self.tree.view().node(path).unwrap_or_else(|| panic!("no node {path}"))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.tree.view().node(path).is_some()
    }
}

/// A plain create with everything open.
pub(super) fn create(path: &str) -> Request<'_> {
    Request::Create(OpCode::Create, new(path))
}

pub(super) fn create_as(op: OpCode, path: &str, flags: i32, ttl_ms: Option<i64>) -> Request<'_> {
    Request::Create(op, Create { flags, ttl_ms, ..new(path) })
}

pub(super) fn create_with<'a>(path: &'a str, acl: Vec<Acl<'a>>) -> Request<'a> {
    Request::Create(OpCode::Create, Create { acl: Some(acl), ..new(path) })
}

pub(super) fn new(path: &str) -> Create<'_> {
    let acl = Some(vec![Acl::world(31)]);
    Create { path: path.into(), data: Some(b"data"), acl, flags: 0, ttl_ms: None }
}

pub(super) fn delete(path: &str, version: i32) -> Request<'_> {
    Request::Delete(PathVersion { path: path.into(), version })
}

pub(super) fn set_data<'a>(path: &'a str, data: &'a [u8], version: i32) -> Request<'a> {
    Request::SetData(SetData { path: Some(path.into()), data: Some(data), version })
}

pub(super) fn set_acl<'a>(path: &'a str, acl: Vec<Acl<'a>>, version: i32) -> Request<'a> {
    Request::SetAcl(SetAcl { path: Some(path.into()), acl: Some(acl), version })
}

pub(super) fn multi(ops: Vec<WriteOp<'_>>) -> Request<'_> {
    Request::Multi(MultiRequest { ops })
}

/// A request as an operation of a multi.
pub(super) fn op(request: Request<'_>) -> WriteOp<'_> {
    match request {
        Request::Create(op, create) => WriteOp::Create(op, create),
        Request::Delete(delete) => WriteOp::Delete(delete),
        Request::SetData(set_data) => WriteOp::SetData(set_data),
        other => panic!("{other:?} is no operation of a multi"),
    }
}

pub(super) fn check_op(path: &str, version: i32) -> WriteOp<'_> {
    WriteOp::Check(PathVersion { path: path.into(), version })
}
