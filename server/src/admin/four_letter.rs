//! The answer to each four-letter word: one function, one text, Apache's form to the letter.
//!
//! Which word is allowed stands in the configuration's whitelist; who collects the reports and
//! writes the text to the socket is the client door. The two words that reset counters only tell
//! that it was done.
// ZooKeeper: the classes of org.apache.zookeeper.server.command.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use menagerie_wire::four_letter::FourLetterWord;
use menagerie_wire::quorum_config::LearnerType;
use menagerie_wire::{OpCode, Zxid};

use super::report::{
    ConnectionReport, DumpReport, LatencyReport, Mode, ServerReport, SessionReport, SessionsReport,
    WatchReport,
};
use super::utc::Utc;
use super::{Environment, hist, mntr};
use crate::cli::VERSION;
use crate::config::{Config, Ensemble};
use crate::watch::WatchSummary;

pub use hist::hist;
pub use mntr::mntr;

pub const RUOK: &str = "imok";
pub const CRST: &str = "Connection stats reset.\n";
pub const SRST: &str = "Server stats reset.\n";
/// What most words answer while no quorum stands behind the server.
// ZooKeeper: AbstractFourLetterCommand.ZK_NOT_SERVING.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// What a word that tells of service answers while there is none.
// ZooKeeper: isZKServerRunning in the commands; DigestCommand ends no line.
pub fn not_serving(word: FourLetterWord) -> &'static str {
    match word {
        FourLetterWord::Isro => "null",
        FourLetterWord::Hash => NOT_SERVING.trim_ascii_end(),
        _ => NOT_SERVING,
    }
}

/// Apache's default trace mask; nothing is traced by it here.
pub const TRACE_MASK: i64 = 306;

pub fn not_whitelisted(word: FourLetterWord) -> String {
    format!("{} is not executed because it is not in the whitelist.\n", word.as_str())
}

/// Whether writes are possible, by a server that serves.
pub const fn isro(mode: Mode) -> &'static str {
    if matches!(mode, Mode::ReadOnly) { "ro" } else { "rw" }
}

pub fn gtmk() -> String {
    TRACE_MASK.to_string()
}

/// Says the mask back: `bytes` are the eight after the word.
pub fn stmk(bytes: [u8; 8]) -> String {
    i64::from_be_bytes(bytes).to_string()
}

pub fn srvr(server: &ServerReport) -> String {
    let mut text = version_line(server);
    put_statistics(&mut text, server);
    text
}

pub fn stat(server: &ServerReport, connections: &[ConnectionReport]) -> String {
    let mut text = version_line(server);
    text.push_str("Clients:\n");
    for connection in connections {
        put_connection(&mut text, connection, None);
        text.push('\n');
    }
    text.push('\n');
    put_statistics(&mut text, server);
    text
}

