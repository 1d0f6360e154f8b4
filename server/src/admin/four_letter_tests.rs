//! The texts against those that Apache ZooKeeper 3.9.4 gave for the same facts.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_wire::SessionId;

use super::*;
use crate::admin::metrics::{ShardCounters, StartFacts, WriteCounters};
use crate::admin::{FileDescriptors, MntrReport};

/// Captured from Apache's server; see the ORIGIN beside it.
const CAPTURED: &str = include_str!("../../../tests/golden/client-4lw.jsonl");

const SESSION: SessionId = SessionId(0x100_001b_209a_0000);

fn server() -> ServerReport {
    ServerReport {
        mode: Mode::Standalone,
        latency: LatencyReport { min_ms: 1, avg_ms: 2.25, max_ms: 4 },
        packets_received: 12,
        packets_sent: 11,
        connections: 2,
        outstanding_requests: 0,
        last_zxid: Zxid(2),
        node_count: 6,
    }
}

fn remote(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn connections() -> [ConnectionReport; 2] {
    let probe = ConnectionReport {
        remote: remote(36930),
        reading: false,
        writing: false,
        outstanding_requests: 0,
        packets_received: 1,
        packets_sent: 0,
        session: None,
    };
    let session = SessionReport {
        id: SESSION,
        last_op: Some(OpCode::GetChildren),
        established_ms: 1_795_145_925_492,
        timeout_ms: 40_000,
        last_cxid: 3,
        last_zxid: Zxid(2),
        last_response_ms: 1_778_252,
        last_latency_ms: 1,
        latency: LatencyReport { min_ms: 0, avg_ms: 2.25, max_ms: 4 },
    };
    let client = ConnectionReport {
        remote: remote(36912),
        reading: true,
        packets_received: 4,
        packets_sent: 4,
        session: Some(session),
        ..probe
    };
    [probe, client]
}

#[test]
fn srvr_and_stat_are_apaches_but_for_the_version() {
    let statistics = "Latency min/avg/max: 1/2.25/4\nReceived: 12\nSent: 11\nConnections: 2\n\
                      Outstanding: 0\nZxid: 0x2\nMode: standalone\nNode count: 6\n";
    let version = format!("Zookeeper version: {VERSION}\n");
    assert_eq!(srvr(&server()), format!("{version}{statistics}"));
    let clients = "Clients:\n /127.0.0.1:36930[0](queued=0,recved=1,sent=0)\n \
                   /127.0.0.1:36912[1](queued=0,recved=4,sent=4)\n\n";
    assert_eq!(stat(&server(), &connections()), format!("{version}{clients}{statistics}"));
}

#[test]
fn cons_shows_the_session_of_each_connection() {
    let expect = " /127.0.0.1:36930[0](queued=0,recved=1,sent=0)\n \
                  /127.0.0.1:36912[1](queued=0,recved=4,sent=4,sid=0x100001b209a0000,lop=GETC,\
                  est=1795145925492,to=40000,lcxid=0x3,lzxid=0x2,lresp=1778252,llat=1,minlat=0,\
                  avglat=2,maxlat=4)\n\n";
    assert_eq!(cons(&connections()), expect);
    assert!(CAPTURED.contains(&expect.replace('\n', "\\n")), "as captured");
}

#[test]
fn dump_is_apaches() {
    let report = DumpReport {
        sessions: BTreeMap::from([(1_795_145_967_000, vec![SESSION])]),
        ephemerals: vec![(SESSION, vec!["/f".to_owned()])],
        connections: BTreeMap::from([
            (1_795_145_937_000, vec![(remote(36946), SessionId::NONE)]),
            (1_795_145_967_000, vec![(remote(36912), SESSION)]),
        ]),
    };
    let captured = captured_text("SessionTracker dump");
    assert_eq!(dump(&report), captured);
}

#[test]
fn watches_are_listed_both_ways() {
    let mut report = WatchReport::default();
    report.add("/f", [SESSION].into_iter());
    let mut other = WatchReport::default();
    other.add("/e", [SESSION, SessionId(1)].into_iter());
    report.merge(other);
    let by_path = "/e\n\t0x100001b209a0000\n\t0x1\n/f\n\t0x100001b209a0000\n\n";
    assert_eq!(wchp(&report), by_path);
    assert_eq!(wchc(&report), "0x1\n\t/e\n0x100001b209a0000\n\t/e\n\t/f\n\n");
    let summary = WatchSummary { connections: 1, paths: 1, watches: 1 };
    assert_eq!(wchs(&summary), captured_text("1 connections"));
}

#[test]
fn conf_and_envi_have_apaches_lines() {
    let keys = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    let config = Config::load(None, "", &[]).expect("defaults");
    assert_eq!(keys(&conf(&config, 2181, 1, 2)), keys(&captured_text("clientPort=")));
    assert_eq!(keys(&envi(&Environment::read())), keys(&captured_text("Environment:")));
}

#[test]
fn short_answers_are_apaches() {
    assert_eq!(stmk(306i64.to_be_bytes()), "306");
    assert_eq!(gtmk(), "306");
    assert_eq!(isro(Some(Mode::Standalone)), "rw");
    assert_eq!((isro(Some(Mode::ReadOnly)), isro(None)), ("ro", "null"));
    assert_eq!(hash(&[(Zxid(0x80), 5), (Zxid(0x100), u64::MAX)]), "80: 5\n100: -1\n");
    assert_eq!(
        not_whitelisted(FourLetterWord::Ruok),
        "ruok is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(dirs(67_109_358, 67_109_358), captured_text("datadir_size"));
}

#[test]
fn mntr_has_every_key_of_apaches_once_and_no_other() {
    let mut shards = ShardCounters::default();
    shards.namespaces.record_read("/f", 68);
    shards.namespaces.record_write("/f", 0);
    shards.record_reply(true, 100, 2_500);
    let report = MntrReport {
        server: server(),
        sessions: 1,
        ephemerals: 1,
        watches: 2,
        data_bytes: 46,
        files: FileDescriptors { open: 60, max: 20_000 },
        uptime_ms: 507,
        shards,
        writes: WriteCounters::default(),
        start: StartFacts::default(),
    };
    let text = mntr(&report);
    let keys = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    };
    let ours = keys(&text);
    let distinct: BTreeSet<_> = ours.iter().cloned().collect();
    assert_eq!(distinct.len(), ours.len(), "a key twice");
    assert_eq!(distinct, keys(&captured_text("zk_version")).into_iter().collect());
    for line in [
        "zk_avg_latency\t2.25",
        "zk_avg_updatelatency\t2.5",
        "zk_p99_updatelatency\t2",
        "zk_sum_f_read_per_namespace\t70",
        "zk_max_client_response_size\t100",
        "zk_connection_drop_probability\t0.0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
}

/// The whole captured answer that begins with `start`.
fn captured_text(start: &str) -> String {
    let marker = format!("\"text\":\"{start}");
    let at = CAPTURED.find(&marker).expect("it was captured") + "\"text\":\"".len();
    let text = &CAPTURED[at..];
    let text = &text[..text.find("\"}").expect("the end of a JSON string")];
    text.replace("\\n", "\n").replace("\\t", "\t")
}
