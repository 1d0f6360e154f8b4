//! Who belongs to the ensemble, and with what right.
//!
//! Voters elect and acknowledge; observers only receive. The text and its version travel in votes
//! and in NEWLEADER, and are compared, never parsed here: the configuration's syntax is `wire`'s.
//! The membership of a node does not change while it runs.

use std::sync::Arc;

use menagerie_wire::{ServerId, Zxid};

use crate::quorum::Majority;

/// The active configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    quorum: Majority,
    /// Sorted, disjoint from the voters.
    observers: Vec<ServerId>,
    text: Arc<str>,
    version: Zxid,
}

impl Membership {
    /// `text` is the configuration as `QuorumVerifier.toString` writes it, `version` the one it
    /// names.
    ///
    /// # Panics
    /// Without a voter, or when a server is both voter and observer.
    pub fn new(
        voters: Vec<ServerId>,
        mut observers: Vec<ServerId>,
        text: Arc<str>,
        version: Zxid,
    ) -> Self {
        let quorum = Majority::new(voters);
        observers.sort_unstable();
        observers.dedup();
        assert!(!observers.iter().any(|id| quorum.is_voter(*id)), "observers do not vote");
        Self { quorum, observers, text, version }
    }

    pub const fn quorum(&self) -> &Majority {
        &self.quorum
    }

    pub fn is_voter(&self, id: ServerId) -> bool {
        self.quorum.is_voter(id)
    }

    pub fn is_observer(&self, id: ServerId) -> bool {
        self.observers.binary_search(&id).is_ok()
    }

    pub fn is_member(&self, id: ServerId) -> bool {
        self.is_voter(id) || self.is_observer(id)
    }

    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub const fn version(&self) -> Zxid {
        self.version
    }
}
