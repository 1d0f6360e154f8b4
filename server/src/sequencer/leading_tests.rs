//! A leader and what its learners send on: who is answered, and whose connection ends.
//!
//! A member that is a quorum of its own, with an observer that says what the test makes it say.

use std::net::Ipv4Addr;

use bytes::Bytes;
use menagerie_engine::access;
use menagerie_replication::{Membership, Packet};
use menagerie_wire::{Epoch, ServerId};

use super::*;
use crate::sequencer::output::{Delivery, Job, ToPeer};
use crate::sequencer::{Now, testing};

const LEARNER: Link = Link(1);
const TIMEOUT_MS: i32 = 4_000;
const HERE: ConnectionKey = ConnectionKey { shard: 0, index: 1, generation: 1 };

struct Leader {
    sequencer: Sequencer,
    out: Output,
    now: Now,
    /// What was said to the learner.
    said: Vec<Packet>,
    /// What was said to the shard.
    told: Vec<ToShard>,
}

impl Leader {
    fn new() -> Self {
        let (voters, observers) = (vec![ServerId(1)], vec![ServerId(2)]);
        let membership = Membership::new(voters, observers, "version=0".into(), Zxid::ZERO);
        let now = Now { monotonic_us: 0, wall_ms: 0 };
        let sequencer = testing::member(testing::settings(), membership, now);
        let (out, said, told) = (Output::default(), Vec::new(), Vec::new());
        let mut leader = Self { sequencer, out, now, said, told };
        leader.sequencer.start(&mut leader.out);
        while leader.sequencer.part != Part::Leading {
            leader.now.monotonic_us += 50_000;
            leader.sequencer.on_tick(leader.now, &mut leader.out);
            leader.settle();
        }
        leader.learner_joins();
        leader
    }

    fn learner_joins(&mut self) {
        self.event(Event::Accepted { link: LEARNER });
        let (epoch, sid) = (Epoch(0), ServerId(2));
        let config_version = Zxid::ZERO;
        self.hear(Packet::LearnerInfo {
            observer: true,
            accepted_epoch: epoch,
            sid,
            config_version,
        });
        self.hear(Packet::AckEpoch { last_zxid: Zxid::ZERO, current_epoch: Some(epoch) });
        self.hear(Packet::Ack { zxid: Zxid::new(Epoch(1), 0) });
        assert_eq!(self.said.last(), Some(&Packet::UpToDate), "{:?}", self.said);
    }

    fn event(&mut self, event: Event) {
        self.sequencer.on_event(event, self.now, &mut self.out);
        self.settle();
    }

    /// The learner says something.
    fn hear(&mut self, packet: Packet) {
        self.event(Event::Received { link: LEARNER, packet });
    }

    fn forwarded(&mut self, session: SessionId, cxid: i32, op: OpCode, body: &[u8]) {
        let body = Bytes::copy_from_slice(body);
        let request = ForwardedRequest { session, cxid: Xid(cxid), op, body, authinfo: None };
        self.hear(Packet::Request(request));
    }

    fn message(&mut self, message: ToSequencer) {
        self.sequencer.on_message(message, self.now, &mut self.out);
        self.settle();
    }

    /// Does what the sequencer wants done, on a disk that takes no time.
    fn settle(&mut self) {
        loop {
            self.sequencer.close_batch(self.now.monotonic_us);
            self.sequencer.settle(&mut self.out);
            let appended = self.out.appends.drain(..).next_back();
            let jobs = std::mem::take(&mut self.out.jobs);
            self.keep();
            if appended.is_none() && jobs.is_empty() {
                return;
            }
            for job in jobs {
                let Job::SaveEpochs(epochs) = job else { panic!("no other job is expected") };
                self.sequencer.on_event(Event::EpochSaved { epochs }, self.now, &mut self.out);
            }
            if let Some((zxid, _)) = appended {
                self.sequencer.close_batch(self.now.monotonic_us);
                self.sequencer.on_logged(zxid, self.now, &mut self.out);
            }
        }
    }

    fn keep(&mut self) {
        self.out.votes.clear();
        for word in self.out.peers.drain(..) {
            if let ToPeer::Send { packet, .. } = word {
                self.said.push(packet);
            }
        }
        for delivery in self.out.deliveries.drain(..) {
            self.told.push(match delivery {
                Delivery::One(_, message) => message,
                Delivery::All(publication) => ToShard::Publish(publication),
            });
        }
    }

