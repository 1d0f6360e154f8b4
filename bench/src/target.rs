//! The flags that say where the load goes: the same for every scenario with connections.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::host::{disk_of, server_version};
use crate::report::Report;

/// The servers, for scenarios that have their own ideas of connections.
#[derive(Args, Clone, Debug)]
pub struct Servers {
    /// Servers; connections are spread evenly over them
    #[arg(
        long,
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        default_value = "127.0.0.1:2181",
        value_parser = server
    )]
    pub servers: Vec<SocketAddr>,
    /// Process of a server, for operations per second of its CPU time (once for each server)
    #[arg(long = "server-pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Where a server on this host keeps its data: names its disk (once for each server)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Target {
    #[command(flatten)]
    pub at: Servers,
    /// Sessions, each with a connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
}

impl Servers {
    pub fn describe(&self, report: &mut Report) {
        let servers: Vec<Value> = self.servers.iter().map(|s| s.to_string().into()).collect();
        report.condition("servers", servers);
        let versions = self.servers.iter().filter_map(|server| server_version(*server));
        let disks = self.data_dir.iter().filter_map(|directory| disk_of(directory));
        for (name, mut values) in
            [("server_version", versions.collect::<Vec<_>>()), ("data_disk", disks.collect())]
        {
            values.dedup();
            if !values.is_empty() {
                report.condition(name, values.join(", "));
            }
        }
    }
}

impl Target {
    pub fn connect(&self) -> Result<Fleet, BenchError> {
        Fleet::connect(&self.at.servers, self.connections as usize)
    }

    pub fn describe(&self, report: &mut Report) {
        self.at.describe(report);
        report.condition("connections", self.connections);
    }
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| format!("{text} has no address"))
}
