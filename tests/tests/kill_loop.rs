//! The real binary, killed with SIGKILL under load again and again, loses nothing acknowledged.
//! (`cargo run -p menagerie-tests --bin kill_loop` goes on for as long as one likes.)

use menagerie_tests::kill_loop::{Budget, run};
use std::time::Duration;

#[test]
fn a_killed_server_keeps_every_acknowledged_write() {
    let budget =
        Budget { time: Duration::from_secs(25), kills_max: 15, seed: 1, workers: 4, depth: 16 };
    let report = run(budget).expect("a restarted server can be read");
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.kills > 0 && report.acknowledged > 0 && report.sessions_resumed > 0, "{report}");
}
