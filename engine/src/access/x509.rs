//! The ids of scheme `x509`: the subject of a client certificate, as RFC 2253 writes it.
//!
//! Only the shape is judged here: components separated by `,`, `;` or `+`, each an attribute type
//! and a value, quoted, escaped or in hexadecimal. Matching compares the text, as Apache does.
//!
//! Facts: ZooKeeper `X509AuthenticationProvider.isValid`, which asks `X500Principal`.

/// Whether `dn` parses as a distinguished name. The empty one does.
pub(super) fn is_valid(dn: &str) -> bool {
    let mut rest = dn.trim();
    if rest.is_empty() {
        return true;
    }
    loop {
        let Some((kind, value)) = rest.split_once('=') else { return false };
        if !is_attribute_type(kind.trim()) {
            return false;
        }
        match skip_value(value) {
            Some("") => return true,
            Some(more) => rest = &more[1..],
            None => return false,
        }
    }
}

/// A keyword (`CN`) or an object identifier (`2.5.4.3`, with or without `OID.`).
fn is_attribute_type(kind: &str) -> bool {
    let oid = kind.strip_prefix("OID.").unwrap_or(kind);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_keyword = kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_keyword || (oid.contains('.') && oid.split('.').all(is_number))
}

/// What follows a value: empty, or beginning with a separator. `None` when the value is broken.
fn skip_value(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b';' | b'+' if !quoted => return Some(&text[at..]),
            b'=' | b'<' | b'>' if !quoted => return None,
            _ => {}
        }
    }
    (!quoted && !escaped).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distinguished_name_is_a_list_of_attributes() {
        let names = ["", "CN=u", "CN=client,OU=Unit,O=Ex Org,C=NO", "CN=a+OU=b", "2.5.4.3=x"];
        let values = ["CN=\"a,b\",O=x", "CN=a\\,b", "CN=", "cn=é; o=y", "OID.1.2=#0401"];
        for dn in names.into_iter().chain(values) {
            assert!(is_valid(dn), "{dn}");
        }
        for dn in ["u", "CN", "=x", "CN=a,", "CN=a,b", "CN=\"a", "CN=a\\", "1=x", "CN=a=b", "?=x"] {
            assert!(!is_valid(dn), "{dn}");
        }
    }
}
