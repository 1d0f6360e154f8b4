//! `host:port`, as ensemble members write it to each other and in their configuration.
//!
//! An IPv6 literal stands in brackets, and Java prints all eight of its groups; a name is kept as
//! it is, since it is resolved again at every attempt to connect. Facts: ZooKeeper
//! `ConfigUtils.getHostAndPort`, `QuorumPeer.QuorumServer.delimitedHostString`.

// From `core`, where addresses are values and no socket is in reach.
use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

use thiserror::Error;

/// Why a text is no address. Whoever wrote the configuration, or the peer, is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("{0:?} has not the parts that are expected here, separated by ':'")]
    Parts(String),
    #[error("{0:?} is no host")]
    Host(String),
    #[error("{0:?} is no port")]
    Port(String),
}

/// A name, or an address in Java's spelling, without brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

impl Host {
    /// # Errors
    /// When `text`, which may be an IPv6 literal without brackets, can be no host.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let literal = text.parse().map(|ip: Ipv6Addr| ip.to_canonical());
        match literal {
            Ok(IpAddr::V6(ip)) => {
                Ok(Self(ip.segments().map(|group| format!("{group:x}")).join(":")))
            }
            Ok(IpAddr::V4(ip)) => Ok(Self(ip.to_string())),
            Err(_) if text.is_empty() || text.contains(forbidden) => {
                Err(AddressError::Host(text.into()))
            }
            Err(_) => Ok(Self(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this says "any address of mine": no peer can be reached there.
    pub fn is_wildcard(&self) -> bool {
        self.0.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
    }
}

/// Separators of the texts that hosts stand in. A ':' remains for scoped literals (`fe80::1%eth0`).
fn forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "[]|;=,".contains(c)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    pub host: Host,
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, rest) = split_host(text)?;
        let [port] = rest[..] else { return Err(AddressError::Parts(text.into())) };
        Ok(Self { host, port: parse_port(port)? })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The host that `text` begins with, and what follows it, split at each ':'.
pub(crate) fn split_host(text: &str) -> Result<(Host, Vec<&str>), AddressError> {
    let parts = |text: &str| AddressError::Parts(text.into());
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or_else(|| parts(text))?;
            (host, rest.strip_prefix(':').ok_or_else(|| parts(text))?)
        }
        None => text.split_once(':').ok_or_else(|| parts(text))?,
    };
    Ok((Host::new(host)?, rest.split(':').collect()))
}

pub(crate) fn parse_port(text: &str) -> Result<u16, AddressError> {
    text.parse().map_err(|_| AddressError::Port(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_java_prints_it() {
        let check = |text: &str, expect: &str| {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), expect);
        };
        check("127.0.0.1:3888", "127.0.0.1:3888");
        check("zoo1.example:3888", "zoo1.example:3888");
        check("[2001:db8::1]:3888", "[2001:db8:0:0:0:0:0:1]:3888");
        check("[::]:3888", "[0:0:0:0:0:0:0:0]:3888");
        check("[::ffff:10.0.0.1]:3888", "10.0.0.1:3888");
        check("[fe80::1%eth0]:3888", "[fe80::1%eth0]:3888");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let check = |text: &str, expect: fn(String) -> AddressError, part: &str| {
            assert_eq!(HostPort::parse(text), Err(expect(part.into())));
        };
        check("zoo1", AddressError::Parts, "zoo1");
        check("zoo1:2888:3888", AddressError::Parts, "zoo1:2888:3888");
        check("[::1", AddressError::Parts, "[::1");
        check("[::1]", AddressError::Parts, "[::1]");
        check("[::1]3888", AddressError::Parts, "[::1]3888");
        check(":3888", AddressError::Host, "");
        check("a b:3888", AddressError::Host, "a b");
        check("zoo1:", AddressError::Port, "");
        check("zoo1:65536", AddressError::Port, "65536");
        check("zoo1:-1", AddressError::Port, "-1");
    }

    #[test]
    fn only_the_unspecified_addresses_are_wildcards() {
        let check = |host, expect| assert_eq!(Host::new(host).unwrap().is_wildcard(), expect);
        check("0.0.0.0", true);
        check("::", true);
        check("127.0.0.1", false);
        check("zoo1", false);
    }
}
