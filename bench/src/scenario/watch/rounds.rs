//! Which events a round of writes still owes, and what those that came say about it.
//!
//! A round changes `at_once` nodes, the next ones each time. Every watcher of each is owed one
//! event; the round is complete when these have come and all requests of it are answered.

use std::time::Duration;

use hdrhistogram::Histogram;
use menagerie_wire::Zxid;

use crate::clock::Nanos;
use crate::latency::histogram;
use crate::violations::Violation;

pub(super) struct Rounds {
    nodes: u32,
    at_once: u32,
    watchers: usize,
    /// The round that began last; the first has number 1.
    number: u32,
    /// The first of its nodes; the others follow, around the end of the list.
    first_node: u32,
    current: Option<Current>,
    /// By node and watcher: the last round in which the watcher heard of the node.
    heard: Vec<u32>,
    /// By node: how often it was changed.
    changes: Vec<i32>,
    /// By node: the transaction of its newest change, once an event or a reply has told.
    zxids: Vec<Zxid>,
    /// Delays of this round's events.
    delays: Histogram<u64>,
}

struct Current {
    due: Nanos,
    /// Events that have not come then are lost.
    deadline: Nanos,
    events_missing: u64,
    answers_missing: u64,
}

/// How long after it was due a round reached its watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) due: Nanos,
    pub(super) first: Duration,
    pub(super) median: Duration,
    pub(super) p99: Duration,
    pub(super) last: Duration,
}

impl Rounds {
    pub(super) fn new(nodes: u32, at_once: u32, watchers_per_node: u32) -> Self {
        let (watchers, all) = (watchers_per_node as usize, nodes as usize);
        Self {
            nodes,
            at_once,
            watchers,
            number: 0,
            first_node: 0,
            current: None,
            heard: vec![0; all * watchers],
            changes: vec![0; all],
            zxids: vec![Zxid::ZERO; all],
            delays: histogram(),
        }
    }

    /// Begins a round; the answer is the number that its values carry.
    pub(super) fn begin(&mut self, due: Nanos, deadline: Nanos) -> u64 {
        if self.number > 0 {
            self.first_node = (self.first_node + self.at_once) % self.nodes;
        }
        self.number += 1;
        self.current = Some(Current {
            due,
            deadline,
            events_missing: u64::from(self.at_once) * self.watchers as u64,
            answers_missing: u64::from(self.at_once),
        });
        self.delays.reset();
        for node in self.nodes() {
            self.changes[node as usize] += 1;
            self.zxids[node as usize] = Zxid::ZERO;
        }
        u64::from(self.number)
    }

