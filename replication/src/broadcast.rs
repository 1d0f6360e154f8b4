//! Broadcast: proposals go out, acknowledgements come in, commits leave in order.
//!
//! ```text
//! leader                        follower                  observer
//! PROPOSAL(z), own append   →   append
//!                           ←   ACK(z) once durable
//! a quorum has z: COMMIT(z) →   commit        INFORM(z) → append, commit
//!                           ←   REQUEST, of either
//! ```
//!
//! A member's log has no holes, so its last acknowledged zxid says everything: the commit is the
//! highest zxid that a quorum has reached. The leader's own acknowledgement is the completion of
//! its own sync, never earlier. Followers acknowledge each proposal by itself, in order: Apache's
//! leader does not look back.
//!
//! The zxids of an epoch are finite. Near their end the leader resigns of its own will: it takes no
//! new write, commits what it has proposed, and leaves; the next epoch counts from 1 again.
//!
//! Invariants, checked in release builds too: proposals are consecutive inside the epoch; commits
//! never skip a proposal, and never go back; nobody is counted for what was not proposed.
//!
//! Facts: ZooKeeper `Leader.propose`, `processAck`, `tryToCommit`, `XidRolloverException`;
//! `Follower.processPacket`, `Observer.processPacket`, `SendAckRequestProcessor`.

use std::collections::BTreeMap;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{OpCode, ServerId, Zxid};

use crate::effect::Effect;
use crate::event::Link;
use crate::fault::{Departure, Outcome, PeerFault, Verdict};
use crate::following::{Following, Progress};
use crate::history::follows;
use crate::leading::{Leading, Phase, Stage};
use crate::member::Member;
use crate::packet::{ForwardedRequest, Packet, TxnBytes};
use crate::quorum::Majority;

/// Touched sessions in one answer to a PING: 12 bytes each, in a packet that Apache's servers read
/// up to 2 MiB by default.
const TOUCHED_MAX: usize = 1 << 17;

/// What a leader keeps between propose and commit.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    pub(crate) last_proposed: Zxid,
    pub(crate) last_committed: Zxid,
    /// How far each voter has acknowledged.
    pub(crate) acked: BTreeMap<ServerId, Zxid>,
    /// Since when the oldest proposal, or the one after the last commit, waits for its commit.
    pub(crate) waiting_since_ms: Option<u64>,
}

impl Broadcast {
    /// A leader whose first proposal is the zxid after `last`.
    pub(crate) const fn new(last: Zxid) -> Self {
        Self {
            last_proposed: last,
            last_committed: last,
            acked: BTreeMap::new(),
            waiting_since_ms: None,
        }
    }

    pub(crate) fn propose(&mut self, zxid: Zxid, now_ms: u64) {
        assert!(
            zxid == self.last_proposed.next(),
            "proposal {zxid} does not follow {}",
            self.last_proposed
        );
        self.last_proposed = zxid;
        if flaws::has(Flaw::CommitByProposals) {
            self.acked.values_mut().for_each(|acked| *acked = zxid);
        }
        self.waiting_since_ms.get_or_insert(now_ms);
    }

    /// Counts `from`'s acknowledgement of everything up to `zxid`. Returns the new last committed
    /// zxid when that moved.
    pub(crate) fn acknowledge(
        &mut self,
        from: ServerId,
        zxid: Zxid,
        quorum: &Majority,
        now_ms: u64,
    ) -> Option<Zxid> {
        assert!(
            zxid <= self.last_proposed,
            "{from} acknowledges {zxid}, the last proposal is {}",
            self.last_proposed
        );
        let acked = self.acked.entry(from).or_insert(zxid);
        *acked = zxid.max(*acked);
        let mut reached = quorum.reached(|id| self.acked.get(&id).map_or(Zxid::ZERO, |zxid| *zxid));
        if flaws::has(Flaw::CommitByOne) {
            reached = zxid;
        }
        if reached <= self.last_committed {
            return None;
        }
        self.last_committed = reached;
        self.waiting_since_ms = (reached < self.last_proposed).then_some(now_ms);
        Some(reached)
    }

    /// `from` is about to lose what it acknowledged and is not yet committed.
    pub(crate) fn forget(&mut self, from: Option<ServerId>) {
        if let Some(from) = from {
            self.acked.remove(&from);
        }
    }

    pub(crate) const fn last_proposed(&self) -> Zxid {
        self.last_proposed
    }

    pub(crate) const fn last_committed(&self) -> Zxid {
        self.last_committed
    }

    /// How long proposals have waited without any commit.
    pub(crate) fn waiting_ms(&self, now_ms: u64) -> u64 {
        self.waiting_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms))
    }
}

