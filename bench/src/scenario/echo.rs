//! `echo`: the limit to compare with. A server that answers in the right sizes and keeps nothing.
//!
//! One thread and one epoll, one read and one write per wake: what a server of this protocol costs
//! before it does any of its work. It plays the requests of `mixed`, `watch` and the storms of
//! `sessions`, which must be told not to judge the values (`--unchecked`). Of all state it keeps
//! only what shapes the traffic: the count of writes, as zxid, and the table of watches. It serves
//! until it is killed.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use clap::Args;
use menagerie_wire::data::Stat;
use menagerie_wire::frame;
use menagerie_wire::jute::{Decode as _, Encode as _, JuteError, Put as _, Reader};
use menagerie_wire::proto::{
    ConnectRequest, ConnectResponse, PASSWD_LEN, ReplyHeader, RequestHeader,
};
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use self::watches::{Watcher, Watches};

use crate::Scenario;
use crate::error::BenchError;
use crate::framed::{Framed, Received, Scratch};
use crate::poller::{Poller, Ready};
use crate::report::Report;

mod watches;

#[derive(Args, Clone, Debug)]
pub struct Echo {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Size of the data in every answer to getData
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
    /// What `srvr` shall say, for an ensemble of such servers
    #[arg(long, default_value = "standalone")]
    mode: String,
}

impl Scenario for Echo {
    fn run(&self) -> Result<Report, BenchError> {
        let listen = |source| BenchError::Connect { server: self.listen, source };
        let listener = TcpListener::bind(self.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        writeln!(io::stdout(), "menagerie-bench: echo on {address}").map_err(listen)?;
        let poller = Poller::new()?;
        poller.register(&listener, LISTENER)?;
        Server {
            listener,
            poller,
            scratch: Scratch::default(),
            peers: Vec::new(),
            free: Vec::new(),
            state: State {
                value: vec![b'm'; self.value_bytes as usize],
                srvr: format!("Mode: {}\n", self.mode),
                sessions: 0,
                zxid: Zxid::ZERO,
                watches: Watches::default(),
                events: Vec::new(),
            },
        }
        .serve()
    }
}

/// The listener's token; a peer's is its index.
const LISTENER: usize = usize::MAX;
/// Granted to every session, none of which ever expires.
const SESSION_TIMEOUT_MS: i32 = 30_000;

struct Server {
    listener: TcpListener,
    poller: Poller,
    scratch: Scratch,
    /// Slots by token.
    peers: Vec<Option<Peer>>,
    /// Slots that the next connections reuse.
    free: Vec<usize>,
    state: State,
}

struct Peer {
    framed: Framed,
    session: Option<SessionId>,
    /// What watches remember: the slot, and the session that it was for.
    slot: usize,
    closing: bool,
}

/// What answers are made of.
struct State {
    value: Vec<u8>,
    srvr: String,
    /// Sessions that were opened so far.
    sessions: i64,
    /// Writes so far.
    zxid: Zxid,
    watches: Watches,
    /// Events that the last requests fired, to be queued for their watchers.
    events: Vec<(Watcher, Rc<[u8]>)>,
}

impl Server {
    fn serve(mut self) -> Result<Report, BenchError> {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(None, &mut ready)?;
            for &edge in &ready {
                if edge.token == LISTENER {
                    self.accept()?;
                } else if !self.answer(edge) && self.peers[edge.token].take().is_some() {
                    self.free.push(edge.token);
                }
                self.send_events();
            }
        }
    }

    fn accept(&mut self) -> Result<(), BenchError> {
        // Ends with `WouldBlock`, or with an error of one connection that is gone again.
        while let Ok((socket, _)) = self.listener.accept() {
            let Ok(framed) = Framed::new(socket) else { continue };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            self.poller.register(framed.socket(), slot)?;
            self.peers[slot] = Some(Peer { framed, session: None, slot, closing: false });
        }
        Ok(())
    }

    /// Answers what has arrived; false when the connection is over.
    fn answer(&mut self, edge: Ready) -> bool {
        let Some(peer) = &mut self.peers[edge.token] else { return true };
        if edge.readable || edge.hung_up {
            loop {
                match peer.framed.receive(&mut self.scratch) {
                    Err(_) => return false,
                    Ok(Received::Nothing) => break,
                    Ok(Received::Bytes { len, more }) => {
                        if !answer_frames(peer, &self.scratch, len, &mut self.state) {
                            return false;
                        }
                        if !more && !edge.hung_up {
                            break;
                        }
                    }
                }
            }
        }
        peer.framed.flush().is_ok() && !peer.closing
    }

    fn send_events(&mut self) {
        for (watcher, event) in &self.state.events {
            if let Some(peer) = self.peers.get_mut(watcher.slot).and_then(Option::as_mut)
                && peer.session == Some(watcher.session)
            {
                peer.framed.out().extend_from_slice(event);
            }
        }
        for (watcher, _) in self.state.events.drain(..) {
            if let Some(peer) = self.peers.get_mut(watcher.slot).and_then(Option::as_mut) {
                // A connection that is broken shows that on its next edge.
                let _ = peer.framed.flush();
            }
        }
    }
}

