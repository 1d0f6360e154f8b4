//! Replies and events as text in which only what must be equal on both servers is left.
//!
//! Masked: wall clock times (zero or not is kept), session ids (by the order in which the run
//! established them), passwords (zero or not, the same as before or not). Zxids are counted from
//! the transaction that made the run's root node, so that every transaction that one server has
//! and the other has not shows. Sorted, because ZooKeeper leaves their order open: children,
//! ephemerals, identities, and neighbouring digest entries of an ACL (what "auth" expands to).
//!
//! Bytes that do not decode as the reply they should be are shown as they are.

use super::script::op_name;
use menagerie_wire::JuteError;
use menagerie_wire::data::{Acl, Stat};
use menagerie_wire::jute::{Decode as _, Reader};
use std::fmt::Write as _;

/// What stands for what in the replies of one server.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    /// The zxid that made the root node of this run.
    pub zxid_base: i64,
    /// Session ids in the order of their creation in this run.
    pub sessions: Vec<i64>,
}

/// The start of every frame after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
}

pub const EVENT_XID: i32 = -1;

impl Header {
    /// `None` when the frame is too short for a header.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(frame);
        let (xid, zxid, err) = (reader.int().ok()?, reader.long().ok()?, reader.int().ok()?);
        Some(Self { xid, zxid, err })
    }
}

impl Masks {
    /// The reply to a request with opcode `op`.
    #[must_use]
    pub fn reply(&self, op: i32, frame: &[u8]) -> String {
        let Some(header) = Header::of(frame) else { return format!("frame {frame:02x?}") };
        let mut text = format!(
            "{} xid={} zxid={} err={}",
            op_name(op),
            header.xid,
            self.zxid(header.zxid),
            header.err
        );
        let body = &frame[16..];
        let mut reader = Reader::new(body);
        let decoded = match header.err {
            0 => self.body(op, &mut reader),
            // ZooKeeper: FinalRequestProcessor, a multiRead that fails keeps its results so far.
            -5 if op == 22 && !body.is_empty() => self.results(&mut reader),
            _ => Ok(String::new()),
        };
        match decoded {
            Ok(body) if reader.is_empty() => text.push_str(&body),
            Ok(_) | Err(_) => text.push_str(&format!(" body {body:02x?}")),
        }
        text
    }

    /// A watch event.
    #[must_use]
    pub fn event(&self, frame: &[u8]) -> String {
        let mut reader = Reader::new(frame);
        let mut decode = || -> Result<String, JuteError> {
            let (_xid, zxid, err) = (reader.int()?, reader.long()?, reader.int()?);
            let (kind, state, path) = (reader.int()?, reader.int()?, reader.ustring()?);
            let zxid = self.zxid(zxid);
            Ok(format!("event zxid={zxid} err={err} type={kind} state={state} path={path:?}"))
        };
        match decode() {
            Ok(text) if reader.is_empty() => text,
            Ok(_) | Err(_) => format!("event {frame:02x?}"),
        }
    }

    /// A zxid relative to the run; what was there before is "old".
    #[must_use]
    pub fn zxid(&self, zxid: i64) -> String {
        match zxid {
            ..=0 => zxid.to_string(),
            _ if zxid < self.zxid_base => "old".to_owned(),
            _ => format!("+{}", zxid - self.zxid_base),
        }
    }

    fn session(&self, id: i64) -> String {
        match self.sessions.iter().position(|known| *known == id) {
            _ if id == 0 => "0".to_owned(),
            Some(index) => format!("session#{index}"),
            None => format!("{id:#x}"),
        }
    }

    fn body(&self, op: i32, reader: &mut Reader<'_>) -> Result<String, JuteError> {
        Ok(match op {
            1 | 9 => format!(" path={:?}", reader.ustring()?),
            15 | 19 | 21 => format!(" path={:?}{}", reader.ustring()?, self.stat(reader)?),
            3 | 5 | 7 => self.stat(reader)?,
            4 | 16 => format!("{}{}", data(reader)?, self.stat(reader)?),
            6 => format!("{}{}", acl(reader)?, self.stat(reader)?),
            8 | 103 => sorted_strings(reader)?,
            12 => format!("{}{}", sorted_strings(reader)?, self.stat(reader)?),
            14 | 22 => self.results(reader)?,
            102 => format!(" token={:02x?}", reader.buffer()?),
            104 | 106 => format!(" int={}", reader.int()?),
            107 => identities(reader)?,
            _ => String::new(),
        })
    }

