//! What a node keeps whatever its role.

use menagerie_wire::Zxid;

use crate::effect::{Effect, Effects};
use crate::election::Election;
use crate::log::Log;
use crate::settings::Settings;

/// The part of a node that outlives its roles.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    pub(crate) election: Election,
    /// The highest zxid this process knows to be committed. Nothing below it is ever cut off.
    pub(crate) committed: Zxid,
    /// The host's tree is not what the log makes of it; only a leader's snapshot mends that, or a
    /// new start.
    pub(crate) diverged: bool,
}

impl Member {
    /// Everything up to `zxid` is committed.
    pub(crate) fn commit(&mut self, zxid: Zxid, fx: &mut Effects) {
        assert!(zxid >= self.committed, "commit goes back from {} to {zxid}", self.committed);
        assert!(zxid <= self.log.last(), "{zxid} committed, the log ends at {}", self.log.last());
        if zxid > self.committed {
            self.committed = zxid;
            fx.push(Effect::Commit { zxid });
        }
        self.log.history.trim(zxid);
    }
}
