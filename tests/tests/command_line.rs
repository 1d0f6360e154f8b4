//! `menagerie server` as an operator meets it: ready line, signals, exit codes, refusals.

use menagerie_tests::ServerConfig;
use menagerie_tests::child_process::{ChildProcess, forbid_io_uring};
use menagerie_tests::raw_client::{RawClient, four_letter};
use menagerie_tests::scratch::Scratch;
use menagerie_tests::server::{Menagerie, binary};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const START_TIME_MAX: Duration = Duration::from_secs(60);
const NO_NODE: i32 = -101;

/// Runs the binary to its end; for starts that are refused.
fn refused(zoo_cfg: &Path) -> Output {
    let mut command = Command::new(binary());
    command.arg("server").arg(zoo_cfg).stdin(Stdio::null());
    command.output().expect("the binary can be executed")
}

/// Writes a configuration that would do, and the command that starts the binary with it under
/// other limits.
fn limited(scratch: &Scratch, limit: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(limit).arg(binary()).arg("server").arg(plain_zoo_cfg(scratch));
    command
}

fn plain_zoo_cfg(scratch: &Scratch) -> PathBuf {
    let zoo_cfg = scratch.path().join("zoo.cfg");
    let data_dir = scratch.path().join("data");
    let text =
        format!("dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n", data_dir.display());
    std::fs::write(&zoo_cfg, text).expect("the scratch directory is writable");
    zoo_cfg
}

/// Runs a command that is to fail, with `parts` in what it says.
fn check_fails(mut command: Command, parts: &[&str]) {
    let output = command.stdin(Stdio::null()).output().expect("the command can be executed");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for part in parts {
        assert!(stderr(&output).contains(part), "no `{part}` in: {}", stderr(&output));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_ready_line_names_the_address_and_the_data_directory() {
    let server = Menagerie::start(&ServerConfig::new());
    let expected = format!(
        "menagerie: serving clients on {}, data in {}",
        server.address(),
        server.data_dir().display()
    );
    let lines = server.stderr();
    assert!(lines.lines().any(|line| line == expected), "no `{expected}` in:\n{lines}");
}

#[test]
fn sigterm_stops_cleanly_and_keeps_everything() {
    let mut server = Menagerie::start(&ServerConfig::new());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    assert_eq!(client.create("/kept", b"one", 0).unwrap().header.err, 0);
    assert_eq!(server.stop().code(), Some(0), "{}", server.stderr());
    client.read_end().expect("a stopping server closes its connections");

    server.restart();
    let mut client = RawClient::resume(server.address(), client.session()).unwrap();
    assert_eq!(client.get_data("/kept").unwrap().unwrap().0, b"one");
}

/// Clients that do not pause: the word to stop comes to every core while it is at work.
#[test]
fn a_busy_server_stops_cleanly_and_keeps_what_it_acknowledged() {
    let mut server = Menagerie::start(&ServerConfig::new().key("menagerie.shards", 2));
    for round in 0..5 {
        let (said, hears) = std::sync::mpsc::channel();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let mut client = RawClient::connect(server.address(), 30_000).unwrap();
                let said = said.clone();
                std::thread::spawn(move || {
                    let path = |number: usize| format!("/r{round}-w{writer}-{number}");
                    let acknowledged =
                        (0..).take_while(|&number| client.create(&path(number), b"", 0).is_ok());
                    let last = acknowledged.inspect(|_| said.send(()).unwrap_or_default()).last();
                    last.map(path)
                })
            })
            .collect();
        hears.iter().take(200).for_each(drop);
        assert_eq!(server.stop().code(), Some(0), "{}", server.stderr());
        let last: Vec<_> =
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
        server.restart();
        let mut client = RawClient::connect(server.address(), 30_000).unwrap();
        for path in &last {
            assert!(client.get_data(path).unwrap().is_ok(), "{path} was acknowledged");
        }
        assert!(!last.is_empty());
    }
}

/// The clients were there all the time; it was the server that did not listen.
#[test]
fn a_server_that_was_stopped_for_a_while_expires_nobody() {
    const TIMEOUT_MS: i32 = 2_000;
    let server = Menagerie::start(&ServerConfig::new().key("tickTime", 100));
    let mut client = RawClient::connect(server.address(), TIMEOUT_MS).unwrap();
    assert_eq!(client.create("/alive", b"", 1).unwrap().header.err, 0);
    let pid = Pid::from_raw(server.pid().try_into().unwrap()).unwrap();
    // The shard tells the sequencer of the create: later it could not speak for the client.
    std::thread::sleep(Duration::from_millis(TIMEOUT_MS as u64 / 6));
    kill_process(pid, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(2 * TIMEOUT_MS as u64));
    kill_process(pid, Signal::CONT).unwrap();
    // Time in which the server could expire it, and in which the session may be silent.
    std::thread::sleep(Duration::from_millis(TIMEOUT_MS as u64 / 6));
    assert!(client.get_data("/alive").unwrap().is_ok());
}

