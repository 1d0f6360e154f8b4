//! The ensemble's keys: from `server.N` lines and what stands beside them to [`Ensemble`].
//!
//! A file for an ensemble must never start a lonely server that believes it may decide. As in
//! Apache, a single participant runs standalone (and its line may give the client address), unless
//! `standaloneEnabled=false` says that it is an ensemble of one.
// ZooKeeper: QuorumPeerConfig.parseDynamicConfig, setupMyId, setupPeerType, checkValidity.

use std::path::{Path, PathBuf};
use std::time::Duration;

use menagerie_wire::address::HostPort;
use menagerie_wire::quorum_config::{Hierarchy, LearnerType, Member, QuorumConfig};
use menagerie_wire::{ServerId, Zxid};

use super::ensemble::{DigestMismatch, Ensemble};
use super::error::ConfigError;
use super::settings::{Setting, Settings};
use super::{ReadFile, limits};

/// Keys that are understood and change nothing here: what they tune is not built that way, or is
/// tuned by itself. Two more, which a file may only set to true or false, change nothing either:
/// `syncEnabled`, as an observer keeps its log in any case, and `snapshot.trust.empty`, as a log
/// says where it begins and one that begins with the first transaction needs no snapshot.
const WITHOUT_EFFECT: [&str; 17] = [
    "electionPortBindRetry",
    "fastleader.maxNotificationInterval",
    "fastleader.minNotificationInterval",
    "leader.closeSocketAsync",
    "leader.maxConcurrentDiffSyncs",
    "leader.maxConcurrentSnapSyncs",
    "leader.maxTimeToWaitForEpoch",
    "leaderConnectDelayDuringRetryMs",
    "learner.asyncSending",
    "learner.closeSocketAsync",
    "multiAddress.reachabilityCheckEnabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "observer.election.DelayMs",
    "observer.reconnectDelayMs",
    "portUnification",
    "quorum.cnxn.threads.size",
    "tcpKeepAlive",
];

const LINE: &str = "host:port:port[:role][;[host:]port]";

/// Session ids begin with the server's number, one byte of it.
// ZooKeeper: SessionTrackerImpl.initializeNextSessionId, EphemeralType.MAX_EXTENDED_SERVER_ID.
const ID_MAX: i64 = 255;
const ID_MAX_EXTENDED: i64 = 254;

/// What the keys are read beside.
pub(super) struct Beside<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) data_dir: &'a Path,
    pub(super) tick_ms: u32,
    /// TTL nodes are on: they give a meaning to the owners that server 255 would make.
    pub(super) extended_types: bool,
    pub(super) read: &'a ReadFile<'a>,
}

/// What the keys say.
pub(super) struct Taken {
    pub(super) ensemble: Option<Ensemble>,
    /// The own line, if there is one with a client address.
    pub(super) door: Option<DoorLine>,
    pub(super) warnings: Vec<String>,
}

/// A `server.N` line with a client address.
pub(super) struct DoorLine {
    pub(super) key: String,
    pub(super) setting: Setting,
    pub(super) client: HostPort,
    /// `myid` says that the line is ours: what else is said of the client door must agree.
    pub(super) binding: bool,
}

pub(super) fn take(s: &mut Settings, beside: &Beside<'_>) -> Result<Taken, ConfigError> {
    for key in WITHOUT_EFFECT {
        s.take(key);
    }
    let settings = MemberSettings::take(s, beside.tick_ms)?;
    let mut warnings = Vec::new();
    let lines = Lines::take(s, beside, &mut warnings)?;
    let never_alone = s.clone_of("standaloneEnabled");
    let standalone = s.boolean("standaloneEnabled", true)?;
    let Some(first) = lines.first() else {
        return match never_alone {
            Some(setting) if !standalone => {
                Err(setting.refuse("standaloneEnabled", "server.N lines beside it"))
            }
            _ => Ok(Taken { ensemble: None, door: None, warnings }),
        };
    };
    let members = lines.config(first, settings.several_addresses)?;
    let voters = members.voters().count();
    let distributed = !standalone || voters > 1;
    if !distributed && members.members.len() > voters {
        let what = "observers need an ensemble: two participants, or standaloneEnabled=false";
        return Err(first.refuse(what));
    }
    let id = my_id(beside, &members, distributed)?;
    let own = id.or_else(|| (!distributed).then(|| members.members.keys().copied().next())?);
    let door = own.and_then(|own| lines.door(own, &members, id.is_some()));
    let ensemble = match id {
        Some(id) if distributed => {
            warnings.extend(unlucky(voters));
            Some(settings.ensemble(id, members, first, beside.tick_ms, &mut warnings)?)
        }
        _ => None,
    };
    Ok(Taken { ensemble, door, warnings })
}

