//! A whole ensemble in one thread: the real recovery, log, store, sequencer and shards of several
//! members, with a network, disks, clocks and clients that fail by seed or by script.
//!
//! Time is a number, and moves from one thing that happens to the next: an idle world costs nothing
//! but its heartbeats. Everything random comes from one generator, everything that happens is
//! hashed into a [`Trace`], so that one seed and one commit are one run, in debug and in release.
//!
//! | file | what fails there |
//! | --- | --- |
//! | `network.rs` | connections: late, held back one way or both, broken |
//! | `storage.rs`, `crash.rs` | disks: slow, full, failing, torn, without what was not synced |
//! | `clock.rs` | clocks: fast, slow, set to another time; processes that hang |
//! | `faults.rs` | who suffers what, and when, by seed |
//! | `script.rs` | the same by hand: ambushes for packets, waiting for conditions |
//!
//! `machine.rs` is a member; `peers.rs` and `doors.rs` are its two sides, towards other members and
//! towards clients; [`Observer`] holds every step against what must always be true, and the
//! history that clients record is judged by [`crate::checkers`].
//!
//! What is not here: the waiting halves of the server, its sockets and its ring.

mod client;
mod clock;
mod crash;
mod doors;
mod faults;
mod machine;
mod mutants;
mod network;
mod observer;
mod peers;
mod plan;
mod run;
mod script;
mod storage;
mod trace;
mod workload;

use std::collections::BTreeMap;

use menagerie::sequencer::Now;
use menagerie_replication::{Event, Link};
use menagerie_wire::{ServerId, Zxid};

pub use client::Client;
pub use clock::Clock;
pub use faults::Fault;
pub use machine::{Machine, StartError};
pub use mutants::Mutant;
pub use network::{ConnectionId, Network, Place};
pub use observer::Observer;
pub use plan::Plan;
pub use run::{Report, run};
pub use script::{Action, Crash};
pub use trace::Trace;

use crate::history::Record;
use crate::random::Random;
use client::Visit;
use faults::Suffering;
use machine::Process;
use network::{Flow, Parcel, Port};
use script::Ambush;

/// However slow a disk is, it ends what it was asked for within this.
const DISK_US_MAX: u64 = 30_000_000;

/// What happens to a process.
#[derive(Debug)]
enum Input {
    /// Bytes or the end of a connection.
    Parcel {
        port: Port,
        connection: ConnectionId,
        from: Place,
        parcel: Parcel,
    },
    /// Something that the sequencer is told at once.
    Event(Event),
    /// A client has connected.
    Admit {
        connection: ConnectionId,
        client: u32,
    },
    Tick,
    Dial {
        leader: ServerId,
    },
    Call(ServerId),
    SnapshotSent(Link),
    LogDone,
    EpochsSaved,
    JobDone,
    LogRead {
        link: Link,
        from: Zxid,
    },
    SnapshotKept,
}

/// What happens in the world.
#[derive(Debug)]
enum Happening {
    /// To one process; the number says to which of its machine.
    Input(ServerId, u64, Input),
    /// Something may arrive.
    Arrival(Flow),
    Start(ServerId),
    /// A process that hung goes on.
    Resume(ServerId),
    Client(u32, Visit),
    /// The next fault by seed.
    Fault,
    DiskRecovers(ServerId),
    /// One direction is cut no more.
    Unclog(Place, Place),
}

/// An ensemble and all around it.
pub struct World {
    plan: Plan,
    random: Random,
    now_us: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    network: Network,
    machines: BTreeMap<ServerId, Machine>,
    clients: BTreeMap<u32, Client>,
    records: Vec<Record>,
    /// Clients want nothing of their own any more.
    resting: bool,
    observer: Observer,
    suffering: Suffering,
    ambushes: Vec<Ambush>,
    /// For the next parcel that is sent.
    extra_delay_us: u64,
    trace: Trace,
}