/// A limit on the size of files stands for a disk that fails: the log's next write is refused.
#[test]
fn a_failed_write_ends_the_server_and_is_not_acknowledged() {
    let mut server = Menagerie::start(&ServerConfig::new());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    let session = client.session().clone();
    assert_eq!(client.create("/before", b"", 0).unwrap().header.err, 0);
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    let nothing = Rlimit { current: Some(1), maximum: Some(1) };
    prlimit(pid, Resource::Fsize, nothing).unwrap();
    client.create("/after", b"", 0).expect_err("it cannot be on the disk");

    let status = server.wait();
    assert_eq!(status.code(), Some(1), "{}", server.stderr());
    assert!(server.stderr().contains("menagerie: write failed on log."), "{}", server.stderr());
    server.restart();
    let mut client = RawClient::resume(server.address(), &session).unwrap();
    assert!(client.get_data("/before").unwrap().is_ok());
    assert_eq!(client.create("/again", b"", 0).unwrap().header.err, 0);
}

#[test]
fn a_word_is_answered_though_the_client_has_ended_its_side() {
    let server = Menagerie::start(&ServerConfig::new().key("4lw.commands.whitelist", "*"));
    for word in ["ruok", "srvr", "mntr"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(START_TIME_MAX)).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(!text.is_empty(), "{word}");
    }
}

#[test]
fn sigkill_loses_nothing_that_was_acknowledged() {
    let mut server = Menagerie::start(&ServerConfig::new());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    let session = client.session().clone();
    for value in 0..20_u8 {
        assert_eq!(client.create(&format!("/n{value}"), &[value], 0).unwrap().header.err, 0);
        server.kill();
        server.restart();
        client = RawClient::resume(server.address(), &session).unwrap();
        assert_eq!(client.session().session_id, session.session_id);
        for earlier in 0..=value {
            let (data, _) = client.get_data(&format!("/n{earlier}")).unwrap().unwrap();
            assert_eq!(data, [earlier]);
        }
    }
}

#[test]
fn an_ephemeral_outlives_a_restart_but_not_its_session() {
    let mut server = Menagerie::start(&ServerConfig::new());
    let mut owner = RawClient::connect(server.address(), 30_000).unwrap();
    assert_eq!(owner.create("/alive", b"", 1).unwrap().header.err, 0);
    let session = owner.session().clone();
    server.kill();
    server.restart();
    let mut witness = RawClient::connect(server.address(), 30_000).unwrap();
    let (_, stat) = witness.get_data("/alive").unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.session_id);
    RawClient::resume(server.address(), &session).unwrap().close().unwrap();
    assert_eq!(witness.get_data("/alive").unwrap().unwrap_err(), NO_NODE);
}

#[test]
fn a_bad_value_stops_the_start_and_is_named_with_file_line_and_key() {
    let scratch = Scratch::new("bad-value");
    let zoo_cfg = scratch.path().join("zoo.cfg");
    std::fs::write(&zoo_cfg, "dataDir=data\nclientPort=2181\ntickTime=soon\n").unwrap();
    let output = refused(&zoo_cfg);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for part in [zoo_cfg.to_str().unwrap(), ":3", "tickTime", "soon"] {
        assert!(stderr(&output).contains(part), "no `{part}` in: {}", stderr(&output));
    }
}

