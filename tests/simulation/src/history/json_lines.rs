//! Records as lines of JSON.

use std::io::{self, BufRead, Write};

use thiserror::Error;

use super::record::Record;

/// Why a file is no history.
#[derive(Debug, Error)]
pub enum LineError {
    #[error("line {line} is no record: {error}")]
    NoRecord { line: usize, error: serde_json::Error },
    #[error("line {line} cannot be read: {error}")]
    Unreadable { line: usize, error: io::Error },
}

/// Writes one line.
///
/// # Errors
/// Those of `out`.
pub fn write(record: &Record, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

/// Reads all lines. A last one without its end is what a killed recorder leaves, and no record.
///
/// # Errors
/// When any other line is no record.
pub fn read(mut input: impl BufRead) -> Result<Vec<Record>, LineError> {
    let mut records = Vec::new();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let bytes = input.read_line(&mut text);
        let bytes = bytes.map_err(|error| LineError::Unreadable { line, error })?;
        if bytes == 0 || !text.ends_with('\n') {
            break;
        }
        let record = serde_json::from_str(&text);
        records.push(record.map_err(|error| LineError::NoRecord { line, error })?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use menagerie_wire::{ServerId, SessionId, Zxid};

    use super::super::operation::{EventKind, Reply, Request, Write as WriteRequest};
    use super::super::record::Moment;
    use super::*;

    fn records() -> Vec<Record> {
        let (session, node) = (SessionId(7), ServerId(2));
        let set = WriteRequest::SetData { path: "/a".into(), data: None, version: -1 };
        let zxid = Zxid(0x1_0000_0002);
        let moments = [
            Moment::Connected { session, node, timeout_ms: 5_000, resumed: false },
            Moment::Invoke { op: 1, request: Request::Multi(vec![set]) },
            Moment::Return { op: 1, zxid, result: Ok(Reply::Parts(vec![Err(0), Err(-101)])) },
            Moment::Event { zxid, kind: EventKind::Deleted, path: "/ä\n".into() },
            Moment::Lost { op: 2 },
            Moment::Expired { session },
            Moment::Healed,
        ];
        let record = |what| Record { at_ns: 5, client: 1, what };
        moments.map(record).to_vec()
    }

    fn text(records: &[Record]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            write(record, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn records_read_back() {
        let text = text(&records());
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), records().len());
        assert_eq!(read(&text[..]).unwrap(), records());
    }

    #[test]
    fn a_line_without_its_end_is_no_record() {
        let text = text(&records());
        let all = records();
        assert_eq!(read(&text[..text.len() - 2]).unwrap(), all[..all.len() - 1]);
    }

    #[test]
    fn nonsense_is_named_by_its_line() {
        let mut text = text(&records()[..2]);
        text.extend(b"nonsense\n");
        assert!(read(&text[..]).unwrap_err().to_string().starts_with("line 3 "));
    }
}
