//! What one worker wrote, what of that was acknowledged, and what may therefore be found after a
//! crash.
//!
//! The writes of one session are carried out in the order they were sent, and acknowledged in that
//! order. So what a crash leaves of a worker's nodes is the state after all acknowledged writes
//! and some *prefix* of the others: not one acknowledged write less, none out of order, no multi
//! by half. [`History::recover`] looks for that prefix, comparing data, versions, zxids, owners and
//! the count of children ever created; when there is none, a promise was broken.
//!
//! Nothing is sent or received here.

use crate::random::Random;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

const OWN_NODES_MAX: usize = 60;
const SEQUENCE_NODES_MAX: usize = 30;

/// A node of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the worker's own directory, by a number that is never used again.
    Own(u64),
    /// In the directory that all workers share, made by the write of this number under a name that
    /// the server chose.
    Sequence(u64),
}

/// A write. Each succeeds, because a worker only sends what fits its writes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Create {
        node: Place,
        ephemeral: bool,
    },
    Set {
        node: Place,
    },
    Delete {
        node: Place,
    },
    /// A multi: data for one node, and another node created.
    Pair {
        set: Place,
        create: Place,
    },
    /// Closes the session: its ephemerals go.
    Close,
}

/// A node as the writes have made it. Zxids are `None` until they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The number of the write that gave it its data.
    pub writer: u64,
    pub version: i32,
    pub czxid: Option<i64>,
    pub mzxid: Option<i64>,
    pub ephemeral: bool,
    /// The name of a sequence node, once known.
    pub name: Option<String>,
}

/// All nodes of a worker at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub nodes: BTreeMap<Place, Node>,
    /// Children that were ever created in the worker's own directory.
    pub created: i32,
    /// Closes that happened.
    pub closes: u32,
}

/// A node as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNode {
    pub name: String,
    pub data: Vec<u8>,
    pub version: i32,
    pub czxid: i64,
    pub mzxid: i64,
    /// 0: not ephemeral.
    pub owner: i64,
}

/// What a server shows of one worker.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub nodes: BTreeMap<Place, FoundNode>,
    /// Of the worker's own directory.
    pub cversion: i32,
}

/// A broken promise, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The writes of one worker, over all its connections.
#[derive(Clone, Debug)]
pub struct History {
    pub worker: usize,
    /// The session that owns the ephemerals; 0: none is open.
    pub session: i64,
    /// After all acknowledged writes.
    acknowledged: State,
    /// Sent and not acknowledged, by number.
    pending: VecDeque<(u64, Write)>,
    /// After all writes sent.
    planned: State,
    /// The highest zxid that this worker knows of: its next write has a higher one.
    last_zxid: i64,
    next_write: u64,
}

