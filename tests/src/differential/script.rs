//! A conversation with a server, as data: it can be generated, encoded, printed and shortened.
//!
//! A [`Script`] is a list of steps on a few numbered connections. Every step makes sense whatever
//! came before it (a request on a connection that is not open opens it first), so that any steps
//! may be taken away when a divergence is made shorter. Text may hold `$`, which stands for a node
//! that belongs to one run alone; so a script can run again and again on one server.
//!
//! Requests are an opcode and fields without types between them, because malformed ones are wanted
//! too. What the fields of a well-formed one are is known to [`super::generate`] only.

use menagerie_wire::jute::Put as _;
use std::fmt;

/// Steps that run one after the other, each answered before the next begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    pub steps: Vec<Step>,
}

/// What one connection does next.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Number of the connection, from 0.
    pub slot: usize,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Opens a TCP connection (an open one of this slot is dropped) and sends a ConnectRequest.
    Open(Opening),
    /// Drops the TCP connection; the session lives on.
    Drop,
    /// All TCP connections end, because Menagerie is killed or stopped, and started again. Apache
    /// ZooKeeper goes on: what it has in memory is what must have been kept.
    Restart { kill: bool },
    /// Sends requests in one write, and reads as many replies.
    Ask(Vec<Request>),
    /// Sends bytes that no server takes for a request.
    Frame(Vec<u8>),
}

/// A ConnectRequest.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    pub claim: Claim,
    pub protocol: i32,
    pub timeout_ms: i32,
    /// The last byte of the request; old clients leave it out.
    pub read_only: Option<u8>,
    /// Presents a zxid that no server has reached.
    pub ahead: bool,
    /// Sent in the same write, before the response is there.
    pub eager: Vec<Request>,
}

/// Whose session a ConnectRequest claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    New,
    /// The last session of a slot, with its password.
    Resume(usize),
    /// The last session of a slot, with another password.
    WrongPassword(usize),
    /// A session that never was.
    Unknown,
}

/// One request: header and body.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub op: i32,
    /// `None`: the next number of the connection.
    pub xid: Option<i32>,
    pub fields: Vec<Field>,
    /// Bytes missing at the end of the body.
    pub cut: usize,
}

/// A piece of a request's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Int(i32),
    Long(i64),
    Byte(u8),
    Data(Option<Vec<u8>>),
    Text(Option<String>),
    Texts(Option<Vec<String>>),
    Acl(Option<Vec<AclEntry>>),
    /// The last zxid that this connection was told, plus this.
    SeenZxid(i64),
    Parts(Vec<Part>),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// An entry of an access list as a client may send it, null parts included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    pub perms: i32,
    pub scheme: Option<String>,
    pub id: Option<String>,
}

/// An operation inside a multi, or its end (`done`).
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub op: i32,
    pub done: bool,
    pub fields: Vec<Field>,
}

/// What the symbols in a script stand for, in one run on one server.
#[derive(Clone, Copy, Debug)]
pub struct Meaning<'a> {
    /// The path that `$` stands for.
    pub root: &'a str,
    pub seen_zxid: i64,
}

impl Script {
    /// Whether a step names one of the nodes that all runs share.
    #[must_use]
    pub fn touches_special_nodes(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Ask(requests) | Action::Open(Opening { eager: requests, .. }) => {
                requests.iter().any(|request| request.fields.iter().any(Field::is_special))
            }
            Action::Drop | Action::Restart { .. } | Action::Frame(_) => false,
        })
    }
}

impl Field {
    /// Whether this is, or holds, the path of a node that all runs share.
    #[must_use]
    pub fn is_special(&self) -> bool {
        match self {
            Self::Text(Some(path)) => path == "/" || path.starts_with("/zookeeper"),
            Self::Parts(parts) => parts.iter().flat_map(|part| &part.fields).any(Self::is_special),
            _ => false,
        }
    }
}

impl Opening {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            claim: Claim::New,
            protocol: 0,
            timeout_ms: 300_000,
            read_only: Some(0),
            ahead: false,
            eager: Vec::new(),
        }
    }
}

impl Default for Opening {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    #[must_use]
    pub const fn new(op: i32, fields: Vec<Field>) -> Self {
        Self { op, xid: None, fields, cut: 0 }
    }

    /// The whole frame, length prefix included.
    #[must_use]
    pub fn frame(&self, xid: i32, meaning: Meaning<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        put_fields(&mut body, &self.fields, meaning);
        body.truncate(body.len().saturating_sub(self.cut));
        let mut message = Vec::new();
        message.put_int(xid);
        message.put_int(self.op);
        message.extend(body);
        framed(&message)
    }
}

/// `message` behind its length.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_buffer(Some(message));
    frame
}

fn put_fields(out: &mut Vec<u8>, fields: &[Field], meaning: Meaning<'_>) {
    for field in fields {
        put_field(out, field, meaning);
    }
}

