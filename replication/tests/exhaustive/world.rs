//! The state of the small ensemble, what may happen in it, and what then does.
//!
//! A state is copied for each thing that may happen in it, so it is made of parts that are shared
//! until they change: members, and what is under way on each link.

use std::collections::BTreeMap;
use std::sync::Arc;

use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{ServerId, Zxid};

use super::checkers::Checkers;
use super::disk::{Disk, Op, Txn, bytes, count_to, entry, last, value};
use super::print::{self, NAMINGS, Naming, Print, Prints, link_of};
use crate::{
    Effect, Event, HistoryLimits, Link, LogRead, Membership, Node, Packet, RESIGN_AT_COUNTER,
    Recovered, Role, Settings, Timeouts,
};

/// When all is overdue that a member has waited for. The clock stands at 0 otherwise, and does so
/// again for who was late: that has cost it its role, and what outlives a role remembers no time.
const LATE_MS: u64 = 1 << 32;

/// How often each thing may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The last epoch: where a later one is about to be entered, the walk turns back.
    pub(super) epochs: u32,
    pub(super) transactions: u32,
    pub(super) crashes: u32,
    /// A member that follows or leads loses its patience, and looks for a leader again.
    pub(super) leaves: u32,
    /// A follower finds that its tree is not what its leader has.
    pub(super) diverges: u32,
}

/// Something that may happen. Members and links by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// A member believes it was elected.
    Elect(usize),
    /// A member believes that another one was elected.
    Join(usize, usize),
    Deliver {
        link: Link,
        to: usize,
    },
    /// What the other end said last is lost: the next thing heard is that it is gone.
    Lose {
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
    Leave(usize),
    Diverge(usize),
}

#[derive(Clone, Debug)]
enum Message {
    Packet(Packet),
    Snapshot(Zxid, Vec<Txn>),
    /// The other end has closed the link, and what it said before arrives.
    Closed,
    /// The other end is gone, and any end of what it said may be lost.
    Cut,
}

/// What is under way on a link to one of its ends, in order.
#[derive(Clone, Debug)]
struct Wire {
    link: Link,
    to: usize,
    messages: Arc<Vec<Message>>,
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
    /// Of all of the above.
    prints: Prints,
}

/// How a state was reached.
#[derive(Debug)]
struct Way {
    last: Action,
    before: Option<Arc<Self>>,
}

/// A state.
#[derive(Clone)]
pub(super) struct World {
    left: Bounds,
    hosts: [Arc<Host>; 3],
    wires: Vec<Wire>,
    pub(super) checkers: Arc<Checkers>,
    way: Option<Arc<Way>>,
}

impl World {
    pub(super) fn new(bounds: Bounds) -> Self {
        let host = |member| Arc::new(Host::start(member, Disk::default()));
        let mut world = Self {
            left: bounds,
            hosts: [host(0), host(1), host(2)],
            wires: Vec::new(),
            checkers: Arc::default(),
            way: None,
        };
        (0..3).for_each(|at| world.start(at));
        world
    }

    /// The same number for states that no later step can tell apart.
    ///
    /// Servers are named in the order of what they are without names; where that leaves a choice,
    /// the smallest number counts.
    pub(super) fn print(&self) -> u64 {
        let nameless = self.hosts.each_ref().map(|host| host.prints.nameless(|p| host.print(p)));
        let fits = |naming: &Naming| {
            let ordered = |(a, b): (usize, usize)| {
                (nameless[a] <= nameless[b] || naming[a] > naming[b])
                    && (nameless[a] >= nameless[b] || naming[a] < naming[b])
            };
            [(0, 1), (0, 2), (1, 2)].into_iter().all(ordered)
        };
        let fitting = (0..NAMINGS.len()).filter(|nth| fits(&NAMINGS[*nth]));
        fitting.map(|nth| self.print_named(nth)).min().expect("an order of three")
    }

    /// The number of this state when its servers are named so.
    pub(super) fn print_named(&self, nth: usize) -> u64 {
        let Self { left, hosts, wires, checkers, way: _ } = self;
        let Bounds { epochs: _, transactions, crashes, leaves, diverges } = left;
        Print::of(&NAMINGS[nth], |print| {
            for left in [transactions, crashes, leaves, diverges] {
                print.word(u64::from(*left));
            }
            print.all(hosts.iter().enumerate(), |print, (at, host)| {
                print.server(at);
                print.word(host.prints.named(nth, |print| host.print(print)));
            });
            print.all(wires, |print, wire| wire.print(print));
            checkers.print(print);
        })
    }

