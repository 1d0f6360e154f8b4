//! What all scripts need: a calm ensemble with its roles, clients that are asked one thing, and an
//! end that judges everything.

use std::ops::{Deref, DerefMut};

use menagerie_replication::Packet;
use menagerie_wire::{ServerId, Zxid};

use crate::history::{CreateMode, Reply, Request, Write};
use crate::world::{Action, Crash, Place, Plan, World};

/// How long whatever is due may take.
const PATIENCE_MS: u64 = 60_000;

/// A world that a script plays with.
pub(super) struct Stage {
    world: World,
    values: u64,
}

impl Deref for Stage {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Stage {
    /// An ensemble by this plan, which serves already.
    pub(super) fn new(plan: Plan) -> Self {
        let mut world = World::new(plan, std::env::var_os("VERBOSE").is_some());
        let serves = world.wait_for(PATIENCE_MS, World::all_serve);
        assert!(serves, "nobody serves: {}", world.standing());
        Self { world, values: 0 }
    }

    /// Three members.
    pub(super) fn calm(seed: u64) -> Self {
        Self::new(Plan::calm(seed))
    }

    /// The leader, then the others.
    pub(super) fn roles(&self) -> Vec<ServerId> {
        let leader = self.leader().expect("somebody leads");
        let others = self.members().filter(|id| *id != leader);
        std::iter::once(leader).chain(others).collect()
    }

    pub(super) fn roles_of_three(&self) -> [ServerId; 3] {
        self.roles().try_into().expect("three members")
    }

    /// Waits for a leader that is none of these.
    pub(super) fn next_leader(&mut self, but: &[ServerId]) -> ServerId {
        let old = but.to_vec();
        let led = self.wait_for(PATIENCE_MS, move |world| {
            world.leader().is_some_and(|leader| !old.contains(&leader))
        });
        assert!(led, "no new leader: {}", self.standing());
        self.leader().expect("somebody leads")
    }

    pub(super) fn wait(&mut self, what: &str, is_so: impl Fn(&World) -> bool) {
        assert!(self.wait_for(PATIENCE_MS, is_so), "not {what}: {}", self.standing());
    }

    pub(super) fn all_serve_again(&mut self) {
        self.wait("serving", World::all_serve);
    }

    pub(super) fn serves(&mut self, id: ServerId) {
        self.wait("serving", move |world| world.machine(id).is_serving());
    }

    /// Where the log of a member ends.
    pub(super) fn last_logged(&self, id: ServerId) -> Zxid {
        let sequencer = self.machine(id).sequencer().expect("it runs");
        sequencer.node().last_logged()
    }

    /// Nothing that `from` sends reaches `to`.
    pub(super) fn hold(&mut self, from: ServerId, to: ServerId) {
        self.cut(Place::Node(from), Place::Node(to));
    }

    /// Neither reaches the other.
    pub(super) fn separate(&mut self, one: ServerId, other: ServerId) {
        self.hold(one, other);
        self.hold(other, one);
    }

    /// Lets less than a millisecond pass, or not much more.
    pub(super) fn pass_us(&mut self, us: u64) {
        let until_us = self.now_us() + us;
        self.run_until(until_us);
    }

    /// Waits until a packet is on its way to a member.
    pub(super) fn until_sent(&mut self, to: ServerId, wanted: fn(&Packet) -> bool) {
        self.ambush(to, wanted, Action::DelayUs(0));
        self.wait("sent", |world| world.waiting_ambushes() == 0);
    }

    /// Does something about the next such packet to a member.
    pub(super) fn ambush(&mut self, to: ServerId, wanted: fn(&Packet) -> bool, action: Action) {
        self.when_sent(move |_, receiver, packet| receiver == to && wanted(packet), action);
    }

    /// A member dies and starts again.
    pub(super) fn restart(&mut self, id: ServerId, crash: Crash) {
        self.crash(id, crash);
        self.start(id);
    }

    // ---- clients ----

    /// A client with a session at that member.
    pub(super) fn client_at(&mut self, id: ServerId) -> u32 {
        let client = self.add_client(Some(id));
        self.connected(client);
        client
    }

    pub(super) fn connected(&mut self, client: u32) {
        self.wait("connected", move |world| world.client(client).node().is_some());
    }

    /// Asks for something, and does not wait.
    pub(super) fn begin(&mut self, client: u32, request: Request) -> u64 {
        self.world.ask(client, request).expect("the client is connected")
    }

    pub(super) fn result(&mut self, client: u32, op: u64) -> Result<Reply, i32> {
        self.wait("answered", move |world| world.client(client).answer(op).is_some());
        self.world.client(client).answer(op).expect("it was answered").clone()
    }

    pub(super) fn request(&mut self, client: u32, request: Request) -> Result<Reply, i32> {
        let op = self.begin(client, request);
        self.result(client, op)
    }

    /// A value that was never written before.
    fn value(&mut self) -> Option<String> {
        self.values += 1;
        Some(format!("v{}", self.values))
    }

    pub(super) fn creation(&mut self, path: &str, mode: CreateMode) -> Request {
        let data = self.value();
        Request::Write(Write::Create { path: path.to_owned(), data, mode, sequential: false })
    }

    pub(super) fn create(&mut self, client: u32, path: &str) {
        let request = self.creation(path, CreateMode::Persistent);
        self.request(client, request).expect("it is created");
    }

    pub(super) fn create_ephemeral(&mut self, client: u32, path: &str) {
        let request = self.creation(path, CreateMode::Ephemeral);
        self.request(client, request).expect("it is created");
    }

    /// Begins to write, and does not wait.
    pub(super) fn set_soon(&mut self, client: u32, path: &str) -> u64 {
        let data = self.value();
        let write = Write::SetData { path: path.to_owned(), data, version: -1 };
        self.begin(client, Request::Write(write))
    }

    pub(super) fn set(&mut self, client: u32, path: &str) {
        let op = self.set_soon(client, path);
        self.result(client, op).expect("it is written");
    }

    pub(super) fn sets(&mut self, client: u32, path: &str, count: usize) {
        for _ in 0..count {
            self.set(client, path);
        }
    }

    pub(super) fn delete(&mut self, client: u32, path: &str) {
        let write = Write::Delete { path: path.to_owned(), version: -1 };
        self.request(client, Request::Write(write)).expect("it is deleted");
    }

    pub(super) fn get(&mut self, client: u32, path: &str) -> Option<String> {
        match self.request(client, Request::GetData { path: path.to_owned(), watch: false }) {
            Ok(Reply::Data { data, .. }) => data,
            other => panic!("{path} cannot be read: {other:?}"),
        }
    }

    pub(super) fn exists(&mut self, client: u32, path: &str) -> bool {
        self.request(client, Request::Exists { path: path.to_owned(), watch: false }).is_ok()
    }

    pub(super) fn sync(&mut self, client: u32) {
        self.request(client, Request::Sync { path: "/".to_owned() }).expect("a sync ends");
    }

    // ---- the end ----

    /// Everything is healed, read everywhere, and judged.
    pub(super) fn end(mut self) {
        self.recover();
        let report = self.world.report();
        assert!(report.violations.is_empty(), "{}", report.violations.join("\n"));
    }
}
