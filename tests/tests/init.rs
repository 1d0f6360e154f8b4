//! `menagerie init` as an operator meets it: what is written, what is refused, who takes it.

use menagerie_tests::apache;
use menagerie_tests::child_process::ChildProcess;
use menagerie_tests::polling::poll;
use menagerie_tests::raw_client::{RawClient, four_letter, value_of};
use menagerie_tests::scratch::Scratch;
use menagerie_tests::server::{Menagerie, binary};
use menagerie_tests::{ServerConfig, free_address};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const START_TIME_MAX: Duration = Duration::from_secs(60);
const THREE: [&str; 3] = [
    "server.1=zoo1:2888:3888;2181",
    "server.2=zoo2:2888:3888;2181",
    "server.3=zoo3:2888:3888;2181",
];

fn init<S: AsRef<str>>(id: u8, dir: &Path, members: &[S], more: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["init", "--id", &id.to_string(), "--dir"]).arg(dir).args(more);
    for member in members {
        command.args(["--member", member.as_ref()]);
    }
    command.stdin(Stdio::null()).output().expect("the binary can be executed")
}

/// What was said on stdout by an `init` that wrote its files.
fn written<S: AsRef<str>>(id: u8, dir: &Path, members: &[S], more: &[&str]) -> String {
    let output = init(id, dir, members, more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("plain words")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check_refused(output: &Output, code: i32, part: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert!(stderr(output).contains(part), "no `{part}` in: {}", stderr(output));
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_files_of_a_member_are_written_and_named() {
    let scratch = Scratch::new("init");
    let dir = scratch.path().join("new/zk \u{e9}");
    let said = written(1, &dir, &THREE, &[]);
    let [zoo_cfg, myid, secret] = ["zoo.cfg", "myid", "session.secret"].map(|name| dir.join(name));
    for path in [&zoo_cfg, &myid, &secret] {
        assert!(said.contains(&format!("wrote {}", path.display())), "{said}");
    }
    assert_eq!(text(&myid), "1\n");
    let key = std::fs::read(&secret).unwrap();
    assert_eq!(
        (key.len(), std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777),
        (32, 0o600)
    );
    let lines = text(&zoo_cfg);
    for line in ["tickTime=2000", "initLimit=10", "syncLimit=5"] {
        assert!(lines.lines().any(|other| other == line), "no {line} in {lines}");
    }
    for member in THREE {
        let (server, client) = member.split_once(';').unwrap();
        let line = format!("{server}:participant;0.0.0.0:{client}");
        assert!(lines.lines().any(|other| other == line), "no {line} in {lines}");
    }
    assert!(!lines.contains("clientPort"), "the own line says it: {lines}");
}

#[test]
fn the_others_are_written_with_a_copy_of_the_secret() {
    let scratch = Scratch::new("init-others");
    let [first, second] = [1, 2].map(|id| scratch.path().join(id.to_string()));
    let port = ["--client-port", "2182"];
    let members = THREE.map(|line| line.replace(";2181", ""));
    let said = written(1, &first, &members, &port);
    for id in [2, 3] {
        assert!(said.contains(&format!("menagerie init --id {id} ")), "{said}");
    }
    assert!(said.contains("--secret-file COPY --client-port 2182"), "{said}");
    let secret = first.join("session.secret");
    // Where scp would put it: it is left there, and not written over.
    std::fs::create_dir(&second).unwrap();
    std::fs::copy(&secret, second.join("session.secret")).unwrap();
    let copy = second.join("session.secret");
    let with_copy = ["--secret-file", copy.to_str().unwrap(), port[0], port[1]];
    let said = written(2, &second, &members, &with_copy);
    assert!(said.contains("kept") && !said.contains("menagerie init"), "{said}");

    let third = scratch.path().join("3");
    let with_original = ["--secret-file", secret.to_str().unwrap(), port[0], port[1]];
    written(3, &third, &members, &with_original);
    for dir in [&second, &third] {
        let copy = std::fs::read(dir.join("session.secret")).unwrap();
        assert_eq!(copy, std::fs::read(&secret).unwrap());
    }
    let own_words = |dir: &Path| text(&dir.join("zoo.cfg")).replace(dir.to_str().unwrap(), "DIR");
    let without_name = |dir: &Path| own_words(dir).lines().skip(1).collect::<Vec<_>>().join("\n");
    assert_eq!(without_name(&first), without_name(&third));
}

#[test]
fn nothing_is_written_over() {
    for name in ["zoo.cfg", "myid", "session.secret"] {
        let scratch = Scratch::new("init-again");
        let taken = scratch.path().join(name);
        std::fs::write(&taken, "precious").unwrap();
        let output = init(1, scratch.path(), &THREE, &[]);
        check_refused(&output, 1, &format!("{} is there already", taken.display()));
        assert_eq!(text(&taken), "precious");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_could_not_be_served_is_not_written() {
    let scratch = Scratch::new("init-refused");
    let dir = scratch.path().join("dir");
    let check = |id: u8, members: &[&str], more: &[&str], code: i32, part: &str| {
        check_refused(&init(id, &dir, members, more), code, part);
        assert!(!dir.exists(), "{part}");
    };
    check(4, &THREE, &[], 2, "no --member server.4");
    check(1, &["server.1=a:1:1"], &[], 2, "the quorum port and the election port are both 1");
    check(1, &[THREE[0], THREE[0]], &[], 2, "--member server.1 is there twice");
    check(1, &["server.1=a:1:2:observer"], &[], 2, "no server is a participant");
    check(1, &["server.1=a:1:2;9"], &["--client-port", "8"], 2, "expected the client address");
    let secret = scratch.path().join("secret");
    let with_secret = ["--secret-file", secret.to_str().unwrap()];
    check(1, &THREE, &with_secret, 1, "No such file");
    std::fs::write(&secret, "short").unwrap();
    check(1, &THREE, &with_secret, 1, "5 bytes instead of 32");
    check(1, &[], &[], 2, "--member");
}

#[test]
fn a_single_member_is_served_with_the_secret_that_was_written() {
    let scratch = Scratch::new("init-single");
    let port = free_address().port();
    let member = format!("server.1=127.0.0.1:2888:3888;127.0.0.1:{port}");
    written(1, scratch.path(), &[member], &[]);
    let mut command = Command::new(binary());
    command.arg("server").arg(scratch.path().join("zoo.cfg")).stdout(Stdio::null());
    let process = ChildProcess::spawn(&mut command).unwrap();
    let ready = process.wait_for_line(START_TIME_MAX, |line| line.contains("serving clients on"));
    let ready = ready.unwrap_or_else(|| panic!("{}", process.stderr()));
    assert!(ready.contains(&format!("127.0.0.1:{port},")), "{ready}");
    assert!(!process.stderr().contains("WARN"), "{}", process.stderr());
    assert!(!scratch.path().join("menagerie/session.secret").exists());
}

/// What an operator gets who grows a standalone server: the same passwords as before.
#[test]
fn a_server_that_was_alone_keeps_its_secret_and_its_sessions() {
    let mut server = Menagerie::start(&ServerConfig::new());
    let client = RawClient::connect(server.address(), 30_000).unwrap();
    let session = client.session().clone();
    server.stop();
    let own = server.data_dir().join("menagerie/session.secret");
    let before = std::fs::read(&own).unwrap();
    let members = THREE.map(|line| line.replace(";2181", ""));
    let said = written(1, &server.data_dir(), &members, &[]);
    assert!(said.contains(&format!("kept {}", own.display())), "{said}");
    assert!(text(&server.data_dir().join("zoo.cfg")).contains("clientPort=2181\n"));
    assert_eq!(std::fs::read(&own).unwrap(), before);

    // The named file is what counts, also where the data directory has another secret.
    let copy = server.data_dir().join("copy");
    std::fs::rename(&own, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    let scratch = Scratch::new("init-copy");
    let mut copied = Command::new("cp");
    copied.arg("-r").arg(server.data_dir()).arg(scratch.path().join("data"));
    assert!(copied.status().is_ok_and(|status| status.success()));
    let config = ServerConfig::new().key("sessionSecretFile", copy.display());
    let again = Menagerie::start_in(scratch, &config);
    let resumed = RawClient::resume(again.address(), &session).unwrap();
    assert_eq!(resumed.session().session_id, session.session_id);
    let warned = format!("chmod 600 {}", copy.display());
    assert!(again.stderr().contains(&warned), "{}", again.stderr());
}

#[test]
fn apache_forms_an_ensemble_of_the_files() {
    let scratch = Scratch::new("init-apache");
    let members: Vec<_> = [1, 2]
        .map(|id| {
            let [quorum, election, client] = [(); 3].map(|()| free_address().port());
            (client, format!("server.{id}=127.0.0.1:{quorum}:{election};127.0.0.1:{client}"))
        })
        .into();
    let lines: Vec<_> = members.iter().map(|(_, line)| line).collect();
    let config = ServerConfig::new().property("zookeeper.admin.enableServer", false);
    let servers: Vec<_> = [1, 2]
        .map(|id| {
            let dir = scratch.path().join(id.to_string());
            written(id, &dir, &lines, &[]);
            let mut command = apache::command(&config, &dir.join("zoo.cfg"));
            ChildProcess::spawn(command.current_dir(&dir)).expect("`java` is installed")
        })
        .into();
    let modes = || {
        let mut modes: Vec<_> = members
            .iter()
            .filter_map(|(port, _)| four_letter(([127, 0, 0, 1], *port).into(), "srvr").ok())
            .filter_map(|text| value_of(&text, "Mode:").map(str::to_owned))
            .collect();
        modes.sort();
        (modes == ["follower", "leader"]).then_some(())
    };
    assert!(poll(START_TIME_MAX, modes).is_some(), "{}", servers[0].stderr());
}
