//! Small histories: bad ones, each of which exactly one checker must refuse, and good ones, which
//! all must pass.

mod load;
mod reads;
mod writes;

use std::collections::BTreeSet;

use super::check_history;
use crate::history::script::Script;

/// What a bad history shows, who is to find it, and the history.
type Bad = (&'static str, &'static str, fn() -> Script);

/// What a good history shows, and the history.
type Good = (&'static str, fn() -> Script);

#[test]
fn each_bad_history_is_refused_by_the_checker_that_is_meant_to() {
    let mut faults = Vec::new();
    for (name, checker, script) in [writes::BAD, reads::BAD].concat() {
        let violations = check_history(&script().history());
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
    for (name, script) in [writes::GOOD, reads::GOOD].concat() {
        let violations = check_history(&script().history());
        if !violations.is_empty() {
            faults.push(format!("{name}: {violations:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
