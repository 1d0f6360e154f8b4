//! Where `reconfigEnabled` is set the configuration has versions: the first leader gives it one,
//! and every server shows it, whoever leads, whoever made it, and whoever was away.

use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::{Ensemble, Network, Plan};
use menagerie_tests::raw_client::RawClient;

/// Failovers until a server of each kind must have led.
const FAILOVERS_MAX: usize = 6;

/// The ids of each kind of server are such that the next leader after one that is killed is likely
/// of the other kind.
fn ensemble(voters: [Flavor; 3]) -> Ensemble {
    let mut plan = Plan { network: Network::Direct, ..Plan::new(Flavor::Menagerie, 0, 1) };
    plan.voters = voters.to_vec();
    plan.config = plan.config.key("reconfigEnabled", true);
    Ensemble::start(&plan)
}

/// What every server shows as the configuration, and the version of it.
fn shown(ensemble: &mut Ensemble) -> (String, i64) {
    ensemble.wait_until_in_sync();
    let mut shown = None;
    for id in ensemble.ids() {
        let mut client = RawClient::connect(ensemble.node(id).client(), 10_000).expect("it serves");
        let (text, stat) =
            client.get_data("/zookeeper/config").expect("it serves").expect("a member has it");
        client.close().expect("it serves");
        let text = String::from_utf8(text).expect("it is text");
        assert!(text.ends_with(&format!("\nversion={:x}", stat.mzxid.0)), "server {id}: {text}");
        let conf = ensemble.node(id).ask("conf").expect("it serves");
        assert!(conf.ends_with(&format!("membership: \n{text}")), "server {id}: {conf}");
        let this = (text, stat.mzxid.0);
        assert_eq!(*shown.get_or_insert_with(|| this.clone()), this, "server {id}");
    }
    shown.expect("it has servers")
}

fn every_kind_leads(voters: [Flavor; 3]) {
    let mut ensemble = ensemble(voters);
    let first = shown(&mut ensemble);
    assert!(first.1 > 0 && first.1 & 0xffff_ffff == 0, "the zxid of a NEWLEADER: {first:?}");
    let mut led = Vec::new();
    while ![Flavor::Apache, Flavor::Menagerie].iter().all(|flavor| led.contains(flavor)) {
        assert!(led.len() < FAILOVERS_MAX, "{led:?}");
        let leader = ensemble.wait_for_leader();
        led.push(voters[leader as usize - 1]);
        ensemble.node(leader).kill();
        assert_ne!(ensemble.wait_for_leader(), leader);
        ensemble.node(leader).start();
        assert_eq!(shown(&mut ensemble), first, "{led:?}");
    }
    // Apache's servers have written it down. Ours have not, and may begin anew with a later one.
    for id in ensemble.ids() {
        ensemble.node(id).kill();
    }
    for id in ensemble.ids() {
        ensemble.node(id).start();
    }
    let last = shown(&mut ensemble);
    assert!(last.1 >= first.1, "{first:?}, {last:?}");
}

#[test]
fn one_of_ours_among_apaches_servers_has_their_version() {
    every_kind_leads([Flavor::Apache, Flavor::Menagerie, Flavor::Apache]);
}

#[test]
fn one_of_apaches_among_our_servers_has_their_version() {
    every_kind_leads([Flavor::Menagerie, Flavor::Apache, Flavor::Menagerie]);
}
