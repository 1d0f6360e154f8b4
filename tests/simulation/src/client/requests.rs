//! How the requests and replies of a recorded history stand on the wire.

use crate::history::{CreateMode, EventKind, NodeStat, Reply, Request, WatchedBy, Write, text_of};
use menagerie_wire::JuteError;
use menagerie_wire::data::{Acl, Stat};
use menagerie_wire::event::WatcherEvent;
use menagerie_wire::ids::Zxid;
use menagerie_wire::jute::{Decode, Encode, Put as _, Reader};
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::{
    Create, CreateFlags, MultiHeader, MultiRead, MultiRequest, PathVersion, PathWatch, ReadOp,
    SetData, SetWatches, WriteOp,
};
use std::borrow::Cow;

/// The opcode and body of `request`.
#[must_use]
pub fn encode(request: &Request) -> (OpCode, Vec<u8>) {
    let read = |path: &str, watch| PathWatch { path: path.to_owned().into(), watch };
    match request {
        Request::Write(write) => match write_op(write) {
            WriteOp::Create(op, create) => (op, create.to_bytes()),
            WriteOp::Delete(delete) => (OpCode::Delete, delete.to_bytes()),
            WriteOp::SetData(set_data) => (OpCode::SetData, set_data.to_bytes()),
            WriteOp::Check(check) => (OpCode::Check, check.to_bytes()),
        },
        Request::Multi(writes) => {
            let multi = MultiRequest { ops: writes.iter().map(write_op).collect() };
            (OpCode::Multi, multi.to_bytes())
        }
        Request::Exists { path, watch } => (OpCode::Exists, read(path, *watch).to_bytes()),
        Request::GetData { path, watch } => (OpCode::GetData, read(path, *watch).to_bytes()),
        Request::GetChildren { path, watch } => {
            (OpCode::GetChildren2, read(path, *watch).to_bytes())
        }
        Request::MultiRead(paths) => {
            let ops = paths.iter().map(|path| ReadOp::GetData(read(path, false))).collect();
            (OpCode::MultiRead, MultiRead { ops, of_writes: false }.to_bytes())
        }
        Request::Sync { path } => (OpCode::Sync, body(|out| out.put_string(path))),
        Request::Ping => (OpCode::Ping, Vec::new()),
        Request::CloseSession => (OpCode::CloseSession, Vec::new()),
        Request::SetWatches { .. } | Request::AddWatch { .. } | Request::RemoveWatches { .. } => {
            encode_watching(request)
        }
    }
}

fn encode_watching(request: &Request) -> (OpCode, Vec<u8>) {
    let with_number = |path: &str, number| {
        body(|out| {
            out.put_string(path);
            out.put_int(number);
        })
    };
    match request {
        Request::SetWatches { relative_zxid, data, exist, child, persistent, recursive } => {
            let list = |paths: &[String]| paths.iter().map(|path| path.clone().into()).collect();
            let watches = SetWatches {
                relative_zxid: *relative_zxid,
                data: list(data),
                exist: list(exist),
                child: list(child),
                persistent: list(persistent),
                persistent_recursive: list(recursive),
            };
            (OpCode::SetWatches2, watches.to_bytes())
        }
        Request::AddWatch { path, recursive } => {
            (OpCode::AddWatch, with_number(path, i32::from(*recursive)))
        }
        Request::RemoveWatches { path, watched_by } => {
            // ZooKeeper: Watcher.WatcherType
            let number = match watched_by {
                WatchedBy::Children => 1,
                WatchedBy::Data => 2,
                WatchedBy::Any => 3,
                WatchedBy::Persistent => 4,
                WatchedBy::Recursive => 5,
            };
            (OpCode::RemoveWatches, with_number(path, number))
        }
        other => unreachable!("{other:?} is not about watches"),
    }
}

