//! `watch`, against servers that send the right events and such that do not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use serde_json::Value;
use support::fake::{Fake, Flaw};
use support::{Echo, report, run};

mod support;

fn watch(server: &str, flags: &[&str]) -> Output {
    let short = ["--connections", "5", "--nodes", "4", "--seconds", "0.2", "--warm-up", "0"];
    run("watch", server, &[&short[..], flags].concat())
}

/// Every round has its times, and all its events.
fn check_counts(report: &Value, events_per_round: f64) {
    let count = |operation: &str| report["operations"][operation]["count"].as_f64().unwrap();
    let rounds = count("first_event");
    assert!(rounds >= 1.0, "{report}");
    for operation in ["median_event", "p99_event", "last_event"] {
        assert_eq!(count(operation), rounds, "{report}");
    }
    assert_eq!(count("event"), rounds * events_per_round, "{report}");
    let p50 = |name: &str| report["operations"][name]["latency_us"]["p50"].as_f64().unwrap();
    assert!(p50("first_event") > 0.0 && p50("first_event") <= p50("last_event"), "{report}");
    assert_eq!(report["check"]["violations"], 0);
}

#[test]
fn every_watcher_hears_of_every_change_once() {
    let server = Fake::start(Flaw::None);
    for (flags, watches, events_per_round) in [
        (&["--at-once", "2"][..], 20.0, 10.0),
        (&["--at-once", "4", "--kind", "persistent"], 20.0, 20.0),
        (&["--at-once", "3", "--kind", "recursive"], 5.0, 15.0),
        (&["--at-once", "3", "--distinct"], 20.0, 3.0),
        (&["--rate", "50"], 20.0, 5.0),
    ] {
        let report = report(&watch(&server.address, flags), 0);
        check_counts(&report, events_per_round);
        assert_eq!(report["figures"]["watches"], watches);
        // The watches of the last round may be left again after the window.
        let count = |operation: &str| report["operations"][operation]["count"].as_f64();
        let (reads, events) = (count("read").unwrap_or(0.0), count("event").unwrap());
        let left_again = if flags.contains(&"--kind") { 0.0 } else { events };
        assert!(reads <= left_again && reads + events_per_round >= left_again, "{report}");
    }
    assert_eq!(server.paths(), [""; 0], "what was created is removed");
}

#[test]
fn the_echo_server_sends_events() {
    let echo = Echo::start(&["--value-bytes", "100"]);
    for kind in ["one-shot", "persistent", "recursive"] {
        let flags = ["--unchecked", "--server-pid", &echo.pid(), "--kind", kind];
        let report = report(&watch(&echo.address, &flags), 0);
        check_counts(&report, 5.0);
        assert!(report["figures"]["rss_bytes_per_watch"].is_number(), "{report}");
    }
}

#[test]
fn wrong_events_are_violations() {
    for (flaw, expected) in [
        (Flaw::LoseEvent, "no event for a change"),
        (Flaw::DuplicateEvent, "two events for one change"),
        (Flaw::EarlyEvent, "an event without a watch, or without a change"),
        (Flaw::LateEvent, "after a reply that shows"),
        (Flaw::WrongKind, "of another kind or transaction"),
        (Flaw::WrongZxid, "of another kind or transaction"),
        (Flaw::LoseWrite, "though"),
    ] {
        let server = Fake::start(flaw);
        // Only what never comes is waited for.
        let patience = if flaw == Flaw::LoseEvent { "0.5" } else { "30" };
        let flags = ["--event-seconds-max", patience];
        let mut command = support::bench();
        command.args(["watch", "--servers", &server.address, "--connections", "5"]);
        command.args(["--seconds", "0.2", "--warm-up", "0", "--at-once", "4"]);
        let output = command.args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{flaw:?}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(expected), "{flaw:?}: {printed}");
    }
}

#[test]
fn flags_that_mean_nothing_are_usage_errors() {
    let server = Fake::start(Flaw::None);
    for flags in [["--at-once", "5"].as_slice(), &["--distinct", "--kind", "recursive"]] {
        assert_eq!(watch(&server.address, flags).status.code(), Some(2), "{flags:?}");
    }
}
