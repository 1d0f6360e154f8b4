//! From the access list that a client sends to the one that is stored.

use std::collections::BTreeSet;

use menagerie_wire::ErrorCode;
use menagerie_wire::data::{Acl, Id};

use super::{ANYONE, AUTH, DIGEST, IP, SASL, WORLD, X509, digest, ip, sasl, x509};

/// Schemes that a server knows only when it is configured for them; `world`, `auth`, `digest` and
/// `ip` are always known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemes {
    pub sasl: bool,
    pub x509: bool,
}

/// Resolves and judges the list of a create or setACL.
///
/// Duplicates are dropped, and an entry of scheme `auth` becomes one per identity in `ids` that
/// proves something. `acl_bytes_max` bounds what that expansion may grow to.
///
/// # Errors
/// [`ErrorCode::InvalidAcl`] for an empty list or an entry that no scheme takes.
// ZooKeeper: PrepRequestProcessor.fixupACL
pub fn fixup<'a>(
    acl: Option<&[Acl<'a>]>,
    ids: &[Id<'static>],
    schemes: Schemes,
    acl_bytes_max: usize,
) -> Result<Vec<Acl<'a>>, ErrorCode> {
    let acl = acl.unwrap_or_default();
    let mut fixed = Vec::with_capacity(acl.len().min(4));
    let mut seen = BTreeSet::new();
    let mut bytes_left = acl_bytes_max;
    for entry in acl {
        if acl.len() > 1 && !seen.insert(entry) {
            continue;
        }
        let before = fixed.len();
        if entry.id.scheme == AUTH {
            let proven = ids.iter().filter(|id| proves_something(&id.scheme));
            fixed.extend(proven.map(|id| Acl { perms: entry.perms, id: id.clone() }));
        } else if is_valid(&entry.id, schemes) {
            fixed.push(entry.clone());
        }
        let added = &fixed[before..];
        let bytes = added.iter().map(encoded_len).sum();
        bytes_left = usize::checked_sub(bytes_left, bytes).ok_or(ErrorCode::InvalidAcl)?;
        if added.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
    }
    if fixed.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(fixed) }
}

/// Whether identities of a scheme say who the caller is, and not only where.
fn proves_something(scheme: &str) -> bool {
    matches!(scheme, DIGEST | SASL | X509)
}

fn is_valid(id: &Id<'_>, schemes: Schemes) -> bool {
    match &*id.scheme {
        WORLD => id.id == ANYONE,
        DIGEST => digest::is_valid(&id.id),
        IP => ip::Network::parse(&id.id).is_some(),
        SASL => schemes.sasl && sasl::is_valid(&id.id),
        X509 => schemes.x509 && x509::is_valid(&id.id),
        _ => false,
    }
}

/// Bytes of an encoded entry: three ints and two strings.
pub(crate) fn encoded_len(acl: &Acl<'_>) -> usize {
    12 + acl.id.scheme.len() + acl.id.id.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1000;

    fn ids() -> [Id<'static>; 4] {
        let ip = Id::new("ip", "127.0.0.1");
        [ip, Id::new("super", ""), Id::new("digest", "bob:h"), Id::new("digest", "al:h")]
    }

    fn check(acl: &[Acl<'_>], expect: Result<Vec<Acl<'_>>, ErrorCode>) {
        assert_eq!(fixup(Some(acl), &ids(), Schemes::default(), BYTES_MAX), expect, "{acl:?}");
    }

    #[test]
    fn auth_becomes_the_proven_identities_of_the_caller() {
        let both = vec![Acl::new(7, "digest", "bob:h"), Acl::new(7, "digest", "al:h")];
        check(&[Acl::new(7, "auth", "")], Ok(both.clone()));
        check(&[Acl::new(7, "auth", "ignored")], Ok(both));
        let nobody = fixup(Some(&[Acl::new(7, "auth", "")]), &ids()[..2], Schemes::default(), 99);
        assert_eq!(nobody, Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn duplicates_are_dropped_and_unknown_bits_kept() {
        let (odd, read) = (Acl::world(99), Acl::world(1));
        check(&[odd.clone(), read.clone(), odd.clone()], Ok(vec![odd, read]));
    }

    #[test]
    fn an_entry_that_no_scheme_takes_spoils_the_list() {
        let ok = Acl::world(31);
        let strangers = [("bogus", "x"), ("super", ""), ("", "x"), ("world", "nobody")];
        let unconfigured = [("sasl", "u"), ("x509", "CN=u")];
        let malformed = [("digest", "nocolon"), ("digest", "a:b:c"), ("ip", "1.2.3")];
        for (scheme, id) in strangers.into_iter().chain(unconfigured).chain(malformed) {
            check(&[ok.clone(), Acl::new(31, scheme, id)], Err(ErrorCode::InvalidAcl));
        }
        check(&[], Err(ErrorCode::InvalidAcl));
        assert_eq!(fixup(None, &ids(), Schemes::default(), 99), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn configured_schemes_are_taken() {
        let schemes = Schemes { sasl: true, x509: true };
        let acl = [Acl::new(31, "sasl", "bob@R"), Acl::new(1, "x509", "CN=u")];
        assert_eq!(fixup(Some(&acl), &[], schemes, BYTES_MAX), Ok(acl.to_vec()));
    }

    #[test]
    fn an_expansion_beyond_the_bound_is_refused() {
        let many: Vec<_> = (0..100).map(|perms| Acl::new(perms, "auth", "")).collect();
        check(&many, Err(ErrorCode::InvalidAcl));
    }
}
