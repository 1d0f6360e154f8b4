//! The syntax of `zoo.cfg`: that of `java.util.Properties`.
//!
//! Which line defines which key, and nothing about what a key means. Comments (`#`, `!`), the three
//! separators (`=`, `:`, white space), continued lines and escapes behave as in Java, because files
//! that people carry over from Apache ZooKeeper rely on them; keys and values are trimmed as there.
//!
//! One kindness: Java reads the bytes as Latin-1; here they are UTF-8 when they are valid UTF-8.

/// One definition. A later one of the same key replaces an earlier one; that is the reader's duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) key: String,
    pub(super) value: String,
    /// Line on which the definition begins, counted from 1.
    pub(super) line: usize,
}

/// A `\u` that four hexadecimal digits do not follow, on this line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedEscape {
    pub(super) line: usize,
}

/// Every definition of `bytes`, in order.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Property>, MalformedEscape> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.split('\n').enumerate();
    let mut properties = Vec::new();
    while let Some((index, first)) = lines.next() {
        let first = skip_blanks(first);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while is_continued(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(skip_blanks(next)),
                None => break,
            }
        }
        let line = index + 1;
        let (key, value) = split(&logical);
        let plain = |text| unescape(text).ok_or(MalformedEscape { line });
        properties.push(Property { key: plain(key)?, value: plain(value)?, line });
    }
    Ok(properties)
}

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

fn skip_blanks(line: &str) -> &str {
    line.trim_start_matches(BLANKS)
}

/// An odd number of backslashes at the end joins the next line.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Key and value, still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends_key = |c: char| {
        let ends = !escaped && (c == '=' || c == ':' || BLANKS.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    };
    let (key, rest) = line.split_at(line.find(ends_key).unwrap_or(line.len()));
    let rest = skip_blanks(rest);
    (key, skip_blanks(rest.strip_prefix(['=', ':']).unwrap_or(rest)))
}

/// The text that `escaped` stands for, trimmed as `String.trim` does; `None` for a malformed `\u`.
fn unescape(escaped: &str) -> Option<String> {
    let mut units = Vec::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        let meant = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    units.push(unicode_escape(&mut chars)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
    }
    let text = String::from_utf16_lossy(&units);
    Some(text.trim_matches(|c| c <= ' ').to_owned())
}

/// The UTF-16 unit that the four digits after `\u` name.
fn unicode_escape(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | chars.next()?.to_digit(16)? as u16;
    }
    Some(unit)
}

/// `value` as it must be written after the separator, in ASCII: Java reads the bytes as Latin-1.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &str, usize)]) {
        let properties = parse(text.as_bytes()).expect("well formed");
        let got: Vec<_> =
            properties.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(got, expect, "{text:?}");
    }

    #[test]
    fn each_separator_parts_key_from_value() {
        check("tickTime=2000", &[("tickTime", "2000", 1)]);
        check("tickTime 2000", &[("tickTime", "2000", 1)]);
        check("tickTime : 2000  ", &[("tickTime", "2000", 1)]);
        check("  tickTime\t=\t2000", &[("tickTime", "2000", 1)]);
        check("a==b", &[("a", "=b", 1)]);
        check("server.1=h:2888:3888", &[("server.1", "h:2888:3888", 1)]);
        check("alone", &[("alone", "", 1)]);
    }

    #[test]
    fn comments_and_blank_lines_define_nothing() {
        check("# a=1\n  ! b=2\n\n \t\nc=3 # not a comment", &[("c", "3 # not a comment", 5)]);
    }

    #[test]
    fn a_backslash_joins_lines_and_the_first_line_counts() {
        check("a=1,\\\n   2,\\\n#3\nb=4", &[("a", "1,2,#3", 1), ("b", "4", 4)]);
        check("a=1\\\\\nb=2", &[("a", "1\\", 1), ("b", "2", 2)]);
        check("a=1\\\n\nb=2", &[("a", "1", 1), ("b", "2", 3)]);
        check("a=1\\", &[("a", "1", 1)]);
    }

    #[test]
    fn escapes_stand_for_what_they_do_in_java() {
        check(r"a\ b\=c=\td\u0065\q", &[("a b=c", "deq", 1)]);
        check(r"emoji=\ud83d\ude00", &[("emoji", "😀", 1)]);
        assert_eq!(parse(b"ok=1\nbad=\\u12x4"), Err(MalformedEscape { line: 2 }));
    }

    #[test]
    fn what_is_escaped_is_read_back() {
        for value in ["/data/zk 1", "/a\\b\\", "/caf\u{e9}/\u{1f600}", "/a=b:c#d!", "/tab\there"] {
            let line = format!("dataDir={}", escaped(value));
            assert!(line.is_ascii(), "{line}");
            check(&line, &[("dataDir", value, 1)]);
        }
    }

    #[test]
    fn any_line_ending_and_both_encodings_are_read() {
        check("a=1\r\nb=2\rc=é", &[("a", "1", 1), ("b", "2", 2), ("c", "é", 3)]);
        let latin = parse(b"dir=/caf\xe9").expect("well formed");
        assert_eq!(latin[0].value, "/café");
    }
}
