//! `menagerie status` as an operator meets it: rows for servers that answer and for those that do
//! not, exit codes, JSON.

use menagerie_tests::ServerConfig;
use menagerie_tests::apache::Apache;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::polling::poll;
use menagerie_tests::raw_client::RawClient;
use menagerie_tests::server::{Menagerie, binary};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Long enough for a busy machine.
const TIMEOUT_MS: u32 = 30_000;
const PORT_CLOSES_WITHIN: Duration = Duration::from_secs(20);

fn status(words: &[&str]) -> Output {
    status_within(TIMEOUT_MS, words)
}

fn status_within(timeout_ms: u32, words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["status", "--timeout-ms", &timeout_ms.to_string()]).args(words);
    command.stdin(Stdio::null()).output().expect("the binary can be executed")
}

fn stdout(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The rows of `--json`, and the exit code.
fn rows_of(servers: &[SocketAddr]) -> (Vec<Value>, Option<i32>) {
    let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    let words = servers.iter().map(String::as_str).chain(["--json"]);
    let output = status(&words.collect::<Vec<_>>());
    let rows = serde_json::from_str(&stdout(&output)).expect("an array");
    (rows, output.status.code())
}

/// A loopback port that refuses: it is bound, so that nobody else takes it, and not listened on.
fn dead_port() -> (OwnedFd, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &any).expect("a free port");
    let address = getsockname(&socket).expect("its address");
    (socket, address.try_into().expect("an IP address"))
}

fn all_words() -> ServerConfig {
    ServerConfig::new().key("4lw.commands.whitelist", "*")
}

#[test]
fn the_table_has_a_row_for_a_server_and_one_for_a_dead_port() {
    let server = Menagerie::start(&all_words());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    assert_eq!(client.create("/a", b"", 0).unwrap().header.err, 0);
    let (_bound, dead) = dead_port();
    let live = server.address().to_string();

    let output = status(&[&live, &dead.to_string()]);
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let [title, of_live, of_dead] = table.lines().collect::<Vec<_>>()[..] else {
        panic!("a title and two rows: {table}");
    };
    assert!(title.starts_with("ADDRESS"), "{table}");
    assert!(of_live.starts_with(&live) && of_live.contains("standalone"), "{table}");
    assert!(of_dead.starts_with(&dead.to_string()), "{table}");
    assert!(of_dead.ends_with("refuses connections"), "{table}");

    assert_eq!(status(&[&live]).status.code(), Some(0));
}

#[test]
fn json_tells_what_srvr_and_mntr_tell() {
    let server = Menagerie::start(&all_words());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    let (before, _) = rows_of(&[server.address()]);
    let created = client.create("/a", b"", 0).unwrap();
    let (rows, code) = rows_of(&[server.address()]);
    let row = &rows[0];
    assert_eq!((rows.len(), code), (1, Some(0)), "{row}");
    assert_eq!(row["address"], server.address().to_string());
    assert_eq!((&row["serving"], &row["role"]), (&true.into(), &"standalone".into()));
    assert_eq!(row["zxid"], created.header.zxid.to_string());
    assert_eq!(row["zxid_counter"], created.header.zxid.counter());
    assert_eq!(row["nodes"].as_u64().unwrap(), before[0]["nodes"].as_u64().unwrap() + 1);
    assert_eq!(row["sessions"], 1, "{row}");
    // The client, and the question itself.
    assert_eq!(row["connections"], 2, "{row}");
    assert!(row["latency_ms_avg"].is_f64() && row["latency_ms_max"].is_u64(), "{row}");
    assert_eq!(row["note"], Value::Null);
}

#[test]
fn a_server_with_the_default_whitelist_tells_less_and_serves() {
    let server = Menagerie::start(&ServerConfig::new());
    let (rows, code) = rows_of(&[server.address()]);
    assert_eq!(code, Some(0));
    assert_eq!((&rows[0]["serving"], &rows[0]["sessions"]), (&true.into(), &Value::Null));
    assert_eq!(rows[0]["note"], "mntr is not whitelisted");

    let silent = Menagerie::start(&ServerConfig::new().key("4lw.commands.whitelist", "ruok"));
    let (rows, code) = rows_of(&[silent.address(), server.address()]);
    assert_eq!(code, Some(1));
    assert_eq!(rows[0]["note"], "neither srvr nor mntr is whitelisted");
    assert_eq!((&rows[0]["serving"], &rows[1]["serving"]), (&false.into(), &true.into()));
}

#[test]
fn a_silent_server_does_not_hold_up_the_report() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = status_within(100, &[&silent.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("no answer within 100 ms"), "{}", stdout(&output));
}

