//! The driver of a load of reads and writes: what is sent, and what came back.

use std::borrow::Cow;
use std::str::FromStr;

use clap::ValueEnum;
use menagerie_wire::OpCode;
use menagerie_wire::proto::{CreateFlags, MultiRequest, PathVersion, PathWatch, SetData, WriteOp};

use crate::checks::{self, Checks};
use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::fleet::{Driver, Due, Reply};
use crate::keys::{Draw, Keys};
use crate::latency::{Operation, Recorder};
use crate::open_loop::Schedule;
use crate::random::Random;
use crate::requests;
use crate::timeline::Timeline;
use crate::violations::Judged;

/// Reads to writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) struct Ratio {
    reads: u32,
    writes: u32,
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not READS:WRITES with numbers below 1000000");
        let (reads, writes) = text.split_once(':').ok_or_else(expected)?;
        let part = |text: &str| text.parse().ok().filter(|part| *part < 1_000_000_u32);
        let ratio = part(reads).zip(part(writes)).filter(|(reads, writes)| reads + writes > 0);
        ratio.map(|(reads, writes)| Self { reads, writes }).ok_or_else(expected)
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.reads, self.writes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::scenario) enum ReadKind {
    GetData,
    Exists,
    /// The names in the directory of a key
    GetChildren,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::scenario) enum WriteKind {
    SetData,
    /// In turn: a node beside a key is created, and deleted
    CreateDelete,
    /// setData of several keys, all or none
    Multi,
}

/// What a load is made of.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Settings {
    pub(in crate::scenario) connections: u32,
    pub(in crate::scenario) servers: usize,
    /// Requests in flight per connection, in a closed loop.
    pub(in crate::scenario) depth: u32,
    /// Requests per second in all, in an open loop.
    pub(in crate::scenario) rate: Option<f64>,
    pub(in crate::scenario) ratio: Ratio,
    pub(in crate::scenario) reads: Vec<ReadKind>,
    pub(in crate::scenario) writes: Vec<WriteKind>,
    /// Keys that one multi sets.
    pub(in crate::scenario) multi_size: u32,
    pub(in crate::scenario) value_bytes: u32,
    pub(in crate::scenario) skew: f64,
    pub(in crate::scenario) seed: u64,
    pub(in crate::scenario) checked: bool,
}

impl Settings {
    pub(in crate::scenario) fn value(&self) -> Vec<u8> {
        vec![b'm'; self.value_bytes as usize]
    }
}

/// What a reply is an answer to; the number that a note carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    GetData,
    Exists,
    GetChildren,
    SetData,
    Create,
    Delete,
    Multi,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::GetData,
        Self::Exists,
        Self::GetChildren,
        Self::SetData,
        Self::Create,
        Self::Delete,
        Self::Multi,
    ];
}

pub(in crate::scenario) struct Load<'a> {
    settings: &'a Settings,
    keys: &'a Keys,
    draw: Draw,
    /// The value of a write; a multi needs several.
    values: Vec<Vec<u8>>,
    /// By connection: a node that was created and not yet deleted.
    created: Vec<Option<String>>,
    random: Random,
    checks: Checks,
    pub(in crate::scenario) recorder: Recorder,
    pub(in crate::scenario) timeline: Option<Timeline>,
    schedule: Option<Schedule>,
    pub(in crate::scenario) stopped: bool,
    sent: u64,
    answered: u64,
}

impl<'a> Load<'a> {
    pub(in crate::scenario) fn new(settings: &'a Settings, keys: &'a Keys) -> Self {
        let value_bytes = settings.value_bytes as usize;
        Self {
            settings,
            keys,
            draw: Draw::new(keys.count(), settings.skew),
            values: vec![settings.value(); settings.multi_size.max(1) as usize],
            created: vec![None; settings.connections as usize],
            random: Random::seeded(settings.seed),
            checks: Checks::new(settings.servers, keys.count(), value_bytes),
            recorder: Recorder::default(),
            timeline: None,
            schedule: settings.rate.map(|rate| Schedule::new(Nanos::now(), rate)),
            stopped: false,
            sent: 0,
            answered: 0,
        }
    }

