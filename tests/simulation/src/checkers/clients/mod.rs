//! The promises to clients, judged over a [`History`] after a run.
//!
//! | file | promise |
//! | --- | --- |
//! | `linearizable_writes` | writes have one order, each between its call and its reply |
//! | `client_fifo` | a session's requests take effect and are answered in their order |
//! | `monotonic_reads` | a session never goes back, over whatever connections |
//! | `synced_reads` | a read behind a sync is linearizable |
//!
//! Each looks at what its own promise is about and passes over what is another's, so that a broken
//! promise is called by its name. All of them are sound for histories with lost replies: what may
//! have happened is never counted as a fault.

mod client_fifo;
#[cfg(test)]
mod examples;
mod linearizable_writes;
mod monotonic_reads;
mod nameless;
mod synced_reads;
mod wing_gong;
mod znode;

use super::Violation;
use crate::history::History;

/// Finds what breaks one promise.
type Check = fn(&History) -> Vec<Violation>;

const CHECKS: [Check; 4] =
    [linearizable_writes::check, client_fifo::check, monotonic_reads::check, synced_reads::check];

/// Holds a history against every promise to clients.
#[must_use]
pub fn check_history(history: &History) -> Vec<Violation> {
    CHECKS.iter().flat_map(|check| check(history)).collect()
}
