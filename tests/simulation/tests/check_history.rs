//! The program that judges files: what it prints, and how it exits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The records of two clients: each sets one node, and both are told version 1 when `broken`.
fn files(broken: bool) -> [String; 2] {
    let connected = |at: u32, client: u32| {
        let session = format!(r#""session":{client},"node":1,"timeout_ms":1000,"resumed":false"#);
        format!(r#"{{"at_ns":{at},"client":{client},"connected":{{{session}}}}}"#)
    };
    let create = r#"{"create":{"path":"/a","data":"x","mode":"persistent","sequential":false}}"#;
    let set = r#"{"set_data":{"path":"/a","data":"y","version":-1}}"#;
    let invoke = |at: u32, client: u32, op: u32, write: &str| {
        let request = format!(r#"{{"op":{op},"request":{{"write":{write}}}}}"#);
        format!(r#"{{"at_ns":{at},"client":{client},"invoke":{request}}}"#)
    };
    let done = |at: u32, client: u32, op: u32, zxid: u32, reply: &str| {
        let result = format!(r#"{{"op":{op},"zxid":{zxid},"result":{{"Ok":{reply}}}}}"#);
        format!(r#"{{"at_ns":{at},"client":{client},"return":{result}}}"#)
    };
    let stat = |zxid: u32, version: u32| {
        format!(
            r#"{{"stat":{{"czxid":1,"mzxid":{zxid},"pzxid":1,"version":{version},"cversion":0,
                "ephemeral_owner":0,"num_children":0}}}}"#
        )
        .replace('\n', "")
    };
    let one = [
        connected(1, 1),
        invoke(3, 1, 1, create),
        done(4, 1, 1, 1, r#"{"created":{"path":"/a","stat":null}}"#),
        invoke(5, 1, 2, set),
        done(6, 1, 2, 2, &stat(2, 1)),
    ];
    let version = if broken { 1 } else { 2 };
    let two = [connected(2, 2), invoke(7, 2, 1, set), done(8, 2, 1, 3, &stat(3, version))];
    [one.join("\n") + "\n", two.join("\n") + "\n"]
}

fn check(name: &str, texts: &[String]) -> Output {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |(index, text): (usize, &String)| -> PathBuf {
        let path = directory.join(format!("{name}-{index}.jsonl"));
        std::fs::write(&path, text).expect("the directory of this test takes files");
        path
    };
    let files: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_check-history"));
    command.args(files).output().expect("the program runs")
}

#[test]
fn the_files_of_a_run_are_judged_together() {
    let output = check("good", &files(false));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3 operations, 0 violations\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_broken_promise_is_shown_with_its_operations() {
    let output = check("bad", &files(true));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("linearizable_writes: /a: 2 of 3 operations have"), "{text}");
    assert!(text.contains("client 2 session 0x2 #1"), "{text}");
    assert!(text.ends_with("3 operations, 1 violations\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_no_history_is_an_error() {
    let output = check("nonsense", &["nonsense\n".to_owned()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("line 1 is no record"), "{text}");
    assert_eq!(output.status.code(), Some(2));
}
