//! The texts against those that Apache ZooKeeper 3.9.4 gave for the same facts.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_wire::{Epoch, ServerId, SessionId};

use super::*;
use crate::admin::metrics::{ShardCounters, Sizes, StartFacts, WriteCounters};
use crate::admin::stages::Stage;
use crate::admin::{FileDescriptors, MntrReport};
use crate::sequencer::standing::{Reign, Standing};

/// Captured from Apache's server; see the ORIGIN beside it.
const CAPTURED: &str = include_str!("../../../tests/golden/client-4lw.jsonl");
const CAPTURED_OF_MEMBERS: &str = include_str!("../../../tests/golden/words-ensemble.jsonl");

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
        proposal_sizes: Sizes::default(),
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
        sessions: SessionsReport::ByDeadline(BTreeMap::from([(1_795_145_967_000, vec![SESSION])])),
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
fn dump_of_a_learner_has_the_timeouts_of_sessions() {
    let captured = captured_of_member("follower", "dump");
    let sessions = [
        0x0100_00ad_b184_0000,
        0x0200_00ad_b129_0000,
        0x0300_00ad_b12b_0000,
        0x0400_00ad_b129_0000,
    ];
    let with_timeout = sessions.map(|id| (SessionId(id), 10_000)).to_vec();
    let report = DumpReport {
        sessions: SessionsReport::WithTimeout(with_timeout),
        ephemerals: Vec::new(),
        connections: BTreeMap::new(),
    };
    let (sessions, _) = captured.split_once("ephemeral nodes").expect("the next part");
    assert!(dump(&report).starts_with(sessions), "{captured}");
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
    assert_eq!(keys(&conf(&config, "", 2181, (1, 2))), keys(&captured_text("clientPort=")));
    assert_eq!(keys(&envi(&Environment::read())), keys(&captured_text("Environment:")));
}

#[test]
fn conf_of_a_member_is_apaches() {
    let captured = captured_of_member("observer", "conf");
    let lines = captured.lines().filter(|line| line.starts_with("server."));
    let file = format!(
        "dataDir=/data/4\nclientPort=28184\ntickTime=500\ninitLimit=20\nsyncLimit=10\n\
         peerType=observer\n{}",
        lines.collect::<Vec<_>>().join("\n")
    );
    let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("zoo.cfg") => Ok(file.clone().into_bytes()),
        Some("myid") => Ok(b"4\n".to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let path = Some(Path::new("zoo.cfg"));
    let mut config = Config::load_with(path, "", &[], &read).expect("a member's file");
    // Our default is another.
    config.client.listen_backlog = -1;
    let members = config.ensemble.as_ref().expect("a member's file").members.to_string();
    let text = conf(&config, &members, 28184, (67_109_538, 67_109_538));
    // Ours are not in a subdirectory called version-2.
    assert_eq!(text, captured.replace("/version-2", ""));
}

#[test]
fn short_answers_are_apaches() {
    assert_eq!(stmk(306i64.to_be_bytes()), "306");
    assert_eq!(gtmk(), "306");
    assert_eq!((isro(Mode::Standalone), isro(Mode::ReadOnly)), ("rw", "ro"));
    assert_eq!(hash(&[(Zxid(0x80), 5), (Zxid(0x100), u64::MAX)]), "80: 5\n100: -1\n");
    assert_eq!(
        not_whitelisted(FourLetterWord::Ruok),
        "ruok is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(dirs(67_109_358, 67_109_358), captured_text("datadir_size"));
}

fn mntr_report(server: ServerReport, standing: Standing) -> MntrReport {
    MntrReport {
        server,
        standing,
        sessions: 1,
        ephemerals: 1,
        watches: 2,
        data_bytes: 46,
        files: FileDescriptors { open: 60, max: 20_000 },
        uptime_ms: 507,
        shards: ShardCounters::default(),
        writes: WriteCounters::default(),
        start: StartFacts::default(),
    }
}

/// The keys of a text of `mntr`, each of which is there once.
fn mntr_keys(text: &str) -> BTreeSet<&str> {
    let keys = || text.lines().map(|line| line.split('\t').next().unwrap_or_default());
    let distinct: BTreeSet<_> = keys().collect();
    assert_eq!(distinct.len(), keys().count(), "a key twice");
    distinct
}

#[track_caller]
fn check_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|other| other == *line), "{line} in\n{text}");
    }
}

