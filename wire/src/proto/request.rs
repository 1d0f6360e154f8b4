//! The bodies of requests, by opcode.
//!
//! A body decodes or it does not; whether its values make sense is judged by whoever serves it.
//! Null paths are kept where Apache answers them with something other than "cannot decode".

use std::borrow::Cow;

use crate::data::Acl;
use crate::ids::Zxid;
use crate::jute::{Decode, Encode, JuteError, Put, Reader};
use crate::opcode::OpCode;
use crate::proto::multi::{MultiRead, MultiRequest};

/// A path or string that may be null.
pub type OptStr<'a> = Option<Cow<'a, str>>;

/// Body of create, create2, createContainer and, with `ttl_ms`, createTTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    pub path: Cow<'a, str>,
    /// Null data is legal and distinct from empty data.
    pub data: Option<&'a [u8]>,
    pub acl: Option<Vec<Acl<'a>>>,
    /// As sent; see [`CreateFlags`].
    pub flags: i32,
    /// Only in createTTL.
    pub ttl_ms: Option<i64>,
}

/// The known values of a create's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum CreateFlags {
    Persistent = 0,
    Ephemeral = 1,
    PersistentSequential = 2,
    EphemeralSequential = 3,
    Container = 4,
    PersistentWithTtl = 5,
    PersistentSequentialWithTtl = 6,
}

impl TryFrom<i32> for CreateFlags {
    type Error = JuteError;

    fn try_from(flags: i32) -> Result<Self, JuteError> {
        Ok(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentWithTtl,
            6 => Self::PersistentSequentialWithTtl,
            other => return Err(JuteError::Unknown(other, "create flag")),
        })
    }
}

impl CreateFlags {
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::PersistentSequentialWithTtl
        )
    }

    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    pub const fn is_ttl(self) -> bool {
        matches!(self, Self::PersistentWithTtl | Self::PersistentSequentialWithTtl)
    }
}

impl<'a> Create<'a> {
    /// Reads the body that belongs to `op`, one of the create family.
    pub fn decode(op: OpCode, reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self {
            path: reader.string()?,
            data: reader.buffer()?,
            acl: reader.vector()?,
            flags: reader.int()?,
            ttl_ms: if op == OpCode::CreateTtl { Some(reader.long()?) } else { None },
        })
    }
}

impl Encode for Create<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.path);
        out.put_buffer(self.data);
        match &self.acl {
            None => out.put_int(-1),
            Some(acl) => out.put_vector(acl),
        }
        out.put_int(self.flags);
        if let Some(ttl_ms) = self.ttl_ms {
            out.put_long(ttl_ms);
        }
    }
}

/// Body of delete and check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVersion<'a> {
    pub path: Cow<'a, str>,
    /// The version the node must have; -1 is any.
    pub version: i32,
}

impl Encode for PathVersion<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.path);
        out.put_int(self.version);
    }
}

impl<'a> Decode<'a> for PathVersion<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { path: reader.string()?, version: reader.int()? })
    }
}

/// Body of the reads that can leave a watch: exists, getData, getChildren, getChildren2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathWatch<'a> {
    pub path: Cow<'a, str>,
    pub watch: bool,
}

impl Encode for PathWatch<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.path);
        out.put_bool(self.watch);
    }
}

impl<'a> Decode<'a> for PathWatch<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { path: reader.string()?, watch: reader.boolean()? })
    }
}

/// Body of setData.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetData<'a> {
    /// Null is a bad argument, not a decoding error.
    pub path: OptStr<'a>,
    pub data: Option<&'a [u8]>,
    pub version: i32,
}

impl Encode for SetData<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_ustring(self.path.as_deref());
        out.put_buffer(self.data);
        out.put_int(self.version);
    }
}

impl<'a> Decode<'a> for SetData<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { path: reader.ustring()?, data: reader.buffer()?, version: reader.int()? })
    }
}

/// Body of setACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAcl<'a> {
    /// Null is a bad argument, not a decoding error.
    pub path: OptStr<'a>,
    pub acl: Option<Vec<Acl<'a>>>,
    pub version: i32,
}

impl Encode for SetAcl<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_ustring(self.path.as_deref());
        match &self.acl {
            None => out.put_int(-1),
            Some(acl) => out.put_vector(acl),
        }
        out.put_int(self.version);
    }
}

