//! `mntr`: one line per figure, `zk_key<TAB>value`, under Apache's keys.
//!
//! Exporters look keys up by name, so every key that Apache's server prints is here. Those of
//! mechanisms that this server does not have (queues between its threads, response caches, a JVM)
//! are printed as 0, which is what they are. Times are measured in microseconds and told in
//! milliseconds, as in Apache; means keep their digits. Keys of our own come last, and end in `_us`
//! where they are in microseconds.
// ZooKeeper: MonitorCommand, ServerMetrics, ZooKeeperServer.registerMetrics.

use super::FileDescriptors;
use super::four_letter::put;
use super::latency::{Latency, QUANTILES};
use super::metrics::{ShardCounters, StartFacts, Summary, WriteCounters};
use super::report::{Mode, ServerReport};
use super::stages::Stage;
use crate::cli::VERSION;
use crate::sequencer::standing::Standing;

/// Everything that `mntr` tells.
#[derive(Clone, Debug)]
pub struct MntrReport {
    pub server: ServerReport,
    pub standing: Standing,
    pub sessions: usize,
    pub ephemerals: u64,
    pub watches: usize,
    /// Paths and data of the tree, approximately.
    pub data_bytes: u64,
    pub files: FileDescriptors,
    pub uptime_ms: u64,
    /// Of all shards, merged.
    pub shards: ShardCounters,
    pub writes: WriteCounters,
    pub start: StartFacts,
}

/// Counters of what this server does not have.
const ABSENT_COUNTERS: [&str; 35] = [
    "add_dead_watcher_stall_time",
    "cnxn_closed_without_zk_server_running",
    "connection_revalidate_count",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "ensemble_auth_success",
    "insecure_admin_count",
    "local_sessions",
    "non_mtls_local_conn_count",
    "non_mtls_remote_conn_count",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "outstanding_tls_handshake",
    "quit_leading_due_to_disloyal_voter",
    "request_commit_queued",
    "request_throttle_wait_count",
    "requests_not_forwarded_to_commit_processor",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "restore_error_count",
    "restore_rate_limited_count",
    "revalidate_count",
    "skip_learner_request_to_next_processor_count",
    "snapshot_rate_limited_count",
    "stale_replies",
    "stale_requests",
    "stale_requests_dropped",
    "throttled_ops",
    "tls_handshake_exceeded",
    "unrecoverable_error_count",
    "unsuccessful_handshake",
];

/// Summaries of what this server does not have.
const ABSENT_SUMMARIES: [&str; 24] = [
    "commit_commit_proc_req_queued",
    "commit_process_time",
    "concurrent_request_processing_in_commit_processor",
    "connection_token_deficit",
    "inflight_diff_count",
    "inflight_snap_count",
    "learner_request_processor_queue_size",
    "netty_queued_buffer_capacity",
    "pending_session_queue_size",
    "prep_processor_queue_size",
    "proposal_process_time",
    "read_commit_proc_issued",
    "read_commit_proc_req_queued",
    "reads_after_write_in_session_queue",
    "reads_issued_from_session_queue",
    "requests_in_session_queue",
    "restore_time",
    "session_queues_drained",
    "socket_closing_time",
    "sync_processor_queue_size",
    "time_waiting_empty_pool_in_commit_processor_read_ms",
    "write_batch_time_in_commit_processor",
    "write_commit_proc_issued",
    "write_commit_proc_req_queued",
];

/// Distributions of what this server does not have.
const ABSENT_LATENCIES: [&str; 16] = [
    "commit_propagation_latency",
    "dead_watchers_cleaner_latency",
    "jvm_pause_time_ms",
    "local_write_committed_time_ms",
    "om_commit_process_time_ms",
    "om_proposal_process_time_ms",
    "proposal_ack_creation_latency",
    "proposal_latency",
    "quorum_ack_latency",
    "read_commitproc_time_ms",
    "read_final_proc_time_ms",
    "request_throttle_queue_time_ms",
    "server_write_committed_time_ms",
    "sync_processor_queue_and_flush_time_ms",
    "write_commitproc_time_ms",
    "write_final_proc_time_ms",
];

const US_PER_MS: u64 = 1_000;