/// Numbers of voters that cost more than they give.
fn unlucky(voters: usize) -> Option<String> {
    match voters {
        0..=2 => Some("no failure of a server is tolerated: that takes 3 participants".to_owned()),
        _ if voters.is_multiple_of(2) => {
            Some(format!("{voters} participants tolerate no more than {} would", voters - 1))
        }
        _ => None,
    }
}

/// The keys that stand beside the lines. What they say is refused when it is no value at all, and
/// otherwise means something only to a member.
struct MemberSettings {
    init_limit: Option<u32>,
    sync_limit: Option<u32>,
    connect_limit: Option<u32>,
    connect_ms: Option<u64>,
    handshake_ms: Option<i64>,
    peer_type: Option<LearnerType>,
    several_addresses: bool,
    listen_on_all: bool,
    leader_serves: bool,
    observer_logs: bool,
    digest_mismatch: DigestMismatch,
    eager_acl_check: bool,
    /// What is asked for between members and not offered.
    not_offered: Option<ConfigError>,
}

impl MemberSettings {
    fn take(s: &mut Settings, tick_ms: u32) -> Result<Self, ConfigError> {
        let wait_ms_max = u64::try_from(limits::WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
        let ticks_max = u32::try_from(wait_ms_max / u64::from(tick_ms)).unwrap_or(u32::MAX);
        if let Some(algorithm) = s.take("electionAlg")
            && algorithm.value != "3"
        {
            return Err(algorithm.refuse("electionAlg", "3, the only election"));
        }
        let peer_type = match s.take("peerType") {
            None => None,
            Some(role) => match role.value.parse() {
                Ok(role) => Some(role),
                Err(_) => return Err(role.refuse("peerType", "participant or observer")),
            },
        };
        let digest_mismatch = match s.take("digestMismatch") {
            None => DigestMismatch::Stop,
            Some(policy) => match policy.value.to_ascii_lowercase().as_str() {
                "stop" => DigestMismatch::Stop,
                "log" => DigestMismatch::Log,
                _ => return Err(policy.refuse("digestMismatch", "stop or log")),
            },
        };
        let observer_logs = s.boolean("syncEnabled", true)?;
        s.boolean("snapshot.trust.empty", false)?;
        let mut ticks = |key| s.number(key, 0..=ticks_max, "ticks").map(|n| n.filter(|&n| n > 0));
        Ok(Self {
            init_limit: ticks("initLimit")?,
            sync_limit: ticks("syncLimit")?,
            connect_limit: ticks("connectToLearnerMasterLimit")?,
            connect_ms: s.number("cnxTimeout", 1..=wait_ms_max, "milliseconds")?,
            handshake_ms: s.number("quorumCnxnTimeoutMs", -1..=i32::MAX.into(), "milliseconds")?,
            peer_type,
            several_addresses: s.boolean("multiAddress.enabled", false)?,
            listen_on_all: s.boolean("quorumListenOnAllIPs", false)?,
            leader_serves: s.yes_no("leaderServes", true)?,
            observer_logs: s.boolean("observer.syncEnabled", observer_logs)?,
            digest_mismatch,
            eager_acl_check: s.boolean("enableEagerACLCheck", false)?,
            not_offered: not_offered(s),
        })
    }

    fn ensemble(
        self,
        id: ServerId,
        members: QuorumConfig,
        first: &Line,
        tick_ms: u32,
        warnings: &mut Vec<String>,
    ) -> Result<Ensemble, ConfigError> {
        if let Some(error) = self.not_offered {
            return Err(error);
        }
        let limit = |key: &str, limit: Option<u32>| {
            let what = format!("{} makes an ensemble, and {key} is not set", first.key);
            limit.ok_or_else(|| first.refuse(what))
        };
        let init_limit = limit("initLimit", self.init_limit)?;
        let sync_limit = limit("syncLimit", self.sync_limit)?;
        let role = members.members[&id].learner_type;
        if let Some(wrong) = self.peer_type.filter(|&peer_type| peer_type != role) {
            warnings.push(format!("peerType={wrong} is wrong: server.{id} is a {role}"));
        }
        if role == LearnerType::Observer && !self.observer_logs {
            let what = "syncEnabled=false is not followed: this observer keeps a log";
            warnings.push(what.to_owned());
        }
        let handshake_ms = self.handshake_ms.and_then(|ms| u64::try_from(ms).ok());
        let sync_ms = u64::from(tick_ms) * u64::from(sync_limit);
        let handshake_ms = handshake_ms.filter(|&ms| ms > 0).unwrap_or(sync_ms);
        let connect_ms = self.connect_ms.unwrap_or(limits::ELECTION_CONNECT_MS_DEFAULT);
        Ok(Ensemble {
            id,
            members,
            tick_ms,
            init_limit,
            sync_limit,
            connect_limit: self.connect_limit.unwrap_or(init_limit),
            election_connect_timeout: Duration::from_millis(connect_ms),
            election_handshake_timeout: Duration::from_millis(handshake_ms),
            listen_on_all: self.listen_on_all,
            leader_serves: self.leader_serves,
            digest_mismatch: self.digest_mismatch,
            eager_acl_check: self.eager_acl_check,
        })
    }
}

/// Protection of the ports between members that this release has not: a member without it would
/// not find the others, or would let in whom they keep out.
fn not_offered(s: &mut Settings) -> Option<ConfigError> {
    let mut refused = None;
    for (key, what) in [("sslQuorum", "TLS"), ("quorum.auth.enableSasl", "SASL")] {
        if let Some(setting) = s.take(key)
            && !setting.value.eq_ignore_ascii_case("false")
        {
            let expected = format!("false: {what} is not offered between members");
            refused = Some(setting.refuse(key, expected));
        }
    }
    refused
}

/// A `server.N`, `group.N` or `weight.N` line.
struct Line {
    key: String,
    setting: Setting,
}

impl Line {
    fn refuse(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Members { origin: self.setting.origin.clone(), what: what.into() }
    }
}

/// All of them, and the version that the name of their file gives them.
struct Lines {
    lines: Vec<Line>,
    version: Zxid,
}

impl Lines {
    fn take(
        s: &mut Settings,
        beside: &Beside<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let lines = member_lines(s);
        let Some(dynamic) = s.take("dynamicConfigFile") else {
            return Ok(Self { lines, version: Zxid::ZERO });
        };
        if let Some(line) = lines.first() {
            let file = &dynamic.value;
            let what = format!("{} must stand in dynamicConfigFile, {file}", line.key);
            return Err(line.refuse(what));
        }
        let next = beside.file.map(|file| file.with_added_extension("dynamic.next"));
        if let Some(next) = next.filter(|next| (beside.read)(next).is_ok()) {
            let pending = "the membership in it is not active yet and is not looked at";
            warnings.push(format!("{}: {pending}", next.display()));
        }
        Self::of_dynamic_file(PathBuf::from(dynamic.value), beside.read)
    }

