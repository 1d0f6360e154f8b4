//! Compares one received frame with the captured one, by the rules for varying ranges.

use super::bindings::Bindings;
use super::text;
use super::transcript::{Kind, Response};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Opcodes whose answers hold vectors without an order, by the shape of the elements.
// ZooKeeper: ZooDefs.OpCode
const GET_ACL: i32 = 6;
const WHO_AM_I: i32 = 107;

/// Of every port in a captured configuration.
pub(super) const PORT_DIGITS: usize = 5;

/// No captured or replayed node is older: 2020-01-01, milliseconds.
const TIME_MS_MIN: i64 = 1_577_836_800_000;

/// The first place where a frame is not what was captured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Bytes from the start of the frame, length prefix included.
    pub(super) offset: usize,
    pub(super) what: String,
}

/// Compares `actual` with `expected` and binds the sessions, passwords and zxids it holds.
/// `opcode` is that of the request of the step: it decides how vector elements look.
pub(super) fn response(
    expected: &Response,
    actual: &[u8],
    opcode: Option<i32>,
    bindings: &mut Bindings,
) -> Result<(), Difference> {
    let captured = expected.bytes.0.as_slice();
    if expected.vary.iter().any(|vary| vary.2 == Kind::Text) {
        return text::compare(captured, actual).map_err(|what| Difference { offset: 0, what });
    }
    let mut at = 0;
    for vary in &expected.vary {
        let range = vary.range();
        same_bytes(captured, actual, at..range.start)?;
        let Some(value) = actual.get(range.clone()) else {
            let what = format!("ends within a {:?}", vary.2);
            return Err(Difference { offset: actual.len(), what });
        };
        varying(vary.2, &captured[range.clone()], value, opcode, bindings)
            .map_err(|what| Difference { offset: range.start, what })?;
        at = range.end;
    }
    same_bytes(captured, actual, at..captured.len())?;
    if actual.len() > captured.len() {
        let what = format!("{} bytes too many", actual.len() - captured.len());
        return Err(Difference { offset: captured.len(), what });
    }
    Ok(())
}

fn same_bytes(captured: &[u8], actual: &[u8], range: Range<usize>) -> Result<(), Difference> {
    for offset in range {
        let (expected, found) = (captured[offset], actual.get(offset));
        if found != Some(&expected) {
            let found = found.map_or_else(|| "the end".to_owned(), |byte| format!("{byte:02x}"));
            return Err(Difference { offset, what: format!("{found} in place of {expected:02x}") });
        }
    }
    Ok(())
}

fn varying(
    kind: Kind,
    captured: &[u8],
    actual: &[u8],
    opcode: Option<i32>,
    bindings: &mut Bindings,
) -> Result<(), String> {
    match kind {
        Kind::Session => bindings.bind_distinct(captured, actual),
        Kind::Passwd => bindings.bind_opaque(captured, actual),
        Kind::Zxid => bindings.bind_zxid(long(captured), long(actual)),
        Kind::Time => plausible_time(long(actual)),
        Kind::Unordered => same_elements(captured, actual, opcode),
        Kind::Config => same_configuration(captured, actual, bindings),
        Kind::Text => unreachable!("texts are compared as a whole"),
    }
}

fn plausible_time(time_ms: i64) -> Result<(), String> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let now_ms = i64::try_from(since_epoch.as_millis()).expect("milliseconds fit into a long");
    if (TIME_MS_MIN..=now_ms + 1_000).contains(&time_ms) {
        return Ok(());
    }
    Err(format!("{time_ms} is no time of a recent write (now {now_ms})"))
}

/// Compares the text of `/zookeeper/config`: the same members, each of whose ports stands for one
/// of ours, and a version that is a zxid.
fn same_configuration(
    captured: &[u8],
    actual: &[u8],
    bindings: &mut Bindings,
) -> Result<(), String> {
    let words = |text| std::str::from_utf8(text).map(|text| text.split_inclusive([':', ';', '\n']));
    let expected = words(captured).expect("the capture is text");
    let found = words(actual).map_err(|error| error.to_string())?;
    let version = |word: &str| i64::from_str_radix(word.strip_prefix("version=")?, 16).ok();
    for (expected, found) in expected.zip(found) {
        if let Some((expected, found)) = version(expected).zip(version(found)) {
            bindings.bind_zxid(expected, found)?;
        } else if let Some((expected, found)) = port(expected).zip(port(found)) {
            bindings.bind_distinct(expected.as_bytes(), found.as_bytes())?;
        } else if expected != found {
            return Err(format!("{found:?} in place of {expected:?}"));
        }
    }
    Ok(())
}

