//! Promises that a server broke, counted and, for the first few, described.

use std::fmt;

/// As many are described; the rest is only counted.
const DESCRIBED_MAX: usize = 20;

/// One broken promise of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Replies come in the order of their requests.
    ReplyOrder { expected_xid: i32, xid: i32 },
    /// What a session sees never goes back.
    ZxidWentBack { before: i64, after: i64 },
    /// A server never answers with less than it answered before the request was sent.
    StaleVersion { key: u32, known: i32, version: i32 },
    /// One version of a node has one value.
    WrongValue { key: u32, version: i32 },
    /// A value read is one that was written to this key.
    ForeignValue { key: u32, version: i32 },
    /// A reply must decode as the answer to its request.
    Undecodable { key: u32 },
    /// An event for a watch that nobody set, or without a change of what is watched.
    UnexpectedEvent,
    /// Events of one kind for one path: a watch hears of each change once.
    DuplicateEvent { key: u32 },
    /// A watch that was set hears of the change.
    LostEvent { key: u32 },
    /// An event names the change that it tells of: its kind and its transaction.
    WrongEvent { key: u32 },
    /// A session whose time is not over goes on when its client comes back.
    SessionLost,
    /// No two sessions have one id.
    SessionTwice,
    /// A session lives as long as was granted after its client was heard last.
    ExpiredEarly { key: u32, early_ms: u64 },
    /// A session whose client is not heard any more ends.
    NotExpired { key: u32 },
    /// A lock has one holder at a time.
    TwoHolders { other: u32 },
    /// A lock goes to who queued first.
    LockOrder { before: u32, number: u32 },
    /// A list of children has all that nobody deletes.
    WrongNames { keys: u32, found: u32 },
    /// An acknowledged write stays.
    LostWrites { count: u64 },
    /// A session hears of a change before it is shown any state behind it.
    EventOvertaken { event: i64, reply: i64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplyOrder { expected_xid, xid } => {
                write!(f, "reply to xid {xid} where that to {expected_xid} was due")
            }
            Self::ZxidWentBack { before, after } => {
                write!(f, "zxid went back from {before:#x} to {after:#x}")
            }
            Self::StaleVersion { key, known, version } => {
                write!(f, "key {key} at version {version}, though {known} was known before")
            }
            Self::WrongValue { key, version } => {
                write!(f, "key {key} at version {version} with the value of another version")
            }
            Self::ForeignValue { key, version } => {
                write!(f, "key {key} at version {version} with a value never written to it")
            }
            Self::Undecodable { key } => write!(f, "a reply about key {key} does not decode"),
            Self::UnexpectedEvent => {
                write!(f, "an event without a watch, or without a change")
            }
            Self::DuplicateEvent { key } => write!(f, "two events for one change of key {key}"),
            Self::LostEvent { key } => write!(f, "no event for a change of key {key}"),
            Self::WrongEvent { key } => {
                write!(f, "an event for key {key} of another kind or transaction than its change")
            }
            Self::SessionLost => write!(f, "a session that should go on is not known any more"),
            Self::SessionTwice => write!(f, "a session with the id of another one"),
            Self::ExpiredEarly { key, early_ms } => {
                write!(f, "session {key} expired {early_ms} ms before its time was over")
            }
            Self::NotExpired { key } => write!(f, "session {key} does not expire"),
            Self::TwoHolders { other } => write!(f, "connection {other} holds the lock too"),
            Self::LockOrder { before, number } => {
                write!(f, "the lock went to node {number} after node {before}")
            }
            Self::WrongNames { keys, found } => {
                write!(f, "a list with {found} of the {keys} names that are there")
            }
            Self::LostWrites { count } => {
                write!(f, "{count} acknowledged writes are not there")
            }
            Self::EventOvertaken { event, reply } => {
                write!(f, "an event of {event:#x} after a reply that shows {reply:#x}")
            }
        }
    }
}

/// What is said of an answer or an event.
pub type Judged = Result<(), Violation>;

/// All violations of a run.
#[derive(Debug, Default)]
pub struct Violations {
    pub count: u64,
    described: Vec<(usize, Violation)>,
}

impl Violations {
    pub fn add(&mut self, connection: usize, violation: Violation) {
        self.count += 1;
        if self.described.len() < DESCRIBED_MAX {
            self.described.push((connection, violation));
        }
    }

    /// Adds what a judgement found, if it found anything.
    pub fn judge(&mut self, connection: usize, judged: Judged) {
        if let Err(violation) = judged {
            self.add(connection, violation);
        }
    }

    /// Adds all that others found.
    pub fn append(&mut self, others: Self) {
        self.count += others.count;
        let room = DESCRIBED_MAX.saturating_sub(self.described.len());
        self.described.extend(others.described.into_iter().take(room));
    }

    /// The first ones, each with the number of the connection that saw it.
    pub fn described(&self) -> &[(usize, Violation)] {
        &self.described
    }
}
