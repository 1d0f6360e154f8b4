//! What of a state makes it another state, in 64 bits.
//!
//! Two states get the same number when nothing that can happen later tells them apart: when they
//! differ in names of servers (the machine compares servers only for being the same; the one order
//! of ids, in votes, is not part of this walk), in numbers of links, in what only time looks at, or
//! in what is not read any more at the stage reached. Every structure is taken apart by name, so
//! that a new field must be thought of here.
//!
//! Sets and maps are summed up, not hashed in order: their order depends on names.

use std::sync::OnceLock;

use menagerie_wire::{Epoch, ServerId, Zxid};

use crate::broadcast::Broadcast;
use crate::event::{Epochs, Link};
use crate::following::{Following, Progress};
use crate::history::Entry;
use crate::leading::{Leading, Learner, Phase, Stage};
use crate::log::Log;
use crate::member::Member;
use crate::node::{Node, State};
use crate::packet::Packet;

/// By server, its other name.
pub(super) type Naming = [u64; 3];

/// All ways to name three servers.
pub(super) const NAMINGS: [Naming; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Nobody has a name.
const NAMELESS: Naming = [0; 3];

/// The prints of a part of a state that does not change any more, each made once.
#[derive(Clone, Debug, Default)]
pub(super) struct Prints {
    nameless: OnceLock<u64>,
    by_naming: [OnceLock<u64>; NAMINGS.len()],
}

impl Prints {
    pub(super) fn nameless(&self, write: impl Fn(&mut Print<'_>)) -> u64 {
        *self.nameless.get_or_init(|| Print::of(&NAMELESS, write))
    }

    /// Under one of [`NAMINGS`].
    pub(super) fn named(&self, nth: usize, write: impl Fn(&mut Print<'_>)) -> u64 {
        *self.by_naming[nth].get_or_init(|| Print::of(&NAMINGS[nth], write))
    }
}

/// A link is numbered by its two ends, and tells several between the same two apart.
pub(super) const fn link_of(learner: usize, leader: usize, nth: u64) -> Link {
    Link(nth << 4 | (learner as u64) << 2 | leader as u64)
}

/// Hashes words under one naming.
#[derive(Clone, Copy)]
pub(super) struct Print<'a> {
    naming: &'a Naming,
    hash: u64,
}

impl<'a> Print<'a> {
    pub(super) fn of(naming: &'a Naming, write: impl Fn(&mut Self)) -> u64 {
        let mut print = Self { naming, hash: 0x9e37_79b9_7f4a_7c15 };
        write(&mut print);
        print.hash
    }

    pub(super) const fn word(&mut self, word: u64) {
        let mixed = (self.hash.rotate_left(23) ^ word).wrapping_add(0xa076_1d64_78bd_642f);
        let wide = mixed as u128 * 0xe703_7ed1_a0b4_28db;
        self.hash = (wide as u64) ^ (wide >> 64) as u64;
    }

    /// Several things whose order says nothing.
    pub(super) fn all<T>(
        &mut self,
        things: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        let mut sum = 0u64;
        for thing in things {
            let mut print = Self { naming: self.naming, hash: 1 };
            write(&mut print, thing);
            sum = sum.wrapping_add(print.hash);
        }
        self.word(sum);
    }

    /// Several things in their order.
    pub(super) fn list<T>(
        &mut self,
        things: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        write: impl Fn(&mut Self, T),
    ) {
        let things = things.into_iter();
        self.word(things.len() as u64);
        things.for_each(|thing| write(self, thing));
    }

    pub(super) fn option<T>(&mut self, thing: Option<T>, write: impl Fn(&mut Self, T)) {
        self.word(u64::from(thing.is_some()));
        if let Some(thing) = thing {
            write(self, thing);
        }
    }

    pub(super) const fn zxid(&mut self, zxid: Zxid) {
        self.word(zxid.0 as u64);
    }

    pub(super) const fn epoch(&mut self, epoch: Epoch) {
        self.word(epoch.0 as u64);
    }

    pub(super) const fn epochs(&mut self, epochs: Epochs) {
        let Epochs { accepted, current } = epochs;
        self.epoch(accepted);
        self.epoch(current);
    }

    pub(super) const fn server(&mut self, server: usize) {
        self.word(self.naming[server]);
    }

    pub(super) fn id(&mut self, id: ServerId) {
        let server = usize::try_from(id.0 - 1).expect("a server of three");
        self.server(server);
    }

    pub(super) const fn link(&mut self, link: Link) {
        let Link(number) = link;
        let (learner, leader) = (number >> 2 & 3, number & 3);
        self.word(number >> 4);
        self.server(learner as usize);
        self.server(leader as usize);
    }

    fn entry(&mut self, (zxid, txn): &Entry) {
        self.zxid(*zxid);
        txn.iter().for_each(|byte| self.word(u64::from(*byte)));
    }
}

pub(super) fn node(print: &mut Print<'_>, node: &Node) {
    // The generation says which role a drain ends: there is never more than one.
    let Node { member, state, alone: _, generation: _ } = node;
    self::member(print, member);
    match state {
        State::Unstarted | State::Halted => unreachable!("it was started, and no disk fails"),
        State::Draining { back_to } => {
            print.word(1);
            print.option(*back_to, Print::id);
        }
        State::Looking => print.word(2),
        State::Following(state) => {
            print.word(3);
            following(print, state);
        }
        State::Leading(state) => {
            print.word(4);
            leading(print, state);
        }
    }
}

/// An election here ends with the notification that is its outcome, whatever was heard before.
fn member(print: &mut Print<'_>, member: &Member) {
    // Time and effects are those of a step, and none is being taken.
    let Member { settings: _, log, election: _, committed, diverged, uncut, now_ms: _, fx: _ } =
        member;
    print.zxid(*committed);
    print.word(u64::from(*diverged));
    print.word(u64::from(*uncut));
    let Log { history, durable, epochs, saving, rebuilding, waiting_since_ms: _ } = log;
    print.zxid(history.before());
    print.zxid(history.last());
    history.after(history.before()).for_each(|entry| print.entry(entry));
    print.zxid(*durable);
    print.epochs(*epochs);
    print.option(*saving, Print::epochs);
    print.option(*rebuilding, Print::zxid);
}

fn following(print: &mut Print<'_>, following: &Following) {
    let Following {
        leader,
        observer: _,
        config: _,
        progress,
        link,
        epoch,
        deadline_ms: _,
        attempts: _,
        connect_at_ms: _,
        base,
        received,
        held,
        committed_before,
        held_committed,
        uncommitted,
        unacked,
        touched: _,
        syncs: _,
    } = following;
    print.id(*leader);
    print.word(*progress as u64);
    print.option(*link, Print::link);
    print.epoch(*epoch);
    print.zxid(*base);
    print.zxid(*received);
    print.list(held, Print::entry);
    if *progress < Progress::Live {
        print.zxid(*committed_before);
        print.zxid(*held_committed);
    }
    print.list(uncommitted.iter().copied(), Print::zxid);
    print.list(unacked.iter().copied(), Print::zxid);
}

fn leading(print: &mut Print<'_>, leading: &Leading) {
    let Leading {
        phase,
        epoch,
        own,
        learners,
        broadcast,
        barrier: _,
        phase_deadline_ms: _,
        half_tick_at_ms: _,
        half_ticks: _,
        resigning,
    } = leading;
    print.epoch(*epoch);
    match phase {
        Phase::CollectingEpochs { heard, highest, lost } => {
            print.word(1);
            print.all(heard, |print, id| print.id(*id));
            print.epoch(*highest);
            print.all(lost, |print, id| print.id(*id));
        }
        Phase::AcceptingEpoch => print.word(2),
        Phase::CollectingAcks { acked } => {
            print.word(3);
            print.all(acked, |print, id| print.id(*id));
        }
        Phase::EnteringEpoch => print.word(4),
        Phase::Synchronizing { acked } => {
            print.word(5);
            print.all(acked, |print, id| print.id(*id));
        }
        Phase::Broadcasting => print.word(6),
    }
    if matches!(phase, Phase::CollectingEpochs { .. } | Phase::CollectingAcks { .. }) {
        print.epoch(own.0);
        print.zxid(own.1);
    }
    print.all(learners, |print, (link, learner)| {
        print.link(*link);
        self::learner(print, learner);
    });
    let Broadcast { last_proposed, last_committed, acked, waiting_since_ms: _ } = broadcast;
    print.zxid(*last_proposed);
    print.zxid(*last_committed);
    // Acknowledgements of what is committed are not read any more.
    print.all(acked.iter().filter(|(_, zxid)| *zxid > last_committed), |print, (id, zxid)| {
        print.id(*id);
        print.zxid(*zxid);
    });
    print.word(u64::from(resigning.is_some()));
}

fn learner(print: &mut Print<'_>, learner: &Learner) {
    // `proposed` and `acked` are for the timeout alone.
    let Learner {
        sid,
        observer: _,
        stage,
        last_zxid,
        deadline_ms: _,
        proposed: _,
        acked: _,
        owes_since_ms: _,
        pings_sent: _,
        pings_answered: _,
        syncs: _,
    } = learner;
    print.option(*sid, Print::id);
    match *stage {
        Stage::Strange => print.word(1),
        Stage::Introduced => print.word(2),
        Stage::Offered => print.word(3),
        Stage::Accepted => {
            print.word(4);
            print.zxid(*last_zxid);
        }
        Stage::ReadingLog { .. } => unreachable!("what is asked of the log is answered at once"),
        Stage::Aligning => print.word(5),
        Stage::Aligned => print.word(6),
        Stage::Live => print.word(7),
    }
}

pub(super) fn packet(print: &mut Print<'_>, packet: &Packet) {
    match packet {
        Packet::Proposal { zxid, txn } => {
            print.word(1);
            print.entry(&(*zxid, txn.clone()));
        }
        Packet::Ack { zxid } => tagged(print, 2, *zxid),
        Packet::Commit { zxid } => tagged(print, 3, *zxid),
        Packet::NewLeader { epoch, config: _ } => tagged(print, 4, Zxid::new(*epoch, 0)),
        Packet::LearnerInfo { observer: _, accepted_epoch, sid, config_version: _ } => {
            tagged(print, 5, Zxid::new(*accepted_epoch, 0));
            print.id(*sid);
        }
        Packet::UpToDate => print.word(6),
        Packet::Diff { zxid } => tagged(print, 7, *zxid),
        Packet::Trunc { zxid } => tagged(print, 8, *zxid),
        Packet::Snap { zxid } => tagged(print, 9, *zxid),
        Packet::LeaderInfo { epoch } => tagged(print, 10, Zxid::new(*epoch, 0)),
        Packet::AckEpoch { last_zxid, current_epoch } => {
            tagged(print, 11, *last_zxid);
            print.option(*current_epoch, Print::epoch);
        }
        Packet::Request(_)
        | Packet::Ping { .. }
        | Packet::PingReply { .. }
        | Packet::Revalidate(_)
        | Packet::Revalidated { .. }
        | Packet::Sync
        | Packet::Inform { .. }
        | Packet::Reconfigured { .. } => unreachable!("{packet:?} has no part in this walk"),
    }
}

const fn tagged(print: &mut Print<'_>, tag: u64, zxid: Zxid) {
    print.word(tag);
    print.zxid(zxid);
}
