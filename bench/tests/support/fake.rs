//! A server in memory that keeps ZooKeeper's promises, and breaks one of them when it is told to.
//!
//! It knows as much as the scenarios use: sessions that expire, nodes, watches. A thread for each
//! connection takes the one lock, answers, and sends events before it gives the lock back, so what
//! is written to a socket has the order that is promised.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use menagerie_wire::data::Stat;
use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::jute::{Decode as _, Encode as _, Put as _};
use menagerie_wire::proto::{
    AddWatchMode, ConnectRequest, ConnectResponse, Create, CreateFlags, MultiHeader, MultiRequest,
    PASSWD_LEN, ReplyHeader, Request, RequestHeader, SetData, WriteOp,
};
use menagerie_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid, frame};

/// A promise that is broken, each time or now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Some events are not sent.
    LoseEvent,
    /// Some events are sent twice.
    DuplicateEvent,
    /// Some watches fire when they are set.
    EarlyEvent,
    /// Some events are sent behind the next reply.
    LateEvent,
    /// Some events are of another kind.
    WrongKind,
    /// Some events carry the zxid of another change.
    WrongZxid,
    /// Some lists of children show only the last.
    HideChildren,
    /// Sessions expire after half of their time.
    ExpireEarly,
    /// Sessions never expire.
    ExpireNever,
    /// Who comes back with a session gets another one.
    ForgetSession,
    /// Some sessions get the id of the one before.
    SameSession,
    /// Some setData are acknowledged and not done.
    LoseWrite,
}

/// One in so many chances shows the flaw.
const FLAWED: u64 = 7;

const PAYLOAD_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Fake {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    /// There is one more session, or the world is over.
    changed: Condvar,
}

struct World {
    over: bool,
    flaw: Flaw,
    chances: u64,
    zxid: i64,
    last_session: i64,
    nodes: BTreeMap<String, Node>,
    sessions: HashMap<i64, Session>,
    watches: Vec<Watch>,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    version: i32,
    owner: i64,
    created: i32,
}

struct Session {
    timeout: Duration,
    heard: Instant,
    socket: TcpStream,
    /// Sent behind the next reply.
    late: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Children,
    Persistent,
    Recursive,
}

#[derive(Clone, PartialEq, Eq)]
struct Watch {
    kind: Kind,
    path: String,
    session: i64,
}

impl Fake {
    pub(crate) fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let world = Mutex::new(World {
            over: false,
            flaw,
            chances: 0,
            zxid: 0,
            last_session: 0,
            nodes: BTreeMap::from([("/".to_owned(), Node::default())]),
            sessions: HashMap::new(),
            watches: Vec::new(),
        });
        let shared = Arc::new(Shared { world, changed: Condvar::new() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                // Ends with an error when the client goes away.
                std::thread::spawn(move || drop(serve(&shared, socket)));
            }
        });
        let expiring = Arc::clone(&shared);
        std::thread::spawn(move || expire_in_time(&expiring));
        Self { address, shared }
    }

    /// Paths of all nodes but the root.
    pub(crate) fn paths(&self) -> Vec<String> {
        let world = self.shared.world.lock().unwrap();
        world.nodes.keys().filter(|path| *path != "/").cloned().collect()
    }

    /// Whether any node was set.
    pub(crate) fn was_written(&self) -> bool {
        self.shared.world.lock().unwrap().nodes.values().any(|node| node.version > 0)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.world.lock().unwrap().over = true;
        self.shared.changed.notify_all();
    }
}

/// Ends sessions when their time is over.
fn expire_in_time(shared: &Shared) {
    let mut world = shared.world.lock().unwrap();
    while !world.over {
        world = match world.expire() {
            Some(rest) => shared.changed.wait_timeout(world, rest).unwrap().0,
            None => shared.changed.wait(world).unwrap(),
        };
    }
}