// The leader's end.
impl Leading {
    // ZooKeeper: Leader.propose: to the followers first, then to the own log.
    pub(crate) fn propose(&mut self, m: &mut Member, zxid: Zxid, txn: TxnBytes) {
        assert!(self.phase == Phase::Broadcasting, "{zxid} is proposed before the reign began");
        assert!(zxid.counter() != u32::MAX, "{zxid} would leave no room for the next epoch");
        self.broadcast.propose(zxid, m.now_ms);
        for (link, learner) in &mut self.learners {
            if learner.is_forwarded_to() && !learner.observer {
                learner.proposed = zxid;
                if learner.stage == Stage::Live {
                    learner.owes_since_ms.get_or_insert(m.now_ms);
                }
                m.send(*link, Packet::Proposal { zxid, txn: TxnBytes::clone(&txn) });
            }
        }
        m.log.append(zxid, txn, m.now_ms, &mut m.fx);
        if flaws::has(Flaw::LeaderCountsItselfEarly) {
            self.count(m, m.settings.id, zxid);
        }
        if zxid.counter() >= m.settings.resign_at_counter {
            self.resign(m, Departure::ZxidRollover(self.epoch));
        }
    }

    /// Leaves, but not before everything proposed is committed.
    pub(crate) fn resign(&mut self, m: &mut Member, reason: Departure) {
        if self.resigning.is_none() {
            self.resigning = Some(reason);
            if self.phase == Phase::Broadcasting {
                m.fx.push(Effect::StepDown { epoch: self.epoch });
            }
        }
    }

    /// The own disk has caught up: the leader's own acknowledgement.
    pub(crate) fn on_own_logged(&mut self, m: &mut Member) {
        if self.phase == Phase::Broadcasting && m.log.durable() > m.committed {
            self.count(m, m.settings.id, m.log.durable());
        }
    }

    // ZooKeeper: LearnerHandler.run, case ACK; Leader.processAck. The ones with counter 0 answer
    // NEWLEADER and UPTODATE. Apache 3.9.1 and older may acknowledge proposals before NEWLEADER.
    pub(crate) fn on_ack(&mut self, m: &mut Member, link: Link, zxid: Zxid) -> Verdict {
        let (epoch, last) = (self.epoch, self.broadcast.last_proposed());
        let learner = self.learner(link)?;
        if !learner.is_forwarded_to() {
            return Err(PeerFault::Unexpected);
        }
        if zxid.counter() == 0 {
            if learner.stage == Stage::Aligning && zxid == Zxid::new(epoch, 0) {
                self.on_aligned(m, link);
            }
            return Ok(());
        }
        if zxid > last {
            return Err(PeerFault::AckOfNothing { got: zxid, last });
        }
        learner.acked = learner.acked.max(zxid);
        learner.owes_since_ms = (learner.acked < learner.proposed).then_some(m.now_ms);
        let voter = learner.follower_at(Stage::Aligning);
        if let Some(voter) = voter.filter(|_| self.phase == Phase::Broadcasting) {
            self.count(m, voter, zxid);
        }
        Ok(())
    }

    fn count(&mut self, m: &mut Member, from: ServerId, zxid: Zxid) {
        let quorum = m.settings.membership.quorum();
        let told = self.broadcast.last_committed();
        let Some(committed) = self.broadcast.acknowledge(from, zxid, quorum, m.now_ms) else {
            return;
        };
        self.barrier.confirm_before(committed);
        self.release(m, told);
        // Each sync is answered between what was proposed before it and what was after.
        while let Some(asked) = self.barrier.oldest_confirmed().filter(|asked| *asked < committed) {
            self.commit_to(m, asked);
        }
        self.commit_to(m, committed);
    }

    fn commit_to(&mut self, m: &mut Member, committed: Zxid) {
        if !self.learners.is_empty() {
            self.tell_commits(m, committed);
        }
        m.commit(committed);
        self.release(m, committed);
    }

    // ZooKeeper: Leader.tryToCommit: COMMIT to followers, INFORM to observers.
    fn tell_commits(&self, m: &mut Member, committed: Zxid) {
        let news = m.log.history.after(m.committed).take_while(|(zxid, _)| *zxid <= committed);
        for (zxid, txn) in news {
            let zxid = *zxid;
            for (link, learner) in &self.learners {
                if learner.is_forwarded_to() {
                    let packet = if learner.observer {
                        Packet::Inform { zxid, txn: TxnBytes::clone(txn) }
                    } else {
                        Packet::Commit { zxid }
                    };
                    m.fx.push(Effect::Send { link: *link, packet });
                }
            }
        }
    }

