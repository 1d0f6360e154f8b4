//! The engine's transactions against a plain model of ZooKeeper's semantics.
//!
//! Random requests of several sessions go to both. After each, the replies must be the same bytes,
//! the changes for watchers the same list, and every node of the tree the same in every field; the
//! digest is summed anew. At the end the transactions, as they stood in a log, are applied to a
//! fresh tree and to a snapshot taken on the way, and must lead to the same place; every root that
//! was sealed must still show the state it was sealed in.
#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod model;
mod requests;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use menagerie_engine::snapshot::{self, Pace};
use menagerie_engine::tree::{Root, Tree, View};
use menagerie_engine::txn::read::answer;
use menagerie_engine::txn::{
    Caller, ChangeKind, Executed, InternalRequest, Rules, Stamp, apply, execute, execute_internal,
};
use menagerie_wire::data::Id;
use menagerie_wire::txn::{Txn, TxnDigest};
use menagerie_wire::{Encode, SessionId, Xid, Zxid};
use proptest::prelude::*;

use model::{Asking, Changes, Code, Kind, Model};
use requests::{Ask, IDENTITIES, SESSIONS, read, write};

#[derive(Clone, Debug)]
enum Step {
    Open {
        session: usize,
    },
    Expire {
        session: usize,
    },
    DeleteContainer {
        path: usize,
    },
    Write {
        session: usize,
        ids: usize,
        ask: Ask,
    },
    Read {
        session: usize,
        ids: usize,
        ask: Ask,
    },
    Seal,
    /// Time passes.
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let session = prop_oneof![30 => Just(0usize), 10 => Just(1), 1 => Just(2)];
    let ids = prop_oneof![5 => Just(0usize), 2 => Just(1), 1 => Just(2)];
    let who = (session.clone(), ids);
    prop_oneof![
        14 => (0..2usize).prop_map(|session| Step::Open { session }),
        1 => session.prop_map(|session| Step::Expire { session }),
        4 => (0..6usize).prop_map(|path| Step::DeleteContainer { path }),
        90 => (who.clone(), write())
            .prop_map(|((session, ids), ask)| Step::Write { session, ids, ask }),
        30 => (who, read()).prop_map(|((session, ids), ask)| Step::Read { session, ids, ask }),
        3 => Just(Step::Seal),
        3 => (1..9000i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Engine and model side by side.
struct Pair {
    tree: Tree,
    rules: Rules,
    model: Model,
    zxid: i64,
    time_ms: i64,
    log: Vec<Vec<u8>>,
    sealed: Vec<(Root, Model)>,
}

impl Pair {
    fn new(extended_types: bool, enforce_quota: bool, limits: Option<usize>) -> Self {
        let rules = Rules { extended_types, enforce_quota, ..Rules::default() };
        let model = Model { extended_types, enforce_quota, ..Model::new() };
        let (log, sealed) = (Vec::new(), Vec::new());
        let tree = Tree::new();
        let mut pair = Self { tree, rules, model, zxid: 0, time_ms: 1_000, log, sealed };
        pair.step(&Step::Open { session: 0 });
        pair.step(&Step::Open { session: 1 });
        for path in ["/a", "/b", "/c", "/a/x", "/zookeeper/quota/a"] {
            pair.write(SESSIONS[0], 0, &Ask::open(path, 1));
        }
        if let Some(data) = limits {
            pair.write(SESSIONS[0], 0, &Ask::open("/zookeeper/quota/a/zookeeper_limits", data));
            pair.write(SESSIONS[0], 0, &Ask::open("/zookeeper/quota/a/zookeeper_stats", 1));
        }
        pair
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Open { session } => {
                let session = SESSIONS[*session];
                self.model.sessions.insert(session);
                let request = InternalRequest::CreateSession { timeout_ms: 4000 };
                self.internal(session, &request, Ok(Vec::new()), Changes::new());
            }
            Step::Expire { session } => {
                let session = SESSIONS[*session];
                let mut changes = Changes::new();
                let asking = self.next(session, &[]);
                self.model.close(&asking, &mut changes);
                self.internal(session, &InternalRequest::CloseSession, Ok(Vec::new()), changes);
            }
            Step::DeleteContainer { path } => {
                let path = ["/a", "/b", "/c", "/a/x", "/c/t", "/a/y"][*path];
                let mut changes = Changes::new();
                let asking = self.next(0, &[]);
                let expect = self.model.delete_container(&asking, path, &mut changes);
                let request = InternalRequest::DeleteContainer { path: path.into() };
                self.internal(0, &request, expect, changes);
            }
            Step::Write { session, ids, ask } => self.write(SESSIONS[*session], *ids, ask),
            Step::Read { session, ids, ask } => self.read(SESSIONS[*session], *ids, ask),
            Step::Seal => self.sealed.push((self.tree.seal(), self.model.clone())),
            Step::Wait { ms } => self.time_ms += ms,
        }
    }

    /// What the next transaction will be asked with.
    fn next<'a>(&self, session: i64, ids: &'a [(&'a str, &'a str)]) -> Asking<'a> {
        Asking { session, ids, zxid: self.zxid + 1, time_ms: self.time_ms + 1 }
    }

