//! What went wrong before, at ZooKeeper and its peers, played again: each script is one schedule
//! that broke somebody's promise, and must break none of ours.
//!
//! A script names the bug by its number, says what broke, plays it, and says what must hold beside
//! what is always checked: the observer holds every step against the promises of the members, and
//! the end of each script heals everything, reads everything everywhere, and judges what clients
//! saw. The seed of a script decides only what it does not care about, such as delays.
//!
//! [`ALL`] is the list. With the feature `flaws` the scripts are also tried on servers that make
//! mistakes on purpose (`flaws.rs`): each must be noticed.
//!
//! | file | what it plays |
//! | --- | --- |
//! | `history.rs` | synchronization and recovery: data that was lost, servers that diverged |
//! | `disks.rs` | storage: what disks did to servers |
//! | `liveness.rs` | ensembles that stood still |
//! | `sessions.rs` | sessions, what belongs to them, and who is told |
//! | `ten.rs` | the ten scenarios that a simulator must have from its first day |

mod disks;
mod history;
mod liveness;
mod packets;
mod sessions;
mod stage;
mod ten;

use menagerie_flaws::Flaw;
use stage::Stage;

macro_rules! scripts {
    ($($file:ident { $($name:ident)+ })+) => {
        /// Every script, by name.
        pub const ALL: &[(&str, fn())] = &[$($((stringify!($name), $file::$name),)+)+];

        #[cfg(test)]
        mod tests {
            $($(
                #[test]
                fn $name() {
                    super::$file::$name();
                }
            )+)+
        }
    };
}

/// The script that notices a flaw.
///
/// # Panics
/// When none of that name is listed.
#[must_use]
pub fn of_flaw(flaw: Flaw) -> (&'static str, fn()) {
    let name = match flaw {
        Flaw::AckBeforeSync => "sync_under_load_then_stale_leader",
        Flaw::AckNewLeaderEarly => "newleader_chain_without_power",
        Flaw::EpochBeforeHistory => "zk_4643_epoch_is_durable_behind_the_history",
        Flaw::LeaderCountsItselfEarly => "zk_3911_leader_with_a_slow_disk_counts_late",
        Flaw::CommitByProposals => "zk_4646_power_loss_between_write_and_sync",
        Flaw::CommitByOne => "tail_of_a_minority",
        Flaw::ReignBeforeQuorum => "zk_3911_leader_serves_only_what_a_quorum_has",
        Flaw::StandsForMemory => "zk_2845_vote_is_what_the_log_holds",
        Flaw::ElectionIgnoresHistory => "zk_1367_lagging_server_elects_first",
        Flaw::TruncIgnored => "zk_5094_trunc_then_the_link_breaks",
        Flaw::AcksSurviveTrunc => "zk_1154_acknowledged_and_cut_off",
        Flaw::DiffForStrangers => "tail_of_a_minority",
        Flaw::DiffWithHole => "zk_4925_diff_is_handed_on_without_a_hole",
        Flaw::InFlightNotSent => "zk_3104_proposal_in_flight_reaches_who_joins",
        Flaw::InFlightShown => "zk_4394_commit_between_newleader_and_uptodate",
        Flaw::LeadsWithoutQuorum => "idle_leader_is_cut_off",
        Flaw::ProgressNotWatched => "slow_disk_of_the_leader",
        Flaw::SyncWithoutQuorum => "zk_1675_sync_at_a_leader_that_was_replaced",
        Flaw::PromiseNotSynced => "zk_582_epoch_survives_the_log",
        Flaw::CommitNotSynced => "zk_3023_newleader_acknowledged_then_blackout",
        Flaw::DurableTooFar => "newleader_chain_without_power",
        Flaw::FailedSyncForgotten => "zk_4882_one_failed_write_of_a_follower",
        Flaw::DamageTakenForEnd => "zk_1453_damage_is_not_the_end",
        Flaw::TornRecordAccepted => "zk_2249_records_across_segments",
        Flaw::SnapshotNotSynced => "zk_2310_power_loss_behind_a_snapshot",
        Flaw::CutNotMade => "zk_5094_trunc_then_the_link_breaks",
        Flaw::CloseLeavesEphemerals => "zk_2355_follower_dies_of_a_close",
        Flaw::ClosedSessionWrites => "zk_1208_ephemeral_behind_the_end_of_its_session",
        Flaw::MultiLosesItsEnd => "zk_3125_snapshots_between_multis",
        Flaw::TailSurvivesCut => "zk_1489_log_goes_on_behind_a_cut",
        Flaw::SnapOnDiskOnly => "zk_2099_learner_between_log_and_window",
        Flaw::DrainNotAwaited => "zk_4712_sync_of_a_dead_role",
        Flaw::SessionsNotInherited => "sessions_of_a_new_leader",
        Flaw::TouchesOfLearnersLost => "idle_clients_of_followers_live",
        Flaw::SessionMovedUnchecked => "session_moved_with_writes_under_way",
        Flaw::RefusesWithoutQuorum => "session_of_the_next_leader_at_the_old_side",
        Flaw::SetWatchesForgets => "zk_1412_watches_are_told_on_reconnect",
    };
    *ALL.iter().find(|(script, _)| *script == name).expect("a script of the list")
}

