//! Where a packet ends, in a stream that carries no lengths of packets.
//!
//! The end is found by stepping over the record's own lengths. A reader remembers how far it has
//! stepped, so a sender that dribbles single bytes does not make us walk the same identities again
//! and again. Each length is judged by the packet's type when it is read, before its bytes are
//! waited for: whoever owns the buffer needs no more room than `data_bytes_max` and some.

use super::{PacketError, PacketType, QuorumPacket};
use crate::frame::JUTE_MAXBUFFER_DEFAULT;
use crate::jute::{JuteError, Reader};

/// What Apache's defaults allow: `jute.maxbuffer` and, on top, as much again
/// (ZooKeeper: `BinaryInputArchive.checkLength`).
pub const DATA_BYTES_MAX_DEFAULT: usize = 2 * JUTE_MAXBUFFER_DEFAULT;

/// Limit of the types whose data is a record of fixed size, or absent. The largest has 20 bytes;
/// the rest is room for fields that a later release may append.
const FIXED_BYTES_MAX: usize = 64;

/// Type, zxid, length of the data.
const HEAD_BYTES: usize = 16;

/// Length of a string, count of a vector.
const LENGTH_BYTES: usize = 4;

/// What the front of a receive buffer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A packet in the first `len` bytes. Drop them before the next call; behind a
    /// [`QuorumPacket::Snap`] they are followed by a snapshot stream, which is not for this reader.
    Packet { packet: QuorumPacket<'a>, len: usize },
    /// At least this many more bytes are needed.
    Missing(usize),
}

/// Reads the packets of one connection.
#[derive(Clone, Debug)]
pub struct PacketReader {
    data_bytes_max: usize,
    packet: PacketType,
    expect: Expect,
    /// Offset of what is expected, from the start of the packet.
    at: usize,
    /// Bytes that the identities may still take.
    authinfo_bytes_left: usize,
}

/// The next length in the record.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Head,
    IdCount,
    /// Scheme and id of each identity that is left.
    Strings(usize),
}

impl PacketReader {
    /// A reader that refuses longer data, and longer authinfo, than `data_bytes_max`.
    ///
    /// [`DATA_BYTES_MAX_DEFAULT`] lets pass what Apache's default lets pass; a few bytes are enough
    /// until a peer has said who it is.
    pub const fn new(data_bytes_max: usize) -> Self {
        Self {
            data_bytes_max,
            packet: PacketType::Ping,
            expect: Expect::Head,
            at: 0,
            authinfo_bytes_left: 0,
        }
    }

    /// Reads the packet that begins with the first byte of `received`. After `Missing` the same
    /// bytes must come again, with more behind them.
    ///
    /// # Errors
    /// On whatever no server would send; nothing behind it can be read.
    pub fn next<'a>(&mut self, received: &'a [u8]) -> Result<Next<'a>, PacketError> {
        while !matches!(self.expect, Expect::Strings(0)) {
            let end = self.at + self.expect.len();
            let Some(field) = received.get(self.at..end) else {
                return Ok(Next::Missing(end - received.len()));
            };
            self.at = end;
            self.step(&mut Reader::new(field))?;
        }
        let Some(packet) = received.get(..self.at) else {
            return Ok(Next::Missing(self.at - received.len()));
        };
        *self = Self::new(self.data_bytes_max);
        Ok(Next::Packet { packet: QuorumPacket::from_bytes(packet)?, len: packet.len() })
    }

    fn step(&mut self, field: &mut Reader<'_>) -> Result<(), PacketError> {
        self.expect = match self.expect {
            Expect::Head => {
                self.packet = PacketType::try_from(field.int()?)?;
                field.long()?;
                self.at += self.data_len(field.int()?)?;
                Expect::IdCount
            }
            Expect::IdCount => Expect::Strings(2 * self.id_count(field.int()?)?),
            Expect::Strings(left) => {
                self.at += self.string_len(field.int()?)?;
                Expect::Strings(left - 1)
            }
        };
        Ok(())
    }

    fn data_len(&self, len: i32) -> Result<usize, PacketError> {
        let max = self.packet.data_bytes_max(self.data_bytes_max);
        let error = PacketError::Data { packet: self.packet, len, max };
        bounded(len, max).ok_or(error)
    }

    /// The bytes of an identity are at least its two lengths, which bounds their count.
    fn id_count(&mut self, count: i32) -> Result<usize, PacketError> {
        let request = matches!(self.packet, PacketType::Request);
        self.authinfo_bytes_left = if request { self.data_bytes_max } else { 0 };
        let max = self.authinfo_bytes_left / (2 * LENGTH_BYTES);
        let error = PacketError::AuthInfo { packet: self.packet, len: count, max };
        let count = bounded(count, max).ok_or(error)?;
        self.authinfo_bytes_left -= count * 2 * LENGTH_BYTES;
        Ok(count)
    }

    fn string_len(&mut self, len: i32) -> Result<usize, PacketError> {
        if len == -1 {
            return Err(JuteError::Null.into());
        }
        let max = self.authinfo_bytes_left;
        let error = PacketError::AuthInfo { packet: self.packet, len, max };
        let len = bounded(len, max).ok_or(error)?;
        self.authinfo_bytes_left -= len;
        Ok(len)
    }
}

