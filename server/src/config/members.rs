//! The ensemble's keys, as far as a standalone server must understand them.
//!
//! A file for an ensemble must not start a lonely server that believes it may decide: more than one
//! voting member is refused. A single `server.N` line runs standalone, as in Apache, and may give
//! the client address.
// ZooKeeper: QuorumPeerConfig.parseDynamicConfig, QuorumPeer.QuorumServer.

use super::error::ConfigError;
use super::settings::{Setting, Settings};

/// Keys of an ensemble that change nothing on one server. They stand in every sample file, so they
/// are no cause for a warning.
const WITHOUT_EFFECT: [&str; 10] = [
    "cnxTimeout",
    "connectToLearnerMasterLimit",
    "electionAlg",
    "initLimit",
    "leaderServes",
    "peerType",
    "quorumListenOnAllIPs",
    "snapshot.trust.empty",
    "syncEnabled",
    "syncLimit",
];

/// Takes the ensemble's keys. The answer is the client part of the single member's line, if any.
pub(super) fn take(settings: &mut Settings) -> Result<Option<(String, Setting)>, ConfigError> {
    for key in WITHOUT_EFFECT {
        settings.take(key);
    }
    if let Some(setting) = settings.take("dynamicConfigFile") {
        return Err(refuse(setting, "dynamicConfigFile names an ensemble".to_owned()));
    }
    for prefix in ["group.", "weight."] {
        if let Some((key, setting)) = settings.take_prefix(prefix).pop() {
            return Err(refuse(setting, format!("{key} weighs the votes of an ensemble")));
        }
    }
    if let Some(setting) = settings.take("standaloneEnabled") {
        match setting.value.to_ascii_lowercase().as_str() {
            "true" => {}
            "false" => {
                let what = "standaloneEnabled=false asks for an ensemble even of one member";
                return Err(refuse(setting, what.to_owned()));
            }
            _ => return Err(setting.refuse("standaloneEnabled", "true or false")),
        }
    }
    let mut members = settings.take_prefix("server.");
    let voting = members.iter().filter(|(_, member)| !is_observer(&member.value)).count();
    let count = members.len();
    let Some((key, setting)) = members.pop() else { return Ok(None) };
    if count > 1 || voting == 0 {
        let observers = count - voting;
        let what = format!("{key} makes {voting} voting members and {observers} observers");
        return Err(refuse(setting, what));
    }
    let Some((_, client)) = setting.value.split_once(';') else { return Ok(None) };
    Ok(Some((key, Setting { value: client.trim().to_owned(), ..setting })))
}

fn refuse(setting: Setting, what: String) -> ConfigError {
    ConfigError::Ensemble { origin: setting.origin, what }
}

/// `host:port:port[:role][;client]`
fn is_observer(member: &str) -> bool {
    let quorum = member.split(';').next().unwrap_or_default();
    quorum.rsplit(':').next().is_some_and(|role| role.trim().eq_ignore_ascii_case("observer"))
}