fn put_field(out: &mut Vec<u8>, field: &Field, meaning: Meaning<'_>) {
    match field {
        Field::Int(value) => out.put_int(*value),
        Field::Long(value) => out.put_long(*value),
        Field::Byte(value) => out.push(*value),
        Field::Data(data) => out.put_buffer(data.as_deref()),
        Field::Text(text) => put_text(out, text.as_deref(), meaning),
        Field::Texts(None) | Field::Acl(None) => out.put_int(-1),
        Field::Texts(Some(texts)) => {
            out.put_int(count(texts.len()));
            for text in texts {
                put_text(out, Some(text), meaning);
            }
        }
        Field::Acl(Some(entries)) => {
            out.put_int(count(entries.len()));
            for entry in entries {
                out.put_int(entry.perms);
                out.put_ustring(entry.scheme.as_deref());
                out.put_ustring(entry.id.as_deref());
            }
        }
        Field::SeenZxid(more) => out.put_long(meaning.seen_zxid + more),
        Field::Parts(parts) => {
            for part in parts {
                out.put_int(part.op);
                out.put_bool(part.done);
                out.put_int(-1);
                put_fields(out, &part.fields, meaning);
            }
        }
        Field::Raw(bytes) => out.extend_from_slice(bytes),
    }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>, meaning: Meaning<'_>) {
    out.put_ustring(text.map(|text| text.replace('$', meaning.root)).as_deref());
}

fn count(len: usize) -> i32 {
    i32::try_from(len).expect("a script's lists are short")
}

/// The name of an opcode, as the protocol has it.
#[must_use]
pub fn op_name(op: i32) -> String {
    use menagerie_wire::opcode::OpCode;
    OpCode::try_from(op).map_or_else(|_| format!("op{op}"), |op| format!("{op:?}"))
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {index:3}  {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}: ", self.slot)?;
        match &self.action {
            Action::Open(opening) => write!(f, "{opening}"),
            Action::Drop => f.write_str("drop"),
            Action::Restart { kill } => write!(f, "restart of the server, kill: {kill}"),
            Action::Frame(bytes) => write!(f, "bytes {bytes:02x?}"),
            Action::Ask(requests) => write_list(f, requests, " | "),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open {:?}, protocol {}, ", self.claim, self.protocol)?;
        write!(f, "timeout {} ms, read-only byte {:?}", self.timeout_ms, self.read_only)?;
        if self.ahead {
            f.write_str(", having seen a zxid of the future")?;
        }
        if !self.eager.is_empty() {
            f.write_str(", and at once ")?;
            write_list(f, &self.eager, " | ")?;
        }
        Ok(())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", op_name(self.op))?;
        write_list(f, &self.fields, ", ")?;
        f.write_str(")")?;
        if let Some(xid) = self.xid {
            write!(f, " with xid {xid}")?;
        }
        if self.cut > 0 {
            write!(f, " without its last {} bytes", self.cut)?;
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Long(value) => write!(f, "{value}L"),
            Self::Byte(value) => write!(f, "byte {value}"),
            Self::Data(None) | Self::Text(None) | Self::Texts(None) | Self::Acl(None) => {
                f.write_str("null")
            }
            Self::Data(Some(data)) if data.len() > 40 => write!(f, "{} bytes", data.len()),
            Self::Data(Some(data)) => write!(f, "b\"{}\"", data.escape_ascii()),
            Self::Text(Some(text)) => write!(f, "{text:?}"),
            Self::Texts(Some(texts)) => write!(f, "{texts:?}"),
            Self::Acl(Some(entries)) => {
                f.write_str("[")?;
                write_list(f, entries, ", ")?;
                f.write_str("]")
            }
            Self::SeenZxid(more) => write!(f, "seen zxid {more:+}"),
            Self::Parts(parts) => {
                f.write_str("{ ")?;
                write_list(f, parts, "; ")?;
                f.write_str(" }")
            }
            Self::Raw(bytes) => write!(f, "raw {bytes:02x?}"),
        }
    }
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "null".to_owned());
        write!(f, "{} {}:{}", self.perms, part(&self.scheme), part(&self.id))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done {
            return f.write_str("end");
        }
        write!(f, "{}(", op_name(self.op))?;
        write_list(f, &self.fields, ", ")?;
        f.write_str(")")
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    between: &str,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANING: Meaning<'_> = Meaning { root: "/d7", seen_zxid: 40 };

    #[test]
    fn the_root_of_the_run_takes_the_place_of_its_symbol() {
        let request = Request::new(3, vec![Field::Text(Some("$/a".to_owned())), Field::Byte(1)]);
        let expect = b"\0\0\0\x12\0\0\0\x05\0\0\0\x03\0\0\0\x05/d7/a\x01";
        assert_eq!(request.frame(5, MEANING), expect);
        assert_eq!(request.to_string(), "Exists(\"$/a\", byte 1)");
    }

    #[test]
    fn a_cut_body_ends_early_under_a_length_that_agrees() {
        let mut request = Request::new(101, vec![Field::SeenZxid(2), Field::Texts(None)]);
        assert_eq!(request.frame(1, MEANING)[12..20], 42i64.to_be_bytes());
        request.cut = 3;
        assert_eq!(request.frame(1, MEANING).len(), 4 + 8 + (8 + 4 - 3));
    }
}