impl History {
    #[must_use]
    pub fn new(worker: usize) -> Self {
        Self {
            worker,
            session: 0,
            acknowledged: State::default(),
            pending: VecDeque::new(),
            planned: State::default(),
            last_zxid: 0,
            next_write: 0,
        }
    }

    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    #[must_use]
    pub const fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Whether the last write sent closes the session.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.pending.back(), Some((_, Write::Close)))
    }

    /// The name of a sequence node, if it was acknowledged.
    #[must_use]
    pub fn sequence_name(&self, node: Place) -> Option<&str> {
        self.acknowledged.nodes.get(&node)?.name.as_deref()
    }

    /// The next write to send, with its number.
    pub fn plan(&mut self, random: &mut Random) -> (u64, Write) {
        let number = self.next_write;
        self.next_write += 1;
        let write = self.choose(number, random);
        self.planned.apply(number, write, None);
        self.pending.push_back((number, write));
        (number, write)
    }

    fn choose(&self, number: u64, random: &mut Random) -> Write {
        let own: Vec<_> = self.planned.places(|place| matches!(place, Place::Own(_)));
        let named = |place: &Place| self.sequence_name(*place).is_some();
        let sequence: Vec<_> = self.planned.places(named);
        let persistent: Vec<_> =
            own.iter().filter(|place| !self.planned.nodes[place].ephemeral).collect();
        if own.len() > OWN_NODES_MAX {
            return Write::Delete { node: *random.pick(&own) };
        }
        if sequence.len() > SEQUENCE_NODES_MAX {
            return Write::Delete { node: *random.pick(&sequence) };
        }
        let node = Place::Own(number);
        match random.below(100) {
            0..30 if !own.is_empty() => Write::Set { node: *random.pick(&own) },
            30..42 if !own.is_empty() => Write::Delete { node: *random.pick(&own) },
            42..57 if !persistent.is_empty() => {
                Write::Pair { set: **random.pick(&persistent), create: node }
            }
            57..70 => Write::Create { node: Place::Sequence(number), ephemeral: false },
            70..80 => Write::Create { node, ephemeral: true },
            80 => Write::Close,
            _ => Write::Create { node, ephemeral: false },
        }
    }

    /// The oldest write without an acknowledgement.
    #[must_use]
    pub fn oldest_pending(&self) -> Option<(u64, Write)> {
        self.pending.front().copied()
    }

    /// Takes the acknowledgement of the oldest pending write: the zxid of its reply, and the name
    /// that the server gave to a sequence node.
    ///
    /// # Errors
    /// When zxids do not rise, or nothing was pending.
    pub fn acknowledge(&mut self, zxid: i64, name: Option<String>) -> Result<(), Violation> {
        let Some((number, write)) = self.pending.pop_front() else {
            return Err(self.violation(format!("a reply with zxid {zxid:#x} to no request")));
        };
        if zxid <= self.last_zxid {
            let last = self.last_zxid;
            return Err(self.violation(format!("zxid {zxid:#x} came after {last:#x}")));
        }
        self.last_zxid = zxid;
        self.acknowledged.apply(number, write, Some(zxid));
        if let (Some(name), Write::Create { node, .. }) = (name, write) {
            for state in [&mut self.acknowledged, &mut self.planned] {
                if let Some(node) = state.nodes.get_mut(&node) {
                    node.name = Some(name.clone());
                }
            }
        }
        Ok(())
    }

    /// Finds the prefix of the pending writes that a restarted server has kept, and goes on from
    /// there. `zxid_max` is the server's last zxid. Returns how many pending writes were kept.
    ///
    /// # Errors
    /// When what is found is the state after no such prefix.
    pub fn recover(&mut self, found: &Found, zxid_max: i64) -> Result<usize, Violation> {
        if zxid_max < self.last_zxid {
            let last = self.last_zxid;
            return Err(self.violation(format!("the zxid went back to {zxid_max:#x} < {last:#x}")));
        }
        let mut state = self.acknowledged.clone();
        let mut kept = None;
        for count in 0..=self.pending.len() {
            if count > 0 {
                let (number, write) = self.pending[count - 1];
                state.apply(number, write, None);
            }
            if self.differences(&state, found, zxid_max).is_empty() {
                kept = Some((count, state.clone()));
            }
        }
        let Some((count, mut state)) = kept else {
            let differences = self.differences(&self.acknowledged, found, zxid_max).join("; ");
            let (first, last) = (self.pending.front(), self.pending.back());
            return Err(self.violation(format!(
                "no prefix of the writes fits; pending {first:?} to {last:?}; against the \
                 acknowledged state: {differences}"
            )));
        };
        state.learn(found);
        if state.closes > self.acknowledged.closes {
            self.session = 0;
        }
        self.pending.clear();
        self.last_zxid = zxid_max;
        self.acknowledged = state.clone();
        self.planned = state;
        Ok(count)
    }

    /// The session was closed, and that was acknowledged.
    pub const fn session_closed(&mut self) {
        self.session = 0;
    }

    /// Nodes of which [`Self::recover`] saw that they are ephemeral and still there.
    #[must_use]
    pub fn ephemeral_count(&self) -> usize {
        self.acknowledged.nodes.values().filter(|node| node.ephemeral).count()
    }

    fn differences(&self, state: &State, found: &Found, zxid_max: i64) -> Vec<String> {
        let mut differences = Vec::new();
        for (place, node) in &state.nodes {
            match found.nodes.get(place) {
                None => differences.push(format!("{place:?} is lost")),
                Some(other) => differences.extend(
                    self.unlike(node, other, zxid_max).map(|it| format!("{place:?}: {it}")),
                ),
            }
        }
        for place in found.nodes.keys().filter(|place| !state.nodes.contains_key(place)) {
            differences.push(format!("{place:?} should not be there"));
        }
        let own = state.places(|place| matches!(place, Place::Own(_))).len();
        // ZooKeeper: DataNode.copyStat, 2 × creates − children.
        let cversion = 2 * state.created - i32::try_from(own).expect("a worker has few nodes");
        if found.cversion != cversion {
            differences.push(format!("cversion {} and not {cversion}", found.cversion));
        }
        differences
    }

    /// Where a node is not as it should be.
    fn unlike(&self, node: &Node, found: &FoundNode, zxid_max: i64) -> Option<String> {
        // An unacknowledged write is later than all that were acknowledged before it.
        let fits = |known: Option<i64>, zxid: i64| match known {
            Some(known) => zxid == known,
            None => zxid > self.last_zxid && zxid <= zxid_max,
        };
        let owner = if node.ephemeral { self.session } else { 0 };
        if found.data != payload(self.worker, node.writer) {
            let head = found.data[..found.data.len().min(24)].escape_ascii();
            return Some(format!("data {head} and not of write {}", node.writer));
        }
        if found.version != node.version {
            return Some(format!("version {} and not {}", found.version, node.version));
        }
        if !fits(node.czxid, found.czxid) {
            return Some(format!("czxid {:#x} and not {:x?}", found.czxid, node.czxid));
        }
        if !fits(node.mzxid, found.mzxid) {
            return Some(format!("mzxid {:#x} and not {:x?}", found.mzxid, node.mzxid));
        }
        if found.owner != owner {
            return Some(format!("owner {:#x} and not {owner:#x}", found.owner));
        }
        let name = node.name.as_ref().filter(|name| **name != found.name)?;
        Some(format!("name {} and not {name}", found.name))
    }

    fn violation(&self, text: String) -> Violation {
        Violation(format!("worker {}: {text}", self.worker))
    }
}

