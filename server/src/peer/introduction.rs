//! Who calls: the first words on each port, read in limited time and in few bytes.
//!
//! What came behind them is kept for the connection that comes of it. A caller that is refused gets
//! no answer; it learns nothing but that it was hung up on.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use menagerie_wire::ServerId;
use menagerie_wire::notification::{First, InitialError, InitialMessage};
use menagerie_wire::quorum::{LearnerInfo, Next, PacketError, PacketReader};
use menagerie_wire::quorum::{PacketType, QuorumPacket};
use thiserror::Error;

use super::address_book::AddressBook;
use crate::runtime::clock::within;
use crate::runtime::net::Socket;

/// Data of the packet with which a learner says who it is.
const INTRODUCTION_BYTES_MAX: usize = 64;
/// Received in one go from somebody unknown.
const PIECE_BYTES: usize = 256;

/// Why a caller is refused.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("it hung up: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Initial(#[from] InitialError),
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("it opened with {0:?}")]
    NoIntroduction(PacketType),
    #[error("it did not say who it is")]
    Silent,
    #[error("it claims to be server {0}, which is this one")]
    Ourselves(ServerId),
    #[error("it claims to be server {0}, which has no such address")]
    Stranger(ServerId),
}

/// A member that has called.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) id: ServerId,
    /// Received from it, and not used up.
    pub(super) early: Vec<u8>,
}

/// What a port asks of its callers.
#[derive(Clone, Debug)]
pub(super) struct Doorkeeper {
    pub(super) book: Arc<AddressBook>,
    /// The server whose door it is; it does not call itself.
    pub(super) ours: ServerId,
    pub(super) timeout: Duration,
}

impl Doorkeeper {
    /// Reads the initial message of an election connection, which is used up.
    pub(super) async fn election(&self, socket: &Socket, ip: IpAddr) -> Result<Caller, Refusal> {
        self.admit(ip, read_initial(socket)).await
    }

    /// Reads the first packet of a learner, which is left in `early`.
    pub(super) async fn quorum(&self, socket: &Socket, ip: IpAddr) -> Result<Caller, Refusal> {
        self.admit(ip, read_learner_info(socket)).await
    }

    async fn admit(
        &self,
        ip: IpAddr,
        introduction: impl Future<Output = Result<Caller, Refusal>>,
    ) -> Result<Caller, Refusal> {
        let caller = within(self.timeout, introduction).await.ok_or(Refusal::Silent)??;
        if self.ours == caller.id {
            return Err(Refusal::Ourselves(caller.id));
        }
        let admitted = self.book.admits(caller.id, ip).await;
        if admitted { Ok(caller) } else { Err(Refusal::Stranger(caller.id)) }
    }
}

async fn read_initial(socket: &Socket) -> Result<Caller, Refusal> {
    let mut received = Vec::new();
    loop {
        receive(socket, &mut received).await?;
        if let First::Message { message, len } = InitialMessage::read(&received)? {
            received.drain(..len);
            return Ok(Caller { id: message.sid, early: received });
        }
    }
}

async fn read_learner_info(socket: &Socket) -> Result<Caller, Refusal> {
    let mut reader = PacketReader::new(INTRODUCTION_BYTES_MAX);
    let mut received = Vec::new();
    loop {
        receive(socket, &mut received).await?;
        let Next::Packet { packet, .. } = reader.next(&received)? else { continue };
        let (QuorumPacket::FollowerInfo { info, .. } | QuorumPacket::ObserverInfo { info, .. }) =
            packet
        else {
            return Err(Refusal::NoIntroduction(packet.packet_type()));
        };
        let LearnerInfo { sid: id, .. } = info;
        return Ok(Caller { id, early: received });
    }
}

async fn receive(socket: &Socket, received: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; PIECE_BYTES];
    let count = poll_fn(|cx| socket.poll_receive(cx, &mut piece)).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    received.extend_from_slice(&piece[..count]);
    Ok(())
}
