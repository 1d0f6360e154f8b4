//! Section 1B of the failure catalogue: what disks did to servers.

use menagerie_engine::disk::{BLOCK_BYTES, Disk};
use menagerie_engine::recovery::zxid_of_snapshot_file;
use menagerie_engine::wal::segment::zxid_of_log_file;

use super::Stage;
use super::packets::{is_proposal, is_trunc};
use crate::history::{CreateMode, Request, Write};
use crate::world::{Crash, Plan};

/// ZK-2560, 2561: several writes, then one sync, and the power goes out: any part of what was not
/// synced is there. Every start copes, and keeps what it promised.
pub(super) fn zk_2560_any_part_of_what_was_not_synced() {
    let plan = Plan { clients: 3, think_us: 10_000, ..Plan::calm(2560) };
    let mut stage = Stage::new(plan);
    for round in 0..40 {
        stage.pass_ms(211);
        let id = stage.roles()[round % 3];
        stage.restart(id, Crash::PowerLoss);
        stage.all_serve_again();
    }
    stage.end();
}

/// ZK-2310: a snapshot is renamed, and the log goes on behind it: after a power loss the snapshot
/// is whole, or the log reaches back behind it.
pub(super) fn zk_2310_power_loss_behind_a_snapshot() {
    for crash in [Crash::PowerLoss, Crash::LoseUnsynced] {
        let plan = Plan { clients: 2, think_us: 10_000, snapshot_every: 4, ..Plan::calm(2310) };
        let mut stage = Stage::new(plan);
        for round in 0..15 {
            stage.pass_ms(307);
            for id in stage.roles() {
                stage.restart(id, crash);
            }
            stage.all_serve_again();
            assert!(stage.observer().committed_count() > round, "something is written");
        }
        stage.end();
    }
}

/// ZK-2325, 3056, 3644: the newest snapshot is damaged: the server goes back to an older one and
/// its log, and has everything; or it refuses to start. It never serves a part.
pub(super) fn zk_2325_damaged_snapshot_costs_nothing() {
    let plan = Plan { snapshot_every: 5, ..Plan::calm(2325) };
    let mut stage = Stage::new(plan);
    let [leader, one, _] = stage.roles_of_three();
    let client = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.sets(client, "/k0", 22);
    stage.pass_ms(1_000);
    stage.crash(one, Crash::Kill);
    let machine = stage.machine_mut(one);
    machine.may_refuse = true;
    let newest = machine.files(zxid_of_snapshot_file).pop().expect("it has kept some");
    machine.disk.damage(&newest, 40, 0x10);
    stage.start(one);
    stage.serves(one);
    let reader = stage.client_at(one);
    assert_eq!(stage.get(reader, "/k0").as_deref(), Some("v23"));
    stage.end();
}

/// ZK-2332: the power goes out when a segment was just begun: an empty end of the log is no
/// failure.
pub(super) fn zk_2332_power_loss_at_the_beginning_of_a_segment() {
    for steps in 0..20 {
        let mut stage = Stage::new(Plan { snapshot_every: 2, ..Plan::calm(steps) });
        let [leader, one, _] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.sets(client, "/k0", 3);
        stage.set_soon(client, "/k0");
        for _ in 0..steps {
            stage.step();
        }
        stage.restart(one, Crash::PowerLoss);
        stage.restart(leader, Crash::LoseUnsynced);
        stage.end();
    }
}

/// ZK-1653: the power goes out between log, snapshot and epochs, in any order: no start finds a
/// currentEpoch that does not fit its log.
pub(super) fn zk_1653_epochs_and_log_fit_after_any_power_loss() {
    for steps in 0..24 {
        let mut stage = Stage::calm(steps);
        let [leader, one, other] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.crash(leader, Crash::Kill);
        stage.wait("looking", move |world| !world.machine(one).is_serving());
        for _ in 0..steps * 2 {
            stage.step();
        }
        stage.restart(one, Crash::PowerLoss);
        stage.restart(other, Crash::PowerLoss);
        stage.next_leader(&[leader]);
        stage.end();
    }
}

/// ZK-1453: a bit is flipped in the middle of the log, with sound records behind it: that is no end
/// of the log, and the server must not start as if it were.
pub(super) fn zk_1453_damage_is_not_the_end() {
    let mut stage = Stage::calm(1453);
    let [leader, one, _] = stage.roles_of_three();
    let client = stage.client_at(leader);
    stage.create(client, "/k0");
    stage.sets(client, "/k0", 10);
    stage.pass_ms(500);
    stage.crash(one, Crash::Kill);
    let machine = stage.machine_mut(one);
    machine.may_refuse = true;
    let log = machine.files(zxid_of_log_file).pop().expect("a log");
    // In the fourth batch: each is a block, and the header of the file is one.
    let at = 4 * BLOCK_BYTES as u64 + 80;
    machine.disk.damage(&log, at, 0x01);
    stage.start(one);
    stage.pass_ms(20_000);
    assert!(!stage.machine(one).is_up(), "{one} takes damage for the end of its log");
    stage.machine(one).disk.damage(&log, at, 0x01);
    stage.end();
}