    /// What led here, the first thing first.
    pub(super) fn way(&self) -> Vec<Action> {
        let steps = std::iter::successors(self.way.as_deref(), |way| way.before.as_deref());
        let mut way: Vec<_> = steps.map(|way| way.last).collect();
        way.reverse();
        way
    }

    /// Whether this is a state that the walk does not go into.
    pub(super) fn is_beyond(&self) -> bool {
        let saves = |host: &Arc<Host>| {
            host.disk.saving.is_some_and(|epochs| epochs.accepted.0 > self.left.epochs)
        };
        self.hosts.iter().any(saves)
    }

    /// What may happen, all of it.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        for at in 0..3 {
            self.actions_of(at, &mut actions);
        }
        actions
    }

    fn actions_of(&self, at: usize, actions: &mut Vec<Action>) {
        let host = &self.hosts[at];
        let looks = host.node.role() == Role::Looking && !host.draining;
        // The host ends a member with a wrong tree that is elected: that is one of the crashes.
        if looks && !host.node.is_diverged() {
            actions.push(Action::Elect(at));
        }
        if looks {
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
        if self.left.leaves > 0 && host.may_leave() {
            actions.push(Action::Leave(at));
        }
        if self.left.diverges > 0 && host.node.role() == Role::Following && host.node.is_serving() {
            actions.push(Action::Diverge(at));
        }
        for Wire { link, to, messages } in self.wires.iter().filter(|wire| wire.to == at) {
            let (link, to) = (*link, *to);
            actions.push(Action::Deliver { link, to });
            if messages.len() > 1 && matches!(messages.last(), Some(Message::Cut)) {
                actions.push(Action::Lose { link, to });
            }
        }
    }

    fn crashes(&self, member: usize) -> impl Iterator<Item = Action> {
        let disk = &self.hosts[member].disk;
        let count = disk.queue.iter().filter(|op| !matches!(op, Op::Drain(_))).count();
        let epochs = [false, true].into_iter().take(1 + usize::from(disk.saving.is_some()));
        epochs.flat_map(move |epochs_survive| {
            (0..=count).map(move |survives| Action::Crash { member, survives, epochs_survive })
        })
    }

    pub(super) fn take(&mut self, action: Action) {
        self.way = Some(Arc::new(Way { last: action, before: self.way.take() }));
        match action {
            Action::Elect(at) => self.elect(at),
            Action::Join(at, leader) => self.join(at, leader),
            Action::Deliver { link, to } => self.deliver(link, to),
            Action::Lose { link, to } => {
                *self.wire(link, to) = vec![Message::Cut];
                self.deliver(link, to);
            }
            Action::LogDone(at) => self.log_done(at),
            Action::Abandon(at) => {
                self.host(at).disk.queue.pop_front();
            }
            Action::EpochsDone(at) => {
                let disk = &mut self.host(at).disk;
                disk.save_epochs();
                let epochs = disk.epochs;
                self.step(at, Event::EpochSaved { epochs });
            }
            Action::Propose(at) => self.propose(at),
            Action::Crash { member, survives, epochs_survive } => {
                self.crash(member, survives, epochs_survive);
            }
            Action::Leave(at) => self.leave(at),
            Action::Diverge(at) => {
                self.left.diverges -= 1;
                self.step(at, Event::Diverged);
            }
        }
        for at in 0..3 {
            self.drain(at);
        }
        self.check();
    }

    fn host(&mut self, at: usize) -> &mut Host {
        let host = Arc::make_mut(&mut self.hosts[at]);
        host.prints = Prints::default();
        host
    }

    fn wire(&mut self, link: Link, to: usize) -> &mut Vec<Message> {
        let same = |wire: &Wire| wire.link == link && wire.to == to;
        let at = self.wires.iter().position(same).unwrap_or_else(|| {
            self.wires.push(Wire { link, to, messages: Arc::default() });
            self.wires.len() - 1
        });
        Arc::make_mut(&mut self.wires[at].messages)
    }

    /// Nobody listens any more at this end.
    fn forget_wire(&mut self, link: Link, to: usize) {
        self.wires.retain(|wire| wire.link != link || wire.to != to);
    }

    fn elect(&mut self, at: usize) {
        let node = &self.hosts[at].node;
        let round = node.member.election.current().round + 1;
        let disk = &self.hosts[at].disk;
        let peer_epoch = i64::from(disk.epochs.current.0);
        let vote = Vote { leader: id(at), zxid: last(&disk.log), round, peer_epoch };
        for from in (0..3).filter(|from| *from != at).map(id) {
            let state = ServerState::Looking;
            self.step(at, Event::Notified { from, state, vote, version: 2 });
        }
        assert!(self.hosts[at].node.role() == Role::Leading, "{at} was not elected");
    }

    fn join(&mut self, at: usize, leader: usize) {
        let vote = Vote { leader: id(leader), zxid: Zxid::ZERO, round: 0, peer_epoch: 0 };
        for from in (0..3).filter(|from| *from != at) {
            let leads = from == leader;
            let state = if leads { ServerState::Leading } else { ServerState::Following };
            self.step(at, Event::Notified { from: id(from), state, vote, version: 2 });
        }
        assert!(self.hosts[at].node.role() == Role::Following, "{at} does not follow {leader}");
    }

    fn deliver(&mut self, link: Link, to: usize) {
        let wire = self.wire(link, to);
        let message = wire.remove(0);
        if wire.is_empty() {
            self.forget_wire(link, to);
        }
        let packet = match message {
            Message::Closed | Message::Cut => {
                self.host(to).ends.remove(&link);
                self.forget_wire(link, to);
                self.step(to, Event::Closed { link });
                return;
            }
            Message::Packet(packet) => packet,
            Message::Snapshot(zxid, content) => {
                self.host(to).incoming.insert(link, content);
                Packet::Snap { zxid }
            }
        };
        self.step(to, Event::Received { link, packet });
        self.host(to).incoming.remove(&link);
    }

    fn log_done(&mut self, at: usize) {
        let host = self.host(at);
        let Some(op) = host.disk.queue.pop_front() else { return };
        let event = host.disk.complete(&op);
        if !matches!(event, Event::Logged { .. }) {
            host.view.clone_from(&host.disk.log);
            assert!(host.view.len() >= host.shown, "{at} has lost what it showed");
            self.check_quorum_durable();
        }
        self.step(at, event);
    }

    /// The drain of an idle disk is nothing that anybody could see happen later.
    fn drain(&mut self, at: usize) {
        let Disk { queue, saving, .. } = &self.hosts[at].disk;
        if saving.is_some() || !matches!(queue.front(), Some(Op::Drain(_))) {
            return;
        }
        let host = self.host(at);
        let Some(op) = host.disk.queue.pop_front() else { return };
        let event = host.disk.complete(&op);
        host.draining = false;
        host.view.clone_from(&host.disk.log);
        self.step(at, event);
    }

    fn propose(&mut self, at: usize) {
        let Some(last_zxid) = self.hosts[at].last_zxid else { return };
        self.left.transactions -= 1;
        let (zxid, value) = (last_zxid.next(), u64::from(self.left.transactions));
        self.host(at).last_zxid = Some(zxid);
        Arc::make_mut(&mut self.checkers).on_propose((zxid, value));
        self.step(at, Event::Propose { zxid, txn: bytes(value) });
    }

    fn crash(&mut self, at: usize, survives: usize, epochs_survive: bool) {
        self.left.crashes -= 1;
        let mut disk = self.hosts[at].disk.clone();
        disk.crash(survives, epochs_survive);
        let ends = std::mem::take(&mut self.host(at).ends);
        for link in ends.into_keys() {
            self.hang_up(at, link, Message::Cut);
        }
        self.hosts[at] = Arc::new(Host::start(at, disk));
        self.check_quorum_durable();
        self.start(at);
    }

    /// The member slept, and wakes when everything that it waits for is overdue.
    fn leave(&mut self, at: usize) {
        self.left.leaves -= 1;
        // A leader counts who is left at every second tick.
        for now_ms in [LATE_MS, 2 * LATE_MS] {
            self.step_at(at, Event::Tick, now_ms);
        }
        let looks = self.hosts[at].node.role() == Role::Looking;
        assert!(looks, "{at} has patience without end");
    }

    fn start(&mut self, at: usize) {
        let disk = &self.hosts[at].disk;
        let recovered = Recovered {
            last_logged: last(&disk.log),
            epochs: disk.epochs,
            tail: disk.log.iter().map(entry).collect(),
            before_tail: Zxid::ZERO,
        };
        self.step(at, Event::Started(recovered));
    }

    /// What holds in every state, beside what is checked where it changes.
    fn check(&self) {
        for host in &self.hosts {
            let Host { node, disk, .. } = host.as_ref();
            assert!(node.last_logged() == last(&disk.log), "{} is wrong of its log", node.id());
            assert!(node.epochs() == disk.epochs, "{} is wrong of its epochs", node.id());
            let serves_wrong = node.is_diverged() && node.is_serving();
            assert!(!serves_wrong, "{} serves a tree that differs", node.id());
            let shown = &host.view[..host.shown];
            assert!(self.checkers.committed().starts_with(shown), "{} shows more", node.id());
        }
        self.checkers.check_histories(self.hosts.iter().map(|host| &host.disk));
    }

    fn check_quorum_durable(&self) {
        self.checkers.check_quorum_durable(self.hosts.iter().map(|host| &host.disk));
    }

    fn step(&mut self, at: usize, event: Event) {
        self.step_at(at, event, 0);
    }

    fn step_at(&mut self, at: usize, event: Event, now_ms: u64) {
        let mut effects = Vec::new();
        self.host(at).node.step(event, now_ms, &mut effects);
        for effect in effects {
            let host = &self.hosts[at];
            self.checkers.on_effect(id(at), &effect, &host.disk, &host.view);
            self.carry_out(at, effect);
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Listen => self.host(at).listening = true,
            Effect::StopListening => self.host(at).listening = false,
            Effect::Connect { leader } => self.connect(at, leader),
            // No time passes for those who would answer.
            Effect::Send { packet: Packet::Ping { .. }, .. } => {}
            Effect::Send { link, packet } => self.send(at, link, Message::Packet(packet)),
            Effect::Close { link, .. } => {
                self.host(at).ends.remove(&link);
                self.hang_up(at, link, Message::Closed);
            }
            Effect::SendSnapshot { link, zxid } => {
                let view = &self.hosts[at].view;
                let content = view[..count_to(view, zxid)].to_vec();
                self.send(at, link, Message::Snapshot(zxid, content));
                self.step(at, Event::SnapshotSent { link });
            }
            Effect::ReadLog { link, from } => {
                let view = &self.hosts[at].view;
                let count = count_to(view, from);
                let txns = view[count..].iter().map(entry).collect();
                let read = LogRead { floor: last(&view[..count]), txns };
                self.step(at, Event::LogRead { link, read: Some(read) });
            }
            Effect::Drain { generation } => {
                self.host(at).draining = true;
                self.host(at).disk.queue.push_back(Op::Drain(generation));
            }
            Effect::Commit { zxid } => {
                let host = &self.hosts[at];
                let disks = self.hosts.iter().map(|host| &host.disk);
                let checkers = Arc::make_mut(&mut self.checkers);
                let shown = checkers.on_commit(host.shown, &host.view, zxid, disks);
                self.host(at).shown = shown;
            }
            Effect::Lead { epoch, last_zxid } => {
                Arc::make_mut(&mut self.checkers).on_lead(id(at), epoch, &self.hosts[at].view);
                self.host(at).last_zxid = Some(last_zxid);
            }
            Effect::StepDown { .. } | Effect::StopServing { .. } => {
                self.host(at).last_zxid = None;
            }
            effect => self.host(at).write(effect),
        }
    }

    fn connect(&mut self, at: usize, leader: ServerId) {
        let to = (0..3).find(|to| id(*to) == leader).expect("a member");
        if !self.hosts[to].listening {
            // It has led until now. Without time all attempts fail at once.
            for _ in 0..Timeouts::default().connect_attempts_max {
                self.step(at, Event::ConnectFailed { leader });
            }
            return;
        }
        let links = (0..).map(|nth| link_of(at, to, nth));
        let link = links.into_iter().find(|link| !self.is_used(*link)).expect("a free link");
        self.host(at).ends.insert(link, to);
        self.host(to).ends.insert(link, at);
        self.step(to, Event::Accepted { link });
        self.step(at, Event::Connected { leader, link });
    }

    /// Whether anybody knows of the link. The machine is promised that a number is used once; it
    /// cannot tell when it remembers none.
    fn is_used(&self, link: Link) -> bool {
        let used = |op: &Op| matches!(op, Op::Install { link: from, .. } if *from == link);
        let knows =
            |host: &Arc<Host>| host.ends.contains_key(&link) || host.disk.queue.iter().any(used);
        self.hosts.iter().any(knows)
    }

    fn send(&mut self, at: usize, link: Link, message: Message) {
        let Some(to) = self.hosts[at].ends.get(&link).copied() else { return };
        if self.hosts[to].ends.contains_key(&link) {
            self.wire(link, to).push(message);
        }
    }

    /// `at` has ended a link: what was under way to it is for nobody, and its peer will notice.
    fn hang_up(&mut self, at: usize, link: Link, message: Message) {
        self.forget_wire(link, at);
        if let Some(to) = (0..3).find(|to| self.hosts[*to].ends.contains_key(&link)) {
            self.wire(link, to).push(message);
        }
    }
}

