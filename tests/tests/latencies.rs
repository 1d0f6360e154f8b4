//! What a server tells of its own time: by operation, by stage, and of what was slow.

use menagerie_tests::ServerConfig;
use menagerie_tests::ensemble::node::{Flavor, Node};
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::polling::poll;
use menagerie_tests::raw_client::{RawClient, four_letter, value_of};
use menagerie_tests::server::Menagerie;
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::SetData;
use serde_json::Value;
use std::time::Duration;

const SESSION_TIMEOUT_MS: i32 = 30_000;
const POLL_TIME_MAX: Duration = Duration::from_secs(20);

/// The stages of a write, in their order.
const STAGES: [&str; 7] = ["queue", "propose", "log_write", "sync", "quorum", "apply", "reply"];

fn count(histogram: &Value) -> u64 {
    let counted = histogram["count"].as_u64().expect("a histogram has a count");
    let buckets = histogram["buckets"].as_array().expect("and buckets");
    let in_buckets: u64 = buckets.iter().map(|bucket| bucket[1].as_u64().expect("a count")).sum();
    assert_eq!(counted, in_buckets, "{histogram}");
    counted
}

fn sum(histogram: &Value) -> u64 {
    histogram["sum"].as_u64().expect("a histogram has a sum")
}

fn hist(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn operations_and_stages_are_counted() {
    let config = ServerConfig::new().key("4lw.commands.whitelist", "mntr, hist, srst");
    let server = Menagerie::start(&config);
    let ask = |word| four_letter(server.address(), word).expect("it answers");
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT_MS).expect("it serves");
    assert_eq!(client.create("/a", b"", 0).expect("it serves").header.err, 0);
    for _ in 0..20 {
        assert_eq!(client.set_data("/a", b"x").expect("it serves").header.err, 0);
    }
    for _ in 0..50 {
        client.get_data("/a").expect("it serves").expect("it is there");
    }

    let told = hist(&ask("hist"));
    assert_eq!(told["unit"], "us");
    let operations = &told["operations"];
    for (op, expected) in [("createSession", 1), ("create", 1), ("setData", 20), ("getData", 50)] {
        assert_eq!(count(&operations[op]), expected, "{op}: {told}");
    }
    assert!(operations.get("delete").is_none(), "nobody asked for it");
    let stages = &told["write_stages"];
    for stage in STAGES {
        assert_eq!(count(&stages[stage]), 22, "{stage}: {told}");
    }
    let writes = ["createSession", "create", "setData"].map(|op| sum(&operations[op]));
    let parts = STAGES.map(|stage| sum(&stages[stage]));
    assert_eq!(parts.iter().sum::<u64>(), writes.iter().sum::<u64>(), "{told}");
    assert!(sum(&stages["sync"]) > 0, "a disk takes time: {told}");
    assert_eq!(sum(&stages["propose"]), 0, "there is no other leader: {told}");
    assert!(count(&told["log"]["commit"]) >= 22, "one at a time: {told}");

    let mntr = ask("mntr");
    let figure = |key: &str| value_of(&mntr, key).map(|value| value.parse::<f64>().expect(key));
    assert_eq!(figure("zk_cnt_op_setData_us"), Some(20.0));
    assert_eq!(figure("zk_cnt_write_stage_sync_us"), Some(22.0));
    assert!(figure("zk_p99_write_stage_sync_us") > Some(0.0), "{mntr}");
    assert_eq!(figure("zk_cnt_updatelatency"), Some(22.0));
    assert_eq!(figure("zk_cnt_readlatency"), Some(50.0));
    assert_eq!(figure("zk_cnt_prep_processor_queue_time_ms"), Some(22.0));

    ask("srst");
    assert_eq!(hist(&ask("hist"))["operations"], serde_json::json!({}));
}

#[test]
fn the_word_has_to_be_allowed() {
    let server = Menagerie::start(&ServerConfig::new().key("4lw.commands.whitelist", "mntr"));
    let answer = four_letter(server.address(), "hist").expect("it answers");
    assert_eq!(answer, "hist is not executed because it is not in the whitelist.\n");
}

