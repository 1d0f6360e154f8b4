//! `mixed` and `snapshot` in all their kinds, against servers that are right and such that are not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use support::fake::{Fake, Flaw};
use support::{report, run};
use tempfile::TempDir;

mod support;

const SHORT: [&str; 4] = ["--connections", "4", "--warm-up", "0"];
const MIXED: [&str; 4] = ["--seconds", "0.2", "--depth", "3"];

#[test]
fn all_kinds_of_requests_are_sent_and_judged() {
    let server = Fake::start(Flaw::None);
    let all_reads = "get-data,exists,get-children";
    for flags in [
        &["--reads", all_reads, "--writes", "create-delete,multi,set-data", "--keys", "250"][..],
        &["--writes", "multi", "--multi-size", "70", "--keys", "60", "--skew", "1"],
        &["--writes", "create-delete", "--rate", "500", "--keys", "50"],
    ] {
        let flags = [&SHORT[..], &MIXED, &["--ratio", "1:1"], flags].concat();
        let report = report(&run("mixed", &server.address, &flags), 0);
        assert!(report["operations"]["write"]["count"].as_u64() > Some(10), "{report}");
        assert_eq!(report["operations"]["write"]["errors"], 0, "{report}");
        assert_eq!(report["check"]["violations"], 0);
    }
    assert_eq!(server.paths(), [""; 0], "what was created is removed");
}

#[test]
fn lost_writes_and_lost_names_are_found_out() {
    for (flaw, flags) in [
        (Flaw::LoseWrite, &["--writes", "set-data"][..]),
        (Flaw::LoseWrite, &["--writes", "multi"]),
        (Flaw::HideChildren, &["--reads", "get-children"]),
    ] {
        let server = Fake::start(flaw);
        let flags = [&SHORT[..], &MIXED, &["--keys", "50", "--ratio", "1:1"], flags].concat();
        let report = report(&run("mixed", &server.address, &flags), 3);
        assert!(report["check"]["violations"].as_u64() > Some(0), "{flaw:?}: {report}");
    }
}

#[test]
fn a_steady_load_shows_the_worst_of_every_10_ms() {
    let server = Fake::start(Flaw::None);
    let directory = TempDir::new().unwrap();
    let version_2 = directory.path().join("version-2");
    fs::create_dir(&version_2).unwrap();
    fs::write(version_2.join("snapshot.1"), "old").unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let flags = ["--nodes", "300", "--per-directory", "100", "--rate", "500"];
    let flags = [&SHORT[..], &flags, &["--data-dir", data_dir, "--seconds", "1"]].concat();
    // A snapshot is made as soon as the load runs, which is when a first node has a version.
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !server.was_written() {
                std::thread::yield_now();
            }
            fs::write(version_2.join("snapshot.2"), "new").unwrap();
        });
        report(&run("snapshot", &server.address, &flags), 0)
    });
    let slots = report["series"]["worst_us_per_10ms"].as_array().unwrap();
    let worst = slots.iter().map(|slot| slot.as_f64().unwrap()).fold(0.0, f64::max);
    let max = |operation: &str| report["operations"][operation]["latency_us"]["max"].as_f64();
    assert_eq!(slots.len(), 100, "{report}");
    let all = max("read").unwrap().max(max("write").unwrap());
    assert!((worst - all).abs() < all / 100.0, "{worst} and {all}");
    assert!(report["operations"]["worst_of_10ms"]["count"].as_u64() > Some(50), "{report}");
    assert_eq!(report["figures"]["snapshots_seen"], 1.0, "{report}");
    assert_eq!(report["check"]["violations"], 0);
}