fn version_line(server: &ServerReport) -> String {
    let mut text = format!("Zookeeper version: {VERSION}\n");
    if server.mode == Mode::ReadOnly {
        text.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    text
}

// ZooKeeper: ServerStats.toString.
fn put_statistics(text: &mut String, server: &ServerReport) {
    let LatencyReport { min_ms, avg_ms, max_ms } = server.latency;
    put(text, format_args!("Latency min/avg/max: {min_ms}/{avg_ms:?}/{max_ms}\n"));
    put(text, format_args!("Received: {}\n", server.packets_received));
    put(text, format_args!("Sent: {}\n", server.packets_sent));
    put(text, format_args!("Connections: {}\n", server.connections));
    put(text, format_args!("Outstanding: {}\n", server.outstanding_requests));
    put(text, format_args!("Zxid: {}\n", server.last_zxid));
    put(text, format_args!("Mode: {}\n", server.mode.as_str()));
    put(text, format_args!("Node count: {}\n", server.node_count));
    if server.mode == Mode::Leader {
        let [last, min, max] = server.proposal_sizes.last_min_max();
        put(text, format_args!("Proposal sizes last/min/max: {last}/{min}/{max}\n"));
    }
}

pub fn cons(connections: &[ConnectionReport]) -> String {
    let mut text = String::new();
    for connection in connections {
        put_connection(&mut text, connection, connection.session.as_ref());
        text.push('\n');
    }
    text.push('\n');
    text
}

// ZooKeeper: ServerCnxn.dumpConnectionInfo.
fn put_connection(
    text: &mut String,
    connection: &ConnectionReport,
    session: Option<&SessionReport>,
) {
    let interest_ops = u8::from(connection.reading) | u8::from(connection.writing) << 2;
    put(text, format_args!(" {}[{interest_ops}](", Address(connection.remote)));
    put(text, format_args!("queued={}", connection.outstanding_requests));
    put(text, format_args!(",recved={}", connection.packets_received));
    put(text, format_args!(",sent={}", connection.packets_sent));
    if let Some(session) = session {
        put(text, format_args!(",sid={}", session.id));
        put(text, format_args!(",lop={}", session.last_op.map_or("NA", short_name)));
        put(text, format_args!(",est={}", session.established_ms));
        put(text, format_args!(",to={}", session.timeout_ms));
        if session.last_cxid >= 0 {
            put(text, format_args!(",lcxid=0x{:x}", session.last_cxid));
        }
        put(text, format_args!(",lzxid={}", session.last_zxid));
        put(text, format_args!(",lresp={}", session.last_response_ms));
        put(text, format_args!(",llat={}", session.last_latency_ms));
        let LatencyReport { min_ms, avg_ms, max_ms } = session.latency;
        put(text, format_args!(",minlat={min_ms},avglat={},maxlat={max_ms}", avg_ms as u64));
    }
    text.push(')');
}

/// As Java prints a socket address without a name.
struct Address(SocketAddr);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}", SocketAddr::new(self.0.ip().to_canonical(), self.0.port()))
    }
}

/// What `lop` calls a request.
// ZooKeeper: FinalRequestProcessor.processRequest, lastOp.
const fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Ping => "PING",
        OpCode::CreateSession => "SESS",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::SetData => "SETD",
        OpCode::Reconfig => "RECO",
        OpCode::SetAcl => "SETA",
        OpCode::CloseSession => "CLOS",
        OpCode::Sync => "SYNC",
        OpCode::Check => "CHEC",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::GetAcl => "GETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::WhoAmI => "HOMI",
        OpCode::GetEphemerals => "GETE",
        OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
    }
}

/// The configuration in use: `members` is what `/zookeeper/config` says of them, `port` the one
/// that is really served.
// ZooKeeper: ZooKeeperServer.dumpConf.
pub fn conf(
    config: &Config,
    members: &str,
    port: u16,
    (data_bytes, log_bytes): (u64, u64),
) -> String {
    let mut text = format!("clientPort={port}\nsecureClientPort=-1\n");
    put(&mut text, format_args!("dataDir={}\n", absolute(&config.data_dir)));
    put(&mut text, format_args!("dataDirSize={data_bytes}\n"));
    put(&mut text, format_args!("dataLogDir={}\n", absolute(&config.data_log_dir)));
    put(&mut text, format_args!("dataLogSize={log_bytes}\n"));
    put(&mut text, format_args!("tickTime={}\n", config.sessions.tick_ms));
    let per_address = config.client.cnxns_per_address_max.map_or(0, |max| max.get());
    put(&mut text, format_args!("maxClientCnxns={per_address}\n"));
    put(&mut text, format_args!("minSessionTimeout={}\n", config.sessions.timeout_ms_min));
    put(&mut text, format_args!("maxSessionTimeout={}\n", config.sessions.timeout_ms_max));
    put(&mut text, format_args!("clientPortListenBacklog={}\n", config.client.listen_backlog));
    let id = config.ensemble.as_ref().map_or(0, |ensemble| ensemble.id.0);
    put(&mut text, format_args!("serverId={id}\n"));
    if let Some(ensemble) = &config.ensemble {
        put_ensemble(&mut text, ensemble, members);
    }
    text
}

// ZooKeeper: QuorumZooKeeperServer.dumpConf.
fn put_ensemble(text: &mut String, ensemble: &Ensemble, members: &str) {
    put(text, format_args!("initLimit={}\n", ensemble.init_limit));
    put(text, format_args!("syncLimit={}\n", ensemble.sync_limit));
    text.push_str("electionAlg=3\n");
    let addresses = || ensemble.member().addresses.iter();
    put(text, format_args!("electionPort={}\n", ports(addresses().map(|at| at.election_port))));
    put(text, format_args!("quorumPort={}\n", ports(addresses().map(|at| at.quorum_port))));
    let observes = ensemble.role() == LearnerType::Observer;
    put(text, format_args!("peerType={}\n", u8::from(observes)));
    put(text, format_args!("membership: \n{members}"));
}