#[test]
fn apache_has_a_row_like_our_own() {
    let (apache, ours) = (Apache::start(&all_words()), Menagerie::start(&all_words()));
    let (rows, code) = rows_of(&[apache.address(), ours.address()]);
    assert_eq!(code, Some(0));
    let null_keys = |row: &Value| {
        let keys = row.as_object().unwrap().iter().filter(|(_, value)| value.is_null());
        keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(null_keys(&rows[0]), null_keys(&rows[1]), "{rows:?}");
    assert_eq!((&rows[0]["role"], &rows[1]["role"]), (&"standalone".into(), &"standalone".into()));
    assert!(rows[0]["version"].as_str().unwrap().starts_with("3.9.4-"), "{rows:?}");
}

/// Asks until all members tell the same zxid: nobody writes, but a commit may be on its way.
fn rows_of_members_at_rest(ensemble: &Ensemble) -> (Vec<Value>, Option<i32>) {
    let asked = std::iter::repeat_with(|| rows_of(&ensemble.clients())).take(100);
    let mut at_rest =
        asked.filter(|(rows, _)| rows.iter().all(|row| row["zxid"] == rows[0]["zxid"]));
    at_rest.next().expect("members at rest")
}

/// The same of both, so that the table holds for an ensemble of both.
fn members_have_rows_that_tell_their_roles(flavor: Flavor) {
    let plan = Plan { network: Network::Direct, ..Plan::new(flavor, 3, 1) };
    let mut ensemble = Ensemble::start(&plan);
    let leader = ensemble.wait_for_leader();
    let mut client = RawClient::connect(ensemble.node(1).client(), 10_000).expect("it serves");
    client.create("/a", b"", 0).expect("it serves");
    ensemble.wait_until_in_sync();
    let (rows, code) = rows_of_members_at_rest(&ensemble);
    assert_eq!(code, Some(0), "{rows:?}");
    // The first election may have needed a second attempt.
    let epoch = ensemble.node(leader).serving().expect("it leads").zxid >> 32;
    for (id, row) in (1..).zip(&rows) {
        let role = match id {
            4 => "observer",
            id if id == leader => "leader",
            _ => "follower",
        };
        assert_eq!((&row["serving"], &row["role"]), (&true.into(), &role.into()), "{row}");
        assert_eq!((&row["epoch"], &row["lag"]), (&epoch.into(), &0.into()), "{row}");
        assert_eq!((&row["quorum_size"], &row["sessions"]), (&3.into(), &1.into()), "{row}");
        let of_leader = |key| if id == leader { Value::from(key) } else { Value::Null };
        assert_eq!(row["learners"], of_leader(3), "{row}");
        assert_eq!(row["synced_followers"], of_leader(2), "{row}");
        assert_eq!(row["synced_observers"], of_leader(1), "{row}");
    }

    for id in ensemble.ids() {
        let mut client = RawClient::connect(ensemble.node(id).client(), 10_000).expect("it serves");
        let (config, _) =
            client.get_data("/zookeeper/config").expect("it serves").expect("a member has it");
        let conf = ensemble.node(id).ask("conf").expect("it serves");
        let (_, membership) = conf.split_once("membership: \n").expect("a member tells of it");
        assert_eq!(String::from_utf8_lossy(&config), membership, "server {id}");
        assert!(conf.contains(&format!("\nserverId={id}\n")), "{conf}");
        client.close().expect("it serves");
    }

    let voters = ensemble.voters();
    for id in &voters[1..] {
        ensemble.node(*id).kill();
    }
    client.read_end().expect("without a quorum nobody is served");
    let (silent, gone) = (Some("not serving requests"), Some("refuses connections"));
    let mut told = (Vec::new(), None);
    // The port of a killed server may take connections for a while yet: the kernel takes the
    // io_uring that holds it apart after the process has been reaped.
    let in_the_end = poll(PORT_CLOSES_WITHIN, || {
        told = rows_of(&ensemble.clients());
        let notes = told.0.iter().map(|row| row["note"].as_str()).take(3);
        notes.eq([silent, gone, gone]).then_some(told.1)
    });
    assert_eq!(in_the_end, Some(Some(1)), "{told:?}");
}

#[test]
fn apaches_members_have_rows_that_tell_their_roles() {
    members_have_rows_that_tell_their_roles(Flavor::Apache);
}

#[test]
fn our_members_have_rows_that_tell_their_roles() {
    members_have_rows_that_tell_their_roles(Flavor::Menagerie);
}

#[test]
fn servers_that_are_no_addresses_are_misuse() {
    for words in [&[][..], &["zk1"], &["::1:2181"]] {
        assert_eq!(status(words).status.code(), Some(2), "{words:?}");
    }
}