fn serve(shared: &Shared, mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut head = [0; 4];
    socket.read_exact(&mut head)?;
    if head == *b"srvr" {
        return socket.write_all(b"Mode: follower\n");
    }
    let hello = read_payload(&mut socket, head)?;
    let mine = socket.try_clone()?;
    let session = shared.world.lock().unwrap().connect(&hello, mine)?;
    shared.changed.notify_all();
    loop {
        let payload = read_frame(&mut socket)?;
        if !shared.world.lock().unwrap().answer(session, &payload)? {
            return Ok(());
        }
    }
}

fn read_frame(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    socket.read_exact(&mut head)?;
    read_payload(socket, head)
}

fn read_payload(socket: &mut TcpStream, head: [u8; 4]) -> io::Result<Vec<u8>> {
    let length = i32::from_be_bytes(head) as usize;
    // A four-letter word is no length.
    if length > PAYLOAD_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload)?;
    Ok(payload)
}

type Outcome = Result<Vec<u8>, ErrorCode>;

impl World {
    /// Whether the flaw shows this time.
    fn flawed(&mut self, flaw: Flaw) -> bool {
        if self.flaw != flaw {
            return false;
        }
        self.chances += 1;
        self.chances.is_multiple_of(FLAWED)
    }

    fn connect(&mut self, hello: &[u8], mut socket: TcpStream) -> io::Result<i64> {
        let request = ConnectRequest::from_bytes(hello).unwrap();
        let timeout = Duration::from_millis(request.timeout_ms as u64);
        let mut id = request.session_id.0;
        let known = self.sessions.contains_key(&id);
        let mut response = ConnectResponse::expired(request.read_only);
        if id == 0 || known {
            if id == 0 || self.flaw == Flaw::ForgetSession {
                self.last_session += i64::from(!self.flawed(Flaw::SameSession));
                id = self.last_session;
            }
            response = ConnectResponse {
                timeout_ms: request.timeout_ms,
                session_id: SessionId(id),
                passwd: [7; PASSWD_LEN],
                read_only: request.read_only,
            };
            let mine = socket.try_clone()?;
            let session = Session { timeout, heard: Instant::now(), socket: mine, late: vec![] };
            self.sessions.insert(id, session);
        }
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &response);
        socket.write_all(&bytes)?;
        Ok(id)
    }

    /// Answers one request; false when the session is over.
    fn answer(&mut self, id: i64, payload: &[u8]) -> io::Result<bool> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(false) };
        session.heard = Instant::now();
        let (header, body) = payload.split_at(8);
        let header = RequestHeader::from_bytes(header).unwrap();
        let op = OpCode::try_from(header.op).unwrap();
        let request = Request::decode(op, body).unwrap();
        let outcome = self.execute(id, &request);
        let mut reply = Vec::new();
        frame::put_with(&mut reply, |out| {
            let err = outcome.as_ref().err().map_or(0, |code| *code as i32);
            let xid = if op == OpCode::Ping { Xid::PING } else { header.xid };
            ReplyHeader { xid, zxid: Zxid(self.zxid), err }.encode(out);
            out.extend(outcome.unwrap_or_default());
        });
        if let Some(session) = self.sessions.get_mut(&id) {
            reply.append(&mut session.late);
            session.socket.write_all(&reply)?;
        }
        if op == OpCode::CloseSession {
            self.end_session(id);
        }
        Ok(op != OpCode::CloseSession)
    }

    fn execute(&mut self, id: i64, request: &Request<'_>) -> Outcome {
        match request {
            Request::Create(_, create) => self.create(id, create).map(|path| string(&path)),
            Request::Delete(delete) => self.delete(&delete.path).map(|()| Vec::new()),
            Request::SetData(set) => self.set_data(set),
            Request::Multi(multi) => self.multi(id, multi),
            Request::Exists(read) => {
                let stat = self.stat(&read.path);
                let there = stat.is_ok();
                self.watch(id, Kind::Data, &read.path, read.watch);
                if there { stat } else { Err(ErrorCode::NoNode) }
            }
            Request::GetData(read) => {
                let stat = self.stat(&read.path)?;
                let mut body = Vec::new();
                body.put_buffer(Some(&self.nodes[&*read.path].data));
                body.extend(stat);
                self.watch(id, Kind::Data, &read.path, read.watch);
                Ok(body)
            }
            Request::GetChildren(read) => {
                self.watch(id, Kind::Children, &read.path, read.watch);
                self.children(&read.path)
            }
            Request::AddWatch(Some(path), mode) => {
                let recursive = *mode == AddWatchMode::PersistentRecursive;
                let kind = if recursive { Kind::Recursive } else { Kind::Persistent };
                self.watch(id, kind, path, true);
                Ok(Vec::new())
            }
            Request::Sync(Some(path)) => Ok(string(path)),
            Request::Ping | Request::CloseSession => Ok(Vec::new()),
            other => panic!("no scenario sends {other:?}"),
        }
    }

    fn multi(&mut self, id: i64, multi: &MultiRequest<'_>) -> Outcome {
        let mut body = Vec::new();
        for op in &multi.ops {
            let (code, result) = match op {
                WriteOp::Create(code, create) => (*code, string(&self.create(id, create)?)),
                WriteOp::Delete(delete) => {
                    self.delete(&delete.path)?;
                    (OpCode::Delete, Vec::new())
                }
                WriteOp::SetData(set) => (OpCode::SetData, self.set_data(set)?),
                WriteOp::Check(_) => (OpCode::Check, Vec::new()),
            };
            MultiHeader { op: code as i32, done: false, err: 0 }.encode(&mut body);
            body.extend(result);
        }
        MultiHeader::END.encode(&mut body);
        Ok(body)
    }

    fn create(&mut self, id: i64, create: &Create<'_>) -> Result<String, ErrorCode> {
        let flags = CreateFlags::try_from(create.flags).unwrap();
        let (parent, mut path) = (parent(&create.path), create.path.clone().into_owned());
        let number = self.nodes.get(&parent).ok_or(ErrorCode::NoNode)?.created;
        if flags.is_sequential() {
            path = format!("{path}{number:010}");
        }
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        self.zxid += 1;
        let owner = if flags.is_ephemeral() { id } else { 0 };
        let data = create.data.unwrap_or_default().to_vec();
        self.nodes.insert(path.clone(), Node { data, owner, ..Node::default() });
        self.nodes.get_mut(&parent).unwrap().created += 1;
        self.fire(EventType::NodeCreated, &path);
        self.fire(EventType::NodeChildrenChanged, &parent);
        Ok(path)
    }

    fn delete(&mut self, path: &str) -> Result<(), ErrorCode> {
        self.nodes.remove(path).ok_or(ErrorCode::NoNode)?;
        self.zxid += 1;
        self.fire(EventType::NodeDeleted, path);
        self.fire(EventType::NodeChildrenChanged, &parent(path));
        Ok(())
    }

    fn set_data(&mut self, set: &SetData<'_>) -> Outcome {
        let path = set.path.as_deref().unwrap();
        let lost = self.flawed(Flaw::LoseWrite);
        let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        if set.version >= 0 && set.version != node.version {
            return Err(ErrorCode::BadVersion);
        }
        if !lost {
            node.data = set.data.unwrap_or_default().to_vec();
            node.version += 1;
        }
        self.zxid += 1;
        self.fire(EventType::NodeDataChanged, path);
        self.stat(path)
    }

    fn stat(&self, path: &str) -> Outcome {
        let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
        let stat = Stat {
            version: node.version,
            ephemeral_owner: SessionId(node.owner),
            data_length: node.data.len() as i32,
            num_children: self.names(path).len() as i32,
            ..Stat::default()
        };
        Ok(stat.to_bytes())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let names = self.nodes.keys().filter_map(|node| node.strip_prefix(&prefix));
        names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }

    fn children(&mut self, path: &str) -> Outcome {
        let mut names = self.names(path);
        if names.len() > 1 && self.flawed(Flaw::HideChildren) {
            names.drain(..names.len() - 1);
        }
        // No order is promised.
        names.reverse();
        let mut body = Vec::new();
        body.put_int(names.len() as i32);
        names.iter().for_each(|name| body.put_string(name));
        Ok(body)
    }

    fn watch(&mut self, session: i64, kind: Kind, path: &str, wanted: bool) {
        let watch = Watch { kind, path: path.to_owned(), session };
        if wanted && !self.watches.contains(&watch) {
            self.watches.push(watch);
            if self.flawed(Flaw::EarlyEvent) {
                self.send(session, EventType::NodeDataChanged, path);
            }
        }
    }

    fn fire(&mut self, event: EventType, path: &str) {
        let of_children = event == EventType::NodeChildrenChanged;
        let meant = |watch: &Watch| match watch.kind {
            Kind::Data => !of_children && watch.path == path,
            Kind::Children => {
                (of_children || event == EventType::NodeDeleted) && watch.path == path
            }
            Kind::Persistent => watch.path == path,
            Kind::Recursive => {
                let below = path.strip_prefix(&*watch.path).is_some_and(|p| p.starts_with('/'));
                !of_children && (below || watch.path == path)
            }
        };
        let fired: Vec<_> = self.watches.iter().filter(|watch| meant(watch)).cloned().collect();
        let one_shot = |watch: &Watch| matches!(watch.kind, Kind::Data | Kind::Children);
        self.watches.retain(|watch| !(meant(watch) && one_shot(watch)));
        for watch in fired {
            self.send(watch.session, event, path);
        }
    }

    fn send(&mut self, session: i64, kind: EventType, path: &str) {
        let times = if self.flawed(Flaw::LoseEvent) {
            0
        } else if self.flawed(Flaw::DuplicateEvent) {
            2
        } else {
            1
        };
        let kind = if self.flawed(Flaw::WrongKind) { EventType::NodeCreated } else { kind };
        let zxid = self.zxid + i64::from(self.flawed(Flaw::WrongZxid));
        let late = self.flawed(Flaw::LateEvent);
        let Some(session) = self.sessions.get_mut(&session) else { return };
        for _ in 0..times {
            let mut event = Vec::new();
            frame::put(&mut event, &WatcherEvent { zxid: Zxid(zxid), kind, path });
            if late {
                session.late.extend(event);
            } else {
                // A client that is gone needs no event.
                let _ = session.socket.write_all(&event);
            }
        }
    }

    /// Ends what is due; the answer is how long the next session has, if nothing is heard of it.
    fn expire(&mut self) -> Option<Duration> {
        let part = match self.flaw {
            Flaw::ExpireEarly => 0.5,
            Flaw::ExpireNever => return None,
            _ => 1.0,
        };
        let due = |session: &Session| session.heard + session.timeout.mul_f64(part);
        let now = Instant::now();
        let expired = self.sessions.iter().filter(|(_, session)| due(session) <= now);
        let expired: Vec<i64> = expired.map(|(id, _)| *id).collect();
        for id in expired {
            self.end_session(id);
        }
        self.sessions.values().map(|session| due(session) - now).min()
    }

    fn end_session(&mut self, id: i64) {
        if let Some(session) = self.sessions.remove(&id) {
            // It may be closed already.
            let _ = session.socket.shutdown(std::net::Shutdown::Both);
        }
        self.watches.retain(|watch| watch.session != id);
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == id);
        let owned: Vec<_> = owned.map(|(path, _)| path.clone()).collect();
        for path in owned {
            self.delete(&path).unwrap();
        }
    }
}

fn parent(path: &str) -> String {
    let end = path.rfind('/').unwrap();
    path[..end.max(1)].to_owned()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_string(text);
    bytes
}
