//! The ensemble's keys, file by file: what a member is told, and what is refused with which words.

use super::*;
use crate::config::testing::load;
use crate::config::{Config, ConfigError};
use crate::peer::address_book::Port;

const THREE: &str = "server.1=127.0.0.1:2881:3881\nserver.2=127.0.0.1:2882:3882\n\
                     server.3=127.0.0.1:2883:3883:observer";

fn read(text: &str, beside: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(&format!("dataDir=/d\n{text}"), beside, &[])
}

/// A member 1 with all that an ensemble needs beside `lines`, which begin in line 5.
fn member_with(lines: &str) -> Result<Config, ConfigError> {
    let text = format!("clientPort=2181\ninitLimit=10\nsyncLimit=5\n{lines}");
    read(&text, &[("/d/myid", "1\n")])
}

fn ensemble(lines: &str) -> Ensemble {
    member_with(lines).expect(lines).ensemble.expect(lines)
}

fn refuse(lines: &str, expect: &str) {
    assert_eq!(member_with(lines).expect_err(lines).to_string(), expect, "{lines}");
}

fn refuse_last(lines: &str, expect: &str) {
    let last = lines.lines().last().unwrap();
    refuse(lines, &format!("zoo.cfg:{}: {last}: expected {expect}", 4 + lines.lines().count()));
}

#[test]
fn a_member_is_told_who_it_is_and_how_long_it_waits() {
    let ensemble = ensemble(THREE);
    let text = "server.1=127.0.0.1:2881:3881:participant\n\
                server.2=127.0.0.1:2882:3882:participant\n\
                server.3=127.0.0.1:2883:3883:observer\nversion=0";
    let membership = ensemble.membership();
    assert_eq!(&**membership.text(), text);
    assert!(membership.is_voter(ServerId(2)) && membership.is_observer(ServerId(3)));
    assert_eq!((ensemble.id, ensemble.role()), (ServerId(1), LearnerType::Participant));
    let timeouts = ensemble.timeouts();
    assert_eq!((timeouts.init_ms(), timeouts.sync_ms()), (20_000, 10_000));
    assert_eq!(ensemble.leader_connect_timeout(), Duration::from_secs(20));
    assert_eq!(ensemble.election_connect_timeout, Duration::from_secs(5));
    assert_eq!(ensemble.election_handshake_timeout, Duration::from_secs(10));
    assert!(!ensemble.listen_on_all && ensemble.leader_serves && !ensemble.eager_acl_check);
    assert_eq!(ensemble.digest_mismatch, DigestMismatch::Stop);
}

#[test]
fn every_key_of_a_member_is_heard() {
    let lines = "tickTime=500\nconnectToLearnerMasterLimit=3\ncnxTimeout=700\nelectionAlg=3\n\
                 quorumCnxnTimeoutMs=900\nquorumListenOnAllIPs=TRUE\nleaderServes=no\n\
                 syncEnabled=false\ndigestMismatch=log\nenableEagerACLCheck=true\n\
                 snapshot.trust.empty=true\nelectionPortBindRetry=0\npeerType=participant\n\
                 sslQuorum=false\nquorum.auth.enableSasl=false\n";
    let config = member_with(&format!("{lines}{THREE}")).expect("a good file");
    assert_eq!((config.unknown_keys, config.warnings.len()), (Vec::new(), 1));
    let ensemble = config.ensemble.expect("three members");
    assert_eq!(ensemble.timeouts().sync_ms(), 2_500);
    assert_eq!(ensemble.leader_connect_timeout(), Duration::from_millis(1_500));
    assert_eq!(ensemble.election_connect_timeout, Duration::from_millis(700));
    assert_eq!(ensemble.election_handshake_timeout, Duration::from_millis(900));
    assert!(ensemble.listen_on_all && !ensemble.leader_serves && ensemble.eager_acl_check);
    assert_eq!(ensemble.digest_mismatch, DigestMismatch::Log);
}

