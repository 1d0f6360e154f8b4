//! Where the client door stands.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use super::error::ConfigError;
use super::settings::{Setting, Settings};

/// Apache's client port, and the only door of a server without a file.
const PORT_DEFAULT: u16 = 2_181;

/// An address and port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// `None` is every interface.
    pub ip: Option<IpAddr>,
    /// 0 lets the system choose one; the ready line tells which.
    pub port: u16,
}

impl ClientAddress {
    /// What to try in turn: every interface is IPv6 with IPv4 in it, as in Java, and IPv4 alone
    /// where the host has no IPv6.
    pub fn candidates(self) -> Vec<SocketAddr> {
        match self.ip {
            Some(ip) => vec![SocketAddr::new(ip, self.port)],
            None => vec![
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port),
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.port),
            ],
        }
    }

    /// Reads `clientPort` and `clientPortAddress`, then `member`: key and client part
    /// (`[address:]port`) of a single `server.N` line.
    // ZooKeeper: QuorumPeerConfig.parseProperties, setupClientPort.
    pub(super) fn take(
        file: Option<&Path>,
        member: Option<(String, Setting)>,
        s: &mut Settings,
    ) -> Result<Self, ConfigError> {
        let port = s.number("clientPort", 0..=u16::MAX, "a TCP port")?;
        let ip = match s.take("clientPortAddress") {
            Some(host) => Some(resolve(&host.value).ok_or_else(|| {
                host.refuse("clientPortAddress", "an address, or a name that resolves to one")
            })?),
            None if file.is_none() => Some(Ipv4Addr::LOCALHOST.into()),
            None => None,
        };
        match (port, member, file) {
            (Some(port), ..) => Ok(Self { ip, port }),
            (None, Some((key, client)), _) => Self::of_member(&client.value)
                .ok_or_else(|| client.refuse(&key, "[address:]port after the ;")),
            (None, None, None) => Ok(Self { ip, port: PORT_DEFAULT }),
            (None, None, Some(file)) => {
                let (file, key) = (file.to_owned(), "clientPort");
                Err(ConfigError::Missing { file, key, expected: "the TCP port for clients" })
            }
        }
    }

    fn of_member(client: &str) -> Option<Self> {
        let (host, port) = match client.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (None, client),
        };
        let ip = match host {
            None => None,
            Some(host) => {
                Some(resolve(host.trim_matches(['[', ']']))?).filter(|ip| !ip.is_unspecified())
            }
        };
        Some(Self { ip, port: port.parse().ok()? })
    }
}

/// As it was configured, for messages: `*:2181` is every interface.
impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::new(ip, self.port).fmt(f),
            None => write!(f, "*:{}", self.port),
        }
    }
}

fn resolve(host: &str) -> Option<IpAddr> {
    let mut addresses = (host, 0).to_socket_addrs().ok()?;
    addresses.next().map(|address| address.ip())
}
