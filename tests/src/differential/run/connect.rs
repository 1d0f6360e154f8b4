//! The step that opens a connection: whose session it claims, what comes of that, and what happens
//! to the connection that had the session before.

use super::exchange::read;
use super::{CLOSE_TIME_MAX, Outcome, PING, Run, Session};
use crate::differential::control::{REPLY_TIME_MAX, connect_request, session_of};
use crate::differential::deviations::claim_for_apache;
use crate::differential::lane::{Lane, Received};
use crate::differential::pair::{Kind, Side};
use crate::differential::script::{Claim, Opening, Request};
use menagerie_wire::jute::Reader;
use std::io;

const UNKNOWN_SESSION: i64 = 0x0100_0000_dead_0001;

impl Run<'_> {
    /// Opens `slot`; a connection it has is dropped first.
    pub(super) fn open(&mut self, slot: usize, opening: &Opening) -> io::Result<Outcome> {
        let claimed = match opening.claim {
            Claim::Resume(owner) | Claim::WrongPassword(owner) => {
                self.slots.get(owner).and_then(|owner| owner.session)
            }
            Claim::New | Claim::Unknown => None,
        };
        self.slots[slot].lanes = None;
        let owner = claimed.and_then(|_| {
            self.slots.iter().position(|slot| slot.lanes.is_some() && slot.session == claimed)
        });
        let mut lanes = Vec::new();
        let mut replies = Vec::new();
        let eager = self.encode(slot, &opening.eager);
        for (index, side) in self.pair.sides.iter().enumerate() {
            let mut lane = Lane::connect(side.address)?;
            let (id, passwd) = self.credentials(index, side, opening.claim, claimed);
            let seen = self.slots[slot].seen[index];
            let last_zxid = if opening.ahead { i64::MAX / 2 } else { seen };
            let mut bytes = connect_request(opening, last_zxid, id, &passwd);
            bytes.extend_from_slice(&eager[index]);
            lane.send(&bytes);
            lanes.push(lane);
        }
        for lane in &mut lanes {
            replies.push(lane.receive(REPLY_TIME_MAX));
        }
        let mut outcome = [0, 1].map(|index| self.connected(index, &replies[index], claimed));
        let sessions = replies.iter().map(session_of).collect::<Vec<_>>();
        if let [Some(first), Some(second)] = &sessions[..] {
            self.establish(slot, lanes, [first, second], claimed);
            if let Some(owner) = owner {
                self.expect_kick(owner, &mut outcome);
            }
            if let Some(lanes) = self.slots[slot].lanes.take() {
                let replies = self.collect(slot, &opening.eager, lanes);
                for (text, replies) in outcome.iter_mut().zip(replies) {
                    *text += &format!("\n{replies}");
                }
            }
        } else {
            for (lane, text) in lanes.iter_mut().zip(&mut outcome) {
                *text += &format!("\nthen {:?}", lane.receive(CLOSE_TIME_MAX));
            }
            if let Some(owner) = owner {
                let alive = self.ask(owner, &[Request::new(PING, Vec::new())])?;
                for (text, alive) in outcome.iter_mut().zip(alive) {
                    *text += &format!("\nowner: {alive}");
                }
            }
        }
        Ok(outcome)
    }

    fn credentials(
        &self,
        index: usize,
        side: &Side,
        claim: Claim,
        claimed: Option<usize>,
    ) -> (i64, Vec<u8>) {
        let claim = match side.kind {
            Kind::Apache => claim_for_apache(claim),
            Kind::Menagerie => claim,
        };
        let session = claimed.map(|session| &self.sessions[session]);
        match (claim, session) {
            (Claim::Unknown, _) | (Claim::WrongPassword(_), None) => (UNKNOWN_SESSION, vec![0; 16]),
            (Claim::New, _) | (Claim::Resume(_), None) => (0, vec![0; 16]),
            (Claim::Resume(_), Some(session)) => {
                (session.ids[index], session.passwds[index].clone())
            }
            (Claim::WrongPassword(_), Some(session)) => {
                let mut passwd = session.passwds[index].clone();
                passwd[0] ^= 1;
                (session.ids[index], passwd)
            }
        }
    }

    /// The text of a ConnectResponse.
    fn connected(&self, index: usize, reply: &Received, claimed: Option<usize>) -> String {
        let Received::Frame(frame) = reply else { return format!("connect: {reply:?}") };
        let mut reader = Reader::new(frame);
        let mut decode = || -> Result<String, menagerie_wire::JuteError> {
            let (protocol, timeout, id) = (reader.int()?, reader.int()?, reader.long()?);
            let passwd = reader.buffer()?.unwrap_or_default();
            let known = claimed.map(|session| &self.sessions[session]);
            let id = match known {
                _ if id == 0 => "none",
                Some(known) if known.ids[index] == id => "resumed",
                Some(_) | None => "new",
            };
            let passwd = match known {
                _ if passwd == [0; 16] => "zero",
                Some(known) if known.passwds[index] == passwd => "same",
                Some(_) | None => "new",
            };
            let rest = reader.rest();
            Ok(format!(
                "connect: protocol={protocol} timeout={timeout} id={id} passwd={passwd} {rest:?}"
            ))
        };
        decode().unwrap_or_else(|_| format!("connect: {frame:02x?}"))
    }

    fn establish(
        &mut self,
        slot: usize,
        lanes: Vec<Lane>,
        [first, second]: [&(i64, Vec<u8>); 2],
        claimed: Option<usize>,
    ) {
        let session = match claimed {
            Some(known) if self.sessions[known].ids == [first.0, second.0] => known,
            _ => {
                self.sessions.push(Session {
                    ids: [first.0, second.0],
                    passwds: [first.1.clone(), second.1.clone()],
                    closed: false,
                });
                self.masks[0].sessions.push(first.0);
                self.masks[1].sessions.push(second.0);
                self.sessions.len() - 1
            }
        };
        let slot = &mut self.slots[slot];
        slot.lanes = lanes.try_into().ok();
        slot.session = Some(session);
    }

    /// The connection that had a resumed session is closed by the server.
    fn expect_kick(&mut self, owner: usize, outcome: &mut Outcome) {
        let Some(mut lanes) = self.slots[owner].lanes.take() else { return };
        for (index, lane) in lanes.iter_mut().enumerate() {
            let exchange = read(lane, usize::MAX, CLOSE_TIME_MAX);
            outcome[index] += &format!("\nowner: {}", self.view(index, &[], &exchange));
        }
    }
}
