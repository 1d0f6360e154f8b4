//! Who belongs to the ensemble, and from which addresses it may call.
//!
//! Names are resolved again whenever a connection is dialled, and when somebody calls from an
//! address that no name of his had the last time: so a member may move, and a node starts even
//! while no name resolves. Resolving happens in threads of its own. Until there is TLS, an id and
//! an address are all that a caller has to show; more than a port number, and no proof.
//!
//! Not here: a member that calls from another address than its configured one (several interfaces,
//! address translation) is refused.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use menagerie_wire::ServerId;
use menagerie_wire::address::HostPort;
use menagerie_wire::quorum_config::PeerAddress;

use crate::runtime::clock::monotonic_ms;
use crate::runtime::offload::offload;

/// A stranger who claims a member's id makes us resolve that member's names no more often.
const ASK_INTERVAL_MS: u64 = 1_000;

/// Which of a member's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Election,
    Quorum,
}

/// The members, and what is known of their addresses. Shared by both ports.
#[derive(Debug)]
pub struct AddressBook {
    members: BTreeMap<ServerId, Vec<PeerAddress>>,
    known: Mutex<BTreeMap<ServerId, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    ips: Vec<IpAddr>,
    /// When a caller last made us ask.
    asked_ms: Option<u64>,
}

impl AddressBook {
    pub fn new(members: impl IntoIterator<Item = (ServerId, Vec<PeerAddress>)>) -> Arc<Self> {
        let members = members.into_iter().collect();
        Arc::new(Self { members, known: Mutex::default() })
    }

    pub fn is_member(&self, id: ServerId) -> bool {
        self.members.contains_key(&id)
    }

    pub fn members(&self) -> impl Iterator<Item = ServerId> {
        self.members.keys().copied()
    }

    /// The addresses of a member's port at this moment. Blocks: for a thread of its own.
    ///
    /// # Errors
    /// The resolver's, when none of the member's names resolves.
    pub fn resolve(&self, id: ServerId, port: Port) -> io::Result<Vec<SocketAddr>> {
        let mut found = Vec::new();
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in self.members.get(&id).into_iter().flatten() {
            let HostPort { host, port } = match port {
                Port::Election => address.election(),
                Port::Quorum => address.quorum(),
            };
            match (host.as_str(), port).to_socket_addrs() {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failure = error,
            }
        }
        if found.is_empty() {
            return Err(failure);
        }
        let ips = found.iter().map(|address| address.ip().to_canonical()).collect();
        self.with_known(id, |known| known.ips = ips);
        Ok(found)
    }

    /// Whether a caller from `ip` may be the member `id`.
    pub async fn admits(self: &Arc<Self>, id: ServerId, ip: IpAddr) -> bool {
        if !self.is_member(id) {
            return false;
        }
        if !self.knows(id, ip) && self.may_ask(id) {
            let book = Arc::clone(self);
            // A name that does not resolve admits nobody.
            let _ = offload("resolve-caller", move || book.resolve(id, Port::Election)).await;
        }
        self.knows(id, ip)
    }

    /// This host's own members reach each other from any of its loopback addresses.
    fn knows(&self, id: ServerId, ip: IpAddr) -> bool {
        let same = |known: &IpAddr| *known == ip || (known.is_loopback() && ip.is_loopback());
        self.with_known(id, |known| known.ips.iter().any(same))
    }

    fn may_ask(&self, id: ServerId) -> bool {
        let now_ms = monotonic_ms();
        self.with_known(id, |known| {
            let due = known.asked_ms.is_none_or(|asked_ms| now_ms >= asked_ms + ASK_INTERVAL_MS);
            if due {
                known.asked_ms = Some(now_ms);
            }
            due
        })
    }

    fn with_known<T>(&self, id: ServerId, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(known.entry(id).or_default())
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::address::Host;

    use super::*;

    fn member(host: &str) -> Vec<PeerAddress> {
        let host = Host::new(host).unwrap();
        vec![PeerAddress { host, quorum_port: 2888, election_port: 3888 }]
    }

    #[test]
    fn a_caller_needs_the_id_and_an_address_of_a_member() {
        let book = AddressBook::new([
            (ServerId(1), member("127.0.0.1")),
            (ServerId(2), member("192.0.2.2")),
            (ServerId(3), member("name.invalid")),
        ]);
        let check = |id: i64, ip: &str, expect: bool| {
            let (id, ip) = (ServerId(id), ip.parse().unwrap());
            let admitted = futures_lite::future::block_on(book.admits(id, ip));
            assert_eq!(admitted, expect, "server {id} from {ip}");
        };
        check(1, "127.0.0.1", true);
        check(1, "127.0.0.9", true);
        check(1, "192.0.2.2", false);
        check(2, "192.0.2.2", true);
        check(2, "127.0.0.1", false);
        check(3, "127.0.0.1", false);
        check(4, "127.0.0.1", false);
    }

    #[test]
    fn each_port_has_its_own_number() {
        let book = AddressBook::new([(ServerId(1), member("::1"))]);
        let port = |port| book.resolve(ServerId(1), port).unwrap()[0].port();
        assert_eq!((port(Port::Election), port(Port::Quorum)), (3888, 2888));
        assert!(book.resolve(ServerId(2), Port::Quorum).is_err());
    }
}
