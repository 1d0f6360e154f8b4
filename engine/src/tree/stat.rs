//! What is kept of a znode beside its data: the persisted stat, and who owns the node.
//!
//! The persisted form differs from what a client sees in two fields: `cversion` counts creates
//! only, and `ephemeral_owner` also tells containers and TTL nodes apart. Both differences are
//! undone in `Node::stat`.
//!
//! Facts: ZooKeeper `StatPersisted` in `zookeeper.jute`, `EphemeralType`.
#![deny(unsafe_code)]

use menagerie_wire::{SessionId, Zxid};

/// The 60 bytes that snapshots and the digest cover. Times are the leader's wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatPersisted {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    /// Creates under this node, ever; a client sees 2 × this − children.
    pub cversion: i32,
    pub aversion: i32,
    pub owner: Owner,
}

/// What decides how long a node lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Until somebody deletes it.
    #[default]
    None,
    /// Ephemeral: as long as this session.
    Session(SessionId),
    /// Until its last child goes.
    Container,
    /// Until it has been childless and unchanged for this long.
    Ttl { ttl_ms: i64 },
}

const CONTAINER: i64 = i64::MIN;
/// A TTL node: top byte ff, 16 reserved zero bits, 40 bits of milliseconds.
const TTL_MARK: u64 = 0xff00_0000_0000_0000;
const TTL_BITS: u64 = 0x0000_00ff_ffff_ffff;

impl Owner {
    /// The longest TTL that the 40 bits of the stored form can hold.
    pub const TTL_MS_MAX: i64 = TTL_BITS as i64;

    /// The `ephemeralOwner` of snapshots and digest.
    ///
    /// # Panics
    /// When a TTL is not within 0..=[`Self::TTL_MS_MAX`]: requests are checked before.
    // ZooKeeper: EphemeralType.TTL.toEphemeralOwner
    pub fn to_raw(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Session(id) => id.0,
            Self::Container => CONTAINER,
            Self::Ttl { ttl_ms } => {
                assert!((0..=Self::TTL_MS_MAX).contains(&ttl_ms), "ttl of {ttl_ms} ms unchecked");
                (TTL_MARK | ttl_ms as u64) as i64
            }
        }
    }

    /// Total: what is no special mark is a session.
    // ZooKeeper: EphemeralType.get
    pub fn from_raw(raw: i64) -> Self {
        match raw {
            0 => Self::None,
            CONTAINER => Self::Container,
            raw if raw as u64 & !TTL_BITS == TTL_MARK => {
                Self::Ttl { ttl_ms: (raw as u64 & TTL_BITS) as i64 }
            }
            raw => Self::Session(SessionId(raw)),
        }
    }

    /// What a client's `Stat.ephemeralOwner` shows: 0 for all but ephemerals.
    pub fn session(self) -> SessionId {
        match self {
            Self::Session(id) => id,
            Self::None | Self::Container | Self::Ttl { .. } => SessionId::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_its_stored_form() {
        let check = |owner: Owner, raw: u64| {
            assert_eq!(owner.to_raw(), raw as i64);
            assert_eq!(Owner::from_raw(raw as i64), owner);
        };
        check(Owner::None, 0);
        check(Owner::Container, 0x8000_0000_0000_0000);
        check(Owner::Ttl { ttl_ms: 5000 }, 0xff00_0000_0000_1388);
        check(Owner::Ttl { ttl_ms: Owner::TTL_MS_MAX }, 0xff00_00ff_ffff_ffff);
        check(Owner::Session(SessionId(0x0100_001b_e6cd_0000)), 0x0100_001b_e6cd_0000);
        check(Owner::Session(SessionId(-1)), u64::MAX);
    }
}
