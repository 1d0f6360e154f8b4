//! One member of the ensemble: `host:quorumPort:electionPort:role;clientHost:clientPort`.
//!
//! Facts: ZooKeeper `QuorumPeer.QuorumServer`.

use std::fmt;
use std::str::FromStr;

use super::ConfigError;
use crate::address::{Host, HostPort, parse_port, split_host};

/// Whether a member votes. ZooKeeper: `QuorumPeer.LearnerType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnerType {
    Participant,
    Observer,
}

impl FromStr for LearnerType {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "participant" => Ok(Self::Participant),
            "observer" => Ok(Self::Observer),
            _ => Err(ConfigError::Role(text.into())),
        }
    }
}

impl fmt::Display for LearnerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        })
    }
}

/// One address of a member, with the ports that its peers connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    pub host: Host,
    pub quorum_port: u16,
    pub election_port: u16,
}

impl PeerAddress {
    pub fn quorum(&self) -> HostPort {
        HostPort { host: self.host.clone(), port: self.quorum_port }
    }

    pub fn election(&self) -> HostPort {
        HostPort { host: self.host.clone(), port: self.election_port }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.quorum_port, self.election_port)
    }
}

/// The value of one `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Sorted, not empty; more than one only with `multiAddress.enabled`.
    pub addresses: Vec<PeerAddress>,
    pub learner_type: LearnerType,
    /// Where clients connect; `None` where the static configuration alone says it.
    pub client: Option<HostPort>,
}

impl FromStr for Member {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(parse_client(client)?)),
            None => (text, None),
        };
        let mut addresses = Vec::new();
        let mut role = None;
        for server in servers.split('|') {
            let (address, own) = parse_server(server)?;
            if own.is_some() && role.is_some_and(|role| own != Some(role)) {
                return Err(ConfigError::Roles(text.into()));
            }
            role = own.or(role);
            addresses.push(address);
        }
        addresses.sort();
        addresses.dedup();
        let learner_type = role.unwrap_or(LearnerType::Participant);
        Ok(Self { addresses, learner_type, client })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(PeerAddress::to_string).collect();
        write!(f, "{}:{}", addresses.join("|"), self.learner_type)?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

fn parse_server(text: &str) -> Result<(PeerAddress, Option<LearnerType>), ConfigError> {
    let (host, rest) = split_host(text)?;
    let (quorum, election, role) = match rest[..] {
        [quorum, election] => (quorum, election, None),
        [quorum, election, role] => (quorum, election, Some(role.parse()?)),
        _ => return Err(ConfigError::Line(text.into())),
    };
    let (quorum_port, election_port) = (parse_port(quorum)?, parse_port(election)?);
    if quorum_port == election_port {
        return Err(ConfigError::SamePort(quorum_port));
    }
    Ok((PeerAddress { host, quorum_port, election_port }, role))
}

/// `port` alone means every address of the server.
fn parse_client(text: &str) -> Result<HostPort, ConfigError> {
    let text = if text.contains(':') { text.into() } else { format!("0.0.0.0:{text}") };
    Ok(HostPort::parse(&text)?)
}