    // ZooKeeper: QuorumPeerConfig.parse, getVersionFromFilename.
    fn of_dynamic_file(file: PathBuf, read: &ReadFile<'_>) -> Result<Self, ConfigError> {
        let bytes = match read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ConfigError::Unreadable { file, source }),
        };
        let mut settings = Settings::default();
        settings.set_file(&file, &bytes)?;
        let lines = member_lines(&mut settings);
        if let Some((key, setting)) = settings.take_prefix("").pop() {
            let line = Line { key, setting };
            return Err(line.refuse(format!("{} cannot stand in a dynamic file", line.key)));
        }
        let suffix = file.extension().and_then(|suffix| suffix.to_str());
        let version = suffix.and_then(|suffix| i64::from_str_radix(suffix, 16).ok());
        Ok(Self { lines, version: Zxid(version.filter(|&version| version >= 0).unwrap_or(0)) })
    }

    fn first(&self) -> Option<&Line> {
        self.lines.first()
    }

    fn config(&self, first: &Line, several_addresses: bool) -> Result<QuorumConfig, ConfigError> {
        let mut config = QuorumConfig { version: self.version, ..QuorumConfig::default() };
        for Line { key, setting } in &self.lines {
            let read = config.read_line(key, &setting.value);
            read.map_err(|error| setting.clone().refuse(key, format!("{LINE}; {error}")))?;
        }
        config.check().map_err(|error| first.refuse(error.to_string()))?;
        if let Some(id) = config.members.keys().find(|id| id.0 < 0) {
            return Err(first.refuse(format!("server.{id}: a server's number is not negative")));
        }
        for line in self.lines.iter().filter(|line| line.key.starts_with("server.")) {
            let member = line.setting.value.parse::<Member>();
            if !several_addresses && member.is_ok_and(|member| member.addresses.len() > 1) {
                let expected = "one address, or multiAddress.enabled=true";
                return Err(line.setting.clone().refuse(&line.key, expected));
            }
        }
        match &config.hierarchy {
            Some(hierarchy) if !is_majority(hierarchy, &config) => {
                let line = self.lines.iter().find(|line| !line.key.starts_with("server."));
                let what = "groups and weights are not offered, other than equal votes";
                Err(line.unwrap_or(first).refuse(what))
            }
            _ => Ok(config),
        }
    }

    /// The line of `own`, when it gives a client address.
    fn door(&self, own: ServerId, members: &QuorumConfig, binding: bool) -> Option<DoorLine> {
        let client = members.members.get(&own)?.client.clone()?;
        let is_own = |key: &str| key.strip_prefix("server.")?.parse().ok().map(ServerId);
        let line = self.lines.iter().find(|line| is_own(&line.key) == Some(own))?;
        let (key, setting) = (line.key.clone(), line.setting.clone());
        Some(DoorLine { key, setting, client, binding })
    }
}