pub fn mntr(report: &MntrReport) -> String {
    let mut lines = Lines(String::with_capacity(24 << 10));
    put_gauges(&mut lines, report);
    put_standing(&mut lines, report);
    put_counters(&mut lines, report);
    put_summaries(&mut lines, report);
    put_latencies(&mut lines, report);
    for (name, traffic) in report.shards.namespaces.sorted() {
        for (kind, summary) in [("read", &traffic.read), ("write", &traffic.write)] {
            if summary.count > 0 {
                lines.summary(&format!("{name}_{kind}_per_namespace"), summary, 1);
            }
        }
    }
    put_ours(&mut lines, &report.shards);
    lines.0
}

fn put_gauges(lines: &mut Lines, report: &MntrReport) {
    let MntrReport { server, files, .. } = report;
    lines.value("version", VERSION);
    lines.value("server_state", server.mode.as_str());
    lines.value("uptime", report.uptime_ms);
    lines.value("min_latency", server.latency.min_ms);
    lines.mean("avg_latency", server.latency.avg_ms);
    lines.value("max_latency", server.latency.max_ms);
    lines.value("packets_received", server.packets_received);
    lines.value("packets_sent", server.packets_sent);
    lines.value("num_alive_connections", server.connections);
    lines.value("outstanding_requests", server.outstanding_requests);
    lines.value("znode_count", server.node_count);
    lines.value("watch_count", report.watches);
    lines.value("ephemerals_count", report.ephemerals);
    lines.value("approximate_data_size", report.data_bytes);
    lines.value("global_sessions", report.sessions);
    lines.value("open_file_descriptor_count", files.open);
    lines.value("max_file_descriptor_count", files.max);
    lines.mean("connection_drop_probability", 0.0);
    let [last, min, max] = report.shards.response_sizes.last_min_max();
    lines.value("last_client_response_size", last);
    lines.value("min_client_response_size", min);
    lines.value("max_client_response_size", max);
}

/// What only the members of an ensemble tell.
// ZooKeeper: registerMetrics and dumpMonitorValues of the servers of quorum/.
fn put_standing(lines: &mut Lines, report: &MntrReport) {
    let Standing { mode, quorum_size, leader, reign, .. } = &report.standing;
    let Some(quorum_size) = quorum_size else { return };
    lines.value("quorum_size", quorum_size);
    let state = match mode {
        Mode::Leader => "leading",
        Mode::Follower => "following",
        _ => "observing",
    };
    // Those that are not as far yet serve nobody, and tell nothing.
    lines.value("peer_state", format_args!("{state} - broadcast"));
    if let (Mode::Observer, Some(leader)) = (mode, leader) {
        lines.value("observer_master_id", leader.0);
    }
    let Some(reign) = reign else { return };
    lines.value("learners", reign.learners);
    lines.value("synced_followers", reign.synced_followers);
    // Participants that the configuration does not know are not let in.
    lines.value("synced_non_voting_followers", 0);
    lines.value("synced_observers", reign.synced_observers);
    lines.value("pending_syncs", reign.pending_syncs);
    lines.value("leader_uptime", reign.uptime_ms);
    let [last, min, max] = report.writes.roles.proposal_sizes.last_min_max();
    lines.value("last_proposal_size", last);
    lines.value("min_proposal_size", min);
    lines.value("max_proposal_size", max);
}

fn put_counters(lines: &mut Lines, report: &MntrReport) {
    let MntrReport { shards, writes, .. } = report;
    for (key, count) in [
        ("auth_failed_count", shards.auth_failures),
        ("bytes_received_count", shards.bytes_received),
        ("response_bytes", shards.response_bytes),
        ("watch_bytes", shards.watch_bytes),
        ("connection_request_count", shards.connection_requests),
        ("connection_rejected", shards.connections_rejected),
        ("connection_drop_count", shards.connections_dropped),
        ("sessionless_connections_expired", shards.handshakes_timed_out),
        ("large_requests_rejected", shards.large_requests_rejected),
        ("prep_processor_request_queued", writes.prepared),
        ("sync_processor_request_queued", writes.logged),
        ("commit_count", writes.committed),
        ("looking_count", writes.roles.looked),
        ("proposal_count", writes.roles.proposals),
        ("snap_count", writes.roles.snapshots_sent),
        ("diff_count", writes.roles.diffs_sent),
        ("learner_proposal_received_count", writes.roles.proposals_received),
        ("learner_commit_received_count", writes.roles.commits_received),
        ("stale_sessions_expired", writes.sessions_expired),
        ("digest_mismatches_count", writes.digest_mismatches),
        ("snapshot_error_count", writes.snapshot_errors),
    ] {
        lines.value(key, count);
    }
    for key in ABSENT_COUNTERS {
        lines.value(key, 0);
    }
}

