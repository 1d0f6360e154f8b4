//! Decoded messages in the form in which the captures record them.

use menagerie_wire::OpCode;
use menagerie_wire::data::{Acl, Id};
use menagerie_wire::notification::{InitialMessage, InitialVersion, Notification};
use menagerie_wire::quorum::{LearnerInfo, QuorumPacket};
use menagerie_wire::txn::{NodeKind, SubTxn, Txn, TxnBody};
use serde_json::{Value, json};

pub(crate) fn initial(message: &InitialMessage) -> Value {
    let version = match message.version {
        InitialVersion::V1 => -65_536,
        other => panic!("no capture has {other:?}"),
    };
    let addresses: Vec<_> = message.addresses.iter().map(ToString::to_string).collect();
    json!({ "protocolVersion": version, "sid": message.sid.0, "addr": addresses.join("|") })
}

pub(crate) fn notification(notification: &Notification<'_>) -> Value {
    let vote = notification.vote;
    json!({
        "state": format!("{:?}", notification.state).to_uppercase(),
        "leader": vote.leader.0,
        "zxid": hex(vote.zxid.0),
        "round": hex(vote.round),
        "peerEpoch": hex(vote.peer_epoch),
        "version": notification.version,
        "config": notification.config,
    })
}

pub(crate) fn packet(packet: &QuorumPacket<'_>) -> Value {
    let authinfo = match packet {
        QuorumPacket::Request(request) => request.authinfo.as_deref().map(ids),
        _ => None,
    };
    json!({
        "type": format!("{:?}", packet.packet_type()).to_uppercase(),
        "zxid": hex(packet.zxid().0),
        "authinfo": authinfo,
        "d": data(packet),
    })
}

fn data(packet: &QuorumPacket<'_>) -> Value {
    match packet {
        QuorumPacket::Request(request) => json!({
            "sessionId": hex(request.session.0),
            "cxid": request.cxid.0,
            "op": op_name(request.op),
            "opCode": request.op as i32,
            "payload": hex_bytes(request.body),
        }),
        QuorumPacket::Proposal { txn, .. } | QuorumPacket::Inform { txn, .. } => transaction(txn),
        QuorumPacket::PingReply { touched, .. } if !touched.is_empty() => {
            let touched =
                touched.iter().map(|touch| json!([hex(touch.session.0), touch.timeout_ms]));
            json!({ "touch": touched.collect::<Vec<_>>() })
        }
        QuorumPacket::Revalidate { session, timeout_ms } => {
            json!({ "sessionId": hex(session.0), "timeout": timeout_ms })
        }
        QuorumPacket::Revalidated { session, valid } => {
            json!({ "sessionId": hex(session.0), "valid": valid })
        }
        QuorumPacket::CommitAndActivate { designated_leader, .. } => {
            json!({ "suggestedLeader": designated_leader.0 })
        }
        QuorumPacket::InformAndActivate { designated_leader, txn, .. } => {
            json!({ "suggestedLeader": designated_leader.0, "txn": transaction(txn) })
        }
        QuorumPacket::NewLeader { config, .. } => json!({ "config": config }),
        QuorumPacket::FollowerInfo { info, .. } | QuorumPacket::ObserverInfo { info, .. } => {
            learner_info(info)
        }
        QuorumPacket::LeaderInfo { protocol_version, .. } => {
            json!({ "protocolVersion": hex((*protocol_version).into()) })
        }
        QuorumPacket::AckEpoch { current_epoch, .. } => {
            json!({ "currentEpoch": current_epoch.map_or(-1, |epoch| i64::from(epoch.0)) })
        }
        _ => Value::Null,
    }
}

fn learner_info(info: &LearnerInfo) -> Value {
    json!({
        "sid": info.sid.0,
        "protocolVersion": hex(info.protocol_version.into()),
        "configVersion": hex(info.config_version.0),
    })
}

fn transaction(bytes: &[u8]) -> Value {
    let (Txn { header, body }, digest) = Txn::decode(bytes).unwrap();
    let mut value = json!({
        "clientId": hex(header.client_id.0),
        "cxid": header.cxid.0,
        "zxid": hex(header.zxid.0),
        "time": header.time_ms,
        "type": op_name(header.op),
        "typeCode": header.op as i32,
        "txn": txn_body(&body),
    });
    if let Some(digest) = digest {
        value["digest"] = json!({ "version": digest.version, "treeDigest": hex(digest.digest) });
    }
    value
}

fn txn_body(body: &TxnBody<'_>) -> Value {
    match body {
        TxnBody::CreateSession { timeout_ms } => json!({ "timeOut": timeout_ms }),
        TxnBody::CloseSession { paths } => json!({ "paths2Delete": paths }),
        TxnBody::Create(create) => {
            let mut value = json!({
                "path": create.path,
                "data": create.data.as_deref().map(hex_bytes),
                "acl": acl(&create.acl),
                "parentCVersion": create.parent_cversion,
            });
            match create.kind {
                NodeKind::Persistent => value["ephemeral"] = false.into(),
                NodeKind::Ephemeral => value["ephemeral"] = true.into(),
                NodeKind::Container => {}
                NodeKind::Ttl { ttl_ms } => value["ttl"] = ttl_ms.into(),
            }
            value
        }
        TxnBody::Delete { path } => json!({ "path": path }),
        TxnBody::SetData { path, data, version } => {
            json!({ "path": path, "data": data.as_deref().map(hex_bytes), "version": version })
        }
        TxnBody::SetAcl { path, acl: entries, version } => {
            json!({ "path": path, "acl": acl(entries), "version": version })
        }
        TxnBody::Check { path, version } => json!({ "path": path, "version": version }),
        TxnBody::Error { err } => json!({ "err": err }),
        TxnBody::Multi(subs) => json!({ "txns": subs.iter().map(sub_txn).collect::<Vec<_>>() }),
    }
}

/// The captures also record how many bytes of a sub-transaction their own decoder left.
fn sub_txn(sub: &SubTxn<'_>) -> Value {
    let mut value = txn_body(&sub.body);
    value["type"] = op_name(sub.op).into();
    value["unread"] = 0.into();
    value
}

fn acl(entries: &[Acl<'_>]) -> Vec<Value> {
    entries.iter().map(|entry| json!([entry.perms, entry.id.scheme, entry.id.id])).collect()
}

fn ids(ids: &[Id<'_>]) -> Vec<Value> {
    ids.iter().map(|id| json!([id.scheme, id.id])).collect()
}

/// ZooKeeper's name of an opcode.
fn op_name(op: OpCode) -> String {
    match op {
        OpCode::SetAcl => "setACL".into(),
        OpCode::CreateTtl => "createTTL".into(),
        other => {
            let name = format!("{other:?}");
            name[..1].to_lowercase() + &name[1..]
        }
    }
}

fn hex(value: i64) -> String {
    format!("0x{value:x}")
}

fn hex_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
