//! Which connection speaks for which session.
//!
//! A session has at most one owner: the connection, or on a leader the learner, that opened it or
//! resumed it last. A request through anybody else is refused, so that a client which moved on
//! cannot be overtaken by its own older requests (ZooKeeper: `SessionTrackerImpl.checkSession`,
//! SESSIONMOVED).

use hashbrown::HashMap;
use menagerie_replication::Link;
use menagerie_wire::SessionId;
use menagerie_wire::data::Id;

use crate::sequencer::message::ConnectionKey;

/// Where the client of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    Here(ConnectionKey),
    /// At the learner behind this link.
    At(Link),
    /// It was where it is no more. Whoever it was with before that is a stranger all the same.
    Left,
}

/// The seat of a session, and who its client has proved to be.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) seat: Seat,
    /// Empty for a client of a learner: its requests say each time who it is.
    pub(crate) ids: Box<[Id<'static>]>,
}

/// What a session's table says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Owner,
    /// Another connection, or none, speaks for the session.
    Stranger,
}

/// Sessions that were heard of since this role began.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_session: HashMap<SessionId, Owner>,
}

impl Owners {
    /// Makes `owner` the session's owner and returns the connection of this server that it takes
    /// it from.
    pub(crate) fn take_over(&mut self, session: SessionId, owner: Owner) -> Option<ConnectionKey> {
        let new = owner.seat;
        let old = self.by_session.insert(session, owner)?;
        if old.seat == new { None } else { old.connection() }
    }

    pub(crate) fn claim(&self, session: SessionId, connection: ConnectionKey) -> Claim {
        match self.by_session.get(&session) {
            Some(owner) if owner.seat == Seat::Here(connection) => Claim::Owner,
            _ => Claim::Stranger,
        }
    }

    /// The same for a learner. A session that nobody has spoken for since this reign began
    /// belongs to whoever speaks first.
    pub(crate) fn claim_at(&mut self, session: SessionId, link: Link) -> Claim {
        let owner = self
            .by_session
            .entry(session)
            .or_insert_with(|| Owner { seat: Seat::At(link), ids: Box::default() });
        if owner.seat == Seat::At(link) { Claim::Owner } else { Claim::Stranger }
    }

    pub(crate) fn identify(
        &mut self,
        session: SessionId,
        connection: ConnectionKey,
        ids: Box<[Id<'static>]>,
    ) {
        if let Some(owner) = self.by_session.get_mut(&session)
            && owner.seat == Seat::Here(connection)
        {
            owner.ids = ids;
        }
    }

    pub(crate) fn ids(&self, session: SessionId) -> &[Id<'static>] {
        self.by_session.get(&session).map_or(&[], |owner| &owner.ids)
    }

    /// The session is closed: nobody speaks for it any more. Returns its connection here.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<ConnectionKey> {
        self.by_session.remove(&session)?.connection()
    }

    /// The connection is gone, the session is not.
    pub(crate) fn disconnect(&mut self, session: SessionId, connection: ConnectionKey) {
        if self.claim(session, connection) == Claim::Owner {
            self.leave(session);
        }
    }

    /// The client is about to speak through another connection. Returns the one of this server
    /// that it leaves.
    pub(crate) fn leave(&mut self, session: SessionId) -> Option<ConnectionKey> {
        let owner = self.by_session.get_mut(&session)?;
        std::mem::replace(owner, Owner::left()).connection()
    }

    /// The learner behind the link is gone.
    pub(crate) fn forget(&mut self, link: Link) {
        for owner in self.by_session.values_mut().filter(|owner| owner.seat == Seat::At(link)) {
            *owner = Owner::left();
        }
    }

    /// A role is over: all connections end.
    pub(crate) fn clear(&mut self) {
        self.by_session.clear();
    }
}

impl Owner {
    pub(crate) const fn here(connection: ConnectionKey, ids: Box<[Id<'static>]>) -> Self {
        Self { seat: Seat::Here(connection), ids }
    }

    pub(crate) fn at(link: Link) -> Self {
        Self { seat: Seat::At(link), ids: Box::default() }
    }

    fn left() -> Self {
        Self { seat: Seat::Left, ids: Box::default() }
    }

    const fn connection(&self) -> Option<ConnectionKey> {
        match self.seat {
            Seat::Here(connection) => Some(connection),
            Seat::At(_) | Seat::Left => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7);

    fn connection(index: u32) -> ConnectionKey {
        ConnectionKey { shard: 0, index, generation: 0 }
    }

    fn owner(index: u32) -> Owner {
        Owner::here(connection(index), Box::new([]))
    }

    #[test]
    fn the_last_connection_to_take_a_session_owns_it() {
        let mut owners = Owners::default();
        assert_eq!(owners.take_over(SESSION, owner(1)), None);
        assert_eq!(owners.take_over(SESSION, owner(2)), Some(connection(1)));
        assert_eq!(owners.claim(SESSION, connection(1)), Claim::Stranger);
        assert_eq!(owners.claim(SESSION, connection(2)), Claim::Owner);
    }

    #[test]
    fn a_late_goodbye_of_an_old_connection_does_not_disown_the_new_one() {
        let mut owners = Owners::default();
        owners.take_over(SESSION, owner(1));
        owners.take_over(SESSION, owner(2));
        owners.disconnect(SESSION, connection(1));
        assert_eq!(owners.claim(SESSION, connection(2)), Claim::Owner);
        owners.disconnect(SESSION, connection(2));
        assert_eq!(owners.claim(SESSION, connection(2)), Claim::Stranger);
    }

    #[test]
    fn a_session_moves_between_this_server_and_its_learners() {
        let (near, far) = (Link(1), Link(2));
        let mut owners = Owners::default();
        assert_eq!(owners.claim_at(SESSION, near), Claim::Owner, "nobody else has spoken");
        assert_eq!(owners.claim_at(SESSION, far), Claim::Stranger);
        assert_eq!(owners.take_over(SESSION, Owner::at(far)), None);
        assert_eq!(owners.claim_at(SESSION, near), Claim::Stranger);
        assert_eq!(owners.take_over(SESSION, owner(1)), None);
        assert_eq!(owners.claim_at(SESSION, far), Claim::Stranger);
        assert_eq!(owners.take_over(SESSION, Owner::at(far)), Some(connection(1)));
        owners.forget(far);
        assert_eq!(owners.claim_at(SESSION, near), Claim::Stranger, "it has left near for far");
    }

    #[test]
    fn who_was_left_stays_a_stranger_when_the_next_is_gone() {
        let near = Link(1);
        let mut owners = Owners::default();
        owners.take_over(SESSION, Owner::at(near));
        owners.take_over(SESSION, owner(1));
        owners.disconnect(SESSION, connection(1));
        assert_eq!(owners.claim_at(SESSION, near), Claim::Stranger);
        owners.take_over(SESSION, owner(2));
        assert_eq!(owners.leave(SESSION), Some(connection(2)));
        assert_eq!(owners.claim(SESSION, connection(2)), Claim::Stranger);
        assert_eq!(owners.leave(SESSION), None);
    }
}
