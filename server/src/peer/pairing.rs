//! One pair of members on the election port: which connection stays, which message leaves.
//!
//! The rule of the port: a pair has one connection, dialled by the larger id. Either side dials
//! when it has something to say; a smaller one says its name, hangs up and is dialled back. Of the
//! messages to one peer only the newest waits, and whatever was last said is said again on a new
//! connection: nobody knows whether it arrived.
//!
//! Pure: what to dial, adopt and send is answered here, and done in `election_link.rs`.
//! Facts: ZooKeeper `QuorumCnxManager`.

use std::rc::Rc;

use menagerie_wire::ServerId;

/// One message with its frame.
pub(super) type Message = Rc<[u8]>;

/// Names a connection for its life; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(pub(super) u64);

/// What the other side was last seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Health {
    #[default]
    Unknown,
    Up,
    Down,
}

/// How far dialling has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Dialling {
    #[default]
    No,
    Trying,
    /// Between two attempts; the number tells this pause from later ones.
    Pausing(u32),
}

/// The other member of a pair, seen from here.
#[derive(Debug)]
pub(super) struct Pair {
    /// Whether a connection that we dial stays.
    dials: bool,
    unsent: Option<Message>,
    last: Option<Message>,
    connection: Option<Generation>,
    dialling: Dialling,
    pauses: u32,
    health: Health,
}

impl Pair {
    pub(super) fn new(ours: ServerId, theirs: ServerId) -> Self {
        Self {
            dials: ours > theirs,
            unsent: None,
            last: None,
            connection: None,
            dialling: Dialling::No,
            pauses: 0,
            health: Health::Unknown,
        }
    }

    /// Whether connections that we dial stay; those that the peer dials stay otherwise.
    pub(super) const fn dials(&self) -> bool {
        self.dials
    }

    /// Takes a message; it replaces one that has not left.
    pub(super) fn post(&mut self, message: Message) {
        self.unsent = Some(message);
    }

    /// The message to send now.
    pub(super) fn take_unsent(&mut self) -> Option<Message> {
        let message = self.unsent.take()?;
        self.last = Some(Rc::clone(&message));
        Some(message)
    }

    pub(super) fn is_current(&self, generation: Generation) -> bool {
        self.connection == Some(generation)
    }

    /// `true`: an attempt to reach the peer begins now.
    pub(super) fn dial_if_needed(&mut self) -> bool {
        let needed = self.connection.is_none() && self.unsent.is_some();
        let begin = needed && self.dialling == Dialling::No;
        if begin {
            self.dialling = Dialling::Trying;
        }
        begin
    }

    /// The smaller one calls: its old connection is dead. `true`: dial back, now.
    pub(super) fn called_back(&mut self) -> bool {
        assert!(self.dials, "the larger id is never called back");
        self.disconnect();
        let begin = self.dialling != Dialling::Trying;
        self.dialling = Dialling::Trying;
        begin
    }

    /// An attempt is over; the answer names the pause that follows it.
    pub(super) fn attempted(&mut self) -> u32 {
        self.pauses = self.pauses.wrapping_add(1);
        self.dialling = Dialling::Pausing(self.pauses);
        self.pauses
    }

    /// The pause is over. `true`: the next attempt begins now.
    pub(super) fn paused(&mut self, pause: u32) -> bool {
        if self.dialling != Dialling::Pausing(pause) {
            return false;
        }
        self.dialling = Dialling::No;
        self.dial_if_needed()
    }

    /// A connection stays, in place of any older one. `true`: the peer had not been up.
    pub(super) fn adopt(&mut self, generation: Generation) -> bool {
        self.disconnect();
        self.connection = Some(generation);
        std::mem::replace(&mut self.health, Health::Up) != Health::Up
    }

    /// The connection in force, if it was this one, has ended.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        if self.unsent.is_none() {
            self.unsent = self.last.clone();
        }
    }

    /// The peer cannot be reached, or hung up. `true`: it had not been down.
    pub(super) fn failed(&mut self) -> bool {
        self.connection.is_none()
            && std::mem::replace(&mut self.health, Health::Down) != Health::Down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ours: i64, theirs: i64) -> Pair {
        Pair::new(ServerId(ours), ServerId(theirs))
    }

    fn message(byte: u8) -> Message {
        Rc::from([byte])
    }

    #[test]
    fn the_newest_message_replaces_one_that_has_not_left() {
        let mut pair = pair(2, 1);
        pair.post(message(1));
        pair.post(message(2));
        assert_eq!(pair.take_unsent(), Some(message(2)));
        assert_eq!(pair.take_unsent(), None);
    }

    #[test]
    fn a_new_connection_repeats_what_was_said_last_unless_there_is_news() {
        let mut pair = pair(2, 1);
        pair.post(message(1));
        pair.adopt(Generation(1));
        assert_eq!(pair.take_unsent(), Some(message(1)));
        pair.adopt(Generation(2));
        assert_eq!(pair.take_unsent(), Some(message(1)));
        pair.post(message(2));
        pair.adopt(Generation(3));
        assert_eq!(pair.take_unsent(), Some(message(2)));
        assert!(!pair.is_current(Generation(2)) && pair.is_current(Generation(3)));
    }

    #[test]
    fn one_attempt_at_a_time_and_only_with_something_to_say() {
        let mut pair = pair(2, 1);
        assert!(!pair.dial_if_needed());
        pair.post(message(1));
        assert!(pair.dial_if_needed());
        assert!(!pair.dial_if_needed());
        let pause = pair.attempted();
        assert!(!pair.dial_if_needed(), "not before the pause is over");
        assert!(pair.paused(pause));
        let pause = pair.attempted();
        pair.adopt(Generation(1));
        assert!(!pair.paused(pause), "connected in the meantime");
    }

    #[test]
    fn a_call_from_the_smaller_id_ends_the_pause_and_the_old_connection() {
        let mut pair = pair(2, 1);
        assert!(pair.dials());
        pair.adopt(Generation(1));
        assert!(pair.called_back());
        assert!(!pair.is_current(Generation(1)));
        assert!(!pair.called_back(), "it is being dialled");
        let pause = pair.attempted();
        assert!(pair.called_back());
        assert!(!pair.paused(pause), "that pause was cut short");
    }

    #[test]
    fn health_is_told_when_it_changes() {
        let mut pair = pair(1, 2);
        assert!(pair.failed());
        assert!(!pair.failed());
        assert!(pair.adopt(Generation(1)));
        assert!(!pair.adopt(Generation(2)));
        assert!(!pair.failed(), "an attempt that fails beside a connection means nothing");
        pair.disconnect();
        assert!(pair.failed());
    }
}