    pub(in crate::scenario) fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }

    /// Nodes beside the keys that are still there after the last reply.
    pub(in crate::scenario) fn left_over(self) -> Vec<String> {
        self.created.into_iter().flatten().collect()
    }

    fn send(&mut self, connection: &mut Connection, due: Nanos) {
        let key = self.draw.next(&mut self.random);
        let Ratio { reads, writes } = self.settings.ratio;
        let read = self.random.below(reads + writes) < reads;
        let kind = if read { self.read_kind() } else { self.write_kind(connection.index) };
        self.sent += 1;
        let version_min = self.checks.version_min(connection.server, key);
        let operation = if read { Operation::Read } else { Operation::Write };
        let kind_number = kind as u8;
        let note =
            Note { operation, due, key, version_min, sequence: self.sent, kind: kind_number };
        let path = Cow::Borrowed(self.keys.paths[key as usize].as_str());
        match kind {
            Kind::GetData => {
                connection.send(OpCode::GetData, &PathWatch { path, watch: false }, note);
            }
            Kind::Exists => {
                connection.send(OpCode::Exists, &PathWatch { path, watch: false }, note);
            }
            Kind::GetChildren => {
                let path = Cow::Borrowed(self.keys.directory(key));
                connection.send(OpCode::GetChildren, &PathWatch { path, watch: false }, note);
            }
            Kind::SetData => {
                checks::label(&mut self.values[0], key, self.sent);
                let data = Some(&*self.values[0]);
                let body = SetData { path: Some(path), data, version: -1 };
                connection.send(OpCode::SetData, &body, note);
            }
            Kind::Create | Kind::Delete => self.send_create_or_delete(connection, note),
            Kind::Multi => self.send_multi(connection, note),
        }
    }

    fn read_kind(&mut self) -> Kind {
        match pick(&self.settings.reads, &mut self.random) {
            ReadKind::GetData => Kind::GetData,
            ReadKind::Exists => Kind::Exists,
            ReadKind::GetChildren => Kind::GetChildren,
        }
    }

    fn write_kind(&mut self, connection: usize) -> Kind {
        match pick(&self.settings.writes, &mut self.random) {
            WriteKind::SetData => Kind::SetData,
            WriteKind::CreateDelete if self.created[connection].is_some() => Kind::Delete,
            WriteKind::CreateDelete => Kind::Create,
            WriteKind::Multi => Kind::Multi,
        }
    }

    /// The node that a connection made is deleted by its next request of this kind. That may leave
    /// before the create is answered: a session's requests keep their order.
    fn send_create_or_delete(&mut self, connection: &mut Connection, note: Note) {
        let created = &mut self.created[connection.index];
        if let Some(path) = created.take() {
            let body = PathVersion { path: path.into(), version: -1 };
            return connection.send(OpCode::Delete, &body, note);
        }
        let path = format!("{}/t{}", self.keys.directory(note.key), note.sequence);
        let body = requests::create(&path, &self.values[0], CreateFlags::Persistent);
        connection.send(OpCode::Create, &body, note);
        *created = Some(path);
    }

    fn send_multi(&mut self, connection: &mut Connection, note: Note) {
        let keys = multi_keys(note.key, self.settings.multi_size, self.keys.count());
        for (value, key) in self.values.iter_mut().zip(keys.clone()) {
            checks::label(value, key, note.sequence);
        }
        let ops = self.values.iter().zip(keys).map(|(value, key)| {
            let path = Some(Cow::Borrowed(self.keys.paths[key as usize].as_str()));
            WriteOp::SetData(SetData { path, data: Some(value), version: -1 })
        });
        connection.send(OpCode::Multi, &MultiRequest { ops: ops.collect() }, note);
    }

    fn judge(&mut self, connection: &mut Connection, note: &Note, body: &[u8]) -> Judged {
        let (server, conversation) = (connection.server, &mut connection.conversation);
        match Kind::ALL[usize::from(note.kind)] {
            Kind::GetData => self.checks.on_read(server, note, conversation.behind(), body),
            Kind::Exists => self.checks.on_exists(server, note, conversation.behind(), body),
            Kind::GetChildren => checks::check_names(note, self.keys.siblings(note.key), body),
            Kind::SetData => self.checks.on_write(server, note, conversation.behind(), body),
            Kind::Create => {
                let directory = self.keys.directory(note.key);
                checks::check_created(note, &format!("{directory}/t{}", note.sequence), body)
            }
            Kind::Delete => Ok(()),
            Kind::Multi => {
                let mut rest = body;
                let size = self.settings.multi_size;
                multi_keys(note.key, size, self.keys.count()).try_for_each(|key| {
                    // The minimum was asked for the first key only.
                    let version_min = if key == note.key { note.version_min } else { 0 };
                    let note = Note { key, version_min, ..*note };
                    let stat = checks::next_result(&note, &mut rest)?;
                    self.checks.on_write(server, &note, conversation.behind(), stat)
                })
            }
        }
    }
}