/// A whole number of `mntr`.
fn figure(node: &Node, key: &str) -> Option<u64> {
    value_of(&node.ask("mntr")?, key)?.parse().ok()
}

/// Records of the log that are known to be on the disk.
fn logged(node: &Node) -> Option<u64> {
    figure(node, "zk_sync_processor_request_queued")
}

/// Milliseconds for which the process says to run.
fn uptime_ms(node: &Node) -> Option<u64> {
    figure(node, "zk_uptime")
}

/// The milliseconds behind a stage in a line of the log.
fn stage_ms(line: &str, stage: &str) -> f64 {
    let (_, behind) = line.split_once(&format!("{stage} ")).expect("every stage is there");
    let number = behind.split([',', ')']).next().expect("something is behind it");
    number.parse().unwrap_or_else(|error| panic!("{stage}: {error}: {line}"))
}

#[test]
fn a_write_that_waits_for_the_quorum_is_logged_as_that() {
    let mut plan = Plan { network: Network::Direct, ..Plan::new(Flavor::Menagerie, 2, 0) };
    plan.config = plan.config.key("syncLimit", 40).key("menagerie.slowRequestThresholdMs", 200);
    let mut ensemble = Ensemble::start(&plan);
    let leader = ensemble.wait_for_leader();
    let follower = 3 - leader;
    let mut client =
        RawClient::connect(ensemble.node(leader).client(), SESSION_TIMEOUT_MS).expect("it serves");
    assert_eq!(client.create("/a", b"", 0).expect("it serves").header.err, 0);

    ensemble.node(follower).pause();
    let before = logged(ensemble.node(leader)).expect("it serves");
    let set = SetData { path: Some("/a".into()), data: Some(b"x"), version: -1 };
    let xid = client.send(OpCode::SetData, &set).expect("it serves");
    let node = ensemble.node(leader);
    let on_disk = || logged(node).filter(|records| *records > before);
    poll(POLL_TIME_MAX, on_disk).expect("its own disk takes the write");
    let since_ms = uptime_ms(node).expect("it leads on");
    let passed = || uptime_ms(node).filter(|now_ms| *now_ms > since_ms + 300);
    poll(POLL_TIME_MAX, passed).expect("time passes");
    ensemble.node(follower).go_on();
    assert_eq!(client.receive().expect("there is a quorum again").header.xid, xid);

    let session = client.session().session_id;
    let start = format!("slow request: setData of session {session}, xid {}, \"/a\": ", xid.0);
    let node = ensemble.node(leader);
    let line = poll(POLL_TIME_MAX, || {
        node.stderr().lines().find(|line| line.contains(&start)).map(str::to_owned)
    });
    let line = line.unwrap_or_else(|| panic!("{}", node.state()));
    let quorum_ms = stage_ms(&line, "quorum");
    assert!(quorum_ms >= 300.0, "{line}");
    assert_eq!(stage_ms(&line, "propose"), 0.0, "{line}");
    let total = line.split(&start).nth(1).and_then(|behind| behind.split(" ms").next());
    let total_ms: f64 = total.and_then(|ms| ms.parse().ok()).expect("the whole time");
    let parts_ms: f64 = STAGES.map(|stage| stage_ms(&line, stage)).iter().sum();
    assert!((parts_ms - total_ms).abs() < 1.0, "{line}");

    // A follower's clients wait for the leader's proposal, too.
    let node = ensemble.node(follower);
    let mut client = RawClient::connect(node.client(), SESSION_TIMEOUT_MS).expect("it serves");
    assert_eq!(client.set_data("/a", b"y").expect("it serves").header.err, 0);
    let told = hist(&node.ask("hist").expect("it answers"));
    for stage in ["propose", "sync"] {
        assert!(sum(&told["write_stages"][stage]) > 0, "{stage}: {told}");
    }
    assert_eq!(count(&told["operations"]["setData"]), 1, "{told}");
}
