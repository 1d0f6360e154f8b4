//! The numbers that must not be mixed: zxid, epoch, server id, session id, xid.
//!
//! Each is a newtype, so that a signature with two of them cannot be called the wrong way round.
//! They are signed where Apache's are: zxids compare as signed 64-bit values, and clients may
//! present negative ones.

use std::fmt;

/// Transaction id: the epoch in the high 32 bits, a counter in the low 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// What a server that has seen no transaction reports.
    pub const ZERO: Self = Self(0);
    /// Header value of replies and events that belong to no transaction.
    pub const NONE: Self = Self(-1);

    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as i64) << 32) | counter as i64)
    }

    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Position inside the epoch; the first transaction of an epoch has counter 1.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The zxid that follows inside the same epoch.
    ///
    /// # Panics
    /// When the counter is exhausted: the epoch must be changed before that happens.
    pub const fn next(self) -> Self {
        assert!(self.counter() != u32::MAX, "zxid counter exhausted: a new epoch is due");
        Self(self.0 + 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reign of one leader: the high half of a zxid, and the value of `acceptedEpoch`, `currentEpoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// # Panics
    /// When the 32-bit epoch space is exhausted.
    pub const fn next(self) -> Self {
        assert!(self.0 < i32::MAX as u32, "epoch space exhausted");
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// `myid`: the number of an ensemble member. A standalone server is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A client's session: the creating server's id in the top byte, then clock bits and a counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// "Give me a new session" in a ConnectRequest, "you have none" in its response.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client's own number for a request. Only the few constants mean something to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Xid(pub i32);

impl Xid {
    /// Header of a watch event.
    pub const NOTIFICATION: Self = Self(-1);
    /// Header of every ping reply, whatever xid the ping carried.
    pub const PING: Self = Self(-2);
    /// What Java and C clients put on auth packets.
    pub const AUTH: Self = Self(-4);
    /// What Java and C clients put on setWatches.
    pub const SET_WATCHES: Self = Self(-8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_an_epoch_and_a_counter() {
        let zxid = Zxid::new(Epoch(3), 7);
        assert_eq!(zxid.0, 0x3_0000_0007);
        assert_eq!((zxid.epoch(), zxid.counter()), (Epoch(3), 7));
        assert_eq!(zxid.next(), Zxid(0x3_0000_0008));
    }

    #[test]
    #[should_panic(expected = "new epoch is due")]
    fn the_counter_never_rolls_into_the_epoch() {
        let _ = Zxid::new(Epoch(1), u32::MAX).next();
    }
}
