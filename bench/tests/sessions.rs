//! `sessions`, against servers that keep sessions as they should and such that do not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use support::fake::{Fake, Flaw};
use support::{Echo, bench, report, run};

mod support;

const SHORT: [&str; 8] =
    ["--sessions", "20", "--at-once", "7", "--session-timeout-ms", "2000", "--idle-seconds", "0.1"];

#[test]
fn sessions_open_go_on_and_expire() {
    let server = Fake::start(Flaw::None);
    // The server is a part of this process.
    let pid = std::process::id().to_string();
    let flags = [&SHORT[..], &["--server-pid", &pid]].concat();
    let report = report(&run("sessions", &server.address, &flags), 0);
    assert!(report["figures"]["expiry_server_cpu_s"].is_number(), "{report}");
    for operation in ["connect", "reconnect", "expiry"] {
        let measured = &report["operations"][operation];
        assert_eq!(measured["count"], 20, "{report}");
        assert!(measured["latency_us"]["max"].as_f64() > Some(0.0), "{report}");
    }
    for operation in ["steady_idle", "steady_expiry"] {
        assert!(report["operations"][operation]["count"].as_u64() > Some(20), "{report}");
    }
    assert_eq!(report["check"]["violations"], 0);
    assert_eq!(server.paths(), [""; 0], "what was created is removed");
}

#[test]
fn the_echo_server_plays_the_limit() {
    let echo = Echo::start(&["--value-bytes", "100"]);
    let flags = ["--storms", "reconnect", "--unchecked", "--server-pid", &echo.pid()];
    let report = report(&run("sessions", &echo.address, &[&SHORT[..], &flags].concat()), 0);
    assert_eq!(report["operations"]["connect"]["count"], 20, "{report}");
    assert_eq!(report["operations"]["reconnect"]["count"], 20, "{report}");
    for figure in ["connect_server_cpu_s", "reconnect_server_cpu_s"] {
        assert!(report["figures"][figure].is_number(), "{report}");
    }
    assert!(report["figures"]["rss_bytes_per_session"].is_null(), "storms follow: {report}");
}

#[test]
fn without_a_storm_the_memory_of_a_session_is_told() {
    let echo = Echo::start(&["--value-bytes", "100"]);
    let flags = ["--sessions", "20", "--storms", "none", "--idle-seconds", "0.1"];
    let pid = echo.pid();
    let flags = [&flags[..], &["--unchecked", "--server-pid", &pid]].concat();
    let report = report(&run("sessions", &echo.address, &flags), 0);
    for figure in ["rss_bytes_per_session", "rss_before_sessions_bytes"] {
        assert!(report["figures"][figure].is_number(), "{report}");
    }
}

#[test]
fn sessions_that_end_early_late_or_in_between_are_violations() {
    for (flaw, expected) in [
        (Flaw::ExpireEarly, "ms before its time was over"),
        (Flaw::ExpireNever, "does not expire"),
        (Flaw::ForgetSession, "a session that should go on is not known"),
        (Flaw::SameSession, "with the id of another one"),
    ] {
        let server = Fake::start(flaw);
        let mut command = bench();
        command.args(["sessions", "--servers", &server.address, "--expiry-seconds-max", "0.3"]);
        let output = command.args(SHORT).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{flaw:?}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(expected), "{flaw:?}: {printed}");
    }
}
