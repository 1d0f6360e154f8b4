//! What a node has whatever its role: what it keeps, and the step that it takes.
//!
//! Whatever answers to an event is handed the member, `m`, and finds here what to look at, what
//! time it is, and where effects go. What belongs to one role is in `leading.rs` and
//! `following.rs`.

use menagerie_wire::Zxid;

use crate::effect::{Effect, Effects};
use crate::election::Election;
use crate::event::Link;
use crate::log::Log;
use crate::packet::Packet;
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
    /// The log could not be cut to where a leader wanted it: its snapshot is taken instead.
    pub(crate) uncut: bool,
    /// When the step happens, on the caller's clock. Means nothing between two steps.
    pub(crate) now_ms: u64,
    /// What the step wants done. The caller's, lent to the step; empty between two steps.
    pub(crate) fx: Effects,
}

impl Member {
    /// Everything up to `zxid` is committed.
    pub(crate) fn commit(&mut self, zxid: Zxid) {
        assert!(zxid >= self.committed, "commit goes back from {} to {zxid}", self.committed);
        assert!(zxid <= self.log.last(), "{zxid} committed, the log ends at {}", self.log.last());
        if zxid > self.committed {
            self.committed = zxid;
            self.fx.push(Effect::Commit { zxid });
        }
        self.log.history.trim(zxid);
    }

    pub(crate) fn send(&mut self, link: Link, packet: Packet) {
        self.fx.push(Effect::Send { link, packet });
    }

    /// Until when initLimit lets something take that begins now.
    pub(crate) const fn init_deadline_ms(&self) -> u64 {
        self.now_ms + self.settings.timeouts.init_ms()
    }

    /// The same of syncLimit.
    pub(crate) const fn sync_deadline_ms(&self) -> u64 {
        self.now_ms + self.settings.timeouts.sync_ms()
    }
}