impl State {
    fn apply(&mut self, number: u64, write: Write, zxid: Option<i64>) {
        match write {
            Write::Create { node, ephemeral } => self.create(number, node, ephemeral, zxid),
            Write::Set { node } => self.set(number, node, zxid),
            Write::Delete { node } => {
                self.nodes.remove(&node);
            }
            Write::Pair { set, create } => {
                self.set(number, set, zxid);
                self.create(number, create, false, zxid);
            }
            Write::Close => {
                self.nodes.retain(|_, node| !node.ephemeral);
                self.closes += 1;
            }
        }
    }

    fn create(&mut self, writer: u64, place: Place, ephemeral: bool, zxid: Option<i64>) {
        let node = Node { writer, version: 0, czxid: zxid, mzxid: zxid, ephemeral, name: None };
        self.nodes.insert(place, node);
        self.created += i32::from(matches!(place, Place::Own(_)));
    }

    fn set(&mut self, writer: u64, place: Place, zxid: Option<i64>) {
        let node = self.nodes.get_mut(&place).expect("only nodes that are there are set");
        node.writer = writer;
        node.version += 1;
        node.mzxid = zxid;
    }

    fn places(&self, wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        self.nodes.keys().copied().filter(wanted).collect()
    }

    /// Fills in what was not known because the reply never came.
    fn learn(&mut self, found: &Found) {
        for (place, node) in &mut self.nodes {
            let found = &found.nodes[place];
            node.czxid = Some(found.czxid);
            node.mzxid = Some(found.mzxid);
            if matches!(place, Place::Sequence(_)) {
                node.name = Some(found.name.clone());
            }
        }
    }
}

/// The data that a write gives to a node: who wrote it, and a length of its own.
#[must_use]
pub fn payload(worker: usize, number: u64) -> Vec<u8> {
    let mut data = format!("{worker} {number} ").into_bytes();
    let padding = Random::new(number).below(1000);
    data.resize(data.len() + padding, b'.');
    data
}

