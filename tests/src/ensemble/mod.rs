//! Ensembles of real processes: Apache ZooKeeper's, Menagerie's, or both mixed.
//!
//! An [`Ensemble`] starts [`Node`]s that know each other, says who leads, and is where faults are
//! done: processes are killed, paused and emptied, links between servers are blocked and delayed
//! ([`links`]). The servers speak to each other through relays of this process ([`relay`]), so that
//! all this works on loopback and without privileges; or each lives in a network namespace
//! ([`namespaces`]); with [`Network::Direct`] nothing stands between them, for figures of time.
//! Everything dies with the test.

pub mod client;
pub mod join;
pub mod journal;
pub mod links;
pub mod namespaces;
pub mod nemesis;
pub mod node;
pub mod relay;
pub mod run;
pub mod timing;
mod trades;
pub mod workload;

use crate::ServerConfig;
use crate::polling::poll;
use crate::scratch::Scratch;
use crate::server_config::free_address;
use client::Servers;
use links::{Link, Links};
use namespaces::{Namespaces, SmallDisk};
use node::{Flavor, Mode, Node};
use relay::{Port, Relays};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Five JVMs on a busy machine take their time.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// What stands between the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback and nothing else: links cannot be broken.
    Direct,
    /// Loopback, and a relay for every server and peer.
    Relayed,
    /// A network namespace for each server, on one bridge.
    Namespaces,
}

/// What stands between the servers of a running ensemble.
#[derive(Debug)]
enum Between {
    Nothing,
    Relays(Relays, Arc<Links>),
    Namespaces(Namespaces),
}

/// An ensemble to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The voters, with the ids 1, 2, …
    pub voters: Vec<Flavor>,
    /// The observers, with the ids after them.
    pub observers: Vec<Flavor>,
    /// Keys for all servers, beside those that name the members and ports.
    pub config: ServerConfig,
    pub network: Network,
    /// Gives each server a disk of its own of this size, which can be filled up. Needs namespaces
    /// ([`namespaces::enter`]).
    pub disk_mb: Option<u32>,
}

impl Plan {
    /// An ensemble of one flavor behind relays, with short ticks, and with small log segments and
    /// many snapshots, so that faults meet their changes too.
    #[must_use]
    pub fn new(flavor: Flavor, voters: usize, observers: usize) -> Self {
        let config = ServerConfig::new()
            .key("tickTime", 500)
            .key("initLimit", 20)
            .key("syncLimit", 4)
            .key("snapCount", 2_000)
            .key("preAllocSize", 1_024)
            .key("maxClientCnxns", 0)
            .key("4lw.commands.whitelist", "*");
        Self {
            voters: vec![flavor; voters],
            observers: vec![flavor; observers],
            config,
            network: Network::Relayed,
            disk_mb: None,
        }
    }
}

/// Servers that know each other, killed when dropped.
#[derive(Debug)]
pub struct Ensemble {
    // In the order in which they must end.
    nodes: BTreeMap<u64, Node>,
    addresses: BTreeMap<u64, Addresses>,
    between: Between,
    disks: Vec<SmallDisk>,
    scratch: Scratch,
}

impl Ensemble {
    /// Starts all servers on empty directories and waits until all of them serve.
    ///
    /// # Panics
    /// When a program is missing or the servers do not come together in time.
    #[must_use]
    pub fn start(plan: &Plan) -> Self {
        let mut ensemble = Self::prepare(plan);
        for id in ensemble.ids() {
            ensemble.node(id).start();
        }
        ensemble.wait_until_in_sync();
        ensemble
    }

    /// Everything but the processes.
    ///
    /// # Panics
    /// When ports or directories cannot be had.
    #[must_use]
    pub fn prepare(plan: &Plan) -> Self {
        let scratch = Scratch::new("ensemble");
        let flavors: Vec<_> = plan.voters.iter().chain(&plan.observers).copied().collect();
        let ids = 1..=flavors.len() as u64;
        let (between, servers) = connect(plan.network, ids.clone());
        let is_observer = |id: u64| id > plan.voters.len() as u64;
        let mut disks = Vec::new();
        let mut nodes = BTreeMap::new();
        for (id, flavor) in ids.zip(flavors) {
            let mut config = plan.config.clone();
            for (&peer, addresses) in &servers {
                let (quorum, election) = between.seen_by(id, peer, addresses);
                let role = if is_observer(peer) { "observer" } else { "participant" };
                let (election, client) = (election.port(), addresses.client);
                let line = format!("{quorum}:{election}:{role};{client}");
                config = config.key(&format!("server.{peer}"), line);
            }
            if is_observer(id) {
                config = config.key("peerType", "observer");
            }
            let directory = scratch.path().join(format!("node{id}"));
            if let Some(size_mb) = plan.disk_mb {
                let disk = SmallDisk::mount(directory.clone(), size_mb);
                disks.push(disk.unwrap_or_else(|error| panic!("{error}")));
            }
            let client = servers[&id].client;
            let mut node = Node::new(id, flavor, is_observer(id), client, config, directory);
            if plan.network == Network::Namespaces {
                node.enclose();
            }
            nodes.insert(id, node);
        }
        Self { nodes, addresses: servers, between, disks, scratch }
    }

