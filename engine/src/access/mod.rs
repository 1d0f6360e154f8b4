//! Who may do what: identities of connections, and the access lists that speak about them.
//!
//! A connection has a set of identities, always one of scheme `ip` and whatever [`authenticate`]
//! adds. A node has a list of entries, each granting permission bits to one identity. The schemes'
//! rules of validity and matching are one file each; this one holds what they share.
//!
//! A request's list is not what is stored: [`fixup`] resolves `auth` into the caller's identities
//! and refuses what no scheme knows, so that a stored list can be evaluated anywhere without
//! asking who made it.
//!
//! Facts: ZooKeeper `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`.

mod digest;
mod fixup;
mod ip;
mod sasl;
mod x509;

use std::net::IpAddr;

use menagerie_wire::ErrorCode;
use menagerie_wire::data::{Acl, Id, perms};
use menagerie_wire::jute::{Put, jute_len};
use thiserror::Error;

use crate::tree::{AclHandle, AclList};

pub(crate) use fixup::encoded_len;
pub use fixup::{Schemes, fixup};

const WORLD: &str = "world";
const ANYONE: &str = "anyone";
const AUTH: &str = "auth";
const DIGEST: &str = "digest";
const IP: &str = "ip";
const SASL: &str = "sasl";
const SUPER: &str = "super";
const X509: &str = "x509";

/// An auth packet that proves nothing: the client is told so and disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("authentication failed")]
pub struct AuthFailed;

/// The identity that every connection from `peer` has.
pub fn ip_identity(peer: IpAddr) -> Id<'static> {
    Id::new(IP, ip::id_of(peer))
}

/// The identities that an auth packet adds to its connection.
///
/// `super_digest` is the digest id whose owner is `super` and may do everything.
///
/// # Errors
/// When the scheme is none that can be proved by a packet, or its data is null.
pub fn authenticate(
    scheme: Option<&str>,
    auth: Option<&[u8]>,
    super_digest: Option<&str>,
    peer: IpAddr,
) -> Result<Vec<Id<'static>>, AuthFailed> {
    match scheme {
        Some(DIGEST) => {
            let id = digest::id_of(auth.ok_or(AuthFailed)?);
            let is_super = super_digest == Some(&id);
            let superuser = is_super.then(|| Id::new(SUPER, ""));
            Ok(superuser.into_iter().chain([Id::new(DIGEST, id)]).collect())
        }
        Some(IP) => Ok(vec![ip_identity(peer)]),
        _ => Err(AuthFailed),
    }
}

/// Whether an identity may do everything.
pub fn is_super(ids: &[Id<'_>]) -> bool {
    ids.iter().any(|id| id.scheme == SUPER)
}

/// Whether `list` grants one of the bits in `needed` to one of `ids`. An empty list grants all.
pub fn permits(list: AclList<'_>, needed: i32, ids: &[Id<'_>]) -> bool {
    if list.is_world_all() && needed & perms::ALL != 0 {
        return true;
    }
    let mut entries = list.iter().peekable();
    let grants = |acl: Acl<'_>| acl.perms & needed != 0 && is_for(&acl.id, ids);
    entries.peek().is_none() || is_super(ids) || entries.any(grants)
}

/// Whether a watcher with `ids` may be told about a node with this list.
pub fn may_read(handle: &AclHandle, ids: &[Id<'_>]) -> bool {
    handle.is_world_readable() || permits(handle.list(), perms::READ, ids)
}

fn is_for(entry: &Id<'_>, ids: &[Id<'_>]) -> bool {
    let is_anyone = entry.scheme == WORLD && entry.id == ANYONE;
    let same_scheme = |id: &&Id<'_>| id.scheme == entry.scheme;
    is_anyone || ids.iter().filter(same_scheme).any(|id| matches(&entry.scheme, &id.id, &entry.id))
}

/// Whether the identity `id` is meant by the entry `expression` of the same scheme.
fn matches(scheme: &str, id: &str, expression: &str) -> bool {
    match scheme {
        IP => match (ip::Network::parse(expression), ip::Network::parse(id)) {
            (Some(network), Some(address)) => network.contains(&address),
            _ => false,
        },
        SASL => sasl::matches(id, expression),
        DIGEST | X509 => id == expression,
        _ => false,
    }
}

