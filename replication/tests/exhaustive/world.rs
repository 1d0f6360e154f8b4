//! The state of the small ensemble, what may happen in it, and what then does.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use menagerie_replication::{
    Effect, Event, HistoryLimits, Link, LogRead, Membership, Node, Packet, RESIGN_AT_COUNTER,
    Recovered, Role, Settings, Timeouts, TxnBytes,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{ServerId, Zxid};

use super::checkers::Checkers;
use super::disk::{Disk, Op, Txn, count_to, last};

/// How often each thing may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A member believes it was elected.
    pub(crate) elections: u32,
    /// A member believes another one was.
    pub(crate) joins: u32,
    pub(crate) transactions: u32,
    pub(crate) crashes: u32,
    /// A connection ends, and what was under way on it is lost.
    pub(crate) breaks: u32,
}

/// Something that may happen. Members and links by number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Elect(usize),
    Join(usize, usize),
    Deliver {
        link: Link,
        to: usize,
    },
    LogDone(usize),
    /// A snapshot whose stream broke off comes to nothing.
    Abandon(usize),
    EpochsDone(usize),
    Propose(usize),
    Crash {
        member: usize,
        survives: usize,
        epochs_survive: bool,
    },
    Break(Link),
}

#[derive(Clone, Debug)]
enum Message {
    Packet(Packet),
    Snapshot(Zxid, Vec<Txn>),
    Closed,
}

#[derive(Clone, Debug)]
struct Host {
    node: Node,
    disk: Disk,
    /// The log as the process sees it.
    view: Vec<Txn>,
    shown: usize,
    /// Links, and who is at the other end.
    ends: BTreeMap<Link, usize>,
    incoming: BTreeMap<Link, Vec<Txn>>,
    listening: bool,
    draining: bool,
    last_zxid: Option<Zxid>,
}

/// A state.
#[derive(Clone)]
pub(crate) struct World {
    left: Bounds,
    hosts: Vec<Host>,
    /// By link and receiver, in order.
    wires: BTreeMap<(Link, usize), VecDeque<Message>>,
    next_link: u64,
    pub(crate) checkers: Checkers,
}

/// Hashes what is written to it.
struct Fingerprint(DefaultHasher);

