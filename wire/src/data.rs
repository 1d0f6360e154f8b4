//! The records that requests, replies and transactions share: `Stat`, `Id`, `ACL`.
//!
//! Facts: ZooKeeper `zookeeper.jute`, module `org.apache.zookeeper.data`.

use std::borrow::Cow;

use crate::ids::{SessionId, Zxid};
use crate::jute::{Decode, Encode, JuteError, Put, Reader};

/// What a client may see of a node beside its data: 68 bytes on the wire, `pzxid` last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: Zxid,
    /// The last transaction that changed its data.
    pub mzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the set of children: 2 × creates − children, wrapping.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Owner of an ephemeral node; 0 for all other kinds, container and TTL included.
    pub ephemeral_owner: SessionId,
    pub data_length: i32,
    pub num_children: i32,
    /// The last transaction that added or removed a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Bytes of an encoded `Stat`.
    pub const LEN: usize = 68;
}

impl Encode for Stat {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime_ms);
        out.put_long(self.mtime_ms);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner.0);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.0);
    }
}

impl<'a> Decode<'a> for Stat {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self {
            czxid: Zxid(reader.long()?),
            mzxid: Zxid(reader.long()?),
            ctime_ms: reader.long()?,
            mtime_ms: reader.long()?,
            version: reader.int()?,
            cversion: reader.int()?,
            aversion: reader.int()?,
            ephemeral_owner: SessionId(reader.long()?),
            data_length: reader.int()?,
            num_children: reader.int()?,
            pzxid: Zxid(reader.long()?),
        })
    }
}

/// The bits of an ACL entry's `perms`. Unknown bits are stored and returned.
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

/// Who somebody is, in the words of one authentication scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id<'a> {
    pub scheme: Cow<'a, str>,
    pub id: Cow<'a, str>,
}

impl<'a> Id<'a> {
    pub fn new(scheme: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }

    pub fn into_owned(self) -> Id<'static> {
        Id::new(self.scheme.into_owned(), self.id.into_owned())
    }
}

impl Encode for Id<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.scheme);
        out.put_string(&self.id);
    }
}

impl<'a> Decode<'a> for Id<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { scheme: reader.string()?, id: reader.string()? })
    }
}

/// Schemes whose id may be null: none at all, and "the identities of the caller", for which clients
/// send no id.
const IDLESS_SCHEMES: [&str; 2] = ["", "auth"];

/// One entry of a node's access list.
///
/// A null scheme reads as the empty one, which is no scheme and is refused as an invalid ACL. A
/// null id does not decode, except beside a scheme whose id nobody looks at
/// (ZooKeeper: `PrepRequestProcessor.fixupACL`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl<'a> {
    pub perms: i32,
    pub id: Id<'a>,
}

impl<'a> Acl<'a> {
    pub fn new(perms: i32, scheme: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Self {
        Self { perms, id: Id::new(scheme, id) }
    }

    /// Anyone may do what `perms` says.
    pub const fn world(perms: i32) -> Self {
        let id = Id { scheme: Cow::Borrowed("world"), id: Cow::Borrowed("anyone") };
        Self { perms, id }
    }

    pub fn into_owned(self) -> Acl<'static> {
        Acl { perms: self.perms, id: self.id.into_owned() }
    }
}

impl Encode for Acl<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.perms);
        self.id.encode(out);
    }
}

impl<'a> Decode<'a> for Acl<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let perms = reader.int()?;
        let scheme = reader.ustring()?.unwrap_or_default();
        let id = match reader.ustring()? {
            Some(id) => id,
            None if IDLESS_SCHEMES.contains(&&*scheme) => Cow::Borrowed(""),
            None => return Err(JuteError::Null),
        };
        Ok(Self { perms, id: Id { scheme, id } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_68_bytes_with_pzxid_last() {
        let stat = Stat { pzxid: Zxid(0x0102), version: 9, ..Stat::default() };
        let bytes = stat.to_bytes();
        assert_eq!(bytes.len(), Stat::LEN);
        assert_eq!(bytes[60..], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Stat::from_bytes(&bytes), Ok(stat));
    }

    #[test]
    fn an_acl_with_a_null_id_decodes_only_where_the_id_says_nothing() {
        let check = |scheme, expect| {
            let mut bytes = Vec::new();
            bytes.put_int(31);
            bytes.put_ustring(scheme);
            bytes.put_ustring(None);
            assert_eq!(Acl::from_bytes(&bytes), expect, "{scheme:?}");
        };
        check(Some("world"), Err(JuteError::Null));
        check(Some("auth"), Ok(Acl::new(31, "auth", "")));
        check(None, Ok(Acl::new(31, "", "")));
    }
}
