//! How long a node waits, and for what.
//!
//! All waiting of the protocol is counted in milliseconds of one monotonic clock that the caller
//! hands in; nothing here is compared between two machines, and no rule of safety depends on it.

/// The limits of waiting. Keys of `zoo.cfg` in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// [tickTime] The unit of the two limits below; a leader pings every half of it.
    pub tick_ms: u64,
    /// [initLimit] Ticks within which an epoch is agreed, and a learner synchronized.
    pub init_limit: u32,
    /// [syncLimit] Ticks of silence after which the other end of a connection counts as lost.
    pub sync_limit: u32,
    /// The first wait for votes before the own one is sent again; then it doubles.
    // ZooKeeper: FastLeaderElection.minNotificationInterval.
    pub notification_ms_min: u64,
    /// Where the doubling ends. Apache waits up to a minute; a vote costs little.
    pub notification_ms_max: u64,
    /// How long a quorum's vote is left open for a better one. No rule of safety.
    // ZooKeeper: FastLeaderElection.finalizeWait.
    pub finalize_wait_ms: u64,
    /// Between the first two attempts to reach the elected leader, who may still be opening its
    /// port; then it doubles.
    pub connect_retry_ms_min: u64,
    /// Where the doubling ends.
    // ZooKeeper: Learner.leaderConnectDelayDuringRetryMs.
    pub connect_retry_ms_max: u64,
    /// Attempts to reach the leader. Apache makes 5; a vote that ended early may be up to
    /// `finalize_wait_ms` ahead of the leader's.
    pub connect_attempts_max: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            notification_ms_min: 200,
            notification_ms_max: 1600,
            finalize_wait_ms: 200,
            connect_retry_ms_min: 5,
            connect_retry_ms_max: 100,
            connect_attempts_max: 24,
        }
    }
}

impl Timeouts {
    pub const fn init_ms(&self) -> u64 {
        self.tick_ms * self.init_limit as u64
    }

    pub const fn sync_ms(&self) -> u64 {
        self.tick_ms * self.sync_limit as u64
    }

    /// How long to wait after so many attempts to reach the leader.
    pub(crate) fn connect_retry_ms(&self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(15);
        (self.connect_retry_ms_min << doublings).min(self.connect_retry_ms_max)
    }

    pub const fn half_tick_ms(&self) -> u64 {
        if self.tick_ms < 2 { 1 } else { self.tick_ms / 2 }
    }
}
