//! What a member of an ensemble is told: who it is, who the others are, how long it waits.
//!
//! Read by `members.rs`; here is what the value means to the parts of a member. The members' text
//! is that of `/zookeeper/config`, of votes and of NEWLEADER: `QuorumConfig` prints it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use menagerie_replication::{Membership, Timeouts};
use menagerie_wire::ServerId;
use menagerie_wire::address::HostPort;
use menagerie_wire::quorum_config::{LearnerType, Member, QuorumConfig};

use crate::peer::address_book::{AddressBook, Port};

/// The place of this server among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensemble {
    /// `<dataDir>/myid`: 0 to 255, as it is the first byte of each session id. Its `server.N` line
    /// is there.
    pub id: ServerId,
    /// `server.N`, from the file or from its `dynamicConfigFile`; at least one participant. Groups
    /// and weights are only there when they come to the same as majorities.
    pub members: QuorumConfig,
    /// `tickTime`; default 2,000.
    pub tick_ms: u32,
    /// Ticks for an epoch to be agreed, and a learner to be synchronized. `initLimit`; no default.
    pub init_limit: u32,
    /// Ticks after which the other end counts as lost. `syncLimit`; no default.
    pub sync_limit: u32,
    /// Ticks for a learner to reach its leader. `connectToLearnerMasterLimit`; default `initLimit`,
    /// as for 0.
    pub connect_limit: u32,
    /// For one attempt to connect to an election port. `cnxTimeout`, in milliseconds; default 5 s.
    pub election_connect_timeout: Duration,
    /// How long a caller at the election port may take to say who it is. `quorumCnxnTimeoutMs`;
    /// default `syncLimit` ticks, as for 0 and less.
    pub election_handshake_timeout: Duration,
    /// Both ports are opened on every interface, not only on the addresses of the own line.
    /// `quorumListenOnAllIPs`; default false.
    pub listen_on_all: bool,
    /// A leader has a client door too. `leaderServes` (yes, no); default yes.
    pub leader_serves: bool,
    /// `digestMismatch` (stop, log); default stop. Not a key of Apache's.
    pub digest_mismatch: DigestMismatch,
    /// The member that a client is connected to looks at ACLs before it passes a write on.
    /// `enableEagerACLCheck`; default false.
    pub eager_acl_check: bool,
}

/// What a learner does when its tree is not what the leader's digest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestMismatch {
    /// It leaves, and comes back by a snapshot.
    Stop,
    /// It counts and says so, as Apache's servers do; among them some digests are wrong.
    Log,
}

impl Ensemble {
    /// The own `server.N` line.
    pub fn member(&self) -> &Member {
        &self.members.members[&self.id]
    }

    pub fn role(&self) -> LearnerType {
        self.member().learner_type
    }

    /// All members in the words of the protocol.
    pub fn membership(&self) -> Membership {
        let observers = self.members.members.iter().filter_map(|(id, member)| {
            (member.learner_type == LearnerType::Observer).then_some(*id)
        });
        Membership::new(
            self.members.voters().collect(),
            observers.collect(),
            self.members.to_string().into(),
            self.members.version,
        )
    }

    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            tick_ms: self.tick_ms.into(),
            init_limit: self.init_limit,
            sync_limit: self.sync_limit,
            ..Timeouts::default()
        }
    }

    /// All attempts to reach a leader together.
    pub fn leader_connect_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.tick_ms) * u64::from(self.connect_limit))
    }

    pub fn address_book(&self) -> Arc<AddressBook> {
        let members = self.members.members.iter();
        AddressBook::new(members.map(|(id, member)| (*id, member.addresses.clone())))
    }

    /// Where others are told to find our election port.
    pub fn election_address(&self) -> HostPort {
        self.member().addresses[0].election()
    }

    /// Where to listen: once for each address of the own line, or for each of their port numbers.
    /// Blocks while names are resolved.
    ///
    /// # Errors
    /// The resolver's, when one of the names does not resolve.
    // ZooKeeper: QuorumPeer.getElectionAddress, MultipleAddresses.getWildcardAddresses.
    pub fn listen_addresses(&self, port: Port) -> io::Result<Vec<SocketAddr>> {
        let mut listen = Vec::new();
        for address in &self.member().addresses {
            let HostPort { host, port } = match port {
                Port::Election => address.election(),
                Port::Quorum => address.quorum(),
            };
            let ip = if self.listen_on_all { every_interface() } else { resolve(host.as_str())? };
            let address = SocketAddr::new(ip, port);
            if !listen.contains(&address) {
                listen.push(address);
            }
        }
        Ok(listen)
    }
}

/// IPv6 with IPv4 in it, as in Java, and IPv4 alone where the host has no IPv6.
fn every_interface() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The address that Java would take: IPv4 before IPv6. Peers written in Java try no other.
fn resolve(host: &str) -> io::Result<IpAddr> {
    let unknown = |error: io::Error| io::Error::new(error.kind(), format!("{host}: {error}"));
    let found: Vec<_> = (host, 0).to_socket_addrs().map_err(unknown)?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    first.map(SocketAddr::ip).ok_or_else(none)
}
