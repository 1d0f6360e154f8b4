//! The words of the quorum port as the machine keeps them: owned, and cheap to send to many.
//!
//! One variant per packet of [`menagerie_wire::quorum::QuorumPacket`], which says who sends it and
//! what answers it. The bytes of a transaction are shared between the log, every peer and the
//! history window; they are encoded once, by whoever judged the request.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use menagerie_wire::data::Id;
use menagerie_wire::quorum::{self, LearnerInfo, PROTOCOL_VERSION, QuorumPacket, Touch};
use menagerie_wire::{Epoch, OpCode, ServerId, SessionId, Xid, Zxid};

/// Header, body and digest of a transaction.
pub type TxnBytes = Bytes;

/// A client's request on its way from a learner to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRequest {
    pub session: SessionId,
    pub cxid: Xid,
    pub op: OpCode,
    pub body: Bytes,
    /// Who the client is, by the learner's word.
    pub authinfo: Option<Vec<Id<'static>>>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Request(ForwardedRequest),
    Proposal {
        zxid: Zxid,
        txn: TxnBytes,
    },
    Ack {
        zxid: Zxid,
    },
    Commit {
        zxid: Zxid,
    },
    Ping {
        zxid: Zxid,
    },
    PingReply {
        zxid: Zxid,
        touched: Vec<Touch>,
    },
    Revalidate(Touch),
    Revalidated {
        session: SessionId,
        valid: bool,
    },
    Sync,
    Inform {
        zxid: Zxid,
        txn: TxnBytes,
    },
    NewLeader {
        epoch: Epoch,
        config: Arc<str>,
    },
    /// FOLLOWERINFO, or OBSERVERINFO.
    LearnerInfo {
        observer: bool,
        accepted_epoch: Epoch,
        sid: ServerId,
        config_version: Zxid,
    },
    UpToDate,
    Diff {
        zxid: Zxid,
    },
    Trunc {
        zxid: Zxid,
    },
    Snap {
        zxid: Zxid,
    },
    LeaderInfo {
        epoch: Epoch,
    },
    AckEpoch {
        last_zxid: Zxid,
        /// `None` (-1) from a learner that had accepted the epoch before: it is no vote.
        current_epoch: Option<Epoch>,
    },
    /// COMMITANDACTIVATE or INFORMANDACTIVATE: the membership changes.
    Reconfigured {
        zxid: Zxid,
    },
}

impl Packet {
    /// The packet as it is written.
    ///
    /// # Panics
    /// For [`Packet::Reconfigured`], which this server never says.
    pub fn as_wire(&self) -> QuorumPacket<'_> {
        match self {
            Self::Request(request) => QuorumPacket::Request(request.as_wire()),
            Self::Proposal { zxid, txn } => QuorumPacket::Proposal { zxid: *zxid, txn },
            Self::Ack { zxid } => QuorumPacket::Ack { zxid: *zxid },
            Self::Commit { zxid } => QuorumPacket::Commit { zxid: *zxid },
            Self::Ping { zxid } => QuorumPacket::Ping { zxid: *zxid },
            Self::PingReply { zxid, touched } => {
                QuorumPacket::PingReply { zxid: *zxid, touched: touched.clone() }
            }
            Self::Revalidate(Touch { session, timeout_ms }) => {
                QuorumPacket::Revalidate { session: *session, timeout_ms: *timeout_ms }
            }
            Self::Revalidated { session, valid } => {
                QuorumPacket::Revalidated { session: *session, valid: *valid }
            }
            Self::Sync => QuorumPacket::Sync,
            Self::Inform { zxid, txn } => QuorumPacket::Inform { zxid: *zxid, txn },
            Self::NewLeader { epoch, config } => {
                QuorumPacket::NewLeader { epoch: *epoch, config: Cow::Borrowed(config) }
            }
            &Self::LearnerInfo { observer, accepted_epoch, sid, config_version } => {
                let protocol_version = PROTOCOL_VERSION;
                let info = LearnerInfo { sid, protocol_version, config_version };
                if observer {
                    QuorumPacket::ObserverInfo { accepted_epoch, info }
                } else {
                    QuorumPacket::FollowerInfo { accepted_epoch, info }
                }
            }
            Self::UpToDate => QuorumPacket::UpToDate,
            Self::Diff { zxid } => QuorumPacket::Diff { zxid: *zxid },
            Self::Trunc { zxid } => QuorumPacket::Trunc { zxid: *zxid },
            Self::Snap { zxid } => QuorumPacket::Snap { zxid: *zxid },
            &Self::LeaderInfo { epoch } => {
                QuorumPacket::LeaderInfo { epoch, protocol_version: PROTOCOL_VERSION }
            }
            &Self::AckEpoch { last_zxid, current_epoch } => {
                QuorumPacket::AckEpoch { last_zxid, current_epoch }
            }
            Self::Reconfigured { zxid } => panic!("{zxid}: this server never changes membership"),
        }
    }
}

