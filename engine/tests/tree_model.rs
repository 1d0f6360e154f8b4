//! The tree against a plain model: random edits, seals, held roots, resets and reclaiming.
//!
//! The model is a map from path to node and is cloned for every root. After each run every root
//! that is still held must show exactly its own state, the digest is summed anew, and the memory
//! must be what the state needs: dropping a tree with its roots checks in debug builds that each
//! block was freed once.
#![allow(clippy::unwrap_used)] // In a test a panic is the finding.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_engine::tree::{NewNode, Node, Owner, Root, StatPersisted, Tree, TreeError, View};
use menagerie_wire::data::{Acl, perms};
use menagerie_wire::{SessionId, Zxid};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct ModelNode {
    stat: StatPersisted,
    data: Option<Vec<u8>>,
    acl: usize,
}

#[derive(Clone, Default)]
struct Model {
    nodes: BTreeMap<String, ModelNode>,
    sessions: BTreeMap<SessionId, i32>,
    last_zxid: i64,
}

/// One step. Numbers choose among what there is, modulo its count.
#[derive(Clone, Debug)]
enum Step {
    Create { parent: usize, name: usize, owner: usize, data: usize, acl: usize },
    CreateMany { parent: usize, stem: usize, from: u32, count: u32, descending: bool },
    Delete { node: usize },
    DeleteMany { parent: usize, keep_every: usize },
    SetData { node: usize, data: usize },
    SetUsage { node: usize, data: usize },
    SetAcl { node: usize, acl: usize },
    Raise { node: usize, cversion: i32 },
    OpenSession { id: usize, timeout_ms: i32 },
    CloseSession { id: usize },
    Seal,
    Drop { root: usize },
    Reset { root: usize },
    Reclaim { budget: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..1000usize;
    let many = (n.clone(), 0..4usize, 0..500u32, 1..150u32, any::<bool>());
    let create = (n.clone(), n.clone(), 0..6usize, 0..8usize, 0..4usize);
    prop_oneof![
        6 => create.prop_map(|(parent, name, owner, data, acl)| {
            Step::Create { parent, name, owner, data, acl }
        }),
        2 => many.prop_map(|(parent, stem, from, count, descending)| {
            Step::CreateMany { parent: parent % 5, stem, from, count, descending }
        }),
        4 => n.clone().prop_map(|node| Step::Delete { node }),
        1 => (n.clone(), 2..20usize).prop_map(|(parent, keep_every)| {
            Step::DeleteMany { parent: parent % 5, keep_every }
        }),
        4 => (n.clone(), 0..8usize).prop_map(|(node, data)| Step::SetData { node, data }),
        1 => (n.clone(), 0..8usize).prop_map(|(node, data)| Step::SetUsage { node, data }),
        2 => (n.clone(), 0..4usize).prop_map(|(node, acl)| Step::SetAcl { node, acl }),
        1 => (n.clone(), 0..300).prop_map(|(node, cversion)| Step::Raise { node, cversion }),
        1 => (0..4usize, 1..9i32).prop_map(|(id, timeout_ms)| Step::OpenSession { id, timeout_ms }),
        1 => (0..4usize).prop_map(|id| Step::CloseSession { id }),
        5 => Just(Step::Seal),
        3 => n.clone().prop_map(|root| Step::Drop { root }),
        2 => n.prop_map(|root| Step::Reset { root }),
        1 => (0..200usize).prop_map(|budget| Step::Reclaim { budget }),
    ]
}

const SESSIONS: [SessionId; 4] = [SessionId(3), SessionId(-1), SessionId(-5), SessionId(1 << 56)];
const NAMES: [&str; 5] = ["a", "b", "lock-", "_c_0f8b2c66-3a07-4c1c-9f5e-lock-", "ключ-😀-"];

fn name_of(n: usize) -> String {
    match n % 7 {
        6 => "long".repeat(60 + n % 400) + &n.to_string(),
        5 => n.to_string(),
        stem => format!("{}{}", NAMES[stem], n / 100),
    }
}

fn data_of(n: usize) -> Option<Vec<u8>> {
    let len = [0, 0, 5, 100, 107, 512, 513, 20_000][n];
    (n > 0).then(|| vec![n as u8; len])
}

fn acl_of(n: usize) -> Vec<Acl<'static>> {
    match n {
        0 | 1 => vec![Acl::world(perms::ALL)],
        2 => vec![Acl::world(perms::READ)],
        _ => vec![Acl::new(31, "digest", "me:secret"), Acl::new(1, "ip", "10.0.0.0/8")],
    }
}

