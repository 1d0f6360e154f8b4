//! Servers that make mistakes on purpose: a script must notice each of them.
//!
//! Every script passes on a server without flaws (`src/scenarios`). Here each flaw is given to the
//! server, and its script must fail. The table that this prints says how.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_simulation::scenarios;

/// What a script says of a server with this flaw, if it notices anything.
fn noticed(flaw: Flaw, play: fn()) -> Option<String> {
    flaws::set(Some(flaw));
    let failed = catch_unwind(AssertUnwindSafe(play)).err();
    flaws::set(None);
    let failed = failed?;
    let text = failed.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| failed.downcast_ref::<&str>().copied()).unwrap_or_default();
    Some(text.lines().next().unwrap_or_default().chars().take(70).collect())
}

#[test]
fn each_flaw_is_noticed_by_its_script() {
    std::panic::set_hook(Box::new(|_| {}));
    let (door, results) = mpsc::channel();
    let count = Flaw::ALL.len();
    std::thread::scope(|scope| {
        for half in Flaw::ALL.chunks(count.div_ceil(2)) {
            let door = door.clone();
            scope.spawn(move || {
                for flaw in half {
                    let (script, play) = scenarios::of_flaw(*flaw);
                    door.send((*flaw, script, noticed(*flaw, play))).expect("somebody listens");
                }
            });
        }
    });
    drop(door);
    let _ = std::panic::take_hook();
    let mut unnoticed = Vec::new();
    for (flaw, script, how) in results {
        let (row, site) = flaw.origin();
        let name = format!("{flaw:?}");
        println!("{name:26} {row:12} {site:36} {script:40} {}", how.as_deref().unwrap_or("-"));
        unnoticed.extend(how.is_none().then_some((flaw, script)));
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
}