impl Host {
    fn start(member: usize, disk: Disk) -> Self {
        let members = (0..3).map(id).collect();
        let settings = Settings {
            id: id(member),
            membership: Membership::new(members, Vec::new(), Arc::from(""), Zxid::ZERO),
            timeouts: Timeouts::default(),
            history: HistoryLimits::default(),
            resign_at_counter: RESIGN_AT_COUNTER,
        };
        Self {
            node: Node::new(settings),
            view: disk.log.clone(),
            disk,
            shown: 0,
            ends: BTreeMap::new(),
            incoming: BTreeMap::new(),
            listening: false,
            draining: false,
            last_zxid: None,
            prints: Prints::default(),
        }
    }

    /// What is asked of the disk.
    fn write(&mut self, effect: Effect) {
        match effect {
            Effect::Append { zxid, txn } => {
                let txn = (zxid, value(&txn));
                self.view.push(txn);
                self.disk.queue.push_back(Op::Append(txn));
            }
            Effect::SaveEpoch { epochs } => self.disk.saving = Some(epochs),
            Effect::Truncate { to } => self.disk.queue.push_back(Op::Truncate(to)),
            Effect::ReceiveSnapshot { link, .. } => {
                let content = self.incoming.remove(&link).expect("SNAP has a stream");
                self.disk.queue.push_back(Op::Install { link, content });
            }
            _ => {}
        }
    }

