//! Sequencers for the tests of this room.

use menagerie_engine::tree::Tree;
use menagerie_engine::txn::Rules;
use menagerie_replication::{self as replication, HistoryLimits, Membership, Recovered, Timeouts};
use menagerie_wire::{ServerId, Zxid};

use super::{CleanerSettings, Now, Sequencer, Settings};

pub(crate) fn settings() -> Settings {
    Settings {
        server: ServerId(1),
        shards: 1,
        tick_ms: 2_000,
        rules: Rules::default(),
        digests: true,
        cleaner: CleanerSettings { check_interval_ms: 1_000, per_minute_max: 10_000 },
        leader_serves: true,
        leaves_on_mismatch: true,
    }
}

/// Server 1, over an empty tree, as a member of this ensemble.
pub(super) fn member(settings: Settings, membership: Membership, now: Now) -> Sequencer {
    let member = replication::Settings {
        id: settings.server,
        timeouts: Timeouts::default(),
        history: HistoryLimits::default(),
        resign_at_counter: u32::MAX,
        membership,
    };
    let recovered = Recovered::alone(Zxid::ZERO);
    Sequencer::member(settings, member, recovered, Tree::new(), now)
}
