//! What the quorum port is started with, told, and tells.
//!
//! Close to the machine's effects and events, so that its host has little to translate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use menagerie_replication::{Link, Packet};
use menagerie_wire::{ServerId, Zxid};

use super::address_book::AddressBook;
use super::connection::Closed;
use super::pieces::Pieces;

/// What the port is started with.
#[derive(Clone, Debug)]
pub struct LearnerLinkConfig {
    /// Whoever calls by this id is refused.
    pub id: ServerId,
    pub book: Arc<AddressBook>,
    /// Where a leader listens.
    pub listen: Vec<SocketAddr>,
    /// tickTime × initLimit: a caller's time to say who it is, and how long a link may be silent.
    pub init_timeout: Duration,
    /// tickTime × connectToLearnerMasterLimit: an attempt to reach a leader, names and all
    /// addresses together.
    pub dial_timeout: Duration,
    /// For one attempt at one address.
    pub connect_timeout: Duration,
    /// A peer that takes nothing for so long, while bytes wait for it, is cut off.
    pub stuck_timeout: Duration,
    /// Bytes of packets that may wait for one peer; with more it is cut off. Above
    /// `packet_bytes_max`.
    pub waiting_bytes_max: usize,
    /// The largest data of a packet, [`menagerie_wire::quorum::DATA_BYTES_MAX_DEFAULT`] by default.
    pub packet_bytes_max: usize,
}

/// What the port is told. What names a link that has ended is dropped.
#[derive(Debug)]
pub enum LearnerInput {
    /// Open the door; answered by `Listening` or `CannotListen`.
    Listen,
    /// Close it; links stay.
    StopListening,
    /// Answered by `Connected` or `CannotConnect`, also when it is no longer wanted.
    Connect {
        leader: ServerId,
    },
    Send {
        link: Link,
        packet: Packet,
    },
    /// Send a SNAP packet and the stream behind it; `SnapshotSent` when all of it has left. What is
    /// sent later goes behind it.
    SendSnapshot {
        link: Link,
        zxid: Zxid,
        pieces: Pieces,
    },
    /// The answer to a SNAP packet that was received: its stream comes in `Portion`s.
    ReceiveSnapshot {
        link: Link,
    },
    /// A portion is used up. `Some` ends the stream: what came behind its last record.
    PortionTaken {
        link: Link,
        behind: Option<Vec<u8>>,
    },
    /// So many bytes of the packets that were received have been looked at; it may be said late. A
    /// link of which too much is not is not read.
    Taken {
        link: Link,
        bytes: usize,
    },
    /// Say `Room` as soon as less than half of what may wait for the peer does.
    WhenRoom {
        link: Link,
    },
    /// End a link; nothing more is reported of it.
    Close {
        link: Link,
    },
    /// End everything.
    Stop,
}

/// What the port tells.
#[derive(Debug)]
pub enum LearnerOutput {
    /// The addresses that were really taken.
    Listening {
        addresses: Vec<SocketAddr>,
    },
    CannotListen {
        error: io::Error,
    },
    /// A member has called. Its FOLLOWERINFO or OBSERVERINFO follows, with this id.
    Accepted {
        link: Link,
        from: ServerId,
    },
    Connected {
        leader: ServerId,
        link: Link,
    },
    CannotConnect {
        leader: ServerId,
        error: io::Error,
    },
    Received {
        link: Link,
        packet: Packet,
        /// On the wire; to be given back by `Taken`.
        bytes: usize,
    },
    /// Bytes of a snapshot stream. No more come before `PortionTaken`.
    Portion {
        link: Link,
        bytes: Vec<u8>,
    },
    SnapshotSent {
        link: Link,
    },
    Room {
        link: Link,
    },
    /// A link has ended, not by `Close`.
    Closed {
        link: Link,
        reason: Closed,
    },
}