impl Expect {
    const fn len(self) -> usize {
        match self {
            Self::Head => HEAD_BYTES,
            Self::IdCount | Self::Strings(_) => LENGTH_BYTES,
        }
    }
}

impl PacketType {
    fn data_bytes_max(self, data_bytes_max: usize) -> usize {
        match self {
            Self::Request
            | Self::Proposal
            | Self::Inform
            | Self::InformAndActivate
            | Self::NewLeader
            | Self::Ping => data_bytes_max,
            _ => FIXED_BYTES_MAX.min(data_bytes_max),
        }
    }
}

/// A length or count within 0..=max; null (-1) takes nothing.
fn bounded(claimed: i32, max: usize) -> Option<usize> {
    match claimed {
        -1 => Some(0),
        _ => usize::try_from(claimed).ok().filter(|len| *len <= max),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Id;
    use crate::ids::{SessionId, Xid, Zxid};
    use crate::jute::{Encode, Put};
    use crate::opcode::OpCode;
    use crate::quorum::ForwardedRequest;

    const MAX: usize = 1000;

    /// Type, zxid and the length of the data, without the data.
    fn head(packet: PacketType, len: i32) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_int(packet as i32);
        out.put_long(0);
        out.put_int(len);
        out
    }

    fn request(ids: usize) -> QuorumPacket<'static> {
        QuorumPacket::Request(ForwardedRequest {
            session: SessionId(7),
            cxid: Xid(1),
            op: OpCode::Delete,
            body: b"body",
            authinfo: Some(vec![Id::new("", ""); ids]),
        })
    }

    #[test]
    fn a_length_is_judged_before_its_bytes_are_waited_for() {
        let check = |packet: PacketType, len: i32, max: usize| {
            let next = PacketReader::new(MAX).next(&head(packet, len)).map(|_| ());
            let fits = usize::try_from(len).is_ok_and(|len| len <= max) || len == -1;
            let error = PacketError::Data { packet, len, max };
            assert_eq!(next, if fits { Ok(()) } else { Err(error) });
        };
        for len in [i32::MIN, -2, -1, 0, 64, 65, 1000, 1001, i32::MAX] {
            check(PacketType::Request, len, MAX);
            check(PacketType::Proposal, len, MAX);
            check(PacketType::NewLeader, len, MAX);
            check(PacketType::Ping, len, MAX);
            check(PacketType::FollowerInfo, len, 64);
            check(PacketType::Commit, len, 64);
        }
    }

    #[test]
    fn an_unknown_type_ends_the_stream() {
        for code in [0, -1, 20, i32::MAX] {
            let mut bytes = head(PacketType::Ack, -1);
            bytes[..4].copy_from_slice(&code.to_be_bytes());
            assert_eq!(PacketReader::new(MAX).next(&bytes), Err(PacketError::Type(code)));
        }
    }

    #[test]
    fn only_requests_carry_identities_and_no_more_than_fit() {
        let check = |packet: PacketType, count: i32, max: usize| {
            let bytes = [head(packet, -1), count.to_be_bytes().to_vec()].concat();
            let error = PacketError::AuthInfo { packet, len: count, max };
            assert_eq!(PacketReader::new(MAX).next(&bytes), Err(error));
        };
        check(PacketType::Ack, 1, 0);
        check(PacketType::Proposal, 1, 0);
        check(PacketType::Request, 126, 125);
        check(PacketType::Request, i32::MAX, 125);
        check(PacketType::Request, -2, 125);
    }

    #[test]
    fn identities_share_one_limit() {
        let mut bytes = head(PacketType::Request, -1);
        bytes.put_int(2);
        bytes.put_string(&"x".repeat(984));
        bytes.put_int(1);
        let error = PacketError::AuthInfo { packet: PacketType::Request, len: 1, max: 0 };
        assert_eq!(PacketReader::new(MAX).next(&bytes), Err(error));
    }

    #[test]
    fn a_reader_starts_anew_behind_each_packet() {
        let ack = QuorumPacket::Ack { zxid: Zxid(1) };
        let bytes = [request(3).to_bytes(), ack.to_bytes()].concat();
        let mut reader = PacketReader::new(MAX);
        let len = request(3).to_bytes().len();
        assert_eq!(reader.next(&bytes), Ok(Next::Packet { packet: request(3), len }));
        let rest = &bytes[len..];
        assert_eq!(reader.next(rest), Ok(Next::Packet { packet: ack, len: rest.len() }));
        assert_eq!(reader.next(&[]), Ok(Next::Missing(HEAD_BYTES)));
    }

    #[test]
    fn dribbled_identities_are_not_walked_again() {
        let bytes = request(100).to_bytes();
        let mut reader = PacketReader::new(MAX);
        let mut at = 0;
        for end in 0..bytes.len() {
            assert!(matches!(reader.next(&bytes[..end]), Ok(Next::Missing(_))));
            assert!(reader.at >= at, "what was stepped over stays so");
            at = reader.at;
        }
        assert_eq!(at, bytes.len() - LENGTH_BYTES);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(code in 0i32..21, mut bytes: Vec<u8>) {
            if let Some(front) = bytes.first_chunk_mut() {
                *front = code.to_be_bytes();
            }
            let mut reader = PacketReader::new(MAX);
            for end in 0..=bytes.len() {
                match reader.next(&bytes[..end]) {
                    Ok(Next::Missing(_)) => {}
                    Ok(Next::Packet { len, .. }) => prop_assert!(len == end),
                    Err(_) => break,
                }
            }
            let _ = QuorumPacket::from_bytes(&bytes);
        }

        #[test]
        fn a_request_survives_any_pieces(
            body: Vec<u8>,
            ids: Vec<(String, String)>,
            mut cuts: Vec<proptest::sample::Index>,
        ) {
            let ids = ids.into_iter().map(|(scheme, id)| Id::new(scheme, id)).collect();
            let (session, cxid, op) = (SessionId(7), Xid(1), OpCode::SetData);
            let sent = ForwardedRequest { session, cxid, op, body: &body, authinfo: Some(ids) };
            let sent = QuorumPacket::Request(sent);
            let bytes = sent.to_bytes();
            cuts.sort_by_key(|cut| cut.index(bytes.len()));
            let mut reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
            for cut in cuts {
                let read = reader.next(&bytes[..cut.index(bytes.len())]);
                prop_assert!(matches!(read, Ok(Next::Missing(n)) if n > 0));
            }
            let len = bytes.len();
            prop_assert_eq!(reader.next(&bytes), Ok(Next::Packet { packet: sent, len }));
        }
    }
}
