//! ZooKeeper's semantics written down as plainly as possible: a map from path to node.
//!
//! Nothing is shared with the engine but the records of the wire. Speed does not matter here; a
//! multi keeps a copy of everything, and a quota is searched for among all prefixes.

mod access;
mod quota;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use menagerie_wire::OpCode;
use menagerie_wire::jute::Put;
use menagerie_wire::proto::{Create, PathVersion, Request, SetAcl, SetData, WriteOp};

use access::{allowed, fix};

/// A wire number of an error.
pub(crate) type Code = i32;

/// An access list: permissions, scheme, id.
pub(crate) type List = Vec<(i32, String, String)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: List,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    pub(crate) ctime_ms: i64,
    pub(crate) mtime_ms: i64,
    pub(crate) version: i32,
    pub(crate) creates: i32,
    pub(crate) aversion: i32,
    /// As Apache stores it: a session, or the marks of containers and TTL nodes.
    pub(crate) owner: i64,
}

pub(crate) const CONTAINER: i64 = i64::MIN;
const TTL: i64 = 0xff_i64 << 56;

/// Who asks, and when.
pub(crate) struct Asking<'a> {
    pub(crate) session: i64,
    /// Scheme and id of each identity.
    pub(crate) ids: &'a [(&'a str, &'a str)],
    pub(crate) zxid: i64,
    pub(crate) time_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Created,
    Deleted,
    Changed,
}

pub(crate) type Changes = Vec<(Kind, String)>;

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) sessions: BTreeSet<i64>,
    pub(crate) extended_types: bool,
    pub(crate) enforce_quota: bool,
}

