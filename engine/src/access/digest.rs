//! The ids of scheme `digest`: a user name, a colon, and a hash that stands for the password.
//!
//! The hash covers user, colon and password together; whoever shows the same bytes again gets the
//! same id. It is as safe as SHA-1 of a password is: ids are therefore masked before they are
//! shown to callers that may not administer the node.
//!
//! Facts: ZooKeeper `DigestAuthenticationProvider`, `FinalRequestProcessor.handleGetACLRequest`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The id of whoever shows `auth`, usually `user:password`.
///
/// Without a colon the whole string is the user. Invalid UTF-8 is replaced before it is hashed,
/// as Java's string decoding does.
pub(super) fn id_of(auth: &[u8]) -> String {
    let shown = String::from_utf8_lossy(auth);
    let mut id = user_of(&shown).to_owned();
    id.push(':');
    STANDARD.encode_string(Sha1::digest(shown.as_bytes()), &mut id);
    id
}

/// The part of an id that may be shown to anybody.
pub(super) fn user_of(id: &str) -> &str {
    id.split(':').next().unwrap_or(id)
}

/// Exactly two parts, of which trailing empty ones do not count (Java's `String.split`).
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_ones_apache_makes() {
        assert_eq!(id_of(b"bob:pw"), "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=");
        assert_eq!(id_of(b"alice:pw2"), "alice:mrY6TCPT2kWwYMqBxXWkQ9n4Hms=");
        assert_eq!(id_of(b"super:secret"), "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");
        assert!(id_of(b"nocolon").starts_with("nocolon:"));
        assert!(id_of(b"a:b:c:d").starts_with("a:"));
        assert!(id_of(b"").starts_with(":"));
    }

    #[test]
    fn a_valid_id_has_two_parts() {
        for id in ["user:x", ":x", "a:b:"] {
            assert!(is_valid(id), "{id}");
        }
        for id in ["", "nocolon", "a:", ":", "a:b:c"] {
            assert!(!is_valid(id), "{id}");
        }
    }
}
