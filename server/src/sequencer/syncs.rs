//! `sync`s that wait for the node's word, and what their sessions asked for behind them.
//!
//! A `sync` ends when a quorum has confirmed the leader; a write that was proposed after it may be
//! shown by the same publication. So that a session gets its answers in the order of its requests,
//! and a read between the two does not see the write, what a session asks for behind its `sync` is
//! held until that has ended.

use std::collections::VecDeque;

use hashbrown::HashMap;
use menagerie_wire::{SessionId, Xid};

use super::message::{ConnectionKey, ToSequencer};

/// A `sync`, and what its session asked for behind it.
pub(super) struct Waiting {
    cxid: Xid,
    pub(super) connection: ConnectionKey,
    /// To be looked at behind the answer, in order.
    pub(super) held: VecDeque<ToSequencer>,
}

/// At most one `sync` of each session is on its way.
#[derive(Default)]
pub(super) struct Syncs {
    waiting: HashMap<SessionId, Waiting>,
    /// Of these, the ones that may be answered once what is committed is shown.
    ended: Vec<SessionId>,
}

impl Syncs {
    /// Keeps a request whose session waits for a `sync`; gives back any other.
    pub(super) fn hold_behind(&mut self, message: ToSequencer) -> Option<ToSequencer> {
        let session = match &message {
            _ if self.waiting.is_empty() => return Some(message),
            ToSequencer::Write(write) => write.session,
            ToSequencer::Sync(sync) => sync.session,
            ToSequencer::Close { session, .. } => *session,
            ToSequencer::Connect { .. }
            | ToSequencer::Resume { .. }
            | ToSequencer::Identify { .. }
            | ToSequencer::Touched { .. }
            | ToSequencer::Disconnected { .. } => return Some(message),
        };
        match self.waiting.get_mut(&session) {
            Some(waiting) => waiting.held.push_back(message),
            None => return Some(message),
        }
        None
    }

    pub(super) fn begin(&mut self, session: SessionId, cxid: Xid, connection: ConnectionKey) {
        let waiting = Waiting { cxid, connection, held: VecDeque::new() };
        let before = self.waiting.insert(session, waiting);
        assert!(before.is_none(), "one sync of session {session} at a time");
    }

    /// The node's word has come.
    pub(super) fn end(&mut self, session: SessionId, cxid: Xid) {
        if self.waiting.get(&session).is_some_and(|waiting| waiting.cxid == cxid) {
            self.ended.push(session);
        }
    }

    pub(super) fn take_ended(&mut self) -> Vec<Waiting> {
        let waiting = &mut self.waiting;
        self.ended.drain(..).filter_map(|session| waiting.remove(&session)).collect()
    }

    /// The role is over: no word comes any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.ended.clear();
    }
}
