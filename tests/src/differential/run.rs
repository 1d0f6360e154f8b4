//! Runs one script on both servers in lock step and says where they first differ.
//!
//! Each step is sent to both servers and read from both before the next step begins. That makes
//! Apache ZooKeeper deterministic: an event of a transaction is queued on every connection before
//! the writer has its reply, so a later reply on a watching connection always comes behind it.
//! Events are therefore compared where they are read, in the stream of their connection. Only
//! events of one session's end come in any order, because its ephemerals are a hash set there.
//!
//! At the end of a script every connection is asked once more, what is left of the tree is
//! compared node by node, before and after the sessions are closed, and then removed.

mod connect;
mod exchange;

use super::control::{REPLY_TIME_MAX, join, text};
use super::deviations::{fired_path, request_for_apache};
use super::lane::{Lane, Received};
use super::pair::{Kind, Pair};
use super::script::{Action, Claim, Field, Meaning, Opening, Request, Script, op_name};
use super::view::{EVENT_XID, Header, Masks};
use exchange::{CLOSE_SESSION, End, Exchange, ends_connection, read};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

const PING: i32 = 11;
const GET_DATA: i32 = 4;
/// How long a server may take to close a connection that it has refused.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(3);
const NO_AUTH: i32 = -102;

/// The first place where the servers differ.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Index of the step; `None` when it showed after the last one.
    pub step: Option<usize>,
    /// The kind of step, by which two divergences are taken for the same.
    pub kind: String,
    pub apache: String,
    pub other: String,
}

/// One script on its way through both servers.
struct Run<'a> {
    pair: &'a mut Pair,
    root: String,
    masks: [Masks; 2],
    /// Zxids of closeSession transactions, per server.
    closes: [BTreeSet<i64>; 2],
    slots: Vec<Slot>,
    sessions: Vec<Session>,
}

/// A numbered connection: one lane to each server, when it is open.
#[derive(Default)]
struct Slot {
    lanes: Option<[Lane; 2]>,
    session: Option<usize>,
    /// The last zxid that each server told this connection.
    seen: [i64; 2],
    xid: i32,
}

struct Session {
    ids: [i64; 2],
    passwds: [Vec<u8>; 2],
    closed: bool,
}

/// A step's outcome on both servers; equal texts mean equal behaviour.
type Outcome = [String; 2];

/// Runs `script` under a root node of its own.
///
/// # Errors
/// When a server cannot be reached or does not answer the runner's own session.
pub fn run(pair: &mut Pair, script: &Script) -> io::Result<Option<Divergence>> {
    let (root, bases) = pair.new_root()?;
    let masks = bases.map(|zxid_base| Masks { zxid_base, sessions: Vec::new() });
    let slot_count = script.steps.iter().map(|step| step.slot + 1).max().unwrap_or(0);
    let slots = (0..slot_count).map(|_| Slot::default()).collect();
    let closes = [BTreeSet::new(), BTreeSet::new()];
    let mut run = Run { pair, root, masks, closes, slots, sessions: Vec::new() };
    let mut divergence = run.steps(script)?;
    if divergence.is_none() {
        divergence = run.compare_rest()?;
    }
    let at_the_end = run.close_sessions()?;
    divergence = divergence.or(at_the_end);
    if divergence.is_none() {
        divergence = run.compare_tree("tree after the sessions")?;
    }
    for side in &mut run.pair.sides {
        side.control.remove(&run.root)?;
        side.control.sweep(script.touches_special_nodes())?;
    }
    Ok(divergence)
}

