//! Synchronization: the history of each learner is brought to that of its leader.
//!
//! ```text
//! leader                                     learner
//! DIFF | TRUNC | SNAP and a stream      →
//! (PROPOSAL, COMMIT)* of history        →    committed: to the log
//! PROPOSAL* in flight                   →    not committed: held back
//! NEWLEADER(epoch)                      →
//!                                            history on disk, then currentEpoch on disk
//!                                       ←    ACK(epoch)
//! once a quorum has: UPTODATE           →
//!                                       ←    ACK(epoch), and from here on ACK of each proposal
//! ```
//!
//! Between the choice and NEWLEADER there is no other step, so what is proposed meanwhile goes
//! to the learner too, behind: nothing is missed and nothing comes twice.
//!
//! The learner's side is one chain (design rule 1): an acknowledged NEWLEADER means that the
//! leader's committed history is on this disk, and that currentEpoch became durable *after* it.
//! Were the epoch first, a server with a short history could win an election by its epoch
//! (ZOOKEEPER-4643); were the acknowledgement first, a quorum could forget (3911, 4646). What is
//! not committed is held back, neither logged nor acknowledged, until UPTODATE (4394, 4685).
//!
//! A TRUNC is sent only to a server whose log certainly holds the transaction to which it is cut:
//! inside one epoch, or to one that was synchronized in this reign. What it then has to log again
//! it has not acknowledged: its earlier acknowledgements of what is in flight are forgotten. A DIFF
//! would spare it that, and is wrong: behind it a learner shows all that is in its log, committed
//! or not, and Apache's ends its process at a COMMIT of it when another proposal is pending.
//!
//! The learner may not be able to cut: before a reign is established its leader sends all that it
//! has, and what came so as a snapshot may be more than the next leader has. It keeps what it has,
//! leaves, and comes straight back: as its vote in this reign is given, it claims to have nothing,
//! and gets a SNAP (see `discovery.rs`). Apache's ends its process, and finds the same at the next
//! start.
//!
//! Facts: ZooKeeper `LearnerHandler.syncFollower`, `queueCommittedProposals`,
//! `Leader.startForwarding`, `Learner.syncWithLeader`.

use std::sync::Arc;

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::{Epoch, Zxid};

use crate::effect::Effect;
use crate::event::{Epochs, Link, LogRead};
use crate::fault::{Departure, Outcome, PeerFault, Verdict};
use crate::following::{Following, Progress};
use crate::history::{Entry, History, follows};
use crate::leading::{Leading, Phase, Stage};
use crate::member::Member;
use crate::packet::{Packet, TxnBytes};

/// How a learner is brought to the leader's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Its history is the beginning of ours, and the window has the rest.
    Diff,
    /// It has more than is committed: that is cut off. What of it is in flight comes again.
    Trunc(Zxid),
    /// It lags behind the window: the log on disk may reach back to it.
    Log,
    Snap,
}

/// What fits a learner whose history ends at `peer`, when ours is committed up to `committed` and
/// we lead in `epoch`.
// ZooKeeper: LearnerHandler.syncFollower, in its order. Where Apache trusts a zxid with counter 0
// to be the end of an earlier epoch, this one looks whether it is; in doubt the answer is SNAP.
fn choose(history: &History, committed: Zxid, epoch: Epoch, peer: Zxid) -> Choice {
    if peer == committed {
        return Choice::Diff;
    }
    if peer > committed {
        let synchronized = peer.epoch() == committed.epoch() || peer.epoch() == epoch;
        let cut = peer.counter() != 0 && synchronized;
        return if cut { Choice::Trunc(committed) } else { Choice::Snap };
    }
    if history.reaches(peer) || flaws::has(Flaw::DiffForStrangers) {
        Choice::Diff
    } else if peer > history.before() || peer < Zxid::ZERO {
        Choice::Snap
    } else {
        Choice::Log
    }
}

/// Whether the records go on from where they are to, without a hole, by at least one.
fn is_gapless(read: &LogRead) -> bool {
    let mut last = read.floor;
    let goes_on = |(zxid, _): &Entry| follows(std::mem::replace(&mut last, *zxid), *zxid);
    !read.txns.is_empty() && read.txns.iter().all(goes_on)
}

// The leader's end.
impl Leading {
    /// Up to where history may be sent as committed. Before the reign is established that is all
    /// of it: it will be, once a quorum has it.
    fn committed(&self, m: &Member) -> Zxid {
        if self.phase == Phase::Broadcasting { m.committed } else { m.log.last() }
    }

