//! Between a leader and its learners: the packets of the quorum port.
//!
//! One connection carries discovery, synchronization and broadcast, one after the other. Each
//! packet is an unframed jute record `QuorumPacket { int type, long zxid, buffer data, vector<Id>
//! authinfo }`; what `zxid` and `data` mean depends on the type. [`QuorumPacket`] resolves that, so
//! that nobody above this module reads a `data` by hand; [`PacketReader`] finds where each ends.
//!
//! The usual course of a connection, learner on the left:
//!
//! ```text
//! FOLLOWERINFO, OBSERVERINFO  →                                      discovery
//!                             ←  LEADERINFO
//!                   ACKEPOCH  →
//!                             ←  DIFF | TRUNC | SNAP + stream        synchronization
//!                             ←  (PROPOSAL, COMMIT)*, NEWLEADER
//!                        ACK  →
//!                             ←  UPTODATE
//!                        ACK  →
//!                             ←  PROPOSAL, COMMIT, INFORM, PING …    broadcast
//!     ACK, REQUEST, REVALIDATE, PING  →
//! ```
//!
//! The stream behind SNAP is no packet; it ends with [`SNAP_SIGNATURE`].
//! Facts: ZooKeeper `Leader` (types), `LearnerHandler`, `Learner`, `LearnerInfo`.

mod decode;
mod encode;
mod stream;

use std::borrow::Cow;

use thiserror::Error;

pub use stream::{DATA_BYTES_MAX_DEFAULT, Next, PacketReader};

use crate::data::Id;
use crate::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use crate::jute::JuteError;
use crate::opcode::OpCode;

/// The version that all servers since 3.4 announce.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// The jute string behind the last node of a snapshot stream. ZooKeeper: `LearnerHandler.run`.
pub const SNAP_SIGNATURE: &str = "BenWasHere";

macro_rules! packet_types {
    ($($name:ident = $code:literal,)*) => {
        /// The type of a packet by its wire number, named as in ZooKeeper's `Leader`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum PacketType {
            $($name = $code,)*
        }

        impl TryFrom<i32> for PacketType {
            type Error = PacketError;

            fn try_from(code: i32) -> Result<Self, PacketError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(PacketError::Type(code)),
                }
            }
        }
    };
}

packet_types! {
    Request = 1,
    Proposal = 2,
    Ack = 3,
    Commit = 4,
    Ping = 5,
    Revalidate = 6,
    Sync = 7,
    Inform = 8,
    CommitAndActivate = 9,
    NewLeader = 10,
    FollowerInfo = 11,
    UpToDate = 12,
    Diff = 13,
    Trunc = 14,
    Snap = 15,
    ObserverInfo = 16,
    LeaderInfo = 17,
    AckEpoch = 18,
    InformAndActivate = 19,
}

/// Why bytes are no packet. The stream has no frames to resume at: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    #[error("{0} is no packet type")]
    Type(i32),
    #[error("a {packet:?} of {len} bytes of data, where at most {max} may be")]
    Data { packet: PacketType, len: i32, max: usize },
    #[error("a {packet:?} with {len} bytes or entries of authinfo, where at most {max} may be")]
    AuthInfo { packet: PacketType, len: i32, max: usize },
    #[error("the packet is malformed: {0}")]
    Record(#[from] JuteError),
    #[error("the data of a {packet:?} is malformed: {source}")]
    Body { packet: PacketType, source: JuteError },
    #[error("a {packet:?} names epoch {epoch}, which no server can have reached")]
    Epoch { packet: PacketType, epoch: i64 },
    #[error("a {packet:?} of {packet_zxid} carries transaction {txn_zxid}")]
    Zxid { packet: PacketType, packet_zxid: Zxid, txn_zxid: Zxid },
}

/// Who a learner is: the data of FOLLOWERINFO and OBSERVERINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    pub sid: ServerId,
    /// [`PROTOCOL_VERSION`].
    pub protocol_version: i32,
    /// Of the learner's last committed configuration; a leader with an older one must refuse it.
    pub config_version: Zxid,
}