impl fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let hosts = (0..3).map(|member| Host::start(member, Disk::default())).collect();
        Self {
            left: bounds,
            hosts,
            wires: BTreeMap::new(),
            next_link: 0,
            checkers: Checkers::default(),
        }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        let mut out = Fingerprint(DefaultHasher::new());
        let Self { left, hosts, wires, next_link, checkers } = self;
        write!(out, "{left:?}{hosts:?}{wires:?}{next_link}{checkers:?}").expect("hashing");
        out.0.finish()
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let looks = host.node.role() == Role::Looking && !host.draining;
            if looks && self.left.elections > 0 {
                actions.push(Action::Elect(at));
            }
            if looks && self.left.joins > 0 {
                let leaders = (0..3).filter(|other| self.hosts[*other].listening);
                actions.extend(leaders.map(|leader| Action::Join(at, leader)));
            }
            if host.disk.queue.front().is_some_and(|op| !matches!(op, Op::Drain(_))) {
                actions.push(Action::LogDone(at));
            }
            if let Some(Op::Install { link, .. }) = host.disk.queue.front()
                && !host.ends.contains_key(link)
            {
                actions.push(Action::Abandon(at));
            }
            if host.disk.saving.is_some() {
                actions.push(Action::EpochsDone(at));
            }
            if self.left.transactions > 0 && host.last_zxid.is_some() {
                actions.push(Action::Propose(at));
            }
            if self.left.crashes > 0 {
                actions.extend(self.crashes(at));
            }
            if self.left.breaks > 0 {
                // Each link is named by the one that listens.
                let links = host.ends.iter().filter(|(_, other)| at < **other);
                actions.extend(links.map(|(link, _)| Action::Break(*link)));
            }
        }
        for ((link, to), messages) in &self.wires {
            if !messages.is_empty() {
                actions.push(Action::Deliver { link: *link, to: *to });
            }
        }
        actions
    }

    fn crashes(&self, member: usize) -> impl Iterator<Item = Action> {
        let disk = &self.hosts[member].disk;
        let epochs = if disk.saving.is_some() { vec![false, true] } else { vec![false] };
        let count = disk.queue.len();
        epochs.into_iter().flat_map(move |epochs_survive| {
            (0..=count).map(move |survives| Action::Crash { member, survives, epochs_survive })
        })
    }

    pub(crate) fn take(&mut self, action: Action) {
        match action {
            Action::Elect(at) => self.elect(at),
            Action::Join(at, leader) => self.join(at, leader),
            Action::Deliver { link, to } => self.deliver(link, to),
            Action::LogDone(at) => self.log_done(at),
            Action::Abandon(at) => {
                self.hosts[at].disk.queue.pop_front();
            }
            Action::EpochsDone(at) => {
                let disk = &mut self.hosts[at].disk;
                disk.save_epochs();
                let epochs = disk.epochs;
                self.step(at, Event::EpochSaved { epochs });
            }
            Action::Propose(at) => self.propose(at),
            Action::Crash { member, survives, epochs_survive } => {
                self.crash(member, survives, epochs_survive);
            }
            Action::Break(link) => self.break_link(link),
        }
        for at in 0..3 {
            self.drain(at);
        }
    }

    fn vote(&self, leader: usize) -> Vote {
        let disk = &self.hosts[leader].disk;
        let peer_epoch = i64::from(disk.epochs.current.0);
        let round = 100 - i64::from(self.left.elections);
        Vote { leader: id(leader), zxid: last(&disk.log), round, peer_epoch }
    }

    fn elect(&mut self, at: usize) {
        self.left.elections -= 1;
        let vote = self.vote(at);
        for from in (0..3).filter(|from| *from != at).map(id) {
            let state = ServerState::Looking;
            self.step(at, Event::Notified { from, state, vote, version: 2 });
        }
    }

    fn join(&mut self, at: usize, leader: usize) {
        self.left.joins -= 1;
        let vote = self.vote(leader);
        for from in (0..3).filter(|from| *from != at) {
            let leads = from == leader;
            let state = if leads { ServerState::Leading } else { ServerState::Following };
            self.step(at, Event::Notified { from: id(from), state, vote, version: 2 });
        }
    }

    fn deliver(&mut self, link: Link, to: usize) {
        let Some(message) = self.wires.get_mut(&(link, to)).and_then(VecDeque::pop_front) else {
            return;
        };
        if self.wires[&(link, to)].is_empty() {
            self.wires.remove(&(link, to));
        }
        if !self.hosts[to].ends.contains_key(&link) {
            return;
        }
        let packet = match message {
            Message::Closed => {
                self.hosts[to].ends.remove(&link);
                self.step(to, Event::Closed { link });
                return;
            }
            Message::Packet(packet) => packet,
            Message::Snapshot(zxid, content) => {
                self.hosts[to].incoming.insert(link, content);
                Packet::Snap { zxid }
            }
        };
        self.step(to, Event::Received { link, packet });
    }

    fn log_done(&mut self, at: usize) {
        let Some(op) = self.hosts[at].disk.queue.pop_front() else { return };
        let host = &mut self.hosts[at];
        host.disk.apply(&op);
        let last_logged = last(&host.disk.log);
        let event = match op {
            Op::Append((zxid, _)) => Event::Logged { zxid },
            Op::Truncate(_) => Event::Truncated { last_logged },
            Op::Install { .. } => Event::Installed { zxid: last_logged },
            Op::Drain(_) => unreachable!("a drain is no work of the disk"),
        };
        if !matches!(event, Event::Logged { .. }) {
            host.view.clone_from(&host.disk.log);
            assert!(host.view.len() >= host.shown, "{at} has lost what it showed");
            self.checkers.check_quorum_durable(self.hosts.iter().map(|host| &host.disk));
        }
        self.step(at, event);
    }

    /// The drain of an idle disk is nothing that anybody could see happen later.
    fn drain(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let idle = host.disk.saving.is_none() && host.disk.queue.len() == 1;
        let Some(Op::Drain(generation)) = host.disk.queue.front().cloned() else { return };
        if !idle {
            return;
        }
        host.disk.queue.clear();
        host.draining = false;
        host.view.clone_from(&host.disk.log);
        let (last_logged, epochs) = (last(&host.disk.log), host.disk.epochs);
        self.step(at, Event::Drained { generation, last_logged, epochs });
    }

    fn propose(&mut self, at: usize) {
        let Some(last_zxid) = self.hosts[at].last_zxid else { return };
        self.left.transactions -= 1;
        let (zxid, value) = (last_zxid.next(), u64::from(self.left.transactions));
        self.hosts[at].last_zxid = Some(zxid);
        self.checkers.on_propose((zxid, value));
        self.step(at, Event::Propose { zxid, txn: bytes(value) });
    }

    fn crash(&mut self, at: usize, survives: usize, epochs_survive: bool) {
        self.left.crashes -= 1;
        let mut disk = self.hosts[at].disk.clone();
        disk.crash(survives, epochs_survive);
        let ends = std::mem::take(&mut self.hosts[at].ends);
        for (link, peer) in ends {
            self.wires.remove(&(link, at));
            self.wires.entry((link, peer)).or_default().push_back(Message::Closed);
        }
        self.hosts[at] = Host::start(at, disk);
        self.checkers.check_quorum_durable(self.hosts.iter().map(|host| &host.disk));
    }

    fn break_link(&mut self, link: Link) {
        self.left.breaks -= 1;
        for at in 0..3 {
            if self.hosts[at].ends.contains_key(&link) {
                self.wires.insert((link, at), VecDeque::from([Message::Closed]));
            }
        }
    }

    fn step(&mut self, at: usize, event: Event) {
        let mut effects = Vec::new();
        self.hosts[at].node.step(event, 0, &mut effects);
        for effect in effects {
            let host = &self.hosts[at];
            self.checkers.on_effect(id(at), &effect, &host.disk, &host.view);
            self.carry_out(at, effect);
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Listen => self.hosts[at].listening = true,
            Effect::StopListening => self.hosts[at].listening = false,
            Effect::Connect { leader } => self.connect(at, leader),
            Effect::Send { link, packet } => self.send(at, link, Message::Packet(packet)),
            Effect::Close { link, .. } => {
                self.send(at, link, Message::Closed);
                self.hosts[at].ends.remove(&link);
                self.wires.remove(&(link, at));
            }
            Effect::SendSnapshot { link, zxid } => {
                let view = &self.hosts[at].view;
                let content = view[..count_to(view, zxid)].to_vec();
                self.send(at, link, Message::Snapshot(zxid, content));
            }
            Effect::ReadLog { link, from } => {
                let view = &self.hosts[at].view;
                let count = count_to(view, from);
                let txns = view[count..].iter().map(|(zxid, value)| (*zxid, bytes(*value)));
                let read = LogRead { floor: last(&view[..count]), txns: txns.collect() };
                self.step(at, Event::LogRead { link, read: Some(read) });
            }
            Effect::Append { zxid, txn } => {
                let txn = (zxid, value(&txn));
                self.hosts[at].view.push(txn);
                self.hosts[at].disk.queue.push_back(Op::Append(txn));
            }
            Effect::SaveEpoch { epochs } => self.hosts[at].disk.saving = Some(epochs),
            Effect::Truncate { to } => self.hosts[at].disk.queue.push_back(Op::Truncate(to)),
            Effect::ReceiveSnapshot { link, .. } => {
                let content = self.hosts[at].incoming.remove(&link).expect("SNAP has a stream");
                self.hosts[at].disk.queue.push_back(Op::Install { link, content });
            }
            Effect::Drain { generation } => {
                self.hosts[at].draining = true;
                self.hosts[at].disk.queue.push_back(Op::Drain(generation));
            }
            Effect::Commit { zxid } => {
                let host = &self.hosts[at];
                let disks = self.hosts.iter().map(|host| &host.disk);
                let shown = self.checkers.on_commit(host.shown, &host.view, zxid, disks);
                self.hosts[at].shown = shown;
            }
            Effect::Lead { epoch, last_zxid } => {
                self.checkers.on_lead(id(at), epoch, &self.hosts[at].view);
                self.hosts[at].last_zxid = Some(last_zxid);
            }
            Effect::StepDown { .. } | Effect::StopServing { .. } => {
                self.hosts[at].last_zxid = None;
            }
            _ => {}
        }
    }

    fn connect(&mut self, at: usize, leader: ServerId) {
        let to = (0..3).find(|to| id(*to) == leader).expect("a member");
        if !self.hosts[to].listening {
            self.step(at, Event::ConnectFailed { leader });
            return;
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        self.hosts[at].ends.insert(link, to);
        self.hosts[to].ends.insert(link, at);
        self.step(to, Event::Accepted { link });
        self.step(at, Event::Connected { leader, link });
    }

    fn send(&mut self, at: usize, link: Link, message: Message) {
        let Some(to) = self.hosts[at].ends.get(&link) else { return };
        let closed = |last: Option<&Message>| matches!(last, Some(Message::Closed));
        let wire = self.wires.entry((link, *to)).or_default();
        if !closed(wire.back()) {
            wire.push_back(message);
        }
    }
}

