//! One promise, one file.
//!
//! `clients` judges what clients saw, after a run, whatever kind of run it was. `nodes` judges
//! what the nodes of a simulation do, while they do it.

mod clients;
mod nodes;

use std::fmt;

use crate::history::{History, OpIndex};

pub use clients::{Settings, check_history};
pub use nodes::{Ledger, NodeCheckers, Observation, Promise, Seen, TxnHash};

/// Stands for the checker's name where it came to no end: no promise is known to be broken.
pub const UNDECIDED: &str = "undecided";

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub checker: &'static str,
    pub text: String,
    /// The operations that show it, the last one being the one that cannot be explained. None in
    /// the trace of a node.
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