/// The keys that a multi sets: one that was drawn, and those that follow it.
fn multi_keys(first: u32, size: u32, count: u32) -> impl Iterator<Item = u32> + Clone {
    let size = u64::from(size.min(count));
    (0..size).map(move |offset| ((u64::from(first) + offset) % u64::from(count)) as u32)
}

/// One of a few kinds, all alike.
fn pick<T: Copy>(kinds: &[T], random: &mut Random) -> T {
    // The usual list of one costs no number, so a seed gives the same keys as ever.
    if let [only] = kinds { *only } else { kinds[random.below(kinds.len() as u32) as usize] }
}

impl Driver for Load<'_> {
    fn refill(&mut self, connection: &mut Connection, now: Nanos) {
        if self.schedule.is_some() || self.stopped {
            return;
        }
        while connection.in_flight_len() < self.settings.depth as usize {
            self.send(connection, now);
        }
    }

    fn on_reply(&mut self, connection: &mut Connection, note: Note, reply: Reply<'_>) -> Judged {
        self.answered += 1;
        let failed = reply.header.err != 0;
        self.recorder.record(note.operation, note.due, reply.received, failed);
        if let Some(timeline) = &mut self.timeline {
            timeline.record(note.due, reply.received);
        }
        if failed || !self.settings.checked {
            return Ok(());
        }
        self.judge(connection, &note, reply.body)
    }

    fn due(&mut self, now: Nanos) -> Due {
        match &self.schedule {
            Some(schedule) if !self.stopped => {
                let due = schedule.next_due();
                let turn = schedule.taken() % u64::from(self.settings.connections);
                if due <= now { Due::Now(turn as usize) } else { Due::At(due) }
            }
            _ => Due::Never,
        }
    }

    fn send_due(&mut self, connection: &mut Connection) {
        if let Some(due) = self.schedule.as_mut().map(Schedule::take) {
            self.send(connection, due);
        }
    }

    fn is_done(&self) -> bool {
        self.stopped && self.answered == self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_two_numbers_of_which_one_is_not_zero() {
        let check = |text: &str, expect: Option<(u32, u32)>| {
            let ratio = text.parse::<Ratio>().ok().map(|ratio| (ratio.reads, ratio.writes));
            assert_eq!(ratio, expect, "{text}");
        };
        check("10:1", Some((10, 1)));
        check("0:1", Some((0, 1)));
        check("1:0", Some((1, 0)));
        check("0:0", None);
        check("10", None);
        check("-1:1", None);
        check("10:1:1", None);
    }

    #[test]
    fn a_multi_sets_each_key_once() {
        assert_eq!(multi_keys(8, 3, 10).collect::<Vec<_>>(), [8, 9, 0]);
        assert_eq!(multi_keys(1, 5, 2).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn kinds_are_found_by_their_numbers() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