    /// The learner at `link` has accepted the epoch: bring it to our history.
    pub(crate) fn synchronize(&mut self, m: &mut Member, link: Link) {
        let committed = self.committed(m);
        let Ok(learner) = self.learner(link) else { return };
        let (peer, sid) = (learner.last_zxid, learner.sid);
        match choose(&m.log.history, committed, self.epoch, peer) {
            Choice::Diff => {
                m.send(link, Packet::Diff { zxid: committed });
                self.align(m, link, peer);
            }
            Choice::Trunc(to) => {
                self.broadcast.forget(sid.filter(|_| !flaws::has(Flaw::AcksSurviveTrunc)));
                m.send(link, Packet::Trunc { zxid: to });
                self.align(m, link, to);
            }
            Choice::Log => {
                if let Ok(learner) = self.learner(link) {
                    learner.stage = Stage::ReadingLog { sent: peer, first: true };
                    m.fx.push(Effect::ReadLog { link, from: peer });
                }
            }
            Choice::Snap => self.send_snapshot(m, link),
        }
    }

    fn send_snapshot(&mut self, m: &mut Member, link: Link) {
        let zxid = self.committed(m);
        if let Ok(learner) = self.learner(link) {
            let sid = learner.sid;
            self.broadcast.forget(sid);
            m.fx.push(Effect::SendSnapshot { link, zxid });
            self.align(m, link, zxid);
        }
        if let Ok(learner) = self.learner(link) {
            // The stream takes its time; the host watches that it moves.
            learner.deadline_ms = u64::MAX;
        }
    }

    /// Records of the log for a learner that is behind the window.
    pub(crate) fn on_log_read(
        &mut self,
        m: &mut Member,
        link: Link,
        read: Option<LogRead>,
    ) -> Verdict {
        let committed = self.committed(m);
        let Ok(learner) = self.learner(link) else { return Ok(()) };
        let Stage::ReadingLog { sent, first } = learner.stage else { return Ok(()) };
        let read = read.filter(|read| read.floor == sent && is_gapless(read));
        let Some(LogRead { txns, .. }) = read else {
            if !first {
                return Err(PeerFault::LogGone);
            }
            self.send_snapshot(m, link);
            return Ok(());
        };
        learner.deadline_ms = m.init_deadline_ms();
        if first {
            m.send(link, Packet::Diff { zxid: committed });
        }
        let mut last = sent;
        for (zxid, txn) in txns.into_iter().take_while(|(zxid, _)| *zxid <= committed) {
            last = zxid;
            m.send(link, Packet::Proposal { zxid, txn });
            m.send(link, Packet::Commit { zxid });
        }
        if m.log.history.reaches(last) {
            self.align(m, link, last);
        } else {
            learner.stage = Stage::ReadingLog { sent: last, first: false };
            m.fx.push(Effect::ReadLog { link, from: last });
        }
        Ok(())
    }

    /// Sends what comes behind `after`, NEWLEADER, and from now on all that happens.
    // ZooKeeper: Leader.startForwarding. What is in flight goes to followers only; observers are
    // informed when it is committed.
    fn align(&mut self, m: &mut Member, link: Link, after: Zxid) {
        let committed = self.committed(m);
        let (epoch, config) = (self.epoch, self.config(m));
        let Ok(learner) = self.learner(link) else { return };
        let skipped = usize::from(flaws::has(Flaw::DiffWithHole));
        for (zxid, txn) in m.log.history.after(after).skip(skipped) {
            let zxid = *zxid;
            let in_flight = zxid > committed;
            if in_flight && (learner.observer || flaws::has(Flaw::InFlightNotSent)) {
                break;
            }
            let txn = TxnBytes::clone(txn);
            m.fx.push(Effect::Send { link, packet: Packet::Proposal { zxid, txn } });
            if in_flight {
                learner.proposed = zxid;
            } else {
                m.fx.push(Effect::Send { link, packet: Packet::Commit { zxid } });
            }
        }
        m.send(link, Packet::NewLeader { epoch, config });
        learner.stage = Stage::Aligning;
        learner.deadline_ms = m.init_deadline_ms();
    }

    /// The configuration of this reign.
    fn config(&self, m: &Member) -> Arc<str> {
        m.settings.membership.proclaimed(Zxid::new(self.epoch, 0))
    }

