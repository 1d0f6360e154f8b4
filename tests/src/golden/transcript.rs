//! A transcript as it lies in the file: steps, frames and the ranges of them that vary.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of captured conversations, played on servers that were empty before.
#[derive(Debug)]
pub struct Transcript {
    /// The file's name without directory and suffix, such as `client-basic`.
    pub name: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) scenario: String,
    #[serde(default)]
    pub(super) step: u32,
    pub(super) conn: String,
    #[serde(default)]
    pub(super) open: bool,
    #[serde(default)]
    pub(super) note: String,
    pub(super) request: Option<Bytes>,
    #[serde(default)]
    pub(super) request_vary: Vec<Vary>,
    #[serde(default)]
    pub(super) responses: Vec<Response>,
    #[serde(default)]
    pub(super) closed: Vec<String>,
}

/// What the server sends in a step: one frame with its length prefix, or the text that answers a
/// four-letter word.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Response {
    pub(super) conn: String,
    #[serde(rename = "hex")]
    pub(super) bytes: Bytes,
    #[serde(default)]
    pub(super) vary: Vec<Vary>,
    /// For the reader of a failure; never compared.
    #[serde(default)]
    pub(super) decoded: serde_json::Value,
}

/// A half-open byte range that differs from run to run, and the rule for it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(super) struct Vary(usize, usize, pub(super) Kind);

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Session,
    Passwd,
    Zxid,
    Time,
    Unordered,
    Config,
    Text,
}

/// Bytes that the file holds as hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Transcript {
    /// Reads `tests/golden/<name>.jsonl`.
    ///
    /// # Panics
    /// When the file is missing or does not have the documented form: it is part of the tests.
    #[must_use]
    pub fn load(name: &str) -> Self {
        let path = directory().join(format!("{name}.jsonl"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parse = |(index, line)| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), index + 1))
        };
        Self { name: name.to_owned(), steps: text.lines().enumerate().map(parse).collect() }
    }
}

impl Response {
    /// Whether this is plain text: its first four bytes do not say the length of the rest.
    pub(super) fn is_text(&self) -> bool {
        let bytes = &self.bytes.0;
        bytes.first_chunk().is_none_or(|prefix| {
            usize::try_from(i32::from_be_bytes(*prefix)).ok() != Some(bytes.len() - prefix.len())
        })
    }
}

impl Vary {
    pub(super) fn range(self) -> Range<usize> {
        self.0..self.1
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        from_hex(&digits).map(Self).ok_or_else(|| D::Error::custom(format!("not hex: {digits}")))
    }
}

/// Where the transcripts lie in the checkout.
pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok())
        .collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_and_written() {
        assert_eq!(from_hex("00ff7a"), Some(vec![0x00, 0xff, 0x7a]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
        assert_eq!(to_hex(&[0x00, 0xff, 0x7a]), "00ff7a");
    }

    #[test]
    fn text_is_told_from_frames() {
        let response = |bytes: &[u8]| Response {
            conn: String::new(),
            bytes: Bytes(bytes.to_vec()),
            vary: Vec::new(),
            decoded: serde_json::Value::Null,
        };
        assert!(!response(b"\0\0\0\x01x").is_text());
        assert!(response(b"imok").is_text());
        assert!(response(b"rw").is_text());
    }
}
