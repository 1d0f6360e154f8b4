//! `lock`, against servers with which the recipe works and such with which it does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use support::fake::{Fake, Flaw};
use support::{bench, report, run};

mod support;

const SHORT: [&str; 6] = ["--connections", "6", "--seconds", "0.3", "--warm-up", "0"];

#[test]
fn locks_go_from_one_to_the_next() {
    let server = Fake::start(Flaw::None);
    for flags in [&[][..], &["--hold-us", "2000"], &["--locks", "3"]] {
        let report = report(&run("lock", &server.address, &[&SHORT[..], flags].concat()), 0);
        let count = |operation: &str| report["operations"][operation]["count"].as_u64();
        assert!(count("handover") > Some(3) && count("acquire") >= count("handover"), "{report}");
        assert_eq!(report["check"]["violations"], 0);
        if flags.contains(&"--hold-us") {
            // 0.3 s have room for 150, and for one that began before.
            assert!(count("acquire") <= Some(151), "{report}");
        }
    }
    assert_eq!(server.paths(), [""; 0], "what was created is removed");
}

#[test]
fn a_recipe_that_cannot_work_is_a_violation() {
    for (flaw, expected) in [
        (Flaw::HideChildren, "holds the lock too"),
        (Flaw::LoseEvent, "no event for a change"),
        (Flaw::DuplicateEvent, "an event without a watch"),
        (Flaw::WrongKind, "of another kind"),
        (Flaw::EarlyEvent, "an event without a watch"),
    ] {
        let server = Fake::start(flaw);
        let mut command = bench();
        // Only what never comes is waited for.
        let lost = matches!(flaw, Flaw::LoseEvent | Flaw::WrongKind);
        let patience = if lost { "0.5" } else { "30" };
        command.args(["lock", "--servers", &server.address, "--event-seconds-max", patience]);
        let output = command.args(SHORT).args(["--hold-us", "1000"]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{flaw:?}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(expected), "{flaw:?}: {printed}");
    }
}
