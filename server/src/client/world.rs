//! Shards and a sequencer in one hand, for tests: no socket, no log, no clock, no executor.
//!
//! Bytes go in at [`World::receive`]; what the halves say to each other is carried only when a test
//! says so ([`World::judge`], [`World::commit`]), so every order of events can be played.

use menagerie_engine::tree::Tree;
use menagerie_engine::txn::Rules;
use menagerie_wire::data::Acl;
use menagerie_wire::proto::{
    AuthPacket, ConnectRequest, ConnectResponse, Create, PathVersion, PathWatch, ReplyHeader,
    RequestHeader, SetData,
};
use menagerie_wire::{Decode, Encode, OpCode, Reader, SessionId, Xid, Zxid, frame};

use crate::client::password::SessionSecret;
use crate::client::shard::{Settings, Shard};
use crate::sequencer::message::{ConnectionKey, ToShard};
use crate::sequencer::{self, Delivery, Now, Output, Sequencer, testing};

pub(crate) const TICK_MS: i32 = 1_000;
pub(crate) const TIMEOUT_MS: i32 = 4_000;
pub(crate) const SLOW_MS: u64 = 500;

/// The order of one server's insides, in slow motion.
pub(crate) struct World {
    pub(crate) shards: Vec<Shard>,
    pub(crate) sequencer: Sequencer,
    out: Output,
    now: Now,
    appended: Zxid,
}

/// A connection with a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) key: ConnectionKey,
    pub(crate) session: SessionId,
    pub(crate) passwd: [u8; 16],
}

/// A frame that was sent to a client behind its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) err: i32,
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(2, |_| {})
    }

    pub(crate) fn with(shards: u16, change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(Tree::new(), shards, change)
    }

    /// A server that goes on with `tree`.
    pub(crate) fn over(tree: Tree, shards: u16, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            rules: Rules { extended_types: true, ..Rules::default() },
            session_timeout_ms_min: 2 * TICK_MS,
            session_timeout_ms_max: 20 * TICK_MS,
            frame_bytes_max: frame::JUTE_MAXBUFFER_DEFAULT,
            super_digest: None,
            enforced_schemes: Vec::new(),
            secret: SessionSecret::new([7; SessionSecret::LEN]),
            eager_acl_check: false,
            output_bytes_max: 16 << 20,
            outstanding_requests_max: 1_000,
            slow_request_us: Some(SLOW_MS * 1_000),
        };
        change(&mut settings);
        let now = Now { monotonic_us: 0, wall_ms: 1_000_000 };
        let of_sequencer = sequencer::Settings {
            shards,
            tick_ms: TICK_MS,
            rules: settings.rules.clone(),
            ..testing::settings()
        };
        let mut out = Output::default();
        let mut sequencer = Sequencer::standalone(of_sequencer, tree, now);
        sequencer.start(&mut out);
        let root = sequencer.committed().clone();
        let shard = |id| Shard::new(id, settings.clone(), root.clone(), true);
        let shards = (0..shards).map(shard).collect();
        Self { shards, sequencer, out, now, appended: Zxid::ZERO }
    }

    pub(crate) fn shard(&mut self, key: ConnectionKey) -> &mut Shard {
        &mut self.shards[usize::from(key.shard)]
    }

    pub(crate) fn open(&mut self, shard: u16) -> ConnectionKey {
        self.shards[usize::from(shard)].open(([127, 0, 0, 1], 40_000).into())
    }

    /// Bytes come from a client; nothing goes further than its shard.
    pub(crate) fn receive(&mut self, key: ConnectionKey, bytes: &[u8]) {
        let now = self.now;
        let shard = self.shard(key);
        shard.begin_turn(now);
        shard.receive(key.index, bytes);
    }

    /// What the shards have for the sequencer is judged, and what it says at once is delivered.
    pub(crate) fn judge(&mut self) {
        for shard in &mut self.shards {
            for message in shard.take_outbox() {
                self.sequencer.on_message(message, self.now, &mut self.out);
            }
        }
        self.sequencer.settle(&mut self.out);
        self.deliver();
    }

    /// Everything that was judged becomes durable, and the shards hear of it.
    pub(crate) fn commit(&mut self) {
        if let Some((zxid, _)) = self.out.appends.drain(..).next_back() {
            self.appended = zxid;
        }
        self.sequencer.close_batch(self.now.monotonic_us);
        self.sequencer.on_logged(self.appended, self.now, &mut self.out);
        self.sequencer.settle(&mut self.out);
        self.deliver();
    }

    fn deliver(&mut self) {
        for shard in &mut self.shards {
            shard.begin_turn(self.now);
        }
        for delivery in self.out.deliveries.drain(..) {
            match delivery {
                Delivery::One(shard, message) => {
                    self.shards[usize::from(shard)].on_message(message);
                }
                Delivery::All(publication) => {
                    for shard in &mut self.shards {
                        shard.on_message(ToShard::Publish(publication.clone()));
                    }
                }
            }
        }
    }

    /// The role of the server begins, or is over. What the sequencer has judged stays judged.
    pub(crate) fn tell_all(&mut self, message: &ToShard) {
        for shard in &mut self.shards {
            shard.on_message(message.clone());
        }
    }

    /// Judges and commits until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        while self.shards.iter().any(|shard| !shard.outbox.is_empty())
            || !self.out.appends.is_empty()
        {
            self.judge();
            self.commit();
        }
    }

    /// Time passes, with everything that falls due.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 50 {
            self.sleep(50);
        }
    }

    /// Time passes in which the server does nothing.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.now.monotonic_us += ms * 1_000;
        self.now.wall_ms += ms as i64;
        self.sequencer.on_tick(self.now, &mut self.out);
        self.deliver();
        self.settle();
    }

    /// Time passes, and nothing falls due. Returns what the monotonic clock shows then.
    pub(crate) const fn wait(&mut self, us: u64) -> u64 {
        self.now.monotonic_us += us;
        self.now.monotonic_us
    }

    /// What was sent on a connection since the last call, as bytes.
    pub(crate) fn take(&mut self, key: ConnectionKey) -> Vec<u8> {
        let now_us = self.now.monotonic_us;
        let shard = self.shard(key);
        shard.end_turn(now_us);
        let bytes = shard.unsent(key).unwrap_or_default().to_vec();
        shard.took(key, bytes.len());
        bytes
    }

    /// What was sent on an open connection since the last call.
    pub(crate) fn sent(&mut self, key: ConnectionKey) -> Vec<Sent> {
        let bytes = self.take(key);
        frames(&bytes).into_iter().map(sent).collect()
    }

    /// The xids of all that was sent.
    pub(crate) fn xids(&mut self, key: ConnectionKey) -> Vec<i32> {
        self.sent(key).iter().map(|sent| sent.xid).collect()
    }

    /// Opens a connection and a session on it.
    pub(crate) fn client(&mut self, shard: u16) -> Client {
        let key = self.open(shard);
        self.receive(key, &handshake(SessionId::NONE, &[0; 16], Zxid::ZERO));
        self.settle();
        let response = self.connected(key);
        assert_ne!(response.session_id, SessionId::NONE);
        Client { key, session: response.session_id, passwd: response.passwd }
    }

    /// The answer to a handshake, which was all that was sent.
    pub(crate) fn connected(&mut self, key: ConnectionKey) -> ConnectResponse {
        let bytes = self.take(key);
        let [response] = frames(&bytes)[..] else { panic!("not one frame: {bytes:?}") };
        ConnectResponse::from_bytes(response).unwrap()
    }

    pub(crate) fn is_closing(&self, key: ConnectionKey) -> bool {
        self.shards[usize::from(key.shard)].is_closing(key)
    }

    /// The connection's task has seen the end.
    pub(crate) fn closed(&mut self, key: ConnectionKey) {
        self.shard(key).closed(key);
        self.settle();
    }
}

