//! `echo`: the limit to compare with. A server that answers in the right sizes and keeps nothing.
//!
//! One thread and one epoll, one read and one write per wake: what a server of this protocol costs
//! before it does any of its work. It plays every request that a scenario sends; `mixed` must be
//! told not to judge the answers (`--unchecked`). It serves until it is killed.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};

use clap::Args;
use menagerie_wire::data::Stat;
use menagerie_wire::frame;
use menagerie_wire::jute::{Decode as _, Encode as _, JuteError, Put as _, Reader};
use menagerie_wire::proto::{
    ConnectRequest, ConnectResponse, PASSWD_LEN, ReplyHeader, RequestHeader,
};
use menagerie_wire::{OpCode, SessionId, Xid, Zxid};

use crate::Scenario;
use crate::error::BenchError;
use crate::framed::{Framed, Received, Scratch};
use crate::poller::{Poller, Ready};
use crate::report::Report;

#[derive(Args, Clone, Debug)]
pub struct Echo {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Size of the data in every answer to getData
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
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
            value: vec![b'm'; self.value_bytes as usize],
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
    /// Slots by token. One that is empty is reused by the next connection.
    peers: Vec<Option<Peer>>,
    value: Vec<u8>,
}

struct Peer {
    framed: Framed,
    has_session: bool,
}

impl Server {
    fn serve(mut self) -> Result<Report, BenchError> {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(None, &mut ready)?;
            for &edge in &ready {
                if edge.token == LISTENER {
                    self.accept()?;
                } else if !self.answer(edge) {
                    self.peers[edge.token] = None;
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), BenchError> {
        // Ends with `WouldBlock`, or with an error of one connection that is gone again.
        while let Ok((socket, _)) = self.listener.accept() {
            let Ok(framed) = Framed::new(socket) else { continue };
            let free = self.peers.iter().position(Option::is_none);
            let token = free.unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            self.poller.register(framed.socket(), token)?;
            self.peers[token] = Some(Peer { framed, has_session: false });
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
                        if !answer_frames(peer, &self.scratch, len, &self.value) {
                            return false;
                        }
                        if !more && !edge.hung_up {
                            break;
                        }
                    }
                }
            }
        }
        peer.framed.flush().is_ok()
    }
}

/// Answers every whole frame; false when the peer does not speak the protocol.
fn answer_frames(peer: &mut Peer, scratch: &Scratch, len: usize, value: &[u8]) -> bool {
    let mut frames = scratch.frames(len);
    loop {
        let payload = match frames.cut() {
            Err(_) => return false,
            Ok(None) => break,
            Ok(Some(payload)) => payload,
        };
        let out = peer.framed.out();
        let answered = if peer.has_session {
            answer_request(payload, value, out)
        } else {
            peer.has_session = true;
            open_session(payload, out)
        };
        if answered.is_err() {
            return false;
        }
    }
    peer.framed.keep(frames.rest());
    true
}

fn open_session(payload: &[u8], out: &mut Vec<u8>) -> Result<(), JuteError> {
    let request = ConnectRequest::from_bytes(payload)?;
    let response = ConnectResponse {
        timeout_ms: SESSION_TIMEOUT_MS,
        session_id: SessionId(1),
        passwd: [0; PASSWD_LEN],
        read_only: request.read_only,
    };
    frame::put(out, &response);
    Ok(())
}

fn answer_request(payload: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), JuteError> {
    let mut reader = Reader::new(payload);
    let RequestHeader { xid, op } = RequestHeader::decode(&mut reader)?;
    let op = OpCode::try_from(op)?;
    let xid = if op == OpCode::Ping { Xid::PING } else { xid };
    let path = if op == OpCode::Create { reader.buffer()? } else { None };
    frame::put_with(out, |out| {
        ReplyHeader { xid, zxid: Zxid(1), err: 0 }.encode(out);
        match op {
            OpCode::GetData => {
                out.put_buffer(Some(value));
                Stat::default().encode(out);
            }
            OpCode::SetData | OpCode::Exists => Stat::default().encode(out),
            OpCode::Create => out.put_buffer(path),
            _ => {}
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use menagerie_wire::proto::PathWatch;

    #[test]
    fn a_read_is_answered_in_its_real_size() {
        let mut request = Vec::new();
        RequestHeader { xid: Xid(7), op: OpCode::GetData as i32 }.encode(&mut request);
        PathWatch { path: "/a".into(), watch: false }.encode(&mut request);
        let mut out = Vec::new();
        assert_eq!(answer_request(&request, &[0; 1024], &mut out), Ok(()));
        assert_eq!(out.len(), frame::LENGTH_BYTES + ReplyHeader::LEN + 4 + 1024 + Stat::LEN);
    }

    #[test]
    fn an_unknown_request_ends_the_connection() {
        let mut request = Vec::new();
        RequestHeader { xid: Xid(7), op: 4711 }.encode(&mut request);
        let answered = answer_request(&request, &[], &mut Vec::new());
        assert_eq!(answered, Err(JuteError::Unknown(4711, "opcode")));
    }
}
