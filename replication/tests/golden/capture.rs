//! Reads what was captured; the files are described in `wire/tests/data/ensemble/ORIGIN.md`.
//!
//! The fields of a line that are needed here are flat and hold no escapes, so that no JSON library
//! is; `wire`'s tests hold every field against the bytes.

use std::path::Path;

use menagerie_replication::{Link, Packet};
use menagerie_wire::ServerId;
use menagerie_wire::quorum::QuorumPacket;

/// All captures.
pub(crate) const FILES: [&str; 10] = [
    "boot-and-broadcast.jsonl",
    "diff-with-writes-in-flight.jsonl",
    "failover-and-quorum-loss.jsonl",
    "local-sessions.jsonl",
    "observer-master.jsonl",
    "observer.jsonl",
    "reconfig.jsonl",
    "snap-empty-follower.jsonl",
    "snap-with-writes-in-flight.jsonl",
    "trunc.jsonl",
];

/// One line of a capture: a message, a snapshot stream, or the end of a connection.
pub(crate) struct Line {
    /// Of the election port, not of the quorum port.
    pub(crate) of_election: bool,
    pub(crate) connection: Link,
    pub(crate) from: ServerId,
    pub(crate) to: ServerId,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// All lines of a file.
pub(crate) fn read_all(file: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/ensemble").join(file);
    let text = std::fs::read_to_string(&path).expect("the capture is in the checkout");
    text.lines().filter_map(line).collect()
}

/// The lines of a file on learners' connections, each from its first packet on.
pub(crate) fn read(file: &str) -> Vec<Line> {
    let mut complete = Vec::new();
    let mut lines = read_all(file);
    lines.retain(|line| {
        if ["FOLLOWERINFO", "OBSERVERINFO"].contains(&line.kind.as_str()) {
            complete.push(line.connection);
        }
        !line.of_election && line.kind != "CLOSE" && complete.contains(&line.connection)
    });
    lines
}

fn line(text: &str) -> Option<Line> {
    let number = |name| field(text, name)?.parse::<i64>().ok();
    let hex = field(text, "hex").unwrap_or_default();
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    Some(Line {
        of_election: field(text, "channel")? == "election",
        connection: Link(number("conn")?.unsigned_abs()),
        from: ServerId(number("src")?),
        to: ServerId(number("dst")?),
        kind: field(text, "type")?.to_owned(),
        bytes: (0..hex.len()).step_by(2).map(digits).collect(),
    })
}

/// A number or string of a flat JSON object; those asked for hold no escapes.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\": ");
    let from = text.find(&key)? + key.len();
    let value = &text[from..];
    match value.strip_prefix('"') {
        Some(string) => string.split('"').next(),
        None => value.split([',', '}']).next(),
    }
}

impl Line {
    pub(crate) fn packet(&self) -> Packet {
        Packet::from(QuorumPacket::from_bytes(&self.bytes).expect("a packet"))
    }
}
