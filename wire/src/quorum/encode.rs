//! A packet to the bytes that Apache would send for it.

use super::{ForwardedRequest, LearnerInfo, QuorumPacket, Touch};
use crate::frame::{self, put_with};
use crate::ids::{Epoch, Zxid};
use crate::jute::{Encode, Put};

impl Encode for QuorumPacket<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.packet_type() as i32);
        out.put_long(self.zxid().0);
        self.encode_data(out);
        match self {
            Self::Request(ForwardedRequest { authinfo: Some(ids), .. }) => out.put_vector(ids),
            _ => out.put_int(-1),
        }
    }
}

impl QuorumPacket<'_> {
    /// What stands in the zxid field, also where the type fixes it.
    pub fn zxid(&self) -> Zxid {
        match self {
            Self::Proposal { zxid, .. }
            | Self::Ack { zxid }
            | Self::Commit { zxid }
            | Self::Ping { zxid }
            | Self::PingReply { zxid, .. }
            | Self::Inform { zxid, .. }
            | Self::CommitAndActivate { zxid, .. }
            | Self::Diff { zxid }
            | Self::Trunc { zxid }
            | Self::Snap { zxid }
            | Self::AckEpoch { last_zxid: zxid, .. }
            | Self::InformAndActivate { zxid, .. } => *zxid,
            Self::NewLeader { epoch, .. }
            | Self::LeaderInfo { epoch, .. }
            | Self::FollowerInfo { accepted_epoch: epoch, .. }
            | Self::ObserverInfo { accepted_epoch: epoch, .. } => Zxid::new(*epoch, 0),
            Self::Request(_)
            | Self::Revalidate { .. }
            | Self::Revalidated { .. }
            | Self::UpToDate => Zxid::NONE,
            Self::Sync => Zxid::ZERO,
        }
    }

    fn encode_data(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ack { .. }
            | Self::Commit { .. }
            | Self::Ping { .. }
            | Self::Sync
            | Self::UpToDate
            | Self::Diff { .. }
            | Self::Trunc { .. }
            | Self::Snap { .. } => out.put_buffer(None),
            Self::Request(request) => put_with(out, |out| request.encode_data(out)),
            Self::Proposal { txn, .. } | Self::Inform { txn, .. } => out.put_buffer(Some(txn)),
            Self::PingReply { touched, .. } => {
                put_with(out, |out| touched.iter().for_each(|touch| touch.encode(out)));
            }
            Self::Revalidate { session, timeout_ms } => {
                frame::put(out, &Touch { session: *session, timeout_ms: *timeout_ms });
            }
            Self::Revalidated { session, valid } => put_with(out, |out| {
                out.put_long(session.0);
                out.put_bool(*valid);
            }),
            Self::CommitAndActivate { designated_leader, .. } => {
                out.put_buffer(Some(&designated_leader.0.to_be_bytes()));
            }
            Self::NewLeader { config, .. } => out.put_string(config),
            Self::FollowerInfo { info, .. } | Self::ObserverInfo { info, .. } => {
                frame::put(out, info);
            }
            Self::LeaderInfo { protocol_version, .. } => {
                out.put_buffer(Some(&protocol_version.to_be_bytes()));
            }
            Self::AckEpoch { current_epoch, .. } => {
                let epoch = current_epoch.map_or(-1, |Epoch(epoch)| epoch as i32);
                out.put_buffer(Some(&epoch.to_be_bytes()));
            }
            Self::InformAndActivate { designated_leader, txn, .. } => put_with(out, |out| {
                out.put_long(designated_leader.0);
                out.extend_from_slice(txn);
            }),
        }
    }
}

impl ForwardedRequest<'_> {
    fn encode_data(&self, out: &mut Vec<u8>) {
        out.put_long(self.session.0);
        out.put_int(self.cxid.0);
        out.put_int(self.op as i32);
        out.extend_from_slice(self.body);
    }
}

impl Encode for LearnerInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.sid.0);
        out.put_int(self.protocol_version);
        out.put_long(self.config_version.0);
    }
}

impl Encode for Touch {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.session.0);
        out.put_int(self.timeout_ms);
    }
}