#[test]
fn mntr_has_every_key_of_apaches_once_and_no_other() {
    let standalone = Standing {
        mode: Mode::Standalone,
        serving: true,
        epoch: None,
        leader: None,
        quorum_size: None,
        reign: None,
    };
    let mut report = mntr_report(server(), standalone);
    report.shards.namespaces.record_read("/f", 68);
    report.shards.namespaces.record_write("/f", 0);
    report.shards.record_reply(100);
    let text = mntr(&report);
    assert_eq!(mntr_keys(&text), mntr_keys(&captured_text("zk_version")));
    report.shards.operations.record_many_us(OpCode::SetData, 2_500, 1);
    report.shards.stages.record_many_us([1_000, 0, 3_100, 100, 7, 8, 9], 1);
    let text = mntr(&report);
    let ours = |key: &&str| key.contains("_op_") || key.contains("_write_stage_");
    let (ours, apaches): (BTreeSet<_>, _) = mntr_keys(&text).into_iter().partition(ours);
    assert_eq!(apaches, mntr_keys(&captured_text("zk_version")));
    assert_eq!(ours.len(), (1 + Stage::ALL.len()) * 9, "{ours:?}");
    check_lines(
        &text,
        &[
            "zk_avg_latency\t2.25",
            "zk_avg_updatelatency\t2.5",
            "zk_p99_updatelatency\t2",
            "zk_p50_readlatency\t0",
            "zk_p99_op_setData_us\t2512",
            "zk_max_write_stage_log_write_us\t3088",
            "zk_avg_write_stage_queue_us\t1000.0",
            "zk_p99_prep_processor_queue_time_ms\t1",
            "zk_max_sync_processor_queue_time_ms\t3",
            "zk_avg_sync_processor_queue_flush_time_ms\t0.1",
            "zk_sum_f_read_per_namespace\t70",
            "zk_max_client_response_size\t100",
            "zk_connection_drop_probability\t0.0",
        ],
    );
}

/// A member of the captured ensemble, as it was then.
fn member(mode: Mode) -> (ServerReport, Standing) {
    let mut server = ServerReport {
        mode,
        latency: LatencyReport { min_ms: 1, avg_ms: 2.0, max_ms: 3 },
        packets_received: 6,
        packets_sent: 5,
        last_zxid: Zxid::new(Epoch(1), 8),
        node_count: 9,
        ..server()
    };
    let reign = Reign {
        learners: 3,
        synced_followers: 2,
        synced_observers: 1,
        pending_syncs: 0,
        uptime_ms: 21_524,
    };
    let standing = Standing {
        mode,
        serving: true,
        epoch: Some(Epoch(1)),
        leader: Some(ServerId(3)),
        quorum_size: Some(3),
        reign: (mode == Mode::Leader).then_some(reign),
    };
    if mode == Mode::Leader {
        server.proposal_sizes.record(48);
        server.proposal_sizes.record(127);
        server.latency = LatencyReport { min_ms: 1, avg_ms: 1.5, max_ms: 2 };
    }
    (server, standing)
}

#[test]
fn members_tell_of_their_roles_as_apaches_do() {
    for mode in [Mode::Leader, Mode::Observer] {
        let (server, standing) = member(mode);
        let captured = captured_of_member(mode.as_str(), "srvr");
        let (_, statistics) = captured.split_once('\n').expect("the version's line");
        assert_eq!(srvr(&server), format!("Zookeeper version: {VERSION}\n{statistics}"));
        assert!(stat(&server, &[]).ends_with(statistics));
        assert_eq!(isro(standing.mode), captured_of_member(mode.as_str(), "isro"));
    }
}

#[test]
fn mntr_of_members_has_the_keys_of_apaches() {
    for mode in [Mode::Leader, Mode::Follower, Mode::Observer] {
        let (server, standing) = member(mode);
        let captured = captured_of_member(mode.as_str(), "mntr");
        let mut report = mntr_report(server, standing);
        report.writes.roles.proposal_sizes = report.server.proposal_sizes;
        let text = mntr(&report);
        // What they had read by then, and queues that are not here.
        let beside = ["_per_namespace", "_learner_handler_qp_"];
        let mut expect = mntr_keys(&captured);
        expect.retain(|key| !beside.iter().any(|part| key.contains(part)));
        assert_eq!(mntr_keys(&text), expect, "{mode:?}");
        let told = [
            "server_state",
            "peer_state",
            "quorum_size",
            "observer_master_id",
            "learners",
            "synced_",
            "pending_syncs",
            "leader_uptime",
            "_proposal_size",
        ];
        let of_roles = captured.lines().filter(|line| told.iter().any(|key| line.contains(key)));
        check_lines(&text, &of_roles.collect::<Vec<_>>());
    }
}

#[test]
fn without_service_each_word_answers_as_apaches_does() {
    let words = "srvr mntr isro conf stat cons dump wchs wchc wchp dirs crst srst hash";
    for word in words.split(' ') {
        let asked = FourLetterWord::from_bytes(word.as_bytes().try_into().unwrap()).expect(word);
        assert_eq!(not_serving(asked), captured_of_member("without quorum", word), "{word}");
    }
    assert_eq!(captured_of_member("without quorum", "ruok"), RUOK);
    assert_eq!(captured_of_member("without quorum", "gtmk"), gtmk());
}

/// What a member of Apache's ensemble answered.
fn captured_of_member(server: &str, word: &str) -> String {
    let answers = CAPTURED_OF_MEMBERS.lines().map(serde_json::from_str::<serde_json::Value>);
    let mut answers = answers.map(|answer| answer.expect("it is JSON"));
    let answer = answers.find(|answer| answer["server"] == server && answer["word"] == word);
    answer.expect("it was captured")["text"].as_str().expect("it is text").to_owned()
}

/// The whole captured answer that begins with `start`.
fn captured_text(start: &str) -> String {
    let marker = format!("\"text\":\"{start}");
    let at = CAPTURED.find(&marker).expect("it was captured") + "\"text\":\"".len();
    let text = &CAPTURED[at..];
    let text = &text[..text.find("\"}").expect("the end of a JSON string")];
    text.replace("\\n", "\n").replace("\\t", "\t")
}
