//! The promises to clients, judged over a [`History`] after a run.
//!
//! | file | promise |
//! | --- | --- |
//! | `linearizable_writes` | writes have one order, each between its call and its reply |
//! | `client_fifo` | a session's requests take effect and are answered in their order |
//! | `monotonic_reads` | a session never goes back, over whatever connections |
//! | `server_order` | one server never goes back, whoever asks |
//! | `synced_reads` | a read behind a sync is linearizable |
//! | `reads_at_zxid` | a read shows the tree as it was at the zxid of its reply |
//! | `multi_atomicity` | a multi is done as a whole or not at all |
//! | `watch_exactness` | each watch tells of the first change behind it, once and in time |
//! | `sequential_names` | sequential nodes are numbered in their order, each number once |
//! | `session_safety` | nothing happens behind a session's end; ephemerals go then, not before |
//! | `durability` | what was acknowledged is there at the end |
//! | `liveness` | without faults, everything is answered in time |
//!
//! Each looks at what its own promise is about and passes over what is another's, so that a broken
//! promise is called by its name. All of them are sound for histories with lost replies: what may
//! have happened is never counted as a fault.

mod client_fifo;
mod durability;
#[cfg(test)]
mod examples;
mod facts;
mod linearizable_writes;
mod liveness;
mod monotonic_reads;
mod multi_atomicity;
mod nameless;
mod reads_at_zxid;
mod rearmed;
mod sequential_names;
mod server_order;
mod session_safety;
mod synced_reads;
mod timeline;
mod watch_exactness;
mod watched;
mod wing_gong;
mod znode;

use super::{UNDECIDED, Violation};
use crate::history::History;

/// What a run was like, as far as it decides what is right.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an ensemble may take to recover when all faults are over.
    pub recovery_ms_max: u64,
    /// How long a request may take after that.
    pub reply_ms_max: u64,
    /// How long the news that a session was used may take to the leader.
    pub touch_ms_max: u64,
    /// How long after its time a session may still be there.
    pub expiry_ms_max: u64,
    /// Whether a reply's zxid is exactly that of the state that it was read from. Apache's servers
    /// take the zxid first, so theirs may show more.
    pub exact_zxids: bool,
    /// Whether the end of a session is committed before anybody is told that it has expired. A
    /// leader of Apache's may tell and fall; the next one gives the session its whole time again.
    pub told_expiry_stands: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recovery_ms_max: 30_000,
            reply_ms_max: 10_000,
            touch_ms_max: 2_000,
            expiry_ms_max: 10_000,
            exact_zxids: true,
            told_expiry_stands: true,
        }
    }
}

/// Holds a history against every promise to clients.
#[must_use]
pub fn check_history(history: &History, settings: &Settings) -> Vec<Violation> {
    [
        linearizable_writes::check(history),
        client_fifo::check(history),
        monotonic_reads::check(history),
        server_order::check(history, settings),
        synced_reads::check(history, settings),
        reads_at_zxid::check(history, settings),
        multi_atomicity::check(history),
        watch_exactness::check(history),
        sequential_names::check(history),
        session_safety::check(history, settings),
        durability::check(history),
        liveness::check(history, settings),
    ]
    .concat()
}