    /// The directory that holds a directory for each server.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.scratch.path()
    }

    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Keeps all data and logs when the ensemble ends.
    pub fn keep_files(&mut self) {
        self.disks.iter_mut().for_each(SmallDisk::keep);
        self.scratch.keep();
    }

    /// The ids of those that vote.
    #[must_use]
    pub fn voters(&self) -> Vec<u64> {
        self.nodes.values().filter(|node| !node.is_observer()).map(Node::id).collect()
    }

    /// # Panics
    /// When there is no such server.
    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("an id of this ensemble")
    }

    /// Where clients connect, in the order of the servers' ids.
    #[must_use]
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.nodes.values().map(Node::client).collect()
    }

    /// Where other servers connect: the quorum port, and the election port.
    ///
    /// # Panics
    /// When there is no such server.
    #[must_use]
    pub fn ports(&self, id: u64) -> [SocketAddr; 2] {
        let Addresses { quorum, election, .. } = self.addresses[&id];
        [quorum, election]
    }

    /// Where clients connect, by the servers' ids.
    #[must_use]
    pub fn servers(&self) -> Servers {
        Arc::new(self.nodes.values().map(|node| (node.id(), node.client())).collect())
    }

    /// Who says to lead. Two may for a moment: one of them has not heard of its end.
    #[must_use]
    pub fn leaders(&self) -> Vec<u64> {
        let leads = |node: &&Node| node.serving().is_some_and(|s| s.mode == Mode::Leader);
        self.nodes.values().filter(leads).map(Node::id).collect()
    }

    /// Waits for a leader: a single one.
    ///
    /// # Panics
    /// When there is none in time.
    #[must_use]
    pub fn wait_for_leader(&self) -> u64 {
        self.wait_for("a leader", |ensemble| match ensemble.leaders()[..] {
            [leader] => Some(leader),
            _ => None,
        })
    }

    /// Waits until that server serves.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until_serving(&self, id: u64) {
        self.wait_for(&format!("server {id}"), |ensemble| ensemble.nodes[&id].serving());
    }

    /// Waits until all servers that run follow one leader and have applied what it had applied at
    /// some moment after the call.
    ///
    /// # Errors
    /// Says what each server is at when they do not in time.
    pub fn come_together(&self) -> Result<(), String> {
        let mut mark = None;
        self.until("all servers in sync", |ensemble| {
            let serving: Vec<_> = ensemble.running().map(Node::serving).collect::<Option<_>>()?;
            let [leader] = ensemble.leaders()[..] else { return None };
            if mark.is_none() {
                mark = ensemble.nodes[&leader].mark().ok();
            }
            let mark = mark?;
            serving.iter().all(|s| s.zxid >= mark).then_some(())
        })
    }

    /// As [`Self::come_together`].
    ///
    /// # Panics
    /// When the servers do not in time.
    pub fn wait_until_in_sync(&self) {
        self.come_together().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Changes the link from one server to another.
    ///
    /// # Panics
    /// When nothing stands between the servers.
    pub fn set_link(&self, from: u64, to: u64, link: Link) {
        match &self.between {
            Between::Nothing => panic!("a direct network has no links to break"),
            Between::Relays(_, links) => links.set(from, to, link),
            Between::Namespaces(namespaces) => {
                namespaces.set(from, to, link).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// Opens every link.
    ///
    /// # Panics
    /// When the packet filter does not take it.
    pub fn heal_links(&self) {
        match &self.between {
            Between::Nothing => {}
            Between::Relays(_, links) => links.heal(),
            Between::Namespaces(namespaces) => {
                namespaces.heal().unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// Breaks every connection between two servers; they may connect again at once.
    ///
    /// # Panics
    /// When they do not pass through relays.
    pub fn sever(&self, one: u64, other: u64) {
        let Between::Relays(relays, _) = &self.between else { panic!("there are no relays") };
        relays.sever(one, other);
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.has_process() && !node.is_paused())
    }

    fn wait_for<T>(&self, what: &str, ready: impl FnMut(&Self) -> Option<T>) -> T {
        self.until(what, ready).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks again and again, as no server tells when it is ready.
    fn until<T>(&self, what: &str, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T, String> {
        poll(START_TIME_MAX, || ready(self)).ok_or_else(|| {
            let nodes: Vec<_> = self.nodes.values().map(Node::state).collect();
            format!("no {what} within {START_TIME_MAX:?}\n{}", nodes.join("\n"))
        })
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    client: SocketAddr,
    quorum: SocketAddr,
    election: SocketAddr,
}

/// Addresses for all servers, and what stands between them.
fn connect(
    network: Network,
    ids: std::ops::RangeInclusive<u64>,
) -> (Between, BTreeMap<u64, Addresses>) {
    if network == Network::Namespaces {
        let namespaces = Namespaces::start(ids.clone().collect());
        let namespaces = namespaces.unwrap_or_else(|error| panic!("{error}"));
        let addresses = |id| Addresses {
            client: namespaces.address(id, 2181),
            quorum: namespaces.address(id, 2888),
            election: namespaces.address(id, 3888),
        };
        let servers = ids.map(|id| (id, addresses(id))).collect();
        return (Between::Namespaces(namespaces), servers);
    }
    let addresses =
        |_| Addresses { client: free_address(), quorum: free_address(), election: free_address() };
    let servers: BTreeMap<_, _> = ids.map(|id| (id, addresses(id))).collect();
    if network == Network::Direct {
        return (Between::Nothing, servers);
    }
    let links = Arc::new(Links::default());
    let ports = servers.iter().map(|(id, it)| (*id, [it.quorum, it.election])).collect();
    let relays = Relays::start(&ports, Arc::clone(&links));
    let relays = relays.expect("loopback has ports for every pair of servers");
    (Between::Relays(relays, links), servers)
}

impl Between {
    /// The quorum and election ports of `peer` as server `id` must know them.
    fn seen_by(&self, id: u64, peer: u64, own: &Addresses) -> (SocketAddr, SocketAddr) {
        match self {
            Self::Relays(relays, _) if peer != id => {
                let address = |port| relays.address(id, peer, port);
                (address(Port::Quorum), address(Port::Election))
            }
            _ => (own.quorum, own.election),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_client::four_letter_within;

    fn block(ensemble: &Ensemble, one: u64, others: &[u64]) {
        for &other in others.iter().filter(|other| **other != one) {
            ensemble.set_link(one, other, Link::BLOCKED);
            ensemble.set_link(other, one, Link::BLOCKED);
        }
    }

    #[test]
    fn apaches_servers_are_separated_killed_and_emptied() {
        let mut ensemble = Ensemble::start(&Plan::new(Flavor::Apache, 3, 1));
        let first = ensemble.wait_for_leader();
        block(&ensemble, first, &ensemble.ids());
        ensemble.wait_for("another leader alone", |ensemble| {
            let leaders = ensemble.leaders();
            (leaders.len() == 1 && leaders != [first]).then_some(())
        });
        assert!(ensemble.node(first).mark().is_err(), "a leader without followers serves nobody");
        ensemble.heal_links();
        ensemble.wait_until_in_sync();

        let second = ensemble.wait_for_leader();
        ensemble.node(second).kill();
        assert_ne!(ensemble.wait_for_leader(), second);
        ensemble.node(second).remove_data();
        ensemble.node(second).start();
        ensemble.wait_until_in_sync();
        assert!(ensemble.node(second).serving().is_some_and(|s| s.zxid >> 32 > 1));
    }

    #[test]
    fn a_paused_server_does_not_answer_and_a_severed_connection_comes_back() {
        let mut ensemble = Ensemble::start(&Plan::new(Flavor::Apache, 3, 0));
        let leader = ensemble.wait_for_leader();
        let follower = ensemble.ids().into_iter().find(|id| *id != leader).unwrap();
        ensemble.node(follower).pause();
        let address = ensemble.node(follower).client();
        let answer = four_letter_within(address, "srvr", Duration::from_millis(300));
        assert!(answer.is_err(), "{answer:?}");
        ensemble.node(follower).go_on();
        ensemble.wait_until_in_sync();
        ensemble.sever(leader, follower);
        ensemble.wait_until_in_sync();
    }
}