impl<'a> Decode<'a> for SetAcl<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { path: reader.ustring()?, acl: reader.vector()?, version: reader.int()? })
    }
}

/// Body of reconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconfig<'a> {
    pub joining: OptStr<'a>,
    pub leaving: OptStr<'a>,
    pub new_members: OptStr<'a>,
    /// The configuration version that must be current; -1 is any.
    pub current_config_id: i64,
}

impl<'a> Decode<'a> for Reconfig<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self {
            joining: reader.ustring()?,
            leaving: reader.ustring()?,
            new_members: reader.ustring()?,
            current_config_id: reader.long()?,
        })
    }
}

/// Body of an auth packet. The leading int is ignored by servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPacket<'a> {
    pub scheme: OptStr<'a>,
    pub auth: Option<&'a [u8]>,
}

impl Encode for AuthPacket<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(0);
        out.put_ustring(self.scheme.as_deref());
        out.put_buffer(self.auth);
    }
}

impl<'a> Decode<'a> for AuthPacket<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        reader.int()?;
        Ok(Self { scheme: reader.ustring()?, auth: reader.buffer()? })
    }
}

/// Body of setWatches (the last two lists empty) and setWatches2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// What the client had seen when its old connection broke.
    pub relative_zxid: Zxid,
    pub data: Vec<Cow<'a, str>>,
    pub exist: Vec<Cow<'a, str>>,
    pub child: Vec<Cow<'a, str>>,
    pub persistent: Vec<Cow<'a, str>>,
    pub persistent_recursive: Vec<Cow<'a, str>>,
}

impl<'a> SetWatches<'a> {
    fn decode(op: OpCode, reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let relative_zxid = Zxid(reader.long()?);
        let mut list = || reader.vector()?.ok_or(JuteError::Null);
        let (data, exist, child) = (list()?, list()?, list()?);
        let (persistent, persistent_recursive) =
            if op == OpCode::SetWatches2 { (list()?, list()?) } else { Default::default() };
        Ok(Self { relative_zxid, data, exist, child, persistent, persistent_recursive })
    }
}

impl Encode for SetWatches<'_> {
    /// Writes the setWatches2 form; setWatches is its prefix without the last two lists.
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.relative_zxid.0);
        out.put_vector(&self.data);
        out.put_vector(&self.exist);
        out.put_vector(&self.child);
        out.put_vector(&self.persistent);
        out.put_vector(&self.persistent_recursive);
    }
}

/// Which watches checkWatches and removeWatches mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum WatcherType {
    Children = 1,
    Data = 2,
    Any = 3,
    Persistent = 4,
    PersistentRecursive = 5,
}

impl TryFrom<i32> for WatcherType {
    type Error = JuteError;

    fn try_from(code: i32) -> Result<Self, JuteError> {
        Ok(match code {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            other => return Err(JuteError::Unknown(other, "watcher type")),
        })
    }
}

/// How an addWatch watch behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum AddWatchMode {
    Persistent = 0,
    PersistentRecursive = 1,
}

impl TryFrom<i32> for AddWatchMode {
    type Error = JuteError;

    fn try_from(code: i32) -> Result<Self, JuteError> {
        Ok(match code {
            0 => Self::Persistent,
            1 => Self::PersistentRecursive,
            other => return Err(JuteError::Unknown(other, "watch mode")),
        })
    }
}

