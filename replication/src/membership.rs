//! Who belongs to the ensemble, and with what right.
//!
//! Voters elect and acknowledge; observers only receive. The members of a node's ensemble do not
//! change while it runs; the text that names them travels in votes and in NEWLEADER, and may get a
//! later version.
//!
//! Apache counts versions where `reconfigEnabled` is set: the first leader of an ensemble whose
//! configuration has version 0 gives it the zxid of its NEWLEADER, and servers with a later version
//! are above those that have not heard of it. A version with counter 0 is such a beginning; any
//! other is the zxid of a change of the members.
//!
//! Versions are kept in memory, beside what the operator's file says. One that is forgotten by a
//! restart is told again in every vote; where nobody remembers it, the next leader makes one that
//! is higher, as epochs only grow. And nobody is refused for one: see `discovery.rs`.
//!
//! Facts: ZooKeeper `Leader.lead` (ZOOKEEPER-1783), `QuorumPeer.setLastSeenQuorumVerifier`,
//! `processReconfig`, `FastLeaderElection.Messenger`.

use std::collections::BTreeSet;
use std::sync::Arc;

use menagerie_wire::quorum_config::QuorumConfig;
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
    /// The version in the operator's file, which this server will have after a restart too.
    configured: Zxid,
    /// Versions are counted. ZooKeeper: `reconfigEnabled`.
    is_versioned: bool,
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
        let configured = version;
        Self { quorum, observers, text, version, configured, is_versioned: false }
    }

    /// Whether versions of others are taken, and one is given to a configuration that has none.
    #[must_use]
    pub fn versioned(self, is_versioned: bool) -> Self {
        Self { is_versioned, ..self }
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

    /// The version that this server has after a restart too.
    pub const fn configured(&self) -> Zxid {
        self.configured
    }

    /// The text that a leader says with `new_leader`, the zxid of its NEWLEADER.
    pub(crate) fn proclaimed(&self, new_leader: Zxid) -> Arc<str> {
        match self.text.strip_suffix("version=0") {
            Some(members) if self.is_versioned && self.version == Zxid::ZERO => {
                format!("{members}version={:x}", new_leader.0).into()
            }
            _ => Arc::clone(&self.text),
        }
    }

    /// Takes a later version of the text. One that names other members, or other rights, is of a
    /// change that this server cannot follow: it keeps its own.
    pub(crate) fn adopt(&mut self, text: &Arc<str>) {
        if !self.is_versioned || *text == self.text {
            return;
        }
        let Ok(config) = text.parse::<QuorumConfig>() else { return };
        if config.version > self.version && self.has_members_of(&config) {
            (self.text, self.version) = (Arc::clone(text), config.version);
        }
    }

    fn has_members_of(&self, config: &QuorumConfig) -> bool {
        let voters: BTreeSet<_> = config.voters().collect();
        config.members.len() == self.quorum.voters().len() + self.observers.len()
            && config.members.keys().all(|id| {
                if voters.contains(id) { self.is_voter(*id) } else { self.is_observer(*id) }
            })
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