fn put_summaries(lines: &mut Lines, report: &MntrReport) {
    let MntrReport { shards, writes, start, .. } = report;
    let once = |value| Summary { count: 1, sum: value, min: value, max: value };
    for (key, summary, unit) in [
        ("node_created_watch_count", shards.told_created, 1),
        ("node_deleted_watch_count", shards.told_deleted, 1),
        ("node_changed_watch_count", shards.told_changed, 1),
        ("node_children_watch_count", shards.told_children, 1),
        ("prep_process_time", writes.prepare_us, US_PER_MS),
        ("sync_processor_batch_size", writes.batch_records, 1),
        ("sync_process_time", writes.sync_us.summary(), US_PER_MS),
        ("fsynctime", writes.sync_us.summary(), US_PER_MS),
        ("snapshottime", writes.snapshot_ms, 1),
        ("election_time", writes.roles.election_ms, 1),
        ("unavailable_time", writes.roles.unavailable_ms, 1),
        ("leader_unavailable_time", writes.roles.leader_unavailable_ms, 1),
        ("follower_sync_time", writes.roles.follower_sync_ms, 1),
        ("observer_sync_time", writes.roles.observer_sync_ms, 1),
        ("dbinittime", once(start.recovery_ms), 1),
        ("startup_snap_load_time", once(start.snapshot_load_ms), 1),
        ("startup_txns_load_time", once(start.replay_ms), 1),
        ("startup_txns_loaded", once(start.replayed_txns), 1),
    ] {
        lines.summary(key, &summary, unit);
    }
    for key in ABSENT_SUMMARIES {
        lines.summary(key, &Summary::default(), 1);
    }
}

/// Stages under the names of Apache's processors, where one does what happens in that stage.
// ZooKeeper: PrepRequestProcessor, SyncRequestProcessor.
fn put_latencies(lines: &mut Lines, report: &MntrReport) {
    let MntrReport { shards: ShardCounters { operations, stages, .. }, writes, .. } = report;
    let absent = Latency::default();
    for (key, latency) in [
        ("readlatency", &operations.of_updates(false)),
        ("updatelatency", &operations.of_updates(true)),
        ("propagation_latency", &writes.propagation),
        ("close_session_prep_time", &writes.close_session_us),
        ("prep_processor_queue_time_ms", stages.get(Stage::Queue)),
        ("sync_processor_queue_time_ms", stages.get(Stage::LogWrite)),
        ("sync_processor_queue_flush_time_ms", stages.get(Stage::Sync)),
    ] {
        lines.latency(key, latency, US_PER_MS);
    }
    for key in ABSENT_LATENCIES {
        lines.latency(key, &absent, US_PER_MS);
    }
}

/// What Apache's servers do not tell: each stage of writes, and each operation that there was.
fn put_ours(lines: &mut Lines, shards: &ShardCounters) {
    for (stage, latency) in shards.stages.iter().filter(|(_, it)| it.summary().count > 0) {
        lines.latency(&format!("write_stage_{}_us", stage.name()), latency, 1);
    }
    for (op, latency) in shards.operations.iter() {
        lines.latency(&format!("op_{}_us", op.name()), latency, 1);
    }
}

struct Lines(String);

impl Lines {
    fn value(&mut self, key: &str, value: impl std::fmt::Display) {
        put(&mut self.0, format_args!("zk_{key}\t{value}\n"));
    }

    /// A floating-point number as Java prints it: never without a point.
    fn mean(&mut self, key: &str, value: f64) {
        put(&mut self.0, format_args!("zk_{key}\t{value:?}\n"));
    }

    fn summary(&mut self, key: &str, summary: &Summary, unit: u64) {
        let (average, summary) = summary.in_units(unit);
        self.mean(&format!("avg_{key}"), average);
        self.value(&format!("min_{key}"), summary.min);
        self.value(&format!("max_{key}"), summary.max);
        self.value(&format!("cnt_{key}"), summary.count);
        self.value(&format!("sum_{key}"), summary.sum);
    }

    fn latency(&mut self, key: &str, latency: &Latency, unit: u64) {
        self.summary(key, &latency.summary(), unit);
        for (prefix, share) in QUANTILES {
            self.value(&format!("{prefix}_{key}"), latency.quantile_us(share) / unit);
        }
    }
}