    fn stat(&self, reader: &mut Reader<'_>) -> Result<String, JuteError> {
        let stat = Stat::decode(reader)?;
        let time = |ms| if ms == 0 { "0" } else { "set" };
        Ok(format!(
            " czxid={} mzxid={} pzxid={} ctime={} mtime={} version={} cversion={} aversion={} \
             owner={} length={} children={}",
            self.zxid(stat.czxid.0),
            self.zxid(stat.mzxid.0),
            self.zxid(stat.pzxid.0),
            time(stat.ctime_ms),
            time(stat.mtime_ms),
            stat.version,
            stat.cversion,
            stat.aversion,
            self.session(stat.ephemeral_owner.0),
            stat.data_length,
            stat.num_children
        ))
    }

    /// The results of a multi or multiRead, up to and with the terminator.
    fn results(&self, reader: &mut Reader<'_>) -> Result<String, JuteError> {
        let mut text = String::new();
        loop {
            let (op, done, err) = (reader.int()?, reader.byte()?, reader.int()?);
            write!(text, " [{op} done={done} err={err}").expect("a string takes all");
            if done == 0 {
                text += &match op {
                    -1 => format!(" code={}", reader.int()?),
                    _ => self.body(op, reader)?,
                };
            }
            text.push(']');
            if done != 0 {
                return Ok(text);
            }
        }
    }
}

fn data(reader: &mut Reader<'_>) -> Result<String, JuteError> {
    let data = reader.buffer()?.map(|data| data.escape_ascii().to_string());
    Ok(format!(" data={data:?}"))
}

fn sorted_strings(reader: &mut Reader<'_>) -> Result<String, JuteError> {
    let mut strings = Vec::new();
    for _ in 0..reader.int()? {
        strings.push(reader.string()?);
    }
    strings.sort_unstable();
    Ok(format!(" {strings:?}"))
}

fn acl(reader: &mut Reader<'_>) -> Result<String, JuteError> {
    let mut entries = reader.vector::<Acl<'_>>()?;
    let alike = |a: &Acl<'_>, b: &Acl<'_>| {
        a.perms == b.perms && a.id.scheme == "digest" && b.id.scheme == "digest"
    };
    for run in entries.iter_mut().flat_map(|entries| entries.chunk_by_mut(alike)) {
        run.sort_unstable();
    }
    let words = entries.map(|entries| {
        let word = |acl: &Acl<'_>| format!("{} {}:{}", acl.perms, acl.id.scheme, acl.id.id);
        entries.iter().map(word).collect::<Vec<_>>()
    });
    Ok(format!(" acl={words:?}"))
}

fn identities(reader: &mut Reader<'_>) -> Result<String, JuteError> {
    let mut identities = Vec::new();
    for _ in 0..reader.int()? {
        identities.push((reader.ustring()?, reader.ustring()?));
    }
    identities.sort_unstable();
    Ok(format!(" identities={identities:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use menagerie_wire::jute::Put as _;

    fn masks() -> Masks {
        Masks { zxid_base: 100, sessions: vec![0x77] }
    }

    fn reply(zxid: i64, err: i32, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.put_int(9);
        frame.put_long(zxid);
        frame.put_int(err);
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn zxids_are_counted_from_the_root_of_the_run() {
        let check = |zxid, expect: &str| assert_eq!(masks().zxid(zxid), expect);
        check(103, "+3");
        check(7, "old");
        check(0, "0");
        check(-1, "-1");
    }

    #[test]
    fn children_compare_in_any_order_but_bytes_left_over_show() {
        let mut body = Vec::new();
        body.put_int(2);
        body.put_string("b");
        body.put_string("a");
        let text = masks().reply(8, &reply(100, 0, &body));
        assert_eq!(text, "GetChildren xid=9 zxid=+0 err=0 [\"a\", \"b\"]");
        body.push(0);
        assert!(masks().reply(8, &reply(100, 0, &body)).contains(" body ["));
    }

    #[test]
    fn an_owner_is_named_by_the_order_of_sessions() {
        let mut stat = Stat::default();
        stat.ephemeral_owner.0 = 0x77;
        stat.mtime_ms = 5;
        let bytes = menagerie_wire::jute::Encode::to_bytes(&stat);
        let text = masks().reply(3, &reply(101, 0, &bytes));
        assert!(text.contains("owner=session#0 ") && text.contains("ctime=0 mtime=set"), "{text}");
    }
}
