//! Somebody who sees all machines at once and forgets nothing: tells [`NodeCheckers`] of every
//! step, and stops the world when they object.
//!
//! For every member it keeps the log as that member must have it: what was appended, and how much
//! of that its disk has promised to keep. What a start finds after a crash is held against it: all
//! that was promised, and nothing that was never written.
//!
//! A broken promise is a panic, in release builds too.

use std::collections::BTreeMap;

use menagerie_engine::tree::{Session, View};
use menagerie_replication::{Effect, Epochs, Link, Packet, Recovered};
use menagerie_wire::notification::Notification;
use menagerie_wire::{Epoch, ServerId, SessionId, Zxid};

use crate::checkers::{NodeCheckers, Observation, Promise, Seen, TxnHash};

type Entry = (Zxid, TxnHash);

/// The log of one member, from the beginning of time, whatever of it lies in snapshots.
#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// How many of them the disk has promised to keep.
    durable: usize,
    epochs: Epochs,
    saving: Option<Epochs>,
    /// What is about to take the place of all that, and whether by a snapshot.
    replacing: Option<(Vec<Entry>, bool)>,
    /// What a leader sends.
    incoming: Vec<Entry>,
    /// How much was shown to clients since the start.
    shown: usize,
    starts: u64,
}

/// The one who sees all.
#[derive(Clone, Debug)]
pub struct Observer {
    checkers: NodeCheckers,
    logs: BTreeMap<ServerId, Log>,
}

fn last(entries: &[Entry]) -> Zxid {
    entries.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
}

fn count_to(entries: &[Entry], zxid: Zxid) -> usize {
    entries.partition_point(|(at, _)| *at <= zxid)
}

impl Log {
    fn last_durable(&self) -> Zxid {
        last(&self.entries[..self.durable])
    }
}

impl Observer {
    pub(super) fn new(voters: Vec<ServerId>, all: impl Iterator<Item = ServerId>) -> Self {
        let logs = all.map(|id| (id, Log::default())).collect();
        Self { checkers: NodeCheckers::new(voters), logs }
    }

    #[must_use]
    pub fn reign_count(&self) -> usize {
        self.checkers.ledger().reign_count()
    }

    #[must_use]
    pub fn committed_count(&self) -> usize {
        self.checkers.ledger().delivered().len()
    }

    /// The newest transaction that anybody was shown.
    #[must_use]
    pub fn last_committed(&self) -> Zxid {
        last(self.checkers.ledger().delivered())
    }

    fn log(&mut self, id: ServerId) -> &mut Log {
        self.logs.get_mut(&id).expect("a member")
    }

    fn see(&mut self, id: ServerId, what: Observation<'_>) {
        let generation = self.logs[&id].starts;
        let violations = self.checkers.observe(&Seen { node: id, generation, what });
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{}", texts.join("; "));
    }

    // ---- the disk ----

    /// A transaction is on its way to the disk; `proposed`: as a leader's own.
    pub(super) fn on_append(&mut self, id: ServerId, zxid: Zxid, txn: &[u8], proposed: bool) {
        let hash = TxnHash::of(txn);
        self.log(id).entries.push((zxid, hash));
        if proposed {
            self.see(id, Observation::Proposed { zxid, hash });
        }
    }

    pub(super) fn on_durable(&mut self, id: ServerId, zxid: Zxid) {
        let log = self.log(id);
        let count = count_to(&log.entries, zxid);
        if count > log.durable {
            let txns = log.entries[log.durable..count].to_vec();
            log.durable = count;
            self.see(id, Observation::Logged { txns: &txns });
        }
    }

    pub(super) fn on_saving(&mut self, id: ServerId, epochs: Epochs) {
        self.log(id).saving = Some(epochs);
    }

    pub(super) fn on_saved(&mut self, id: ServerId) {
        let log = self.log(id);
        let epochs = log.saving.take().expect("epochs on their way");
        log.epochs = epochs;
        self.see(id, Observation::EpochsSaved { epochs });
    }

    pub(super) fn on_truncating(&mut self, id: ServerId, to: Zxid) {
        let log = self.log(id);
        log.replacing = Some((log.entries[..count_to(&log.entries, to)].to_vec(), false));
    }

    pub(super) fn on_snapshot_sent(&mut self, from: ServerId, to: ServerId, zxid: Zxid) {
        let entries = &self.logs[&from].entries;
        let content = entries[..count_to(entries, zxid)].to_vec();
        assert!(last(&content) == zxid, "{from} sends a tree at {zxid} that it cannot have");
        self.log(to).incoming = content;
    }

    pub(super) fn on_installing(&mut self, id: ServerId, zxid: Zxid) {
        let log = self.log(id);
        assert!(last(&log.incoming) == zxid, "{id} installs {zxid}, which nobody has sent");
        log.replacing = Some((log.incoming.clone(), true));
    }

