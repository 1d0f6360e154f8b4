//! The ids of scheme `sasl`: the name that an exchange has established, usually a principal.
//!
//! Facts: ZooKeeper `SASLAuthenticationProvider`, `KerberosName`.

/// The connection that authenticated under this name matches every entry of the scheme.
const SUPER_NAME: &str = "super";

/// A plain name, or `service[/host]@REALM`.
pub(super) fn is_valid(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((principal, realm)) => {
            principal.split('/').count() <= 2 && !realm.contains(['/', '@'])
        }
    }
}

pub(super) fn matches(id: &str, expression: &str) -> bool {
    id == expression || id == SUPER_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_realm_is_a_principal() {
        for id in ["bob", "bob@REALM", "zk/host@REALM", "a/b", ""] {
            assert!(is_valid(id), "{id}");
        }
        for id in ["a@b@c", "a/b/c@R", "a@b/c"] {
            assert!(!is_valid(id), "{id}");
        }
    }
}
