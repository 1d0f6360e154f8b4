//! Who comes with a session that this leader does not know, and waits to be refused.
//!
//! A leader that was replaced and does not know it yet has not heard of the sessions that began
//! since. So nobody is told that a session is over before a quorum has confirmed the leader, as
//! for a `sync`: its client would begin anew, while its ephemeral nodes live on. Apache refuses
//! such a client only if it has seen a higher zxid than the leader, and one that has just begun
//! has seen none.

use std::collections::VecDeque;

use bytes::Bytes;
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_replication::{Event, ForwardedRequest, Link};
use menagerie_wire::{OpCode, SessionId, Xid};

use super::message::{ConnectionKey, ToShard};
use super::{Output, Sequencer};

/// Who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    Client(ConnectionKey),
    /// A client of a learner.
    Elsewhere(Link, SessionId),
}

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Strangers {
    waiting: VecDeque<Stranger>,
    /// How many of them, from the first on, are confirmed to be strangers.
    confirmed: usize,
}

impl Strangers {
    /// The node's word has come, for the oldest.
    pub(super) fn confirm(&mut self) {
        self.confirmed += 1;
        assert!(self.confirmed <= self.waiting.len(), "one word for each stranger");
    }

    /// Whom to refuse, once what is committed is shown.
    pub(super) fn take_confirmed(&mut self) -> Vec<Stranger> {
        self.waiting.drain(..std::mem::take(&mut self.confirmed)).collect()
    }

    /// The role is over: no word comes any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Sequencer {
    /// Asks whether this server still leads before it refuses.
    pub(super) fn doubt(&mut self, stranger: Stranger) {
        self.strangers.waiting.push_back(stranger);
        if flaws::has(Flaw::RefusesWithoutQuorum) {
            return self.strangers.confirm();
        }
        // No client's session has this id.
        let (session, cxid, op) = (SessionId::NONE, Xid(0), OpCode::Sync);
        let body = Bytes::new();
        self.step(Event::Request(ForwardedRequest { session, cxid, op, body, authinfo: None }));
    }

    pub(super) fn refuse_stranger(&mut self, stranger: Stranger, out: &mut Output) {
        match stranger {
            Stranger::Client(connection) => {
                out.tell(connection.shard, ToShard::Refused { connection });
            }
            Stranger::Elsewhere(link, session) => {
                self.step(Event::RevalidateAnswered { link, session, valid: false });
            }
        }
    }
}
