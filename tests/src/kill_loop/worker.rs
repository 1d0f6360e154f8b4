//! One client under load: it keeps a number of writes on their way, takes the acknowledgements,
//! and goes on until the server is gone.

use super::history::{History, Place, Violation, Write, payload};
use crate::differential::control::{connect_request, text};
use crate::differential::lane::{Lane, Received};
use crate::differential::script::{AclEntry, Field, Meaning, Opening, Part, Request};
use crate::differential::view::Header;
use crate::random::Random;
use menagerie_wire::jute::Reader;
use std::net::SocketAddr;
use std::time::Duration;

/// A server under load that is silent for so long has lost a request.
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);
pub const SEQUENCE_DIR: &str = "/kill/sequence";

/// A client, over all its connections.
#[derive(Debug)]
pub struct Worker {
    pub history: History,
    random: Random,
    depth: usize,
    passwd: Vec<u8>,
}

/// What a worker saw between two kills.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub acknowledged: u64,
    pub sessions_resumed: u64,
    /// Names of acknowledged sequence nodes.
    pub names: Vec<String>,
}

impl Worker {
    #[must_use]
    pub fn new(worker: usize, seed: u64, depth: usize) -> Self {
        let random = Random::new(seed.wrapping_add(worker as u64));
        Self { history: History::new(worker), random, depth, passwd: vec![0; 16] }
    }

    /// The directory with the worker's own nodes.
    #[must_use]
    pub fn directory(worker: usize) -> String {
        format!("/kill/worker{worker}")
    }

    /// Writes until the connection ends.
    ///
    /// # Errors
    /// When the server breaks a promise while it lives.
    pub fn load(&mut self, address: SocketAddr) -> Result<Seen, Violation> {
        let mut seen = Seen::default();
        while let Some(mut lane) = self.connect(address, &mut seen)? {
            loop {
                self.fill(&mut lane);
                match lane.receive(REPLY_TIME_MAX) {
                    Received::Closed => return Ok(seen),
                    Received::Silence => return Err(self.violation("no reply in time".to_owned())),
                    Received::Frame(frame) => self.take(&frame, &mut seen)?,
                }
                if self.history.session == 0 {
                    break;
                }
            }
        }
        Ok(seen)
    }

    /// Resumes the session or opens a new one; `None` when the server is gone.
    fn connect(&mut self, address: SocketAddr, seen: &mut Seen) -> Result<Option<Lane>, Violation> {
        let Ok(mut lane) = Lane::connect(address) else { return Ok(None) };
        let (session, zxid) = (self.history.session, self.history.last_zxid());
        let opening = Opening { timeout_ms: i32::MAX, ..Opening::new() };
        lane.send(&connect_request(&opening, zxid, session, &self.passwd));
        let Received::Frame(frame) = lane.receive(REPLY_TIME_MAX) else { return Ok(None) };
        let mut reader = Reader::new(&frame);
        let mut decode = || -> Result<_, menagerie_wire::JuteError> {
            let (_protocol, _timeout) = (reader.int()?, reader.int()?);
            Ok((reader.long()?, reader.buffer()?.unwrap_or_default().to_vec()))
        };
        let (id, passwd) =
            decode().map_err(|_| self.violation(format!("not a ConnectResponse: {frame:?}")))?;
        if session != 0 && id != session {
            return Err(self.violation(format!("session {session:#x} was not resumed: {id:#x}")));
        }
        if session != 0 {
            seen.sessions_resumed += 1;
        }
        self.history.session = id;
        self.passwd = passwd;
        Ok(Some(lane))
    }

    /// Sends writes until as many as wanted are on their way. A closing one is the last.
    fn fill(&mut self, lane: &mut Lane) {
        let mut bytes = Vec::new();
        while self.history.pending_count() < self.depth && !self.history.is_closing() {
            let (number, write) = self.history.plan(&mut self.random);
            let request = self.request(number, write);
            let xid = (number % (1 << 30)) as i32 + 1;
            bytes.extend(request.frame(xid, Meaning { root: "$", seen_zxid: 0 }));
        }
        lane.send(&bytes);
    }

    fn request(&self, number: u64, write: Write) -> Request {
        let data = Field::Data(Some(payload(self.history.worker, number)));
        let anyone = Field::Acl(Some(vec![AclEntry::anyone()]));
        let any_version = Field::Int(-1);
        match write {
            Write::Create { node, ephemeral } => {
                let flags = match node {
                    Place::Sequence(_) => 2,
                    Place::Own(_) => i32::from(ephemeral),
                };
                Request::new(15, vec![text(&self.path(node)), data, anyone, Field::Int(flags)])
            }
            Write::Set { node } => Request::new(5, vec![text(&self.path(node)), data, any_version]),
            Write::Delete { node } => Request::new(2, vec![text(&self.path(node)), any_version]),
            Write::Pair { set, create } => {
                let set = vec![text(&self.path(set)), data.clone(), any_version];
                let create = vec![text(&self.path(create)), data, anyone, Field::Int(0)];
                let part = |op, fields| Part { op, done: op == -1, fields };
                let parts = vec![part(5, set), part(1, create), part(-1, Vec::new())];
                Request::new(14, vec![Field::Parts(parts)])
            }
            Write::Close => Request::new(-11, Vec::new()),
        }
    }

    fn path(&self, node: Place) -> String {
        match node {
            Place::Own(number) => format!("{}/{number}", Self::directory(self.history.worker)),
            Place::Sequence(_) => {
                let name = self.history.sequence_name(node).unwrap_or("s-");
                format!("{SEQUENCE_DIR}/{name}")
            }
        }
    }

    /// Takes one reply.
    fn take(&mut self, frame: &[u8], seen: &mut Seen) -> Result<(), Violation> {
        let refused = |history: &History, text: String| {
            Violation(format!("worker {}: {:?}: {text}", history.worker, history.oldest_pending()))
        };
        let Some(header) = Header::of(frame) else {
            return Err(refused(&self.history, format!("reply {frame:?}")));
        };
        let Some((number, write)) = self.history.oldest_pending() else {
            return Err(refused(&self.history, "an unasked reply".to_owned()));
        };
        // The result of the first operation has the type of setData, or of an error.
        let failed_multi =
            matches!(write, Write::Pair { .. }) && frame.get(16..20) != Some(&[0, 0, 0, 5]);
        if header.err != 0 || failed_multi {
            return Err(refused(&self.history, format!("error {}", header.err)));
        }
        if header.xid != (number % (1 << 30)) as i32 + 1 {
            return Err(refused(&self.history, format!("answered with xid {}", header.xid)));
        }
        let name = match write {
            Write::Create { node: Place::Sequence(_), .. } => created_name(frame),
            _ => None,
        };
        seen.names.extend(name.clone());
        seen.acknowledged += 1;
        self.history.acknowledge(header.zxid, name)?;
        if write == Write::Close {
            self.history.session_closed();
        }
        Ok(())
    }

    fn violation(&self, text: String) -> Violation {
        Violation(format!("worker {}: {text}", self.history.worker))
    }
}

/// The last component of the path that a create replies.
fn created_name(frame: &[u8]) -> Option<String> {
    let path = Reader::new(&frame[16..]).ustring().ok()??;
    path.rsplit('/').next().map(str::to_owned)
}
