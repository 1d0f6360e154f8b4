//! Small traces of three servers: bad ones, each of which exactly one checker must refuse, and good
//! ones, which all must pass.

use std::collections::BTreeSet;

use menagerie_replication::Epochs;
use menagerie_wire::{Epoch, ServerId, SessionId, Zxid};

use super::super::Violation;
use super::{NodeCheckers, Observation, Promise, Seen, TxnHash};

/// A trace that is judged while it is written.
struct Trace {
    checkers: NodeCheckers,
    violations: Vec<Violation>,
}

/// Epoch, counter, and what the transaction is.
type Txn = (u32, u32, u64);

const fn zxid((epoch, counter, _): Txn) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

const fn hash((.., value): Txn) -> TxnHash {
    TxnHash(value)
}

const A: Txn = (1, 1, 11);
const B: Txn = (1, 2, 12);
const C: Txn = (1, 3, 13);
const D: Txn = (2, 1, 21);
const ALICE: SessionId = SessionId(7);
const BOB: SessionId = SessionId(8);

impl Trace {
    /// Three voters. Server 1 leads epoch 1, and all have promised it.
    fn new() -> Self {
        let checkers = NodeCheckers::new((1..=3).map(ServerId));
        let mut trace = Self { checkers, violations: Vec::new() };
        for node in 1..=3 {
            trace.save(node, 1, 1);
        }
        trace.see(1, Observation::Led { epoch: Epoch(1) });
        trace
    }

    fn see(&mut self, node: i64, what: Observation<'_>) {
        let seen = Seen { node: ServerId(node), generation: 1, what };
        self.violations.extend(self.checkers.observe(&seen));
    }

    fn save(&mut self, node: i64, accepted: u32, current: u32) {
        let epochs = Epochs { accepted: Epoch(accepted), current: Epoch(current) };
        self.see(node, Observation::EpochsSaved { epochs });
    }

    fn propose(&mut self, node: i64, txn: Txn) {
        self.see(node, Observation::Proposed { zxid: zxid(txn), hash: hash(txn) });
    }

    fn log(&mut self, nodes: &[i64], txn: Txn) {
        for node in nodes {
            self.see(*node, Observation::Logged { txns: &[(zxid(txn), hash(txn))] });
        }
    }

    fn deliver(&mut self, node: i64, txn: Txn) {
        self.see(node, Observation::Delivered { zxid: zxid(txn), hash: hash(txn) });
    }

    fn promise(&mut self, node: i64, promise: Promise) {
        self.see(node, Observation::Promised { promise });
    }

    /// Proposed by server 1, logged by all and delivered by it.
    fn commit(&mut self, txn: Txn) {
        self.propose(1, txn);
        self.log(&[1, 2, 3], txn);
        self.deliver(1, txn);
    }

    /// All promise an epoch, and a server leads it.
    fn reign(&mut self, node: i64, epoch: u32) {
        for node in 1..=3 {
            self.save(node, epoch, epoch);
        }
        self.see(node, Observation::Led { epoch: Epoch(epoch) });
    }

    fn sessions(&mut self, txn: Txn, open: &[SessionId], ephemerals: &[(SessionId, &str)]) {
        self.see(1, Observation::Sessions { zxid: zxid(txn), open, ephemerals });
    }
}

/// What a bad trace shows, who is to find it, and the trace.
type Bad = (&'static str, &'static str, fn(&mut Trace));

