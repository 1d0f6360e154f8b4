//! The first bytes on an election connection: who is calling.
//!
//! Sent once by the dialler, answered by nothing: the other side keeps the connection if the
//! dialler's id is the larger, or closes it and dials back. Servers read the addresses with a
//! single call and take a short read for a malformed message, so all must leave in one segment.
//!
//! Facts: ZooKeeper `QuorumCnxManager.startConnection`, `QuorumCnxManager.InitialMessage.parse`.

use thiserror::Error;

use crate::address::{AddressError, HostPort};
use crate::ids::ServerId;
use crate::jute::{Encode, Put, Reader};

/// The id of observers that have none, in old releases.
/// ZooKeeper: `QuorumCnxManager` gives each a negative one, counting down from -1.
pub const ANONYMOUS_OBSERVER: ServerId = ServerId(i64::MAX);

/// Longest text of addresses. ZooKeeper: `QuorumCnxManager.maxBuffer`.
const ADDRESS_BYTES_MAX: usize = 2048;

/// Version and sid, and the length of the addresses.
const HEAD_BYTES: usize = 20;

/// A caller that is no ensemble member, or one nobody can understand. The connection must end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InitialError {
    #[error("{0} is neither a server id nor a version of the initial message")]
    Version(i64),
    #[error("{0} bytes of addresses are not within 1..={ADDRESS_BYTES_MAX}")]
    Length(i32),
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// How a caller introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialVersion {
    /// Before 3.5: the bare sid.
    SidOnly,
    /// One address; what every release understands.
    V1,
    /// Several addresses; 3.6 and later, with `multiAddress.enabled`.
    V2,
}

impl InitialVersion {
    const fn number(self) -> Option<i64> {
        match self {
            Self::SidOnly => None,
            Self::V1 => Some(-65_536),
            Self::V2 => Some(-65_535),
        }
    }
}

/// Who is calling, and where its own election port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMessage {
    pub version: InitialVersion,
    pub sid: ServerId,
    /// As the caller knows them; a wildcard among them is no place to dial back to. Empty without
    /// a version.
    pub addresses: Vec<HostPort>,
}

/// What the front of a new connection's receive buffer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// The message, in the first `len` bytes.
    Message { message: InitialMessage, len: usize },
    /// At least this many more bytes are needed.
    Missing(usize),
}

impl InitialMessage {
    /// What this release sends.
    pub fn v1(sid: ServerId, address: HostPort) -> Self {
        Self { version: InitialVersion::V1, sid, addresses: vec![address] }
    }

    /// Reads the message that the connection opens with.
    pub fn read(received: &[u8]) -> Result<First, InitialError> {
        let missing = |need: usize| Ok(First::Missing(need - received.len()));
        let reader = &mut Reader::new(received);
        let Ok(first) = reader.long() else { return missing(size_of::<i64>()) };
        if first >= 0 {
            let (version, sid) = (InitialVersion::SidOnly, ServerId(first));
            let message = Self { version, sid, addresses: Vec::new() };
            return Ok(First::Message { message, len: size_of::<i64>() });
        }
        let known = [InitialVersion::V1, InitialVersion::V2];
        let version = known.into_iter().find(|version| version.number() == Some(first));
        let version = version.ok_or(InitialError::Version(first))?;
        let (Ok(sid), Ok(claimed)) = (reader.long(), reader.int()) else {
            return missing(HEAD_BYTES);
        };
        let text_len = usize::try_from(claimed).unwrap_or(0);
        if !(1..=ADDRESS_BYTES_MAX).contains(&text_len) {
            return Err(InitialError::Length(claimed));
        }
        let len = HEAD_BYTES + text_len;
        let Ok(text) = reader.bytes(text_len) else { return missing(len) };
        // Both versions may name several: ZooKeeper splits either.
        let text = String::from_utf8_lossy(text);
        let addresses = text.split('|').map(HostPort::parse).collect::<Result<_, _>>()?;
        Ok(First::Message { message: Self { version, sid: ServerId(sid), addresses }, len })
    }
}

impl Encode for InitialMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.version.number().map(i64::to_be_bytes).into_iter().flatten());
        out.put_long(self.sid.0);
        if self.version != InitialVersion::SidOnly {
            let addresses: Vec<_> = self.addresses.iter().map(HostPort::to_string).collect();
            out.put_string(&addresses.join("|"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(version: InitialVersion, addresses: &[&str]) -> InitialMessage {
        let addresses = addresses.iter().map(|text| HostPort::parse(text).unwrap()).collect();
        InitialMessage { version, sid: ServerId(3), addresses }
    }

    #[test]
    fn each_version_is_read_back_and_no_part_of_it_passes_for_the_whole() {
        let check = |version, addresses: &[&str]| {
            let message = message(version, addresses);
            let bytes = message.to_bytes();
            for len in 0..bytes.len() {
                let read = InitialMessage::read(&bytes[..len]).unwrap();
                assert!(matches!(read, First::Missing(n) if (1..=bytes.len() - len).contains(&n)));
            }
            let len = bytes.len();
            let with_next = [&bytes[..], &[9]].concat();
            assert_eq!(InitialMessage::read(&with_next), Ok(First::Message { message, len }));
        };
        check(InitialVersion::SidOnly, &[]);
        check(InitialVersion::V1, &["127.0.0.1:13388"]);
        check(InitialVersion::V2, &["zoo1:3888", "[2001:db8:0:0:0:0:0:1]:3888"]);
    }

    #[test]
    fn callers_that_cannot_be_understood_are_told_apart() {
        let check = |first: i64, len: i32, text: &str, expect: InitialError| {
            let head = [&first.to_be_bytes()[..], &3i64.to_be_bytes(), &len.to_be_bytes()].concat();
            let bytes = [&head[..], text.as_bytes()].concat();
            assert_eq!(InitialMessage::read(&bytes), Err(expect));
        };
        check(-1, 1, "", InitialError::Version(-1));
        check(-65_534, 1, "", InitialError::Version(-65_534));
        check(-65_536, 0, "", InitialError::Length(0));
        check(-65_536, -1, "", InitialError::Length(-1));
        check(-65_536, 2049, "", InitialError::Length(2049));
        let port = AddressError::Port("x".into());
        check(-65_536, 3, "a:x", port.into());
    }

    proptest! {
        #[test]
        fn no_bytes_make_an_initial_message_panic(v1: bool, mut bytes: Vec<u8>) {
            if v1 && bytes.len() > 8 {
                bytes[..8].copy_from_slice(&(-65_536i64).to_be_bytes());
            }
            let _ = InitialMessage::read(&bytes);
        }
    }
}