#[test]
fn one_participant_runs_alone_unless_that_is_forbidden() {
    let alone = |lines: &str| member_with(lines).expect(lines).ensemble.is_none();
    assert!(alone("server.1=a:1:2"));
    assert!(alone("server.1=a:1:2\nstandaloneEnabled=true"));
    assert!(alone(""));
    assert!(!alone("server.1=a:1:2\nstandaloneEnabled=false"));
    assert!(!alone("server.1=a:1:2\nserver.2=b:1:2:observer\nstandaloneEnabled=false"));
    assert!(!alone("server.1=a:1:2\nserver.2=b:1:2"));
    refuse_last("standaloneEnabled=false", "server.N lines beside it");
    refuse_last("server.1=a:1:2\nstandaloneEnabled=no", "true or false");
    refuse(
        "server.1=a:1:2\nserver.2=b:1:2:observer",
        "zoo.cfg:5: observers need an ensemble: two participants, or standaloneEnabled=false",
    );
    refuse("server.2=b:1:2:observer", "zoo.cfg:5: no server is a participant");
}

#[test]
fn a_malformed_line_is_refused_with_its_place() {
    let bad = |line: &str, why: &str| {
        refuse_last(&format!("server.1=a:1:2\n{line}"), &format!("{LINE}; {why}"));
    };
    bad("server.2=b:2888", "\"b:2888\" is no line of a quorum configuration");
    bad("server.2=b:1:2:voter", "\"voter\" is neither participant nor observer");
    bad("server.2=b:7:7", "the quorum port and the election port are both 7");
    bad("server.two=b:1:2", "\"two\" is no number, or none that may stand here");
    bad("server.01=b:1:2;99999", "\"99999\" is no port");
    refuse_last(
        "server.1=a:1:2\nserver.2=b:1:2|c:1:2",
        "one address, or multiAddress.enabled=true",
    );
    refuse(
        "server.-4=a:1:2\nserver.1=b:1:2",
        "zoo.cfg:5: server.-4: a server's number is not negative",
    );
}

#[test]
fn what_a_member_cannot_do_without_is_named() {
    let check = |lines: &str, expect: &str| {
        let text = format!("clientPort=2181\n{lines}\n{THREE}");
        let error = read(&text, &[("/d/myid", "1")]).expect_err(lines);
        assert_eq!(error.to_string(), format!("zoo.cfg:4: server.1 makes an ensemble, {expect}"));
    };
    check("initLimit=10", "and syncLimit is not set");
    check("syncLimit=5", "and initLimit is not set");
    let zero = format!("initLimit=0\nsyncLimit=5\n{THREE}");
    let error = read(&zero, &[("/d/myid", "1")]).expect_err("no time at all").to_string();
    assert!(error.ends_with("and initLimit is not set"), "{error}");
    refuse_last("electionAlg=1", "3, the only election");
    refuse_last("peerType=leader", "participant or observer");
    refuse_last("digestMismatch=ignore", "stop or log");
    refuse_last("syncEnabled=yes", "true or false");
    refuse_last("snapshot.trust.empty=yes", "true or false");
    refuse_last("connectToLearnerMasterLimit=-1", "a whole number of ticks from 0 to 15811200");
    refuse(
        &format!("sslQuorum=true\n{THREE}"),
        "zoo.cfg:5: sslQuorum=true: expected false: TLS is not offered between members",
    );
    refuse(
        &format!("quorum.auth.enableSasl=true\n{THREE}"),
        "zoo.cfg:5: quorum.auth.enableSasl=true: expected false: \
         SASL is not offered between members",
    );
}

