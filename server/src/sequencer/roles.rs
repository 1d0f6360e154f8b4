//! How a role begins and ends.
//!
//! Between two roles nobody is served. When one begins, the tree is brought to what is committed
//! by then, and shown as a root of its own before the first client is let in. When one ends, what
//! was judged and not committed stays in the log and in the tail: whether it counts is decided by
//! whoever leads next.

use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn;
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_replication::{Departure, Event, Membership};
use menagerie_wire::txn::Txn;
use menagerie_wire::{Epoch, ServerId, Zxid};

use super::expiry::Expiry;
use super::message::ToShard;
use super::prepared::Prepared;
use super::publication::{Logged, Run};
use super::{Now, Output, Part, Sequencer};

/// Says in a tree that was read from a disk, or from a peer, who belongs to this ensemble.
// ZooKeeper: QuorumPeer.initConfigInZKDatabase, Learner.syncWithLeader.
pub(super) fn name_members(tree: &mut Tree, membership: &Membership, now: Now) {
    let text = membership.text();
    if let Err(error) = tree.set_config(text, membership.version(), now.wall_ms) {
        tracing::warn!("/zookeeper/config cannot say who belongs to the ensemble: {error}");
    }
}

impl Sequencer {
    /// The reign of this server begins.
    pub(super) fn lead(&mut self, epoch: Epoch, last_zxid: Zxid, out: &mut Output) {
        tracing::info!("leading in epoch {epoch} from {last_zxid}");
        self.part = Part::Leading;
        if self.node.is_alone() {
            assert!(last_zxid == self.last_prepared, "leading from what is prepared");
            return;
        }
        self.bring_forward();
        self.last_prepared = last_zxid;
        name_members(&mut self.tree, self.node.membership(), self.now);
        self.show_history(out);
        self.begin_sessions();
        if self.settings.leader_serves {
            self.tell_all(&ToShard::Serve { since: Zxid::new(epoch, 0) }, out);
        }
    }

    /// Another server leads, and this one has its history.
    pub(super) fn learn(&mut self, how: &str, leader: ServerId, epoch: Epoch, out: &mut Output) {
        tracing::info!("{how} server {} in epoch {epoch} from {}", leader.0, self.committed_to);
        self.part = Part::Learning;
        let committed_to = self.committed_to;
        self.apply_tail(committed_to);
        name_members(&mut self.tree, self.node.membership(), self.now);
        self.show_history(out);
        self.tell_all(&ToShard::Serve { since: Zxid::new(epoch, 0) }, out);
    }

    /// The role, or the attempt at one, is over.
    pub(super) fn stop_serving(&mut self, reason: Departure, out: &mut Output) {
        match self.part {
            Part::Idle => tracing::info!("looking for a leader again: {reason}"),
            Part::Leading => tracing::warn!("leading no more: {reason}"),
            Part::Learning => tracing::warn!("serving no more: {reason}"),
        }
        self.part = Part::Idle;
        self.stepping_down = false;
        self.prepared = Prepared::default();
        self.expiry = Expiry::new(self.settings.tick_ms);
        self.collecting = None;
        self.owners.clear();
        self.pending.clear();
        self.moving.clear();
        self.syncs.clear();
        self.strangers.clear();
        self.batches.clear();
        self.deferred.clear();
        self.tell_all(&ToShard::StopServing, out);
    }

    /// The log was cut and ends at `last_logged`. `rebuilt` is the tree at that zxid, if it was
    /// asked for.
    pub fn on_truncated(
        &mut self,
        last_logged: Zxid,
        rebuilt: Option<Tree>,
        now: Now,
        out: &mut Output,
    ) {
        tracing::warn!("the log was cut behind {last_logged}, as the leader has it");
        self.batches.clear();
        if !flaws::has(Flaw::TailSurvivesCut) {
            self.tail.cut(last_logged);
        }
        match rebuilt {
            Some(tree) => self.replace_tree(tree),
            None => {
                self.tree.reset_to(&self.committed);
                self.bring_forward();
            }
        }
        assert!(self.tree.view().last_zxid() <= last_logged, "the tree goes back with the log");
        self.on_event(Event::Truncated { last_logged }, now, out);
    }

    /// The leader's snapshot is on the disk, in the place of log and tree.
    pub fn on_installed(&mut self, zxid: Zxid, tree: Tree, now: Now, out: &mut Output) {
        tracing::info!("the leader's snapshot {zxid} is installed");
        if !flaws::has(Flaw::SnapOnDiskOnly) {
            self.replace_tree(tree);
        }
        self.comparing = false;
        self.on_event(Event::Installed { zxid }, now, out);
    }

    fn replace_tree(&mut self, mut tree: Tree) {
        name_members(&mut tree, self.node.membership(), self.now);
        self.tree = tree;
        self.committed = self.tree.seal();
        self.batches.clear();
        self.tail.forget_to(Zxid(i64::MAX));
    }

    /// Brings the tree to the end of the log.
    pub(super) fn bring_forward(&mut self) {
        self.apply_tail(Zxid(i64::MAX));
    }

    /// Applies what is in the tail, up to `to`, and not in the tree. It stays in the tail: it may
    /// have to be taken back.
    fn apply_tail(&mut self, to: Zxid) {
        let head = self.tree.view().last_zxid();
        for (_, bytes) in self.tail.after(head).take_while(|(zxid, _)| *zxid <= to) {
            let (txn, _) = Txn::decode(bytes).expect("it was read before it was logged");
            txn::apply(&mut self.tree, &txn);
        }
    }

    /// Shows the tree as it is: it holds nothing that is not committed. There is no client yet to
    /// be told of single changes.
    fn show_history(&mut self, out: &mut Output) {
        let root = self.tree.seal();
        self.tail.forget_to(root.last_zxid());
        self.publish(vec![Run { entries: Vec::new(), root, logged: Logged::default() }], out);
    }

    /// The tree at `zxid`, which is where it was last shown, or, before this server leads, where
    /// its log ends.
    pub(super) fn root_at(&mut self, zxid: Zxid) -> Root {
        let root = match self.part {
            Part::Leading => self.committed.clone(),
            Part::Idle | Part::Learning => self.tree.seal(),
        };
        assert!(root.last_zxid() == zxid, "a snapshot of {} as {zxid}", root.last_zxid());
        root
    }

    fn tell_all(&self, message: &ToShard, out: &mut Output) {
        for shard in 0..self.settings.shards {
            out.tell(shard, message.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::testing;

    const TEXT: &str = "server.1=a:2888:3888:participant\nversion=0";

    fn member() -> Sequencer {
        let membership = Membership::new(vec![ServerId(1)], Vec::new(), TEXT.into(), Zxid::ZERO);
        testing::member(testing::settings(), membership, Now { monotonic_us: 0, wall_ms: 5 })
    }

    #[test]
    fn every_tree_that_a_member_shows_says_who_belongs_to_its_ensemble() {
        let check = |sequencer: &Sequencer| {
            let root = sequencer.committed();
            let node = root.view().node("/zookeeper/config").expect("every tree has it");
            assert_eq!(node.data(), Some(TEXT.as_bytes()));
            assert_eq!((node.stat().mtime_ms, root.last_zxid()), (5, Zxid::ZERO));
        };
        let mut sequencer = member();
        check(&sequencer);
        let mut leaders = Tree::new();
        leaders.set_config("another text", Zxid::ZERO, 1).expect("it is there");
        sequencer.replace_tree(leaders);
        check(&sequencer);
    }
}
