//! What Apache's servers say to each other, read and written by us.
//!
//! The captures are described in `tests/data/ensemble/ORIGIN.md`. Every message decodes into the
//! fields that were recorded beside it and encodes back into the same bytes; whole connections are
//! read as the streams they were, in whatever pieces; no piece of a message passes for a message.
//! Snapshot streams are not `wire`'s business and are skipped.

#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use menagerie_wire::frame::{self, Cut};
use menagerie_wire::notification::{self, First, InitialMessage, Notification};
use menagerie_wire::quorum::{DATA_BYTES_MAX_DEFAULT, Next, PacketReader, QuorumPacket};
use menagerie_wire::quorum_config::QuorumConfig;
use menagerie_wire::txn::{Txn, TxnBody};
use menagerie_wire::{Encode, OpCode};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// One captured message.
struct Message {
    /// File and number, for whoever reads a failure.
    name: String,
    line: Value,
    bytes: Vec<u8>,
}

impl Message {
    fn kind(&self) -> &str {
        self.line["type"].as_str().unwrap()
    }

    fn is_packet(&self) -> bool {
        self.line["channel"] != "election" && self.kind() != "SNAPSTREAM"
    }
}

/// Every message of every file, in order.
fn messages() -> Vec<Message> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ensemble");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let captures: BTreeSet<_> =
        files.filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    captures.iter().flat_map(|path| messages_of(path)).collect()
}

fn messages_of(path: &Path) -> Vec<Message> {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["type"] != "CLOSE")
        .map(|line| Message {
            name: format!("{stem} n={}", line["n"]),
            bytes: bytes(line["hex"].as_str().unwrap()),
            line,
        })
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn every_captured_message_is_understood_and_can_be_said() {
    let mut counts = BTreeMap::<_, u32>::new();
    for message in messages() {
        let (fields, again) = match message.kind() {
            "SNAPSTREAM" => continue,
            "CONNECT" => initial(&message.bytes),
            "NOTIFICATION" => vote(&message.bytes),
            _ => packet(&message.bytes),
        };
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(message.line.get(name).unwrap_or(&Value::Null), value, "{}", message.name);
        }
        assert_eq!(again, message.bytes, "{}", message.name);
        let channel = message.line["channel"].as_str().unwrap().to_owned();
        *counts.entry(channel).or_default() += 1;
    }
    let expect = [("election", 176), ("observermaster", 37), ("quorum", 813)];
    assert_eq!(counts, expect.map(|(channel, count)| (channel.into(), count)).into());
}

fn initial(bytes: &[u8]) -> (Value, Vec<u8>) {
    let First::Message { message, len } = InitialMessage::read(bytes).unwrap() else {
        panic!("the message is whole");
    };
    assert_eq!(len, bytes.len());
    (fields::initial(&message), message.to_bytes())
}

fn vote(bytes: &[u8]) -> (Value, Vec<u8>) {
    let Cut::Frame(payload) = notification::cut(bytes).unwrap() else {
        panic!("the frame is whole");
    };
    let notification = Notification::from_bytes(payload).unwrap();
    let mut again = Vec::new();
    frame::put(&mut again, &notification);
    (fields::notification(&notification), again)
}

fn packet(bytes: &[u8]) -> (Value, Vec<u8>) {
    let packet = QuorumPacket::from_bytes(bytes).unwrap();
    (fields::packet(&packet), packet.to_bytes())
}

#[test]
fn every_captured_configuration_prints_as_it_was() {
    let mut texts = BTreeSet::new();
    for message in messages() {
        match message.kind() {
            "NOTIFICATION" => texts.extend(message.line["config"].as_str().map(str::to_owned)),
            "SNAPSTREAM" => {}
            _ if message.is_packet() => texts.extend(config_of(&message.bytes)),
            _ => {}
        }
    }
    for text in &texts {
        let config: QuorumConfig = text.parse().unwrap();
        assert_eq!(config.to_string(), *text);
    }
    assert_eq!(texts.len(), 9);
}

fn config_of(bytes: &[u8]) -> Option<String> {
    match QuorumPacket::from_bytes(bytes).unwrap() {
        QuorumPacket::NewLeader { config, .. } => Some(config.into_owned()),
        QuorumPacket::Proposal { txn, .. } | QuorumPacket::InformAndActivate { txn, .. } => {
            match Txn::decode(txn).unwrap().0 {
                Txn { header, body: TxnBody::SetData { data, .. } }
                    if header.op == OpCode::Reconfig =>
                {
                    Some(String::from_utf8(data?.into_owned()).unwrap())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

#[test]
fn connections_are_read_in_whatever_pieces_they_come() {
    let mut streams = BTreeMap::<_, (Vec<u8>, Vec<Vec<u8>>)>::new();
    for message in messages().into_iter().filter(Message::is_packet) {
        let file = message.name.split(' ').next().unwrap().to_owned();
        let key = (file, message.line["conn"].as_u64(), message.line["src"].as_u64());
        let (stream, packets) = streams.entry(key).or_default();
        stream.extend_from_slice(&message.bytes);
        packets.push(message.bytes);
    }
    for (key, (stream, expect)) in &streams {
        // Just what is said to be missing, byte by byte, and all at once.
        for piece in [0, 1, stream.len()] {
            assert_eq!(read_in_pieces(stream, piece), *expect, "{key:?} in pieces of {piece}");
        }
    }
}

fn read_in_pieces(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
    let (mut start, mut end) = (0, 0);
    let mut packets = Vec::new();
    loop {
        match reader.next(&stream[start..end]).unwrap() {
            Next::Packet { packet, len } => {
                start += len;
                packets.push(packet.to_bytes());
            }
            Next::Missing(_) if end == stream.len() => {
                assert_eq!(start, end);
                return packets;
            }
            Next::Missing(count) if piece == 0 => end += count.min(stream.len() - end),
            Next::Missing(_) => end += piece.min(stream.len() - end),
        }
    }
}

#[test]
fn no_part_of_a_packet_passes_for_a_packet() {
    let packets = messages().into_iter().filter(Message::is_packet).map(|message| message.bytes);
    for bytes in packets.collect::<BTreeSet<_>>() {
        for len in 0..bytes.len() {
            let mut reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
            let next = reader.next(&bytes[..len]).unwrap();
            let left = bytes.len() - len;
            assert!(matches!(next, Next::Missing(n) if (1..=left).contains(&n)), "{next:?}");
            assert!(QuorumPacket::from_bytes(&bytes[..len]).is_err());
        }
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_message_makes_a_reader_panic(
        bytes in select(messages().into_iter().map(|message| message.bytes).collect::<Vec<_>>()),
        changes: Vec<(Index, u8)>,
    ) {
        let mut bytes = bytes;
        for (at, value) in changes.into_iter().take(4) {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut reader = PacketReader::new(DATA_BYTES_MAX_DEFAULT);
        if let Ok(Next::Packet { packet, len }) = reader.next(&bytes) {
            prop_assert!(len <= bytes.len());
            let again = packet.to_bytes();
            prop_assert_eq!(QuorumPacket::from_bytes(&again), Ok(packet));
        }
        let _ = InitialMessage::read(&bytes);
        if let Ok(Cut::Frame(payload)) = notification::cut(&bytes) {
            let _ = Notification::from_bytes(payload);
        }
    }
}
