//! Time, the network, and the hosts that carry out what their nodes want.
//!
//! Connections deliver in order, late, or not at all: a direction that loses a message delivers
//! nothing more, and the connection is reset when the fault is over. Messages of the election may
//! come twice. Clients write, and ask for `sync`, at every member that serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use menagerie_replication::{
    Effect, Event, ForwardedRequest, HistoryLimits, Link, LogRead, Membership, Node, Packet,
    Recovered, Settings, Timeouts,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::{OpCode, ServerId, SessionId, Xid, Zxid};

use super::checkers::Checkers;
use super::disk::{Disk, Op, Txn, bytes, count_to, entry, last, value};
use super::rng::Rng;

/// What a seed decides beforehand.
pub(crate) struct Plan {
    voters: i64,
    observers: i64,
    /// How long faults go on.
    suffer_ms: u64,
    fault_every_ms: u64,
    write_every_ms: u64,
    /// How many of the clients' requests are syncs.
    sync_percent: u64,
    history: usize,
    resign_at_counter: u32,
    delay_ms_max: u64,
    disk_ms_max: u64,
    /// Votes that nobody cast are heard: elections err, and discovery must make up for it.
    rumours: bool,
}

impl Plan {
    pub(crate) fn by_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xabcd);
        Self {
            voters: if rng.chance(65) { 3 } else { 5 },
            observers: i64::from(rng.chance(30)),
            suffer_ms: rng.between(4_000, 16_000),
            fault_every_ms: rng.between(100, 1_500),
            write_every_ms: rng.between(5, 80),
            sync_percent: rng.between(5, 95),
            history: rng.between(0, 12) as usize,
            resign_at_counter: if rng.chance(25) { 30 } else { u32::MAX - 1 },
            delay_ms_max: rng.between(1, 40),
            disk_ms_max: rng.between(1, 60),
            rumours: rng.chance(40),
        }
    }
}

/// What a connection carries.
#[derive(Clone, Debug)]
enum Message {
    Packet(Packet),
    /// SNAP and its stream.
    Snapshot(Zxid, Vec<Txn>),
}

#[derive(Debug)]
enum Happening {
    Node(Event),
    Dial(ServerId),
    DiskDone,
    EpochsDone,
    Arrives(Link, Message),
    Reset(Link),
    SubmitWrite(u64),
    ClientWrites,
    Fault,
    Restart,
    DiskRecovers,
}

/// One end of a connection; both ends have the same number.
#[derive(Debug)]
struct End {
    peer: ServerId,
    /// When the last message sent here arrives: nothing overtakes it.
    busy_until_ms: u64,
    /// A message was lost: nothing more arrives.
    broken: bool,
}

struct Host {
    node: Option<Node>,
    incarnation: u64,
    disk: Disk,
    disk_busy: bool,
    disk_stuck: bool,
    /// The log as this process sees it: durable, or on its way.
    view: Vec<Txn>,
    /// How much of it was shown to clients.
    shown: usize,
    ends: BTreeMap<Link, End>,
    incoming: BTreeMap<Link, Vec<Txn>>,
    listening: bool,
    serving: bool,
    /// When a client last found it serving.
    served_at_ms: u64,
    /// As a leader: the zxid of the last proposal, while writes are taken.
    last_zxid: Option<Zxid>,
    /// What had been committed anywhere when each sync was asked for.
    syncs: BTreeMap<i32, Zxid>,
    tick_at_ms: Option<u64>,
}