impl Host {
    fn start(member: usize, disk: Disk) -> Self {
        let members = (0..3).map(id).collect();
        let settings = Settings {
            id: id(member),
            membership: Membership::new(members, Vec::new(), Arc::from(""), Zxid::ZERO),
            timeouts: Timeouts { connect_attempts_max: 1, ..Timeouts::default() },
            history: HistoryLimits::default(),
            resign_at_counter: RESIGN_AT_COUNTER,
        };
        let mut node = Node::new(settings);
        let tail = disk.log.iter().map(|(zxid, value)| (*zxid, bytes(*value)));
        let recovered = Recovered {
            last_logged: last(&disk.log),
            epochs: disk.epochs,
            tail: tail.collect(),
            before_tail: Zxid::ZERO,
        };
        node.step(Event::Started(recovered), 0, &mut Vec::new());
        Self {
            node,
            view: disk.log.clone(),
            disk,
            shown: 0,
            ends: BTreeMap::new(),
            incoming: BTreeMap::new(),
            listening: false,
            draining: false,
            last_zxid: None,
        }
    }
}

fn id(member: usize) -> ServerId {
    ServerId(i64::try_from(member).expect("three members") + 1)
}

fn bytes(value: u64) -> TxnBytes {
    Arc::from(value.to_be_bytes())
}

fn value(txn: &[u8]) -> u64 {
    u64::from_be_bytes(txn.try_into().expect("a transaction is a number"))
}
