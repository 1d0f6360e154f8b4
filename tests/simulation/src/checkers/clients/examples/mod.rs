//! Small histories: bad ones, each of which exactly one checker must refuse, and good ones, which
//! all must pass.

mod load;
mod multis;
mod outcomes;
mod reads;
mod sessions;
mod watches;
mod writes;

use std::collections::BTreeSet;

use super::{Settings, check_history};
use crate::history::script::Script;

/// Bounds that a script can pass in a few steps; sessions of scripts have a time-out of 10 ms.
const SETTINGS: Settings = Settings {
    recovery_ms_max: 5,
    reply_ms_max: 2,
    touch_ms_max: 1,
    expiry_ms_max: 4,
    exact_zxids: true,
    told_expiry_stands: true,
};

/// What a bad history shows, who is to find it, and the history.
type Bad = (&'static str, &'static str, fn() -> Script);

/// What a good history shows, and the history.
type Good = (&'static str, fn() -> Script);

const BAD: &[&[Bad]] =
    &[writes::BAD, reads::BAD, multis::BAD, sessions::BAD, outcomes::BAD, watches::BAD];
const GOOD: &[&[Good]] =
    &[writes::GOOD, reads::GOOD, multis::GOOD, sessions::GOOD, outcomes::GOOD, watches::GOOD];

#[test]
fn each_bad_history_is_refused_by_the_checker_that_is_meant_to() {
    let mut faults = Vec::new();
    for (name, checker, script) in BAD.concat() {
        let violations = check_history(&script().history(), &SETTINGS);
        let found: BTreeSet<_> = violations.iter().map(|violation| violation.checker).collect();
        if found != BTreeSet::from([checker]) {
            faults.push(format!("{name}: {checker} expected: {violations:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn good_histories_are_passed_by_all() {
    let mut faults = Vec::new();
    for (name, script) in GOOD.concat() {
        let violations = check_history(&script().history(), &SETTINGS);
        if !violations.is_empty() {
            faults.push(format!("{name}: {violations:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_checker_of_clients_has_a_bad_history() {
    let checked: BTreeSet<_> = BAD.concat().iter().map(|(_, checker, _)| *checker).collect();
    let all = [
        "client_fifo",
        "durability",
        "linearizable_writes",
        "liveness",
        "monotonic_reads",
        "multi_atomicity",
        "reads_at_zxid",
        "sequential_names",
        "server_order",
        "session_safety",
        "synced_reads",
        "watch_exactness",
    ];
    assert_eq!(checked, BTreeSet::from(all));
}
