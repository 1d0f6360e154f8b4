//! What a node needs to know of its configuration.

use menagerie_wire::ServerId;

use crate::history::HistoryLimits;
use crate::membership::Membership;
use crate::timeouts::Timeouts;

/// Fixed for the life of a node, but for the version of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub id: ServerId,
    pub membership: Membership,
    pub timeouts: Timeouts,
    pub history: HistoryLimits,
    /// At this counter of a zxid a leader resigns. Between it and the last one is room for the
    /// writes that its sequencer has prepared already.
    pub resign_at_counter: u32,
}

/// The usual [`Settings::resign_at_counter`].
pub const RESIGN_AT_COUNTER: u32 = u32::MAX - (1 << 16);

impl Settings {
    pub(crate) fn is_voter(&self) -> bool {
        self.membership.is_voter(self.id)
    }
}
