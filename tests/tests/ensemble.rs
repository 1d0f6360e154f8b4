//! Ensembles of the real binary under load and faults: what clients saw keeps every promise, and
//! all servers come together again. (`cargo run -p menagerie-tests --bin ensemble` goes on for as
//! long as one likes, and does the same to Apache ZooKeeper.)

use menagerie_tests::ensemble::Plan;
use menagerie_tests::ensemble::nemesis::Fault;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::run::{Judging, Report, run, run_judged};
use menagerie_tests::ensemble::workload::Load;
use std::process::Command;

fn suffer(plan: &Plan, seed: u64, faults: &[Fault]) -> Report {
    let report = run(plan, &Load::new(seed), faults);
    assert!(report.acknowledged_writes > 100, "{report}");
    report
}

fn check(voters: usize, observers: usize, seed: u64, faults: &[Fault]) {
    let report = suffer(&Plan::new(Flavor::Menagerie, voters, observers), seed, faults);
    assert!(report.violations.is_empty(), "{report}");
    assert_eq!(report.count(faults), faults.len() as u64, "{report}");
}

#[test]
fn servers_are_killed_and_stopped_and_come_back_with_their_data() {
    let faults = [
        Fault::KillLeader,
        Fault::KillFollower,
        Fault::KillObserver,
        Fault::StopLeader,
        Fault::KillAll,
    ];
    check(3, 1, 1, &faults);
}

#[test]
fn servers_come_back_without_their_data() {
    check(3, 1, 2, &[Fault::Wipe]);
    check(5, 0, 3, &[Fault::Wipe]);
}

#[test]
fn servers_are_paused_and_separated() {
    let faults = [
        Fault::PauseLeader,
        Fault::PauseFollower,
        Fault::IsolateLeader,
        Fault::MuteLeader,
        Fault::DeafFollower,
        Fault::Ring,
    ];
    check(3, 0, 4, &faults);
}

#[test]
fn links_are_slow_and_connections_break() {
    check(3, 1, 5, &[Fault::Delay, Fault::Sever, Fault::Split]);
}

#[test]
fn five_servers_lose_their_leader_in_every_way() {
    let faults = [Fault::KillLeader, Fault::PauseLeader, Fault::IsolateLeader, Fault::DeafLeader];
    check(5, 0, 6, &faults);
}

/// Where Apache's server leads, it decides what a sync is worth.
#[test]
fn servers_of_both_kinds_suffer_together() {
    let mut plan = Plan::new(Flavor::Menagerie, 3, 1);
    plan.voters[1] = Flavor::Apache;
    let judging = Judging { tolerated: Some("synced_reads".to_owned()), ..Default::default() };
    let faults = [Fault::KillLeader, Fault::IsolateLeader, Fault::Wipe, Fault::StopLeader];
    let report = run_judged(&plan, &Load::new(9), &faults, &judging);
    assert!(report.acknowledged_writes > 100 && report.violations.is_empty(), "{report}");
}

/// Of a test that cannot fail nothing would be learnt: here promises must break.
#[test]
fn lost_data_is_noticed() {
    let report = suffer(&Plan::new(Flavor::Menagerie, 3, 0), 7, &[Fault::LoseEverything]);
    assert!(!report.violations.is_empty(), "{report}");
    for history in &report.kept {
        let directory = history.parent().expect("it lies among the servers' directories");
        std::fs::remove_dir_all(directory).expect("nothing of it is wanted");
    }
}

/// The program starts itself again in namespaces, which a test cannot do.
#[test]
fn packets_are_lost_and_disks_are_full() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ensemble"));
    command.args(["--network", "namespaces", "--observers", "1", "--seed", "8"]);
    command.args(["--kills", "1", "--partitions", "2", "--delays", "1", "--full-disks", "2"]);
    let output = command.output().expect("the program was built with this test");
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{stderr}");
}
