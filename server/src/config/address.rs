//! Where the client door stands.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use menagerie_wire::address::HostPort;

use super::error::ConfigError;
use super::members::DoorLine;
use super::settings::{Setting, Settings};

/// Apache's client port, and the only door of a server without a file.
pub const CLIENT_PORT_DEFAULT: u16 = 2_181;

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

    /// Reads `clientPort` and `clientPortAddress`, and what the own `server.N` line says beside.
    // ZooKeeper: QuorumPeerConfig.parseProperties, setupClientPort.
    pub(super) fn take(
        file: Option<&Path>,
        line: Option<DoorLine>,
        s: &mut Settings,
    ) -> Result<Self, ConfigError> {
        let port = s.number("clientPort", 0..=u16::MAX, "a TCP port")?;
        let ip = match s.take("clientPortAddress") {
            Some(host) if port.is_none() && file.is_some() => {
                return Err(host.refuse("clientPortAddress", "clientPort beside it"));
            }
            Some(host) => Some(resolve(&host.value).ok_or_else(|| {
                host.refuse("clientPortAddress", "an address, or a name that resolves to one")
            })?),
            None if file.is_none() => Some(Ipv4Addr::LOCALHOST.into()),
            None => None,
        };
        let given = port.map(|port| Self { ip, port });
        match (given, line, file) {
            (Some(given), Some(line), _) if line.binding => {
                let (own, key, setting) = Self::of_line(line)?;
                if given.agrees_with(own) {
                    return Ok(own);
                }
                let expected = format!("the client address that clientPort says, {given}");
                Err(setting.refuse(&key, expected))
            }
            (Some(given), ..) => Ok(given),
            (None, Some(line), _) => Self::of_line(line).map(|(own, ..)| own),
            (None, None, None) => Ok(Self { ip, port: CLIENT_PORT_DEFAULT }),
            (None, None, Some(file)) => {
                let (file, key) = (file.to_owned(), "clientPort");
                Err(ConfigError::Missing { file, key, expected: "the TCP port for clients" })
            }
        }
    }

    /// The address that the line gives, and the line.
    fn of_line(line: DoorLine) -> Result<(Self, String, Setting), ConfigError> {
        let DoorLine { key, setting, client: HostPort { host, port }, .. } = line;
        match resolve(host.as_str()) {
            Some(ip) => {
                let ip = Some(ip).filter(|ip| !ip.is_unspecified());
                Ok((Self { ip, port }, key, setting))
            }
            None => {
                Err(setting.refuse(&key, format!("a client address that resolves, not {host}")))
            }
        }
    }

    /// Whether `line` does not contradict this: a line may narrow "every interface", not widen.
    fn agrees_with(self, line: Self) -> bool {
        let every = self.ip.is_none_or(|ip| ip.is_unspecified());
        self.port == line.port && (every || self.ip == line.ip)
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
