//! The first bytes of a connection: a four-letter word, or the request for a session.
//!
//! A wrong password is found here, before anybody else hears of it, so that it does no harm to
//! the session's owner (Apache disconnects the owner first). A client that has seen more than this
//! server is turned away without a word, as it must try another one and keep its session.
//!
//! Facts: ZooKeeper `ZooKeeperServer.processConnectRequest`; spec section 3.

use menagerie_wire::four_letter::FourLetterWord;
use menagerie_wire::frame;
use menagerie_wire::proto::{ConnectRequest, ConnectResponse};
use menagerie_wire::{Decode, SessionId};

use crate::client::connection::Phase;
use crate::client::shard::{Shard, Word};
use crate::sequencer::message::{ConnectionKey, ToSequencer};

/// The largest handshake: a real one has 45 bytes.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 1 << 10;

/// Bytes of the argument of `stmk`.
const STMK_ARGUMENT_BYTES: usize = 8;

impl Shard {
    /// Recognises a four-letter word at the start of a connection.
    pub(super) fn take_word(&mut self, index: u32, received: &[u8]) -> bool {
        let Some((head, rest)) = received.split_first_chunk::<4>() else { return false };
        let Some(word) = FourLetterWord::from_bytes(*head) else { return false };
        let Some(connection) = self.key_at(index) else { return false };
        let argument = rest[..rest.len().min(STMK_ARGUMENT_BYTES)].to_vec();
        self.words.push(Word { connection, word, argument });
        if let Some(connection) = self.connections.at_mut(index) {
            connection.phase = Phase::Asking;
        }
        true
    }

    /// Answers a four-letter word and ends its connection.
    pub fn answer_word(&mut self, connection: ConnectionKey, text: &str) {
        if let Some(found) = self.connections.find(connection) {
            found.unsent.end(&mut self.spares).extend_from_slice(text.as_bytes());
            self.end(connection);
        }
    }

    pub(super) fn on_handshake(&mut self, index: u32, payload: &[u8]) {
        // ZooKeeper: NIOServerCnxn.readLength, "ZooKeeperServer not running".
        if !self.serving {
            self.end_at(index);
            return;
        }
        self.counters.connection_requests += 1;
        let Ok(request) = ConnectRequest::from_bytes(payload) else {
            self.end_at(index);
            return;
        };
        // A leader of Apache's tells clients the first zxid of its reign before anything has it.
        let known = self.last_zxid().max(self.since);
        if request.last_zxid_seen > known {
            tracing::info!(
                "turning a client away: it has seen {}, this server has {known}",
                request.last_zxid_seen,
            );
            self.end_at(index);
            return;
        }
        let (min, max) =
            (self.settings.session_timeout_ms_min, self.settings.session_timeout_ms_max);
        let timeout_ms = request.timeout_ms.max(min).min(max);
        let Some(key) = self.key_at(index) else { return };
        let Some(connection) = self.connections.at_mut(index) else { return };
        let since_us = self.now.monotonic_us;
        connection.phase = Phase::Connecting { read_only: request.read_only, since_us };
        let ids = connection.ids.clone().into_boxed_slice();
        let session = request.session_id;
        if session == SessionId::NONE {
            self.outbox.push(ToSequencer::Connect { connection: key, timeout_ms, ids });
        } else if self.settings.secret.verify(session, request.passwd) {
            let resume = ToSequencer::Resume { connection: key, session, timeout_ms, ids };
            self.outbox.push(resume);
        } else {
            self.refuse_session(key);
        }
    }

    /// The connection has its session: the client is told, and what it sent meanwhile is read.
    /// Returns when it has asked for it, if it is still there.
    pub(super) fn on_session(
        &mut self,
        key: ConnectionKey,
        session: SessionId,
        timeout_ms: i32,
    ) -> Option<u64> {
        let passwd = self.settings.secret.password(session);
        let phase = self.connections.find(key).map(|connection| &connection.phase);
        let Some(&Phase::Connecting { read_only, since_us }) = phase else {
            self.outbox.push(ToSequencer::Disconnected { connection: key, session });
            return None;
        };
        let connection = self.connections.find(key)?;
        connection.phase = Phase::Open;
        connection.session = session;
        connection.timeout_ms = timeout_ms;
        // A read-write server says so, whatever the client asked for.
        let read_only = read_only.map(|_| false);
        let response = ConnectResponse { timeout_ms, session_id: session, passwd, read_only };
        frame::put(connection.unsent.end(&mut self.spares), &response);
        connection.traffic.sent += 1;
        self.counters.packets_sent += 1;
        self.mark_dirty(key.index);
        Some(since_us)
    }

    /// "Your session is gone", then the end.
    pub(super) fn refuse_session(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.find(key) else { return };
        let Phase::Connecting { read_only, .. } = connection.phase else { return };
        let response = ConnectResponse::expired(read_only.map(|_| false));
        frame::put(connection.unsent.end(&mut self.spares), &response);
        self.end(key);
    }
}
