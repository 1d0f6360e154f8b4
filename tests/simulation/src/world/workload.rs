//! What clients want when nobody tells them: reads and writes of a small tree, so that they meet
//! often. Every value is written once, by which a reader's reply tells whose write it saw.

use super::World;
use super::client::Visit;
use crate::history::{CreateMode, Request, WatchedBy, Write};
use crate::random::Random;

/// Nodes that are not children of others.
pub(super) const KEYS: usize = 8;
/// Names of children.
const CHILDREN: usize = 3;

/// The habits of one client.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    client: u32,
    written: u64,
    /// It knows of so many nodes that are not children of others.
    keys: usize,
    /// How often it wants to read what is newest, in a hundred, beside other wishes.
    careful: usize,
    /// Requests that it sends without waiting for the first one's answer.
    pipelined_max: usize,
    /// How often it leaves its server when it may want something, in a hundred.
    restless: usize,
    /// How many of the nodes that it makes are ephemeral, in a hundred.
    ephemeral: usize,
}

impl Workload {
    pub(super) fn new(client: u32, keys: usize, random: &mut Random) -> Self {
        Self {
            client,
            written: 0,
            keys,
            careful: *random.pick(&[0, 0, 50]),
            pipelined_max: *random.pick(&[1, 1, 4, 16]),
            restless: *random.pick(&[0, 1, 1, 8]),
            ephemeral: *random.pick(&[30, 30, 80]),
        }
    }

    fn data(&mut self) -> Option<String> {
        self.written += 1;
        Some(format!("{}.{}", self.client, self.written))
    }

    fn key(&self, random: &mut Random) -> String {
        format!("/k{}", random.below(self.keys))
    }

    fn path(&self, random: &mut Random) -> String {
        match random.below(3) {
            0 => self.key(random),
            _ => format!("{}/c{}", self.key(random), random.below(CHILDREN)),
        }
    }

    fn write(&mut self, random: &mut Random) -> Write {
        let version = if random.chance(75) { -1 } else { random.below(4) as i32 };
        match random.below(100) {
            0..35 => {
                let sequential = random.chance(15);
                let mode = match random.chance(self.ephemeral) {
                    true => CreateMode::Ephemeral,
                    false => CreateMode::Persistent,
                };
                let path = if sequential { self.key(random) + "/s" } else { self.path(random) };
                Write::Create { path, data: self.data(), mode, sequential }
            }
            35..55 => Write::Delete { path: self.path(random), version },
            _ => Write::SetData { path: self.path(random), data: self.data(), version },
        }
    }

    fn wish(&mut self, random: &mut Random) -> Vec<Request> {
        let watch = random.chance(30);
        let path = self.path(random);
        if random.chance(self.careful) {
            return newest(path, watch);
        }
        let one = match random.below(100) {
            0..45 => Request::Write(self.write(random)),
            45..53 => {
                let count = 1 + random.below(3);
                let mut writes: Vec<Write> = (0..count).map(|_| self.write(random)).collect();
                if random.chance(30) {
                    writes.insert(0, Write::Check { path, version: -1 });
                }
                Request::Multi(writes)
            }
            53..68 => Request::GetData { path, watch },
            68..74 => Request::Exists { path, watch },
            74..81 => Request::GetChildren { path: self.key(random), watch },
            81..84 => Request::MultiRead(vec![path, self.path(random)]),
            84..93 => return newest(path, watch),
            93..96 => Request::AddWatch { path, recursive: random.chance(50) },
            96..97 => Request::RemoveWatches { path, watched_by: WatchedBy::Any },
            97..99 => Request::Write(self.write(random)),
            _ => Request::CloseSession,
        };
        vec![one]
    }
}

impl World {
    /// The clients of the plan come.
    pub(super) fn admit_clients(&mut self) {
        for number in 1..=self.plan.clients {
            let workload = Workload::new(number, self.plan.keys, &mut self.random);
            let timeout_ms = self.plan.session_timeout_ms;
            let client = super::client::Client::new(timeout_ms, Some(workload));
            self.clients.insert(number, client);
            self.dial_from(number);
            self.visit_in(0, number, Visit::Think);
        }
    }

    /// A client may want something now, and will think again.
    pub(super) fn think(&mut self, number: u32) {
        if self.resting {
            return;
        }
        let in_us = self.random_us((0, 2 * self.plan.think_us));
        self.visit_in(in_us, number, Visit::Think);
        let workload = self.clients[&number].workload.as_ref();
        let restless = workload.map_or(0, |workload| workload.restless);
        if self.random.chance(restless) {
            return match self.random.below(6) {
                0 => self.abandon_session(number),
                _ => self.leave_connection(number),
            };
        }
        let client = self.clients.get_mut(&number).expect("a client");
        let asked = client.asked_count();
        let Some(workload) = &mut client.workload else { return };
        if client_is_busy(asked, workload) {
            return;
        }
        for request in workload.wish(&mut self.random) {
            self.ask(number, request);
        }
    }
}

/// A read behind everything that was acknowledged to anybody before.
fn newest(path: String, watch: bool) -> Vec<Request> {
    vec![Request::Sync { path: path.clone() }, Request::GetData { path, watch }]
}

const fn client_is_busy(asked: usize, workload: &Workload) -> bool {
    asked >= workload.pipelined_max
}