    fn stamp(&mut self, session: i64) -> Stamp {
        self.zxid += 1;
        self.time_ms += 1;
        let (session, zxid) = (SessionId(session), Zxid(self.zxid));
        Stamp { session, cxid: Xid(9), zxid, time_ms: self.time_ms }
    }

    fn write(&mut self, session: i64, ids: usize, ask: &Ask) {
        let mut changes = Changes::new();
        let asking = self.next(session, IDENTITIES[ids]);
        let expect = self.model.write(&asking, &ask.request(), &mut changes);
        let stamp = self.stamp(session);
        let ids = identities(ids);
        let caller = Caller { session: SessionId(session), ids: &ids };
        let executed = execute(&mut self.tree, &self.rules, &caller, stamp, &ask.request());
        log(&mut self.log, &executed);
        self.compare(&executed, &expect, &changes);
    }

    fn internal(
        &mut self,
        session: i64,
        request: &InternalRequest<'_>,
        expect: Result<Vec<u8>, Code>,
        changes: Changes,
    ) {
        let stamp = self.stamp(session);
        let executed = execute_internal(&mut self.tree, &self.rules, stamp, request);
        log(&mut self.log, &executed);
        self.compare(&executed, &expect, &changes);
    }

    fn compare(&self, executed: &Executed<'_>, expect: &Result<Vec<u8>, Code>, changes: &Changes) {
        assert_eq!(&reply(executed), expect, "{:?}", executed.txn);
        let told: Changes = executed.outcome.changes.iter().map(change).collect();
        assert_eq!(&told, changes);
        compare_trees(self.tree.view(), &self.model);
        assert_eq!(self.tree.view().last_zxid(), Zxid(self.zxid));
    }

    fn read(&self, session: i64, ids: usize, ask: &Ask) {
        let asking = self.next(session, IDENTITIES[ids]);
        let (expect, code) = self.model.read(&asking, &ask.request());
        let ids = identities(ids);
        let caller = Caller { session: SessionId(session), ids: &ids };
        let mut out = Vec::new();
        let answered = answer(self.tree.view(), &self.rules, &caller, &ask.request(), &mut out);
        assert_eq!(answered.err().map_or(0, |err| err.code()), code, "{ask:?}");
        assert_eq!(out, expect, "{ask:?}");
    }

    /// The log leads a fresh tree to the same place, and so does a snapshot with the log behind
    /// it; roots stay what they were.
    fn finish(&self, directory: &Path) {
        let mut replica = Tree::new();
        self.replay(&mut replica);
        compare_trees(replica.view(), &self.model);
        for (root, model) in &self.sealed {
            compare_trees(root.view(), model);
        }
        if let Some((root, model)) = self.sealed.get(self.sealed.len() / 2) {
            let stop = AtomicBool::new(false);
            let written = snapshot::write(root, directory, Pace::UNPACED, &stop).unwrap();
            let mut restored = snapshot::load(&written.path, 1).unwrap();
            compare_trees(restored.view(), model);
            self.replay(&mut restored);
            compare_trees(restored.view(), &self.model);
            std::fs::remove_file(written.path).unwrap();
        }
    }

