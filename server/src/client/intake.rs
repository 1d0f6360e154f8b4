//! Received bytes become requests, and requests find their way.
//!
//! A frame is cut where it was received; only an unfinished one is kept. What a request needs
//! decides its way: writes and syncs go to the sequencer, everything else is answered here, at
//! once or behind what the connection still owes. Auth packets, unknown opcodes and refusals for
//! missing authentication are answered ahead of what is owed, as Apache's reader thread does.
//!
//! Facts: ZooKeeper `ZooKeeperServer.processPacket`, `NIOServerCnxn`; spec sections 1, 5, 15, 20.

use menagerie_engine::access;
use menagerie_wire::frame::{self, Cut};
use menagerie_wire::proto::{Request, RequestHeader};
use menagerie_wire::{Decode, ErrorCode, OpCode, Reader, Xid, Zxid};

use crate::client::connection::{IDS_MAX, Phase, Slot};
use crate::client::shard::Shard;
use crate::sequencer::message::{Sync, ToSequencer, Write};

/// Which way a request goes.
enum Way {
    Write,
    Sync,
    Close,
    Auth,
    Sasl,
    /// Answered by this shard.
    Local,
    /// No request at all.
    Unknown,
}

const fn way(op: OpCode) -> Way {
    match op {
        OpCode::Sync => Way::Sync,
        OpCode::CloseSession => Way::Close,
        OpCode::Auth => Way::Auth,
        OpCode::Sasl => Way::Sasl,
        OpCode::Check | OpCode::DeleteContainer | OpCode::CreateSession | OpCode::Error => {
            Way::Unknown
        }
        _ if op.is_write() => Way::Write,
        _ => Way::Local,
    }
}

impl Shard {
    /// Bytes have come from a client.
    pub fn receive(&mut self, index: u32, bytes: &[u8]) {
        self.counters.bytes_received += bytes.len() as u64;
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.held.is_empty() {
            let used = self.consume(index, bytes);
            self.hold(index, &bytes[used..]);
            return;
        }
        connection.held.extend_from_slice(bytes);
        self.consume_held(index);
    }

    /// Works off what was held back.
    pub(crate) fn consume_held(&mut self, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let held = std::mem::take(&mut connection.held);
        let start = std::mem::take(&mut connection.held_start);
        let used = start + self.consume(index, &held[start..]);
        let Some(connection) = self.connections.at_mut(index) else { return };
        if used < held.len() && connection.phase != Phase::Closing {
            connection.hold_again(held, used);
        }
    }

