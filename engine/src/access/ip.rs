//! The ids of scheme `ip`: an address, with an optional prefix length behind a slash.
//!
//! IPv4 and IPv6 never match each other, not even with a prefix length of 0, and the mixed
//! notation (`::ffff:1.2.3.4`) is no valid id.
//!
//! Facts: ZooKeeper `IPAuthenticationProvider` of 3.9.4.

use std::net::{IpAddr, Ipv6Addr};

/// The id of a connection from `peer`, in the form that Java gives an address.
pub(super) fn id_of(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            groups.join(":")
        }
    }
}

/// A network: an address whose bits below the prefix do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// An IPv4 address stands in the high 32 bits.
    bits: u128,
    is_v6: bool,
    prefix_bits: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let (bits, is_v6) = match v4(address) {
            Some(bits) => (u128::from(bits) << 96, false),
            None => (v6(address)?, true),
        };
        let width = if is_v6 { 128 } else { 32 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= width)?,
            None => width,
        };
        Some(Self { bits, is_v6, prefix_bits })
    }

    /// Whether `other`'s address lies in this network.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let differing = self.bits ^ other.bits;
        self.is_v6 == other.is_v6 && differing.leading_zeros() >= self.prefix_bits
    }
}

/// Four decimal parts; Java takes leading zeros, which the standard library does not.
fn v4(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let mut octets = [0u8; 4];
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| u32::from_be_bytes(octets))
}

fn v6(text: &str) -> Option<u128> {
    if text.contains('.') {
        return None;
    }
    text.parse::<Ipv6Addr>().ok().map(u128::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_valid_or_not_as_apache_says() {
        for id in ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0", "::1", "2001:db8::/32", "::/0"] {
            assert!(Network::parse(id).is_some(), "{id}");
        }
        let shapes = ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "localhost", "::ffff:127.0.0.1"];
        let prefixes = ["127.0.0.1/", "127.0.0.1/-1", "127.0.0.1/x", "1.2.3.4/33", "::/129"];
        for id in shapes.into_iter().chain(prefixes) {
            assert_eq!(Network::parse(id), None, "{id}");
        }
    }

    #[test]
    fn an_address_matches_within_its_own_family_and_prefix() {
        let check = |network: &str, address: &str, expect: bool| {
            let (network, address) = (Network::parse(network), Network::parse(address));
            assert_eq!(network.unwrap().contains(&address.unwrap()), expect);
        };
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("127.9.9.9/8", "127.0.0.1", true);
        check("10.0.0.0/8", "127.0.0.1", false);
        check("0.0.0.0/0", "127.0.0.1", true);
        check("::/0", "127.0.0.1", false);
        check("::1", "0:0:0:0:0:0:0:1", true);
        check("2001:db8::/32", "2001:db8:1:2:3:4:5:6", true);
    }

    #[test]
    fn an_address_is_written_as_java_does() {
        assert_eq!(id_of("127.0.0.1".parse().unwrap()), "127.0.0.1");
        assert_eq!(id_of("::1".parse().unwrap()), "0:0:0:0:0:0:0:1");
        assert_eq!(id_of("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
    }
}
