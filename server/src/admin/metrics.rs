//! Counters: plain numbers, owned by one core each, merged by whoever reports.
//!
//! A core that counts writes only its own memory; there is no shared line and no atomic. A report
//! asks each core for a copy and merges the copies. What the numbers are called outside stands in
//! `mntr`; a field that counts what Apache counts says so.

use hashbrown::HashMap;
use menagerie_wire::event::EventType;

use super::latency::Latency;
use super::stages::{Operations, Stages};
use crate::config::limits::NAMESPACES_COUNTED_MAX;

/// How often, how much, and between which bounds.
// ZooKeeper: AvgMinMaxCounter, SimpleCounter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    pub sum: u64,
    /// 0 while nothing was recorded.
    pub min: u64,
    pub max: u64,
}

impl Summary {
    pub fn record(&mut self, value: u64) {
        self.merge(&Self { count: 1, sum: value, min: value, max: value });
    }

    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The mean with four digits, as Apache rounds it.
    pub fn average(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        (self.sum as f64 / self.count as f64 * 1e4).round() / 1e4
    }

    /// The same, counted in units of `unit`: means keep their digits, the others are cut.
    pub(super) fn in_units(&self, unit: u64) -> (f64, Self) {
        let average = (self.average() / unit as f64 * 1e4).round() / 1e4;
        let Self { count, sum, min, max } = *self;
        (average, Self { count, sum: sum / unit, min: min / unit, max: max / unit })
    }
}

/// Bytes of things that come one after the other.
// ZooKeeper: BufferStats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    all: Summary,
    last: u64,
}

impl Sizes {
    pub fn record(&mut self, bytes: usize) {
        self.last = bytes as u64;
        self.all.record(self.last);
    }

    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        if other.last != 0 {
            self.last = other.last;
        }
    }

    /// The last, the smallest and the largest one; -1 while there was none.
    pub(super) fn last_min_max(&self) -> [i64; 3] {
        let none = self.all.count == 0;
        let size = |bytes: u64| if none { -1 } else { i64::try_from(bytes).unwrap_or(i64::MAX) };
        [self.last, self.all.min, self.all.max].map(size)
    }
}

/// Bytes of reads and writes by the first component of their path.
// ZooKeeper: read_per_namespace, write_per_namespace.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    by_name: HashMap<String, NamespaceTraffic>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceTraffic {
    pub read: Summary,
    pub write: Summary,
}

impl Namespaces {
    /// A read of `path` that transferred `bytes` beside it.
    // ZooKeeper: DataTree.updateReadStat.
    pub fn record_read(&mut self, path: &str, bytes: usize) {
        if let Some(traffic) = self.traffic(path) {
            traffic.read.record((path.len() + bytes) as u64);
        }
    }

    /// A create or setData of `path` with `bytes` of data.
    // ZooKeeper: DataTree.updateWriteStat.
    pub fn record_write(&mut self, path: &str, bytes: usize) {
        if let Some(traffic) = self.traffic(path) {
            traffic.write.record((path.len() + bytes) as u64);
        }
    }