impl From<QuorumPacket<'_>> for Packet {
    fn from(packet: QuorumPacket<'_>) -> Self {
        match packet {
            QuorumPacket::Request(request) => Self::Request(request.into()),
            QuorumPacket::Proposal { zxid, txn } => {
                Self::Proposal { zxid, txn: Bytes::copy_from_slice(txn) }
            }
            QuorumPacket::Ack { zxid } => Self::Ack { zxid },
            QuorumPacket::Commit { zxid } => Self::Commit { zxid },
            QuorumPacket::Ping { zxid } => Self::Ping { zxid },
            QuorumPacket::PingReply { zxid, touched } => Self::PingReply { zxid, touched },
            QuorumPacket::Revalidate { session, timeout_ms } => {
                Self::Revalidate(Touch { session, timeout_ms })
            }
            QuorumPacket::Revalidated { session, valid } => Self::Revalidated { session, valid },
            QuorumPacket::Sync => Self::Sync,
            QuorumPacket::Inform { zxid, txn } => {
                Self::Inform { zxid, txn: Bytes::copy_from_slice(txn) }
            }
            QuorumPacket::NewLeader { epoch, config } => {
                Self::NewLeader { epoch, config: Arc::from(config.as_ref()) }
            }
            QuorumPacket::FollowerInfo { accepted_epoch, info } => {
                Self::learner_info(false, accepted_epoch, info)
            }
            QuorumPacket::ObserverInfo { accepted_epoch, info } => {
                Self::learner_info(true, accepted_epoch, info)
            }
            QuorumPacket::UpToDate => Self::UpToDate,
            QuorumPacket::Diff { zxid } => Self::Diff { zxid },
            QuorumPacket::Trunc { zxid } => Self::Trunc { zxid },
            QuorumPacket::Snap { zxid } => Self::Snap { zxid },
            QuorumPacket::LeaderInfo { epoch, .. } => Self::LeaderInfo { epoch },
            QuorumPacket::AckEpoch { last_zxid, current_epoch } => {
                Self::AckEpoch { last_zxid, current_epoch }
            }
            QuorumPacket::CommitAndActivate { zxid, .. }
            | QuorumPacket::InformAndActivate { zxid, .. } => Self::Reconfigured { zxid },
        }
    }
}

impl Packet {
    const fn learner_info(observer: bool, accepted_epoch: Epoch, info: LearnerInfo) -> Self {
        let LearnerInfo { sid, config_version, .. } = info;
        Self::LearnerInfo { observer, accepted_epoch, sid, config_version }
    }
}

impl ForwardedRequest {
    fn as_wire(&self) -> quorum::ForwardedRequest<'_> {
        quorum::ForwardedRequest {
            session: self.session,
            cxid: self.cxid,
            op: self.op,
            body: &self.body,
            authinfo: self.authinfo.clone(),
        }
    }
}

impl From<quorum::ForwardedRequest<'_>> for ForwardedRequest {
    fn from(request: quorum::ForwardedRequest<'_>) -> Self {
        let quorum::ForwardedRequest { session, cxid, op, body, authinfo } = request;
        let authinfo = authinfo.map(|ids| ids.into_iter().map(Id::into_owned).collect());
        Self { session, cxid, op, body: Bytes::copy_from_slice(body), authinfo }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_ours_survives_the_wire() {
        let txn = TxnBytes::from_static(&[1, 2, 3]);
        let (zxid, epoch, session) = (Zxid(0x1_0000_0002), Epoch(7), SessionId(9));
        let touch = Touch { session, timeout_ms: 4 };
        let packets = [
            Packet::Request(ForwardedRequest {
                session,
                cxid: Xid(3),
                op: OpCode::Sync,
                body: Bytes::from_static(&[5]),
                authinfo: None,
            }),
            Packet::Proposal { zxid, txn: TxnBytes::clone(&txn) },
            Packet::Ack { zxid },
            Packet::Commit { zxid },
            Packet::Ping { zxid },
            Packet::PingReply { zxid, touched: vec![touch] },
            Packet::Revalidate(touch),
            Packet::Revalidated { session, valid: true },
            Packet::Sync,
            Packet::Inform { zxid, txn },
            Packet::NewLeader { epoch, config: Arc::from("version=0") },
            Packet::LearnerInfo {
                observer: true,
                accepted_epoch: epoch,
                sid: ServerId(3),
                config_version: zxid,
            },
            Packet::UpToDate,
            Packet::Diff { zxid },
            Packet::Trunc { zxid },
            Packet::Snap { zxid },
            Packet::LeaderInfo { epoch },
            Packet::AckEpoch { last_zxid: zxid, current_epoch: None },
        ];
        for packet in packets {
            assert_eq!(Packet::from(packet.as_wire()), packet);
        }
    }
}