    /// Applies what the log holds behind the tree's last zxid.
    fn replay(&self, tree: &mut Tree) {
        let after = tree.view().last_zxid();
        for bytes in &self.log {
            let (txn, digest) = Txn::decode(bytes).unwrap();
            if txn.header.zxid > after {
                apply(tree, &txn);
                let ours = TxnDigest::new(tree.view().digest());
                assert_eq!(digest.unwrap_or(ours), ours, "{txn:?}");
            }
        }
        assert_eq!(tree.view().last_zxid(), Zxid(self.zxid));
    }
}

fn identities(index: usize) -> Vec<Id<'static>> {
    IDENTITIES[index].iter().map(|&(scheme, id)| Id::new(scheme, id)).collect()
}

fn log(log: &mut Vec<Vec<u8>>, executed: &Executed<'_>) {
    let mut bytes = Vec::new();
    executed.txn.encode(executed.digest, &mut bytes);
    log.push(bytes);
}

fn reply(executed: &Executed<'_>) -> Result<Vec<u8>, Code> {
    let mut body = Vec::new();
    match &executed.outcome.result {
        Ok(result) => result.encode_body(&mut body),
        Err(err) => return Err(err.code()),
    }
    Ok(body)
}

fn change(change: &menagerie_engine::txn::Change) -> (Kind, String) {
    let kind = match change.kind {
        ChangeKind::Created => Kind::Created,
        ChangeKind::Deleted => Kind::Deleted,
        ChangeKind::DataChanged => Kind::Changed,
    };
    (kind, change.path.to_string())
}

fn compare_trees(view: View<'_>, model: &Model) {
    let mut digest = 0u64;
    for (path, expect) in &model.nodes {
        let node = view.node(path).unwrap_or_else(|| panic!("{path} is missing"));
        let stat = node.persisted();
        let acl = node
            .acl()
            .iter()
            .map(|acl| (acl.perms, acl.id.scheme.into_owned(), acl.id.id.into_owned()));
        let shown = model::Node {
            data: node.data().map(<[u8]>::to_vec),
            acl: acl.collect(),
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            pzxid: stat.pzxid.0,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            creates: stat.cversion,
            aversion: stat.aversion,
            owner: stat.owner.to_raw(),
        };
        assert_eq!(&shown, expect, "{path}");
        let mut seen = Vec::new();
        model.put_stat(path, &mut seen);
        assert_eq!(node.stat().to_bytes(), seen, "{path}");
        digest = digest.wrapping_add(digest_of(path, expect));
    }
    assert_eq!(view.node_count(), model.nodes.len() as u64);
    assert_eq!(view.digest(), digest);
    assert_eq!(view.has_quotas(), !model.children("/zookeeper/quota").is_empty());
    let sessions: Vec<_> = view.sessions().map(|session| session.id().0).collect();
    assert_eq!(sessions, model.sessions.iter().copied().collect::<Vec<_>>());
    for session in SESSIONS {
        let owned: Vec<_> = view.ephemerals(SessionId(session)).collect();
        assert_eq!(owned, model.owned(session));
    }
}

// ZooKeeper: DigestCalculator
fn digest_of(path: &str, node: &model::Node) -> u64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut bytes = if path == "/" { Vec::new() } else { path.as_bytes().to_vec() };
    bytes.extend(node.data.iter().flatten());
    let longs = [node.czxid, node.mzxid, node.pzxid, node.ctime_ms, node.mtime_ms];
    longs.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    let ints = [node.version, node.creates, node.aversion];
    ints.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    bytes.extend(node.owner.to_be_bytes());
    u64::from(crc32fast::hash(&bytes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_what_the_model_does(
        extended_types in prop::bool::weighted(0.9),
        enforce_quota: bool,
        limits in prop::option::of(0..8usize),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut pair = Pair::new(extended_types, enforce_quota, limits);
        for step in &steps {
            pair.step(step);
        }
        pair.finish(directory.path());
    }
}
