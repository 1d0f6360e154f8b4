//! What a seed decides before its world begins.

use menagerie_wire::ServerId;

use super::mutants::Mutant;
use super::workload::KEYS;

use crate::random::Random;

const MS: u64 = 1_000;

/// How a world is made and what it suffers. All fields may be set by a script.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub voters: i64,
    pub observers: i64,
    pub shards: u16,
    pub tick_ms: u64,
    pub init_limit: u32,
    pub sync_limit: u32,
    /// Entries of the window that lagging learners are served from.
    pub history_txns: usize,
    pub resign_at_counter: u32,
    /// Committed transactions after which a member keeps a snapshot.
    pub snapshot_every: u64,
    /// How often a sequencer looks at the clock at least.
    pub look_every_us: u64,
    /// From here to there, in µs, one way.
    pub delay_us: (u64, u64),
    /// For one commit of a log.
    pub commit_us: (u64, u64),
    /// For anything else that a disk is asked for.
    pub job_us: (u64, u64),
    pub clients: u32,
    /// Nodes that clients want something of, beside the children of these.
    pub keys: usize,
    /// Between two requests of a client, on average.
    pub think_us: u64,
    pub session_timeout_ms: i32,
    /// How long faults go on.
    pub suffer_us: u64,
    /// Between two faults, on average; 0: none.
    pub fault_every_us: u64,
    /// What is deliberately wrong.
    pub mutant: Option<Mutant>,
}

impl Plan {
    /// Three members without any fault, and without clients.
    #[must_use]
    pub const fn calm(seed: u64) -> Self {
        Self {
            seed,
            voters: 3,
            observers: 0,
            shards: 1,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            history_txns: 500,
            resign_at_counter: menagerie_replication::RESIGN_AT_COUNTER,
            snapshot_every: 100_000,
            look_every_us: 200 * MS,
            delay_us: (100, 400),
            commit_us: (80, 300),
            job_us: (500, 5 * MS),
            clients: 0,
            keys: KEYS,
            think_us: 100 * MS,
            session_timeout_ms: 10_000,
            suffer_us: 60_000 * MS,
            fault_every_us: 0,
            mutant: None,
        }
    }

    /// Three members without any fault, and clients that want much.
    #[must_use]
    pub const fn busy(seed: u64) -> Self {
        let (clients, think_us, suffer_us) = (3, 20 * MS, 20_000 * MS);
        Self { shards: 2, clients, think_us, suffer_us, ..Self::calm(seed) }
    }

    /// Whatever the seed says.
    #[must_use]
    pub fn by_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let mut pick = |from: &[u64]| *random.pick(from);
        let tick_ms = pick(&[200, 500, 1000, 2000, 2000]);
        let delay_max_us = pick(&[300, 2 * MS, 10 * MS, 60 * MS]);
        let commit_max_us = pick(&[300, 2 * MS, 20 * MS, 100 * MS]);
        let think_us = pick(&[20 * MS, 200 * MS, 1000 * MS, 5000 * MS]);
        Self {
            voters: pick(&[3, 3, 3, 3, 5]) as i64,
            observers: pick(&[0, 0, 0, 1]) as i64,
            shards: pick(&[1, 1, 2]) as u16,
            tick_ms,
            sync_limit: pick(&[2, 5, 5, 10]) as u32,
            history_txns: pick(&[0, 3, 20, 500]) as usize,
            resign_at_counter: pick(&[40, 1 << 31, 1 << 31, 1 << 31]) as u32,
            snapshot_every: pick(&[10, 50, 300, 100_000]),
            look_every_us: pick(&[50 * MS, 200 * MS, 400 * MS]),
            delay_us: (delay_max_us / 4, delay_max_us),
            commit_us: (commit_max_us / 4, commit_max_us),
            job_us: (commit_max_us, 10 * commit_max_us),
            clients: pick(&[1, 2, 3, 5]) as u32,
            keys: pick(&[2, KEYS as u64, KEYS as u64]) as usize,
            think_us,
            session_timeout_ms: (tick_ms * pick(&[2, 4, 10, 20])) as i32,
            // Slow worlds are long: what costs time is what happens, not how long it takes.
            suffer_us: (think_us * 400).clamp(20_000 * MS, 1_200_000 * MS),
            fault_every_us: (tick_ms * MS) * pick(&[2, 5, 20]),
            ..Self::calm(seed)
        }
    }

    /// All members, in order.
    pub fn members(&self) -> impl Iterator<Item = ServerId> + use<> {
        (1..=self.voters + self.observers).map(ServerId)
    }

    /// How long the news that a session is used may take to the leader when nothing fails.
    #[must_use]
    pub const fn touch_ms_max(&self) -> u64 {
        2 * self.tick_ms + 5 * self.delay_us.1 / MS
    }

    /// How long a leader's disk may stand still before it must have noticed.
    #[must_use]
    pub const fn stuck_us(&self) -> u64 {
        // Clocks may be slow by a tenth, and are looked at every half tick.
        (self.sync_limit as u64 * self.tick_ms * 12 / 10 + 2 * self.tick_ms) * MS
    }

    #[must_use]
    pub const fn is_voter(&self, id: ServerId) -> bool {
        id.0 <= self.voters
    }
}
