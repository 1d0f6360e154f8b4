//! Long random histories of a server that keeps every promise, and what becomes of them when one
//! reply is changed.
//!
//! The server carries out each request at some moment between its call and its reply; of some the
//! reply is lost, before or after they were carried out, or they are carried out long after, but
//! not behind what their session asked for later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use menagerie_wire::{ErrorCode, ServerId, SessionId, Zxid};

use super::super::{Settings, check_history};
use crate::checkers::Violation;
use crate::history::script::{create, data, delete, get, set, stat};
use crate::history::{History, Moment, NodeStat, Record, Reply, Request, Write};
use crate::random::Random;

/// What is to be simulated.
struct Plan {
    clients: u32,
    keys: usize,
    operations: u64,
    /// How many of a hundred replies are lost.
    lost_percent: usize,
}

struct Client {
    number: u32,
    session: SessionId,
    op: u64,
    request: Option<Request>,
    reply: Option<(Zxid, Result<Reply, i32>)>,
}

struct Load {
    plan: Plan,
    random: Random,
    tree: BTreeMap<String, (String, NodeStat)>,
    zxid: i64,
    ops: u64,
    /// On their way from a session, with nobody who waits for the reply.
    stray: Vec<(SessionId, Request)>,
    records: Vec<Record>,
}

fn records(seed: u64, plan: Plan) -> Vec<Record> {
    let mut clients: Vec<_> = (1..=plan.clients)
        .map(|number| {
            let session = SessionId(i64::from(number));
            Client { number, session, op: 0, request: None, reply: None }
        })
        .collect();
    let mut load = Load {
        plan,
        random: Random::new(seed),
        tree: BTreeMap::new(),
        zxid: 0,
        ops: 0,
        stray: Vec::new(),
        records: Vec::new(),
    };
    for client in &clients {
        load.connect(client, false);
    }
    while load.ops < load.plan.operations || clients.iter().any(|it| it.request.is_some()) {
        let index = load.random.below(clients.len());
        load.turn(&mut clients[index]);
    }
    load.records
}

impl Load {
    fn record(&mut self, client: u32, what: Moment) {
        let at_ns = self.records.len() as u64;
        self.records.push(Record { at_ns, client, what });
    }

    fn connect(&mut self, client: &Client, resumed: bool) {
        let (session, node) = (client.session, ServerId(1));
        let what = Moment::Connected { session, node, timeout_ms: 5_000, resumed };
        self.record(client.number, what);
    }

    fn turn(&mut self, client: &mut Client) {
        if !self.stray.is_empty() && self.random.chance(2) {
            let (_, request) = self.stray.swap_remove(self.random.below(self.stray.len()));
            drop(self.carry_out(&request));
        }
        match (client.request.take(), client.reply.take()) {
            (None, _) if self.ops == self.plan.operations => {}
            (None, _) => {
                self.ops += 1;
                client.op = self.ops;
                let request = self.request();
                self.record(
                    client.number,
                    Moment::Invoke { op: client.op, request: request.clone() },
                );
                client.request = Some(request);
            }
            (Some(request), reply) if self.random.chance(self.plan.lost_percent) => {
                self.record(client.number, Moment::Lost { op: client.op });
                let is_stray = reply.is_none() && !request.writes().is_empty();
                self.stray.extend(is_stray.then_some((client.session, request)));
                let resumed = self.random.chance(50);
                if !resumed {
                    client.session.0 += i64::from(self.plan.clients);
                }
                self.connect(client, resumed);
            }
            (Some(request), None) => {
                self.stray.retain(|(session, _)| *session != client.session);
                client.reply = Some(self.carry_out(&request));
                client.request = Some(request);
            }
            (Some(_), Some((zxid, result))) => {
                self.record(client.number, Moment::Return { op: client.op, zxid, result });
            }
        }
    }

    fn request(&mut self) -> Request {
        let path = format!("/{}", self.random.below(self.plan.keys));
        let value = self.ops.to_string();
        match self.random.weighted(&[(2, 0), (10, 1), (1, 2), (5, 3), (1, 4)]) {
            0 => create(&path, &value),
            1 => set(&path, &value),
            2 => delete(&path),
            3 => get(&path),
            _ => Request::Sync { path: "/".to_owned() },
        }
    }

    fn carry_out(&mut self, request: &Request) -> (Zxid, Result<Reply, i32>) {
        self.zxid += i64::from(!request.writes().is_empty());
        let zxid = self.zxid;
        let no_node = Err(ErrorCode::NoNode.code());
        let result = match request {
            Request::GetData { path, .. } => match self.tree.get(path) {
                Some((text, stat)) => Ok(data(text, *stat)),
                None => no_node,
            },
            Request::Write(Write::Create { path, data, .. }) => {
                if self.tree.contains_key(path) {
                    Err(ErrorCode::NodeExists.code())
                } else {
                    let text = data.clone().unwrap_or_default();
                    self.tree.insert(path.clone(), (text, stat(zxid, zxid, 0)));
                    Ok(Reply::Created { path: path.clone(), stat: None })
                }
            }
            Request::Write(Write::SetData { path, data, .. }) => match self.tree.get_mut(path) {
                Some((text, stat)) => {
                    *text = data.clone().unwrap_or_default();
                    (stat.mzxid, stat.version) = (Zxid(zxid), stat.version + 1);
                    Ok(Reply::Stat(*stat))
                }
                None => no_node,
            },
            Request::Write(Write::Delete { path, .. }) => {
                self.tree.remove(path).map_or(no_node, |_| Ok(Reply::Done))
            }
            _ => Ok(Reply::Done),
        };
        (Zxid(zxid), result)
    }
}

fn judge(records: Vec<Record>) -> Vec<Violation> {
    check_history(&History::of(records).unwrap(), &Settings::default())
}

#[test]
fn a_hundred_thousand_operations_are_judged_in_seconds() {
    let plan = Plan { clients: 10, keys: 100, operations: 100_000, lost_percent: 0 };
    let records = records(1, plan);
    let started = Instant::now();
    assert_eq!(judge(records), []);
    let took = started.elapsed();
    println!("100,000 operations judged in {took:?}");
    // Far above what it takes, for slow machines; a search that branches takes hours.
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn whatever_order_and_loss_a_right_server_passes() {
    for seed in 0..150 {
        let plan = Plan { clients: 5, keys: 2, operations: 200, lost_percent: 3 };
        let violations = judge(records(seed, plan));
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    }
}

/// One acknowledged setData says the version after its own.
#[test]
fn one_wrong_version_is_found() {
    for seed in 0..150 {
        let plan = Plan { clients: 5, keys: 2, operations: 200, lost_percent: 0 };
        let mut records = records(seed, plan);
        let wrong = records.iter_mut().rev().find_map(|record| match &mut record.what {
            Moment::Return { result: Ok(Reply::Stat(stat)), .. } => Some(stat),
            _ => None,
        });
        wrong.expect("something is set").version += 1;
        let violations = judge(records);
        let found = violations.iter().any(|it| it.checker == "linearizable_writes");
        assert!(found, "seed {seed}: {violations:#?}");
    }
}
