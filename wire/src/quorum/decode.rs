//! Bytes of one packet to its meaning.
//!
//! Fields that a type fixes (the -1 of REQUEST, the low half of an epoch's zxid) are not looked at,
//! and bytes behind a fixed record are ignored, both as Apache does. What could hurt later is
//! refused here: an epoch that leaves no room for a next one, a transaction under another's zxid.

use super::{ForwardedRequest, LearnerInfo, PacketError, PacketType, QuorumPacket, Touch};
use crate::data::Id;
use crate::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use crate::jute::{Decode, JuteError, Reader, jute_len};
use crate::opcode::OpCode;
use crate::txn::TxnHeader;

/// The four fields, before their meaning.
struct Raw<'a> {
    packet: PacketType,
    zxid: Zxid,
    data: Option<&'a [u8]>,
    authinfo: Option<Vec<Id<'a>>>,
}

impl<'a> QuorumPacket<'a> {
    /// Reads the packet at the start of `bytes`, which must hold all of it.
    ///
    /// # Errors
    /// When it does not, and on whatever no server would send.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let reader = &mut Reader::new(bytes);
        let packet = PacketType::try_from(reader.int()?)?;
        let zxid = Zxid(reader.long()?);
        let data = reader.buffer()?;
        let authinfo: Option<Vec<_>> = reader.vector()?;
        let len = authinfo.as_ref().map_or(0, Vec::len);
        if len > 0 && packet != PacketType::Request {
            // Only requests are made on somebody's behalf.
            return Err(PacketError::AuthInfo { packet, len: jute_len(len), max: 0 });
        }
        Raw { packet, zxid, data, authinfo }.meaning()
    }
}

impl<'a> Raw<'a> {
    /// Reads the data, which may not be null.
    fn read<T>(
        &self,
        fields: impl FnOnce(&mut Reader<'a>) -> Result<T, JuteError>,
    ) -> Result<T, PacketError> {
        let data = self.data.ok_or(JuteError::Null);
        let read = data.and_then(|data| fields(&mut Reader::new(data)));
        read.map_err(|source| PacketError::Body { packet: self.packet, source })
    }

    fn meaning(self) -> Result<QuorumPacket<'a>, PacketError> {
        let zxid = self.zxid;
        Ok(match self.packet {
            PacketType::Request => self.request()?,
            PacketType::Proposal => QuorumPacket::Proposal { zxid, txn: self.txn(0)? },
            PacketType::Ack => QuorumPacket::Ack { zxid },
            PacketType::Commit => QuorumPacket::Commit { zxid },
            PacketType::Ping if self.data.is_none() => QuorumPacket::Ping { zxid },
            PacketType::Ping => QuorumPacket::PingReply { zxid, touched: self.read(touches)? },
            PacketType::Revalidate => self.read(revalidate)?,
            PacketType::Sync => QuorumPacket::Sync,
            PacketType::Inform => QuorumPacket::Inform { zxid, txn: self.txn(0)? },
            PacketType::CommitAndActivate => {
                QuorumPacket::CommitAndActivate { zxid, designated_leader: self.read(server)? }
            }
            PacketType::NewLeader => QuorumPacket::NewLeader {
                epoch: self.epoch()?,
                config: String::from_utf8_lossy(self.data.unwrap_or_default()),
            },
            PacketType::FollowerInfo => QuorumPacket::FollowerInfo {
                accepted_epoch: self.epoch()?,
                info: self.read(learner_info)?,
            },
            PacketType::UpToDate => QuorumPacket::UpToDate,
            PacketType::Diff => QuorumPacket::Diff { zxid },
            PacketType::Trunc => QuorumPacket::Trunc { zxid },
            PacketType::Snap => QuorumPacket::Snap { zxid },
            PacketType::ObserverInfo => QuorumPacket::ObserverInfo {
                accepted_epoch: self.epoch()?,
                info: self.read(learner_info)?,
            },
            PacketType::LeaderInfo => QuorumPacket::LeaderInfo {
                epoch: self.epoch()?,
                protocol_version: self.read(Reader::int)?,
            },
            PacketType::AckEpoch => {
                QuorumPacket::AckEpoch { last_zxid: zxid, current_epoch: self.current_epoch()? }
            }
            PacketType::InformAndActivate => QuorumPacket::InformAndActivate {
                zxid,
                designated_leader: self.read(server)?,
                txn: self.txn(size_of::<i64>())?,
            },
        })
    }

    fn request(mut self) -> Result<QuorumPacket<'a>, PacketError> {
        let authinfo = self.authinfo.take();
        let request = self.read(|data| {
            Ok(ForwardedRequest {
                session: SessionId(data.long()?),
                cxid: Xid(data.int()?),
                op: OpCode::try_from(data.int()?)?,
                body: data.rest(),
                authinfo,
            })
        })?;
        Ok(QuorumPacket::Request(request))
    }

    fn current_epoch(&self) -> Result<Option<Epoch>, PacketError> {
        match self.read(Reader::int)? {
            -1 => Ok(None),
            epoch => self.plausible(epoch.into()).map(Some),
        }
    }

    /// The epoch in the high half of the packet's zxid.
    fn epoch(&self) -> Result<Epoch, PacketError> {
        self.plausible(self.zxid.0 >> 32)
    }

    /// One that a next epoch can follow.
    fn plausible(&self, epoch: i64) -> Result<Epoch, PacketError> {
        match u32::try_from(epoch) {
            Ok(plausible) if plausible < i32::MAX as u32 => Ok(Epoch(plausible)),
            _ => Err(PacketError::Epoch { packet: self.packet, epoch }),
        }
    }

    /// The transaction behind `skip` bytes; its header must name the zxid that the packet names.
    fn txn(&self, skip: usize) -> Result<&'a [u8], PacketError> {
        let (txn, header) = self.read(|data| {
            data.bytes(skip)?;
            Ok((data.rest(), TxnHeader::decode(data)?))
        })?;
        if header.zxid != self.zxid {
            let (packet, packet_zxid, txn_zxid) = (self.packet, self.zxid, header.zxid);
            return Err(PacketError::Zxid { packet, packet_zxid, txn_zxid });
        }
        Ok(txn)
    }
}

fn server(data: &mut Reader<'_>) -> Result<ServerId, JuteError> {
    data.long().map(ServerId)
}

fn learner_info(data: &mut Reader<'_>) -> Result<LearnerInfo, JuteError> {
    Ok(LearnerInfo {
        sid: server(data)?,
        protocol_version: data.int()?,
        config_version: Zxid(data.long()?),
    })
}

fn touches(data: &mut Reader<'_>) -> Result<Vec<Touch>, JuteError> {
    let mut touched = Vec::with_capacity(data.rest().len() / Touch::LEN);
    while !data.is_empty() {
        touched.push(Touch { session: SessionId(data.long()?), timeout_ms: data.int()? });
    }
    Ok(touched)
}

/// Question and answer differ by their length only, as their directions do.
fn revalidate<'a>(data: &mut Reader<'a>) -> Result<QuorumPacket<'a>, JuteError> {
    let session = SessionId(data.long()?);
    Ok(if data.rest().len() >= size_of::<i32>() {
        QuorumPacket::Revalidate { session, timeout_ms: data.int()? }
    } else {
        QuorumPacket::Revalidated { session, valid: data.boolean()? }
    })
}
