//! What a shard tells of itself when a probe asks.

use std::collections::BTreeMap;

use menagerie_wire::SessionId;

use crate::admin::metrics::Summary;
use crate::admin::{ConnectionReport, LatencyReport, SessionReport, WatchReport};
use crate::client::connection::{Connection, Phase, Traffic};
use crate::client::shard::Shard;
use crate::watch::{ConnId, WatchSummary};

impl Shard {
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Requests whose reply is not on its way yet.
    pub const fn outstanding_requests(&self) -> usize {
        self.outstanding
    }

    pub fn connection_reports(&self) -> Vec<ConnectionReport> {
        self.connections.iter().map(|(_, connection)| report(connection)).collect()
    }

    /// `crst`: every connection counts anew.
    pub fn reset_connection_counters(&mut self) {
        for (_, connection) in self.connections.iter_mut() {
            connection.traffic = Traffic { last: connection.traffic.last, ..Traffic::default() };
        }
    }

    pub fn watch_count(&self) -> usize {
        self.watches.watch_count()
    }

    pub fn watch_summary(&self) -> WatchSummary {
        self.watches.summary()
    }

    /// Who watches what, by session.
    pub fn watch_report(&self) -> WatchReport {
        let session = |conn: ConnId| {
            let index = u32::try_from(conn.index()).ok()?;
            self.connections.at(index).map(|connection| connection.session)
        };
        let mut report = WatchReport::default();
        for (path, conns) in self.watches.data_watches() {
            report.add(path, conns.filter_map(session));
        }
        report
    }

    /// Connections by the wall-clock time at which silence would end their session.
    pub fn connections_by_deadline(&self) -> BTreeMap<i64, Vec<(std::net::SocketAddr, SessionId)>> {
        let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (_, connection) in self.connections.iter() {
            let deadline_ms = self.now.wall_ms + i64::from(connection.timeout_ms);
            let deadline_ms = (deadline_ms / 1_000 + 1) * 1_000;
            sets.entry(deadline_ms).or_default().push((connection.peer, connection.session));
        }
        sets
    }
}

fn latency(summary: &Summary) -> LatencyReport {
    LatencyReport {
        min_ms: summary.min / 1_000,
        avg_ms: summary.average() / 1_000.0,
        max_ms: summary.max / 1_000,
    }
}

fn report(connection: &Connection) -> ConnectionReport {
    let traffic = &connection.traffic;
    let last = traffic.last.as_ref();
    let session = (connection.phase == Phase::Open).then(|| SessionReport {
        id: connection.session,
        last_op: last.map(|reply| reply.op),
        established_ms: connection.since_wall_ms,
        timeout_ms: connection.timeout_ms,
        last_cxid: last.map_or(-1, |reply| reply.xid.0),
        last_zxid: last.map_or(menagerie_wire::Zxid::NONE, |reply| reply.zxid),
        last_response_ms: last.map_or(0, |reply| reply.at_ms),
        last_latency_ms: last.map_or(0, |reply| reply.latency_us / 1_000),
        latency: latency(&traffic.latency),
    });
    ConnectionReport {
        remote: connection.peer,
        reading: connection.wants_bytes() && !matches!(connection.phase, Phase::Connecting { .. }),
        writing: !connection.unsent.bytes().is_empty(),
        outstanding_requests: connection.slots.len(),
        packets_received: traffic.received,
        packets_sent: traffic.sent,
        session,
    }
}