    /// A session begins at the learner.
    fn session(&mut self, id: i64) -> SessionId {
        let session = SessionId(id);
        self.forwarded(session, 0, OpCode::CreateSession, &TIMEOUT_MS.to_be_bytes());
        assert!(self.sequencer.committed().view().session(session).is_some());
        session
    }

    /// The client of a session comes from the learner to this server.
    fn comes_here(&mut self, session: SessionId) {
        let ids = Box::new([access::ip_identity(Ipv4Addr::LOCALHOST.into())]);
        let timeout_ms = TIMEOUT_MS;
        self.message(ToSequencer::Resume { connection: HERE, session, timeout_ms, ids });
        assert!(matches!(self.told.last(), Some(ToShard::Resumed { .. })));
        self.told.clear();
    }

    /// The answers of everything that was shown since the last look.
    fn answers(&mut self) -> Vec<(ConnectionKey, Answer)> {
        let mut answers = Vec::new();
        for told in self.told.drain(..) {
            if let ToShard::Publish(publication) = told {
                let entries = publication.runs.iter().flat_map(|run| &run.entries);
                answers.extend(entries.filter_map(|entry| entry.answer));
            }
        }
        answers
    }
}

#[test]
fn the_end_of_a_session_by_a_learner_ends_its_connection_here() {
    let mut leader = Leader::new();
    let session = leader.session(0x0200_0000_0000_0001);
    leader.comes_here(session);
    // Its old connection, at the learner, is still open there.
    leader.forwarded(session, 7, OpCode::CloseSession, &[]);
    assert_eq!(leader.answers(), [(HERE, Answer::Expired)]);
}

#[test]
fn what_a_learner_sends_on_never_goes_unanswered_and_never_panics() {
    let mut leader = Leader::new();
    let session = leader.session(1);
    let ops = (-128..=128).filter_map(|op| OpCode::try_from(op).ok());
    let bodies: [&[u8]; 4] = [&[], &[0xff; 4], &[0; 64], &[0x7f; 64]];
    let mut cxid = 1;
    for op in ops.filter(|op| *op != OpCode::Sync) {
        for body in bodies {
            let before = leader.sequencer.committed().last_zxid();
            leader.forwarded(session, cxid, op, body);
            let after = leader.sequencer.committed().last_zxid();
            assert_eq!(after, before.next(), "{op:?} with {body:?} takes a transaction");
            cxid += 1;
            leader.session(1);
        }
    }
}

#[test]
fn a_move_that_waits_for_a_commit_holds_up_no_follower_that_is_to_make_it() {
    let mut leader = Leader::new();
    let session = leader.session(1);
    let zxid = leader.sequencer.last_prepared.next();
    let answer = |valid| Event::RevalidateAnswered { link: LEARNER, session, valid };
    leader.sequencer.deferred.extend([(zxid, answer(false)), (Zxid::ZERO, answer(true))]);
    // Judged, and on no disk.
    leader.sequencer.tail.push(zxid, Bytes::new(), 0);
    assert_eq!(leader.sequencer.take_deferred(), Some(answer(true)));
    assert_eq!(leader.sequencer.take_deferred(), None);
    leader.sequencer.tail.forget_to(zxid);
    assert_eq!(leader.sequencer.take_deferred(), Some(answer(false)));
}

#[test]
fn a_move_whose_session_ends_while_it_waits_is_refused() {
    let mut leader = Leader::new();
    let session = leader.session(1);
    let answer = |valid| Event::RevalidateAnswered { link: LEARNER, session, valid };
    assert_eq!(leader.sequencer.look_again(answer(true)), Some(answer(true)));
    leader.forwarded(session, 7, OpCode::CloseSession, &[]);
    leader.sequencer.deferred.push_back((Zxid::ZERO, answer(true)));
    leader.settle();
    let refused = Packet::Revalidated { session, valid: false };
    assert_eq!(leader.said.last(), Some(&refused));
}

#[test]
fn a_session_that_is_unknown_is_refused_here_and_elsewhere() {
    let mut leader = Leader::new();
    let session = SessionId(7);
    leader.hear(Packet::Revalidate(Touch { session, timeout_ms: TIMEOUT_MS }));
    let refused = Packet::Revalidated { session, valid: false };
    assert_eq!(leader.said.last(), Some(&refused));
    let ids = Box::new([access::ip_identity(Ipv4Addr::LOCALHOST.into())]);
    let timeout_ms = TIMEOUT_MS;
    leader.message(ToSequencer::Resume { connection: HERE, session, timeout_ms, ids });
    assert!(matches!(leader.told.last(), Some(ToShard::Refused { connection: HERE })));
}