    /// While its history is replaced, a follower waits as long as that takes.
    fn may_leave(&self) -> bool {
        self.node.role() != Role::Looking && !self.node.member.log.is_rebuilding()
    }

    fn print(&self, print: &mut Print<'_>) {
        let Self {
            node,
            disk,
            view,
            shown,
            ends,
            incoming: _,
            listening,
            draining,
            last_zxid,
            prints: _,
        } = self;
        print::node(print, node);
        let Disk { log, epochs, queue, saving } = disk;
        txns(print, log);
        print.epochs(*epochs);
        print.list(queue, |print, op| match op {
            Op::Append(txn) => {
                print.word(1);
                self::txn(print, txn);
            }
            Op::Truncate(zxid) => {
                print.word(2);
                print.zxid(*zxid);
            }
            Op::Install { link, content } => {
                print.word(3);
                print.link(*link);
                txns(print, content);
            }
            Op::Drain(_) => print.word(4),
        });
        print.option(*saving, Print::epochs);
        txns(print, view);
        print.word(*shown as u64);
        print.all(ends.keys(), |print, link| print.link(*link));
        print.word(u64::from(*listening) << 1 | u64::from(*draining));
        print.option(*last_zxid, Print::zxid);
    }
}

impl Wire {
    fn print(&self, print: &mut Print<'_>) {
        let Self { link, to, messages } = self;
        print.link(*link);
        print.server(*to);
        print.list(messages.iter(), |print, message| match message {
            Message::Packet(packet) => {
                print.word(1);
                print::packet(print, packet);
            }
            Message::Snapshot(zxid, content) => {
                print.word(2);
                print.zxid(*zxid);
                txns(print, content);
            }
            Message::Closed => print.word(3),
            Message::Cut => print.word(4),
        });
    }
}

fn txn(print: &mut Print<'_>, (zxid, value): &Txn) {
    print.zxid(*zxid);
    print.word(*value);
}

fn txns(print: &mut Print<'_>, txns: &[Txn]) {
    print.list(txns, txn);
}

impl Checkers {
    fn print(&self, print: &mut Print<'_>) {
        let Self { committed, proposed, reigns } = self;
        txns(print, committed);
        print.list(proposed, |print, (zxid, value)| txn(print, &(*zxid, *value)));
        print.list(reigns, |print, (epoch, (_, began_with))| {
            print.epoch(*epoch);
            txns(print, began_with);
        });
    }
}

fn id(member: usize) -> ServerId {
    ServerId(i64::try_from(member).expect("three members") + 1)
}