pub(crate) fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let frame::Cut::Frame(payload) = frame::cut(rest, usize::MAX >> 1).unwrap() else {
            panic!("a shard leaves whole frames")
        };
        rest = &rest[frame::LENGTH_BYTES + payload.len()..];
        frames.push(payload);
    }
    frames
}

fn sent(payload: &[u8]) -> Sent {
    let mut reader = Reader::new(payload);
    let ReplyHeader { xid, zxid, err } = ReplyHeader::decode(&mut reader).unwrap();
    Sent { xid: xid.0, zxid: zxid.0, err, body: reader.rest().to_vec() }
}

pub(crate) fn handshake(session_id: SessionId, passwd: &[u8], last_zxid_seen: Zxid) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout_ms: TIMEOUT_MS,
        session_id,
        passwd: Some(passwd),
        read_only: Some(false),
    };
    let mut bytes = Vec::new();
    frame::put(&mut bytes, &request);
    bytes
}

/// A request's frame.
pub(crate) fn request(xid: i32, op: i32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_with(&mut bytes, |out| {
        RequestHeader { xid: Xid(xid), op }.encode(out);
        body(out);
    });
    bytes
}

pub(crate) fn create(xid: i32, path: &str) -> Vec<u8> {
    create_with(xid, path, 0)
}

pub(crate) fn create_with(xid: i32, path: &str, flags: i32) -> Vec<u8> {
    create_as(OpCode::Create, xid, path, flags)
}

pub(crate) fn create_as(op: OpCode, xid: i32, path: &str, flags: i32) -> Vec<u8> {
    let acl = Some(vec![Acl::world(31)]);
    let create = Create { path: path.into(), data: Some(b"0"), acl, flags, ttl_ms: None };
    request(xid, op as i32, |out| create.encode(out))
}

pub(crate) fn delete(xid: i32, path: &str) -> Vec<u8> {
    let delete = PathVersion { path: path.into(), version: -1 };
    request(xid, OpCode::Delete as i32, |out| delete.encode(out))
}

pub(crate) fn set(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    let set = SetData { path: Some(path.into()), data: Some(data), version: -1 };
    request(xid, OpCode::SetData as i32, |out| set.encode(out))
}

pub(crate) fn get(xid: i32, path: &str, watch: bool) -> Vec<u8> {
    let get = PathWatch { path: path.into(), watch };
    request(xid, OpCode::GetData as i32, |out| get.encode(out))
}

pub(crate) fn sync(xid: i32, path: &str) -> Vec<u8> {
    use menagerie_wire::jute::Put;
    request(xid, OpCode::Sync as i32, |out| out.put_ustring(Some(path)))
}

pub(crate) fn auth(scheme: &str, proof: &[u8]) -> Vec<u8> {
    let packet = AuthPacket { scheme: Some(scheme.into()), auth: Some(proof) };
    request(Xid::AUTH.0, OpCode::Auth as i32, |out| packet.encode(out))
}

/// A request without a body.
pub(crate) fn bare(xid: i32, op: OpCode) -> Vec<u8> {
    request(xid, op as i32, |_| {})
}

/// The data in the reply to a getData.
pub(crate) fn data(sent: &Sent) -> &[u8] {
    assert_eq!(sent.err, 0, "{sent:?}");
    Reader::new(&sent.body).buffer().unwrap().unwrap_or_default()
}
