//! Between the election ports: the first message of a connection, and the votes.
//!
//! One connection joins each pair of servers. Its dialler opens with an [`InitialMessage`]; from
//! then on both sides send frames, each holding one [`Notification`]: what the sender votes for, or
//! whom it follows. There is no heartbeat and no reply as such: a notification is answered by
//! another one, when it is answered. Messages may arrive late, twice, or from a former life of
//! their sender.
//!
//! A notification that does not decode is to be ignored, as Apache does; a frame or an initial
//! message that does not decode ends the connection.
//! Facts: ZooKeeper `FastLeaderElection.Messenger`, `QuorumCnxManager`.

mod initial;

use std::borrow::Cow;

use thiserror::Error;

pub use initial::{ANONYMOUS_OBSERVER, First, InitialError, InitialMessage, InitialVersion};

use crate::frame::{self, Cut, FrameError};
use crate::ids::{ServerId, Zxid};
use crate::jute::{Encode, JuteError, Put, Reader};

/// Largest payload of a frame. ZooKeeper: `QuorumCnxManager.PACKETMAXSIZE`.
pub const MESSAGE_BYTES_MAX: usize = 1 << 19;

/// The form that 3.5 and later send, with the configuration.
/// ZooKeeper: `FastLeaderElection.Notification.CURRENTVERSION`.
pub const VERSION: i32 = 2;

/// Bytes of the form without peerEpoch and version (3.3).
const BYTES_BEFORE_PEER_EPOCH: usize = 28;

/// Bytes of the form without configuration; its last four are not looked at (3.4).
const BYTES_BEFORE_CONFIG: usize = 40;

/// Why a message is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotificationError {
    #[error("a notification of {0} bytes is shorter than any version of it")]
    Short(usize),
    #[error("the notification breaks off: {0}")]
    BreaksOff(#[from] JuteError),
    #[error("{0} is no server state")]
    State(i32),
}

/// A frame that no server sends. The connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("an election message without a byte")]
    Empty,
}

/// What a server is doing. ZooKeeper: `QuorumPeer.ServerState`, the numbers being its ordinals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ServerState {
    Looking = 0,
    Following = 1,
    Leading = 2,
    Observing = 3,
}

impl TryFrom<i32> for ServerState {
    type Error = NotificationError;

    fn try_from(code: i32) -> Result<Self, NotificationError> {
        match code {
            0 => Ok(Self::Looking),
            1 => Ok(Self::Following),
            2 => Ok(Self::Leading),
            3 => Ok(Self::Observing),
            other => Err(NotificationError::State(other)),
        }
    }
}

/// Who should lead, or does. ZooKeeper: `Vote`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    pub leader: ServerId,
    /// The last zxid of that server; -1 from a server that may not vote, its data being lost.
    pub zxid: Zxid,
    /// The sender's election round (`electionEpoch`): counted from 1 in each process, not stored.
    pub round: i64,
    /// That server's currentEpoch; after synchronization the established epoch. An [`Epoch`] unless
    /// the sender does not vote.
    ///
    /// [`Epoch`]: crate::Epoch
    pub peer_epoch: i64,
}

impl Vote {
    /// What observers and others outside the vote propose: nobody.
    pub const fn of_nobody(round: i64) -> Self {
        Self { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), round, peer_epoch: i64::MIN }
    }
}

/// One server's word to another.
///
/// LOOKING: its proposal, sent to all voters when it changes and when it hears too little, and to a
/// peer that is in an older round. FOLLOWING, LEADING, OBSERVING: the vote it was elected by, in
/// answer to a LOOKING one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    pub state: ServerState,
    pub vote: Vote,
    /// As received: 0 for the forms before 3.4.6. Votes of version 0 are compared differently.
    /// What is sent is always [`VERSION`].
    pub version: i32,
    /// The sender's configuration, as [`crate::quorum_config::QuorumConfig`] reads it. `None` in
    /// the old forms; a text that cannot be read makes the vote no less valid.
    pub config: Option<Cow<'a, str>>,
}

impl<'a> Notification<'a> {
    /// A notification of the present form.
    pub fn new(state: ServerState, vote: Vote, config: impl Into<Cow<'a, str>>) -> Self {
        Self { state, vote, version: VERSION, config: Some(config.into()) }
    }

    /// Reads the payload of one frame; bytes behind the configuration are ignored.
    ///
    /// # Errors
    /// When the message is to be ignored.
    pub fn from_bytes(payload: &'a [u8]) -> Result<Self, NotificationError> {
        if payload.len() < BYTES_BEFORE_PEER_EPOCH {
            return Err(NotificationError::Short(payload.len()));
        }
        let reader = &mut Reader::new(payload);
        let state = reader.int()?;
        let leader = ServerId(reader.long()?);
        let zxid = Zxid(reader.long()?);
        let round = reader.long()?;
        let peer_epoch = match payload.len() {
            // ZooKeeper: ZxidUtils.getEpochFromZxid, a signed shift.
            BYTES_BEFORE_PEER_EPOCH => zxid.0 >> 32,
            _ => reader.long()?,
        };
        let version = match payload.len() {
            BYTES_BEFORE_PEER_EPOCH | BYTES_BEFORE_CONFIG => 0,
            _ => reader.int()?,
        };
        let config = match version {
            ..VERSION => None,
            _ => Some(reader.string()?),
        };
        let state = ServerState::try_from(state)?;
        Ok(Self { state, vote: Vote { leader, zxid, round, peer_epoch }, version, config })
    }
}