pub(crate) struct World {
    plan: Plan,
    rng: Rng,
    now_ms: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), (ServerId, u64, Happening)>,
    hosts: BTreeMap<ServerId, Host>,
    /// Directions that lose everything.
    cut: BTreeSet<(ServerId, ServerId)>,
    election_until_ms: BTreeMap<(ServerId, ServerId), u64>,
    next_link: u64,
    next_value: u64,
    next_cxid: i32,
    /// Of a rumour: above those of honest votes.
    next_round: i64,
    suffering: bool,
    pub(crate) checkers: Checkers,
    /// A hash over everything that happened.
    pub(crate) trace: u64,
    pub(crate) verbose: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let ids = 1..=plan.voters + plan.observers;
        let mut world = Self {
            plan,
            rng: Rng::new(seed),
            now_ms: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            hosts: BTreeMap::new(),
            cut: BTreeSet::new(),
            election_until_ms: BTreeMap::new(),
            next_link: 0,
            next_value: 0,
            next_cxid: 0,
            next_round: 1_000,
            suffering: true,
            checkers: Checkers::default(),
            trace: 0,
            verbose: false,
        };
        for id in ids.map(ServerId) {
            world.hosts.insert(id, Host::new());
            let start_ms = world.rng.below(300);
            world.at(start_ms, id, Happening::Restart);
            world.at(start_ms + 500, id, Happening::ClientWrites);
        }
        world.at(1_000, ServerId(1), Happening::Fault);
        world
    }

    /// Faults happen.
    pub(crate) fn suffer(&mut self) {
        self.run_until(self.plan.suffer_ms);
    }

    /// All faults end; the ensemble must come to serve everywhere, and commit.
    pub(crate) fn heal(&mut self) {
        self.suffering = false;
        self.cut.clear();
        for id in self.ids() {
            let links: Vec<Link> = self.host(id).ends.keys().copied().collect();
            for link in links {
                if self.host(id).ends[&link].broken {
                    self.reset(id, link);
                }
            }
            self.host(id).disk_stuck = false;
            self.poke_disk(id);
            self.at(10, id, Happening::Restart);
            for peer in self.ids().into_iter().filter(|peer| *peer != id) {
                self.node_event(20, id, Event::ElectionLinkUp { peer });
            }
        }
        let before = last(self.checkers.committed());
        let healed_ms = self.now_ms;
        let patience_ms = 30_000;
        while self.now_ms < healed_ms + patience_ms {
            self.run_until(self.now_ms + 200);
            let commits = last(self.checkers.committed()) > before;
            // Where epochs end after a few transactions somebody is always on the way.
            if commits && self.hosts.values().all(|host| host.served_at_ms > healed_ms) {
                return;
            }
        }
        panic!("not healed after {patience_ms} ms: {}", self.state());
    }

    fn state(&self) -> String {
        let one = |(id, host): (&ServerId, &Host)| {
            let node = host.node.as_ref();
            let role = node.map(|node| (node.role(), node.leader(), node.epoch()));
            format!("{id}: {role:?} at {} {:?};", last(&host.disk.log), host.disk.epochs)
        };
        self.hosts.iter().map(one).collect()
    }

    fn run_until(&mut self, until_ms: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until_ms {
                break;
            }
            let ((at_ms, _), (id, incarnation, happening)) = entry.remove_entry();
            self.now_ms = at_ms;
            self.happen(id, incarnation, happening);
        }
        self.now_ms = until_ms;
    }

    fn ids(&self) -> Vec<ServerId> {
        self.hosts.keys().copied().collect()
    }

    fn host(&mut self, id: ServerId) -> &mut Host {
        self.hosts.get_mut(&id).expect("a host of this world")
    }

    fn at(&mut self, in_ms: u64, id: ServerId, happening: Happening) {
        self.sequence += 1;
        let incarnation = self.hosts.get(&id).map_or(0, |host| host.incarnation);
        self.queue.insert((self.now_ms + in_ms, self.sequence), (id, incarnation, happening));
    }

    fn node_event(&mut self, in_ms: u64, id: ServerId, event: Event) {
        self.at(in_ms, id, Happening::Node(event));
    }

    fn happen(&mut self, id: ServerId, incarnation: u64, happening: Happening) {
        let mine = self.host(id).incarnation == incarnation;
        match happening {
            Happening::Restart => self.restart(id),
            Happening::Fault => self.fault(),
            Happening::ClientWrites => self.client_writes(id),
            Happening::DiskRecovers => {
                self.host(id).disk_stuck = false;
                self.poke_disk(id);
            }
            _ if !mine => {}
            Happening::Node(event) => self.step(id, event),
            Happening::Dial(leader) => self.dial(id, leader),
            Happening::DiskDone => self.disk_done(id),
            Happening::EpochsDone => self.epochs_done(id),
            Happening::Arrives(link, message) => self.arrives(id, link, message),
            Happening::Reset(link) => {
                if self.host(id).ends.remove(&link).is_some() {
                    self.step(id, Event::Closed { link });
                }
            }
            Happening::SubmitWrite(value) => self.submit_write(id, value),
        }
    }

    // ---- the node ----

    fn restart(&mut self, id: ServerId) {
        if self.host(id).node.is_some() {
            return;
        }
        let plan = &self.plan;
        let voters = (1..=plan.voters).map(ServerId).collect();
        let observers = (plan.voters + 1..=plan.voters + plan.observers).map(ServerId).collect();
        let settings = Settings {
            id,
            membership: Membership::new(voters, observers, Arc::from("version=0"), Zxid::ZERO),
            timeouts: Timeouts { tick_ms: 200, ..Timeouts::default() },
            history: HistoryLimits { txns_max: plan.history, bytes_max: 1 << 20 },
            resign_at_counter: plan.resign_at_counter,
        };
        let skip = self.rng.next() as usize;
        let host = self.host(id);
        host.incarnation += 1;
        host.node = Some(Node::new(settings));
        host.view = host.disk.log.clone();
        let skip = skip % (host.view.len() + 1);
        let recovered = Recovered {
            last_logged: last(&host.view),
            epochs: host.disk.epochs,
            before_tail: last(&host.view[..skip]),
            tail: host.view[skip..].iter().map(entry).collect(),
        };
        self.step(id, Event::Started(recovered));
        for peer in self.ids() {
            if peer != id && self.hosts[&peer].node.is_some() && self.open(id, peer) {
                self.node_event(1, id, Event::ElectionLinkUp { peer });
                self.node_event(1, peer, Event::ElectionLinkUp { peer: id });
            }
        }
    }

    fn crash(&mut self, id: ServerId) {
        if self.hosts[&id].node.is_none() {
            return;
        }
        let (survives, epochs_survive) = (self.rng.next() as usize, self.rng.chance(50));
        let host = self.host(id);
        host.node = None;
        host.incarnation += 1;
        host.disk.crash(survives % (host.disk.queue.len() + 1), epochs_survive);
        host.process_ended();
        let ends = std::mem::take(&mut host.ends);
        for (link, end) in ends {
            if self.open(id, end.peer) {
                self.at(1, end.peer, Happening::Reset(link));
            }
        }
        for peer in self.ids() {
            if peer != id && self.open(id, peer) {
                self.node_event(2, peer, Event::ElectionLinkDown { peer: id });
            }
        }
        self.checkers.check_quorum_durable(voters(&self.hosts, self.plan.voters));
        let away_ms = self.rng.between(20, 2_500);
        self.at(away_ms, id, Happening::Restart);
    }

    fn step(&mut self, id: ServerId, event: Event) {
        let now_ms = self.now_ms;
        let Some(node) = &mut self.hosts.get_mut(&id).expect("a host").node else { return };
        let mut effects = Vec::new();
        if self.verbose {
            eprintln!("{now_ms:>6} {id} ◄ {event:?}");
        }
        self.trace = self.trace.rotate_left(5) ^ now_ms ^ (id.0 as u64) << 48;
        node.step(event, now_ms, &mut effects);
        for effect in effects {
            if self.verbose {
                eprintln!("{now_ms:>6} {id}   ► {effect:?}");
            }
            self.trace = (self.trace ^ kind(&effect)).wrapping_mul(0x0100_0000_01b3);
            let host = &self.hosts[&id];
            self.checkers.on_effect(id, &effect, &host.disk, &host.view);
            self.carry_out(id, effect);
        }
        let Some(node) = &self.hosts[&id].node else { return };
        let due_ms = node.deadline_ms();
        if due_ms.is_some() && due_ms != self.hosts[&id].tick_at_ms {
            self.host(id).tick_at_ms = due_ms;
            let in_ms = due_ms.unwrap_or(0).saturating_sub(now_ms);
            if in_ms < 1 << 40 {
                self.node_event(in_ms, id, Event::Tick);
            }
        }
    }

    fn carry_out(&mut self, id: ServerId, effect: Effect) {
        match effect {
            Effect::Notify { to, state, vote } => {
                let event = Event::Notified { from: id, state, vote, version: 2 };
                self.notify(id, to, event);
            }
            Effect::Listen => self.host(id).listening = true,
            Effect::StopListening => self.host(id).listening = false,
            Effect::Connect { leader } => {
                let in_ms = self.delay();
                self.at(in_ms, id, Happening::Dial(leader));
            }
            Effect::Send { link, packet } => self.send(id, link, Message::Packet(packet)),
            Effect::Close { link, .. } => {
                if let Some(end) = self.host(id).ends.remove(&link) {
                    // What was sent arrives first.
                    let in_ms = (end.busy_until_ms + 1).saturating_sub(self.now_ms).max(1);
                    if self.open(id, end.peer) {
                        self.at(in_ms, end.peer, Happening::Reset(link));
                    }
                }
            }
            Effect::SendSnapshot { link, zxid } => {
                let view = &self.hosts[&id].view;
                let content = view[..count_to(view, zxid)].to_vec();
                assert!(last(&content) == zxid, "{id} has no tree at {zxid}");
                self.send(id, link, Message::Snapshot(zxid, content));
                self.node_event(5, id, Event::SnapshotSent { link });
            }
            Effect::ReadLog { link, from } => self.read_log(id, link, from),
            Effect::Append { zxid, txn } => {
                let value = value(&txn);
                self.host(id).view.push((zxid, value));
                self.write(id, Op::Append((zxid, value)));
            }
            Effect::SaveEpoch { epochs } => {
                self.host(id).disk.saving = Some(epochs);
                let in_ms = self.rng.below(self.plan.disk_ms_max + 1);
                self.at(in_ms, id, Happening::EpochsDone);
            }
            Effect::Truncate { to } => self.write(id, Op::Truncate(to)),
            Effect::ReceiveSnapshot { link, .. } => {
                let content = self.host(id).incoming.remove(&link).expect("SNAP has a stream");
                self.write(id, Op::Install { link, content });
            }
            Effect::Drain { generation } => self.write(id, Op::Drain(generation)),
            effect => self.carry_out_role(id, effect),
        }
    }

    fn carry_out_role(&mut self, id: ServerId, effect: Effect) {
        match effect {
            Effect::Commit { zxid } => {
                let host = &self.hosts[&id];
                let voters = voters(&self.hosts, self.plan.voters);
                let shown = self.checkers.on_commit(host.shown, &host.view, zxid, voters);
                self.host(id).shown = shown;
            }
            Effect::Lead { epoch, last_zxid } => {
                self.checkers.on_lead(id, epoch, &self.hosts[&id].view);
                let host = self.host(id);
                host.serving = true;
                host.last_zxid = Some(last_zxid);
            }
            Effect::Follow { .. } | Effect::Observe { .. } => self.host(id).serving = true,
            Effect::StepDown { .. } => self.host(id).last_zxid = None,
            Effect::StopServing { .. } => self.host(id).stop_serving(),
            Effect::Halt => self.crash(id),
            Effect::Request { request, .. } => {
                let value = value(&request.body);
                self.at(0, id, Happening::SubmitWrite(value));
            }
            Effect::Synced { cxid, .. } => {
                let host = self.host(id);
                let asked_at = host.syncs.remove(&cxid.0).expect("a sync that was asked for");
                let shown = last(&host.view[..host.shown]);
                assert!(shown >= asked_at, "{id} answers sync at {shown}, {asked_at} was shown");
            }
            _ => {}
        }
    }

    // ---- clients ----

    fn client_writes(&mut self, id: ServerId) {
        let in_ms = 1 + self.rng.below(self.plan.write_every_ms * self.hosts.len() as u64);
        self.at(in_ms, id, Happening::ClientWrites);
        if !self.hosts[&id].serving {
            return;
        }
        self.host(id).served_at_ms = self.now_ms;
        self.next_value += 1;
        let value = self.next_value;
        let leads = self.hosts[&id].last_zxid.is_some();
        if self.rng.chance(self.plan.sync_percent) {
            self.next_cxid += 1;
            let cxid = self.next_cxid;
            let asked_at = last(self.checkers.committed());
            self.host(id).syncs.insert(cxid, asked_at);
            self.step(id, Event::Request(request(OpCode::Sync, cxid, value)));
        } else if leads {
            self.submit_write(id, value);
        } else if self.hosts[&id].node.as_ref().is_some_and(|n| n.leader() != Some(id)) {
            self.step(id, Event::Request(request(OpCode::SetData, 0, value)));
        }
    }

    fn submit_write(&mut self, id: ServerId, value: u64) {
        let Some(last_zxid) = self.hosts[&id].last_zxid else { return };
        let zxid = last_zxid.next();
        self.host(id).last_zxid = Some(zxid);
        self.checkers.on_propose((zxid, value));
        self.step(id, Event::Propose { zxid, txn: bytes(value) });
    }

    // ---- the network ----

    fn delay(&mut self) -> u64 {
        let slow = self.suffering && self.rng.chance(2);
        self.rng.between(1, if slow { 800 } else { self.plan.delay_ms_max })
    }

    fn open(&self, from: ServerId, to: ServerId) -> bool {
        !self.cut.contains(&(from, to))
    }

    fn notify(&mut self, from: ServerId, to: ServerId, event: Event) {
        if !self.open(from, to) {
            return;
        }
        let again = self.suffering && self.rng.chance(3);
        for _ in 0..=u64::from(again) {
            let sent_ms = self.now_ms + self.delay();
            let until_ms = self.election_until_ms.entry((from, to)).or_default();
            *until_ms = sent_ms.max(*until_ms);
            let in_ms = *until_ms - self.now_ms;
            self.node_event(in_ms, to, event.clone());
        }
    }

    fn dial(&mut self, id: ServerId, leader: ServerId) {
        let reachable = self.open(id, leader) && self.open(leader, id);
        if !reachable || !self.hosts[&leader].listening {
            self.step(id, Event::ConnectFailed { leader });
            return;
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        let end = |peer| End { peer, busy_until_ms: 0, broken: false };
        self.host(leader).ends.insert(link, end(id));
        self.host(id).ends.insert(link, end(leader));
        self.step(leader, Event::Accepted { link });
        self.step(id, Event::Connected { leader, link });
    }

    fn send(&mut self, id: ServerId, link: Link, message: Message) {
        let delay_ms = self.delay();
        let now_ms = self.now_ms;
        let Some(end) = self.hosts.get_mut(&id).expect("a host").ends.get_mut(&link) else {
            return;
        };
        let peer = end.peer;
        if self.cut.contains(&(id, peer)) {
            end.broken = true;
        }
        if end.broken {
            return;
        }
        end.busy_until_ms = end.busy_until_ms.max(now_ms + delay_ms);
        let in_ms = end.busy_until_ms - now_ms;
        self.at(in_ms, peer, Happening::Arrives(link, message));
    }

    fn arrives(&mut self, id: ServerId, link: Link, message: Message) {
        let Some(end) = self.hosts[&id].ends.get(&link) else { return };
        let peer = end.peer;
        if !self.open(peer, id) {
            if let Some(end) = self.host(peer).ends.get_mut(&link) {
                end.broken = true;
            }
            return;
        }
        if self.hosts[&peer].ends.get(&link).is_some_and(|end| end.broken) {
            return;
        }
        let packet = match message {
            Message::Packet(packet) => packet,
            Message::Snapshot(zxid, content) => {
                self.host(id).incoming.insert(link, content);
                Packet::Snap { zxid }
            }
        };
        self.step(id, Event::Received { link, packet });
    }

    /// The connection ends at both ends.
    fn reset(&mut self, id: ServerId, link: Link) {
        let Some(end) = self.hosts[&id].ends.get(&link) else { return };
        let peer = end.peer;
        self.at(1, id, Happening::Reset(link));
        self.at(2, peer, Happening::Reset(link));
    }

    fn read_log(&mut self, id: ServerId, link: Link, from: Zxid) {
        let (refuses, count) = (self.rng.chance(20), self.rng.between(1, 8) as usize);
        let view = &self.hosts[&id].view;
        let at = count_to(view, from);
        let read = LogRead {
            floor: last(&view[..at]),
            txns: view[at..].iter().take(count).map(entry).collect(),
        };
        let in_ms = self.delay();
        self.node_event(in_ms, id, Event::LogRead { link, read: (!refuses).then_some(read) });
    }

    // ---- the disk ----

    fn write(&mut self, id: ServerId, op: Op) {
        self.host(id).disk.queue.push_back(op);
        self.poke_disk(id);
    }

    fn poke_disk(&mut self, id: ServerId) {
        let host = self.host(id);
        let drains = matches!(host.disk.queue.front(), Some(Op::Drain(_)));
        let waits = drains && host.disk.saving.is_some();
        if host.disk_busy || host.disk_stuck || host.disk.queue.is_empty() || waits {
            return;
        }
        host.disk_busy = true;
        let in_ms = self.rng.below(self.plan.disk_ms_max + 1);
        self.at(in_ms, id, Happening::DiskDone);
    }

    fn disk_done(&mut self, id: ServerId) {
        self.host(id).disk_busy = false;
        if self.hosts[&id].disk_stuck {
            return;
        }
        let batch = self.rng.between(1, 20);
        let mut logged = None;
        for _ in 0..batch {
            let disk = &mut self.host(id).disk;
            let Some(Op::Append(txn)) = disk.queue.front().cloned() else { break };
            let op = disk.queue.pop_front().expect("the front is there");
            disk.apply(&op);
            logged = Some(txn.0);
        }
        if let Some(zxid) = logged {
            self.step(id, Event::Logged { zxid });
        } else if let Some(op) = self.host(id).disk.queue.pop_front() {
            self.complete(id, &op);
        }
        self.poke_disk(id);
    }

    fn epochs_done(&mut self, id: ServerId) {
        if self.hosts[&id].disk_stuck {
            self.at(50, id, Happening::EpochsDone);
            return;
        }
        let disk = &mut self.host(id).disk;
        disk.save_epochs();
        let epochs = disk.epochs;
        self.step(id, Event::EpochSaved { epochs });
        self.poke_disk(id);
    }

    fn complete(&mut self, id: ServerId, op: &Op) {
        if let Op::Install { link, .. } = op
            && !self.hosts[&id].ends.contains_key(link)
            && self.rng.chance(50)
        {
            // The stream broke off: nothing was installed.
            return;
        }
        assert!(!matches!(op, Op::Append(_)), "appends complete in batches");
        let host = self.host(id);
        let event = host.disk.complete(op);
        host.view = host.disk.log.clone();
        assert!(host.view.len() >= host.shown, "{id} has lost what it showed to clients");
        self.checkers.check_quorum_durable(voters(&self.hosts, self.plan.voters));
        self.checkers.check_histories(voters(&self.hosts, self.plan.voters));
        self.step(id, event);
    }

    // ---- faults ----

    fn fault(&mut self) {
        if !self.suffering {
            return;
        }
        let in_ms = 1 + self.rng.below(2 * self.plan.fault_every_ms);
        self.at(in_ms, ServerId(1), Happening::Fault);
        let ids = self.ids();
        let Some(id) = self.rng.pick(&ids) else { return };
        match self.rng.below(if self.plan.rumours { 14 } else { 10 }) {
            0..=2 => self.crash(id),
            10.. => self.rumour(id),
            3 => self.cut_off(id),
            4 => {
                let other = self.rng.pick(&ids).unwrap_or(id);
                if other != id {
                    self.cut(id, other);
                }
            }
            5 | 6 => self.mend(),
            7 => {
                let links: Vec<Link> = self.hosts[&id].ends.keys().copied().collect();
                if let Some(link) = self.rng.pick(&links) {
                    self.reset(id, link);
                }
            }
            8 => {
                self.host(id).disk_stuck = true;
                let stuck_ms = self.rng.between(100, 3_000);
                self.at(stuck_ms, id, Happening::DiskRecovers);
            }
            _ => {
                self.step(id, Event::DiskFailed);
            }
        }
    }

    /// Everybody who looks for a leader hears that `id` is it, and `id` that all others want it.
    fn rumour(&mut self, id: ServerId) {
        if id.0 > self.plan.voters {
            return;
        }
        let disk = &self.hosts[&id].disk;
        let (zxid, peer_epoch) = (last(&disk.log), i64::from(disk.epochs.current.0));
        self.next_round += 1;
        let vote = Vote { leader: id, zxid, round: self.next_round, peer_epoch };
        for to in self.ids() {
            for from in (1..=self.plan.voters).map(ServerId).filter(|from| *from != to) {
                let state = match from {
                    _ if to == id => ServerState::Looking,
                    from if from == id => ServerState::Leading,
                    _ => ServerState::Following,
                };
                self.node_event(1, to, Event::Notified { from, state, vote, version: 2 });
            }
        }
    }

    /// All directions to and from one member are cut, or only those to it. The others may notice at
    /// once, and it only later: if it led, there are two leaders for a while.
    fn cut_off(&mut self, id: ServerId) {
        if self.rng.chance(50) {
            let ends = self.hosts[&id].ends.iter().map(|(link, end)| (*link, end.peer));
            for (link, peer) in ends.collect::<Vec<_>>() {
                self.at(1, peer, Happening::Reset(link));
                self.host(id).ends.entry(link).and_modify(|end| end.broken = true);
            }
        }
        let both = self.rng.chance(60);
        for other in self.ids().into_iter().filter(|other| *other != id) {
            self.cut(other, id);
            if both {
                self.cut(id, other);
            }
        }
    }

    fn cut(&mut self, from: ServerId, to: ServerId) {
        self.cut.insert((from, to));
        if self.rng.chance(50) {
            self.node_event(30, from, Event::ElectionLinkDown { peer: to });
        }
    }

    fn mend(&mut self) {
        for (from, to) in std::mem::take(&mut self.cut) {
            self.node_event(5, from, Event::ElectionLinkUp { peer: to });
        }
        for id in self.ids() {
            let broken = |(link, end): (&Link, &End)| end.broken.then_some(*link);
            let links: Vec<Link> = self.hosts[&id].ends.iter().filter_map(broken).collect();
            for link in links {
                self.reset(id, link);
            }
        }
    }
}

