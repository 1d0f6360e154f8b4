//! Any interleaving of clients, judging and commits keeps what every session is promised.
//!
//! Each client has a node of its own, so what each of its reads must see is known when it is sent:
//! its last write before that read, however far the commits are.

use menagerie_wire::OpCode;
use proptest::prelude::*;

use super::world::{Client, World, bare, create, data, get, set, sync};

const CLIENTS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Request {
    Set,
    /// Takes a zxid and fails.
    SetNothing,
    Get,
    Sync,
    Ping,
}

#[derive(Clone, Debug)]
enum Step {
    /// A client sends these at once; they arrive in two pieces.
    Send {
        client: usize,
        requests: Vec<Request>,
        cut: prop::sample::Index,
    },
    Judge,
    Commit,
}

/// What a client is owed, and what it must be told.
struct Expected {
    xid: i32,
    err: i32,
    data: Option<Vec<u8>>,
}

struct Session {
    client: Client,
    path: String,
    xid: i32,
    /// The client's last write.
    value: Vec<u8>,
    expected: Vec<Expected>,
}

impl Session {
    fn new(world: &mut World, number: usize) -> Self {
        let client = world.client((number % 2) as u16);
        let path = format!("/own{number}");
        world.receive(client.key, &create(0, &path));
        world.settle();
        world.sent(client.key);
        Self { client, path, xid: 0, value: b"0".to_vec(), expected: Vec::new() }
    }

    fn frame(&mut self, request: Request) -> Vec<u8> {
        self.xid += 1;
        let xid = self.xid;
        let mut expected = Expected { xid, err: 0, data: None };
        let frame = match request {
            Request::Set => {
                self.value = xid.to_be_bytes().to_vec();
                set(xid, &self.path, &self.value)
            }
            Request::SetNothing => {
                expected.err = -101;
                set(xid, "/nothing", b"")
            }
            Request::Get => {
                expected.data = Some(self.value.clone());
                get(xid, &self.path, false)
            }
            Request::Sync => sync(xid, &self.path),
            Request::Ping => {
                expected.xid = -2;
                bare(xid, OpCode::Ping)
            }
        };
        self.expected.push(expected);
        frame
    }

    fn check(&self, world: &mut World) {
        let sent = world.sent(self.client.key);
        assert_eq!(sent.len(), self.expected.len(), "every request is answered once");
        assert!(sent.is_sorted_by_key(|sent| sent.zxid), "{sent:?}");
        for (sent, expected) in sent.iter().zip(&self.expected) {
            assert_eq!((sent.xid, sent.err), (expected.xid, expected.err));
            if let Some(expected) = &expected.data {
                assert_eq!(data(sent), expected, "xid {}", sent.xid);
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let request = prop::sample::select(vec![
        Request::Set,
        Request::Set,
        Request::SetNothing,
        Request::Get,
        Request::Get,
        Request::Sync,
        Request::Ping,
    ]);
    let requests = prop::collection::vec(request, 1..8);
    prop_oneof![
        3 => (0..CLIENTS, requests, any::<prop::sample::Index>())
            .prop_map(|(client, requests, cut)| Step::Send { client, requests, cut }),
        2 => Just(Step::Judge),
        1 => Just(Step::Commit),
    ]
}

proptest! {
    #[test]
    fn every_session_gets_its_answers_in_order_and_reads_its_own_writes(
        steps in prop::collection::vec(step(), 1..40),
        outstanding_requests_max in prop::sample::select(vec![1, 5, 1_000]),
    ) {
        let mut world = World::with(2, |settings| {
            settings.outstanding_requests_max = outstanding_requests_max;
        });
        let mut sessions: Vec<Session> =
            (0..CLIENTS).map(|number| Session::new(&mut world, number)).collect();
        for step in steps {
            match step {
                Step::Send { client, requests, cut } => {
                    let session = &mut sessions[client];
                    let frames = requests.into_iter().map(|request| session.frame(request));
                    let bytes = frames.collect::<Vec<_>>().concat();
                    let (one, other) = bytes.split_at(cut.index(bytes.len()));
                    world.receive(session.client.key, one);
                    world.receive(session.client.key, other);
                }
                Step::Judge => world.judge(),
                Step::Commit => world.commit(),
            }
        }
        world.settle();
        sessions.iter().for_each(|session| session.check(&mut world));
        prop_assert!(world.shards.iter().all(|shard| shard.outstanding_requests() == 0));
    }
}
