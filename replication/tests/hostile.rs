//! Whatever a peer says, a node does not panic, and does not let go of the honest.
//!
//! A node is brought to a role and then hears random packets and votes: right ones at the wrong
//! time, zxids and epochs at the ends of their ranges. Its disk answers at once, so that it goes as
//! far as a peer can take it. Assertions of the machine are about our own code; a peer that could
//! trip one could stop a server.

use std::sync::Arc;

use menagerie_replication::{
    Effect, Effects, Epochs, Event, HistoryLimits, Link, LogRead, Membership, Node, Packet,
    Recovered, Role, Settings, Timeouts, TxnBytes,
};
use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{Epoch, OpCode, ServerId, SessionId, Xid, Zxid};

const EPOCHS: [u32; 8] = [0, 1, 2, 3, 4, i32::MAX as u32 - 1, i32::MAX as u32, u32::MAX];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize]
    }

    fn epoch(&mut self) -> Epoch {
        Epoch(self.pick(&EPOCHS))
    }

    fn zxid(&mut self) -> Zxid {
        match self.below(10) {
            0 => Zxid(self.pick(&[i64::MIN, -1, 0, i64::MAX])),
            1 => Zxid::new(self.epoch(), self.pick(&[0, 1, u32::MAX - 1, u32::MAX])),
            _ => Zxid::new(Epoch(self.pick(&[1, 2, 3])), self.below(9) as u32),
        }
    }

    fn packet(&mut self) -> Packet {
        let (zxid, epoch) = (self.zxid(), self.epoch());
        let txn = TxnBytes::from_static(&[0]);
        let touch = Touch { session: SessionId(self.zxid().0), timeout_ms: -1 };
        match self.below(19) {
            0 => Packet::Request(menagerie_replication::ForwardedRequest {
                session: SessionId(1),
                cxid: Xid(1),
                op: self.pick(&[OpCode::Sync, OpCode::Create]),
                body: txn,
                authinfo: None,
            }),
            1 => Packet::Proposal { zxid, txn },
            2 => Packet::Ack { zxid },
            3 => Packet::Commit { zxid },
            4 => Packet::Ping { zxid },
            5 => Packet::PingReply { zxid, touched: vec![touch] },
            6 => Packet::Revalidate(touch),
            7 => Packet::Revalidated { session: touch.session, valid: true },
            8 => Packet::Sync,
            9 => Packet::Inform { zxid, txn },
            10 => Packet::NewLeader { epoch, config: Arc::from("") },
            11 => Packet::LearnerInfo {
                observer: self.below(3) == 0,
                accepted_epoch: epoch,
                sid: ServerId(self.pick(&[2, 4, 9, i64::MAX])),
                config_version: self.pick(&[Zxid::ZERO, zxid]),
            },
            12 => Packet::UpToDate,
            13 => Packet::Diff { zxid },
            14 => Packet::Trunc { zxid },
            15 => Packet::Snap { zxid },
            16 => Packet::LeaderInfo { epoch },
            17 => Packet::AckEpoch { last_zxid: zxid, current_epoch: Some(epoch) },
            _ => Packet::AckEpoch { last_zxid: zxid, current_epoch: None },
        }
    }

    fn vote(&mut self) -> Event {
        use ServerState::{Following, Leading, Looking, Observing};
        Event::Notified {
            from: ServerId(self.pick(&[1, 2, 3, 4, 9, -1])),
            state: self.pick(&[Looking, Following, Leading, Observing]),
            vote: Vote {
                leader: ServerId(self.pick(&[1, 2, 3, 4, i64::MIN, i64::MAX])),
                zxid: self.zxid(),
                round: self.pick(&[-1, 0, 1, 2, 7, i64::MIN, i64::MAX]),
                peer_epoch: self.pick(&[-1, 0, 1, 2, i64::MIN, i64::MAX]),
            },
            version: self.pick(&[0, 2]),
        }
    }
}