/// A port of five digits, as all are in captures and in tests.
fn port(word: &str) -> Option<&str> {
    let digits = word.trim_end_matches([':', ';', '\n']);
    (digits.len() == PORT_DIGITS && digits.parse::<u16>().is_ok()).then_some(digits)
}

fn same_elements(captured: &[u8], actual: &[u8], opcode: Option<i32>) -> Result<(), String> {
    let sorted = |bytes| {
        let mut elements = elements(bytes, opcode).ok_or("a vector element is cut short")?;
        elements.sort_unstable();
        Ok::<_, String>(elements)
    };
    let (expected, found) = (sorted(captured)?, sorted(actual)?);
    if expected == found {
        return Ok(());
    }
    let lossy = |elements: Vec<&[u8]>| -> Vec<String> {
        elements.into_iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    };
    Err(format!("elements {:?} in place of {:?}", lossy(found), lossy(expected)))
}

/// Cuts the elements of a vector apart: strings, pairs of strings, or ACL entries.
fn elements(mut bytes: &[u8], opcode: Option<i32>) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let size = match opcode {
            Some(GET_ACL) => strings(bytes, size_of::<i32>(), 2)?,
            Some(WHO_AM_I) => strings(bytes, 0, 2)?,
            _ => strings(bytes, 0, 1)?,
        };
        let (element, rest) = bytes.split_at(size);
        elements.push(element);
        bytes = rest;
    }
    Some(elements)
}

/// The offset behind `count` strings that begin at `offset`.
fn strings(bytes: &[u8], mut offset: usize, count: usize) -> Option<usize> {
    for _ in 0..count {
        let prefix = bytes.get(offset..)?.first_chunk()?;
        offset += prefix.len() + usize::try_from(i32::from_be_bytes(*prefix)).ok()?;
    }
    (offset <= bytes.len()).then_some(offset)
}

fn long(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("a zxid or a time has eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(captured: &str, vary: &str, actual: &str) -> Result<(), usize> {
        let json = |hex: &str| format!(r#"{{"conn":"A","hex":"{hex}","vary":{vary}}}"#);
        let parse = |hex| serde_json::from_str::<Response>(&json(hex)).expect("a frame");
        let (captured, actual) = (parse(captured), parse(actual));
        response(&captured, &actual.bytes.0, None, &mut Bindings::default())
            .map_err(|difference| difference.offset)
    }

    #[test]
    fn the_first_differing_byte_is_named() {
        assert_eq!(check("000102", "[]", "000102"), Ok(()));
        assert_eq!(check("000102", "[]", "000103"), Err(2));
        assert_eq!(check("000102", "[]", "0001"), Err(2));
        assert_eq!(check("000102", "[]", "00010203"), Err(3));
    }

    #[test]
    fn varying_ranges_follow_their_rules() {
        let zxid = r#"[[1,9,"zxid"]]"#;
        assert_eq!(check("01000000000000000502", zxid, "01000000000000000702"), Ok(()));
        assert_eq!(check("01000000000000000502", zxid, "01000000000000000703"), Err(9));
        assert_eq!(check("01000000000000000502", zxid, "010000"), Err(3));
        let time = r#"[[0,8,"time"]]"#;
        assert_eq!(check("000001a1f70ad662", time, "000001a000000000"), Ok(()));
        assert_eq!(check("000001a1f70ad662", time, "0000000000000000"), Err(0));
    }

    #[test]
    fn configurations_differ_in_ports_and_by_the_order_of_versions() {
        let mut bindings = Bindings::default();
        let mut check = |captured: &str, actual: &str| {
            same_configuration(captured.as_bytes(), actual.as_bytes(), &mut bindings)
        };
        let (captured, actual) = ("server.1=h:12345;h:54321\n", "server.1=h:20000;h:20001\n");
        let versions =
            |one, other| (format!("{captured}version={one}"), format!("{actual}version={other}"));
        let (one, other) = versions("100000000", "200000000");
        assert_eq!(check(&one, &other), Ok(()));
        let (one, other) = versions("100000001", "100000000");
        assert!(check(&one, &other).is_err());
        for other in ["server.2=h:20000;h:20001\n", "server.1=h:20001;h:20001\n"] {
            assert!(check(captured, other).is_err(), "{other}");
        }
    }

    #[test]
    fn unordered_vectors_are_compared_as_sets() {
        let both = r#"[[0,11,"unordered"]]"#;
        assert_eq!(check("0000000161000000026263", both, "0000000262630000000161"), Ok(()));
        assert_eq!(check("0000000161000000026263", both, "0000000262640000000161"), Err(0));
        assert_eq!(check("0000000161000000026263", both, "000000ff61000000026263"), Err(0));
    }
}
