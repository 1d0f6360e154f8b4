//! A leader: its phase, and what it knows of each learner.
//!
//! State only. What is done with it is in the files of the phases: `discovery.rs`,
//! `synchronization.rs`, `broadcast.rs`, and `liveness.rs` for everything that time does.
//! One connection is one [`Learner`]; a server that connects again is a new one, and its old
//! connection is closed.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::barrier::Barrier;
use crate::broadcast::Broadcast;
use crate::discovery::Greeting;
use crate::effect::Effect;
use crate::event::{Epochs, Event, Link};
use crate::fault::{Departure, Outcome, PeerFault, Verdict};
use crate::member::Member;
use crate::packet::Packet;

/// Where a leader is on its way to lead. Phases are passed in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Which epochs have voters accepted so far? Those in `lost` look for another leader.
    CollectingEpochs { heard: BTreeSet<ServerId>, highest: Epoch, lost: BTreeSet<ServerId> },
    /// The new epoch is on its way to this server's own disk, before anyone hears of it.
    AcceptingEpoch,
    /// Who has accepted the new epoch?
    CollectingAcks { acked: BTreeSet<ServerId> },
    /// A quorum has: currentEpoch is on its way to the disk.
    EnteringEpoch,
    /// Who has the history of the new epoch on disk?
    Synchronizing { acked: BTreeSet<ServerId> },
    /// The reign is established.
    Broadcasting,
}

/// Where a learner is on its way to be one. Stages are passed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Has connected, and not said who it is.
    Strange,
    /// Has said FOLLOWERINFO or OBSERVERINFO; the epoch is not decided.
    Introduced,
    /// Has been sent LEADERINFO.
    Offered,
    /// Has sent ACKEPOCH; the epoch is not entered.
    Accepted,
    /// Is sent history from the log on disk, up to here.
    ReadingLog { sent: Zxid, first: bool },
    /// Has been sent NEWLEADER, and is sent all that happens.
    Aligning,
    /// Has acknowledged NEWLEADER; the reign is not established.
    Aligned,
    /// Has been sent UPTODATE.
    Live,
}

/// One connection of a learner.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    pub(crate) sid: Option<ServerId>,
    pub(crate) observer: bool,
    pub(crate) stage: Stage,
    /// Its history as ACKEPOCH gave it.
    pub(crate) last_zxid: Zxid,
    /// When it is given up if it says nothing.
    pub(crate) deadline_ms: u64,
    /// The last proposal sent to it, and the last one it acknowledged here.
    pub(crate) proposed: Zxid,
    pub(crate) acked: Zxid,
    /// Since when it owes an acknowledgement, or the last one that came. Counted from Live on.
    pub(crate) owes_since_ms: Option<u64>,
    /// PINGs sent after UPTODATE, and how many were answered: answers come in order.
    pub(crate) pings_sent: u64,
    pub(crate) pings_answered: u64,
    /// Its syncs that wait for an answer.
    pub(crate) syncs: u32,
}

impl Learner {
    pub(crate) const fn is_forwarded_to(&self) -> bool {
        matches!(self.stage, Stage::Aligning | Stage::Aligned | Stage::Live)
    }

    /// A follower that counts, once it is as far as `stage`.
    pub(crate) fn follower_at(&self, stage: Stage) -> Option<ServerId> {
        if self.observer || self.stage < stage { None } else { self.sid }
    }
}

/// The state of a leader.
#[derive(Clone, Debug)]
pub(crate) struct Leading {
    pub(crate) phase: Phase,
    /// The epoch to lead in; until it is decided, the last one accepted.
    pub(crate) epoch: Epoch,
    /// Own currentEpoch and last zxid when elected: nobody may be ahead of it.
    pub(crate) own: (Epoch, Zxid),
    pub(crate) learners: BTreeMap<Link, Learner>,
    pub(crate) broadcast: Broadcast,
    pub(crate) barrier: Barrier,
    /// When the phase must be over. Not used in [`Phase::Broadcasting`].
    pub(crate) phase_deadline_ms: u64,
    pub(crate) half_tick_at_ms: u64,
    pub(crate) half_ticks: u64,
    /// Why it is about to leave of its own will: proposals are finished, not begun.
    pub(crate) resigning: Option<Departure>,
}

impl Leading {
    /// A server that was elected.
    pub(crate) fn elected(m: &mut Member) -> Self {
        let Epochs { accepted, current } = m.log.epochs();
        let mut leading = Self::new(m);
        leading.phase = Phase::CollectingEpochs {
            heard: BTreeSet::new(),
            highest: accepted,
            lost: BTreeSet::new(),
        };
        leading.own = (current, m.log.durable());
        m.fx.push(Effect::Listen);
        leading.on_epoch(m, m.settings.id, accepted);
        leading
    }

    /// A server that is its own ensemble: it goes on in the epoch of its log.
    pub(crate) fn alone(m: &mut Member) -> Self {
        let leading = Self::new(m);
        let last_zxid = m.log.last();
        m.committed = last_zxid;
        m.fx.push(Effect::Lead { epoch: last_zxid.epoch(), last_zxid });
        leading
    }