scripts! {
    ten {
        newleader_chain_without_power
        tail_of_a_minority
        interrupted_snap_or_trunc
        sync_under_load_then_stale_leader
        one_failure_of_a_disk
        role_change_with_a_sync_in_flight
        snapshots_under_load_and_cuts
        sessions_through_two_servers
        watches_across_connections
        two_leaders_and_slow_ones
    }
    history {
        zk_335_epoch_of_a_leader_that_came_to_nothing
        zk_1081_one_epoch_for_two_leaders
        zk_582_epoch_survives_the_log
        zk_1154_highest_zxid_joins_late
        snapshot_of_what_the_next_leader_has_not
        zk_1367_lagging_server_elects_first
        zk_1489_log_goes_on_behind_a_cut
        zk_1549_no_snapshot_of_what_is_not_committed
        zk_2832_chain_of_minority_writes
        zk_4837_cut_below_snapshots
        zk_2099_learner_between_log_and_window
        zk_2846_learner_of_another_branch
        zk_3023_newleader_acknowledged_then_blackout
        zk_3911_leader_serves_only_what_a_quorum_has
        zk_4646_power_loss_between_write_and_sync
        zk_4643_epoch_is_durable_behind_the_history
        zk_4685_acks_while_a_follower_joins
        zk_4394_commit_between_newleader_and_uptodate
        zk_3104_proposal_in_flight_reaches_who_joins
        zk_4785_bounced_behind_the_acknowledgement
        zk_4925_diff_is_handed_on_without_a_hole
        zk_2845_vote_is_what_the_log_holds
        zk_3642_snap_then_diff_from_another
        zk_5094_trunc_then_the_link_breaks
        zk_4712_sync_of_a_dead_role
        zk_4882_one_failed_write_of_a_follower
        zk_3701_full_disk_inside_trunc
        zk_3526_joining_a_leader_that_just_started
        zk_5010_half_proposed_ephemeral
        zk_1277_epoch_is_full
        zk_3911_leader_with_a_slow_disk_counts_late
        zk_1154_acknowledged_and_cut_off
        zk_3642_snap_below_the_end_of_the_log
    }
    disks {
        zk_2560_any_part_of_what_was_not_synced
        zk_2310_power_loss_behind_a_snapshot
        zk_2325_damaged_snapshot_costs_nothing
        zk_2332_power_loss_at_the_beginning_of_a_segment
        zk_1653_epochs_and_log_fit_after_any_power_loss
        zk_1453_damage_is_not_the_end
        missing_segment_is_noticed
        zk_2249_records_across_segments
        zk_3125_snapshots_between_multis
        cut_across_segments_without_power
    }
    liveness {
        zk_2247_leader_without_a_log
        slow_disk_of_the_leader
        leader_that_is_not_heard
        leader_that_does_not_hear
        zk_3531_stalled_receiver_of_a_snapshot
        zk_2164_peers_restart_while_they_elect
        zk_3109_late_words_in_an_election
        zk_764_observers_make_no_quorum
        zk_4203_all_join_a_new_leader_at_once
        zk_4537_single_client_never_stalls
        zk_3240_link_that_only_one_end_has_lost
        swizzle_clog
        zk_1675_sync_at_a_leader_that_was_replaced
        idle_leader_is_cut_off
    }
    sessions {
        zk_2355_follower_dies_of_a_close
        zk_1208_ephemeral_behind_the_end_of_its_session
        zk_1777_expiry_while_writes_are_under_way
        keeper_65198_writes_behind_an_expiry
        session_moved_with_writes_under_way
        session_of_the_next_leader_at_the_old_side
        session_moved_and_gone_with_writes_under_way
        session_moved_back_in_front_of_its_writes
        answers_after_a_move
        client_that_has_seen_more
        zk_1412_watches_are_told_on_reconnect
        zk_3145_recreated_while_away
        zk_4466_kinds_of_watches_on_one_path
        events_before_replies
        sessions_of_a_new_leader
        idle_clients_of_followers_live
        clocks_jump_and_processes_hang
    }
}
