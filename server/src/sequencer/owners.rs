//! Which connection speaks for which session.
//!
//! A session has at most one owner: the connection that opened it or resumed it last. A request
//! through any other connection is refused, so that a client which moved on cannot be overtaken by
//! its own older requests (ZooKeeper: `SessionTrackerImpl.checkSession`, SESSIONMOVED).

use hashbrown::HashMap;
use menagerie_wire::SessionId;
use menagerie_wire::data::Id;

use crate::sequencer::message::ConnectionKey;

/// The connection of a session, and who its client has proved to be.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) connection: ConnectionKey,
    pub(crate) ids: Box<[Id<'static>]>,
}

/// What a session's table says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Owner,
    /// Another connection, or none, speaks for the session.
    Stranger,
}

/// Sessions with a connection. Those without one are only in the tree.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_session: HashMap<SessionId, Owner>,
}

impl Owners {
    /// Makes `connection` the session's owner and returns the one it takes it from.
    pub(crate) fn take_over(&mut self, session: SessionId, owner: Owner) -> Option<ConnectionKey> {
        let new = owner.connection;
        let old = self.by_session.insert(session, owner).map(|old| old.connection);
        old.filter(|&old| old != new)
    }

    pub(crate) fn claim(&self, session: SessionId, connection: ConnectionKey) -> Claim {
        match self.by_session.get(&session) {
            Some(owner) if owner.connection == connection => Claim::Owner,
            _ => Claim::Stranger,
        }
    }

    pub(crate) fn identify(
        &mut self,
        session: SessionId,
        connection: ConnectionKey,
        ids: Box<[Id<'static>]>,
    ) {
        if let Some(owner) = self.by_session.get_mut(&session)
            && owner.connection == connection
        {
            owner.ids = ids;
        }
    }

    pub(crate) fn ids(&self, session: SessionId) -> &[Id<'static>] {
        self.by_session.get(&session).map_or(&[], |owner| &owner.ids)
    }

    /// The session is closed: nobody speaks for it any more.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<ConnectionKey> {
        self.by_session.remove(&session).map(|owner| owner.connection)
    }

    /// The connection is gone, the session is not.
    pub(crate) fn disconnect(&mut self, session: SessionId, connection: ConnectionKey) {
        if self.claim(session, connection) == Claim::Owner {
            self.by_session.remove(&session);
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
        Owner { connection: connection(index), ids: Box::new([]) }
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
}
