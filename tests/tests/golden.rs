//! Conversations captured from Apache ZooKeeper 3.9.4, replayed against the binary.
//!
//! With `MENAGERIE_GOLDEN_SERVER=apache` they are replayed against Apache ZooKeeper itself, without
//! the list of deviations: this checks the replayer, not Menagerie.

use menagerie_engine::data_dir::DataDir;
use menagerie_engine::manifest::{Manifest, ManifestStore};
use menagerie_engine::snapshot::{self, Pace};
use menagerie_engine::tree::{NewNode, Owner, Tree};
use menagerie_tests::ServerConfig;
use menagerie_tests::apache::Apache;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::golden::{Deviations, Report, Servers, Transcript, replay};
use menagerie_tests::scratch::Scratch;
use menagerie_tests::server::Menagerie;
use menagerie_wire::data::{Acl, perms};
use menagerie_wire::ids::Zxid;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Every file that is replayed.
const FILES: [&str; 13] = [
    "client-4lw",
    "client-4lw-default",
    "client-acl",
    "client-basic",
    "client-enforceauth",
    "client-ensemble1",
    "client-ensemble3",
    "client-expirynodes",
    "client-multi",
    "client-noextended",
    "client-seqoverflow",
    "client-session",
    "client-watch",
];

/// The digest of `super:secret`.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// The configuration that most files were captured with.
fn standalone() -> ServerConfig {
    ServerConfig::new()
        .key("tickTime", 2000)
        .key("maxClientCnxns", 0)
        .key("extendedTypesEnabled", true)
        .key("enforceQuota", true)
        .key("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        .property("znode.container.checkIntervalMs", 3_600_000)
}

fn check(file: &str, config: &ServerConfig) {
    let transcript = Transcript::load(file);
    let report = if against_apache() {
        let apache = Apache::start(config);
        replay(&Servers::One(apache.address()), &transcript, &Deviations::none())
    } else {
        let menagerie = Menagerie::start(config);
        replay(&Servers::One(menagerie.address()), &transcript, &Deviations::load())
    };
    assert!(report.failures.is_empty(), "{}", listing(&report));
}

/// Replays on an ensemble in which nothing has happened.
fn check_ensemble(file: &str, flavor: Flavor, voters: usize, config: &ServerConfig) {
    let config = config.clone().key("tickTime", 2000).key("initLimit", 10).key("syncLimit", 5);
    let plan = Plan { config, network: Network::Direct, ..Plan::new(flavor, voters, 0) };
    let mut ensemble = Ensemble::prepare(&plan);
    ensemble.ids().into_iter().for_each(|id| ensemble.node(id).start());
    ensemble.ids().into_iter().for_each(|id| ensemble.wait_until_serving(id));
    let deviations = match flavor {
        Flavor::Apache => Deviations::none(),
        Flavor::Menagerie => Deviations::load(),
    };
    let report = replay(&Servers::new(&ensemble.clients()), &Transcript::load(file), &deviations);
    assert!(report.failures.is_empty(), "{}", listing(&report));
}

fn against_apache() -> bool {
    std::env::var("MENAGERIE_GOLDEN_SERVER").is_ok_and(|server| server == "apache")
}

fn listing(report: &Report) -> String {
    let mut text = format!("{} differences in {} steps", report.failures.len(), report.steps);
    for failure in &report.failures {
        write!(text, "\n{failure}").expect("a String accepts every write");
    }
    text
}

#[test]
fn basic_operations_are_answered_as_captured() {
    check("client-basic", &standalone());
}

#[test]
fn sessions_are_answered_as_captured() {
    check("client-session", &standalone());
}

#[test]
fn multi_is_answered_as_captured() {
    check("client-multi", &standalone());
}

#[test]
fn watches_fire_as_captured() {
    check("client-watch", &standalone());
}

#[test]
fn acls_and_quotas_are_answered_as_captured() {
    check("client-acl", &standalone());
}

#[test]
fn four_letter_words_are_answered_as_captured() {
    check("client-4lw", &standalone().key("4lw.commands.whitelist", "*"));
}

#[test]
fn four_letter_words_outside_the_default_whitelist_are_refused_as_captured() {
    check("client-4lw-default", &standalone());
}

#[test]
fn ttl_nodes_without_extended_types_are_refused_as_captured() {
    check("client-noextended", &ServerConfig::new().key("maxClientCnxns", 0));
}

#[test]
fn containers_and_ttl_nodes_expire_as_captured() {
    let config = standalone().property("znode.container.checkIntervalMs", 1000);
    check("client-expirynodes", &config);
}

/// Apache would need a snapshot of its own form; its answers are in the file.
#[test]
fn an_exhausted_sequence_counter_is_answered_as_listed() {
    if against_apache() {
        return;
    }
    let scratch = Scratch::new("seqoverflow");
    restore_exhausted_counter(&scratch.path().join("data")).unwrap();
    let menagerie = Menagerie::start_in(scratch, &standalone());
    let servers = Servers::One(menagerie.address());
    let report = replay(&servers, &Transcript::load("client-seqoverflow"), &Deviations::load());
    assert!(report.failures.is_empty(), "{}", listing(&report));
}

/// Leaves a snapshot in `data_dir` in which `/ov` has had 2147483645 children and has none.
fn restore_exhausted_counter(data_dir: &Path) -> Result<(), Box<dyn Error>> {
    let zxid = Zxid(2);
    let acl = [Acl::world(perms::ALL)];
    let ctime_ms = 1_700_000_000_000;
    let node =
        NewNode { data: Some(b"parent"), acl: &acl, owner: Owner::None, czxid: zxid, ctime_ms };
    let mut tree = Tree::new();
    tree.insert("/ov", node, 1, zxid)?;
    tree.raise_parent("/ov", 2_147_483_645, zxid);
    tree.advance(Zxid(3));
    let root = tree.seal();

    let directory = DataDir::open(data_dir, None)?;
    let mut manifest = ManifestStore::open(directory.data_disk()?, false)?;
    let never = AtomicBool::new(false);
    snapshot::write(&root, directory.data(), Pace::default(), &never)?;
    let last = root.last_zxid();
    manifest.change(Manifest { snapshot: Some(last), log_start: last, ..*manifest.current() })?;
    Ok(())
}

#[test]
fn unauthenticated_requests_are_refused_as_captured() {
    let config = standalone();
    let config = config.key("enforce.auth.enabled", true).key("enforce.auth.schemes", "digest");
    check("client-enforceauth", &config);
}

/// What Apache's server that is alone in its ensemble was captured with.
fn alone() -> ServerConfig {
    ServerConfig::new()
        .key("maxClientCnxns", 0)
        .key("standaloneEnabled", false)
        .key("reconfigEnabled", true)
        .key("extendedTypesEnabled", true)
        .key("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
}

fn three() -> ServerConfig {
    ServerConfig::new()
        .key("maxClientCnxns", 0)
        .key("reconfigEnabled", true)
        .key("enableEagerACLCheck", true)
}

/// Shows that the replay of ensembles asks of Menagerie what Apache's servers do.
#[test]
fn apaches_ensembles_answer_as_captured() {
    let local =
        alone().key("localSessionsEnabled", true).key("localSessionsUpgradingEnabled", true);
    check_ensemble("client-ensemble1", Flavor::Apache, 1, &local);
    check_ensemble("client-ensemble3", Flavor::Apache, 3, &three());
}

#[test]
fn the_only_member_of_an_ensemble_answers_as_captured() {
    check_ensemble("client-ensemble1", Flavor::Menagerie, 1, &alone());
}

#[test]
fn members_answer_as_captured_wherever_a_client_connects() {
    check_ensemble("client-ensemble3", Flavor::Menagerie, 3, &three());
}

#[test]
fn every_deviation_names_a_step_and_differs_from_it() {
    let deviations = Deviations::load();
    for file in deviations.files() {
        assert!(FILES.contains(&file), "{file} is not replayed");
    }
    for file in FILES {
        let pointless = deviations.pointless(&Transcript::load(file));
        assert!(pointless.is_empty(), "{file}: {pointless:?}");
    }
}
