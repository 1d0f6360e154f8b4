//! How long a transaction will be once it is encoded.
//!
//! A transaction that could not be read again would stop every server that replays it, so its
//! length is judged before it is applied. Requests are bounded by the frame they came in; what
//! they grow into (resolved access lists, many operations under one header) is bounded here.

use menagerie_wire::ErrorCode;
use menagerie_wire::data::Acl;
use menagerie_wire::txn::{SubTxn, TxnBody, TxnHeader};

use super::Rules;
use crate::access;

/// Header and digest trailer.
pub(super) const ENVELOPE_BYTES: usize = TxnHeader::LEN + 12;

/// What a string or buffer takes beside its own bytes.
pub(super) const LENGTH_BYTES: usize = 4;

/// Passes a single operation that fits into a transaction.
pub(super) fn bound<'a>(sub: SubTxn<'a>, rules: &Rules) -> Result<SubTxn<'a>, ErrorCode> {
    if ENVELOPE_BYTES + body(&sub.body) > rules.txn_bytes_max {
        return Err(ErrorCode::MarshallingError);
    }
    Ok(sub)
}

/// Bytes of an encoded body.
pub(super) fn body(body: &TxnBody<'_>) -> usize {
    match body {
        TxnBody::CreateSession { .. } | TxnBody::Error { .. } => 4,
        TxnBody::CloseSession { paths: None } => 0,
        TxnBody::CloseSession { paths: Some(paths) } => {
            LENGTH_BYTES + paths.iter().map(|path| string(path)).sum::<usize>()
        }
        TxnBody::Create(create) => {
            // The flag or the TTL, and the parent's version.
            let fixed = 8 + 4;
            string(&create.path) + buffer(create.data.as_deref()) + list(&create.acl) + fixed
        }
        TxnBody::Delete { path } => string(path),
        TxnBody::SetData { path, data, .. } => string(path) + buffer(data.as_deref()) + 4,
        TxnBody::SetAcl { path, acl, .. } => string(path) + list(acl) + 4,
        TxnBody::Check { path, .. } => string(path) + 4,
        TxnBody::Multi(subs) => LENGTH_BYTES + subs.iter().map(sub).sum::<usize>(),
    }
}

/// Bytes of an operation inside a multi.
pub(super) fn sub(sub: &SubTxn<'_>) -> usize {
    4 + LENGTH_BYTES + body(&sub.body)
}

fn string(text: &str) -> usize {
    LENGTH_BYTES + text.len()
}

fn buffer(data: Option<&[u8]>) -> usize {
    LENGTH_BYTES + data.map_or(0, <[u8]>::len)
}

fn list(acl: &[Acl<'_>]) -> usize {
    LENGTH_BYTES + acl.iter().map(access::encoded_len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use menagerie_wire::txn::{CreateTxn, NodeKind, Txn, TxnDigest};
    use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

    use super::*;

    fn check(op: OpCode, of: TxnBody<'_>, slack: usize) {
        let expect = ENVELOPE_BYTES + body(&of);
        let (client_id, cxid, zxid) = (SessionId(1), Xid(1), Zxid(1));
        let header = TxnHeader { client_id, cxid, zxid, time_ms: 1, op };
        let mut out = Vec::new();
        Txn { header, body: of }.encode(Some(TxnDigest::new(1)), &mut out);
        assert_eq!(out.len() + slack, expect, "{op:?}");
    }

    #[test]
    fn the_length_is_known_before_it_is_encoded() {
        let create = |kind| {
            let (path, data) = ("/a".into(), Some(b"data"[..].into()));
            let acl = vec![Acl::world(31), Acl::new(1, "ip", "::1")];
            TxnBody::Create(CreateTxn { path, data, acl, kind, parent_cversion: 1 })
        };
        let delete = || TxnBody::Delete { path: "/abc".into() };
        check(OpCode::CreateTtl, create(NodeKind::Ttl { ttl_ms: 5 }), 0);
        // A flag of one byte, or none, is counted as the eight bytes of a TTL.
        check(OpCode::Create, create(NodeKind::Persistent), 7);
        check(OpCode::Delete, delete(), 0);
        let acl = vec![Acl::world(1)];
        check(OpCode::SetAcl, TxnBody::SetAcl { path: "/a".into(), acl, version: 1 }, 0);
        let set_data = || TxnBody::SetData { path: "/a".into(), data: None, version: 1 };
        check(OpCode::SetData, set_data(), 0);
        let paths = Some(vec!["/a".into(), "/bb".into()]);
        check(OpCode::CloseSession, TxnBody::CloseSession { paths }, 0);
        let subs = vec![
            SubTxn { op: OpCode::Delete, body: delete() },
            SubTxn { op: OpCode::SetData, body: set_data() },
        ];
        check(OpCode::Multi, TxnBody::Multi(subs), 0);
    }
}