#[test]
fn a_missing_file_and_a_wrong_option_are_usage_errors() {
    let output = refused(Path::new("/nonexistent/zoo.cfg"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("/nonexistent/zoo.cfg"), "{}", stderr(&output));

    let output = Command::new(binary()).arg("--no-such-option").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_port_that_is_taken_stops_the_start_and_is_named() {
    let scratch = Scratch::new("port-taken");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let zoo_cfg = scratch.path().join("zoo.cfg");
    let data_dir = scratch.path().join("data");
    let text =
        format!("dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n", data_dir.display());
    std::fs::write(&zoo_cfg, text).unwrap();
    let output = refused(&zoo_cfg);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let address = format!("127.0.0.1:{port}");
    assert!(stderr(&output).contains(&address), "no {address} in: {}", stderr(&output));
}

/// Whether the default port is free here or not: either the ready line or the refusal names it.
#[test]
fn without_a_file_the_server_takes_the_well_known_address() {
    let scratch = Scratch::new("defaults");
    let mut command = Command::new(binary());
    command.arg("server").current_dir(scratch.path()).stdout(Stdio::null());
    let mut process = ChildProcess::spawn(&mut command).unwrap();
    let line = process.wait_for_line(START_TIME_MAX, |line| line.contains("127.0.0.1:2181"));
    let line = line.unwrap_or_else(|| panic!("{}", process.stderr()));
    let ready = line.starts_with("menagerie: serving clients on 127.0.0.1:2181, data in ");
    if ready {
        assert!(line.ends_with("menagerie-data"), "{line}");
        assert!(scratch.path().join("menagerie-data").is_dir());
        process.signal(Signal::INT);
    }
    let status = process.wait(START_TIME_MAX).expect("the process ends");
    assert_eq!(status.code(), Some(i32::from(!ready)), "{}", process.stderr());
}

#[test]
fn unknown_keys_are_named_in_one_warning() {
    let config = ServerConfig::new().key("noSuchKey", 1).key("norThisOne", 2);
    let server = Menagerie::start(&config);
    let log = server.stderr();
    let naming = log.lines().filter(|line| line.contains("noSuchKey"));
    assert_eq!(naming.filter(|line| line.contains("norThisOne")).count(), 1, "{log}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused_with_the_pid_of_the_first() {
    let server = Menagerie::start(&ServerConfig::new());
    let scratch = Scratch::new("second");
    let zoo_cfg = scratch.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n",
        server.data_dir().display()
    );
    std::fs::write(&zoo_cfg, text).unwrap();
    let output = refused(&zoo_cfg);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let pid = server.pid().to_string();
    assert!(stderr(&output).contains(&pid), "no pid {pid} in: {}", stderr(&output));
}

#[test]
fn a_host_that_grants_too_little_is_told_what_to_change() {
    let scratch = Scratch::new("too-little");
    let memlock = ["memlock limit is 65536 bytes, 524288 are needed", "LimitMEMLOCK=", "ulimit -l"];
    check_fails(limited(&scratch, "--memlock=65536:65536"), &memlock);
    let nofile = ["nofile limit is 40", "LimitNOFILE=", "--ulimit nofile="];
    check_fails(limited(&scratch, "--nofile=40:40"), &nofile);

    let mut command = Command::new(binary());
    command.arg("server").arg(plain_zoo_cfg(&scratch));
    forbid_io_uring(&mut command);
    check_fails(command, &["seccomp", "io_uring_setup", "container's seccomp profile"]);
    assert!(!scratch.path().join("data").exists(), "the data directory was touched");
}

#[test]
fn soft_limits_are_raised_to_the_hard_ones() {
    let scratch = Scratch::new("soft-limits");
    for limit in ["--memlock=65536:", "--nofile=40:"] {
        let mut process = ChildProcess::spawn(&mut limited(&scratch, limit)).unwrap();
        let ready = process.wait_for_line(START_TIME_MAX, |line| line.contains("serving clients"));
        assert!(ready.is_some(), "{limit}: {}", process.stderr());
        process.kill();
    }
}

#[test]
fn files_lie_where_they_are_said_to_and_version_2_is_not_touched() {
    let scratch = Scratch::new("layout");
    let apache_dir = scratch.path().join("data/version-2");
    std::fs::create_dir_all(&apache_dir).unwrap();
    let server = Menagerie::start_in(scratch, &ServerConfig::new());
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    assert_eq!(client.create("/a", b"", 0).unwrap().header.err, 0);

    let ours = server.data_dir().join("menagerie");
    let secret = std::fs::metadata(ours.join("session.secret")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    assert!(ours.join("lock").exists());
    let names: Vec<String> = std::fs::read_dir(&ours)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("log.")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("manifest")), "{names:?}");
    assert_eq!(std::fs::read_dir(apache_dir).unwrap().count(), 0);
}

#[test]
fn properties_of_the_environment_are_keys() {
    let server = Menagerie::start(
        &ServerConfig::new().property("zookeeper.4lw.commands.whitelist", "ruok,conf"),
    );
    assert_eq!(four_letter(server.address(), "ruok").unwrap(), "imok");
    let refusal = four_letter(server.address(), "stat").unwrap();
    assert!(refusal.contains("not in the whitelist"), "{refusal}");
}

#[test]
fn one_shard_is_enough() {
    let config = ServerConfig::new().key("menagerie.shards", 1);
    let server = Menagerie::start(&config);
    let mut client = RawClient::connect(server.address(), 30_000).unwrap();
    assert_eq!(client.create("/a", b"x", 0).unwrap().header.err, 0);
    assert_eq!(client.get_data("/a").unwrap().unwrap().0, b"x");
}