    fn new(m: &Member) -> Self {
        let last = m.log.last();
        Self {
            phase: Phase::Broadcasting,
            epoch: last.epoch(),
            own: (last.epoch(), last),
            learners: BTreeMap::new(),
            broadcast: Broadcast::new(last),
            barrier: Barrier::default(),
            phase_deadline_ms: m.init_deadline_ms(),
            half_tick_at_ms: m.now_ms + m.settings.timeouts.half_tick_ms(),
            half_ticks: 0,
            resigning: None,
        }
    }

    pub(crate) fn on_accepted(&mut self, m: &Member, link: Link) {
        let learner = Learner {
            sid: None,
            observer: false,
            stage: Stage::Strange,
            last_zxid: Zxid::ZERO,
            deadline_ms: m.init_deadline_ms(),
            proposed: Zxid::ZERO,
            acked: Zxid::ZERO,
            owes_since_ms: None,
            pings_sent: 0,
            pings_answered: 0,
            syncs: 0,
        };
        assert!(self.learners.insert(link, learner).is_none(), "{link:?} is accepted once");
    }

    /// The link is gone; returns whether it was known. Whoever left may follow another leader by
    /// now: it is not counted until it is back. Its ACKEPOCH counts: that is a promise on disk, and
    /// it would not be given twice.
    pub(crate) fn on_closed(&mut self, link: Link) -> bool {
        let Some(learner) = self.learners.remove(&link) else { return false };
        if let Some(sid) = learner.sid
            && let Phase::CollectingEpochs { heard: counted, .. }
            | Phase::Synchronizing { acked: counted } = &mut self.phase
        {
            counted.remove(&sid);
        }
        true
    }

    pub(crate) fn close(&mut self, m: &mut Member, link: Link, fault: PeerFault) {
        if self.on_closed(link) {
            m.fx.push(Effect::Close { link, fault: Some(fault) });
        }
    }

    /// One packet of a learner: what it breaks costs its sender the connection, nobody else.
    pub(crate) fn on_received(&mut self, m: &mut Member, link: Link, packet: Packet) -> Outcome {
        if !self.learners.contains_key(&link) {
            return Ok(());
        }
        if let Err(fault) = self.on_packet(m, link, packet) {
            self.close(m, link, fault);
        }
        self.after_commit()
    }

    fn on_packet(&mut self, m: &mut Member, link: Link, packet: Packet) -> Verdict {
        self.heard_of(m, link);
        match packet {
            Packet::LearnerInfo { observer, accepted_epoch, sid, config_version } => {
                let greeting = Greeting { observer, accepted_epoch, sid, config_version };
                self.on_learner_info(m, link, greeting)
            }
            Packet::AckEpoch { last_zxid, current_epoch } => {
                self.on_ack_epoch(m, link, last_zxid, current_epoch)
            }
            Packet::Ack { zxid } => self.on_ack(m, link, zxid),
            Packet::PingReply { touched, .. } => self.on_ping_reply(m, link, touched),
            Packet::Request(request) => self.on_request(m, link, request),
            Packet::Revalidate(touch) => {
                self.live(link)?;
                m.fx.push(Effect::Revalidate { link, touch });
                Ok(())
            }
            Packet::Proposal { .. }
            | Packet::Commit { .. }
            | Packet::Ping { .. }
            | Packet::Revalidated { .. }
            | Packet::Sync
            | Packet::Inform { .. }
            | Packet::NewLeader { .. }
            | Packet::UpToDate
            | Packet::Diff { .. }
            | Packet::Trunc { .. }
            | Packet::Snap { .. }
            | Packet::LeaderInfo { .. }
            | Packet::Reconfigured { .. } => Err(PeerFault::Unexpected),
        }
    }

    pub(crate) fn learner(&mut self, link: Link) -> Result<&mut Learner, PeerFault> {
        self.learners.get_mut(&link).ok_or(PeerFault::Unexpected)
    }

    /// The learner, who may only say this after UPTODATE.
    pub(crate) fn live(&mut self, link: Link) -> Result<&mut Learner, PeerFault> {
        let learner = self.learner(link)?;
        if learner.stage == Stage::Live { Ok(learner) } else { Err(PeerFault::Unexpected) }
    }

    /// Completions of this server's own disk, and what its sequencer says.
    pub(crate) fn on_event(&mut self, m: &mut Member, event: Event) -> Outcome {
        match event {
            Event::Logged { .. } => self.on_own_logged(m),
            Event::EpochSaved { .. } => self.on_epoch_saved(m),
            Event::LogRead { link, read } => {
                if let Err(fault) = self.on_log_read(m, link, read) {
                    self.close(m, link, fault);
                }
            }
            Event::SnapshotSent { link } => {
                if let Some(learner) = self.learners.get_mut(&link) {
                    learner.deadline_ms = m.init_deadline_ms();
                }
            }
            Event::Propose { zxid, txn } => self.propose(m, zxid, txn),
            Event::Request(request) => self.on_own_sync(m, &request),
            Event::RevalidateAnswered { link, session, valid } if self.live(link).is_ok() => {
                m.send(link, Packet::Revalidated { session, valid });
            }
            Event::Connected { link, .. } => m.fx.push(Effect::Close { link, fault: None }),
            _ => {}
        }
        self.after_commit()
    }
}
