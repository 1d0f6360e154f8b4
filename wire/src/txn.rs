//! Transactions: what the log, the peers and the history window hold.
//!
//! A transaction is a header, a body by type, and a trailer with the digest of the tree after it.
//! Bodies are resolved: sequential names are complete, `auth` entries expanded, versions absolute,
//! so that applying one needs no judgement. The bytes are the same in PROPOSAL, INFORM and log.
//!
//! Facts: ZooKeeper `zookeeper.jute`, module `org.apache.zookeeper.txn`; `SerializeUtils`.

use std::borrow::Cow;

use crate::data::Acl;
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{Decode, Encode, JuteError, Put, Reader, jute_len};
use crate::opcode::OpCode;

/// Version of the tree digest that Apache 3.6 and later write; others are skipped.
pub const DIGEST_VERSION: i32 = 2;

/// Who asked for a transaction, its place, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked; 0 for the server's own deletions.
    pub client_id: SessionId,
    /// The xid of the request.
    pub cxid: Xid,
    pub zxid: Zxid,
    /// The leader's wall clock; it becomes ctime and mtime.
    pub time_ms: i64,
    pub op: OpCode,
}

impl TxnHeader {
    /// Bytes of an encoded header.
    pub const LEN: usize = 32;
}

impl Encode for TxnHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.client_id.0);
        out.put_int(self.cxid.0);
        out.put_long(self.zxid.0);
        out.put_long(self.time_ms);
        out.put_int(self.op as i32);
    }
}

impl<'a> Decode<'a> for TxnHeader {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self {
            client_id: SessionId(reader.long()?),
            cxid: Xid(reader.int()?),
            zxid: Zxid(reader.long()?),
            time_ms: reader.long()?,
            op: OpCode::try_from(reader.int()?)?,
        })
    }
}

/// What kind of node a create makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Persistent,
    /// Owned by the session of the header.
    Ephemeral,
    Container,
    Ttl {
        ttl_ms: i64,
    },
}

/// Body of create, create2, createContainer, createTTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn<'a> {
    pub path: Cow<'a, str>,
    pub data: Option<Cow<'a, [u8]>>,
    pub acl: Vec<Acl<'a>>,
    pub kind: NodeKind,
    /// The parent's create counter after this create; -1 in logs before 3.4 means "one more".
    pub parent_cversion: i32,
}

/// What a transaction does. Which variant a type number means is [`TxnBody::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnBody<'a> {
    CreateSession {
        timeout_ms: i32,
    },
    /// The ephemerals to delete; `None` in logs of 3.5 and older: whatever the session owns.
    CloseSession {
        paths: Option<Vec<Cow<'a, str>>>,
    },
    Create(CreateTxn<'a>),
    /// delete, and deleteContainer of the server's own checker.
    Delete {
        path: Cow<'a, str>,
    },
    /// `version` is the node's new one. Also reconfig.
    SetData {
        path: Cow<'a, str>,
        data: Option<Cow<'a, [u8]>>,
        version: i32,
    },
    /// `version` is the node's new aversion.
    SetAcl {
        path: Cow<'a, str>,
        acl: Vec<Acl<'a>>,
        version: i32,
    },
    /// Only in a multi. `version` is the checked one plus 1; nothing is changed.
    Check {
        path: Cow<'a, str>,
        version: i32,
    },
    /// A refused write: only the zxid moves.
    Error {
        err: i32,
    },
    Multi(Vec<SubTxn<'a>>),
}

/// One operation of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubTxn<'a> {
    pub op: OpCode,
    pub body: TxnBody<'a>,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn<'a> {
    pub header: TxnHeader,
    pub body: TxnBody<'a>,
}

impl<'a> CreateTxn<'a> {
    fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        let path = r.string()?;
        let data = r.buffer()?.map(Cow::Borrowed);
        let acl = r.vector()?.unwrap_or_default();
        let mut kind = match op {
            OpCode::CreateContainer => NodeKind::Container,
            OpCode::CreateTtl => NodeKind::Persistent,
            _ if r.boolean()? => NodeKind::Ephemeral,
            _ => NodeKind::Persistent,
        };
        // The form of 3.3 ends here (ZooKeeper: CreateTxnV0).
        let parent_cversion = if r.is_empty() { -1 } else { r.int()? };
        if op == OpCode::CreateTtl {
            kind = NodeKind::Ttl { ttl_ms: r.long()? };
        }
        Ok(Self { path, data, acl, kind, parent_cversion })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.path);
        out.put_buffer(self.data.as_deref());
        out.put_vector(&self.acl);
        match self.kind {
            NodeKind::Persistent => out.put_bool(false),
            NodeKind::Ephemeral => out.put_bool(true),
            NodeKind::Container | NodeKind::Ttl { .. } => {}
        }
        out.put_int(self.parent_cversion);
        if let NodeKind::Ttl { ttl_ms } = self.kind {
            out.put_long(ttl_ms);
        }
    }
}