/// The developers' list, a file in the middle of the log is gone: the transactions in it are missed
/// at the start. (Nothing could tell that of the last file.)
pub(super) fn missing_segment_is_noticed() {
    let mut stage = Stage::calm(76_836);
    let [leader, one, _] = stage.roles_of_three();
    let client = stage.client_at(leader);
    stage.create(client, "/k0");
    // Every start begins a file.
    for _ in 0..3 {
        stage.sets(client, "/k0", 4);
        stage.pass_ms(500);
        stage.restart(one, Crash::Kill);
        stage.serves(one);
    }
    stage.sets(client, "/k0", 4);
    stage.pass_ms(1_000);
    stage.crash(one, Crash::Kill);
    let machine = stage.machine_mut(one);
    machine.may_refuse = true;
    let names = machine.files(zxid_of_log_file);
    let middle = names[names.len() - 2].clone();
    machine.disk.rename(&middle, "aside").expect("a disk in memory");
    stage.start(one);
    stage.pass_ms(10_000);
    assert!(!stage.machine(one).is_up(), "{one} does not miss {middle}");
    stage.machine_mut(one).disk.rename("aside", &middle).expect("a disk in memory");
    stage.end();
}

/// ZK-2249, 1069, 882: records larger than what is left of a segment, and stops in between.
pub(super) fn zk_2249_records_across_segments() {
    for seed in 0..5 {
        let mut stage = Stage::calm(seed);
        let [leader, one, _] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        for round in 0..12 {
            let data = format!("{round}{}", "x".repeat(1 + round * 4_000));
            let write = Write::SetData { path: "/k0".to_owned(), data: Some(data), version: -1 };
            stage.request(client, Request::Write(write)).expect("it is written");
            if round % 4 == 3 {
                // One is on its way when the power goes out.
                let data = Some(format!("{round}{}", "y".repeat(30_000)));
                let write = Write::SetData { path: "/k0".to_owned(), data, version: -1 };
                stage.begin(client, Request::Write(write));
                stage.until_sent(one, is_proposal);
                stage.pass_us(450);
                stage.restart(one, Crash::PowerLoss);
                stage.serves(one);
            }
        }
        stage.end();
    }
}

/// ZK-1573, 3125, 3306, 4689: multis and ends of sessions are in a snapshot whole or not at all:
/// the tree after a restart is the one that the leader says.
pub(super) fn zk_3125_snapshots_between_multis() {
    let mut stage = Stage::new(Plan { snapshot_every: 1, ..Plan::calm(3125) });
    let [leader, one, _] = stage.roles_of_three();
    let (client, other) = (stage.client_at(leader), stage.client_at(one));
    stage.create(client, "/k0");
    for round in 0..10 {
        let name = |child: &str| format!("/k0/{child}{round}");
        let create = |path: String| Write::Create {
            path: path.clone(),
            data: Some(path),
            mode: CreateMode::Persistent,
            sequential: false,
        };
        let delete = Write::Delete { path: name("a"), version: -1 };
        let writes = vec![create(name("a")), create(name("b")), delete, create(name("c"))];
        stage.request(client, Request::Multi(writes)).expect("all of it");
        stage.sync(other);
        stage.create_ephemeral(other, &format!("/e{round}"));
        if round % 3 == 2 {
            stage.abandon_session(other);
            stage.restart(one, Crash::PowerLoss);
            stage.serves(one);
            stage.connected(other);
        }
    }
    stage.end();
}

/// ClickHouse 36910, 114003: a cut across segments, with the power lost at any step of it.
pub(super) fn cut_across_segments_without_power() {
    for changes in 0..14 {
        let mut stage = Stage::new(Plan { snapshot_every: 2, ..Plan::calm(changes) });
        let [leader, ..] = stage.roles_of_three();
        let client = stage.client_at(leader);
        stage.create(client, "/k0");
        stage.sets(client, "/k0", 4);
        stage.isolate(leader);
        for _ in 0..4 {
            stage.set_soon(client, "/k0");
            stage.pass_ms(20);
        }
        stage.next_leader(&[leader]);
        stage.mend();
        stage.until_sent(leader, is_trunc);
        for _ in 0..changes {
            stage.step();
        }
        stage.restart(leader, Crash::PowerLoss);
        stage.end();
    }
}
