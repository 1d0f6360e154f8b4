//! Apache's own transactions, applied by us: the same digests, the same trees, the same bytes.
//!
//! Two captures of real servers speak here (`data/apache/ORIGIN.md`). Proposals prove that every
//! kind of transaction, read and written back, is byte for byte what Apache sends, and that after
//! each the tree has the digest that Apache's leader predicted. Logs prove the same over longer
//! histories, and that the tree at their end is, node by node and field by field, the tree that
//! Apache's own recovery finds.

#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use menagerie_engine::tree::{Node, Tree};
use menagerie_engine::txn;
use menagerie_wire::jute::{Put, Reader};
use menagerie_wire::txn::{Txn, TxnBody, TxnDigest};
use menagerie_wire::{ErrorCode, Zxid};
use serde_json::Value;

#[test]
fn proposals_lead_to_apache_s_digests_and_read_back_as_they_were() {
    let text = std::fs::read_to_string(data("proposals.txt")).unwrap();
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    for line in text.lines() {
        let (name, hex) = line.split_once(' ').unwrap();
        let bytes = bytes(hex);
        histories.entry(name).or_default().apply(&bytes);
        let (txn, digest) = Txn::decode(&bytes).unwrap();
        let mut again = Vec::new();
        txn.encode(digest, &mut again);
        assert_eq!(again, bytes, "{name} {:?}", txn.header);
    }
    let digests: Vec<_> = histories.values().map(|history| history.digests).collect();
    assert_eq!(digests, [16, 6, 3, 6]);
}

#[test]
fn logs_lead_to_the_trees_that_apache_recovers() {
    let check = |name: &str, digests: u32| {
        let mut history = History::default();
        for log in logs(name) {
            read_log(&std::fs::read(&log).unwrap(), |txn| history.apply(txn));
        }
        let expected = std::fs::read_to_string(data(name).join("expected.json")).unwrap();
        history.compare(name, &serde_json::from_str(&expected).unwrap());
        assert_eq!(history.digests, digests, "{name}");
    };
    check("log-only", 41);
    check("snap-plus-log", 43);
    check("no-digest-no-closetxn", 0);
    check("fuzzy-snapshot", 852);
    check("rolled-fuzzy", 178);
    check("after-trunc", 9);
}

/// A tree, and how many transactions came with a digest that it agreed with.
#[derive(Default)]
struct History {
    tree: Tree,
    digests: u32,
}

impl History {
    fn apply(&mut self, bytes: &[u8]) {
        let (txn, digest) = Txn::decode(bytes).unwrap();
        let outcome = txn::apply(&mut self.tree, &txn);
        let expect_err = match txn.body {
            TxnBody::Error { err } => Some(ErrorCode::try_from(err).unwrap()),
            _ => None,
        };
        assert_eq!(outcome.result.err(), expect_err, "{:?}", txn.header);
        if let Some(digest) = digest {
            let ours = TxnDigest::new(self.tree.view().digest());
            assert_eq!(ours, digest, "after {:?}", txn);
            self.digests += 1;
        }
    }

    fn compare(&self, name: &str, expected: &Value) {
        let view = self.tree.view();
        assert_eq!(view.last_zxid(), Zxid(hex(&expected["lastProcessedZxid"])));
        if expected["treeDigest"] != "0x0" {
            assert_eq!(view.digest() as i64, hex(&expected["treeDigest"]), "{name}");
        }
        let sessions = expected["sessions"].as_object().unwrap();
        assert_eq!(view.sessions().count(), sessions.len());
        for session in view.sessions() {
            let timeout_ms = &sessions[&format!("0x{:x}", session.id().0)];
            assert_eq!(session.timeout_ms(), *timeout_ms);
            let ephemerals: Vec<_> = session.ephemerals().collect();
            let owned = &expected["ephemerals"][format!("0x{:x}", session.id().0)];
            assert_eq!(ephemerals, strings(owned), "{name}");
        }
        assert_eq!(view.containers().collect::<Vec<_>>(), strings(&expected["containers"]));
        assert_eq!(view.ttls().collect::<Vec<_>>(), strings(&expected["ttls"]));
        let nodes = expected["nodes"].as_object().unwrap();
        assert_eq!(view.node_count(), nodes.len() as u64, "{name}");
        // The configuration is written by each server itself, without a transaction.
        for (path, expect) in nodes.iter().filter(|(path, _)| *path != "/zookeeper/config") {
            let node = view.node(path).unwrap_or_else(|| panic!("{name} lacks {path}"));
            assert_eq!(shown(node), *expect, "{name} {path}");
        }
    }
}

/// A node in the words of `expected.json`.
fn shown(node: Node<'_>) -> Value {
    let (persisted, stat) = (node.persisted(), node.stat());
    let hex = |number: i64| format!("0x{number:x}");
    let acl: Vec<Value> = node
        .acl()
        .iter()
        .map(|acl| serde_json::json!([acl.perms, acl.id.scheme, acl.id.id]))
        .collect();
    serde_json::json!({
        "data": node.data().map(|data| data.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        "acl": acl,
        "stat": {
            "czxid": hex(persisted.czxid.0),
            "mzxid": hex(persisted.mzxid.0),
            "pzxid": hex(persisted.pzxid.0),
            "ctime": persisted.ctime_ms,
            "mtime": persisted.mtime_ms,
            "version": persisted.version,
            "cversion": persisted.cversion,
            "aversion": persisted.aversion,
            "ephemeralOwner": hex(persisted.owner.to_raw()),
        },
        "clientStat": {
            "cversion": stat.cversion,
            "dataLength": stat.data_length,
            "numChildren": stat.num_children,
            "ephemeralOwner": hex(stat.ephemeral_owner.0),
        },
    })
}

/// Cuts an undamaged log of Apache into transactions.
// ZooKeeper: FileTxnLog
fn read_log(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let mut magic = b"ZKLG".to_vec();
    magic.put_int(2);
    magic.put_long(0);
    let mut reader = Reader::new(bytes.strip_prefix(&*magic).expect("a log's header"));
    while reader.rest().len() > 12 {
        let _checksum = reader.long().unwrap();
        match reader.int().unwrap() {
            0 => return,
            len => each(reader.bytes(len as usize).unwrap()),
        }
        assert_eq!(reader.byte(), Ok(b'B'));
    }
}

/// The logs of a directory, oldest first.
fn logs(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data(name)).unwrap();
    let first_zxid = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        i64::from_str_radix(name.strip_prefix("log.")?, 16).ok()
    };
    let mut logs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| first_zxid(path).is_some());
    logs.sort_by_key(first_zxid);
    logs
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/apache").join(name)
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn hex(value: &Value) -> i64 {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    u64::from_str_radix(digits, 16).unwrap() as i64
}

fn strings(value: &Value) -> Vec<&str> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap()).collect()
}