    /// A leader that resigns leaves when all it proposed is committed.
    pub(crate) fn after_commit(&self) -> Outcome {
        let all_committed = self.broadcast.last_committed() == self.broadcast.last_proposed();
        match self.resigning {
            Some(reason) if all_committed => Err(reason),
            _ => Ok(()),
        }
    }

    pub(crate) fn on_request(
        &mut self,
        m: &mut Member,
        link: Link,
        request: ForwardedRequest,
    ) -> Verdict {
        if request.op == OpCode::Sync {
            return self.on_learner_sync(m, link);
        }
        self.live(link)?;
        m.fx.push(Effect::Request { link, request });
        Ok(())
    }
}

// The learner's end.
impl Following {
    /// A proposal goes to the log; its acknowledgement waits for the disk.
    pub(crate) fn log_proposal(&mut self, m: &mut Member, zxid: Zxid, txn: TxnBytes) {
        self.uncommitted.push_back(zxid);
        if !self.observer {
            self.unacked.push_back(zxid);
        }
        m.log.append(zxid, txn, m.now_ms, &mut m.fx);
    }

    // ZooKeeper: Follower.processPacket, case PROPOSAL. Apache only warns of a gap.
    pub(crate) fn on_proposal(&mut self, m: &mut Member, zxid: Zxid, txn: TxnBytes) -> Verdict {
        if !follows(self.received, zxid) || zxid.epoch() != self.epoch {
            return Err(PeerFault::Gap { last: self.received, got: zxid });
        }
        self.received = zxid;
        self.log_proposal(m, zxid, txn);
        Ok(())
    }

    // ZooKeeper: FollowerZooKeeperServer.commit: must be the oldest that is pending.
    pub(crate) fn on_commit(&mut self, m: &mut Member, zxid: Zxid) -> Verdict {
        if zxid <= self.base {
            return Ok(());
        }
        let expected = self.uncommitted.front().copied();
        if expected != Some(zxid) {
            return Err(PeerFault::CommitOutOfOrder { expected, got: zxid });
        }
        self.uncommitted.pop_front();
        m.commit(zxid);
        Ok(())
    }

    // ZooKeeper: Observer.processPacket, case INFORM.
    pub(crate) fn on_inform(&mut self, m: &mut Member, zxid: Zxid, txn: TxnBytes) -> Verdict {
        if zxid <= self.base {
            return Ok(());
        }
        self.on_proposal(m, zxid, txn)?;
        self.on_commit(m, zxid)
    }

    /// The own disk has caught up: what it holds now is acknowledged.
    pub(crate) fn on_logged(&mut self, m: &mut Member) {
        let early = flaws::has(Flaw::AckBeforeSync);
        let durable = if early { m.log.last() } else { m.log.durable() };
        while self.unacked.front().is_some_and(|zxid| *zxid <= durable) {
            let Some(zxid) = self.unacked.pop_front() else { break };
            self.send(m, Packet::Ack { zxid });
        }
        self.enter_epoch(m);
    }

    /// What was touched since the last PING goes back with this one; what would make the answer too
    /// large for a packet waits for the next.
    // ZooKeeper: Learner.ping. Before UPTODATE a PING is not answered.
    pub(crate) fn on_ping(&mut self, m: &mut Member, zxid: Zxid) {
        if self.progress != Progress::Live {
            return;
        }
        let after = self.touched.keys().nth(TOUCHED_MAX).copied();
        let rest = after.map(|after| self.touched.split_off(&after)).unwrap_or_default();
        let touched = std::mem::replace(&mut self.touched, rest)
            .into_iter()
            .map(|(session, timeout_ms)| Touch { session, timeout_ms })
            .collect();
        self.send(m, Packet::PingReply { zxid, touched });
    }

    pub(crate) fn on_client_request(&mut self, m: &mut Member, request: ForwardedRequest) {
        if self.progress != Progress::Live {
            return;
        }
        if request.op == OpCode::Sync {
            self.syncs.push_back((request.session, request.cxid));
        }
        self.send(m, Packet::Request(request));
    }

    // ZooKeeper: FollowerZooKeeperServer.sync: answers the oldest.
    pub(crate) fn on_sync(&mut self, m: &mut Member) -> Verdict {
        let (session, cxid) = self.syncs.pop_front().ok_or(PeerFault::Unexpected)?;
        m.fx.push(Effect::Synced { session, cxid });
        Ok(())
    }
}

#[cfg(test)]
#[path = "broadcast_tests.rs"]
mod tests;