impl<'a> TxnBody<'a> {
    /// Reads the body that belongs to `op`.
    pub fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(match op {
            OpCode::Multi => Self::Multi(decode_subs(r)?),
            _ => Self::decode_single(op, r)?,
        })
    }

    /// Everything but a multi, which may not hold another one.
    fn decode_single(op: OpCode, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(match op {
            OpCode::CreateSession => Self::CreateSession { timeout_ms: r.int()? },
            OpCode::CloseSession => {
                let paths = if r.is_empty() { None } else { r.vector()? };
                Self::CloseSession { paths }
            }
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::Create(CreateTxn::decode(op, r)?)
            }
            OpCode::Delete | OpCode::DeleteContainer => Self::Delete { path: r.string()? },
            OpCode::SetData | OpCode::Reconfig => Self::SetData {
                path: r.string()?,
                data: r.buffer()?.map(Cow::Borrowed),
                version: r.int()?,
            },
            OpCode::SetAcl => Self::SetAcl {
                path: r.string()?,
                acl: r.vector()?.unwrap_or_default(),
                version: r.int()?,
            },
            OpCode::Check => Self::Check { path: r.string()?, version: r.int()? },
            OpCode::Error => Self::Error { err: r.int()? },
            other => return Err(JuteError::Unknown(other as i32, "transaction")),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateSession { timeout_ms } => out.put_int(*timeout_ms),
            Self::CloseSession { paths: Some(paths) } => out.put_vector(paths),
            Self::CloseSession { paths: None } => {}
            Self::Create(create) => create.encode(out),
            Self::Delete { path } => out.put_string(path),
            Self::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                out.put_int(*version);
            }
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                out.put_vector(acl);
                out.put_int(*version);
            }
            Self::Check { path, version } => {
                out.put_string(path);
                out.put_int(*version);
            }
            Self::Error { err } => out.put_int(*err),
            Self::Multi(subs) => encode_subs(subs, out),
        }
    }
}

fn decode_subs<'a>(r: &mut Reader<'a>) -> Result<Vec<SubTxn<'a>>, JuteError> {
    let mut subs = Vec::new();
    for _ in 0..r.count()?.unwrap_or(0) {
        let op = OpCode::try_from(r.int()?)?;
        let bytes = r.buffer()?.ok_or(JuteError::Null)?;
        subs.push(SubTxn { op, body: TxnBody::decode_single(op, &mut Reader::new(bytes))? });
    }
    Ok(subs)
}

fn encode_subs(subs: &[SubTxn<'_>], out: &mut Vec<u8>) {
    out.put_int(jute_len(subs.len()));
    for sub in subs {
        out.put_int(sub.op as i32);
        crate::frame::put_with(out, |out| sub.body.encode(out));
    }
}

impl<'a> Txn<'a> {
    /// Reads a transaction and the digest behind it, if one is there.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, Option<TxnDigest>), JuteError> {
        let r = &mut Reader::new(bytes);
        let header = TxnHeader::decode(r)?;
        let body = TxnBody::decode(header.op, r)?;
        let digest = if r.is_empty() { None } else { Some(TxnDigest::decode(r)?) };
        Ok((Self { header, body }, digest))
    }

    /// Appends header, body and, when given, the digest trailer.
    pub fn encode(&self, digest: Option<TxnDigest>, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.body.encode(out);
        if let Some(digest) = digest {
            digest.encode(out);
        }
    }
}

/// The digest of the tree after a transaction (trailer of 3.6 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnDigest {
    pub version: i32,
    pub digest: i64,
}

impl TxnDigest {
    pub const fn new(digest: u64) -> Self {
        Self { version: DIGEST_VERSION, digest: digest as i64 }
    }
}

impl Encode for TxnDigest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.version);
        out.put_long(self.digest);
    }
}

impl<'a> Decode<'a> for TxnDigest {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { version: reader.int()?, digest: reader.long()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    /// The first record of Apache's golden/disk/log-only.
    #[test]
    fn a_create_session_of_apache_reads_and_writes_back() {
        let bytes = hex("0100001be6cd0000 00000000 0000000100000001 000001a1f709c8ef fffffff6
             00002710 00000002 0000000051c6d660");
        let (txn, digest) = Txn::decode(&bytes).unwrap();
        assert_eq!(txn.header.zxid, Zxid(0x1_0000_0001));
        assert_eq!(txn.body, TxnBody::CreateSession { timeout_ms: 10_000 });
        assert_eq!(digest, Some(TxnDigest::new(0x51c6_d660)));
        let mut out = Vec::new();
        txn.encode(digest, &mut out);
        assert_eq!(out, bytes);
    }

    /// A PROPOSAL of Apache's golden/ensemble, its packet framing removed.
    #[test]
    fn a_create_of_apache_reads_and_writes_back() {
        let bytes = hex("0100000aff0a0000 00000001 0000000100000003 000001a1f6f8e1a6 00000001
             000000022f61 0000000568656c6c6f 00000001 0000001f 00000005776f726c64
             00000006616e796f6e65 00 00000001   00000002 00000000d7dcbc71");
        let (txn, digest) = Txn::decode(&bytes).unwrap();
        let expect = CreateTxn {
            path: "/a".into(),
            data: Some(Cow::Borrowed(b"hello")),
            acl: vec![Acl::world(31)],
            kind: NodeKind::Persistent,
            parent_cversion: 1,
        };
        assert_eq!(txn.body, TxnBody::Create(expect));
        let mut out = Vec::new();
        txn.encode(digest, &mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn a_multi_in_a_multi_is_refused() {
        let inner = SubTxn { op: OpCode::Multi, body: TxnBody::Multi(vec![]) };
        let mut out = Vec::new();
        encode_subs(&[inner], &mut out);
        let expect = Err(JuteError::Unknown(14, "transaction"));
        assert_eq!(TxnBody::decode(OpCode::Multi, &mut Reader::new(&out)), expect);
    }
}
