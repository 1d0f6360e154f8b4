//! The part of the tree that a run makes for itself, and removes again.
//!
//! Its root carries the process id and the time, so that runs side by side, or one after another
//! that was killed, do not meet. Children are named once; paths are borrowed by every request.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use menagerie_wire::OpCode;
use menagerie_wire::data::{Acl, perms};
use menagerie_wire::proto::{Create, PathVersion};

use crate::connection::Connection;
use crate::conversation::Note;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::latency::Recorder;
use crate::sequence::{SendNumbered, Sequence};

/// Requests in flight per connection while a tree is built or removed.
const DEPTH: usize = 16;

/// A path that no other run uses.
pub fn unique_root() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("/menagerie-bench-{}-{:x}", std::process::id(), since_epoch.as_millis())
}

/// Creates persistent nodes, open to all, with the data that `data` gives for each number.
pub fn create<'d>(
    fleet: &mut Fleet,
    paths: &[String],
    mut data: impl FnMut(u32) -> Cow<'d, [u8]>,
    recorder: Recorder,
) -> Result<Recorder, BenchError> {
    let create = |number: u32, connection: &mut Connection, note: Note| {
        let data = data(number);
        let body = Create {
            path: Cow::Borrowed(&paths[number as usize]),
            data: Some(&data),
            acl: Some(vec![Acl::world(perms::ALL)]),
            flags: 0,
            ttl_ms: None,
        };
        connection.send(OpCode::Create, &body, note);
    };
    run(fleet, Sequence::new(count(paths), DEPTH, create, recorder))
}

/// Deletes nodes that have no children.
pub fn delete(fleet: &mut Fleet, paths: &[String]) -> Result<(), BenchError> {
    let delete = |number: u32, connection: &mut Connection, note: Note| {
        let path = Cow::Borrowed(paths[number as usize].as_str());
        connection.send(OpCode::Delete, &PathVersion { path, version: -1 }, note);
    };
    run(fleet, Sequence::new(count(paths), DEPTH, delete, Recorder::default())).map(drop)
}

fn run<S: SendNumbered>(
    fleet: &mut Fleet,
    mut sequence: Sequence<S>,
) -> Result<Recorder, BenchError> {
    let count = u64::from(sequence.count());
    fleet.run(&mut sequence, None)?;
    if sequence.failed > 0 {
        let (failed, code) = (sequence.failed, sequence.last_error);
        return Err(BenchError::TestTree { failed, count, code });
    }
    Ok(sequence.recorder)
}

fn count(paths: &[String]) -> u32 {
    u32::try_from(paths.len()).expect("no scenario has more than 2^32 nodes")
}