    /// The log was cut, or a snapshot is in its place.
    pub(super) fn on_replaced(&mut self, id: ServerId, ends_at: Zxid) {
        let log = self.log(id);
        let (entries, installed) = log.replacing.take().expect("something takes its place");
        let due = last(&entries);
        assert!(due == ends_at, "{id} ends at {ends_at} now, {due} was due");
        log.durable = entries.len();
        log.entries = entries;
        self.replaced(id, ends_at, installed);
    }

    /// The log could not be cut.
    pub(super) fn on_not_cut(&mut self, id: ServerId) {
        self.log(id).replacing = None;
    }

    fn replaced(&mut self, id: ServerId, to: Zxid, installed: bool) {
        let what = match installed {
            true => Observation::Installed { zxid: to },
            false => Observation::Truncated { to },
        };
        self.see(id, what);
    }

    /// What a start found.
    pub(super) fn on_recovered(&mut self, id: ServerId, recovered: &Recovered) {
        let found = recovered.last_logged;
        let log = self.log(id);
        log.starts += 1;
        log.shown = 0;
        let (at_least, at_most) = (log.last_durable(), last(&log.entries));
        match log.replacing.take() {
            Some((entries, installed)) if last(&entries) == found => {
                log.durable = entries.len();
                log.entries = entries;
                self.replaced(id, found, installed);
            }
            _ => {
                assert!(
                    found >= at_least,
                    "{id} kept {found} of what was on disk up to {at_least}"
                );
                assert!(found <= at_most, "{id} has {found}, and never had more than {at_most}");
                log.entries.truncate(count_to(&log.entries, found));
                assert!(last(&log.entries) == found, "{id} ends at {found}, where nothing was");
                self.on_durable(id, found);
            }
        }
        let log = self.log(id);
        for (zxid, txn) in &recovered.tail {
            let at = count_to(&log.entries, *zxid);
            let expected = at.checked_sub(1).map(|at| log.entries[at]);
            let entry = (*zxid, TxnHash::of(txn));
            assert!(expected == Some(entry), "{id} has another transaction at {zxid}");
        }
        let epochs = recovered.epochs;
        let saving = log.saving.take();
        let known = epochs == log.epochs || Some(epochs) == saving;
        assert!(known, "{id} has {epochs:?}, not {:?} nor {saving:?}", log.epochs);
        log.epochs = epochs;
        self.see(id, Observation::EpochsSaved { epochs });
        self.see(id, Observation::Started);
    }

    // ---- what is said ----

    pub(super) fn on_vote(&mut self, id: ServerId, to: ServerId, vote: &Notification<'_>) {
        let effect = Effect::Notify { to, state: vote.state, vote: vote.vote };
        self.on_effect(id, &effect);
    }

    pub(super) fn on_send(&mut self, id: ServerId, link: Link, packet: &Packet) {
        self.on_effect(id, &Effect::Send { link, packet: packet.clone() });
    }

    fn on_effect(&mut self, id: ServerId, effect: &Effect) {
        if let Some(promise) = Promise::of(id, effect) {
            self.see(id, Observation::Promised { promise });
        }
    }

    // ---- what is shown ----

    pub(super) fn on_reign(&mut self, id: ServerId, epoch: Epoch) {
        self.see(id, Observation::Led { epoch });
    }

    pub(super) fn on_follow(&mut self, id: ServerId, leader: ServerId, epoch: Epoch) {
        self.see(id, Observation::Followed { leader, epoch });
    }

    /// A member shows its tree.
    pub(super) fn on_shown(&mut self, id: ServerId, view: View<'_>) {
        let (zxid, digest) = (view.last_zxid(), view.digest());
        let known = self.committed_count();
        let log = self.logs.get_mut(&id).expect("a member");
        let count = count_to(&log.entries, zxid);
        assert!(last(&log.entries[..count]) == zxid, "{id} shows {zxid}, which it has not");
        assert!(count >= log.shown, "{id} takes back what it has shown");
        // What it has from its disk, or from a snapshot, was delivered before.
        let restored = if log.shown == 0 { count.min(known) } else { log.shown };
        let begins = log.shown == 0 && restored > 0;
        log.shown = count;
        let new = log.entries[restored..count].to_vec();
        if begins {
            let zxid = last(&self.logs[&id].entries[..restored]);
            self.see(id, Observation::Restored { zxid });
        }
        for (zxid, hash) in new {
            self.see(id, Observation::Delivered { zxid, hash });
        }
        self.see(id, Observation::Digested { zxid, digest });
        let open: Vec<SessionId> = view.sessions().map(Session::id).collect();
        let of = |owner| view.ephemerals(owner).map(move |path| (owner, path));
        let ephemerals: Vec<(SessionId, &str)> = view.owners().flat_map(of).collect();
        let (open, ephemerals) = (&open, &ephemerals);
        self.see(id, Observation::Sessions { zxid, open, ephemerals });
    }
}