/// The payload, without the length of the frame around it ([`frame::put`] writes both).
impl Encode for Notification<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.state as i32);
        out.put_long(self.vote.leader.0);
        out.put_long(self.vote.zxid.0);
        out.put_long(self.vote.round);
        out.put_long(self.vote.peer_epoch);
        out.put_int(VERSION);
        out.put_string(self.config.as_deref().unwrap_or_default());
    }
}

/// Cuts the first message off what an election connection has received behind its
/// [`InitialMessage`].
///
/// # Errors
/// When its length is not within 1..=[`MESSAGE_BYTES_MAX`].
pub fn cut(received: &[u8]) -> Result<Cut<'_>, MessageError> {
    match frame::cut(received, MESSAGE_BYTES_MAX)? {
        Cut::Frame([]) => Err(MessageError::Empty),
        cut => Ok(cut),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jute::jute_len;

    const CONFIG: &str = "server.1=a:1:2:participant\nversion=0";

    fn sample() -> Notification<'static> {
        let zxid = Zxid(0x3_0000_0007);
        let vote = Vote { leader: ServerId(2), zxid, round: 5, peer_epoch: 4 };
        Notification::new(ServerState::Following, vote, CONFIG)
    }

    #[test]
    fn every_former_form_is_still_understood() {
        let bytes = sample().to_bytes();
        let mut old = sample();
        (old.version, old.config) = (0, None);
        assert_eq!(Notification::from_bytes(&bytes[..40]), Ok(old.clone()));
        old.vote.peer_epoch = 3;
        assert_eq!(Notification::from_bytes(&bytes[..28]), Ok(old));
        assert_eq!(Notification::from_bytes(&bytes), Ok(sample()));
    }

    #[test]
    fn a_longer_message_of_version_1_carries_no_config() {
        let mut bytes = sample().to_bytes();
        bytes[36..40].copy_from_slice(&1i32.to_be_bytes());
        let expect = Notification { version: 1, config: None, ..sample() };
        assert_eq!(Notification::from_bytes(&bytes), Ok(expect));
    }

    #[test]
    fn no_truncation_of_a_notification_passes_for_the_whole() {
        let bytes = sample().to_bytes();
        for len in (0..bytes.len()).filter(|len| ![28, 40].contains(len)) {
            let read = Notification::from_bytes(&bytes[..len]);
            match len {
                ..28 => assert_eq!(read, Err(NotificationError::Short(len))),
                _ => assert!(matches!(read, Err(NotificationError::BreaksOff(_))), "{len}"),
            }
        }
    }

    #[test]
    fn unknown_states_and_impossible_config_lengths_are_ignored() {
        let check = |at: usize, value: i32, expect| {
            let mut bytes = sample().to_bytes();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            assert_eq!(Notification::from_bytes(&bytes), Err(expect));
        };
        check(0, 4, NotificationError::State(4));
        check(0, -1, NotificationError::State(-1));
        check(40, -2, NotificationError::BreaksOff(JuteError::Length(-2)));
        check(40, -1, NotificationError::BreaksOff(JuteError::Null));
        let need = usize::try_from(i32::MAX).unwrap();
        let short = JuteError::Short { need, have: CONFIG.len() };
        check(40, i32::MAX, NotificationError::BreaksOff(short));
    }

    #[test]
    fn a_message_has_between_one_byte_and_the_limit() {
        let check = |len: i32, expect| assert_eq!(cut(&len.to_be_bytes()), expect);
        let max = MESSAGE_BYTES_MAX;
        check(0, Err(MessageError::Empty));
        check(-1, Err(FrameError { len: -1, max }.into()));
        check(jute_len(max), Ok(Cut::Missing(max)));
        check(jute_len(max + 1), Err(FrameError { len: jute_len(max + 1), max }.into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in 0i32..4, words: [i64; 4], config: String) {
            let [leader, zxid, round, peer_epoch] = words;
            let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), round, peer_epoch };
            let sent = Notification::new(ServerState::try_from(state)?, vote, config);
            let bytes = sent.to_bytes();
            prop_assert_eq!(Notification::from_bytes(&bytes), Ok(sent));
        }

        #[test]
        fn no_bytes_make_a_notification_panic(bytes: Vec<u8>) {
            let _ = Notification::from_bytes(&bytes);
            let _ = cut(&bytes);
        }
    }
}