/// Writes `list` as getACL shows it to a caller that may not administer the node: a digest id
/// keeps its user name and loses its hash.
pub fn encode_masked(list: AclList<'_>, out: &mut Vec<u8>) {
    let entries: Vec<Acl<'_>> = list.iter().collect();
    out.put_int(jute_len(entries.len()));
    for acl in entries {
        out.put_int(acl.perms);
        out.put_string(&acl.id.scheme);
        match acl.id.id.split_once(':') {
            Some((user, _)) if acl.id.scheme == DIGEST => {
                out.put_int(jute_len(user.len() + 2));
                out.extend_from_slice(user.as_bytes());
                out.extend_from_slice(b":x");
            }
            _ => out.put_string(&acl.id.id),
        }
    }
}

/// Writes whoAmI's answer: scheme and user name of every identity, never a hash.
pub fn encode_who_am_i(ids: &[Id<'_>], out: &mut Vec<u8>) {
    out.put_int(jute_len(ids.len()));
    for id in ids {
        out.put_string(&id.scheme);
        out.put_string(if id.scheme == DIGEST { digest::user_of(&id.id) } else { &id.id });
    }
}

impl From<AuthFailed> for ErrorCode {
    fn from(AuthFailed: AuthFailed) -> Self {
        Self::AuthFailed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn bob() -> Vec<Id<'static>> {
        [
            vec![ip_identity(PEER)],
            authenticate(Some("digest"), Some(b"bob:pw"), None, PEER).unwrap(),
        ]
        .concat()
    }

    fn check(acl: &[Acl<'_>], needed: i32, ids: &[Id<'_>], expect: bool) {
        assert_eq!(permits(AclHandle::new(acl).list(), needed, ids), expect, "{acl:?} {needed}");
    }

    #[test]
    fn an_entry_grants_its_bits_to_its_identity() {
        let hers = Acl::new(perms::READ, "digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=");
        let hers = [hers];
        check(&hers, perms::READ, &bob(), true);
        check(&hers, perms::WRITE, &bob(), false);
        check(&hers, perms::READ | perms::ADMIN, &bob(), true);
        check(&hers, perms::READ, &[ip_identity(PEER)], false);
        check(&[Acl::new(31, "ip", "127.0.0.0/8")], perms::ADMIN, &bob(), true);
        check(&[Acl::new(31, "ip", "10.0.0.0/8")], perms::ADMIN, &bob(), false);
        check(&[Acl::world(perms::READ)], perms::READ, &[], true);
        check(&[Acl::new(31, "world", "nobody")], perms::READ, &bob(), false);
        check(&[], perms::READ, &[], true);
    }

    #[test]
    fn the_super_identity_is_granted_everything() {
        let digest = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
        let shown = Some(&b"super:secret"[..]);
        let ids = authenticate(Some("digest"), shown, Some(digest), PEER).unwrap();
        assert_eq!(ids, [Id::new("super", ""), Id::new("digest", digest)]);
        check(&[Acl::new(0, "digest", "nobody:x")], perms::ADMIN, &ids, true);
    }

    #[test]
    fn only_digest_and_ip_packets_prove_something() {
        let check = |scheme, auth, expect| {
            assert_eq!(authenticate(scheme, auth, None, PEER), expect);
        };
        let ip = Ok(vec![Id::new("ip", "127.0.0.1")]);
        check(Some("ip"), None, ip);
        for scheme in [Some("world"), Some("super"), Some("sasl"), Some("bogus"), None] {
            check(scheme, Some(&b"x"[..]), Err(AuthFailed));
        }
        check(Some("digest"), None, Err(AuthFailed));
    }

    #[test]
    fn hashes_are_never_shown_to_others() {
        let acl = [Acl::new(31, "digest", "bob:hash"), Acl::world(1), Acl::new(1, "ip", "::1")];
        let mut out = Vec::new();
        encode_masked(AclHandle::new(&acl).list(), &mut out);
        let masked = [Acl::new(31, "digest", "bob:x"), acl[1].clone(), acl[2].clone()];
        let mut expect = Vec::new();
        expect.put_vector(&masked);
        assert_eq!(out, expect);

        let mut out = Vec::new();
        encode_who_am_i(&bob(), &mut out);
        let mut expect = Vec::new();
        expect.put_vector(&[Id::new("ip", "127.0.0.1"), Id::new("digest", "bob")]);
        assert_eq!(out, expect);
    }
}