/// Answers every whole frame; false when the peer does not speak the protocol.
fn answer_frames(peer: &mut Peer, scratch: &Scratch, len: usize, state: &mut State) -> bool {
    let mut frames = scratch.frames(len);
    if peer.session.is_none() && frames.rest() == b"srvr" {
        peer.framed.out().extend_from_slice(state.srvr.as_bytes());
        peer.closing = true;
        return true;
    }
    loop {
        let payload = match frames.cut() {
            Err(_) => return false,
            Ok(None) => break,
            Ok(Some(payload)) => payload,
        };
        let answered = match peer.session {
            Some(session) => {
                let watcher = Watcher { slot: peer.slot, session };
                state.answer(payload, watcher, peer.framed.out())
            }
            None => state.open_session(payload, peer.framed.out()).map(|session| {
                peer.session = Some(session);
                false
            }),
        };
        let Ok(closing) = answered else { return false };
        peer.closing |= closing;
    }
    peer.framed.keep(frames.rest());
    true
}

impl State {
    /// Grants what is asked for: a new session, or any old one.
    fn open_session(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<SessionId, JuteError> {
        let request = ConnectRequest::from_bytes(payload)?;
        let mut session_id = request.session_id;
        if session_id == SessionId::NONE {
            self.sessions += 1;
            session_id = SessionId(self.sessions);
        }
        let response = ConnectResponse {
            timeout_ms: SESSION_TIMEOUT_MS,
            session_id,
            passwd: [0; PASSWD_LEN],
            read_only: request.read_only,
        };
        frame::put(out, &response);
        Ok(session_id)
    }

    /// Answers a request; true when it was the last of its session.
    fn answer(
        &mut self,
        payload: &[u8],
        watcher: Watcher,
        out: &mut Vec<u8>,
    ) -> Result<bool, JuteError> {
        let mut reader = Reader::new(payload);
        let RequestHeader { xid, op } = RequestHeader::decode(&mut reader)?;
        let op = OpCode::try_from(op)?;
        let body = reader.rest();
        let path = if op == OpCode::Ping { None } else { reader.buffer()? };
        self.keep(op, path.unwrap_or_default(), body, watcher)?;
        let xid = if op == OpCode::Ping { Xid::PING } else { xid };
        frame::put_with(out, |out| {
            ReplyHeader { xid, zxid: self.zxid, err: 0 }.encode(out);
            match op {
                OpCode::GetData => {
                    out.put_buffer(Some(&self.value));
                    Stat::default().encode(out);
                }
                OpCode::SetData | OpCode::Exists => Stat::default().encode(out),
                OpCode::Create | OpCode::Sync => out.put_buffer(path),
                _ => {}
            }
        });
        Ok(op == OpCode::CloseSession)
    }

    /// Counts writes, sets watches and fires them.
    fn keep(
        &mut self,
        op: OpCode,
        path: &[u8],
        body: &[u8],
        watcher: Watcher,
    ) -> Result<(), JuteError> {
        match op {
            OpCode::Create | OpCode::Delete | OpCode::SetData | OpCode::Multi => {
                self.zxid = self.zxid.next();
            }
            OpCode::GetData | OpCode::AddWatch => self.watches.set(op, body, watcher)?,
            _ => {}
        }
        if op == OpCode::SetData {
            self.watches.fire(path, self.zxid, &mut self.events);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use menagerie_wire::event::{EventType, WatcherEvent};
    use menagerie_wire::proto::{PathWatch, SetData};

    const WATCHER: Watcher = Watcher { slot: 0, session: SessionId(1) };

    fn state() -> State {
        State {
            value: vec![0; 1024],
            srvr: String::new(),
            sessions: 0,
            zxid: Zxid::ZERO,
            watches: Watches::default(),
            events: Vec::new(),
        }
    }

    fn request(op: i32, body: &impl menagerie_wire::Encode) -> Vec<u8> {
        let mut request = Vec::new();
        RequestHeader { xid: Xid(7), op }.encode(&mut request);
        body.encode(&mut request);
        request
    }

    #[test]
    fn a_read_is_answered_in_its_real_size() {
        let body = PathWatch { path: "/a".into(), watch: false };
        let request = request(OpCode::GetData as i32, &body);
        let mut out = Vec::new();
        assert_eq!(state().answer(&request, WATCHER, &mut out), Ok(false));
        assert_eq!(out.len(), frame::LENGTH_BYTES + ReplyHeader::LEN + 4 + 1024 + Stat::LEN);
    }

    #[test]
    fn a_one_shot_watch_fires_once() {
        let mut state = state();
        let watch = PathWatch { path: "/a".into(), watch: true };
        let set = SetData { path: Some("/a".into()), data: None, version: -1 };
        let (watch, set) =
            (request(OpCode::GetData as i32, &watch), request(OpCode::SetData as i32, &set));
        for request in [&set, &watch, &set, &set] {
            assert_eq!(state.answer(request, WATCHER, &mut Vec::new()), Ok(false));
        }
        let (watcher, event) = &state.events[..][0];
        let event = WatcherEvent::from_bytes(&event[frame::LENGTH_BYTES..]).unwrap();
        let kind = EventType::NodeDataChanged;
        assert_eq!(event, WatcherEvent { zxid: Zxid(2), kind, path: "/a" });
        assert_eq!((*watcher, state.events.len()), (WATCHER, 1));
    }

    #[test]
    fn an_unknown_request_ends_the_connection() {
        let request = request(4711, &RequestHeader { xid: Xid(0), op: 0 });
        let answered = state().answer(&request, WATCHER, &mut Vec::new());
        assert_eq!(answered, Err(JuteError::Unknown(4711, "opcode")));
    }
}