/// Each once, as Apache joins them.
fn ports(ports: impl Iterator<Item = u16>) -> String {
    let mut distinct = Vec::new();
    for port in ports.map(|port| port.to_string()) {
        if !distinct.contains(&port) {
            distinct.push(port);
        }
    }
    distinct.join("|")
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

pub fn dirs(data_bytes: u64, log_bytes: u64) -> String {
    format!("datadir_size: {data_bytes}\nlogdir_size: {log_bytes}\n")
}

pub fn envi(environment: &Environment) -> String {
    let mut text = format!("Environment:\nzookeeper.version={VERSION}\n");
    for (key, value) in environment.lines() {
        put(&mut text, format_args!("{key}={value}\n"));
    }
    text
}

// ZooKeeper: DumpCommand, ExpiryQueue.dump, LearnerSessionTracker.dumpSessions,
// DataTree.dumpEphemerals.
pub fn dump(report: &DumpReport) -> String {
    let mut text = String::from("SessionTracker dump:\n");
    match &report.sessions {
        SessionsReport::ByDeadline(sets) => {
            text.push_str("Session ");
            put_sets(&mut text, sets, |session| session.to_string());
        }
        SessionsReport::WithTimeout(sessions) => {
            put(&mut text, format_args!("Global Sessions({}):\n", sessions.len()));
            for (session, timeout_ms) in sessions {
                put(&mut text, format_args!("{session}\t{timeout_ms}ms\n"));
            }
        }
    }
    text.push_str("ephemeral nodes dump:\n");
    let owners = report.ephemerals.len();
    put(&mut text, format_args!("Sessions with Ephemerals ({owners}):\n"));
    for (session, paths) in &report.ephemerals {
        put(&mut text, format_args!("{session}:\n"));
        for path in paths {
            put(&mut text, format_args!("\t{path}\n"));
        }
    }
    text.push_str("Connections dump:\nConnections ");
    put_sets(&mut text, &report.connections, |(remote, session)| {
        format!("ip: {} sessionId: {session}", Address(*remote))
    });
    text
}

fn put_sets<T>(
    text: &mut String,
    sets: &std::collections::BTreeMap<i64, Vec<T>>,
    show: impl Fn(&T) -> String,
) {
    let members: usize = sets.values().map(Vec::len).sum();
    put(text, format_args!("Sets ({})/({members}):\n", sets.len()));
    for (&deadline_ms, set) in sets {
        put(text, format_args!("{} expire at {}:\n", set.len(), Utc(deadline_ms)));
        for member in set {
            put(text, format_args!("\t{}\n", show(member)));
        }
    }
}

// ZooKeeper: WatchesSummary.
pub fn wchs(summary: &WatchSummary) -> String {
    let WatchSummary { connections, paths, watches } = summary;
    format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
}

pub fn wchp(report: &WatchReport) -> String {
    let mut text = String::new();
    for (path, sessions) in report.by_path() {
        put(&mut text, format_args!("{path}\n"));
        for session in sessions {
            put(&mut text, format_args!("\t{session}\n"));
        }
    }
    text.push('\n');
    text
}

pub fn wchc(report: &WatchReport) -> String {
    let mut text = String::new();
    for (session, paths) in report.by_session() {
        put(&mut text, format_args!("{session}\n"));
        for path in paths {
            put(&mut text, format_args!("\t{path}\n"));
        }
    }
    text.push('\n');
    text
}

/// Digests of the tree that were recorded on the way, oldest first.
// ZooKeeper: DigestCommand.
pub fn hash(digests: &[(Zxid, u64)]) -> String {
    let mut text = String::new();
    for (zxid, digest) in digests {
        put(&mut text, format_args!("{:x}: {}\n", zxid.0, digest.cast_signed()));
    }
    text
}

/// Appends to `text`, which cannot fail.
pub(super) fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a String takes everything");
}

#[cfg(test)]
#[path = "four_letter_tests.rs"]
mod tests;
