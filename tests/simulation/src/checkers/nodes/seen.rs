//! What a simulation tells of its nodes.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use menagerie_replication::{Effect, Epochs, Packet};
use menagerie_wire::notification::ServerState;
use menagerie_wire::{Epoch, ServerId, SessionId, Zxid};

/// Something that happens on a node.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub node: ServerId,
    /// Of the process: one more after each start.
    pub generation: u64,
    pub what: Observation<'a>,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// The process starts. What it had delivered is in its memory no more; its disk is as it was.
    Started,
    /// It leads and serves ([`Effect::Lead`]).
    Led { epoch: Epoch },
    /// It serves as a learner ([`Effect::Follow`], [`Effect::Observe`]).
    Followed { leader: ServerId, epoch: Epoch },
    /// Its sequencer proposes a transaction.
    Proposed { zxid: Zxid, hash: TxnHash },
    /// The transaction is committed here and may be shown to clients. One after the other.
    Delivered { zxid: Zxid, hash: TxnHash },
    /// What is committed here is now all that was delivered anywhere up to `zxid`: out of the own
    /// disk after a start, or out of a leader's snapshot.
    Restored { zxid: Zxid },

    /// Transactions are on the disk, behind all earlier ones.
    Logged { txns: &'a [(Zxid, TxnHash)] },
    /// The log on the disk was cut behind `to`.
    Truncated { to: Zxid },
    /// A snapshot is on the disk in place of the log.
    Installed { zxid: Zxid },
    /// The disk has lost what was above `to` by a fault that no server answers for.
    Damaged { to: Zxid },
    /// Both epochs are on the disk.
    EpochsSaved { epochs: Epochs },
    /// Something leaves the node that others rely on.
    Promised { promise: Promise },

    /// The digest of the tree, committed up to `zxid`.
    Digested { zxid: Zxid, digest: u64 },
    /// The sessions that are open in the tree, committed up to `zxid`, and each ephemeral node with
    /// its owner.
    Sessions { zxid: Zxid, open: &'a [SessionId], ephemerals: &'a [(SessionId, &'a str)] },
}

/// Stands for the bytes of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnHash(pub u64);

impl TxnHash {
    #[must_use]
    pub fn of(txn: &[u8]) -> Self {
        Self(BuildHasherDefault::<DefaultHasher>::default().hash_one(txn))
    }
}

/// What a node says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A vote for itself.
    Vote {
        zxid: Zxid,
        epoch: i64,
    },
    /// FOLLOWERINFO or OBSERVERINFO.
    LearnerInfo {
        accepted: Epoch,
    },
    LeaderInfo {
        epoch: Epoch,
    },
    AckEpoch {
        last_zxid: Zxid,
        /// It had not promised the epoch before.
        is_vote: bool,
    },
    NewLeader {
        epoch: Epoch,
    },
    /// The ACK of NEWLEADER.
    AckNewLeader {
        epoch: Epoch,
    },
    /// The ACK of a proposal.
    Ack {
        zxid: Zxid,
    },
}

impl Promise {
    /// What `node` promises with an effect, if it does.
    #[must_use]
    pub fn of(node: ServerId, effect: &Effect) -> Option<Self> {
        match effect {
            // With -1 a server says that it may not vote, its data being lost.
            Effect::Notify { state: ServerState::Looking, vote, .. }
                if vote.leader == node && vote.zxid != Zxid::NONE =>
            {
                Some(Self::Vote { zxid: vote.zxid, epoch: vote.peer_epoch })
            }
            Effect::Send { packet, .. } => Self::of_packet(packet),
            _ => None,
        }
    }

    const fn of_packet(packet: &Packet) -> Option<Self> {
        Some(match *packet {
            Packet::LearnerInfo { accepted_epoch, .. } => {
                Self::LearnerInfo { accepted: accepted_epoch }
            }
            Packet::LeaderInfo { epoch } => Self::LeaderInfo { epoch },
            Packet::AckEpoch { last_zxid, current_epoch } => {
                Self::AckEpoch { last_zxid, is_vote: current_epoch.is_some() }
            }
            Packet::NewLeader { epoch, .. } => Self::NewLeader { epoch },
            Packet::Ack { zxid } if zxid.counter() == 0 => {
                Self::AckNewLeader { epoch: zxid.epoch() }
            }
            Packet::Ack { zxid } => Self::Ack { zxid },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use menagerie_replication::Link;
    use menagerie_wire::notification::Vote;

    use super::*;

    fn check(effect: &Effect, expect: Option<Promise>) {
        assert_eq!(Promise::of(ServerId(2), effect), expect, "{effect:?}");
    }

    fn send(packet: Packet) -> Effect {
        Effect::Send { link: Link(1), packet }
    }

    #[test]
    fn an_ack_of_a_new_epoch_is_another_promise_than_one_of_a_proposal() {
        let (epoch, zxid) = (Epoch(3), Zxid::new(Epoch(3), 4));
        let ack = |counter| send(Packet::Ack { zxid: Zxid::new(epoch, counter) });
        check(&ack(0), Some(Promise::AckNewLeader { epoch }));
        check(&ack(4), Some(Promise::Ack { zxid }));
        check(&send(Packet::Commit { zxid }), None);
    }

    #[test]
    fn only_a_vote_for_oneself_speaks_of_the_own_disk() {
        let zxid = Zxid::new(Epoch(1), 4);
        let vote = |leader| {
            let vote = Vote { leader: ServerId(leader), zxid, round: 9, peer_epoch: 1 };
            Effect::Notify { to: ServerId(1), state: ServerState::Looking, vote }
        };
        check(&vote(2), Some(Promise::Vote { zxid, epoch: 1 }));
        check(&vote(3), None);
    }
}
