//! Answers: of this shard's own, and those that commits bring.
//!
//! A reply is written straight into the connection's buffer: header first with no error, then the
//! body from the tree; when the read is refused, the body is taken back and the code put in.

use menagerie_engine::txn::{Caller, OpResult, Outcome, eager, read};
use menagerie_wire::data::Stat;
use menagerie_wire::jute::jute_len;
use menagerie_wire::proto::{ReplyHeader, Request};
use menagerie_wire::{Encode, ErrorCode, OpCode, Xid, Zxid, frame};

use crate::admin::metrics::Namespaces;
use crate::client::connection::{Phase, Reply, Slot};
use crate::client::shard::Shard;
use crate::client::timing::{Answers, Way};
use crate::sequencer::message::ConnectionKey;

/// A ReplyHeader: xid, zxid, err.
const REPLY_HEADER_BYTES: usize = 16;
/// Reads behind one write may leave so many times the bytes that events may.
const PARKED_OUTPUTS: usize = 4;
/// The length of a buffer, a string or a list.
const LENGTH_BYTES: usize = 4;

/// Writes one framed reply. `fill` may refuse; whatever body it leaves then is sent with its code.
fn put_framed(
    out: &mut Vec<u8>,
    xid: Xid,
    zxid: Zxid,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let start = out.len();
    out.extend_from_slice(&[0; frame::LENGTH_BYTES]);
    ReplyHeader { xid, zxid, err: 0 }.encode(out);
    let body_start = out.len();
    let result = fill(out);
    if let Err(code) = result {
        out[body_start - 4..body_start].copy_from_slice(&code.code().to_be_bytes());
    }
    let len = jute_len(out.len() - start - frame::LENGTH_BYTES);
    out[start..start + frame::LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
    result
}

/// Counts a read by its namespace, from the body that answers it. What multiRead reads is not
/// counted.
// ZooKeeper: DataTree.getData, statNode, getChildren.
fn count_read(namespaces: &mut Namespaces, request: &Request<'_>, body: &[u8]) {
    let names_bytes = |stat_bytes: usize| {
        let names = body.first_chunk().map_or(0, |count| i32::from_be_bytes(*count));
        let lengths = (1 + usize::try_from(names).unwrap_or(0)) * LENGTH_BYTES;
        body.len().saturating_sub(lengths + stat_bytes)
    };
    let (path, bytes) = match request {
        Request::Exists(read) => (&read.path, 0),
        Request::GetData(read) => (&read.path, body.len().saturating_sub(LENGTH_BYTES + Stat::LEN)),
        Request::GetChildren(read) => (&read.path, names_bytes(0)),
        Request::GetChildren2(read) => (&read.path, names_bytes(Stat::LEN)),
        _ => return,
    };
    namespaces.record_read(path, bytes);
}

/// Whether the session had moved on to another connection when this write was judged. The client
/// is not told, as it would take it for an answer about where it is now: the connection ends.
// ZooKeeper: FinalRequestProcessor.processRequest, SessionMovedException.
const fn is_session_moved(outcome: &Outcome) -> bool {
    matches!(
        outcome.result,
        Err(ErrorCode::SessionMoved)
            | Ok(OpResult::MultiRefused { code: ErrorCode::SessionMoved, .. })
    )
}

impl Shard {
    /// Queues a reply that cannot fail.
    pub(super) fn put_reply(
        &mut self,
        index: u32,
        xid: Xid,
        zxid: Zxid,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        frame::put_with(connection.unsent.end(&mut self.spares), |out| {
            ReplyHeader { xid, zxid, err: 0 }.encode(out);
            fill(out);
        });
        self.mark_dirty(index);
    }

    /// Queues a refusal.
    pub(super) fn put_error(&mut self, index: u32, xid: Xid, zxid: Zxid, code: ErrorCode) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let header = ReplyHeader { xid, zxid, err: code.code() };
        frame::put(connection.unsent.end(&mut self.spares), &header);
        self.mark_dirty(index);
    }

    /// Answers a request that needs no other core.
    pub(super) fn answer_local(
        &mut self,
        index: u32,
        xid: Xid,
        op: OpCode,
        body: &[u8],
        since_us: u64,
    ) {
        let zxid = self.last_zxid();
        let before = self.unsent_len(index);
        match Request::decode(op, body) {
            Err(_) => self.put_error(index, xid, zxid, ErrorCode::MarshallingError),
            Ok(Request::Ping) => self.put_reply(index, Xid::PING, zxid, |_| {}),
            Ok(
                request @ (Request::SetWatches(_)
                | Request::AddWatch(..)
                | Request::CheckWatches(..)
                | Request::RemoveWatches(..)),
            ) => self.answer_watch_request(index, xid, zxid, &request),
            Ok(request) => self.answer_read(index, xid, zxid, &request),
        }
        self.answered(before, zxid, Answers::one(op, index, xid, since_us));
    }

    fn answer_read(&mut self, index: u32, xid: Xid, zxid: Zxid, request: &Request<'_>) {
        let Self { connections, root, settings, counters, spares, .. } = self;
        let Some(connection) = connections.at_mut(index) else { return };
        let caller = Caller { session: connection.session, ids: &connection.ids };
        let out = connection.unsent.end(spares);
        let body_start = out.len() + frame::LENGTH_BYTES + REPLY_HEADER_BYTES;
        let result = put_framed(out, xid, zxid, |out| {
            read::answer(root.view(), &settings.rules, &caller, request, out)
        });
        if result.is_ok() {
            count_read(&mut counters.namespaces, request, &out[body_start..]);
        }
        self.mark_dirty(index);
        self.arm(index, request, result);
    }

    /// Whether a write has been refused without asking anybody. Only while the connection owes
    /// nothing: then the root holds all that the session has done, and the refusal is in order.
    // ZooKeeper: ZooKeeperServer.authWriteRequest, which FollowerRequestProcessor and
    // LeaderRequestProcessor ask.
    pub(super) fn refused_here(
        &mut self,
        index: u32,
        xid: Xid,
        op: OpCode,
        request: &Request<'_>,
    ) -> bool {
        let Some(connection) = self.connections.at(index) else { return false };
        if !self.settings.eager_acl_check || !connection.slots.is_empty() {
            return false;
        }
        let caller = Caller { session: connection.session, ids: &connection.ids };
        let rules = &self.settings.rules;
        let Err(code) = eager::check(self.root.view(), rules, &caller, request) else {
            return false;
        };
        let before = self.unsent_len(index);
        self.put_error(index, xid, Zxid::ZERO, code);
        let since_us = self.now.monotonic_us;
        self.answered(before, Zxid::ZERO, Answers::one(op, index, xid, since_us));
        true
    }

    fn unsent_len(&self, index: u32) -> usize {
        self.connections.at(index).map_or(0, |connection| connection.unsent.bytes().len())
    }

    /// Counts a reply; `before` is what was unsent before it. Its time is counted when the turn
    /// ends.
    fn answered(&mut self, before: usize, zxid: Zxid, answers: Answers) {
        let Answers { op, index, xid, since_us, .. } = answers;
        let latency_us = self.now.monotonic_us.saturating_sub(since_us);
        let at_ms = self.now.monotonic_ms();
        let Some(connection) = self.connections.at_mut(index) else { return };
        let bytes = connection.unsent.bytes().len().saturating_sub(before);
        self.counters.record_reply(bytes);
        connection.traffic.sent += 1;
        connection.traffic.answered(Reply { op, xid, zxid, at_ms, latency_us });
        self.note(answers);
    }

    /// Answers what waits at the front of the queue for nothing but the root. All of it, whether
    /// the client reads or not: the next root would show these reads too much, and what the next
    /// commit answers stands behind them.
    ///
    /// Their number is bounded, their size is not: a client that asks for too much at once is cut
    /// off.
    pub(super) fn answer_parked(&mut self, index: u32) {
        let bytes_max = PARKED_OUTPUTS * self.settings.output_bytes_max;
        loop {
            let Some(connection) = self.connections.at_mut(index) else { return };
            if connection.parked > 0 && connection.unsent.bytes().len() > bytes_max {
                tracing::warn!("cutting off {}: it reads too much at once", connection.peer);
                self.counters.connections_dropped += 1;
                return self.cut_off_at(index);
            }
            let Some(Slot::Parked { xid, op, body, since_us }) = connection.pop_parked() else {
                return;
            };
            self.outstanding -= 1;
            self.answer_local(index, xid, op, &body, since_us);
        }
    }

    /// The result of a write has come.
    pub(super) fn fill_write(&mut self, key: ConnectionKey, xid: Xid, way: &Way<'_>) {
        let entry = way.entry;
        let Some(connection) = self.connections.find(key) else { return };
        let Some(&Slot::Write { xid: owed, op, body_bytes, since_us }) = connection.slots.front()
        else {
            return;
        };
        assert!(owed == xid, "results come in the order of the writes");
        connection.slots.pop_front();
        self.outstanding -= 1;
        connection.owed_bytes -= body_bytes;
        let outcome = &entry.outcome;
        if is_session_moved(outcome) {
            return self.end(key);
        }
        for change in &outcome.changes {
            self.counters.namespaces.record_write(&change.path, change.data_bytes);
        }
        let fill = |out: &mut Vec<u8>| match &outcome.result {
            Ok(result) => {
                result.encode_body(out);
                Ok(())
            }
            Err(code) => Err(*code),
        };
        let before = connection.unsent.bytes().len();
        // A refused write was counted by its transaction; the client learns the code.
        let _refused = put_framed(connection.unsent.end(&mut self.spares), xid, entry.zxid, fill);
        self.mark_dirty(key.index);
        let answers = self.brought(way, Answers::one(op, key.index, xid, since_us));
        self.answered(before, entry.zxid, answers);
    }

    /// A sync is over. `zxid` is that of the last write before it, whose root may come only now.
    pub(super) fn fill_sync(&mut self, key: ConnectionKey, zxid: Zxid) {
        let Some(connection) = self.connections.find(key) else { return };
        if !matches!(connection.slots.front(), Some(Slot::Sync { .. })) {
            connection.park_sync();
            return;
        }
        let Some(Slot::Sync { xid, body, since_us }) = connection.slots.pop_front() else { return };
        self.outstanding -= 1;
        let before = self.unsent_len(key.index);
        if let Ok(request) = Request::decode(OpCode::Sync, &body) {
            self.answer_read(key.index, xid, zxid, &request);
        }
        self.answered(before, zxid, Answers::one(OpCode::Sync, key.index, xid, since_us));
    }

    pub(super) fn fill_close(&mut self, key: ConnectionKey, xid: Xid, way: &Way<'_>) {
        let Some(connection) = self.connections.find(key) else { return };
        let (Phase::Open, Some(&Slot::Close { since_us })) =
            (&connection.phase, connection.slots.back())
        else {
            return;
        };
        self.counters.packets_sent += 1;
        self.put_reply(key.index, xid, way.entry.zxid, |_| {});
        let answers = Answers::one(OpCode::CloseSession, key.index, xid, since_us);
        self.note(self.brought(way, answers));
        self.end(key);
    }
}
