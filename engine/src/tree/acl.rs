//! Access lists: each distinct one is kept once, as the jute bytes that `getACL` answers with.
//!
//! Nearly every node of nearly every tree is open to anyone. That list has no entry at all: it is
//! recognised when it comes in and stands for itself when it is asked for.
#![deny(unsafe_code)]

use std::sync::Arc;

use menagerie_wire::Decode;
use menagerie_wire::data::{Acl, perms};
use menagerie_wire::jute::{Put, Reader};

/// The jute vector of `world:anyone` with all permissions.
pub(crate) const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// A node's access list, borrowed from the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclList<'a> {
    jute: &'a [u8],
}

impl<'a> AclList<'a> {
    /// `jute` must be an encoded vector of ACLs.
    pub(crate) fn new(jute: &'a [u8]) -> Self {
        Self { jute }
    }

    /// Whether this is `world:anyone` with all permissions, which needs no further look.
    pub fn is_world_all(self) -> bool {
        self.jute == OPEN
    }

    /// The encoded `vector<ACL>`, as it stands in a reply.
    pub fn jute(self) -> &'a [u8] {
        self.jute
    }

    pub fn iter(self) -> impl Iterator<Item = Acl<'a>> {
        let mut reader = Reader::new(self.jute);
        let count = reader.count().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| Acl::decode(&mut reader).ok())
    }
}

/// An access list that outlives the root it was read from. Cheap to clone and to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclHandle {
    /// `None` is the open list.
    jute: Option<Arc<[u8]>>,
}

impl AclHandle {
    /// `world:anyone` with all permissions.
    pub const OPEN: Self = Self { jute: None };

    pub fn new(acl: &[Acl<'_>]) -> Self {
        if acl == const { &[Acl::world(perms::ALL)] } {
            return Self::OPEN;
        }
        Self::from_jute(&encode(acl))
    }

    pub fn list(&self) -> AclList<'_> {
        AclList::new(self.jute.as_deref().unwrap_or(OPEN))
    }

    /// Whether anyone may read, so that no identity has to be looked at.
    pub fn is_world_readable(&self) -> bool {
        let readable = |acl: Acl<'_>| {
            acl.perms & perms::READ != 0 && acl.id.scheme == "world" && acl.id.id == "anyone"
        };
        self.jute.is_none() || self.list().iter().any(readable)
    }

    pub(crate) fn from_jute(jute: &[u8]) -> Self {
        Self { jute: (jute != OPEN).then(|| jute.into()) }
    }
}

/// The stored form of a list.
pub(crate) fn encode(acl: &[Acl<'_>]) -> Vec<u8> {
    let mut jute = Vec::new();
    jute.put_vector(acl);
    jute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_list_is_world_anyone_all() {
        assert_eq!(encode(&[Acl::world(perms::ALL)]), OPEN);
        assert!(AclHandle::OPEN.list().is_world_all());
        assert_eq!(AclHandle::from_jute(OPEN), AclHandle::OPEN);
    }

    #[test]
    fn a_list_is_read_back_as_it_was_given() {
        let acl = [Acl::world(perms::READ), Acl::new(31, "digest", "me:hash")];
        let handle = AclHandle::from_jute(&encode(&acl));
        assert_eq!(handle.list().iter().collect::<Vec<_>>(), acl);
        assert!(!handle.list().is_world_all());
        assert!(handle.is_world_readable());
    }
}