impl World {
    #[must_use]
    pub fn new(plan: Plan, verbose: bool) -> Self {
        let voters = plan.members().filter(|id| plan.is_voter(*id)).collect::<Vec<_>>();
        let mut world = Self {
            random: Random::new(plan.seed),
            now_us: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            network: Network::default(),
            machines: plan.members().map(|id| (id, Machine::new(id))).collect(),
            clients: BTreeMap::new(),
            records: Vec::new(),
            resting: false,
            observer: Observer::new(voters, plan.members()),
            suffering: Suffering::default(),
            ambushes: Vec::new(),
            extra_delay_us: 0,
            trace: Trace::new(verbose),
            plan,
        };
        for id in world.plan.members() {
            let in_us = world.random_us((0, 300_000));
            world.happens_in(in_us, Happening::Start(id));
        }
        world.admit_clients();
        world.begin_to_suffer();
        world
    }

    #[must_use]
    pub const fn now_us(&self) -> u64 {
        self.now_us
    }

    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    pub fn members(&self) -> impl Iterator<Item = ServerId> + use<> {
        self.plan.members()
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// What clients saw.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    #[must_use]
    pub const fn observer(&self) -> &Observer {
        &self.observer
    }

    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn machine(&self, id: ServerId) -> &Machine {
        &self.machines[&id]
    }

    /// # Panics
    /// When there is no such member.
    pub fn machine_mut(&mut self, id: ServerId) -> &mut Machine {
        self.machines.get_mut(&id).expect("a member of this world")
    }

    /// A process that is known to run.
    fn process(&mut self, id: ServerId) -> &mut Process {
        self.machine_mut(id).process.as_mut().expect("a process that runs")
    }

    fn node_now(&self, id: ServerId) -> Now {
        self.machines[&id].clock.now(self.now_us)
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.plan.mutant == Some(mutant)
    }

    // ---- time ----

    fn random_us(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.random.number() % (to - from + 1)
    }

    fn happens_in(&mut self, in_us: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now_us + in_us, self.sequence), happening);
    }

    /// Something happens to the process that runs now, unless it ends before.
    fn input_in(&mut self, in_us: u64, id: ServerId, input: Input) {
        let incarnation = self.machines[&id].incarnation;
        self.happens_in(in_us, Happening::Input(id, incarnation, input));
    }

    /// The disk ends something.
    fn disk_input(&mut self, id: ServerId, usual_us: (u64, u64), input: Input) {
        let in_us = self.random_us(usual_us) * self.machines[&id].disk_slowness;
        self.input_in(in_us.min(DISK_US_MAX), id, input);
    }

    /// Lets the next thing happen. False when there is none.
    pub fn step(&mut self) -> bool {
        let Some(((at_us, _), happening)) = self.queue.pop_first() else { return false };
        self.now_us = at_us;
        self.happen(happening);
        true
    }

    /// Lets everything happen that does until then.
    pub fn run_until(&mut self, until_us: u64) {
        while self.queue.first_key_value().is_some_and(|((at_us, _), _)| *at_us <= until_us) {
            self.step();
        }
        self.now_us = until_us;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(id, incarnation, input) => {
                if self.machines[&id].incarnation == incarnation {
                    self.reach(id, input);
                }
            }
            Happening::Arrival(flow) => self.arrive(flow),
            Happening::Start(id) => self.start(id),
            Happening::Resume(id) => self.resume(id),
            Happening::Client(number, visit) => self.visit(number, visit),
            Happening::Fault => self.suffer(),
            Happening::DiskRecovers(id) => self.disk_recovers(id),
            Happening::Unclog(from, to) => self.mend_one(from, to),
        }
    }

    // ---- the network ----

    /// Sends on a connection, if it is open here.
    fn send(&mut self, connection: ConnectionId, here: Place, parcel: Parcel) {
        if let Parcel::Bytes(bytes) = &parcel {
            self.trace.bytes(bytes);
        }
        let delay_us =
            self.random_us(self.plan.delay_us) + std::mem::take(&mut self.extra_delay_us);
        let arrives_us = self.now_us + delay_us;
        if let Some((flow, at_us)) = self.network.send(connection, here, parcel, arrives_us) {
            self.happens_in(at_us - self.now_us, Happening::Arrival(flow));
        }
    }

    fn arrive(&mut self, flow: Flow) {
        let Some((port, from, to, parcel)) = self.network.arrive(flow) else { return };
        match to {
            Place::Node(id) => {
                let connection = flow.connection;
                self.reach(id, Input::Parcel { port, connection, from, parcel });
            }
            Place::Client(number) => self.client_parcel(number, flow.connection, parcel),
        }
    }

    /// What is sent from one place to the other is held back.
    pub fn cut(&mut self, from: Place, to: Place) {
        self.network.cut(from, to);
    }

    /// Nothing is held back any more.
    pub fn mend(&mut self) {
        for (from, to) in self.network.cuts().collect::<Vec<_>>() {
            self.mend_one(from, to);
        }
    }

    fn mend_one(&mut self, from: Place, to: Place) {
        for flow in self.network.mend(from, to) {
            let in_us = self.random_us(self.plan.delay_us);
            self.happens_in(in_us, Happening::Arrival(flow));
        }
    }

    /// A connection ends at both ends.
    fn break_connection(&mut self, connection: ConnectionId) {
        for (place, input) in self.network.break_off(connection) {
            match place {
                Place::Node(id) => self.input_in(0, id, input_of_end(connection, input)),
                Place::Client(number) => self.client_parcel(number, connection, Parcel::End),
            }
        }
    }

    // ---- processes ----

    /// Something reaches a process, or waits until it does not hang any more.
    fn reach(&mut self, id: ServerId, input: Input) {
        let machine = self.machine_mut(id);
        if machine.process.is_none() {
            return;
        }
        if let Some(backlog) = &mut machine.backlog {
            return backlog.push_back(input);
        }
        if self.take(id, input) {
            self.turn(id);
        }
    }

    /// A process is told. False when it ended of it.
    fn take(&mut self, id: ServerId, input: Input) -> bool {
        let now = self.node_now(id);
        let process = self.process(id);
        process.led |= process.leads();
        self.trace.note(self.now_us, &[id.0 as u64, input.kind()], || format!("{id} {input:?}"));
        let done = match input {
            Input::LogDone => self.log_done(id),
            Input::EpochsSaved => self.epochs_saved(id),
            Input::JobDone => self.job_done(id),
            Input::SnapshotKept => self.snapshot_kept(id),
            input => {
                self.take_word(id, input, now);
                Ok(())
            }
        };
        if let Err(error) = done {
            self.fail(id, &error);
        }
        self.machines[&id].is_up()
    }

    fn take_word(&mut self, id: ServerId, input: Input, now: Now) {
        match input {
            Input::Parcel { port: Port::Quorum, connection, parcel, .. } => {
                self.quorum_parcel(id, connection, parcel);
            }
            Input::Parcel { port: Port::Election, connection, from: Place::Node(from), parcel } => {
                self.election_parcel(id, from, connection, parcel);
            }
            Input::Parcel { connection, parcel: Parcel::Bytes(bytes), .. } => {
                self.process(id).receive(connection, &bytes, now);
            }
            Input::Parcel { connection, parcel: Parcel::End, .. } => {
                self.process(id).lost(connection);
            }
            Input::Event(event) => self.tell(id, event),
            Input::LogRead { link, from } => self.log_read(id, link, from),
            Input::SnapshotSent(link) => self.tell(id, Event::SnapshotSent { link }),
            Input::Admit { connection, client } => {
                self.process(id).admit(connection, client, now);
            }
            Input::Tick => self.tick(id, now),
            Input::Dial { leader } => self.dial(id, leader),
            Input::Call(peer) => self.call(id, peer),
            Input::LogDone | Input::EpochsSaved | Input::JobDone | Input::SnapshotKept => {
                unreachable!("the disk's")
            }
        }
    }

    fn tell(&mut self, id: ServerId, event: Event) {
        let now = self.node_now(id);
        let process = self.process(id);
        process.sequencer.on_event(event, now, &mut process.out);
    }

    fn tick(&mut self, id: ServerId, now: Now) {
        let half_tick_us = self.plan.tick_ms * 500;
        let stuck_us = self.plan.stuck_us();
        let now_us = self.now_us;
        let process = self.process(id);
        if process.tick_at_us > now_us {
            // Another one has been set since.
            return;
        }
        process.tick_at_us = u64::MAX;
        process.look_for_stuck_disk(id, now_us, stuck_us);
        process.looked_at_us = now_us;
        process.sequencer.on_tick(now, &mut process.out);
        if now_us >= process.touched_at_us + half_tick_us {
            process.touched_at_us = now_us;
            for shard in &mut process.shards {
                shard.hand_over_touched(None);
            }
        }
        let idle = process.writer.as_mut().map(|writer| writer.mark_idle());
        match idle.transpose() {
            Ok(Some(true)) => self.disk_input(id, self.plan.commit_us, Input::LogDone),
            Ok(_) => {}
            Err(error) => self.fail(id, &error.into()),
        }
    }

    /// Carries out what a process wants done, until it has nothing left.
    fn turn(&mut self, id: ServerId) {
        loop {
            let now = self.node_now(id);
            let process = self.process(id);
            process.sequencer.settle(&mut process.out);
            if let Err(error) = self.write_log(id) {
                return self.fail(id, &error);
            }
            self.queue_jobs(id);
            if self.process(id).work.halting {
                return self.crash(id, Crash::Kill);
            }
            if !self.speak(id) {
                return;
            }
            self.look(id);
            let mutant = self.plan.mutant;
            let exchanged = self.process(id).exchange(now, mutant);
            let sent = self.send_to_clients(id);
            if !exchanged && !sent {
                break;
            }
        }
        self.begin_job(id);
        self.look_after_snapshots(id);
        self.set_tick(id);
    }

    /// Votes and words for other members. False when the process died of one.
    fn speak(&mut self, id: ServerId) -> bool {
        let out = &mut self.process(id).out;
        let (votes, words) = (std::mem::take(&mut out.votes), std::mem::take(&mut out.peers));
        for (to, mut vote) in votes {
            if self.is(Mutant::VoteFromMemory) && vote.vote.leader == id {
                vote.vote.zxid = vote.vote.zxid.next();
            }
            self.vote(id, to, &vote);
        }
        words.into_iter().all(|word| self.tell_peer(id, word))
    }

    /// The observer looks at what a process shows.
    fn look(&mut self, id: ServerId) {
        let machine = self.machines.get_mut(&id).expect("a machine");
        let Some(process) = &mut machine.process else { return };
        let node = process.sequencer.node();
        let epoch = node.is_serving().then(|| node.epoch()).flatten();
        if let (Some(epoch), Some(leader)) = (epoch, node.leader())
            && process.reign != Some(epoch)
        {
            if leader == id {
                self.observer.on_reign(id, epoch);
            } else {
                self.observer.on_follow(id, leader, epoch);
            }
        }
        process.reign = epoch;
        let root = process.sequencer.committed();
        let shown = root.last_zxid();
        if shown != process.shown && node.is_serving() {
            process.shown = shown;
            self.observer.on_shown(id, root.view());
            self.trace.note(self.now_us, &[shown.0 as u64, root.view().digest()], || {
                format!("{id} shows {shown}")
            });
        }
    }

    /// Sees to it that the clock is looked at when something is due.
    fn set_tick(&mut self, id: ServerId) {
        let look_every_us = self.plan.look_every_us;
        let machine = &self.machines[&id];
        let Some(process) = &machine.process else { return };
        let deadline = process.sequencer.deadline_ms().filter(|at_ms| *at_ms < 1 << 40);
        let due_us = deadline.map_or(u64::MAX, |at_ms| machine.clock.world_us(at_ms));
        let at_us = due_us.min(process.looked_at_us + look_every_us).max(self.now_us);
        if at_us < process.tick_at_us {
            self.process(id).tick_at_us = at_us;
            self.input_in(at_us - self.now_us, id, Input::Tick);
        }
    }
}

const fn input_of_end(connection: ConnectionId, (port, from): (Port, Place)) -> Input {
    Input::Parcel { port, connection, from, parcel: Parcel::End }
}

impl Input {
    /// A number for the trace.
    const fn kind(&self) -> u64 {
        match self {
            Self::Parcel { connection, .. } => connection.0 << 8,
            Self::Event(_) => 1,
            Self::Tick => 2,
            Self::Dial { .. } => 3,
            Self::Call(_) => 4,
            Self::SnapshotSent(_) => 5,
            Self::LogDone => 6,
            Self::EpochsSaved => 7,
            Self::JobDone => 8,
            Self::LogRead { .. } => 9,
            Self::SnapshotKept => 10,
            Self::Admit { .. } => 11,
        }
    }
}
