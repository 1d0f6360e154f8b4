//! The sequencer's ends of the two ports between members.
//!
//! What the node wants said goes out in the order in which it was wanted; what comes in becomes the
//! node's events. A snapshot that a learner is to get is written by a thread of its own; one that
//! comes in passes here in portions, on its way to `journal.rs`.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use menagerie_replication::{Event, Link};
use menagerie_wire::notification::Notification;

use super::output::{Output, ToPeer};
use crate::peer::election_link::{ElectionInput, ElectionOutput};
use crate::peer::learner_link::{LearnerInput, LearnerOutput};
use crate::peer::pieces::pieces;
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::offload::offload;
use crate::runtime::spawn;
use crate::store::send_snapshot;

/// Bytes of a link's packets that are given back at once: far below what it may be short of.
const GIVEN_BACK_BYTES: usize = 1 << 20;

/// The doors of a member's ports.
pub struct Ports {
    pub election: Sender<ElectionInput>,
    pub votes: Receiver<ElectionOutput>,
    pub quorum: Sender<LearnerInput>,
    pub packets: Receiver<LearnerOutput>,
    /// Taken, and to be told next.
    pub(crate) vote: Option<Event>,
    /// Bytes of packets of each link that were looked at, and not given back yet.
    pub(crate) taken: BTreeMap<Link, usize>,
}

/// What came in.
pub(super) enum Came {
    /// For the node.
    Event(Event),
    /// A part of the snapshot that a leader sends.
    Portion { link: Link, bytes: Vec<u8> },
    /// The learner has room for more of the log.
    Room { link: Link },
}

impl Ports {
    /// Ready when something has come in; else the task is woken by it.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        if self.vote.is_some() {
            return Poll::Ready(());
        }
        let votes = self.votes.poll_filled(cx);
        let packets = self.packets.poll_filled(cx);
        if votes.is_ready() { votes } else { packets }
    }

    /// The next thing that came in and matters here.
    pub(super) fn take(&mut self) -> Option<Came> {
        if let Some(vote) = self.vote.take() {
            return Some(Came::Event(vote));
        }
        if let Some(output) = self.votes.try_receive() {
            return Some(Came::Event(self.election_event(output)));
        }
        while let Some(output) = self.packets.try_receive() {
            match &output {
                LearnerOutput::Received { link, bytes, .. } => {
                    *self.taken.entry(*link).or_default() += bytes;
                }
                LearnerOutput::Closed { link, .. } => drop(self.taken.remove(link)),
                _ => {}
            }
            let came = came(output);
            if came.is_some() {
                return came;
            }
        }
        None
    }

    /// Says what the node wants said.
    pub(super) fn send(&mut self, out: &mut Output) {
        for (to, notification) in out.votes.drain(..) {
            self.election.send(ElectionInput::Send { to, notification });
        }
        self.give_back();
        if out.peers.is_empty() {
            return;
        }
        for word in out.peers.drain(..) {
            self.quorum.push(match word {
                ToPeer::Listen => LearnerInput::Listen,
                ToPeer::StopListening => LearnerInput::StopListening,
                ToPeer::Connect { leader } => LearnerInput::Connect { leader },
                ToPeer::Send { link, packet } => LearnerInput::Send { link, packet },
                ToPeer::Close { link, fault } => {
                    if let Some(fault) = fault {
                        tracing::warn!("closing link {} to a member: {fault}", link.0);
                    }
                    self.taken.remove(&link);
                    LearnerInput::Close { link }
                }
                ToPeer::SendSnapshot { link, zxid, root } => {
                    tracing::info!("sending snapshot {zxid} on link {}", link.0);
                    let (writer, pieces) = pieces();
                    spawn(async {
                        // Either end of a stream that breaks off ends its link.
                        let _ = offload("send-snapshot", || send_snapshot(root, writer)).await;
                    });
                    LearnerInput::SendSnapshot { link, zxid, pieces }
                }
            });
        }
        self.quorum.wake();
    }

    fn give_back(&mut self) {
        for (link, bytes) in self.taken.extract_if(.., |_, bytes| *bytes >= GIVEN_BACK_BYTES) {
            self.quorum.send(LearnerInput::Taken { link, bytes });
        }
    }

    /// The first of the events that it becomes; a vote comes behind its configuration.
    fn election_event(&mut self, output: ElectionOutput) -> Event {
        match output {
            ElectionOutput::Received { from, notification } => {
                let Notification { state, vote, version, config } = notification;
                let notified = Event::Notified { from, state, vote, version };
                let Some(config) = config else { return notified };
                self.vote = Some(notified);
                Event::ConfigHeard { text: config.into() }
            }
            ElectionOutput::Up { peer } => Event::ElectionLinkUp { peer },
            ElectionOutput::Down { peer } => {
                tracing::info!("server {} cannot be reached for elections", peer.0);
                Event::ElectionLinkDown { peer }
            }
        }
    }

    /// Says something about one link.
    pub(super) fn tell(&self, input: LearnerInput) {
        self.quorum.send(input);
    }

    /// Ends both ports.
    pub(super) fn stop(&self) {
        self.election.send(ElectionInput::Stop);
        self.quorum.send(LearnerInput::Stop);
    }
}

fn came(output: LearnerOutput) -> Option<Came> {
    let event = match output {
        LearnerOutput::Listening { addresses } => {
            tracing::info!("waiting for learners on {addresses:?}");
            return None;
        }
        // The node gives up leading when nobody follows in time.
        LearnerOutput::CannotListen { error } => {
            tracing::error!("cannot wait for learners: {error}; is the quorum port taken?");
            return None;
        }
        LearnerOutput::Accepted { link, from } => {
            tracing::info!("server {} connects, as link {}", from.0, link.0);
            Event::Accepted { link }
        }
        LearnerOutput::Connected { leader, link } => Event::Connected { leader, link },
        LearnerOutput::CannotConnect { leader, error } => {
            tracing::info!("leader {} cannot be reached: {error}", leader.0);
            Event::ConnectFailed { leader }
        }
        LearnerOutput::Received { link, packet, .. } => Event::Received { link, packet },
        LearnerOutput::Portion { link, bytes } => return Some(Came::Portion { link, bytes }),
        LearnerOutput::SnapshotSent { link } => Event::SnapshotSent { link },
        LearnerOutput::Room { link } => return Some(Came::Room { link }),
        LearnerOutput::Closed { link, reason } => {
            tracing::info!("link {} to a member ended: {reason}", link.0);
            Event::Closed { link }
        }
    };
    Some(Came::Event(event))
}
