//! `failover`, with ensembles that are played.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::Output;

use support::fake::{Fake, Flaw};
use support::{Echo, bench, report};

mod support;

/// A short run with these members.
fn failover(members: &[String], flags: &[&str]) -> Output {
    let mut command = bench();
    command.args(["failover", "--pause", "0.1", "--clients", "3", "--json", "-"]);
    command.args(members.iter().flat_map(|member| ["--server", member]));
    command.args(flags).output().unwrap()
}

/// An echo server that leads, as a member with the command that starts it.
fn leader() -> String {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = env!("CARGO_BIN_EXE_menagerie-bench");
    format!("{unused}={program} echo --mode leader --listen {unused}")
}

fn follower(echo: &Echo) -> String {
    format!("{}@{}", echo.address, echo.pid())
}

#[test]
fn gaps_are_measured_and_servers_come_back() {
    let followers = [0; 2].map(|_| Echo::start(&["--mode", "follower"]));
    let members = [leader(), follower(&followers[0]), follower(&followers[1])];
    // Members without a command allow one kill.
    let report = report(&failover(&members, &["--runs", "1"]), 0);
    let measured = |operation: &str| &report["operations"][operation];
    assert_eq!(measured("failover")["count"], 1, "{report}");
    assert_eq!(measured("client_gap")["count"], 3, "{report}");
    assert!(measured("client_gap")["latency_us"]["max"].as_f64() > Some(0.0), "{report}");
    assert!(report["figures"]["writes_acknowledged"].as_f64() > Some(10.0), "{report}");
    assert_eq!(report["figures"]["writes_lost"], 0.0);
    assert_eq!(failover(&members, &["--runs", "2"]).status.code(), Some(2));
}

#[test]
fn writes_that_the_survivors_do_not_have_are_lost() {
    // What the leader acknowledged alone is gone with it. One server stands for both survivors.
    let survivor = Fake::start(Flaw::None);
    let fake = format!("{}@{}", survivor.address, std::process::id());
    let members = [fake.clone(), fake, leader()];
    let report = report(&failover(&members, &["--runs", "1"]), 3);
    assert!(report["figures"]["writes_lost"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn an_ensemble_that_does_not_come_together_fails_the_run() {
    let member = leader().replace("leader", "looking");
    let output = failover(&[member], &["--runs", "1", "--seconds-max", "0.3"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no ensemble: 0 lead"), "{text}");
}
