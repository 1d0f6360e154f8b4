//! Compares the texts that answer four-letter words, where only the line structure is meaningful.
//!
//! A line is reduced to its shape: what stands before its value, with numbers taken out. Counters,
//! addresses and dates then no longer show. Two texts agree when they have the same set of
//! shapes: a line may repeat for each connection, and Apache lists metrics in hash order. Figures
//! of our own may stand beside Apache's.

use std::collections::BTreeSet;

/// Says which shapes of lines are missing from `actual` and which are too many.
pub(super) fn compare(expected: &[u8], actual: &[u8]) -> Result<(), String> {
    let (expected, actual) = (shapes(expected), shapes(actual));
    let missing: Vec<_> = expected.difference(&actual).collect();
    let surplus: Vec<_> = actual.difference(&expected).filter(|shape| !is_our_own(shape)).collect();
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    Err(format!("lines missing: {missing:?}; lines too many: {surplus:?}"))
}

/// No key of Apache's says its unit.
fn is_our_own(shape: &str) -> bool {
    shape.starts_with("zk_") && shape.ends_with("_us\t")
}

fn shapes(text: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(text).lines().map(shape).collect()
}

fn shape(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    // A session id, a path or a date: what it says is free, that it stands there is not.
    let free = ["0x", "/", "expire at "]
        .into_iter()
        .filter_map(|start| line.find(start).map(|at| at + start.len()))
        .min();
    let value = line[indent..].find([':', '=', '\t']).map(|at| indent + at + 1);
    let end = free.unwrap_or(line.len()).min(value.unwrap_or(line.len()));
    let mut shape = String::new();
    for letter in line[..end].chars() {
        match letter {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_lines() {
        for (line, expected) in [
            ("clientPort=12181", "clientPort="),
            ("Latency min/avg/max: 1/2.25/4", "Latency min/"),
            (" /127.0.0.1:36930[0](queued=0,recved=1,sent=0)", " /"),
            ("1 expire at Fri Nov 20 03:39:27 UTC 2026:", "# expire at "),
            ("\t0x100001b209a0000", "\t#x"),
            ("12 connections watching 1 paths", "# connections watching # paths"),
            ("zk_p99_commit\t3", "zk_p#_commit\t"),
            ("imok", "imok"),
        ] {
            assert_eq!(shape(line), expected, "{line}");
        }
    }

    #[test]
    fn texts_agree_when_their_lines_have_the_same_shapes() {
        assert_eq!(compare(b"a: 1\nb: 2\n", b"b: 3\na: 4\n"), Ok(()));
        assert!(compare(b"a: 1\nb: 2\n", b"a: 1\n").is_err());
        assert!(compare(b"a: 1\n", b"a: 1\nb: 2\n").is_err());
        assert_eq!(compare(b"zk_a\t1\n", b"zk_a\t1\nzk_p99_b_us\t2\n"), Ok(()));
        assert!(compare(b"zk_a\t1\n", b"zk_a\t1\nzk_b\t2\n").is_err());
    }
}
