//! Apache ZooKeeper 3.9.4 as a process: the reference that Menagerie is compared with.
//!
//! Its jars are put by `tests/install` into the test cache, outside the checkout. The server is
//! ready when it answers the four-letter word `srvr`, which its default whitelist allows; Apache
//! opens its port before it serves, so that a connection alone says nothing.

use crate::child_process::ChildProcess;
use crate::polling::poll;
use crate::raw_client::four_letter_within;
use crate::scratch::Scratch;
use crate::server_config::{ServerConfig, free_address};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A JVM on a busy machine takes its time.
const START_TIME_MAX: Duration = Duration::from_secs(60);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// A running standalone Apache ZooKeeper, killed when dropped.
#[derive(Debug)]
pub struct Apache {
    address: SocketAddr,
    process: ChildProcess,
    scratch: Scratch,
}

impl Apache {
    /// Starts a server with an empty data directory on a free loopback port and waits for it.
    ///
    /// # Panics
    /// When the jars or Java are missing, or the server does not answer in time.
    #[must_use]
    pub fn start(config: &ServerConfig) -> Self {
        let scratch = Scratch::new("apache");
        let address = free_address();
        let zoo_cfg = scratch.path().join("zoo.cfg");
        let config = config.clone().key("admin.enableServer", false);
        let text = config.zoo_cfg(address, &scratch.path().join("data"));
        std::fs::write(&zoo_cfg, text).expect("the scratch directory is writable");
        let process = ChildProcess::spawn(command(&config, &zoo_cfg).current_dir(scratch.path()));
        let mut apache = Self {
            address,
            process: process.expect("`java` is installed (tests/install)"),
            scratch,
        };
        apache.wait_until_serving();
        apache
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory that holds `zoo.cfg` and the data.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    fn wait_until_serving(&mut self) {
        let serving = poll(START_TIME_MAX, || {
            if let Some(status) = self.process.wait(Duration::ZERO) {
                panic!("Apache ZooKeeper ended with {status}: {}", self.process.stderr());
            }
            answers_srvr(self.address).then_some(())
        });
        serving.unwrap_or_else(|| panic!("Apache ZooKeeper is silent after {START_TIME_MAX:?}"));
    }
}

/// What starts a server on the file `zoo_cfg`.
///
/// # Panics
/// When the jars are missing.
#[must_use]
pub fn command(config: &ServerConfig, zoo_cfg: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args(config.java_options())
        .arg("-cp")
        .arg(jars().join("*"))
        .args(config.jvm_flags())
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(zoo_cfg)
        .stdout(Stdio::null());
    command
}

fn jars() -> PathBuf {
    let jars = test_cache().join("apache-zookeeper-3.9.4");
    assert!(
        jars.join("complete").exists(),
        "the jars of Apache ZooKeeper are not in {}: run tests/install",
        jars.display()
    );
    jars
}

/// Where `tests/install` puts what it downloads.
#[must_use]
pub fn test_cache() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("MENAGERIE_TEST_CACHE").unwrap_or_else(|| {
        var("XDG_CACHE_HOME")
            .or_else(|| var("HOME").map(|home| home.join(".cache")))
            .expect("HOME is set")
            .join("menagerie-tests")
    })
}

fn answers_srvr(address: SocketAddr) -> bool {
    let answer = four_letter_within(address, "srvr", ANSWER_TIME_MAX);
    answer.is_ok_and(|text| text.starts_with("Zookeeper version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apache_starts_and_answers() {
        let apache = Apache::start(&ServerConfig::new().key("4lw.commands.whitelist", "*"));
        assert!(answers_srvr(apache.address()));
    }
}