    /// The learner at `link` has our history on its disk.
    // ZooKeeper: Leader.waitForNewLeaderAck.
    pub(crate) fn on_aligned(&mut self, m: &mut Member, link: Link) {
        let Ok(learner) = self.learner(link) else { return };
        learner.stage = Stage::Aligned;
        learner.deadline_ms = m.sync_deadline_ms();
        let voter = learner.follower_at(Stage::Aligned);
        match &mut self.phase {
            Phase::Synchronizing { acked } => {
                acked.extend(voter);
                self.establish(m);
            }
            _ => self.up_to_date(m, link),
        }
    }

    /// Once a quorum has the history of this epoch, the reign begins and nothing of that history
    /// can be lost any more.
    // ZooKeeper: Leader.lead, startZkServer; the vote's epoch: ZOOKEEPER-1732.
    pub(crate) fn establish(&mut self, m: &mut Member) {
        let Phase::Synchronizing { acked } = &self.phase else { return };
        let agreed = m.settings.membership.quorum().agrees(|id| acked.contains(&id));
        if !agreed && !flaws::has(Flaw::ReignBeforeQuorum) {
            return;
        }
        self.phase = Phase::Broadcasting;
        m.election.established(self.epoch);
        let config = self.config(m);
        m.settings.membership.adopt(&config);
        m.commit(m.log.last());
        m.fx.push(Effect::Lead { epoch: self.epoch, last_zxid: Zxid::new(self.epoch, 0) });
        let aligned: Vec<Link> = self
            .learners
            .iter()
            .filter_map(|(link, learner)| (learner.stage == Stage::Aligned).then_some(*link))
            .collect();
        for link in aligned {
            self.up_to_date(m, link);
        }
    }

    fn up_to_date(&mut self, m: &mut Member, link: Link) {
        if let Ok(learner) = self.learner(link) {
            learner.stage = Stage::Live;
            learner.owes_since_ms = (learner.acked < learner.proposed).then_some(m.now_ms);
            m.send(link, Packet::UpToDate);
        }
    }
}

// The learner's end.
impl Following {
    fn begin_receiving(&mut self, base: Zxid) -> Verdict {
        if self.progress != Progress::Accepted {
            return Err(PeerFault::Unexpected);
        }
        self.progress = Progress::Receiving;
        (self.base, self.received) = (base, base);
        (self.committed_before, self.held_committed) = (base, base);
        Ok(())
    }

    pub(crate) fn on_diff(&mut self, m: &Member) -> Verdict {
        self.begin_receiving(m.log.durable())
    }

    pub(crate) fn on_trunc(&mut self, m: &mut Member, to: Zxid) -> Verdict {
        let (last, committed) = (m.log.durable(), m.committed);
        if to > last {
            return Err(PeerFault::CutBeyondEnd { to, last });
        }
        if to < committed {
            return Err(PeerFault::CommittedForgotten { to, committed });
        }
        if to > m.log.history.before() && !m.log.history.reaches(to) {
            return Err(PeerFault::CutWhereNothingIs(to));
        }
        self.begin_receiving(to)?;
        if flaws::has(Flaw::TruncIgnored) {
            return Ok(());
        }
        m.log.truncate(to, &mut m.fx);
        Ok(())
    }

    pub(crate) fn on_snap(&mut self, m: &mut Member, zxid: Zxid) -> Verdict {
        let committed = m.committed;
        if zxid < committed {
            return Err(PeerFault::CommittedForgotten { to: zxid, committed });
        }
        if zxid.epoch() > self.epoch {
            return Err(PeerFault::EpochOutOfRange(zxid.epoch()));
        }
        self.begin_receiving(zxid)?;
        let link = self.link.ok_or(PeerFault::Unexpected)?;
        m.log.receive_snapshot(link, zxid, &mut m.fx);
        Ok(())
    }

    /// TRUNC or SNAP is done and durable.
    pub(crate) fn on_rebuilt(&mut self, m: &mut Member) -> Outcome {
        if m.log.durable() != self.base {
            let fault = PeerFault::CutWhereNothingIs(self.base);
            return Err(Departure::LeaderMisbehaved(self.leader, fault));
        }
        self.heard_of_leader(m);
        self.log_committed(m);
        self.enter_epoch(m);
        Ok(())
    }

    /// A proposal before UPTODATE. One that SNAP contains already is dropped: Apache's snapshot is
    /// taken after it began to forward.
    // ZooKeeper: Learner.syncWithLeader, enforceContinuousProposal.
    pub(crate) fn hold_proposal(&mut self, zxid: Zxid, txn: TxnBytes) -> Verdict {
        if !matches!(
            self.progress,
            Progress::Receiving | Progress::EnteringEpoch | Progress::Aligned
        ) {
            return Err(PeerFault::Unexpected);
        }
        if zxid <= self.base {
            return Ok(());
        }
        if !follows(self.received, zxid) || zxid.epoch() > self.epoch {
            return Err(PeerFault::Gap { last: self.received, got: zxid });
        }
        self.received = zxid;
        self.held.push_back((zxid, txn));
        Ok(())
    }