/// Member 3 of three voters, and a disk that answers at once.
struct Server {
    node: Node,
    now_ms: u64,
    next_link: u64,
    /// The connection on which it follows somebody.
    upward: Option<Link>,
    effects_max: usize,
}

impl Server {
    fn new() -> Self {
        let voters = vec![ServerId(1), ServerId(2), ServerId(3)];
        let settings = Settings {
            id: ServerId(3),
            membership: Membership::new(voters, vec![ServerId(4)], Arc::from(""), Zxid::ZERO),
            timeouts: Timeouts::default(),
            history: HistoryLimits { txns_max: 4, bytes_max: 1 << 20 },
            resign_at_counter: 1000,
        };
        let mut server = Self {
            node: Node::new(settings),
            now_ms: 0,
            next_link: 100,
            upward: None,
            effects_max: 0,
        };
        let txns =
            (1..=5).map(|counter| (Zxid::new(Epoch(1), counter), TxnBytes::from_static(&[0])));
        server.hear(Event::Started(Recovered {
            last_logged: Zxid::new(Epoch(1), 5),
            epochs: Epochs { accepted: Epoch(1), current: Epoch(1) },
            tail: txns.collect(),
            before_tail: Zxid::new(Epoch(1), 0),
        }));
        server
    }

    fn hear(&mut self, event: Event) {
        let mut events = vec![event];
        let mut fx = Effects::new();
        while let Some(mut event) = events.pop() {
            if let Event::Drained { last_logged, epochs, .. } = &mut event {
                (*last_logged, *epochs) = (self.node.last_logged(), self.node.epochs());
            }
            self.node.step(event, self.now_ms, &mut fx);
            self.effects_max = self.effects_max.max(fx.len());
            let answers: Vec<Event> = fx.drain(..).filter_map(|e| self.carry_out(e)).collect();
            events.extend(answers.into_iter().rev());
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Append { zxid, .. } => Some(Event::Logged { zxid }),
            Effect::SaveEpoch { epochs } => Some(Event::EpochSaved { epochs }),
            Effect::Truncate { to } => Some(Event::Truncated { last_logged: to }),
            Effect::ReceiveSnapshot { zxid, .. } => Some(Event::Installed { zxid }),
            Effect::Drain { generation } => Some(Event::Drained {
                generation,
                last_logged: self.node.last_logged(),
                epochs: self.node.epochs(),
            }),
            Effect::Connect { leader } => {
                self.next_link += 1;
                self.upward = Some(Link(self.next_link));
                Some(Event::Connected { leader, link: Link(self.next_link) })
            }
            Effect::ReadLog { link, from } => {
                let read = LogRead { floor: from, txns: Vec::new() };
                Some(Event::LogRead { link, read: Some(read) })
            }
            _ => None,
        }
    }

    fn vote_for_3(&mut self, from: i64) {
        let vote =
            Vote { leader: ServerId(3), zxid: self.node.last_logged(), round: 1, peer_epoch: 1 };
        let (from, state) = (ServerId(from), ServerState::Looking);
        self.hear(Event::Notified { from, state, vote, version: 2 });
    }

    /// Says that member 1 leads, and 2 follows it.
    fn led_by_1(&mut self) {
        let vote = Vote { leader: ServerId(1), zxid: Zxid::ZERO, round: 5, peer_epoch: 1 };
        for (from, state) in [(2, ServerState::Following), (1, ServerState::Leading)] {
            self.hear(Event::Notified { from: ServerId(from), state, vote, version: 2 });
        }
    }

    /// Follower 1, on link 1.
    fn honest_follower(&mut self) {
        let link = Link(1);
        self.hear(Event::Accepted { link });
        let info = Packet::LearnerInfo {
            observer: false,
            accepted_epoch: Epoch(1),
            sid: ServerId(1),
            config_version: Zxid::ZERO,
        };
        let last_zxid = Zxid::new(Epoch(1), 5);
        let ack_epoch = Packet::AckEpoch { last_zxid, current_epoch: Some(Epoch(1)) };
        for packet in [info, ack_epoch, Packet::Ack { zxid: Zxid::new(Epoch(2), 0) }] {
            self.hear(Event::Received { link, packet });
        }
        assert_eq!((self.node.role(), self.node.synced()), (Role::Leading, (1, 0)));
    }
}