#[test]
fn myid_must_name_a_line_of_an_ensemble() {
    let check = |myid: Option<&str>, expect: &str| {
        let text = format!("clientPort=1\ninitLimit=1\nsyncLimit=1\nserver.300=d:1:2\n{THREE}");
        let beside = myid.map(|text| ("/d/myid", text));
        let error = read(&text, beside.as_slice()).expect_err(expect);
        assert_eq!(error.to_string(), format!("/d/myid: {expect}"));
    };
    let ids = "expected the number of this server: 1, 2, 3, 300";
    check(None, &format!("cannot be read: entity not found: {ids}"));
    check(Some("one"), &format!("\"one\" is no number: {ids}"));
    check(Some(""), &format!("\"\" is no number: {ids}"));
    check(Some("4\n"), &format!("there is no line server.4: {ids}"));
    check(Some("300"), "300: expected a number from 0 to 255, as session ids begin with it");
    let ttl = "clientPort=1\ninitLimit=1\nsyncLimit=1\nextendedTypesEnabled=true\n\
               server.255=a:1:2\nserver.1=b:1:2";
    let error = read(ttl, &[("/d/myid", "255")]).expect_err("TTL owners begin with 255");
    let expect = "/d/myid: 255: expected a number from 0 to 254, as session ids begin with it";
    assert_eq!(error.to_string(), expect);
}

#[test]
fn the_client_port_is_said_by_the_file_or_by_the_own_line() {
    let text = |keys: &str, client: &str| {
        format!("initLimit=1\nsyncLimit=1\nserver.1=a:1:2{client}\nserver.2=b:1:2;7\n{keys}")
    };
    let check = |keys: &str, client: &str, door: &str, line: &str| {
        let config = read(&text(keys, client), &[("/d/myid", "1")]).expect(keys);
        assert_eq!(config.client.address.to_string(), door, "{keys} {client}");
        let members = config.ensemble.expect("two members").members.to_string();
        assert_eq!(members.lines().next(), Some(line), "{keys} {client}");
    };
    let line = "server.1=a:1:2:participant";
    check("clientPort=9", "", "*:9", line);
    check("", ";9", "*:9", &format!("{line};0.0.0.0:9"));
    check("clientPort=9", ";9", "*:9", &format!("{line};0.0.0.0:9"));
    let local = format!("{line};127.0.0.1:9");
    check("clientPort=9", ";127.0.0.1:9", "127.0.0.1:9", &local);
    check("clientPort=9\nclientPortAddress=127.0.0.1", ";127.0.0.1:9", "127.0.0.1:9", &local);
    let refuse = |keys: &str, client: &str, expect: &str| {
        let error = read(&text(keys, client), &[("/d/myid", "1")]).expect_err(keys);
        assert_eq!(error.to_string(), format!("zoo.cfg{expect}"), "{keys} {client}");
    };
    let says = ": expected the client address that clientPort says,";
    refuse("clientPort=9", ";8", &format!(":4: server.1=a:1:2;8{says} *:9"));
    refuse(
        "clientPort=9\nclientPortAddress=127.0.0.1",
        ";9",
        &format!(":4: server.1=a:1:2;9{says} 127.0.0.1:9"),
    );
    refuse("", "", ": clientPort is not set: expected the TCP port for clients");
    let alone = "clientPortAddress=127.0.0.1";
    refuse(alone, ";9", &format!(":6: {alone}: expected clientPort beside it"));
}

#[test]
fn a_dynamic_file_holds_the_lines_and_its_name_their_version() {
    let text =
        |file: &str| format!("clientPort=1\ninitLimit=1\nsyncLimit=1\ndynamicConfigFile={file}\n");
    let check = |file: &str, version: i64| {
        let beside = [(file, THREE), ("/d/myid", "3")];
        let ensemble = read(&text(file), &beside).expect(file).ensemble.expect(file);
        assert_eq!(ensemble.members.version, Zxid(version), "{file}");
        assert_eq!(ensemble.role(), LearnerType::Observer);
    };
    check("zoo.cfg.dynamic", 0);
    check("/etc/zoo.cfg.dynamic.100000000", 0x1_0000_0000);
    let pending = [("dyn", THREE), ("/d/myid", "3"), ("zoo.cfg.dynamic.next", "")];
    let config = read(&text("dyn"), &pending).expect("a good file");
    let warned = "zoo.cfg.dynamic.next: the membership in it is not active yet";
    assert!(config.warnings[0].starts_with(warned), "{:?}", config.warnings);

    let refuse = |lines: &str, dynamic: &str, expect: &str| {
        let beside = [("dyn", dynamic), ("/d/myid", "3")];
        let error = read(&(text("dyn") + lines), &beside).expect_err(lines);
        assert_eq!(error.to_string(), expect);
    };
    refuse("server.1=a:1:2", THREE, "zoo.cfg:6: server.1 must stand in dynamicConfigFile, dyn");
    refuse("", "version=5", "dyn:1: version cannot stand in a dynamic file");
    refuse("", "tickTime=5", "dyn:1: tickTime cannot stand in a dynamic file");
    let error = read(&text("gone"), &[]).expect_err("no such file");
    assert_eq!(error.to_string(), "gone: cannot be read: entity not found");
}

