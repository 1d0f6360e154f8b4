//! What must hold, checked at every effect and every change of a disk.
//!
//! The names are those of the properties of ZAB and of ZooKeeper's TLA+ specifications. State here
//! is what an omniscient observer remembers: nothing of it can be forgotten by a crash.

use std::collections::BTreeMap;

use menagerie_replication::{Effect, Packet};
use menagerie_wire::notification::ServerState;
use menagerie_wire::{Epoch, ServerId, Zxid};

use super::disk::{Disk, Txn, count_to, last};

#[derive(Clone, Debug, Default)]
pub(crate) struct Checkers {
    /// Everything that any member ever showed as committed, in order.
    pub(crate) committed: Vec<Txn>,
    /// What was ever proposed.
    pub(crate) proposed: BTreeMap<Zxid, u64>,
    /// By epoch, who led, and the history that the reign began with.
    pub(crate) reigns: BTreeMap<Epoch, (ServerId, Vec<Txn>)>,
}

impl Checkers {
    pub(crate) fn committed(&self) -> &[Txn] {
        &self.committed
    }

    pub(crate) fn reign_count(&self) -> usize {
        self.reigns.len()
    }

    /// Integrity: a zxid is given out once.
    pub(crate) fn on_propose(&mut self, txn: Txn) {
        assert!(self.proposed.insert(txn.0, txn.1).is_none(), "{} is proposed twice", txn.0);
    }

    /// Leadership: one leader in an epoch, ever. Primary integrity: it has all that was committed
    /// in earlier ones. (A later one may be established already, unknown to one that is cut off.)
    pub(crate) fn on_lead(&mut self, id: ServerId, epoch: Epoch, view: &[Txn]) {
        let before = self.reigns.insert(epoch, (id, view.to_vec()));
        assert!(before.is_none(), "epoch {epoch} of {before:?} is {id}'s too");
        let earlier = self.committed.partition_point(|(zxid, _)| zxid.epoch() < epoch);
        let has_all = view.starts_with(&self.committed[..earlier]);
        assert!(has_all, "leader {id} of epoch {epoch} lacks commits");
    }

    /// Prefix consistency, total order, agreement: what a member shows as committed is a beginning
    /// of what others did, or goes on from it. Primary integrity, seen from the earlier reign: no
    /// later one has begun without what is new. Quorum durable: what is new is on the disks of a
    /// quorum. `shown` entries of `view` were checked before.
    pub(crate) fn on_commit<'a>(
        &mut self,
        shown: usize,
        view: &[Txn],
        zxid: Zxid,
        voters: impl Iterator<Item = &'a Disk> + Clone,
    ) -> usize {
        let count = count_to(view, zxid);
        assert!(count > 0 && view[count - 1].0 == zxid, "{zxid} is committed, and not in the log");
        assert!(count >= shown, "what was shown is taken back");
        let old = count.min(self.committed.len());
        let from = shown.min(old);
        assert!(view[from..old] == self.committed[from..old], "two histories up to {zxid}");
        for txn in &view[old..count] {
            assert!(self.proposed.get(&txn.0) == Some(&txn.1), "nobody proposed {txn:?}");
            let mut later = self.reigns.iter().filter(|(epoch, _)| **epoch > txn.0.epoch());
            let lacks = later.find(|(_, (_, began_with))| !began_with.contains(txn));
            assert!(lacks.is_none(), "{txn:?} is committed, not part of {lacks:?}");
            self.committed.push(*txn);
        }
        if count > old {
            self.check_quorum_durable(voters);
        }
        count
    }

    /// Committed log durability: at any moment the power may go out everywhere.
    pub(crate) fn check_quorum_durable<'a>(&self, voters: impl Iterator<Item = &'a Disk> + Clone) {
        let Some(newest) = self.committed.last() else { return };
        let at = self.committed.len() - 1;
        let have = voters.clone().filter(|disk| disk.log.get(at) == Some(newest)).count();
        assert!(have > voters.count() / 2, "{newest:?} is committed, on {have} disks");
    }

    /// Integrity: logs hold what was proposed. Global primary order: in the order of zxids, and
    /// with the same transactions before it wherever it is.
    pub(crate) fn check_histories<'a>(&self, disks: impl Iterator<Item = &'a Disk> + Clone) {
        for disk in disks.clone() {
            let log = &disk.log;
            assert!(log.is_sorted_by(|a, b| a.0 < b.0), "zxids go back in {log:?}");
            let made_up = log.iter().find(|txn| self.proposed.get(&txn.0) != Some(&txn.1));
            assert!(made_up.is_none(), "nobody proposed {made_up:?}");
            for other in disks.clone().map(|disk| &disk.log) {
                let both = log.iter().rposition(|txn| other.contains(txn)).map_or(0, |at| at + 1);
                assert!(other.starts_with(&log[..both]), "{log:?} and {other:?} share a zxid");
            }
        }
    }

    /// Durable before sent: a power loss at the very moment a promise leaves breaks no promise.
    pub(crate) fn on_effect(&self, id: ServerId, effect: &Effect, disk: &Disk, view: &[Txn]) {
        match effect {
            Effect::Notify { state: ServerState::Looking, vote, .. } if vote.leader == id => {
                assert!(vote.zxid == last(&disk.log), "{id} votes with what it may lose");
                let current = i64::from(disk.epochs.current.0);
                assert!(vote.peer_epoch == current, "{id} votes with another epoch");
            }
            Effect::Send { packet, .. } => Self::on_send(id, packet, disk, view),
            _ => {}
        }
    }

    fn on_send(id: ServerId, packet: &Packet, disk: &Disk, view: &[Txn]) {
        match packet {
            Packet::Ack { zxid } if zxid.counter() == 0 => {
                assert!(disk.epochs.current == zxid.epoch(), "{id} enters an epoch in memory");
                assert!(disk.log == view, "{id} acknowledges history it may lose");
            }
            Packet::Ack { zxid } => {
                assert!(last(&disk.log) >= *zxid, "{id} acknowledges {zxid}, which it may lose");
            }
            Packet::AckEpoch { last_zxid, current_epoch } => {
                // A member whose tree differs claims nothing, but never in a vote.
                let claims_nothing = *last_zxid == Zxid::NONE && current_epoch.is_none();
                let true_to_disk = claims_nothing || *last_zxid == last(&disk.log);
                assert!(true_to_disk, "{id} has not what ACKEPOCH says");
            }
            Packet::LearnerInfo { accepted_epoch, .. } => {
                assert!(disk.epochs.accepted == *accepted_epoch, "{id} promised in memory");
            }
            Packet::LeaderInfo { epoch } => {
                assert!(disk.epochs.accepted == *epoch, "{id} offers what it did not promise");
            }
            Packet::NewLeader { epoch, .. } => {
                assert!(disk.epochs.current == *epoch, "{id} leads where it has not entered");
            }
            _ => {}
        }
    }
}
