//! What nodes owe each other, judged while they run: the properties of ZAB and of ZooKeeper's TLA+
//! specifications, and what must hold of disks and trees.
//!
//! | file | property |
//! | --- | --- |
//! | `leadership` | an epoch has one leader, ever |
//! | `prefix_consistency` | what is delivered under a zxid is the same everywhere |
//! | `integrity` | what is delivered was proposed |
//! | `agreement` | of two nodes one has delivered all that the other has |
//! | `total_order` | who delivers a transaction has delivered all that anybody had before it |
//! | `local_primary_order` | a leader's transactions are proposed and delivered without a gap |
//! | `global_primary_order` | epochs are delivered one after the other |
//! | `primary_integrity` | who proposes has delivered all of earlier epochs |
//! | `committed_log_durability` | what was delivered is on a quorum of disks, and stays there |
//! | `durable_before_sent` | what a node promises is on its disk |
//! | `log_contiguity` | a log has no gap |
//! | `durable_epochs` | the epochs on a disk never go back, and are ahead of its log |
//! | `digest_equality` | trees at one zxid are equal |
//! | `ephemerals_owned` | an ephemeral node has an open session |
//!
//! A simulation tells [`NodeCheckers`] of each thing that happens, in order. A check is a function
//! of what happens now and of the [`Ledger`], which remembers what an omniscient observer would:
//! nothing of it is forgotten by a crash. Each costs what has changed, not what has been.
//!
//! `agreement` and `total_order` ask *which* transactions are delivered, `prefix_consistency` what
//! they are; so each fault has one name.

mod agreement;
mod committed_log_durability;
mod digest_equality;
mod durable_before_sent;
mod durable_epochs;
mod ephemerals_owned;
#[cfg(test)]
mod examples;
mod global_primary_order;
mod integrity;
mod leadership;
mod ledger;
mod local_primary_order;
mod log_contiguity;
mod prefix_consistency;
mod primary_integrity;
mod seen;
mod total_order;

use menagerie_wire::ServerId;

use super::Violation;

pub use ledger::Ledger;
pub use seen::{Observation, Promise, Seen, TxnHash};

/// Says what is wrong with what is seen now.
type Check = fn(&Ledger, &Seen<'_>) -> Option<String>;

const CHECKS: [(&str, Check); 14] = [
    ("leadership", leadership::check),
    ("prefix_consistency", prefix_consistency::check),
    ("integrity", integrity::check),
    ("agreement", agreement::check),
    ("total_order", total_order::check),
    ("local_primary_order", local_primary_order::check),
    ("global_primary_order", global_primary_order::check),
    ("primary_integrity", primary_integrity::check),
    ("committed_log_durability", committed_log_durability::check),
    ("durable_before_sent", durable_before_sent::check),
    ("log_contiguity", log_contiguity::check),
    ("durable_epochs", durable_epochs::check),
    ("digest_equality", digest_equality::check),
    ("ephemerals_owned", ephemerals_owned::check),
];

/// All checkers of nodes.
#[derive(Clone, Debug)]
pub struct NodeCheckers {
    ledger: Ledger,
}

impl NodeCheckers {
    /// For an ensemble whose nodes begin with empty disks.
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = ServerId>) -> Self {
        Self { ledger: Ledger::new(voters) }
    }

    /// Judges what happens, and remembers it.
    #[must_use]
    pub fn observe(&mut self, seen: &Seen<'_>) -> Vec<Violation> {
        let judge = |(checker, check): &(&'static str, Check)| {
            let fault = check(&self.ledger, seen)?;
            let Seen { node, generation, .. } = seen;
            let text = format!("server {node} (generation {generation}): {fault}");
            Some(Violation { checker, text, operations: Vec::new() })
        };
        let violations = CHECKS.iter().filter_map(judge).collect();
        self.ledger.note(seen);
        violations
    }

    /// What was seen so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