/// What a good trace shows, and the trace.
type Good = (&'static str, fn(&mut Trace));

const BAD: &[Bad] = &[
    ("two servers lead an epoch", "leadership", |t| {
        t.see(2, Observation::Led { epoch: Epoch(1) });
    }),
    ("a server leads the same epoch again", "leadership", |t| {
        t.see(1, Observation::Started);
        t.see(1, Observation::Led { epoch: Epoch(1) });
    }),
    ("somebody follows another leader of the epoch", "leadership", |t| {
        t.see(3, Observation::Followed { leader: ServerId(2), epoch: Epoch(1) });
    }),
    ("a zxid is two transactions", "prefix_consistency", |t| {
        t.commit(A);
        let other = (1, 1, 99);
        t.propose(2, other);
        t.deliver(2, other);
    }),
    ("a snapshot is followed by what it does not hold", "prefix_consistency", |t| {
        t.commit(A);
        t.commit(B);
        t.propose(2, (1, 1, 11));
        t.propose(2, (1, 2, 99));
        t.see(2, Observation::Restored { zxid: zxid(A) });
        t.deliver(2, (1, 2, 99));
    }),
    ("nobody proposed it", "integrity", |t| {
        t.log(&[1, 2], A);
        t.deliver(1, A);
    }),
    ("the bytes are not those that were proposed", "integrity", |t| {
        t.propose(1, A);
        t.log(&[1, 2], (1, 1, 99));
        t.deliver(1, (1, 1, 99));
    }),
    ("two servers go different ways", "agreement", |t| {
        t.propose(1, A);
        t.propose(2, D);
        t.log(&[1, 2, 3], A);
        t.save(2, 2, 2);
        t.save(3, 2, 2);
        t.log(&[2, 3], D);
        t.deliver(1, A);
        t.deliver(2, D);
    }),
    ("a server skips the end of an epoch", "total_order", |t| {
        t.commit(A);
        t.commit(B);
        t.reign(1, 2);
        t.commit(D);
        t.deliver(2, A);
        t.deliver(2, D);
    }),
    ("a restarted server forgets what it had", "total_order", |t| {
        t.commit(A);
        t.reign(1, 2);
        t.commit(D);
        t.see(3, Observation::Started);
        t.deliver(3, D);
    }),
    ("a proposal is left out", "local_primary_order", |t| {
        t.commit(A);
        t.propose(1, C);
    }),
    ("a delivery is left out", "local_primary_order", |t| {
        for txn in [A, B, C] {
            t.propose(1, txn);
            t.log(&[1, 2], txn);
        }
        t.deliver(1, A);
        t.deliver(1, C);
    }),
    ("a zxid is given out again", "local_primary_order", |t| {
        t.commit(A);
        t.propose(1, A);
    }),
    ("an old epoch goes on", "global_primary_order", |t| {
        for txn in [A, B] {
            t.propose(1, txn);
            t.log(&[1, 2, 3], txn);
        }
        t.reign(2, 2);
        t.propose(2, D);
        t.log(&[2, 3], D);
        for txn in [A, D, B] {
            t.deliver(2, txn);
        }
    }),
    ("a leader proposes on what it has not delivered", "primary_integrity", |t| {
        t.commit(A);
        t.reign(2, 2);
        t.propose(2, D);
    }),
    ("a leader proposes before it has delivered all", "primary_integrity", |t| {
        t.commit(A);
        t.commit(B);
        t.reign(3, 2);
        t.deliver(3, A);
        t.propose(3, D);
    }),
    ("a transaction is delivered on one disk", "committed_log_durability", |t| {
        t.propose(1, A);
        t.log(&[1], A);
        t.deliver(1, A);
    }),
    ("a delivered transaction is cut off", "committed_log_durability", |t| {
        t.commit(A);
        t.commit(B);
        t.see(2, Observation::Truncated { to: zxid(A) });
        t.see(3, Observation::Truncated { to: zxid(A) });
    }),
    ("an older snapshot takes the place of a log", "committed_log_durability", |t| {
        t.commit(A);
        t.commit(B);
        t.see(2, Observation::Installed { zxid: zxid(A) });
        t.see(3, Observation::Installed { zxid: zxid(A) });
    }),
    ("a leader's log lacks what was delivered", "committed_log_durability", |t| {
        t.propose(1, A);
        t.log(&[1, 2], A);
        t.deliver(1, A);
        t.reign(3, 2);
    }),
    ("a vote for what is not on the disk", "durable_before_sent", |t| {
        t.log(&[2], A);
        t.promise(2, Promise::Vote { zxid: zxid(B), epoch: 1 });
    }),
    ("a vote that hides what is on the disk", "durable_before_sent", |t| {
        t.log(&[2], A);
        t.promise(2, Promise::Vote { zxid: Zxid::ZERO, epoch: 1 });
    }),
    ("a vote with an epoch that is not on the disk", "durable_before_sent", |t| {
        t.save(2, 2, 1);
        t.promise(2, Promise::Vote { zxid: Zxid::ZERO, epoch: 2 });
    }),
    ("an ACK overtakes the disk", "durable_before_sent", |t| {
        t.propose(1, A);
        t.promise(2, Promise::Ack { zxid: zxid(A) });
    }),
    ("an epoch is accepted in memory", "durable_before_sent", |t| {
        t.promise(2, Promise::LearnerInfo { accepted: Epoch(2) });
    }),
    ("an ACKEPOCH of what is not on the disk", "durable_before_sent", |t| {
        t.promise(2, Promise::AckEpoch { last_zxid: zxid(A), is_vote: true });
    }),
    ("an ACKEPOCH that votes with less than is on the disk", "durable_before_sent", |t| {
        t.log(&[2], A);
        t.promise(2, Promise::AckEpoch { last_zxid: Zxid::NONE, is_vote: true });
    }),
    ("NEWLEADER is acknowledged before its history is on the disk", "durable_before_sent", |t| {
        t.log(&[1], A);
        t.save(1, 2, 2);
        t.save(2, 2, 2);
        t.promise(1, Promise::NewLeader { epoch: Epoch(2) });
        t.promise(2, Promise::AckNewLeader { epoch: Epoch(2) });
    }),
    ("NEWLEADER is acknowledged before its epoch is on the disk", "durable_before_sent", |t| {
        t.save(2, 2, 1);
        t.promise(2, Promise::AckNewLeader { epoch: Epoch(2) });
    }),
    ("a log has a hole", "log_contiguity", |t| {
        t.log(&[2], A);
        t.log(&[2], C);
    }),
    ("a log begins an epoch in its middle", "log_contiguity", |t| {
        t.save(2, 2, 1);
        t.log(&[2], A);
        t.log(&[2], (2, 2, 22));
    }),
    ("acceptedEpoch goes back", "durable_epochs", |t| {
        t.save(2, 2, 1);
        t.save(2, 1, 1);
    }),
    ("currentEpoch is ahead of acceptedEpoch", "durable_epochs", |t| t.save(2, 1, 2)),
    ("a log is ahead of acceptedEpoch", "durable_epochs", |t| t.log(&[2], D)),
    ("two trees at one zxid differ", "digest_equality", |t| {
        t.see(1, Observation::Digested { zxid: zxid(A), digest: 5 });
        t.see(2, Observation::Digested { zxid: zxid(A), digest: 6 });
    }),
    ("a tree is another one after a restart", "digest_equality", |t| {
        t.see(2, Observation::Digested { zxid: zxid(A), digest: 5 });
        t.see(2, Observation::Started);
        t.see(2, Observation::Digested { zxid: zxid(A), digest: 6 });
    }),
    ("an ephemeral outlives its session", "ephemerals_owned", |t| {
        t.sessions(A, &[ALICE], &[(ALICE, "/e")]);
        t.sessions(B, &[], &[(ALICE, "/e")]);
    }),
    ("an ephemeral is made for a session that is closed", "ephemerals_owned", |t| {
        t.sessions(A, &[], &[]);
        t.sessions(B, &[], &[(ALICE, "/e")]);
    }),
    ("a snapshot brings an orphan", "ephemerals_owned", |t| {
        t.see(1, Observation::Restored { zxid: zxid(A) });
        t.sessions(A, &[BOB], &[(BOB, "/f"), (ALICE, "/e")]);
    }),
];

const GOOD: &[Good] = &[
    ("followers deliver later", |t| {
        t.commit(A);
        t.commit(B);
        for node in [2, 3] {
            t.deliver(node, A);
            t.deliver(node, B);
        }
    }),
    ("what nobody delivered may be cut off", |t| {
        t.commit(A);
        t.propose(1, B);
        t.log(&[1], B);
        t.deliver(2, A);
        t.reign(2, 2);
        t.propose(2, D);
        t.log(&[2, 3], D);
        t.deliver(2, D);
        t.see(1, Observation::Truncated { to: zxid(A) });
        t.log(&[1], D);
        t.deliver(1, D);
    }),
    ("a leader that is cut off proposes what nobody delivers", |t| {
        t.commit(A);
        t.deliver(2, A);
        t.reign(2, 2);
        t.propose(2, D);
        t.log(&[2, 3], D);
        t.deliver(2, D);
        t.propose(1, B);
        t.log(&[1], B);
    }),
    ("a follower comes back by a snapshot", |t| {
        t.commit(A);
        t.commit(B);
        t.see(3, Observation::Started);
        t.see(3, Observation::Installed { zxid: zxid(B) });
        t.see(3, Observation::Restored { zxid: zxid(B) });
        t.promise(3, Promise::AckNewLeader { epoch: Epoch(1) });
        t.commit(C);
        t.deliver(3, C);
    }),
    ("an epoch without a transaction", |t| {
        t.commit(A);
        t.deliver(2, A);
        t.deliver(3, A);
        t.reign(2, 2);
        t.reign(3, 3);
        let txn = (3, 1, 31);
        t.propose(3, txn);
        t.log(&[2, 3], txn);
        t.deliver(3, txn);
    }),
    ("a lost disk is not a broken promise", |t| {
        t.commit(A);
        t.see(3, Observation::Damaged { to: Zxid::ZERO });
        t.promise(3, Promise::Vote { zxid: Zxid::ZERO, epoch: 1 });
    }),
    ("an epoch is saved behind its history", |t| {
        t.save(2, 2, 1);
        t.log(&[2], A);
        t.log(&[2], D);
        t.save(2, 2, 2);
        t.promise(2, Promise::AckNewLeader { epoch: Epoch(2) });
    }),
    ("a session takes its ephemerals along", |t| {
        t.sessions(A, &[ALICE], &[(ALICE, "/e")]);
        t.sessions(B, &[], &[]);
    }),
    ("the same tree, come about in two ways", |t| {
        t.see(1, Observation::Digested { zxid: zxid(A), digest: 5 });
        t.see(2, Observation::Started);
        t.see(2, Observation::Digested { zxid: zxid(A), digest: 5 });
    }),
];

#[test]
fn each_bad_trace_is_refused_by_the_checker_that_is_meant_to() {
    let mut faults = Vec::new();
    for (name, checker, write) in BAD {
        let mut trace = Trace::new();
        write(&mut trace);
        let found: BTreeSet<_> = trace.violations.iter().map(|it| it.checker).collect();
        if found != BTreeSet::from([*checker]) {
            faults.push(format!("{name}: {checker} expected: {:#?}", trace.violations));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn good_traces_are_passed_by_all() {
    let mut faults = Vec::new();
    for (name, write) in GOOD {
        let mut trace = Trace::new();
        write(&mut trace);
        if !trace.violations.is_empty() {
            faults.push(format!("{name}: {:#?}", trace.violations));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_checker_of_nodes_has_a_bad_trace() {
    let checked: BTreeSet<_> = BAD.iter().map(|(_, checker, _)| *checker).collect();
    assert_eq!(checked, super::CHECKS.iter().map(|(name, _)| *name).collect());
}