#[test]
fn weighed_votes_are_refused_unless_they_come_to_majorities() {
    let servers = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer";
    let accept = |lines: &str| {
        let text = ensemble(&format!("{servers}\n{lines}")).members.to_string();
        assert!(text.contains("\ngroup.1="), "{text}");
    };
    accept("group.1=1:2:3");
    accept("group.1=1:2:3\nweight.1=2\nweight.2=2\nweight.3=2");
    accept("group.1=1\ngroup.2=2\ngroup.3=3\nweight.3=9");
    let check = |lines: &str| {
        let expect = "zoo.cfg:9: groups and weights are not offered, other than equal votes";
        refuse(&format!("{servers}\n{lines}"), expect);
    };
    check("group.1=1:2:3\nweight.1=2");
    check("group.1=1:2\ngroup.2=3");
    check("group.1=1:2:3:4\nweight.4=1");
    check("group.1=1\ngroup.2=2\ngroup.3=3\nweight.3=0");
    refuse(&format!("{servers}\nweight.1=1"), "zoo.cfg:5: server 1 is in no group");
}

#[test]
fn hardly_meant_is_said_and_followed() {
    let check = |lines: &str, expect: &[&str]| {
        assert_eq!(member_with(lines).expect(lines).warnings, expect, "{lines}");
    };
    let two = "server.1=a:1:2\nserver.2=b:1:2";
    check(two, &["no failure of a server is tolerated: that takes 3 participants"]);
    let three = format!("{two}\nserver.3=c:1:2");
    check(&three, &[]);
    check(&format!("{three}\nserver.4=d:1:2"), &["4 participants tolerate no more than 3 would"]);
    check(
        &format!("{three}\npeerType=observer"),
        &["peerType=observer is wrong: server.1 is a participant"],
    );
    check(&format!("{three}\nsyncEnabled=false"), &[]);
    let observer = "server.1=a:1:2:observer\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2";
    for key in ["syncEnabled", "observer.syncEnabled"] {
        check(
            &format!("{observer}\n{key}=false"),
            &["syncEnabled=false is not followed: this observer keeps a log"],
        );
    }
}

#[test]
fn ports_are_opened_at_the_own_addresses_or_everywhere() {
    let listen = |lines: &str, port| ensemble(lines).listen_addresses(port).unwrap();
    let text = |addresses: Vec<std::net::SocketAddr>| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(text(listen(THREE, Port::Election)), ["127.0.0.1:3881"]);
    assert_eq!(text(listen(THREE, Port::Quorum)), ["127.0.0.1:2881"]);
    let several = "multiAddress.enabled=true\n\
                   server.1=127.0.0.2:1:2|127.0.0.1:1:3\nserver.2=127.0.0.1:7:8";
    assert_eq!(text(listen(several, Port::Election)), ["127.0.0.1:3", "127.0.0.2:2"]);
    assert_eq!(text(listen(several, Port::Quorum)), ["127.0.0.1:1", "127.0.0.2:1"]);
    let everywhere = listen(&format!("quorumListenOnAllIPs=true\n{several}"), Port::Quorum);
    assert_eq!((everywhere.len(), everywhere[0].port()), (1, 1));
    assert!(everywhere[0].ip().is_unspecified());
    assert_eq!(ensemble(several).election_address().to_string(), "127.0.0.1:3");
    assert!(
        ensemble("server.1=name.invalid:1:2\nserver.2=b:1:2")
            .listen_addresses(Port::Quorum)
            .is_err()
    );
}