    /// Clients choose the names: above the limit no new one is counted.
    fn traffic(&mut self, path: &str) -> Option<&mut NamespaceTraffic> {
        let below = path.strip_prefix('/')?;
        let end = below.bytes().position(|byte| byte == b'/').unwrap_or(below.len());
        let name = Some(&below[..end]).filter(|name| !name.is_empty())?;
        if self.by_name.len() < NAMESPACES_COUNTED_MAX {
            Some(self.by_name.entry_ref(name).or_default())
        } else {
            self.by_name.get_mut(name)
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (name, traffic) in &other.by_name {
            let into = self.by_name.entry_ref(name.as_str()).or_default();
            into.read.merge(&traffic.read);
            into.write.merge(&traffic.write);
        }
    }

    /// In the order of names.
    pub(super) fn sorted(&self) -> Vec<(&str, &NamespaceTraffic)> {
        let mut all: Vec<_> =
            self.by_name.iter().map(|(name, traffic)| (name.as_str(), traffic)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }
}

/// What a shard counts. `srst` sets it back to its default.
#[derive(Clone, Debug, Default)]
pub struct ShardCounters {
    pub packets_received: u64,
    pub packets_sent: u64,
    pub bytes_received: u64,
    /// Bytes of replies, and of events.
    pub response_bytes: u64,
    pub watch_bytes: u64,
    pub response_sizes: Sizes,
    /// ConnectRequests.
    pub connection_requests: u64,
    /// Connections above a limit, closed at once.
    pub connections_rejected: u64,
    /// Connections that the server ended.
    pub connections_dropped: u64,
    /// Connections without a ConnectRequest in time.
    pub handshakes_timed_out: u64,
    pub auth_failures: u64,
    /// Frames above `jute.maxbuffer`.
    pub large_requests_rejected: u64,
    /// From the arrival of requests until their answers were given to the socket.
    pub operations: Operations,
    /// The same time of writes, in parts.
    pub stages: Stages,
    /// Connections told, per event, by its type.
    pub told_created: Summary,
    pub told_deleted: Summary,
    pub told_changed: Summary,
    pub told_children: Summary,
    pub namespaces: Namespaces,
}

impl ShardCounters {
    pub fn merge(&mut self, other: &Self) {
        self.packets_received += other.packets_received;
        self.packets_sent += other.packets_sent;
        self.bytes_received += other.bytes_received;
        self.response_bytes += other.response_bytes;
        self.watch_bytes += other.watch_bytes;
        self.response_sizes.merge(&other.response_sizes);
        self.connection_requests += other.connection_requests;
        self.connections_rejected += other.connections_rejected;
        self.connections_dropped += other.connections_dropped;
        self.handshakes_timed_out += other.handshakes_timed_out;
        self.auth_failures += other.auth_failures;
        self.large_requests_rejected += other.large_requests_rejected;
        self.operations.merge(&other.operations);
        self.stages.merge(&other.stages);
        self.told_created.merge(&other.told_created);
        self.told_deleted.merge(&other.told_deleted);
        self.told_changed.merge(&other.told_changed);
        self.told_children.merge(&other.told_children);
        self.namespaces.merge(&other.namespaces);
    }

    /// One event was queued on `told` connections.
    pub fn record_events(&mut self, kind: EventType, told: u64, frame_bytes: usize) {
        self.packets_sent += told;
        self.watch_bytes += told * frame_bytes as u64;
        let summary = match kind {
            EventType::NodeCreated => &mut self.told_created,
            EventType::NodeDeleted => &mut self.told_deleted,
            EventType::NodeDataChanged => &mut self.told_changed,
            EventType::NodeChildrenChanged => &mut self.told_children,
        };
        summary.record(told);
    }

    /// One reply of `bytes` is on its way.
    pub fn record_reply(&mut self, bytes: usize) {
        self.packets_sent += 1;
        self.response_bytes += bytes as u64;
        self.response_sizes.record(bytes);
    }
}

/// What the sequencer, the log and housekeeping count. `srst` sets it back to its default.
#[derive(Clone, Debug, Default)]
pub struct WriteCounters {
    /// Requests that were judged, and how long that took.
    pub prepared: u64,
    pub prepare_us: Summary,
    pub close_session_us: Latency,
    /// From the beginning of judging to the commit.
    pub propagation: Latency,
    /// Transactions committed by this server as a leader, or alone.
    pub committed: u64,
    /// Records appended, records per commit, and how long a commit took on the disk.
    pub logged: u64,
    pub batch_records: Summary,
    pub sync_us: Latency,
    pub sessions_expired: u64,
    pub digest_mismatches: u64,
    pub snapshot_ms: Summary,
    pub snapshot_errors: u64,
    pub roles: RoleCounters,
}

/// What a member of an ensemble counts of its roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleCounters {
    /// How often a leader was looked for, and how long that took; an observer's looking has no
    /// length in Apache.
    pub looked: u64,
    pub election_ms: Summary,
    /// From the end of service, or the start of the process, to the next service: in any role, and
    /// of those the ones in which this server led.
    pub unavailable_ms: Summary,
    pub leader_unavailable_ms: Summary,
    /// From the election to service.
    pub follower_sync_ms: Summary,
    pub observer_sync_ms: Summary,
    /// As a leader.
    pub proposals: u64,
    /// Learners whose history was aligned by a snapshot, and by anything less.
    pub snapshots_sent: u64,
    pub diffs_sent: u64,
    /// As a learner, while it serves.
    pub proposals_received: u64,
    pub commits_received: u64,
    /// Of the present reign.
    pub proposal_sizes: Sizes,
}

impl RoleCounters {
    /// This leader proposes a transaction.
    // ZooKeeper: Leader.propose.
    pub fn record_proposal(&mut self, bytes: usize) {
        self.proposals += 1;
        self.proposal_sizes.record(bytes);
    }
}

/// What the start did. It stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartFacts {
    pub recovery_ms: u64,
    pub snapshot_load_ms: u64,
    pub replay_ms: u64,
    pub replayed_txns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_two_cores_merge_into_one() {
        let mut one = Summary::default();
        one.record(5);
        one.record(2);
        let mut all = Summary::default();
        all.merge(&one);
        all.merge(&Summary::default());
        all.merge(&Summary { count: 1, sum: 0, min: 0, max: 0 });
        assert_eq!(all, Summary { count: 3, sum: 7, min: 0, max: 5 });
        assert_eq!(all.average(), 2.3333);
        assert_eq!(Summary::default().average(), 0.0);
    }

    #[test]
    fn traffic_is_counted_by_the_first_component_and_bounded() {
        let mut namespaces = Namespaces::default();
        namespaces.record_read("/f", 68);
        namespaces.record_write("/f/g", 10);
        namespaces.record_read("/", 100);
        let traffic = *namespaces.sorted()[0].1;
        assert_eq!((traffic.read.sum, traffic.write.sum), (70, 14));
        for index in 0..2 * NAMESPACES_COUNTED_MAX {
            namespaces.record_read(&format!("/n{index}"), 1);
        }
        namespaces.record_read("/f", 68);
        assert_eq!(namespaces.sorted().len(), NAMESPACES_COUNTED_MAX);
        assert_eq!(namespaces.sorted()[0].1.read.count, 2);
    }
}