impl Host {
    fn new() -> Self {
        Self {
            node: None,
            incarnation: 0,
            disk: Disk::default(),
            disk_busy: false,
            disk_stuck: false,
            view: Vec::new(),
            shown: 0,
            ends: BTreeMap::new(),
            incoming: BTreeMap::new(),
            listening: false,
            serving: false,
            served_at_ms: 0,
            last_zxid: None,
            syncs: BTreeMap::new(),
            tick_at_ms: None,
        }
    }

    fn stop_serving(&mut self) {
        self.serving = false;
        self.last_zxid = None;
        self.syncs.clear();
    }

    fn process_ended(&mut self) {
        self.stop_serving();
        self.view.clear();
        self.shown = 0;
        self.incoming.clear();
        self.listening = false;
        self.disk_busy = false;
        self.tick_at_ms = None;
    }
}

fn voters(hosts: &BTreeMap<ServerId, Host>, voters: i64) -> impl Iterator<Item = &Disk> + Clone {
    hosts.iter().filter(move |(id, _)| id.0 <= voters).map(|(_, host)| &host.disk)
}

fn request(op: OpCode, cxid: i32, value: u64) -> ForwardedRequest {
    let session = SessionId(1);
    ForwardedRequest { session, cxid: Xid(cxid), op, body: bytes(value), authinfo: None }
}

/// A number for the kind of an effect, and the zxid in it.
fn kind(effect: &Effect) -> u64 {
    match effect {
        Effect::Notify { to, vote, .. } => 1 ^ (to.0 as u64) << 8 ^ (vote.zxid.0 as u64) << 16,
        Effect::Send { link, .. } => 2 ^ link.0 << 8,
        Effect::Append { zxid, .. } => 3 ^ (zxid.0 as u64) << 8,
        Effect::Commit { zxid } => 4 ^ (zxid.0 as u64) << 8,
        Effect::Lead { epoch, .. } => 5 ^ u64::from(epoch.0) << 8,
        Effect::Drain { generation } => 6 ^ generation << 8,
        _ => 7,
    }
}
