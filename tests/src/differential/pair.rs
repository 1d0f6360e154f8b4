//! The two servers that are compared, and how to get fresh ones.
//!
//! A JVM takes seconds to start, so one pair serves many scripts, each under a root node of its
//! own. Fresh servers are started after a divergence and when one of them has died.

use super::control::{Control, SUPER_DIGEST};
use crate::ServerConfig;
use crate::apache::Apache;
use crate::server::Menagerie;
use std::io;
use std::net::SocketAddr;

/// Which of the two is compared with Apache ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Apache,
    Menagerie,
}

/// What the servers have switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// What ZooKeeper switches on by itself.
    Default,
    /// TTL nodes and enforced quotas as well.
    All,
}

/// One server and the runner's own session on it.
#[derive(Debug)]
pub struct Side {
    pub kind: Kind,
    pub address: SocketAddr,
    pub control: Control,
    /// Kept because it ends when it is dropped.
    server: Server,
}

/// Who runs a server.
#[derive(Debug)]
enum Server {
    Apache {
        _process: Apache,
    },
    Menagerie {
        process: Menagerie,
    },
    /// Somebody else.
    Foreign,
}

/// Apache ZooKeeper first, then what is compared with it.
#[derive(Debug)]
pub struct Pair {
    pub sides: [Side; 2],
    pub features: Features,
    /// Counts the roots that runs have used.
    roots: u64,
}

impl Pair {
    /// Starts Apache ZooKeeper, and a second server of the kind asked for.
    ///
    /// # Errors
    /// When one of them does not serve a session.
    pub fn start(second: Kind, features: Features) -> io::Result<Self> {
        Self::new([Side::start(Kind::Apache, features)?, Side::start(second, features)?], features)
    }

    /// Uses servers that somebody else has started, both without history, so that their root
    /// nodes are alike.
    ///
    /// # Errors
    /// When one of them does not serve a session.
    pub fn at(addresses: [SocketAddr; 2], second: Kind) -> io::Result<Self> {
        let [first_address, second_address] = addresses;
        let first = Side::new(Kind::Apache, first_address, Server::Foreign)?;
        let second = Side::new(second, second_address, Server::Foreign)?;
        Self::new([first, second], Features::All)
    }

    fn new(sides: [Side; 2], features: Features) -> io::Result<Self> {
        let mut pair = Self { sides, features, roots: 0 };
        for side in &mut pair.sides {
            side.control.sweep(true)?;
        }
        Ok(pair)
    }

    /// The root node of the next run: its path, and the zxids that made it.
    ///
    /// # Errors
    /// When a server does not answer.
    pub fn new_root(&mut self) -> io::Result<(String, [i64; 2])> {
        self.roots += 1;
        let root = format!("/run{}", self.roots);
        let [first, second] = &mut self.sides;
        let bases = [first.control.create(&root)?, second.control.create(&root)?];
        Ok((root, bases))
    }

    /// Replaces both servers by fresh ones. Servers of somebody else only get new sessions.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn renew(&mut self) -> io::Result<()> {
        for side in &mut self.sides {
            let renewed = match side.server {
                Server::Foreign => Side::new(side.kind, side.address, Server::Foreign)?,
                Server::Apache { .. } | Server::Menagerie { .. } => {
                    Side::start(side.kind, self.features)?
                }
            };
            *side = renewed;
            side.control.sweep(true)?;
        }
        Ok(())
    }

    /// Restarts the second server on its data, when it is a Menagerie of this test.
    ///
    /// # Errors
    /// When it does not serve its old sessions.
    pub fn restart_second(&mut self, kill: bool) -> io::Result<()> {
        let side = &mut self.sides[1];
        let Server::Menagerie { process } = &mut side.server else { return Ok(()) };
        if kill {
            process.kill();
        } else {
            process.stop();
        }
        process.restart();
        side.control = side.control.resumed(side.address)?;
        Ok(())
    }

    /// What the second server wrote to its log, when this test started it.
    #[must_use]
    pub fn second_log(&self) -> String {
        match &self.sides[1].server {
            Server::Menagerie { process } => process.stderr(),
            Server::Apache { .. } | Server::Foreign => String::new(),
        }
    }
}

impl Side {
    fn new(kind: Kind, address: SocketAddr, server: Server) -> io::Result<Self> {
        Ok(Self { kind, address, control: Control::connect(address)?, server })
    }

    fn start(kind: Kind, features: Features) -> io::Result<Self> {
        let config = config(features);
        let (address, server) = match kind {
            Kind::Apache => {
                let process = Apache::start(&config);
                (process.address(), Server::Apache { _process: process })
            }
            Kind::Menagerie => {
                let process = Menagerie::start(&config);
                (process.address(), Server::Menagerie { process })
            }
        };
        Self::new(kind, address, server)
    }
}

/// Nothing happens by itself: sessions live for minutes, the checker of container and TTL nodes
/// sleeps. Snapshots are frequent, so that a restart has one to begin from.
#[must_use]
pub fn config(features: Features) -> ServerConfig {
    let config = ServerConfig::new()
        .key("tickTime", 30_000)
        .key("maxClientCnxns", 0)
        .key("snapCount", 1_000)
        .property("zookeeper.forceSync", "no")
        .property("znode.container.checkIntervalMs", 100_000_000)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
    match features {
        Features::Default => config,
        Features::All => config
            .property("zookeeper.extendedTypesEnabled", true)
            .property("zookeeper.enforceQuota", true),
    }
}