/// A client's request on its way to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRequest<'a> {
    pub session: SessionId,
    /// Comes back in the header of the transaction, where the origin recognizes its own request.
    pub cxid: Xid,
    pub op: OpCode,
    /// The client's record as it came; a timeout for createSession, empty for closeSession.
    pub body: &'a [u8],
    /// Who the client is, by the learner's word. `None` (null) for createSession.
    pub authinfo: Option<Vec<Id<'a>>>,
}

/// A session that a client used since the last PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    pub session: SessionId,
    pub timeout_ms: i32,
}

impl Touch {
    /// Bytes of one entry: a touch table above a peer's buffer limit must go in several replies.
    pub const LEN: usize = 12;
}

/// One packet. A learner is a follower or an observer; observers may have a follower for leader
/// (ZooKeeper: `ObserverMaster`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuorumPacket<'a> {
    /// Learner to leader: a client's write, sync or session change. Answered by SYNC for a sync, by
    /// nothing for the others: the transaction itself comes back, also when it failed.
    Request(ForwardedRequest<'a>),
    /// Leader to followers, once per transaction, in zxid order without a gap: header, body and
    /// digest as [`crate::txn::Txn`] reads them. Answered by ACK of the same zxid once it is on
    /// the follower's disk.
    Proposal { zxid: Zxid, txn: &'a [u8] },
    /// Follower to leader: all up to `zxid` is on my disk. Sent for every proposal, never for
    /// several at once; with counter 0 it answers NEWLEADER, and again UPTODATE.
    Ack { zxid: Zxid },
    /// Leader to followers: a quorum has the oldest proposal that is not yet committed. `zxid` must
    /// be that proposal's. Not answered.
    Commit { zxid: Zxid },
    /// Leader to learners, each half tick, with the last zxid proposed. Answered by `PingReply`.
    Ping { zxid: Zxid },
    /// Learner to leader, same type as PING: the sessions touched since the last reply.
    /// The table is never null on the wire, though often empty; a null one is a `Ping`.
    PingReply { zxid: Zxid, touched: Vec<Touch> },
    /// Learner to leader, when a client presents a session this server does not know. Answered by
    /// `Revalidated`, in order per session.
    Revalidate { session: SessionId, timeout_ms: i32 },
    /// Leader to learner, same type as REVALIDATE: whether the session lives; if it does, it is now
    /// the learner's.
    Revalidated { session: SessionId, valid: bool },
    /// Leader to learner: all that was proposed when its oldest unanswered sync arrived has been
    /// committed, and is in this stream already. Not answered.
    Sync,
    /// Leader to observers: PROPOSAL and COMMIT in one. Not answered.
    Inform { zxid: Zxid, txn: &'a [u8] },
    /// Leader to followers: COMMIT of a reconfig. Whoever's role or leader it changes goes there
    /// without an election.
    CommitAndActivate { zxid: Zxid, designated_leader: ServerId },
    /// Leader to learner, behind the history: from here on you are of this epoch. Answered by ACK
    /// of `epoch << 32`, after history and currentEpoch are on disk in this order.
    /// `config` is the last configuration the leader has seen, as
    /// [`crate::quorum_config::QuorumConfig`] reads it.
    NewLeader { epoch: Epoch, config: Cow<'a, str> },
    /// Follower to leader, first on the connection. Answered by LEADERINFO once a quorum of voters
    /// has said the like.
    FollowerInfo { accepted_epoch: Epoch, info: LearnerInfo },
    /// Leader to learner, when a quorum has acked NEWLEADER: serve clients. Followers answer with
    /// ACK of `epoch << 32` and then of each proposal they hold back.
    UpToDate,
    /// Leader to learner: you lack only transactions. They follow, up to `zxid`.
    Diff { zxid: Zxid },
    /// Leader to learner: forget all that comes after `zxid`, it was never committed.
    Trunc { zxid: Zxid },
    /// Leader to learner: forget everything. A snapshot stream follows, not a packet; the learner
    /// then stands at `zxid`.
    Snap { zxid: Zxid },
    /// Observer to leader, in place of FOLLOWERINFO.
    ObserverInfo { accepted_epoch: Epoch, info: LearnerInfo },
    /// Leader to learner: the new epoch, above every acceptedEpoch of a quorum. Answered by
    /// ACKEPOCH once acceptedEpoch is on disk; a learner that has accepted a higher one leaves.
    LeaderInfo { epoch: Epoch, protocol_version: i32 },
    /// Learner to leader: how far my history goes. `current_epoch` is `None` (-1) from one that had
    /// accepted the epoch before: it is no vote. Answered by DIFF, TRUNC or SNAP.
    AckEpoch { last_zxid: Zxid, current_epoch: Option<Epoch> },
    /// Leader to observers: PROPOSAL and COMMITANDACTIVATE in one.
    InformAndActivate { zxid: Zxid, designated_leader: ServerId, txn: &'a [u8] },
}

impl QuorumPacket<'_> {
    /// The number this packet goes by; replies share it with what they answer.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Request(_) => PacketType::Request,
            Self::Proposal { .. } => PacketType::Proposal,
            Self::Ack { .. } => PacketType::Ack,
            Self::Commit { .. } => PacketType::Commit,
            Self::Ping { .. } | Self::PingReply { .. } => PacketType::Ping,
            Self::Revalidate { .. } | Self::Revalidated { .. } => PacketType::Revalidate,
            Self::Sync => PacketType::Sync,
            Self::Inform { .. } => PacketType::Inform,
            Self::CommitAndActivate { .. } => PacketType::CommitAndActivate,
            Self::NewLeader { .. } => PacketType::NewLeader,
            Self::FollowerInfo { .. } => PacketType::FollowerInfo,
            Self::UpToDate => PacketType::UpToDate,
            Self::Diff { .. } => PacketType::Diff,
            Self::Trunc { .. } => PacketType::Trunc,
            Self::Snap { .. } => PacketType::Snap,
            Self::ObserverInfo { .. } => PacketType::ObserverInfo,
            Self::LeaderInfo { .. } => PacketType::LeaderInfo,
            Self::AckEpoch { .. } => PacketType::AckEpoch,
            Self::InformAndActivate { .. } => PacketType::InformAndActivate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Encode;
    use crate::txn::{Txn, TxnBody, TxnHeader};

    const ZXID: Zxid = Zxid(0x2_0000_0007);

    fn txn() -> Vec<u8> {
        let (client_id, cxid, op) = (SessionId(5), Xid(0), OpCode::CreateSession);
        let header = TxnHeader { client_id, cxid, zxid: ZXID, time_ms: 1, op };
        let mut out = Vec::new();
        Txn { header, body: TxnBody::CreateSession { timeout_ms: 10_000 } }.encode(None, &mut out);
        out
    }

    /// Bytes of a packet of any type, with data that may not suit it.
    fn raw(packet: PacketType, zxid: i64, data: Option<&[u8]>) -> Vec<u8> {
        use crate::jute::Put;
        let mut out = Vec::new();
        out.put_int(packet as i32);
        out.put_long(zxid);
        out.put_buffer(data);
        out.put_int(-1);
        out
    }

    #[test]
    fn every_packet_reads_back() {
        let check = |packet: QuorumPacket<'_>| {
            assert_eq!(QuorumPacket::from_bytes(&packet.to_bytes()), Ok(packet.clone()));
        };
        let (zxid, epoch, session) = (ZXID, Epoch(2), SessionId(5));
        let txn = &txn()[..];
        let designated_leader = ServerId(3);
        let config_version = Zxid(0x1_0000_0000);
        let sid = ServerId(1);
        let info = LearnerInfo { sid, protocol_version: PROTOCOL_VERSION, config_version };
        check(QuorumPacket::Proposal { zxid, txn });
        check(QuorumPacket::Inform { zxid, txn });
        check(QuorumPacket::InformAndActivate { zxid, designated_leader, txn });
        check(QuorumPacket::CommitAndActivate { zxid, designated_leader });
        check(QuorumPacket::Ack { zxid });
        check(QuorumPacket::Commit { zxid });
        check(QuorumPacket::Ping { zxid });
        check(QuorumPacket::PingReply { zxid, touched: Vec::new() });
        let touched = vec![Touch { session, timeout_ms: 4000 }; 2];
        check(QuorumPacket::PingReply { zxid, touched });
        check(QuorumPacket::Revalidate { session, timeout_ms: 4000 });
        check(QuorumPacket::Revalidated { session, valid: true });
        check(QuorumPacket::Revalidated { session, valid: false });
        check(QuorumPacket::Sync);
        check(QuorumPacket::UpToDate);
        check(QuorumPacket::Diff { zxid });
        check(QuorumPacket::Trunc { zxid });
        check(QuorumPacket::Snap { zxid });
        check(QuorumPacket::NewLeader { epoch, config: "version=0".into() });
        check(QuorumPacket::LeaderInfo { epoch, protocol_version: PROTOCOL_VERSION });
        check(QuorumPacket::FollowerInfo { accepted_epoch: epoch, info });
        check(QuorumPacket::ObserverInfo { accepted_epoch: epoch, info });
        check(QuorumPacket::AckEpoch { last_zxid: zxid, current_epoch: Some(epoch) });
        check(QuorumPacket::AckEpoch { last_zxid: zxid, current_epoch: None });
    }

    #[test]
    fn an_epoch_that_none_could_follow_is_refused() {
        let check = |packet, epoch: i64, data: &[u8]| {
            let bytes = raw(packet, epoch << 32, Some(data));
            assert_eq!(QuorumPacket::from_bytes(&bytes), Err(PacketError::Epoch { packet, epoch }));
        };
        for epoch in [-1, i64::from(i32::MIN), i64::from(i32::MAX)] {
            check(PacketType::FollowerInfo, epoch, &[0; 20]);
            check(PacketType::ObserverInfo, epoch, &[0; 20]);
            check(PacketType::LeaderInfo, epoch, &[0; 4]);
            check(PacketType::NewLeader, epoch, b"version=0");
        }
        let bytes = raw(PacketType::AckEpoch, 0, Some(&(-2i32).to_be_bytes()));
        let expect = PacketError::Epoch { packet: PacketType::AckEpoch, epoch: -2 };
        assert_eq!(QuorumPacket::from_bytes(&bytes), Err(expect));
    }

    #[test]
    fn a_transaction_comes_under_its_own_zxid() {
        let bytes = raw(PacketType::Proposal, ZXID.0 + 1, Some(&txn()));
        let (packet, packet_zxid) = (PacketType::Proposal, Zxid(ZXID.0 + 1));
        let expect = PacketError::Zxid { packet, packet_zxid, txn_zxid: ZXID };
        assert_eq!(QuorumPacket::from_bytes(&bytes), Err(expect));
    }

    #[test]
    fn data_that_breaks_off_or_is_null_is_refused() {
        let check = |packet, data: Option<&[u8]>, source| {
            let read = QuorumPacket::from_bytes(&raw(packet, 0, data)).map(|_| ());
            assert_eq!(read, Err(PacketError::Body { packet, source }));
        };
        let short = |need, have| JuteError::Short { need, have };
        check(PacketType::Request, Some(&[0; 15]), short(4, 3));
        check(PacketType::Proposal, Some(&[0; 31]), short(4, 3));
        check(PacketType::Ping, Some(&[0; 13]), short(8, 1));
        check(PacketType::Revalidate, Some(&[0; 8]), short(1, 0));
        check(PacketType::CommitAndActivate, Some(&[0; 7]), short(8, 7));
        check(PacketType::FollowerInfo, Some(&[0; 19]), short(8, 7));
        check(PacketType::AckEpoch, Some(&[0; 3]), short(4, 3));
        check(PacketType::InformAndActivate, Some(&[0; 8]), short(8, 0));
        for packet in [PacketType::Request, PacketType::Proposal, PacketType::LeaderInfo] {
            check(packet, None, JuteError::Null);
        }
    }
}