impl Run<'_> {
    fn steps(&mut self, script: &Script) -> io::Result<Option<Divergence>> {
        for (index, step) in script.steps.iter().enumerate() {
            let outcome = match &step.action {
                Action::Open(opening) => self.open(step.slot, opening)?,
                Action::Drop => {
                    self.slots[step.slot].lanes = None;
                    continue;
                }
                Action::Restart { kill } => {
                    self.slots.iter_mut().for_each(|slot| slot.lanes = None);
                    self.pair.restart_second(*kill)?;
                    continue;
                }
                Action::Ask(requests) => self.ask(step.slot, requests)?,
                Action::Frame(bytes) => self.frame(step.slot, bytes)?,
            };
            if let Some(found) = differ(Some(index), &step.action.kind(), outcome) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Events still under way, and the tree.
    fn compare_rest(&mut self) -> io::Result<Option<Divergence>> {
        for slot in 0..self.slots.len() {
            if self.slots[slot].lanes.is_some() {
                let outcome = self.ask(slot, &[Request::new(PING, Vec::new())])?;
                if let Some(found) = differ(None, "last ping", outcome) {
                    return Ok(Some(found));
                }
            }
        }
        self.compare_tree("tree")
    }

    /// Closes every session that was established, on a new connection where it has none.
    fn close_sessions(&mut self) -> io::Result<Option<Divergence>> {
        let mut first = None;
        for slot in 0..self.slots.len() {
            self.slots[slot].lanes = None;
        }
        for index in 0..self.sessions.len() {
            if self.sessions[index].closed {
                continue;
            }
            self.slots[0].session = Some(index);
            let opening = Opening { claim: Claim::Resume(0), ..Opening::new() };
            let opened = self.open(0, &opening)?;
            first = first.or_else(|| differ(None, "resume at the end", opened));
            if self.slots[0].lanes.is_some() {
                let closed = self.ask(0, &[Request::new(CLOSE_SESSION, Vec::new())])?;
                first = first.or_else(|| differ(None, "close at the end", closed));
            }
        }
        Ok(first)
    }

    fn compare_tree(&mut self, kind: &str) -> io::Result<Option<Divergence>> {
        let mut paths = vec![self.root.clone()];
        while let Some(path) = paths.pop() {
            for (op, last) in [(4, Some(0)), (6, None), (12, Some(0))] {
                let fields: Vec<_> =
                    std::iter::once(text(&path)).chain(last.map(Field::Byte)).collect();
                let outcome =
                    self.ask_controls(op, &fields)?.map(|reply| format!("{path} {reply}"));
                if let Some(found) = differ(None, kind, outcome) {
                    return Ok(Some(found));
                }
            }
            let names = self.pair.sides[0].control.children(&path)?;
            paths.extend(names.iter().map(|name| join(&path, name)));
        }
        Ok(None)
    }

    fn ask_controls(&mut self, op: i32, fields: &[Field]) -> io::Result<Outcome> {
        let mut outcome = [String::new(), String::new()];
        for ((side, masks), text) in self.pair.sides.iter_mut().zip(&self.masks).zip(&mut outcome) {
            let reply = side.control.call(op, fields.to_vec())?;
            // The runner's own numbering of requests may differ between renewed servers.
            *text = masks.reply(op, &[&[0; 4], &reply.frame[4..]].concat());
        }
        Ok(outcome)
    }

    fn ask(&mut self, slot: usize, requests: &[Request]) -> io::Result<Outcome> {
        if let Some(failed) = self.ensure_open(slot)? {
            return Ok(failed);
        }
        let mut lanes = self.slots[slot].lanes.take().expect("the slot was just opened");
        for (lane, bytes) in lanes.iter_mut().zip(self.encode(slot, requests)) {
            lane.send(&bytes);
        }
        Ok(self.collect(slot, requests, lanes))
    }

    /// Reads the replies to requests that were sent.
    fn collect(&mut self, slot: usize, requests: &[Request], mut lanes: [Lane; 2]) -> Outcome {
        let mut exchanges = lanes.each_mut().map(|lane| read(lane, requests.len(), REPLY_TIME_MAX));
        let ops: Vec<_> = requests.iter().map(|request| request.op).collect();
        self.forgive_fired_events(&mut lanes[0], &mut exchanges);
        let ends = exchanges.iter().any(|exchange| ends_connection(&ops, exchange));
        for (index, exchange) in exchanges.iter_mut().enumerate() {
            self.note(slot, index, &ops, exchange);
            if ends && exchange.end == End::Open {
                let rest = read(&mut lanes[index], usize::MAX, CLOSE_TIME_MAX);
                exchange.frames.extend(rest.frames);
                exchange.end = rest.end;
            }
        }
        let mut outcome = [0, 1].map(|index| self.view(index, &ops, &exchanges[index]));
        for (index, text) in outcome.iter_mut().enumerate() {
            if exchanges[index].end == End::Silence {
                *text += &self.wake(index, &mut lanes[index]);
            }
        }
        if exchanges.iter().all(|exchange| exchange.end == End::Open) {
            self.slots[slot].lanes = Some(lanes);
        }
        outcome
    }

    /// What a silent server says once another session has written: whether it had fallen asleep.
    fn wake(&mut self, index: usize, lane: &mut Lane) -> String {
        let control = &mut self.pair.sides[index].control;
        let write = control.call(2, vec![text("/nonesuch"), Field::Int(-1)]);
        let write = write.map(|reply| reply.header);
        let late = read(lane, 1, CLOSE_TIME_MAX);
        format!("; behind another session's write ({write:?}): {:?} {:?}", late.end, late.frames)
    }

    /// Takes away the events that Apache ZooKeeper fired at setWatches and the other server kept
    /// back, where the client may indeed not read the node (see [`fired_path`]).
    fn forgive_fired_events(&self, lane: &mut Lane, [first, second]: &mut [Exchange; 2]) {
        if self.pair.sides[1].kind == Kind::Apache {
            return;
        }
        let sent = |frame: &Vec<u8>| second.frames.iter().any(|other| other[..] == frame[..]);
        let held_back: Vec<_> = first.frames.iter().filter(|frame| !sent(frame)).cloned().collect();
        for frame in held_back {
            let Some(path) = fired_path(&frame) else { continue };
            let read_it = Request::new(GET_DATA, vec![text(&path), Field::Byte(0)]);
            lane.send(&read_it.frame(0, Meaning { root: "$", seen_zxid: 0 }));
            let refused = match lane.receive(REPLY_TIME_MAX) {
                Received::Frame(reply) => Header::of(&reply).is_some_and(|it| it.err == NO_AUTH),
                Received::Closed | Received::Silence => false,
            };
            if refused {
                first.frames.retain(|kept| *kept != frame);
            }
        }
    }

    /// The requests as bytes, for each server.
    fn encode(&mut self, slot: usize, requests: &[Request]) -> [Vec<u8>; 2] {
        let slot = &mut self.slots[slot];
        let mut bytes = [Vec::new(), Vec::new()];
        for request in requests {
            slot.xid += 1;
            let xid = request.xid.unwrap_or(slot.xid);
            for (index, side) in self.pair.sides.iter().enumerate() {
                let meaning = Meaning { root: &self.root, seen_zxid: slot.seen[index] };
                let request = match side.kind {
                    Kind::Apache => request_for_apache(request),
                    Kind::Menagerie => request.clone(),
                };
                bytes[index].extend(request.frame(xid, meaning));
            }
        }
        bytes
    }

    /// Remembers what an exchange says about zxids and closed sessions.
    fn note(&mut self, slot: usize, index: usize, ops: &[i32], exchange: &Exchange) {
        for (op, header) in ops.iter().zip(exchange.replies()) {
            if header.zxid > 0 {
                self.slots[slot].seen[index] = header.zxid;
            }
            if *op == CLOSE_SESSION && header.err == 0 {
                self.closes[index].insert(header.zxid);
                if let Some(session) = self.slots[slot].session {
                    self.sessions[session].closed = true;
                }
            }
        }
    }

    fn frame(&mut self, slot: usize, bytes: &[u8]) -> io::Result<Outcome> {
        if let Some(failed) = self.ensure_open(slot)? {
            return Ok(failed);
        }
        let mut lanes = self.slots[slot].lanes.take().expect("the slot was just opened");
        for lane in &mut lanes {
            lane.send(bytes);
        }
        let exchanges = lanes.each_mut().map(|lane| read(lane, usize::MAX, CLOSE_TIME_MAX));
        Ok([0, 1].map(|index| self.view(index, &[], &exchanges[index])))
    }

    /// Opens the slot with a new session if it is not open. The outcome, if that went wrong.
    fn ensure_open(&mut self, slot: usize) -> io::Result<Option<Outcome>> {
        if self.slots[slot].lanes.is_some() {
            return Ok(None);
        }
        let outcome = self.open(slot, &Opening::new())?;
        Ok(self.slots[slot].lanes.is_none().then_some(outcome))
    }

    /// An exchange as text.
    fn view(&self, index: usize, ops: &[i32], exchange: &Exchange) -> String {
        let masks = &self.masks[index];
        let mut ops = ops.iter();
        let mut lines: Vec<(Option<i64>, String)> = Vec::new();
        for frame in &exchange.frames {
            match Header::of(frame) {
                Some(header) if header.xid == EVENT_XID => {
                    let close = self.closes[index].contains(&header.zxid).then_some(header.zxid);
                    lines.push((close, masks.event(frame)));
                }
                _ => {
                    let line = ops.next().map_or_else(
                        || format!("unasked {frame:02x?}"),
                        |op| masks.reply(*op, frame),
                    );
                    lines.push((None, line));
                }
            }
        }
        // Events of one session's end stand together, and have no order among themselves.
        for events in lines.chunk_by_mut(|a, b| a.0.is_some() && a.0 == b.0) {
            events.sort_unstable();
        }
        let mut text: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        if exchange.end != End::Open {
            text.push(format!("{:?}", exchange.end));
        }
        text.join("\n")
    }
}

impl Action {
    /// A word for what is done.
    fn kind(&self) -> String {
        match self {
            Self::Open(_) => "open".to_owned(),
            Self::Drop => "drop".to_owned(),
            Self::Restart { .. } => "restart".to_owned(),
            Self::Frame(_) => "frame".to_owned(),
            Self::Ask(requests) => {
                requests.last().map(|request| op_name(request.op)).unwrap_or_default()
            }
        }
    }
}

fn differ(step: Option<usize>, kind: &str, [apache, other]: Outcome) -> Option<Divergence> {
    let kind = kind.to_owned();
    (apache != other).then_some(Divergence { step, kind, apache, other })
}
