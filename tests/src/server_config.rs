//! The configuration of a server under test, in the words that both servers read.
//!
//! Apache ZooKeeper and Menagerie read the same `zoo.cfg` keys and the same `-Dname=value` system
//! properties, so a test states its needs once. Directory and port are the harness's to choose.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's ephemeral ports (32768 and up): a port there could be taken, while its
/// server is down between two starts, by any outgoing connection, even by a client to itself.
const PORTS: std::ops::Range<u16> = 15_000..31_000;

/// Keys of `zoo.cfg` and system properties, in the order given.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    keys: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    jvm_options: Option<Vec<String>>,
}

/// Starts fast and stays small: most tests ask a few questions.
const JVM_OPTIONS: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

impl ServerConfig {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the line `name=value` to `zoo.cfg`.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.keys.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds the system property `-Dname=value`.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// Replaces the options of Apache's JVM, which are chosen for short tests.
    #[must_use]
    pub fn jvm_options(mut self, options: &[&str]) -> Self {
        self.jvm_options = Some(options.iter().map(|&option| option.to_owned()).collect());
        self
    }

    /// What the JVM is started with beside the system properties.
    #[must_use]
    pub fn java_options(&self) -> Vec<String> {
        let usual = || JVM_OPTIONS.map(str::to_owned).to_vec();
        self.jvm_options.clone().unwrap_or_else(usual)
    }

    /// The system properties as words of a Java command line.
    #[must_use]
    pub fn jvm_flags(&self) -> Vec<String> {
        self.properties.iter().map(|(name, value)| format!("-D{name}={value}")).collect()
    }

    /// The text of a `zoo.cfg` that serves `address` with its data in `data_dir`.
    #[must_use]
    pub fn zoo_cfg(&self, address: SocketAddr, data_dir: &Path) -> String {
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress={}\n",
            data_dir.display(),
            address.port(),
            address.ip()
        );
        for (name, value) in &self.keys {
            text.push_str(&format!("{name}={value}\n"));
        }
        text
    }
}

/// A loopback address that nobody listens on. Another process may still take it first: the
/// harness then reports a server that did not start.
///
/// # Panics
/// When all of them are taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 1_000) as u16 * 13;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + spread.wrapping_add(step) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free loopback port in {PORTS:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zoo_cfg_and_flags_say_what_was_asked() {
        let config = ServerConfig::new().key("tickTime", 2000).property("znode.x", true);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 2181));
        assert_eq!(
            config.zoo_cfg(address, Path::new("/d")),
            "dataDir=/d\nclientPort=2181\nclientPortAddress=127.0.0.1\ntickTime=2000\n"
        );
        assert_eq!(config.jvm_flags(), ["-Dznode.x=true"]);
    }

    #[test]
    fn free_addresses_differ() {
        assert_ne!(free_address(), free_address());
    }
}