fn body(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

fn write_op(write: &Write) -> WriteOp<'_> {
    match write {
        Write::Create { path, data, mode, sequential } => {
            let (op, flags) = create_op(*mode, *sequential);
            WriteOp::Create(
                op,
                Create {
                    path: path.into(),
                    data: data.as_deref().map(str::as_bytes),
                    acl: Some(vec![Acl::world(31)]),
                    flags: flags as i32,
                    ttl_ms: (op == OpCode::CreateTtl).then_some(1_000),
                },
            )
        }
        Write::Delete { path, version } => {
            WriteOp::Delete(PathVersion { path: path.into(), version: *version })
        }
        Write::SetData { path, data, version } => WriteOp::SetData(SetData {
            path: Some(path.into()),
            data: data.as_deref().map(str::as_bytes),
            version: *version,
        }),
        Write::Check { path, version } => {
            WriteOp::Check(PathVersion { path: path.into(), version: *version })
        }
    }
}

fn create_op(mode: CreateMode, sequential: bool) -> (OpCode, CreateFlags) {
    match (mode, sequential) {
        (CreateMode::Persistent, false) => (OpCode::Create2, CreateFlags::Persistent),
        (CreateMode::Persistent, true) => (OpCode::Create2, CreateFlags::PersistentSequential),
        (CreateMode::Ephemeral, false) => (OpCode::Create2, CreateFlags::Ephemeral),
        (CreateMode::Ephemeral, true) => (OpCode::Create2, CreateFlags::EphemeralSequential),
        (CreateMode::Container, _) => (OpCode::CreateContainer, CreateFlags::Container),
        (CreateMode::Ttl, false) => (OpCode::CreateTtl, CreateFlags::PersistentWithTtl),
        (CreateMode::Ttl, true) => (OpCode::CreateTtl, CreateFlags::PersistentSequentialWithTtl),
    }
}

/// The body of the reply to `request`. The error of a multi lies in its parts, which follow even
/// where the header has one.
///
/// # Errors
/// When the body is none of that kind.
pub fn decode(request: &Request, err: i32, body: &[u8]) -> Result<Result<Reply, i32>, JuteError> {
    let reader = &mut Reader::new(body);
    if matches!(request, Request::Multi(_) | Request::MultiRead(_)) && !body.is_empty() {
        return Ok(Ok(Reply::Parts(decode_parts(reader)?)));
    }
    if err != 0 {
        return Ok(Err(err));
    }
    Ok(Ok(match request {
        Request::Write(Write::Create { .. }) => created(reader)?,
        Request::Write(Write::SetData { .. }) | Request::Exists { .. } => {
            Reply::Stat(stat(reader)?)
        }
        Request::GetData { .. } => data(reader)?,
        Request::GetChildren { .. } => {
            let names: Vec<Cow<'_, str>> = reader.vector()?.unwrap_or_default();
            let names = names.into_iter().map(Cow::into_owned).collect();
            Reply::Children { names, stat: Some(stat(reader)?) }
        }
        _ => Reply::Done,
    }))
}

/// The results of a multi or multiRead, up to its end.
fn decode_parts(reader: &mut Reader<'_>) -> Result<Vec<Result<Reply, i32>>, JuteError> {
    let mut parts = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(parts);
        }
        let op = OpCode::try_from(header.op)?;
        parts.push(match op {
            OpCode::Error => Err(reader.int()?),
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Ok(created(reader)?)
            }
            OpCode::SetData => Ok(Reply::Stat(stat(reader)?)),
            OpCode::GetData => Ok(data(reader)?),
            OpCode::Delete | OpCode::Check => Ok(Reply::Done),
            other => return Err(JuteError::Unknown(other as i32, "result of a multi")),
        });
    }
}

fn created(reader: &mut Reader<'_>) -> Result<Reply, JuteError> {
    let path = reader.string()?.into_owned();
    Ok(Reply::Created { path, stat: Some(stat(reader)?) })
}

fn data(reader: &mut Reader<'_>) -> Result<Reply, JuteError> {
    let data = reader.buffer()?.map(text_of);
    Ok(Reply::Data { data, stat: stat(reader)? })
}

fn stat(reader: &mut Reader<'_>) -> Result<NodeStat, JuteError> {
    Ok(Stat::decode(reader)?.into())
}

/// A watch event: what happened, and to which node.
///
/// # Errors
/// When the body is no event.
pub fn decode_event(zxid: Zxid, body: &[u8]) -> Result<(EventKind, String), JuteError> {
    let event = WatcherEvent::decode_body(zxid, body)?;
    Ok((event.kind.into(), event.path.to_owned()))
}
