//! A follower or observer: its stage, and what it holds back.
//!
//! State and dispatch only; what is done is in the files of the phases, beside the leader's end of
//! the same conversation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use menagerie_wire::{Epoch, ServerId, SessionId, Xid, Zxid};

use crate::effect::Effect;
use crate::event::{Event, Link};
use crate::fault::{Departure, Outcome, PeerFault, Verdict};
use crate::history::Entry;
use crate::member::Member;
use crate::packet::Packet;

/// Where a learner is on its way to be one. Stages are passed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// Has no connection yet.
    Connecting,
    /// Has said FOLLOWERINFO or OBSERVERINFO.
    Introduced,
    /// The epoch of LEADERINFO is on its way to the disk.
    AcceptingEpoch,
    /// Has sent ACKEPOCH.
    Accepted,
    /// Is sent history.
    Receiving,
    /// Has seen NEWLEADER; history, then currentEpoch, are on their way to the disk.
    EnteringEpoch,
    /// Has acknowledged NEWLEADER.
    Aligned,
    /// Has seen UPTODATE.
    Live,
}

/// The state of a learner.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    pub(crate) leader: ServerId,
    pub(crate) observer: bool,
    pub(crate) progress: Progress,
    pub(crate) link: Option<Link>,
    /// The epoch of LEADERINFO.
    pub(crate) epoch: Epoch,
    /// The leader's, between NEWLEADER and UPTODATE.
    pub(crate) config: Option<Arc<str>>,
    /// When the leader is given up if it says nothing.
    pub(crate) deadline_ms: u64,
    pub(crate) attempts: u32,
    pub(crate) connect_at_ms: Option<u64>,
    /// Where the history stood when the leader began to send. What comes from there down is in it.
    pub(crate) base: Zxid,
    /// The last proposal received; the next one must follow it.
    pub(crate) received: Zxid,
    /// Received before Live and not given to the log, in order.
    pub(crate) held: VecDeque<Entry>,
    /// How far history was committed when NEWLEADER came: this part is logged before its ACK.
    pub(crate) committed_before: Zxid,
    /// How far it is committed by now.
    pub(crate) held_committed: Zxid,
    /// Live: proposals that are not committed, in order.
    pub(crate) uncommitted: VecDeque<Zxid>,
    /// Live: proposals that are not acknowledged, in order. Empty on an observer.
    pub(crate) unacked: VecDeque<Zxid>,
    /// Sessions used since the last PING was answered, and their timeouts in ms.
    pub(crate) touched: BTreeMap<SessionId, i32>,
    /// `sync`s on their way to the leader, in order.
    pub(crate) syncs: VecDeque<(SessionId, Xid)>,
}

impl Following {
    pub(crate) fn elected(m: &mut Member, leader: ServerId) -> Self {
        m.fx.push(Effect::Connect { leader });
        Self {
            leader,
            observer: !m.settings.is_voter(),
            progress: Progress::Connecting,
            link: None,
            epoch: Epoch(0),
            config: None,
            deadline_ms: m.init_deadline_ms(),
            attempts: 1,
            connect_at_ms: None,
            base: m.log.durable(),
            received: m.log.durable(),
            held: VecDeque::new(),
            committed_before: Zxid::ZERO,
            held_committed: Zxid::ZERO,
            uncommitted: VecDeque::new(),
            unacked: VecDeque::new(),
            touched: BTreeMap::new(),
            syncs: VecDeque::new(),
        }
    }

    pub(crate) fn send(&self, m: &mut Member, packet: Packet) {
        let link = self.link.expect("a learner that speaks has a link");
        m.send(link, packet);
    }

    pub(crate) fn on_received(&mut self, m: &mut Member, link: Link, packet: Packet) -> Outcome {
        if self.link != Some(link) {
            return Ok(());
        }
        if m.diverged && packet == Packet::UpToDate {
            // It helped to begin the reign with its log. To serve, it comes back for a snapshot.
            return Err(Departure::Diverged(self.leader));
        }
        self.on_packet(m, packet)
            .map_err(|fault| Departure::LeaderMisbehaved(self.leader, fault))?;
        self.heard_of_leader(m);
        Ok(())
    }

    fn on_packet(&mut self, m: &mut Member, packet: Packet) -> Verdict {
        let live = self.progress == Progress::Live;
        match packet {
            Packet::LeaderInfo { epoch } => self.on_leader_info(m, epoch),
            Packet::Diff { .. } => self.on_diff(m),
            Packet::Trunc { zxid } => self.on_trunc(m, zxid),
            Packet::Snap { zxid } => self.on_snap(m, zxid),
            Packet::NewLeader { epoch, config } => self.on_new_leader(m, epoch, config),
            Packet::UpToDate => self.on_up_to_date(m),
            Packet::Proposal { zxid, txn } if live => self.on_proposal(m, zxid, txn),
            Packet::Commit { zxid } if live => self.on_commit(m, zxid),
            Packet::Inform { zxid, txn } if live => self.on_inform(m, zxid, txn),
            Packet::Proposal { zxid, txn } => self.hold_proposal(zxid, txn),
            Packet::Commit { zxid } => self.hold_commit(m, zxid),
            Packet::Inform { zxid, txn } => self.hold_inform(m, zxid, txn),
            Packet::Ping { zxid } => {
                self.on_ping(m, zxid);
                Ok(())
            }
            Packet::Sync => self.on_sync(m),
            Packet::Revalidated { session, valid } => {
                m.fx.push(Effect::Revalidated { session, valid });
                Ok(())
            }
            Packet::Reconfigured { zxid } => Err(PeerFault::Reconfigured(zxid)),
            Packet::Request(_)
            | Packet::Ack { .. }
            | Packet::PingReply { .. }
            | Packet::Revalidate(_)
            | Packet::LearnerInfo { .. }
            | Packet::AckEpoch { .. } => Err(PeerFault::Unexpected),
        }
    }

    /// Completions of this server's own disk, its connection, and what its clients want.
    pub(crate) fn on_event(&mut self, m: &mut Member, event: Event) -> Outcome {
        match event {
            Event::Connected { leader, link } => self.on_connected(m, leader, link),
            Event::ConnectFailed { leader } if leader == self.leader => {
                return self.on_connect_failed(m);
            }
            Event::Logged { .. } => self.on_logged(m),
            Event::EpochSaved { .. } => self.on_epoch_saved(m),
            Event::Truncated { .. } | Event::Installed { .. } => {
                return self.on_rebuilt(m);
            }
            Event::Request(request) => self.on_client_request(m, request),
            Event::Touched(touched) => {
                self.touched.extend(touched.iter().map(|touch| (touch.session, touch.timeout_ms)));
            }
            Event::Revalidate(touch) if self.progress == Progress::Live => {
                self.send(m, Packet::Revalidate(touch));
            }
            _ => {}
        }
        Ok(())
    }
}