    pub(crate) fn hold_commit(&mut self, m: &mut Member, zxid: Zxid) -> Verdict {
        if self.progress < Progress::Receiving {
            return Err(PeerFault::Unexpected);
        }
        if zxid <= self.base {
            return Ok(());
        }
        let from = self.held.partition_point(|(held, _)| *held <= self.held_committed);
        let expected = self.held.get(from).map(|(held, _)| *held);
        if expected != Some(zxid) {
            return Err(PeerFault::CommitOutOfOrder { expected, got: zxid });
        }
        self.held_committed = zxid;
        if self.progress == Progress::Receiving {
            self.committed_before = zxid;
            self.log_committed(m);
        }
        Ok(())
    }

    pub(crate) fn hold_inform(&mut self, m: &mut Member, zxid: Zxid, txn: TxnBytes) -> Verdict {
        self.hold_proposal(zxid, txn)?;
        self.hold_commit(m, zxid)
    }

    /// What was committed before NEWLEADER goes to the log, unless that is being rebuilt.
    fn log_committed(&mut self, m: &mut Member) {
        if m.log.is_rebuilding() {
            return;
        }
        while self.held.front().is_some_and(|(zxid, _)| *zxid <= self.committed_before) {
            let Some((zxid, txn)) = self.held.pop_front() else { return };
            m.log.append(zxid, txn, m.now_ms, &mut m.fx);
            m.log.history.trim(zxid);
        }
    }

    pub(crate) fn on_new_leader(
        &mut self,
        m: &mut Member,
        epoch: Epoch,
        config: Arc<str>,
    ) -> Verdict {
        if self.progress != Progress::Receiving || epoch != self.epoch {
            return Err(PeerFault::Unexpected);
        }
        self.config = Some(config);
        self.progress = Progress::EnteringEpoch;
        self.enter_epoch(m);
        Ok(())
    }

    /// currentEpoch goes to the disk once the history is there, and not before.
    pub(crate) fn enter_epoch(&mut self, m: &mut Member) {
        let ready = m.log.is_quiet() || flaws::has(Flaw::EpochBeforeHistory);
        if self.progress == Progress::EnteringEpoch && ready {
            m.log.save_epochs(Epochs { accepted: self.epoch, current: self.epoch }, &mut m.fx);
            if flaws::has(Flaw::AckNewLeaderEarly) {
                self.send(m, Packet::Ack { zxid: Zxid::new(self.epoch, 0) });
            }
        }
    }

    pub(crate) fn on_epoch_entered(&mut self, m: &mut Member) {
        assert!(m.log.is_quiet(), "the history is durable before ACK of NEWLEADER");
        assert!(m.log.epochs().current == self.epoch, "so is currentEpoch");
        assert!(m.log.last() == self.committed_before, "all of the committed history is logged");
        self.progress = Progress::Aligned;
        self.heard_of_leader(m);
        self.send(m, Packet::Ack { zxid: Zxid::new(self.epoch, 0) });
    }

    /// A quorum has the history: all of it is committed, and clients may be served.
    pub(crate) fn on_up_to_date(&mut self, m: &mut Member) -> Verdict {
        if self.progress != Progress::Aligned {
            return Err(PeerFault::Unexpected);
        }
        self.progress = Progress::Live;
        self.send(m, Packet::Ack { zxid: Zxid::new(self.epoch, 0) });
        m.election.established(self.epoch);
        m.uncut = false;
        if let Some(config) = self.config.take() {
            m.settings.membership.adopt(&config);
        }
        m.commit(m.log.last());
        for (zxid, txn) in std::mem::take(&mut self.held) {
            self.log_proposal(m, zxid, txn);
        }
        if flaws::has(Flaw::InFlightShown) {
            m.commit(m.log.last());
        }
        if self.held_committed > m.committed {
            self.uncommitted.retain(|zxid| *zxid > self.held_committed);
            m.commit(self.held_committed);
        }
        let (leader, epoch) = (self.leader, self.epoch);
        m.fx.push(if self.observer {
            Effect::Observe { leader, epoch }
        } else {
            Effect::Follow { leader, epoch }
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "synchronization_tests.rs"]
mod tests;