#[test]
fn no_word_of_a_learner_panics_a_leader_or_costs_an_honest_follower_its_place() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut server = Server::new();
        server.vote_for_3(1);
        server.vote_for_3(2);
        server.honest_follower();
        let mut proposed = Zxid::new(Epoch(2), 0);
        let mut link = Link(50);
        for _ in 0..200 {
            if random.below(6) == 0 {
                server.hear(Event::Closed { link });
                link = Link(link.0 + 1);
                server.hear(Event::Accepted { link });
            }
            // One who promised a later epoch makes a leader resign, which is right.
            let packet = match random.packet() {
                Packet::LearnerInfo { accepted_epoch, .. } if accepted_epoch > Epoch(2) => continue,
                packet => packet,
            };
            server.hear(Event::Received { link, packet });
            server.hear(random.vote());
            if random.below(4) == 0 {
                proposed = proposed.next();
                server.hear(Event::Propose { zxid: proposed, txn: TxnBytes::from_static(&[0]) });
                let packet = Packet::Ack { zxid: proposed };
                server.hear(Event::Received { link: Link(1), packet });
            }
        }
        assert_eq!(server.node.last_committed().max(Zxid::new(Epoch(2), 0)), proposed, "{seed}");
        assert!(server.node.synced().0 >= 1 && server.effects_max < 100, "seed {seed}");
    }
}

/// What an honest leader would say next to a learner that has heard `said` things from it.
fn next_honest(server: &Server, random: &mut Random, said: u32) -> Packet {
    let (epochs, last) = (server.node.epochs(), server.node.last_logged());
    match said {
        0 => Packet::LeaderInfo { epoch: epochs.accepted.next() },
        1 => match random.below(3) {
            0 => Packet::Diff { zxid: last },
            1 => Packet::Trunc { zxid: last },
            _ => Packet::Snap { zxid: last },
        },
        2 => Packet::NewLeader { epoch: epochs.accepted, config: Arc::from("") },
        3 => Packet::UpToDate,
        said if said % 2 == 0 => {
            let zxid = if last.epoch() == epochs.current {
                last.next()
            } else {
                Zxid::new(epochs.current, 1)
            };
            Packet::Proposal { zxid, txn: TxnBytes::from_static(&[0]) }
        }
        _ => Packet::Commit { zxid: last },
    }
}

#[test]
fn no_word_of_a_leader_or_a_stranger_panics_a_node() {
    let mut believed = 0;
    for seed in 0..2000 {
        let mut random = Random(seed);
        let mut server = Server::new();
        let mut said = 0;
        for _ in 0..150 {
            server.now_ms += random.below(100);
            match (random.below(20), server.upward) {
                (0, Some(link)) => server.hear(Event::Closed { link }),
                (1, _) => server.hear(Event::Tick),
                (2, _) => {
                    server.next_link += 1;
                    server.hear(Event::Accepted { link: Link(server.next_link) });
                }
                (3 | 4, _) => server.hear(random.vote()),
                (5, Some(link)) => {
                    let packet = random.packet();
                    server.hear(Event::Received { link, packet });
                }
                (_, Some(link)) if server.node.leader() == Some(ServerId(1)) => {
                    let packet = next_honest(&server, &mut random, said);
                    said += 1;
                    server.hear(Event::Received { link, packet });
                }
                _ => {
                    said = 0;
                    server.led_by_1();
                }
            }
        }
        believed += usize::from(server.node.last_committed() > Zxid::new(Epoch(1), 5));
    }
    assert!(believed > 100, "{believed} leaders were believed, and then heard out");
}