    fn hold(&mut self, index: u32, rest: &[u8]) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if !rest.is_empty() && connection.phase != Phase::Closing {
            connection.held.extend_from_slice(rest);
        }
    }

    /// Takes whole frames from the front of `bytes` and returns how much of it they were.
    fn consume(&mut self, index: u32, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(connection) = self.connections.at(index) else { return bytes.len() };
            let payload_bytes_max = match connection.phase {
                Phase::Connecting { .. } => return used,
                Phase::Asking | Phase::Closing => return bytes.len(),
                Phase::Fresh => {
                    if self.take_word(index, rest) {
                        return bytes.len();
                    }
                    super::handshake::HANDSHAKE_BYTES_MAX
                }
                Phase::Open if connection.has_said_goodbye() => return bytes.len(),
                Phase::Open if !self.may_take_from(connection) => return used,
                Phase::Open => self.settings.frame_bytes_max,
            };
            match frame::cut(rest, payload_bytes_max) {
                Ok(Cut::Frame(payload)) => {
                    used += frame::LENGTH_BYTES + payload.len();
                    self.on_frame(index, payload);
                }
                Ok(Cut::Missing(_)) => return used,
                Err(error) => {
                    tracing::debug!("closing connection {index}: {error}");
                    self.counters.large_requests_rejected += u64::from(error.len > 0);
                    self.end_at(index);
                    return bytes.len();
                }
            }
        }
    }

    fn on_frame(&mut self, index: u32, payload: &[u8]) {
        self.counters.packets_received += 1;
        let Some(connection) = self.connections.at_mut(index) else { return };
        connection.traffic.received += 1;
        if connection.phase == Phase::Fresh {
            self.on_handshake(index, payload);
            return;
        }
        let mut reader = Reader::new(payload);
        match RequestHeader::decode(&mut reader) {
            Ok(header) => self.on_request(index, header, reader.rest()),
            Err(_) => self.end_at(index),
        }
    }

    fn on_request(&mut self, index: u32, header: RequestHeader, body: &[u8]) {
        let xid = header.xid;
        let op = OpCode::try_from(header.op).unwrap_or(OpCode::Error);
        let way = way(op);
        if !matches!(way, Way::Auth | Way::Sasl) && !self.is_authenticated(index) {
            let code = ErrorCode::SessionClosedRequireSaslAuth;
            self.refuse_and_end(index, xid, Zxid::ZERO, code);
            return;
        }
        match way {
            Way::Unknown => self.refuse_and_end(index, xid, Zxid::NONE, ErrorCode::Unimplemented),
            Way::Auth => self.on_auth(index, xid, body),
            Way::Sasl => self.on_sasl(index, xid, body),
            Way::Close => {
                self.touch(index);
                self.on_close_session(index, xid);
            }
            Way::Write | Way::Sync => {
                self.touch(index);
                match Request::decode(op, body) {
                    Ok(request) if self.refused_here(index, xid, op, &request) => {}
                    Ok(_) => self.submit(index, xid, op, body),
                    Err(_) => self.answer_or_park(index, xid, op, body),
                }
            }
            Way::Local => {
                self.touch(index);
                self.answer_or_park(index, xid, op, body);
            }
        }
    }

    /// With enforced authentication, whether one of the schemes is proved.
    fn is_authenticated(&self, index: u32) -> bool {
        let enforced = &self.settings.enforced_schemes;
        let proved = |scheme: &str| enforced.iter().any(|wanted| **wanted == *scheme);
        enforced.is_empty()
            || self
                .connections
                .at(index)
                .is_some_and(|connection| connection.ids.iter().any(|id| proved(&id.scheme)))
    }

    fn refuse_and_end(&mut self, index: u32, xid: Xid, zxid: Zxid, code: ErrorCode) {
        self.counters.packets_sent += 1;
        self.counters.connections_dropped += 1;
        self.put_error(index, xid, zxid, code);
        self.end_at(index);
    }

    /// Sends a write or sync to the sequencer and owes its answer.
    fn submit(&mut self, index: u32, xid: Xid, op: OpCode, body: &[u8]) {
        let since_us = self.now.monotonic_us;
        let Some(connection) = self.connections.at_mut(index) else { return };
        let session = connection.session;
        let seal_before = connection.parked > 0;
        let body_bytes = body.len();
        let body = self.bodies.keep(body);
        let Some(key) = self.key_at(index) else { return };
        if op == OpCode::Sync {
            self.owe(index, Slot::Sync { xid, body: Box::from(&*body), since_us });
            self.outbox.push(ToSequencer::Sync(Sync { connection: key, session, xid, body }));
        } else {
            self.owe(index, Slot::Write { xid, op, body_bytes, since_us });
            let write = Write { connection: key, session, xid, op, body, seal_before };
            self.outbox.push(ToSequencer::Write(write));
        }
    }

    fn answer_or_park(&mut self, index: u32, xid: Xid, op: OpCode, body: &[u8]) {
        let since_us = self.now.monotonic_us;
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.slots.is_empty() {
            self.answer_local(index, xid, op, body, since_us);
        } else {
            self.owe(index, Slot::Parked { xid, op, body: body.into(), since_us });
        }
    }

    fn on_close_session(&mut self, index: u32, xid: Xid) {
        let Some(key) = self.key_at(index) else { return };
        let Some(connection) = self.connections.at(index) else { return };
        let (session, seal_before) = (connection.session, connection.parked > 0);
        self.owe(index, Slot::Close { since_us: self.now.monotonic_us });
        self.outbox.push(ToSequencer::Close { connection: key, session, xid, seal_before });
    }

    fn on_auth(&mut self, index: u32, xid: Xid, body: &[u8]) {
        let Ok(Request::Auth(packet)) = Request::decode(OpCode::Auth, body) else {
            self.end_at(index);
            return;
        };
        let Some(connection) = self.connections.at_mut(index) else { return };
        let super_digest = self.settings.super_digest.as_deref();
        let peer = connection.peer.ip();
        match access::authenticate(packet.scheme.as_deref(), packet.auth, super_digest, peer) {
            Ok(ids) if connection.ids.len() + ids.len() <= IDS_MAX => {
                for id in ids {
                    if !connection.ids.contains(&id) {
                        connection.ids.push(id);
                    }
                }
                let ids = connection.ids.clone().into_boxed_slice();
                let session = connection.session;
                let Some(key) = self.key_at(index) else { return };
                self.outbox.push(ToSequencer::Identify { connection: key, session, ids });
                self.counters.packets_sent += 1;
                self.put_reply(index, xid, Zxid::ZERO, |_| {});
            }
            Ok(_) | Err(_) => {
                self.counters.auth_failures += 1;
                self.refuse_and_end(index, xid, Zxid::ZERO, ErrorCode::AuthFailed);
            }
        }
    }

    /// A server without SASL answers every token with null and success.
    fn on_sasl(&mut self, index: u32, xid: Xid, body: &[u8]) {
        use menagerie_wire::jute::Put;
        match Request::decode(OpCode::Sasl, body) {
            Ok(Request::Sasl(Some(_))) => {
                self.put_reply(index, xid, Zxid::ZERO, |out| out.put_buffer(None));
            }
            _ => self.end_at(index),
        }
    }
}
