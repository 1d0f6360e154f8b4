//! The order of one session: which requests wait for a reply, and what any reply must obey.
//!
//! Requests are numbered upward and their notes wait in a queue, for replies come in the order of
//! the requests. A reply is judged here as far as any reply can be judged: its xid is the oldest
//! unanswered one, and its zxid is not below what the session saw. What it says is not looked at.

use std::collections::VecDeque;

use menagerie_wire::proto::ReplyHeader;
use menagerie_wire::{Xid, Zxid};

use crate::clock::Nanos;
use crate::latency::Operation;
use crate::violations::Violation;

/// What is remembered of a request until its reply comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub operation: Operation,
    /// When the request was to be sent; its latency counts from here.
    pub due: Nanos,
    /// The driver's number for what the request is about.
    pub key: u32,
    /// The version of `key` that the reply must at least show.
    pub version_min: i32,
    /// The number of the value that a write carries.
    pub sequence: u64,
    /// The driver's number for the kind of request.
    pub kind: u8,
}

impl Note {
    /// A request whose reply has nothing to be checked against.
    pub const fn plain(operation: Operation, due: Nanos) -> Self {
        Self { operation, due, key: 0, version_min: 0, sequence: 0, kind: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    xid: Xid,
    note: Note,
}

#[derive(Debug, Default)]
pub struct Conversation {
    in_flight: VecDeque<InFlight>,
    last_xid: i32,
    /// Of replies and events.
    last_zxid: Zxid,
    last_reply_zxid: Zxid,
}

impl Conversation {
    /// Queues the note of a request that is being sent; the answer is its xid.
    pub fn ask(&mut self, note: Note) -> Xid {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        let xid = Xid(self.last_xid);
        self.in_flight.push_back(InFlight { xid, note });
        xid
    }

    pub fn in_flight_len(&self) -> usize {
        self.in_flight.len()
    }

    pub fn oldest(&self) -> Option<&Note> {
        self.in_flight.front().map(|oldest| &oldest.note)
    }

    /// The requests behind the one whose reply was taken last, oldest first.
    pub fn behind(&mut self) -> impl Iterator<Item = &mut Note> {
        self.in_flight.iter_mut().map(|in_flight| &mut in_flight.note)
    }

    /// Judges the zxid of a reply. Those that belong to no state carry 0 or less.
    pub fn see(&mut self, zxid: Zxid) -> Result<(), Violation> {
        self.last_reply_zxid = self.last_reply_zxid.max(zxid);
        self.move_to(zxid)
    }

    /// Judges the zxid of an event: no reply before it may show a state that holds its change.
    /// Events that setWatches makes, and those of old servers, carry 0 or less.
    pub fn see_event(&mut self, zxid: Zxid) -> Result<(), Violation> {
        let reply = self.last_reply_zxid;
        self.move_to(zxid)?;
        if zxid > Zxid::ZERO && zxid <= reply {
            return Err(Violation::EventOvertaken { event: zxid.0, reply: reply.0 });
        }
        Ok(())
    }

    fn move_to(&mut self, zxid: Zxid) -> Result<(), Violation> {
        if zxid <= Zxid::ZERO {
            return Ok(());
        }
        let before = self.last_zxid;
        self.last_zxid = before.max(zxid);
        if zxid < before {
            return Err(Violation::ZxidWentBack { before: before.0, after: zxid.0 });
        }
        Ok(())
    }

    /// Takes the note that a reply belongs to. A reply out of turn is a violation and still takes
    /// its own note, if there is one, so that one mistake is counted once.
    pub fn answer(&mut self, header: &ReplyHeader) -> (Option<Note>, Result<(), Violation>) {
        let expected = self.in_flight.front().map_or(Xid(0), |oldest| oldest.xid);
        if header.xid == expected {
            return (self.in_flight.pop_front().map(|sent| sent.note), Ok(()));
        }
        let position = self.in_flight.iter().position(|sent| sent.xid == header.xid);
        let sent = position.and_then(|position| self.in_flight.remove(position));
        let violation = Violation::ReplyOrder { expected_xid: expected.0, xid: header.xid.0 };
        (sent.map(|sent| sent.note), Err(violation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: u32) -> Note {
        Note { key, ..Note::plain(Operation::Read, Nanos(0)) }
    }

    fn conversation(requests: u32) -> Conversation {
        let mut conversation = Conversation::default();
        for key in 0..requests {
            conversation.ask(note(key));
        }
        conversation
    }

    fn header(xid: i32) -> ReplyHeader {
        ReplyHeader { xid: Xid(xid), zxid: Zxid(1), err: 0 }
    }

    #[test]
    fn replies_in_order_take_their_notes() {
        let mut conversation = conversation(2);
        assert_eq!(conversation.answer(&header(1)), (Some(note(0)), Ok(())));
        assert_eq!(conversation.answer(&header(2)), (Some(note(1)), Ok(())));
        assert_eq!(conversation.in_flight_len(), 0);
    }

    #[test]
    fn a_reply_out_of_turn_is_a_violation_and_counts_once() {
        let mut conversation = conversation(2);
        let violation = Violation::ReplyOrder { expected_xid: 1, xid: 2 };
        assert_eq!(conversation.answer(&header(2)), (Some(note(1)), Err(violation)));
        assert_eq!(conversation.answer(&header(1)), (Some(note(0)), Ok(())));
    }

    #[test]
    fn a_reply_that_nobody_asked_for_is_a_violation() {
        let violation = Violation::ReplyOrder { expected_xid: 0, xid: 7 };
        assert_eq!(conversation(0).answer(&header(7)), (None, Err(violation)));
    }

    #[test]
    fn a_session_never_sees_an_older_zxid() {
        let mut conversation = conversation(0);
        assert_eq!(conversation.see(Zxid(5)), Ok(()));
        assert_eq!(conversation.see(Zxid(-1)), Ok(()));
        assert_eq!(conversation.see(Zxid(5)), Ok(()));
        let violation = Violation::ZxidWentBack { before: 5, after: 4 };
        assert_eq!(conversation.see(Zxid(4)), Err(violation));
        assert_eq!(conversation.see(Zxid(6)), Ok(()));
    }

    #[test]
    fn an_event_comes_before_the_state_that_it_tells_of() {
        let mut conversation = conversation(0);
        assert_eq!(conversation.see(Zxid(5)), Ok(()));
        assert_eq!(conversation.see_event(Zxid(6)), Ok(()));
        assert_eq!(conversation.see_event(Zxid(6)), Ok(()), "two events of one multi");
        assert_eq!(conversation.see_event(Zxid(-1)), Ok(()));
        assert_eq!(conversation.see(Zxid(6)), Ok(()));
        let violation = Violation::EventOvertaken { event: 6, reply: 6 };
        assert_eq!(conversation.see_event(Zxid(6)), Err(violation));
        let violation = Violation::ZxidWentBack { before: 6, after: 4 };
        assert_eq!(conversation.see_event(Zxid(4)), Err(violation));
    }

    #[test]
    fn xids_stay_positive() {
        let mut conversation = Conversation { last_xid: i32::MAX, ..Conversation::default() };
        assert_eq!(conversation.ask(note(0)), Xid(1));
    }
}
