//! The part of the tree that a run makes for itself, and removes again.
//!
//! Its root carries the process id and the time, so that runs side by side, or one after another
//! that was killed, do not meet. Nodes are numbered; their paths and data are functions of the
//! number, so that a million of them need no memory here.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use menagerie_wire::OpCode;
use menagerie_wire::proto::{CreateFlags, PathVersion, PathWatch};

use crate::clock::Nanos;
use crate::connection::Connection;
use crate::conversation::Note;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::latency::Recorder;
use crate::random::Random;
use crate::requests::{self, OnePath};
use crate::sequence::{SendNumbered, Sequence};

/// A path that no other run uses.
pub fn unique_root() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("/menagerie-bench-{}-{:x}", std::process::id(), since_epoch.as_millis())
}

/// A path of 13 bytes that no other run uses, where the length of paths matters.
pub fn unique_short_root() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or_default();
    let mut random = Random::seeded(nanos ^ (u64::from(std::process::id()) << 32));
    format!("/{:012x}", random.next() >> 16)
}

/// Creates the root, empty.
pub fn create_root(fleet: &mut Fleet, root: &str) -> Result<(), BenchError> {
    let nothing: fn(u32) -> &'static [u8] = |_| &[];
    create(fleet, 1, 1, |_| root, nothing, Recorder::default()).map(drop)
}

/// Deletes the root, which has no children any more.
pub fn delete_root(fleet: &mut Fleet, root: &str) -> Result<(), BenchError> {
    delete(fleet, 1, 1, |_| root)
}

/// Creates `count` persistent nodes that are open to all, `depth` at a time on each connection.
pub fn create<P: AsRef<str>, D: AsRef<[u8]>>(
    fleet: &mut Fleet,
    count: u32,
    depth: usize,
    path: impl Fn(u32) -> P,
    mut data: impl FnMut(u32) -> D,
    recorder: Recorder,
) -> Result<Recorder, BenchError> {
    let create = |number: u32, connection: &mut Connection, note: Note| {
        let (path, data) = (path(number), data(number));
        let body = requests::create(path.as_ref(), data.as_ref(), CreateFlags::Persistent);
        connection.send(OpCode::Create, &body, note);
    };
    run(fleet, Sequence::new(count, depth, create, recorder))
}

/// Deletes `count` nodes that have no children.
pub fn delete<P: AsRef<str>>(
    fleet: &mut Fleet,
    count: u32,
    depth: usize,
    path: impl Fn(u32) -> P,
) -> Result<(), BenchError> {
    let delete = |number: u32, connection: &mut Connection, note: Note| {
        let path = path(number);
        let body = PathVersion { path: Cow::Borrowed(path.as_ref()), version: -1 };
        connection.send(OpCode::Delete, &body, note);
    };
    run(fleet, Sequence::new(count, depth, delete, Recorder::default())).map(drop)
}

/// Sends requests 0 to `count` on each of the first `connections`, and wants them all to succeed.
pub fn on_each<S: SendNumbered>(
    fleet: &mut Fleet,
    connections: usize,
    count: u32,
    depth: usize,
    send: S,
) -> Result<(), BenchError> {
    run(fleet, Sequence::on_each(connections, count, depth, send)).map(drop)
}

/// A round trip on every connection: its session is heard, and what a server had to say before, it
/// has said then.
pub fn round_trip(fleet: &mut Fleet, root: &str) -> Result<(), BenchError> {
    let exists = |_: u32, connection: &mut Connection, note: Note| {
        let body = PathWatch { path: root.into(), watch: false };
        connection.send(OpCode::Exists, &body, note);
    };
    on_each(fleet, fleet.len(), 1, 1, exists)
}

/// Brings every connection to a state that holds what was done so far: servers may lag.
pub fn sync(fleet: &mut Fleet, root: &str) -> Result<(), BenchError> {
    let sync = |_: u32, connection: &mut Connection, note: Note| {
        connection.send(OpCode::Sync, &OnePath(root), note);
    };
    on_each(fleet, fleet.len(), 1, 1, sync)
}

fn run<S: SendNumbered>(
    fleet: &mut Fleet,
    mut sequence: Sequence<S>,
) -> Result<Recorder, BenchError> {
    fleet.run(&mut sequence, None)?;
    if sequence.failed > 0 {
        let (failed, code) = (sequence.failed, sequence.last_error);
        return Err(BenchError::TestTree { failed, count: sequence.count(), code });
    }
    sequence.recorder.close(Nanos::now());
    Ok(sequence.recorder)
}
