//! What an omniscient observer remembers of a run.
//!
//! The ledger only remembers. It takes over what it is told even when that breaks a promise, so
//! that one fault does not hide the next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use menagerie_replication::Epochs;
use menagerie_wire::{Epoch, ServerId, Zxid};

use super::seen::{Observation, Promise, Seen, TxnHash};

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) voters: BTreeSet<ServerId>,
    /// All that was ever delivered, in the order of those who delivered it first.
    pub(super) delivered: Vec<(Zxid, TxnHash)>,
    /// Where in `delivered` each zxid stands.
    pub(super) places: HashMap<Zxid, usize>,
    pub(super) proposed: HashSet<(Zxid, TxnHash)>,
    pub(super) leaders: BTreeMap<Epoch, ServerId>,
    /// Where the history of each epoch begins: the end of its leader's log, which may be empty, at
    /// its first NEWLEADER.
    pub(super) foundations: BTreeMap<Epoch, Option<(Zxid, TxnHash)>>,
    /// The digest of the tree at each zxid, and who had it first.
    pub(super) digests: HashMap<Zxid, (ServerId, u64)>,
    nodes: BTreeMap<ServerId, NodeLedger>,
}

/// What is remembered of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeLedger {
    /// How many of [`Ledger::delivered`] it has delivered.
    pub(super) delivered: usize,
    /// The last of them.
    pub(super) last_delivered: Zxid,
    pub(super) last_proposed: Zxid,
    pub(super) log: DurableLog,
    pub(super) epochs: Epochs,
}

/// The log on a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct DurableLog {
    /// What a snapshot holds instead.
    pub(super) base: Zxid,
    /// Above `base`.
    pub(super) txns: Vec<(Zxid, TxnHash)>,
}

impl DurableLog {
    /// Where it ends.
    pub(super) fn last(&self) -> Zxid {
        self.txns.last().map_or(self.base, |(zxid, _)| *zxid)
    }

    pub(super) fn holds(&self, (zxid, hash): (Zxid, TxnHash)) -> bool {
        let at = self.txns.binary_search_by_key(&zxid, |(zxid, _)| *zxid);
        zxid <= self.base || at.is_ok_and(|at| self.txns[at].1 == hash)
    }

    /// What goes when it is cut behind `to`.
    pub(super) fn above(&self, to: Zxid) -> &[(Zxid, TxnHash)] {
        &self.txns[self.txns.partition_point(|(zxid, _)| *zxid <= to)..]
    }

    fn cut(&mut self, to: Zxid) {
        self.txns.truncate(self.txns.len() - self.above(to).len());
        self.base = self.base.min(to);
    }
}

impl Ledger {
    pub(super) fn new(voters: impl IntoIterator<Item = ServerId>) -> Self {
        Self {
            voters: voters.into_iter().collect(),
            delivered: Vec::new(),
            places: HashMap::new(),
            proposed: HashSet::new(),
            leaders: BTreeMap::new(),
            foundations: BTreeMap::new(),
            digests: HashMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// All that was ever delivered, in order.
    #[must_use]
    pub fn delivered(&self) -> &[(Zxid, TxnHash)] {
        &self.delivered
    }

    /// How many epochs had a leader that served.
    #[must_use]
    pub fn reign_count(&self) -> usize {
        self.leaders.len()
    }

    /// What is remembered of a node; of a new one, nothing.
    pub(super) fn node(&self, id: ServerId) -> &NodeLedger {
        static NEW: NodeLedger = NodeLedger {
            delivered: 0,
            last_delivered: Zxid::ZERO,
            last_proposed: Zxid::ZERO,
            log: DurableLog { base: Zxid::ZERO, txns: Vec::new() },
            epochs: Epochs { accepted: Epoch(0), current: Epoch(0) },
        };
        self.nodes.get(&id).unwrap_or(&NEW)
    }

    /// How many of the voters' disks hold a transaction.
    pub(super) fn voters_with(&self, txn: (Zxid, TxnHash)) -> usize {
        self.voters.iter().filter(|id| self.node(**id).log.holds(txn)).count()
    }

    /// How many transactions of epochs before `epoch` were delivered anywhere.
    pub(super) fn count_before(&self, epoch: Epoch) -> usize {
        self.delivered.partition_point(|(zxid, _)| zxid.epoch() < epoch)
    }

    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        let node = self.nodes.entry(seen.node).or_default();
        match seen.what {
            Observation::Started => {
                (node.delivered, node.last_delivered) = (0, Zxid::ZERO);
                // A server alone gives the zxids again that never came to its disk.
                node.last_proposed = node.log.last();
            }
            Observation::Led { epoch } => drop(self.leaders.insert(epoch, seen.node)),
            Observation::Followed { .. } => {}
            Observation::Proposed { zxid, hash } => {
                node.last_proposed = zxid;
                self.proposed.insert((zxid, hash));
            }
            Observation::Delivered { zxid, hash } => {
                let next = self.delivered.len();
                if node.delivered == next && !self.places.contains_key(&zxid) {
                    self.places.insert(zxid, next);
                    self.delivered.push((zxid, hash));
                }
                node.last_delivered = zxid;
                node.delivered = self.places.get(&zxid).map_or(node.delivered, |at| at + 1);
            }
            Observation::Restored { zxid } => {
                node.last_delivered = zxid;
                node.delivered = self.delivered.partition_point(|(other, _)| *other <= zxid);
            }
            Observation::Logged { txns } => node.log.txns.extend(txns),
            Observation::Truncated { to } | Observation::Damaged { to } => node.log.cut(to),
            Observation::Installed { zxid } => {
                node.log = DurableLog { base: zxid, txns: Vec::new() };
            }
            Observation::EpochsSaved { epochs } => node.epochs = epochs,
            Observation::Promised { promise } => {
                if let Promise::NewLeader { epoch } = promise {
                    self.foundations.entry(epoch).or_insert_with(|| node.log.txns.last().copied());
                }
            }
            Observation::Digested { zxid, digest } => {
                self.digests.entry(zxid).or_insert((seen.node, digest));
            }
            Observation::Sessions { .. } => {}
        }
    }
}