    /// The nodes of the round that began last.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> + use<> {
        let (first, nodes) = (u64::from(self.first_node), u64::from(self.nodes));
        (0..u64::from(self.at_once)).map(move |offset| ((first + offset) % nodes) as u32)
    }

    /// How often a node was changed so far, the round that began last included.
    pub(super) fn changes(&self, node: u32) -> i32 {
        self.changes[node as usize]
    }

    /// Takes an event off what is owed; the answer is when the round was due.
    pub(super) fn hear(
        &mut self,
        node: u32,
        watcher: usize,
        received: Nanos,
    ) -> Result<Nanos, Violation> {
        let offset = (u64::from(node) + u64::from(self.nodes) - u64::from(self.first_node))
            % u64::from(self.nodes);
        let heard = &mut self.heard[node as usize * self.watchers + watcher];
        let of_this_round = offset < u64::from(self.at_once) && self.number > 0;
        if of_this_round && *heard == self.number {
            return Err(Violation::DuplicateEvent { key: node });
        }
        let current = self.current.as_mut().filter(|_| of_this_round);
        let current = current.ok_or(Violation::UnexpectedEvent)?;
        *heard = self.number;
        current.events_missing -= 1;
        let delay = received.since(current.due).as_nanos();
        self.delays.saturating_record(u64::try_from(delay).unwrap_or(u64::MAX));
        Ok(current.due)
    }

    /// Judges the transaction that an event or the reply to a write names. Old servers name none
    /// in events.
    pub(super) fn name(&mut self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        let known = &mut self.zxids[node as usize];
        if zxid <= Zxid::ZERO || *known == zxid {
            return Ok(());
        }
        if *known > Zxid::ZERO {
            return Err(Violation::WrongEvent { key: node });
        }
        *known = zxid;
        Ok(())
    }

    /// One more request belongs to this round.
    pub(super) fn ask(&mut self) {
        if let Some(current) = &mut self.current {
            current.answers_missing += 1;
        }
    }

    pub(super) fn answered(&mut self) {
        if let Some(current) = &mut self.current {
            current.answers_missing -= 1;
        }
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.answers_missing)
    }

    /// When the events that are owed are lost; `None` between two rounds.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.current.as_ref().map(|current| current.deadline)
    }

    pub(super) fn end_if_complete(&mut self) -> Option<Times> {
        let complete =
            |current: &mut Current| current.events_missing == 0 && current.answers_missing == 0;
        let current = self.current.take_if(complete)?;
        let quantile = |q| Duration::from_nanos(self.delays.value_at_quantile(q));
        Some(Times {
            due: current.due,
            first: Duration::from_nanos(self.delays.min()),
            median: quantile(0.5),
            p99: quantile(0.99),
            last: Duration::from_nanos(self.delays.max()),
        })
    }

    /// The nodes whose events have not come, one for each of these.
    pub(super) fn lost(&self) -> Vec<u32> {
        let missing = |node: u32| {
            let first = node as usize * self.watchers;
            let heard = &self.heard[first..first + self.watchers];
            heard.iter().filter(|round| **round != self.number).map(move |_| node)
        };
        self.nodes().flat_map(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Nanos = Nanos(1_000);
    const LATER: Nanos = Nanos(1_000_000);

    /// A round that changed nodes 1 and 2 of 3, each with two watchers; node 0 was before.
    fn rounds() -> Rounds {
        let mut rounds = Rounds::new(3, 1, 2);
        rounds.begin(DUE, LATER);
        for watcher in 0..2 {
            assert_eq!(rounds.hear(0, watcher, LATER), Ok(DUE));
        }
        rounds.answered();
        assert!(rounds.end_if_complete().is_some());
        rounds.at_once = 2;
        rounds.first_node = 2;
        rounds.begin(DUE, LATER);
        assert_eq!(rounds.nodes().collect::<Vec<_>>(), [1, 2]);
        rounds
    }

    #[test]
    fn a_round_is_complete_when_all_have_heard_and_all_is_answered() {
        let mut rounds = rounds();
        for (node, watcher, received) in [(1, 0, 2_000), (2, 0, 3_000), (2, 1, 4_000)] {
            assert_eq!(rounds.hear(node, watcher, Nanos(received)), Ok(DUE));
            assert_eq!(rounds.end_if_complete(), None);
        }
        assert_eq!(rounds.lost(), [1]);
        assert_eq!(rounds.hear(1, 1, Nanos(11_000)), Ok(DUE));
        rounds.ask();
        for _ in 0..3 {
            assert_eq!(rounds.end_if_complete(), None);
            rounds.answered();
        }
        let times = rounds.end_if_complete().unwrap();
        assert_eq!(times.due, DUE);
        let near =
            |time: Duration, ns: u128| (ns * 9 / 10..=ns * 11 / 10).contains(&time.as_nanos());
        assert!(near(times.first, 1_000) && near(times.median, 2_000), "{times:?}");
        assert!(near(times.p99, 10_000) && near(times.last, 10_000), "{times:?}");
        assert_eq!((rounds.changes(0), rounds.changes(1)), (1, 1));
        assert_eq!((rounds.lost(), rounds.deadline()), (vec![], None));
    }

    #[test]
    fn an_event_is_owed_once() {
        let mut rounds = rounds();
        assert_eq!(rounds.hear(1, 0, LATER), Ok(DUE));
        let duplicate = Err(Violation::DuplicateEvent { key: 1 });
        assert_eq!(rounds.hear(1, 0, LATER), duplicate);
        assert_eq!(rounds.hear(0, 0, LATER), Err(Violation::UnexpectedEvent), "of another round");
        for (node, watcher) in [(1, 1), (2, 0), (2, 1)] {
            assert_eq!(rounds.hear(node, watcher, LATER), Ok(DUE));
        }
        rounds.answered();
        rounds.answered();
        assert!(rounds.end_if_complete().is_some());
        assert_eq!(rounds.hear(1, 1, LATER), duplicate, "after its round");
    }

    #[test]
    fn before_the_first_round_nothing_is_owed() {
        let judged = Rounds::new(3, 1, 2).hear(0, 0, LATER);
        assert_eq!(judged, Err(Violation::UnexpectedEvent));
    }

    #[test]
    fn events_and_the_reply_name_one_transaction() {
        let mut rounds = rounds();
        assert_eq!(rounds.name(1, Zxid::NONE), Ok(()));
        assert_eq!(rounds.name(1, Zxid(7)), Ok(()));
        assert_eq!(rounds.name(1, Zxid(7)), Ok(()));
        assert_eq!(rounds.name(1, Zxid(8)), Err(Violation::WrongEvent { key: 1 }));
    }
}
