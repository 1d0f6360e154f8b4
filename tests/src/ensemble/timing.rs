//! How long writes stop when the leader dies, and how figures of time are shown.
//!
//! Nothing stands between the servers here, and Apache's JVM runs as an operator would run it. The
//! client is connected to a server that survives, has a session there, and tries that server only:
//! what it waits for is what the ensemble needs, not how a library picks its next server.

use super::node::Flavor;
use super::{Ensemble, Network, Plan};
use crate::ServerConfig;
use crate::random::Random;
use crate::raw_client::{Introduction, RawClient};
use menagerie_wire::ids::Zxid;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two attempts of the client to connect and to write.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(2);
/// A server that does not answer one attempt in this time is asked again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Writes that stop for longer will not go on.
const FAILOVER_TIME_MAX: Duration = Duration::from_secs(120);
const SESSION_TIMEOUT_MS: i32 = 40_000;
const PATH: &str = "/failover";

/// An ensemble for figures: nothing in between, usual JVM options.
#[must_use]
pub fn plan(flavor: Flavor, voters: usize, tick_ms: u32, heap: &str) -> Plan {
    let config = ServerConfig::new()
        .key("tickTime", tick_ms)
        // The usual 10 ticks are too short for a follower of a big tree.
        .key("initLimit", 60)
        .key("syncLimit", 5)
        .key("maxClientCnxns", 0)
        .key("4lw.commands.whitelist", "*")
        .jvm_options(&[heap]);
    Plan { config, network: Network::Direct, ..Plan::new(flavor, voters, 0) }
}

/// Kills the leader, and returns how long it took until a write through a survivor was
/// acknowledged. Then the killed server comes back.
///
/// # Panics
/// When writes do not go on, or the servers do not come together.
pub fn fail_over(ensemble: &mut Ensemble, random: &mut Random) -> Duration {
    ensemble.wait_until_in_sync();
    let leader = ensemble.wait_for_leader();
    let survivors: Vec<_> = ensemble.voters().into_iter().filter(|id| *id != leader).collect();
    let address = ensemble.node(*random.pick(&survivors)).client();
    let mut writer = Writer::connect(address).expect("a sound ensemble takes a client");
    writer.write().expect("a sound ensemble takes a write");
    let began = Instant::now();
    ensemble.node(leader).kill();
    while writer.write().is_err() {
        assert!(began.elapsed() < FAILOVER_TIME_MAX, "no write within {FAILOVER_TIME_MAX:?}");
        // No server tells when it serves again.
        std::thread::sleep(ATTEMPT_INTERVAL);
    }
    let elapsed = began.elapsed();
    ensemble.node(leader).start();
    ensemble.wait_until_in_sync();
    elapsed
}

/// A client that stays with one server and its session.
struct Writer {
    address: SocketAddr,
    introduction: Introduction,
    connection: Option<RawClient>,
}

impl Writer {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let introduction = Introduction {
            answer_time_max: ANSWER_TIME_MAX,
            ..Introduction::new(SESSION_TIMEOUT_MS)
        };
        let mut connection = RawClient::introduce(address, &introduction)?;
        connection.create(PATH, b"", 0)?;
        let introduction = Introduction {
            answer_time_max: ANSWER_TIME_MAX,
            ..Introduction::again(connection.session())
        };
        Ok(Self { address, introduction, connection: Some(connection) })
    }

    /// One write, over a new connection where the last one is lost.
    fn write(&mut self) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => RawClient::introduce(self.address, &self.introduction)?,
        };
        let reply = connection.set_data(PATH, b"value")?;
        if reply.header.err != 0 {
            return Err(io::Error::other(format!("refused: {}", reply.header.err)));
        }
        self.introduction.last_zxid_seen = Zxid::max(reply.header.zxid, Zxid::ZERO);
        self.connection = Some(connection);
        Ok(())
    }
}

/// Times of one kind, from the shortest to the longest.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that `percent` of all do not exceed.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1_000.0;
        write!(
            f,
            "{} samples, min {:.1} ms, median {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.0.len(),
            ms(0.0),
            ms(50.0),
            ms(99.0),
            ms(100.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let times = Times::new((1..=4).rev().map(Duration::from_millis).collect());
        let ms = |percent| times.percentile(percent).as_millis();
        assert_eq!([ms(0.0), ms(50.0), ms(75.1), ms(100.0)], [1, 2, 4, 4]);
    }
}