fn owner_of(n: usize) -> Owner {
    match n {
        0..=1 => Owner::None,
        2..=3 => Owner::Session(SESSIONS[n]),
        4 => Owner::Container,
        _ => Owner::Ttl { ttl_ms: 777 },
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

struct Run {
    tree: Tree,
    model: Model,
    /// In the order of sealing; `None` when dropped. The flag: still on the line to the newest.
    roots: Vec<Option<(Root, Model, bool)>>,
    zxid: i64,
}

impl Run {
    fn new() -> Self {
        let mut model = Model::default();
        for (path, children) in
            [("/", 0), ("/zookeeper", 0), ("/zookeeper/quota", 0), ("/zookeeper/config", 0)]
        {
            let stat = StatPersisted { cversion: children, ..StatPersisted::default() };
            let node = ModelNode { stat, data: Some(vec![]), acl: 0 };
            model.nodes.insert(path.into(), node);
        }
        let config = model.nodes.get_mut("/zookeeper/config").unwrap();
        config.stat.aversion = -1;
        config.acl = 2;
        Self { tree: Tree::new(), model, roots: Vec::new(), zxid: 0 }
    }

    fn path(&self, n: usize) -> String {
        self.model.nodes.keys().nth(n % self.model.nodes.len()).unwrap().clone()
    }

    fn next_zxid(&mut self) -> i64 {
        self.zxid += 1;
        self.tree.advance(Zxid(self.zxid));
        self.model.last_zxid = self.zxid;
        self.zxid
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Create { parent, name, owner, data, acl } => {
                self.create(&self.path(parent), &name_of(name), owner_of(owner), data, acl);
            }
            Step::CreateMany { parent, stem, from, count, descending } => {
                let parent = self.path(parent);
                for i in from..from + count {
                    let i = if descending { 2 * from + count - i } else { i };
                    let name = format!("{}{i:010}", NAMES[stem]);
                    self.create(&parent, &name, Owner::None, 3, 0);
                }
            }
            Step::Delete { node } => self.delete(&self.path(node)),
            Step::DeleteMany { parent, keep_every } => {
                let under = join(&self.path(parent), "");
                let gone = self.model.nodes.keys().filter(|path| path.starts_with(&under));
                for (i, path) in gone.rev().cloned().collect::<Vec<_>>().iter().enumerate() {
                    if i % keep_every != 0 {
                        self.delete(path);
                    }
                }
            }
            Step::SetData { node, data } => self.set_data(&self.path(node), data),
            Step::SetUsage { node, data } => {
                let (path, data) = (self.path(node), data_of(data).unwrap_or_default());
                self.tree.set_usage(&path, &data).unwrap();
                self.model.nodes.get_mut(&path).unwrap().data = Some(data);
            }
            Step::SetAcl { node, acl } => self.set_acl(&self.path(node), acl),
            Step::Raise { node, cversion } => self.raise(&self.path(node), cversion),
            Step::OpenSession { id, timeout_ms } => {
                self.tree.open_session(SESSIONS[id], timeout_ms);
                self.model.sessions.insert(SESSIONS[id], timeout_ms);
            }
            Step::CloseSession { id } => {
                let closed = self.tree.close_session(SESSIONS[id]);
                let expect = self.model.sessions.remove(&SESSIONS[id]).is_some();
                assert_eq!(closed, expect);
            }
            Step::Seal => {
                let root = self.tree.seal();
                self.roots.push(Some((root, self.model.clone(), true)));
            }
            Step::Drop { root } => {
                if let Some(slot) = choose(&mut self.roots, root) {
                    *slot = None;
                }
            }
            Step::Reset { root } => self.reset(root),
            Step::Reclaim { budget } => drop(self.tree.reclaim(budget)),
        }
    }

    fn create(&mut self, parent: &str, name: &str, owner: Owner, data: usize, acl: usize) {
        let path = join(parent, name);
        let (czxid, data) = (Zxid(self.next_zxid()), data_of(data));
        let entries = acl_of(acl);
        let node =
            NewNode { data: data.as_deref(), acl: &entries, owner, czxid, ctime_ms: czxid.0 * 7 };
        let cversion = self.model.nodes[parent].stat.cversion + 1;
        let result = self.tree.insert(&path, node, cversion, czxid);
        let result = result.map(|parent| (parent.persisted().cversion, parent.persisted().pzxid));
        if self.model.nodes.contains_key(&path) {
            assert_eq!(result, Err(TreeError::NodeExists));
            return;
        }
        assert_eq!(result, Ok((cversion, czxid)));
        let stat = StatPersisted {
            czxid,
            mzxid: czxid,
            pzxid: czxid,
            ctime_ms: czxid.0 * 7,
            mtime_ms: czxid.0 * 7,
            owner,
            ..StatPersisted::default()
        };
        self.model.nodes.insert(path, ModelNode { stat, data, acl });
        let parent = self.model.nodes.get_mut(parent).unwrap();
        parent.stat.cversion = cversion;
        parent.stat.pzxid = czxid;
    }

    fn delete(&mut self, path: &str) {
        let zxid = Zxid(self.next_zxid());
        let result = self.tree.remove(path, zxid);
        if path == "/" {
            assert_eq!(result, Err(TreeError::Root));
        } else if self.model.has_children(path) {
            assert_eq!(result, Err(TreeError::NotEmpty));
        } else {
            assert_eq!(result, Ok(()));
            self.model.nodes.remove(path);
            let parent = menagerie_engine::tree::split(path).unwrap().0;
            self.model.nodes.get_mut(parent).unwrap().stat.pzxid = zxid;
            assert_eq!(self.tree.remove(path, zxid), Err(TreeError::NoNode));
        }
    }

    fn set_data(&mut self, path: &str, data: usize) {
        let (zxid, data) = (Zxid(self.next_zxid()), data_of(data));
        let node = self.model.nodes.get_mut(path).unwrap();
        node.stat.version += 1;
        node.stat.mzxid = zxid;
        node.stat.mtime_ms = zxid.0 * 9;
        let (version, mtime_ms) = (node.stat.version, node.stat.mtime_ms);
        let set = self.tree.set_data(path, data.as_deref(), version, zxid, mtime_ms);
        let (now, old_len) = set.unwrap();
        assert_eq!(old_len, node.data.as_ref().map_or(0, Vec::len));
        assert_eq!((now.persisted(), now.data()), (node.stat, data.as_deref()));
        node.data = data;
    }

    fn set_acl(&mut self, path: &str, acl: usize) {
        self.next_zxid();
        let node = self.model.nodes.get_mut(path).unwrap();
        node.stat.aversion += 1;
        node.acl = acl;
        self.tree.set_acl(path, &acl_of(acl), node.stat.aversion).unwrap();
    }

    fn raise(&mut self, path: &str, cversion: i32) {
        let zxid = Zxid(self.next_zxid());
        self.tree.raise_parent(path, cversion, zxid);
        self.tree.raise_pzxid(path, Zxid(zxid.0 - 1));
        let stat = &mut self.model.nodes.get_mut(path).unwrap().stat;
        if cversion > stat.cversion {
            stat.cversion = cversion;
            stat.pzxid = zxid;
        }
        stat.pzxid = stat.pzxid.max(Zxid(zxid.0 - 1));
    }

    fn reset(&mut self, root: usize) {
        let Some(at) = (!self.roots.is_empty()).then(|| root % self.roots.len()) else { return };
        let Some((root, model, true)) = &self.roots[at] else { return };
        self.tree.reset_to(root);
        self.model = model.clone();
        for (_, _, on_line) in self.roots[at + 1..].iter_mut().flatten() {
            *on_line = false;
        }
    }

    fn check(&self) {
        self.model.check(self.tree.view());
        for (root, model, _) in self.roots.iter().flatten() {
            model.check(root.view());
            assert_eq!(root.last_zxid(), Zxid(model.last_zxid));
        }
    }
}

fn choose<T>(items: &mut [T], n: usize) -> Option<&mut T> {
    let count = items.len();
    (count > 0).then(|| &mut items[n % count])
}

impl Model {
    fn has_children(&self, path: &str) -> bool {
        let under = join(path, "");
        self.nodes.range(under.clone()..).any(|(path, _)| path.starts_with(&under))
    }

    fn check(&self, view: View<'_>) {
        let mut seen = 0;
        self.check_below(view, "/", view.node("/").unwrap(), &mut seen);
        assert_eq!(seen, self.nodes.len());
        assert_eq!(view.node_count(), self.nodes.len() as u64);
        assert_eq!(view.last_zxid(), Zxid(self.last_zxid));
        assert_eq!(view.digest(), self.digest());
        let size = |(path, node): (&String, &ModelNode)| {
            path.trim_end_matches('/').len() + node.data.as_ref().map_or(0, Vec::len)
        };
        assert_eq!(view.data_bytes(), self.nodes.iter().map(size).sum::<usize>() as u64);

        let with = |owner: fn(Owner) -> bool| -> Vec<&str> {
            let nodes = self.nodes.iter().filter(|(_, node)| owner(node.stat.owner));
            nodes.map(|(path, _)| &**path).collect()
        };
        assert!(view.containers().eq(with(|owner| owner == Owner::Container)));
        assert!(view.ttls().eq(with(|owner| matches!(owner, Owner::Ttl { .. }))));
        self.check_sessions(view);
    }

    fn check_sessions(&self, view: View<'_>) {
        let sessions = view.sessions().map(|session| (session.id(), session.timeout_ms()));
        assert!(sessions.eq(self.sessions.iter().map(|(id, timeout_ms)| (*id, *timeout_ms))));
        assert_eq!(view.session_count(), self.sessions.len() as u64);
        let mut owned: BTreeMap<SessionId, BTreeSet<&str>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Owner::Session(id) = node.stat.owner {
                owned.entry(id).or_default().insert(path);
            }
        }
        assert!(view.owners().eq(owned.keys().copied()));
        for (id, paths) in &owned {
            assert!(view.ephemerals(*id).eq(paths.iter().copied()));
            let session = view.session(*id);
            assert_eq!(session.is_some(), self.sessions.contains_key(id));
            assert!(session.is_none_or(|session| session.ephemerals().eq(paths.iter().copied())));
        }
        let count: usize = owned.values().map(BTreeSet::len).sum();
        assert_eq!(view.ephemeral_count(), count as u64);
    }

    /// Returns the number of nodes below.
    fn check_below(&self, view: View<'_>, path: &str, node: Node<'_>, seen: &mut usize) -> u64 {
        *seen += 1;
        let expect = &self.nodes[path];
        let by_path = view.node(path).expect(path);
        for node in [node, by_path] {
            assert_eq!(node.persisted(), expect.stat, "{path}");
            assert_eq!(node.data(), expect.data.as_deref(), "{path}");
            assert_eq!(node.acl().iter().collect::<Vec<_>>(), acl_of(expect.acl), "{path}");
            assert_eq!(node.acl_handle().list(), node.acl(), "{path}");
        }
        let (mut below, mut last) = (0, None);
        for (name, child) in node.children() {
            assert!(last < Some(name), "{name} after {last:?}");
            last = Some(name);
            assert_eq!(node.child(name).expect(name).persisted(), child.persisted());
            below += 1 + self.check_below(view, &join(path, name), child, seen);
        }
        assert_eq!(node.children().count(), node.child_count() as usize);
        let stat = node.stat();
        assert_eq!(stat.num_children as u32, node.child_count());
        assert_eq!(stat.cversion, 2 * expect.stat.cversion - stat.num_children);
        assert_eq!(stat.ephemeral_owner, expect.stat.owner.session());
        assert_eq!(node.descendants(), below, "{path}");
        below
    }

    /// Summed anew, by the words of the specification.
    fn digest(&self) -> u64 {
        let counted = self.nodes.iter().filter(|(path, _)| !path.starts_with("/zookeeper/"));
        let each = counted.map(|(path, node)| {
            let mut bytes = if path == "/" { Vec::new() } else { path.clone().into_bytes() };
            bytes.extend(node.data.iter().flatten());
            let stat = &node.stat;
            for long in [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime_ms, stat.mtime_ms] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [stat.version, stat.cversion, stat.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(stat.owner.to_raw().to_be_bytes());
            u64::from(crc32fast::hash(&bytes))
        });
        each.fold(0, u64::wrapping_add)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 60 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_held_root_shows_exactly_its_own_state(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in &steps {
            run.play(step);
        }
        run.check();
    }

    #[test]
    fn a_reset_gives_back_all_that_was_newer(
        before in prop::collection::vec(step(), 1..40),
        after in prop::collection::vec(step(), 1..40),
    ) {
        let mut run = Run::new();
        before.iter().for_each(|step| run.play(step));
        run.roots.clear();
        let base = run.tree.seal();
        run.tree.reclaim(usize::MAX);
        let memory = run.tree.memory();
        let model = run.model.clone();

        let older = |step: &&Step| !matches!(step, Step::Reset { .. });
        after.iter().filter(older).for_each(|step| run.play(step));
        run.tree.reset_to(&base);
        run.roots.clear();
        run.tree.reclaim(usize::MAX);
        assert_eq!(run.tree.memory(), memory);
        model.check(run.tree.view());
        model.check(base.view());
    }

    #[test]
    fn roots_outlive_their_tree(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        steps.iter().for_each(|step| run.play(step));
        let Run { tree, model, mut roots, .. } = run;
        model.check(tree.view());
        drop(tree);
        while let Some(root) = roots.pop() {
            if let Some((root, model, _)) = root {
                model.check(root.view());
            }
        }
    }
}
