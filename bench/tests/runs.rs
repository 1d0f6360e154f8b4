//! The built program, run against servers that behave and that do not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;

use menagerie_wire::SessionId;
use menagerie_wire::frame;
use menagerie_wire::proto::{ConnectResponse, PASSWD_LEN};
use serde_json::Value;
use support::{Echo, bench};

mod support;

/// A short `mixed` run against `server`.
fn mixed(server: &str, flags: &[&str]) -> Output {
    let mut command = bench();
    command.args(["mixed", "--servers", server, "--connections", "4", "--depth", "3"]);
    command.args(["--keys", "50", "--seconds", "0.2", "--warm-up", "0", "--json", "-"]);
    command.args(flags).output().unwrap()
}

#[test]
fn a_run_reports_rates_latencies_and_cpu_time() {
    let echo = Echo::start(&[]);
    let pid = echo.pid();
    for flags in [&["--unchecked", "--server-pid", &pid][..], &["--unchecked", "--rate", "500"]] {
        let output = mixed(&echo.address, flags);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["scenario"], "mixed");
        assert_eq!(output.stderr, b"", "no progress is shown where there is no terminal");
        let share = report["client_cpu_share"].as_f64();
        // The kernel counts in ticks of 10 ms, of which an open loop may need none.
        let share_min = if flags.contains(&"--rate") { 0.0 } else { 0.01 };
        assert!(share >= Some(share_min) && share < Some(1.5), "{report}");
        for operation in ["read", "write"] {
            let measured = &report["operations"][operation];
            assert!(measured["count"].as_u64() > Some(0), "{report}");
            assert_eq!(measured["errors"], 0, "{report}");
            let latency_us = |name: &str| measured["latency_us"][name].as_f64().unwrap();
            let steps = ["p50", "p90", "p99", "p99_9", "max"].map(latency_us);
            assert!(steps[0] > 0.0 && steps.is_sorted(), "{report}");
        }
        assert_eq!(report["check"]["violations"], 0);
        assert_eq!(report["server_cpu_s"].is_number(), flags.contains(&"--server-pid"), "{report}");
    }
}

#[test]
fn a_server_that_answers_wrongly_is_found_out() {
    let echo = Echo::start(&[]);
    let output = mixed(&echo.address, &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["check"]["violations"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_server_that_goes_away_fails_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        // It goes away when all sessions are open.
        let mut sockets = Vec::new();
        for _ in 0..4 {
            let (mut socket, _) = listener.accept().unwrap();
            let response = ConnectResponse {
                timeout_ms: 30_000,
                session_id: SessionId(1),
                passwd: [0; PASSWD_LEN],
                read_only: Some(false),
            };
            let mut bytes = Vec::new();
            frame::put(&mut bytes, &response);
            socket.read_exact(&mut [0; 49]).unwrap();
            socket.write_all(&bytes).unwrap();
            sockets.push(socket);
        }
    });
    let output = mixed(&address, &[]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("went away"), "{text}");
}

#[test]
fn no_server_is_a_failure_and_a_bad_flag_is_a_usage_error() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(mixed(&unused, &[]).status.code(), Some(1));
    assert_eq!(mixed(&unused, &["--ratio", "0:0"]).status.code(), Some(2));
}
