//! What arrives on a link: packets, and behind a SNAP packet a stream that ends where it says.
//!
//! Where a snapshot stream ends only its receiver can tell, so its bytes are handed on, one portion
//! at a time, until the receiver gives back what came behind the end. Nothing is read from the
//! socket while a portion is out: a receiver that is slower than the network slows the sender.

use menagerie_wire::frame::LENGTH_BYTES;
use menagerie_wire::jute::Put;
use menagerie_wire::quorum::{Next, PacketError, PacketReader, QuorumPacket, SNAP_SIGNATURE};
use thiserror::Error;

/// Why a peer is no longer listened to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("the snapshot stream does not end with its signature")]
    Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Packets,
    /// A SNAP packet came; nobody has asked for its stream yet.
    Announced,
    /// The stream goes to its receiver.
    Stream,
    /// As above, and a portion is out.
    PortionOut,
    /// Behind the stream.
    Signature,
}

/// Received bytes, and what is expected next.
#[derive(Debug)]
pub(super) struct Incoming {
    received: Vec<u8>,
    reader: PacketReader,
    packet_bytes_max: usize,
    mode: Mode,
}

impl Incoming {
    /// `received` has come already.
    pub(super) const fn new(packet_bytes_max: usize, received: Vec<u8>) -> Self {
        let reader = PacketReader::new(packet_bytes_max);
        Self { received, reader, packet_bytes_max, mode: Mode::Packets }
    }

    /// Whether bytes can be taken now.
    pub(super) const fn wants_bytes(&self) -> bool {
        matches!(self.mode, Mode::Packets | Mode::Stream | Mode::Signature)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Somebody takes the stream that was announced.
    ///
    /// # Panics
    /// When none was.
    pub(super) fn begin_stream(&mut self) {
        assert_eq!(self.mode, Mode::Announced, "a snapshot that no SNAP packet announced");
        self.mode = Mode::Stream;
    }

    /// The portion is taken; `behind` is what came behind the end of the stream.
    pub(super) fn portion_taken(&mut self, behind: Option<Vec<u8>>) {
        assert_eq!(self.mode, Mode::PortionOut, "a portion that was not handed out");
        self.mode = Mode::Stream;
        if let Some(behind) = behind {
            self.received = behind;
            self.mode = Mode::Signature;
        }
    }

    /// A portion of the stream, if one is there.
    pub(super) fn take_portion(&mut self) -> Option<Vec<u8>> {
        if self.mode != Mode::Stream || self.received.is_empty() {
            return None;
        }
        self.mode = Mode::PortionOut;
        Some(std::mem::take(&mut self.received))
    }

    /// Hands every whole packet to `take`, with its bytes on the wire, up to a SNAP.
    pub(super) fn take_packets(
        &mut self,
        mut take: impl FnMut(QuorumPacket<'_>, usize),
    ) -> Result<(), PeerError> {
        if self.mode == Mode::Signature && !self.take_signature()? {
            return Ok(());
        }
        let mut at = 0;
        while self.mode == Mode::Packets && at < self.received.len() {
            let Next::Packet { packet, len } = self.reader.next(&self.received[at..])? else {
                break;
            };
            at += len;
            if matches!(packet, QuorumPacket::Snap { .. }) {
                self.mode = Mode::Announced;
            }
            take(packet, len);
        }
        self.received.drain(..at);
        if self.received.is_empty() {
            // An idle link holds no buffer.
            self.received = Vec::new();
        }
        Ok(())
    }

    /// Whether the signature is there and taken.
    fn take_signature(&mut self) -> Result<bool, PeerError> {
        const LEN: usize = LENGTH_BYTES + SNAP_SIGNATURE.len();
        let mut signature = Vec::with_capacity(LEN);
        signature.put_string(SNAP_SIGNATURE);
        let len = self.received.len().min(LEN);
        if self.received[..len] != signature[..len] {
            return Err(PeerError::Signature);
        }
        if len == LEN {
            self.received.drain(..LEN);
            self.reader = PacketReader::new(self.packet_bytes_max);
            self.mode = Mode::Packets;
        }
        Ok(len == LEN)
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::jute::Encode;
    use menagerie_wire::{Epoch, Zxid};

    use super::*;

    fn packets(incoming: &mut Incoming) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut taken = 0;
        let take = |packet: QuorumPacket<'_>, len| {
            packets.push(packet.to_bytes());
            taken += len;
        };
        incoming.take_packets(take).unwrap();
        assert_eq!(taken, packets.concat().len());
        packets
    }

    fn conversation() -> (Vec<u8>, [Vec<u8>; 3]) {
        let snap = QuorumPacket::Snap { zxid: Zxid(7) }.to_bytes();
        let stream = vec![0xab; 1000];
        let mut signature = Vec::new();
        signature.put_string(SNAP_SIGNATURE);
        let config = "version=0".into();
        let behind = QuorumPacket::NewLeader { epoch: Epoch(1), config }.to_bytes();
        let bytes = [&snap[..], &stream, &signature, &behind].concat();
        (bytes, [snap, stream, behind])
    }

    #[test]
    fn a_stream_between_packets_is_handed_on_however_it_is_cut() {
        let (bytes, [snap, stream, behind]) = conversation();
        for step in [1, 7, 64, 1015, bytes.len()] {
            let mut incoming = Incoming::new(1 << 20, Vec::new());
            let (mut heard, mut streamed) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                incoming.push(piece);
                heard.extend(packets(&mut incoming));
                if incoming.mode == Mode::Announced {
                    incoming.begin_stream();
                }
                while let Some(portion) = incoming.take_portion() {
                    assert!(!incoming.wants_bytes());
                    let left = stream.len() - streamed.len();
                    let (of_stream, rest) = portion.split_at(portion.len().min(left));
                    streamed.extend_from_slice(of_stream);
                    let ended = streamed.len() == stream.len();
                    incoming.portion_taken(ended.then(|| rest.to_vec()));
                }
                heard.extend(packets(&mut incoming));
            }
            assert_eq!(heard, [snap.clone(), behind.clone()], "in pieces of {step}");
            assert_eq!(streamed, stream);
        }
    }

    #[test]
    fn nothing_is_taken_behind_a_snap_before_somebody_takes_the_stream() {
        let (bytes, [snap, ..]) = conversation();
        let mut incoming = Incoming::new(1 << 20, bytes);
        assert_eq!(packets(&mut incoming), [snap]);
        assert!(packets(&mut incoming).is_empty() && !incoming.wants_bytes());
        assert_eq!(incoming.take_portion(), None);
    }

    #[test]
    fn a_stream_without_its_signature_ends_the_link() {
        let mut incoming = Incoming::new(1 << 20, Vec::new());
        incoming.push(&QuorumPacket::Snap { zxid: Zxid(7) }.to_bytes());
        packets(&mut incoming);
        incoming.begin_stream();
        incoming.push(&[1, 2, 3]);
        incoming.take_portion().unwrap();
        incoming.portion_taken(Some(vec![0, 0, 0, 11]));
        assert_eq!(incoming.take_packets(|_, _| {}), Err(PeerError::Signature));
    }
}