/// One decoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// create, create2, createContainer or createTTL, as the opcode says.
    Create(OpCode, Create<'a>),
    Delete(PathVersion<'a>),
    SetData(SetData<'a>),
    SetAcl(SetAcl<'a>),
    Multi(MultiRequest<'a>),
    Reconfig(Reconfig<'a>),
    Exists(PathWatch<'a>),
    GetData(PathWatch<'a>),
    GetChildren(PathWatch<'a>),
    GetChildren2(PathWatch<'a>),
    GetAcl(Cow<'a, str>),
    GetAllChildrenNumber(Cow<'a, str>),
    /// Null, blank and "/" all mean every ephemeral of the session.
    GetEphemerals(OptStr<'a>),
    MultiRead(MultiRead<'a>),
    Sync(OptStr<'a>),
    SetWatches(SetWatches<'a>),
    AddWatch(OptStr<'a>, AddWatchMode),
    CheckWatches(OptStr<'a>, WatcherType),
    RemoveWatches(OptStr<'a>, WatcherType),
    Auth(AuthPacket<'a>),
    Sasl(Option<&'a [u8]>),
    Ping,
    WhoAmI,
    CloseSession,
}

impl<'a> Request<'a> {
    /// Reads the body that belongs to `op`.
    ///
    /// # Errors
    /// When the body is none of that opcode, and [`JuteError::Unknown`] for opcodes that clients
    /// may not send at the top level (check, and all internal ones).
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, JuteError> {
        let r = &mut Reader::new(body);
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::Create(op, Create::decode(op, r)?)
            }
            OpCode::Delete => Self::Delete(PathVersion::decode(r)?),
            OpCode::SetData => Self::SetData(SetData::decode(r)?),
            OpCode::SetAcl => Self::SetAcl(SetAcl::decode(r)?),
            OpCode::Multi => Self::Multi(MultiRequest::decode(r)?),
            OpCode::Reconfig => Self::Reconfig(Reconfig::decode(r)?),
            OpCode::Exists => Self::Exists(PathWatch::decode(r)?),
            OpCode::GetData => Self::GetData(PathWatch::decode(r)?),
            OpCode::GetChildren => Self::GetChildren(PathWatch::decode(r)?),
            OpCode::GetChildren2 => Self::GetChildren2(PathWatch::decode(r)?),
            OpCode::GetAcl => Self::GetAcl(r.string()?),
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber(r.string()?),
            OpCode::GetEphemerals => Self::GetEphemerals(r.ustring()?),
            OpCode::MultiRead => Self::MultiRead(MultiRead::decode(r)?),
            OpCode::Sync => Self::Sync(r.ustring()?),
            OpCode::SetWatches | OpCode::SetWatches2 => {
                Self::SetWatches(SetWatches::decode(op, r)?)
            }
            OpCode::AddWatch => Self::AddWatch(r.ustring()?, r.int()?.try_into()?),
            OpCode::CheckWatches => Self::CheckWatches(r.ustring()?, r.int()?.try_into()?),
            OpCode::RemoveWatches => Self::RemoveWatches(r.ustring()?, r.int()?.try_into()?),
            OpCode::Auth => Self::Auth(AuthPacket::decode(r)?),
            OpCode::Sasl => Self::Sasl(r.buffer()?),
            OpCode::Ping => Self::Ping,
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Check | OpCode::DeleteContainer | OpCode::CreateSession | OpCode::Error => {
                return Err(JuteError::Unknown(op as i32, "request"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: OpCode, body: &[u8], expect: Result<Request<'_>, JuteError>) {
        assert_eq!(Request::decode(op, body), expect);
    }

    #[test]
    fn a_null_path_is_an_error_only_where_apache_cannot_decode_it() {
        let null = [0xff; 12];
        check(OpCode::Exists, &null, Err(JuteError::Null));
        check(OpCode::Delete, &null, Err(JuteError::Null));
        check(OpCode::Sync, &null, Ok(Request::Sync(None)));
        let set = SetData { path: None, data: None, version: -1 };
        check(OpCode::SetData, &null, Ok(Request::SetData(set)));
    }

    #[test]
    fn extra_bytes_are_ignored() {
        let body = [PathWatch { path: "/a".into(), watch: true }.to_bytes(), vec![9; 5]].concat();
        let read = PathWatch { path: "/a".into(), watch: true };
        check(OpCode::GetData, &body, Ok(Request::GetData(read)));
    }

    #[test]
    fn internal_opcodes_are_no_requests() {
        for op in [OpCode::Check, OpCode::DeleteContainer, OpCode::CreateSession, OpCode::Error] {
            check(op, &[], Err(JuteError::Unknown(op as i32, "request")));
        }
    }

    #[test]
    fn every_truncated_body_is_an_error_and_never_a_panic() {
        let acl = Some(vec![Acl::world(31)]);
        let create = Create { path: "/a".into(), data: Some(b"x"), acl, flags: 0, ttl_ms: Some(5) };
        let body = create.to_bytes();
        for len in 0..body.len() {
            assert!(Request::decode(OpCode::CreateTtl, &body[..len]).is_err(), "{len} bytes");
        }
        assert!(Request::decode(OpCode::CreateTtl, &body).is_ok());
    }
}
