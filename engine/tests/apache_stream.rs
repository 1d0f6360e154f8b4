//! Snapshot streams that Apache's leaders sent, read by us and sent on: nothing is lost.
//!
//! The captures are those of the wire crate (`wire/tests/data/ensemble/ORIGIN.md`), with what
//! Apache put in decoded beside the bytes.

#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use std::path::Path;

use menagerie_engine::snapshot::jute_stream::{Receiver, write};
use menagerie_engine::tree::Tree;
use menagerie_wire::Zxid;
use serde_json::Value;

const NODE_BYTES_MAX: usize = 2 << 20;
const SIGNATURE: &[u8] = b"\0\0\0\x0aBenWasHere";

/// Every stream of the captures, with what stands beside it.
fn streams() -> Vec<(String, Vec<u8>, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/ensemble");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["type"] == "SNAPSTREAM" {
                found.push((name.clone(), bytes(line["hex"].as_str().unwrap()), line["d"].clone()));
            }
        }
    }
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn read(name: &str, stream: &[u8]) -> Tree {
    let mut receiver = Receiver::new(NODE_BYTES_MAX);
    let mut behind = None;
    for piece in stream.chunks(100) {
        match &mut behind {
            None => behind = receiver.push(piece).unwrap(),
            Some(behind) => behind.extend_from_slice(piece),
        }
    }
    assert_eq!(behind.as_deref(), Some(SIGNATURE), "{name}");
    receiver.finish(Zxid(1)).unwrap()
}

fn number(value: &Value) -> i64 {
    match value.as_str() {
        Some(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap() as i64,
        None => value.as_i64().unwrap(),
    }
}

#[test]
fn a_captured_stream_becomes_the_tree_that_apache_sent() {
    let streams = streams();
    assert!(streams.len() >= 3, "the captures hold {} streams", streams.len());
    for (name, stream, sent) in &streams {
        let tree = read(name, stream);
        let nodes = sent["nodes"].as_array().unwrap();
        // The digest's special case aside, a fresh tree's four nodes are in every stream.
        assert_eq!(tree.view().node_count(), nodes.len() as u64, "{name}");
        for node in nodes {
            let path = node["path"].as_str().unwrap();
            let ours = tree.view().node(path).unwrap_or_else(|| panic!("{name}: {path} is lost"));
            let stat = ours.persisted();
            let check = |field: &str, ours: i64| {
                assert_eq!(ours, number(&node["stat"][field]), "{name} {path} {field}");
            };
            check("czxid", stat.czxid.0);
            check("mzxid", stat.mzxid.0);
            check("pzxid", stat.pzxid.0);
            check("ctime", stat.ctime_ms);
            check("mtime", stat.mtime_ms);
            check("version", stat.version.into());
            check("cversion", stat.cversion.into());
            check("aversion", stat.aversion.into());
            check("ephemeralOwner", stat.owner.to_raw());
            let data = node["data"].as_str().map(bytes);
            assert_eq!(ours.data(), data.as_deref(), "{name} {path}");
            let list = number(&node["acl"]);
            let entries = ours.acl().iter().count();
            let lists = sent["aclmap"].as_array().unwrap();
            let listed = lists.iter().find(|entry| number(&entry[0]) == list);
            let expect = listed.map_or(1, |entry| entry[1].as_array().unwrap().len());
            assert_eq!(entries, expect, "{name} {path}");
        }
        assert_eq!(
            tree.view().session_count(),
            sent["sessions"].as_array().unwrap().len() as u64,
            "{name}"
        );
    }
}

#[test]
fn a_captured_stream_sent_on_and_read_again_is_the_same_tree() {
    for (name, stream, _) in &streams() {
        let tree = read(name, stream);
        let mut ours = Vec::new();
        let sink = |piece: &[u8]| {
            ours.extend_from_slice(piece);
            Ok::<(), std::convert::Infallible>(())
        };
        write(tree.view(), sink).unwrap();
        ours.extend_from_slice(SIGNATURE);
        let again = read(name, &ours);
        assert_eq!(again.view().digest(), tree.view().digest(), "{name}");
        assert_eq!(again.view().node_count(), tree.view().node_count(), "{name}");
    }
}
