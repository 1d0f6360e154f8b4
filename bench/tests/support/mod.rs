//! What the tests of scenarios share: the built program, and servers to run it against.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod fake;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_menagerie-bench"))
}

/// A run with its report as JSON.
pub(crate) fn run(scenario: &str, server: &str, flags: &[&str]) -> Output {
    let mut command = bench();
    command.args([scenario, "--servers", server, "--json", "-"]);
    command.args(flags).output().unwrap()
}

/// The report of a run that ended with `code`.
pub(crate) fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The echo server as a process, killed when dropped.
pub(crate) struct Echo {
    process: Child,
    pub(crate) address: String,
}

impl Echo {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut process = bench().arg("echo").args(flags).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { process, address }
    }

    pub(crate) fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
