//! One promise, one file.
//!
//! The promises to clients are judged over a [`History`], after a run: [`check_history`].
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
mod synced_reads;
mod wing_gong;
mod znode;

use crate::history::{History, OpIndex};
use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub checker: &'static str,
    pub text: String,
    /// The operations that show it, the last one being the one that cannot be explained.
    pub operations: Vec<OpIndex>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.text)
    }
}

impl Violation {
    /// The operations that show it, in words, as many as help.
    #[must_use]
    pub fn excerpt(&self, history: &History) -> Vec<String> {
        const LINES_MAX: usize = 12;
        let lines = self.operations.iter().take(LINES_MAX);
        let mut lines: Vec<_> = lines.map(|&op| history.operations[op].to_string()).collect();
        let more = self.operations.len() - lines.len();
        lines.extend((more > 0).then(|| format!("and {more} more")));
        lines
    }
}

/// Finds what breaks one promise.
type Check = fn(&History) -> Vec<Violation>;

const CHECKS: [Check; 4] =
    [linearizable_writes::check, client_fifo::check, monotonic_reads::check, synced_reads::check];

/// Holds a history against every promise to clients.
#[must_use]
pub fn check_history(history: &History) -> Vec<Violation> {
    CHECKS.iter().flat_map(|check| check(history)).collect()
}