/// Servers first, so that the first line is one of theirs if there is any.
fn member_lines(s: &mut Settings) -> Vec<Line> {
    let kinds = ["server.", "group.", "weight."];
    let lines = kinds.into_iter().flat_map(|kind| s.take_prefix(kind));
    lines.map(|(key, setting)| Line { key, setting }).collect()
}

/// Whether quorums by these groups are majorities of the participants: one group of equal votes, or
/// groups of one server each.
fn is_majority(hierarchy: &Hierarchy, config: &QuorumConfig) -> bool {
    let Hierarchy { groups, weights } = hierarchy;
    let weight = |id| weights.get(id).copied().unwrap_or(0);
    let mut kinds: Vec<_> = groups.values().collect();
    kinds.sort_unstable();
    kinds.dedup();
    let first_weight = groups.keys().next().map_or(0, weight);
    groups.keys().copied().eq(config.voters())
        && groups.keys().all(|id| weight(id) > 0)
        && (kinds.len() == groups.len()
            || (kinds.len() == 1 && groups.keys().all(|id| weight(id) == first_weight)))
}

/// The number in `myid`: needed in an ensemble, taken as a hint on a standalone server.
fn my_id(
    beside: &Beside<'_>,
    members: &QuorumConfig,
    distributed: bool,
) -> Result<Option<ServerId>, ConfigError> {
    let file = beside.data_dir.join("myid");
    let ids: Vec<_> = members.members.keys().map(ServerId::to_string).collect();
    let expected = format!("the number of this server: {}", ids.join(", "));
    let bytes = match (beside.read)(&file) {
        Ok(bytes) => bytes,
        Err(_) if !distributed => return Ok(None),
        Err(error) => {
            let found = format!("cannot be read: {error}");
            return Err(ConfigError::MyId { file, found, expected });
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let word = text.lines().next().unwrap_or_default().trim();
    let refuse = |found: String, expected| Err(ConfigError::MyId { file, found, expected });
    let Ok(id) = word.parse() else {
        return refuse(format!("{word:?} is no number"), expected);
    };
    if !distributed {
        return Ok(Some(ServerId(id)));
    }
    let id_max = if beside.extended_types { ID_MAX_EXTENDED } else { ID_MAX };
    if !members.members.contains_key(&ServerId(id)) {
        refuse(format!("there is no line server.{id}"), expected)
    } else if !(0..=id_max).contains(&id) {
        let expected = format!("a number from 0 to {id_max}, as session ids begin with it");
        refuse(format!("{id}"), expected)
    } else {
        Ok(Some(ServerId(id)))
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