/// The worker and the number of the write that [`payload`] was made for.
#[must_use]
pub fn writer_of(data: &[u8]) -> Option<(usize, u64)> {
    let text = str::from_utf8(data).ok()?;
    let mut words = text.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: i64 = 0x77;

    /// A worker with three acknowledged writes (zxids 1 to 3) and two pending ones.
    fn worker() -> History {
        let mut history = History { session: SESSION, ..History::new(0) };
        let writes = [
            Write::Create { node: Place::Own(0), ephemeral: false },
            Write::Create { node: Place::Own(1), ephemeral: true },
            Write::Set { node: Place::Own(0) },
            Write::Pair { set: Place::Own(0), create: Place::Own(3) },
            Write::Close,
        ];
        for (number, write) in (0..).zip(writes) {
            history.pending.push_back((number, write));
            history.planned.apply(number, write, None);
        }
        for zxid in 1..=3 {
            history.acknowledge(zxid, None).unwrap();
        }
        history
    }

    fn found(history: &History, kept: usize) -> Found {
        let mut state = history.acknowledged.clone();
        for (number, write) in history.pending.iter().take(kept) {
            state.apply(*number, *write, Some(10 + *number as i64));
        }
        let nodes: BTreeMap<_, _> = state
            .nodes
            .iter()
            .map(|(place, node)| {
                let found = FoundNode {
                    name: format!("{place:?}"),
                    data: payload(0, node.writer),
                    version: node.version,
                    czxid: node.czxid.unwrap(),
                    mzxid: node.mzxid.unwrap(),
                    owner: if node.ephemeral { SESSION } else { 0 },
                };
                (*place, found)
            })
            .collect();
        let cversion = 2 * state.created - nodes.len() as i32;
        Found { nodes, cversion }
    }

    fn check(spoil: impl Fn(&mut Found), expect: &str) {
        let mut history = worker();
        let mut found = found(&history, 1);
        spoil(&mut found);
        let violation = history.recover(&found, 20).unwrap_err().to_string();
        assert!(violation.contains(expect), "{violation}");
    }

    #[test]
    fn any_prefix_of_the_unacknowledged_writes_may_be_kept() {
        for kept in 0..=2 {
            let mut history = worker();
            assert_eq!(history.recover(&found(&history, kept), 20), Ok(kept));
            assert_eq!(history.session == 0, kept == 2, "the second closes the session");
            assert_eq!(history.pending_count(), 0);
        }
    }

    #[test]
    fn a_lost_acknowledged_write_is_a_violation() {
        check(|found| drop(found.nodes.remove(&Place::Own(1))), "Own(1) is lost");
        check(|found| found.nodes.get_mut(&Place::Own(0)).unwrap().version = 0, "version");
    }

    #[test]
    fn half_a_multi_is_a_violation() {
        check(|found| drop(found.nodes.remove(&Place::Own(3))), "no prefix");
    }

    #[test]
    fn other_data_zxids_owners_and_counts_are_violations() {
        let node = Place::Own(1);
        check(|found| found.nodes.get_mut(&node).unwrap().data.push(b'x'), "data");
        check(|found| found.nodes.get_mut(&node).unwrap().czxid = 9, "czxid");
        check(|found| found.nodes.get_mut(&node).unwrap().mzxid = 9, "mzxid");
        check(|found| found.nodes.get_mut(&node).unwrap().owner = 9, "owner");
        check(|found| found.cversion += 1, "cversion");
    }

    #[test]
    fn a_zxid_that_goes_back_is_a_violation() {
        let mut history = worker();
        assert!(history.acknowledge(3, None).is_err());
        let mut history = worker();
        assert!(history.recover(&found(&worker(), 0), 2).is_err());
    }

    #[test]
    fn plans_fit_their_own_past() {
        let mut history = History::new(1);
        let mut random = Random::new(5);
        for _ in 0..5_000 {
            let (number, write) = history.plan(&mut random);
            let name = matches!(write, Write::Create { node: Place::Sequence(_), .. });
            history.acknowledge(number as i64 + 1, name.then(|| number.to_string())).unwrap();
        }
        assert_eq!(history.acknowledged, {
            let mut planned = history.planned.clone();
            for (place, node) in &mut planned.nodes {
                node.czxid = history.acknowledged.nodes[place].czxid;
                node.mzxid = history.acknowledged.nodes[place].mzxid;
            }
            planned
        });
    }

    #[test]
    fn a_payload_names_its_writer() {
        assert_eq!(writer_of(&payload(3, 77)), Some((3, 77)));
        assert_eq!(writer_of(b"nonsense"), None);
    }
}