fn fresh(acl: i32, aversion: i32) -> Node {
    Node {
        data: Some(Vec::new()),
        acl: vec![(acl, "world".into(), "anyone".into())],
        czxid: 0,
        mzxid: 0,
        pzxid: 0,
        ctime_ms: 0,
        mtime_ms: 0,
        version: 0,
        creates: 0,
        aversion,
        owner: 0,
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        let nodes = [
            ("/", fresh(31, 0)),
            ("/zookeeper", fresh(31, 0)),
            ("/zookeeper/quota", fresh(31, 0)),
            ("/zookeeper/config", fresh(1, -1)),
        ];
        Self {
            nodes: nodes.into_iter().map(|(path, node)| (path.to_owned(), node)).collect(),
            sessions: BTreeSet::new(),
            extended_types: true,
            enforce_quota: true,
        }
    }

    /// Performs a write: the body of the reply, or the code in its header.
    pub(crate) fn write(
        &mut self,
        asking: &Asking<'_>,
        request: &Request<'_>,
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        match request {
            Request::Create(op, create) => self.create(asking, *op, create, changes),
            Request::Delete(delete) => self.delete(asking, delete, changes),
            Request::SetData(set_data) => self.set_data(asking, set_data, changes),
            Request::SetAcl(set_acl) => self.set_acl(asking, set_acl),
            Request::Multi(multi) => self.multi(asking, &multi.ops, changes),
            Request::Reconfig(_) => Err(-123),
            Request::CloseSession => {
                self.close(asking, changes);
                Ok(Vec::new())
            }
            other => panic!("{other:?} is no write"),
        }
    }

    pub(crate) fn children(&self, path: &str) -> Vec<&str> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self.nodes.keys().filter_map(|other| other.strip_prefix(&*prefix));
        below.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    fn get(&self, path: &str) -> Result<&Node, Code> {
        let path = if path.is_empty() { "/" } else { path };
        self.nodes.get(path).ok_or(-101)
    }

    fn parent<'p>(&self, path: &'p str) -> Result<&'p str, Code> {
        match path.rfind('/') {
            Some(_) if path.contains('\0') => Err(-8),
            Some(0) => Ok("/"),
            Some(slash) => Ok(&path[..slash]),
            None => Err(-8),
        }
    }

    fn open(&self, asking: &Asking<'_>) -> Result<(), Code> {
        if self.sessions.contains(&asking.session) { Ok(()) } else { Err(-112) }
    }

    fn create(
        &mut self,
        asking: &Asking<'_>,
        op: OpCode,
        create: &Create<'_>,
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        let flags = create.flags;
        if !(0..=6).contains(&flags) {
            return Err(-8);
        }
        let mut owner = 0;
        if flags >= 5 {
            if !self.extended_types {
                return Err(-6);
            }
            let ttl = create.ttl_ms.filter(|ttl| *ttl >= 1 && *ttl < 1 << 40).ok_or(-8)?;
            owner = TTL | ttl;
        } else if op == OpCode::CreateTtl {
            return Err(-8);
        } else if op == OpCode::CreateContainer {
            owner = CONTAINER;
        } else if flags == 1 || flags == 3 {
            owner = asking.session;
        }
        self.open(asking)?;
        let parent = self.parent(&create.path)?.to_owned();
        let acl = fix(create.acl.as_deref(), asking)?;
        let above = self.get(&parent)?;
        allowed(above, 4, asking)?;
        let mut path = create.path.to_string();
        if matches!(flags, 2 | 3 | 6) {
            path += &format!("{:010}", above.creates);
        }
        legal(&path)?;
        if self.nodes.contains_key(&path) {
            return Err(-110);
        }
        if above.owner > 0 {
            return Err(-108);
        }
        let data = create.data.map(<[u8]>::to_vec);
        let bytes = data.as_ref().map_or(0, Vec::len) as i64;
        self.quota_allows(&path, 1, bytes)?;
        let above = self.nodes.get_mut(&parent).expect("was there");
        above.creates += 1;
        above.pzxid = asking.zxid;
        let node = Node {
            data,
            acl,
            czxid: asking.zxid,
            mzxid: asking.zxid,
            pzxid: asking.zxid,
            ctime_ms: asking.time_ms,
            mtime_ms: asking.time_ms,
            owner,
            ..fresh(0, 0)
        };
        self.nodes.insert(path.clone(), node);
        let mut reply = Vec::new();
        reply.put_string(&path);
        if op != OpCode::Create {
            self.put_stat(&path, &mut reply);
        }
        self.quota_fill(&path);
        self.quota_count(&path, 1, bytes);
        changes.push((Kind::Created, path));
        Ok(reply)
    }

    fn delete(
        &mut self,
        asking: &Asking<'_>,
        delete: &PathVersion<'_>,
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        self.open(asking)?;
        let path = &*delete.path;
        let parent = self.parent(path)?;
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path) {
            return Err(-8);
        }
        allowed(self.get(parent)?, 8, asking)?;
        expect_version(self.get(path)?.version, delete.version)?;
        if !self.children(path).is_empty() {
            return Err(-111);
        }
        self.remove(path, asking.zxid, changes);
        Ok(Vec::new())
    }

    fn remove(&mut self, path: &str, zxid: i64, changes: &mut Changes) {
        let node = self.nodes.remove(path).expect("was there");
        let parent = self.parent(path).expect("was valid").to_owned();
        self.nodes.get_mut(&parent).expect("was there").pzxid = zxid;
        self.quota_count(path, -1, -(node.data.as_ref().map_or(0, Vec::len) as i64));
        changes.push((Kind::Deleted, path.to_owned()));
    }

    /// The server's own deletion of a container or TTL node.
    pub(crate) fn delete_container(
        &mut self,
        asking: &Asking<'_>,
        path: &str,
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        let node = self.get(path)?;
        if !self.children(path).is_empty() {
            return Err(-111);
        }
        let used_container = node.owner == CONTAINER && node.creates > 0;
        let is_ttl = node.owner < 0 && node.owner != CONTAINER;
        let idle_ms = asking.time_ms - node.mtime_ms;
        if !(used_container || is_ttl && idle_ms > node.owner & ((1 << 40) - 1)) {
            return Err(-103);
        }
        self.remove(path, asking.zxid, changes);
        Ok(Vec::new())
    }

    fn set_data(
        &mut self,
        asking: &Asking<'_>,
        set_data: &SetData<'_>,
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        self.open(asking)?;
        let path = set_data.path.as_deref().ok_or(-8)?;
        legal(path)?;
        let node = self.get(path)?;
        allowed(node, 2, asking)?;
        if path == "/zookeeper/config" {
            return Err(-8);
        }
        let data = set_data.data.map(<[u8]>::to_vec);
        let len = |data: &Option<Vec<u8>>| data.as_ref().map_or(0, Vec::len) as i64;
        let grown = len(&data) - len(&node.data);
        self.quota_allows(path, 0, grown)?;
        expect_version(node.version, set_data.version)?;
        let node = self.nodes.get_mut(path).expect("was there");
        node.data = data;
        node.version += 1;
        node.mzxid = asking.zxid;
        node.mtime_ms = asking.time_ms;
        self.quota_count(path, 0, grown);
        changes.push((Kind::Changed, path.to_owned()));
        let mut reply = Vec::new();
        self.put_stat(path, &mut reply);
        Ok(reply)
    }

    fn set_acl(&mut self, asking: &Asking<'_>, set_acl: &SetAcl<'_>) -> Result<Vec<u8>, Code> {
        self.open(asking)?;
        let path = set_acl.path.as_deref().ok_or(-8)?;
        legal(path)?;
        let acl = fix(set_acl.acl.as_deref(), asking)?;
        let node = self.get(path)?;
        allowed(node, 16, asking)?;
        expect_version(node.aversion, set_acl.version)?;
        let node = self.nodes.get_mut(path).expect("was there");
        node.acl = acl;
        node.aversion += 1;
        let mut reply = Vec::new();
        self.put_stat(path, &mut reply);
        Ok(reply)
    }

    fn check(&self, asking: &Asking<'_>, check: &PathVersion<'_>) -> Result<Vec<u8>, Code> {
        self.open(asking)?;
        legal(&check.path)?;
        let node = self.get(&check.path)?;
        allowed(node, 1, asking)?;
        expect_version(node.version, check.version)?;
        Ok(Vec::new())
    }

    fn multi(
        &mut self,
        asking: &Asking<'_>,
        ops: &[WriteOp<'_>],
        changes: &mut Changes,
    ) -> Result<Vec<u8>, Code> {
        for op in ops {
            if let WriteOp::Create(op, create) = op
                && *op != OpCode::CreateTtl
                && !(0..=4).contains(&create.flags)
            {
                return Err(-5);
            }
        }
        let before = self.clone();
        let mut reply = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let (kind, result) = self.one_of_multi(asking, op, changes);
            match result {
                Ok(body) => {
                    put_header(kind, 0, &mut reply);
                    reply.extend(body);
                }
                Err(code) => {
                    *self = before;
                    changes.clear();
                    if code == -5 {
                        return Err(code);
                    }
                    reply.clear();
                    for other in 0..ops.len() {
                        let err =
                            [0, code, -2][(other >= index) as usize + (other > index) as usize];
                        put_header(-1, err, &mut reply);
                        reply.put_int(err);
                    }
                    break;
                }
            }
        }
        reply.extend(END);
        Ok(reply)
    }

    fn one_of_multi(
        &mut self,
        asking: &Asking<'_>,
        op: &WriteOp<'_>,
        changes: &mut Changes,
    ) -> (i32, Result<Vec<u8>, Code>) {
        match op {
            WriteOp::Create(op, create) => {
                let op = match (op, create.flags) {
                    (_, 4) => OpCode::CreateContainer,
                    (OpCode::CreateTtl, 5 | 6) => OpCode::CreateTtl,
                    (OpCode::CreateTtl, _) => OpCode::Create,
                    (op, _) => *op,
                };
                let kind = if op == OpCode::Create { 1 } else { 15 };
                (kind, self.create(asking, op, create, changes))
            }
            WriteOp::Delete(delete) => (2, self.delete(asking, delete, changes)),
            WriteOp::SetData(set_data) => (5, self.set_data(asking, set_data, changes)),
            WriteOp::Check(check) => (13, self.check(asking, check)),
        }
    }

    pub(crate) fn close(&mut self, asking: &Asking<'_>, changes: &mut Changes) {
        for path in self.owned(asking.session) {
            self.remove(&path, asking.zxid, changes);
        }
        self.sessions.remove(&asking.session);
    }

    pub(crate) fn owned(&self, session: i64) -> Vec<String> {
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == session);
        owned.map(|(path, _)| path.clone()).collect()
    }
}

const END: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff];

fn put_header(kind: i32, err: Code, out: &mut Vec<u8>) {
    out.put_int(kind);
    out.put_bool(false);
    out.put_int(err);
}

fn expect_version(version: i32, expected: i32) -> Result<(), Code> {
    if expected == -1 || expected == version { Ok(()) } else { Err(-103) }
}

fn legal(path: &str) -> Result<(), Code> {
    let mut names = path.split('/');
    let absolute = names.next() == Some("");
    let names_ok = path == "/" || names.all(|name| !["", ".", ".."].contains(&name));
    let chars_ok = path.chars().all(|c| (' '..='~').contains(&c));
    let ok = absolute && names_ok && chars_ok && !path.is_empty();
    if ok { Ok(()) } else { Err(-8) }
}
