//! Who belongs to the ensemble: the text of `/zookeeper/config`, NEWLEADER and notifications.
//!
//! ```text
//! server.1=zoo1:2888:3888:participant;0.0.0.0:2181
//! server.2=zoo2:2888:3888:observer
//! version=100000000
//! ```
//!
//! with `group.G=sid:sid` and `weight.S=w` lines before the last one where quorums are
//! hierarchical. Printing gives what Apache would print for the same members: in order of their
//! ids, the role always present, no line break at the end. Reading knows the same lines in any
//! order, and refuses what no quorum could be made of.
//!
//! What a quorum is, and which configuration is the newer one, is not decided here.
//! Facts: ZooKeeper `QuorumMaj.toString`, `QuorumHierarchical.toString`, `QuorumPeer.QuorumServer`,
//! `QuorumPeerConfig.parseDynamicConfig`.

mod member;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use member::{LearnerType, Member, PeerAddress};

use crate::address::AddressError;
use crate::ids::{ServerId, Zxid};

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("{0:?} is no line of a quorum configuration")]
    Line(String),
    #[error("{0:?} is there twice")]
    Twice(String),
    #[error("{0:?} is no number, or none that may stand here")]
    Number(String),
    #[error("{0:?} is neither participant nor observer")]
    Role(String),
    #[error("{0:?} gives one server several roles")]
    Roles(String),
    #[error("the quorum port and the election port are both {0}")]
    SamePort(u16),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("server {} is in several groups", .0.0)]
    Groups(ServerId),
    #[error("server {} is in no group", .0.0)]
    NoGroup(ServerId),
    #[error("server {} is in a group but has no weight", .0.0)]
    NoWeight(ServerId),
    #[error("no server is a participant")]
    NoParticipant,
}

/// One version of the ensemble's membership. Empty by default, to be filled line by line.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct QuorumConfig {
    pub members: BTreeMap<ServerId, Member>,
    /// `None`: quorums are majorities of the participants.
    pub hierarchy: Option<Hierarchy>,
    /// The zxid of the reconfig that made this configuration; 0 as long as there was none.
    pub version: Zxid,
}

/// Quorums by groups. ZooKeeper: `QuorumHierarchical`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hierarchy {
    /// The group of each participant.
    pub groups: BTreeMap<ServerId, i64>,
    /// The weight of each server in a group.
    pub weights: BTreeMap<ServerId, u32>,
}

impl QuorumConfig {
    /// The members that vote, in order of their ids.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        let voting = |(_, member): &(_, &Member)| member.learner_type == LearnerType::Participant;
        self.members.iter().filter(voting).map(|(sid, _)| *sid)
    }

    /// Adds what the line `key=value` says. After the last one: [`Self::check`].
    ///
    /// # Errors
    /// When it is no line of a configuration, or contradicts an earlier one.
    pub fn read_line(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if key == "version" {
            self.version = Zxid(i64::from_str_radix(value, 16).map_err(|_| number(value))?);
            return Ok(());
        }
        let (kind, id) = key.split_once('.').ok_or_else(|| ConfigError::Line(key.into()))?;
        let id: i64 = parse_number(id)?;
        let twice = || ConfigError::Twice(key.into());
        match kind {
            "server" => unique(self.members.insert(ServerId(id), value.parse()?), twice),
            "group" => {
                let groups = &mut self.hierarchy.get_or_insert_default().groups;
                for sid in value.split(':') {
                    let sid = ServerId(parse_number(sid)?);
                    unique(groups.insert(sid, id), || ConfigError::Groups(sid))?;
                }
                Ok(())
            }
            "weight" => {
                let weights = &mut self.hierarchy.get_or_insert_default().weights;
                unique(weights.insert(ServerId(id), parse_number(value)?), twice)
            }
            _ => Err(ConfigError::Line(key.into())),
        }
    }

    /// Whether all lines together make a configuration. Weights that were not given become 1.
    ///
    /// # Errors
    /// What is missing, or does not fit together.
    pub fn check(&mut self) -> Result<(), ConfigError> {
        let voters: Vec<_> = self.voters().collect();
        if voters.is_empty() {
            return Err(ConfigError::NoParticipant);
        }
        let Some(Hierarchy { groups, weights }) = &mut self.hierarchy else { return Ok(()) };
        for sid in voters {
            if !groups.contains_key(&sid) {
                return Err(ConfigError::NoGroup(sid));
            }
            weights.entry(sid).or_insert(1);
        }
        match groups.keys().find(|sid| !weights.contains_key(sid)) {
            Some(sid) => Err(ConfigError::NoWeight(*sid)),
            None => Ok(()),
        }
    }
}

impl FromStr for QuorumConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let parts = line.split_once('=').ok_or_else(|| ConfigError::Line(line.into()))?;
            config.read_line(parts.0.trim(), parts.1.trim())?;
        }
        config.check()?;
        Ok(config)
    }
}

impl fmt::Display for QuorumConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sid, member) in &self.members {
            writeln!(f, "server.{sid}={member}")?;
        }
        if let Some(hierarchy) = &self.hierarchy {
            write!(f, "{hierarchy}")?;
        }
        write!(f, "version={:x}", self.version.0)
    }
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members_of = BTreeMap::<_, Vec<_>>::new();
        for (sid, group) in &self.groups {
            members_of.entry(group).or_default().push(sid.to_string());
        }
        for (group, members) in members_of {
            writeln!(f, "group.{group}={}", members.join(":"))?;
        }
        for (sid, weight) in &self.weights {
            writeln!(f, "weight.{sid}={weight}")?;
        }
        Ok(())
    }
}

fn number(text: &str) -> ConfigError {
    ConfigError::Number(text.into())
}

fn parse_number<T: FromStr>(text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| number(text))
}

fn unique<T>(former: Option<T>, error: impl FnOnce() -> ConfigError) -> Result<(), ConfigError> {
    former.map_or(Ok(()), |_| Err(error()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::{Host, HostPort};

    const PORTS: &str = "2888:3888:participant";

    #[test]
    fn a_configuration_prints_as_apache_prints_it() {
        let check = |text: &str, expect: &str| {
            let config: QuorumConfig = text.parse().unwrap();
            assert_eq!(config.to_string(), expect);
            assert_eq!(expect.parse(), Ok(config));
        };
        check("server.1=a:2888:3888", "server.1=a:2888:3888:participant\nversion=0");
        check(
            "# ensemble\r\nversion=1ff\r\n\r\nserver.2 = b:1:2:Observer;2181\nserver.1=a:1:2",
            "server.1=a:1:2:participant\nserver.2=b:1:2:observer;0.0.0.0:2181\nversion=1ff",
        );
        check(
            "server.1=[2001:db8::1]:1:2;[::1]:2181",
            "server.1=[2001:db8:0:0:0:0:0:1]:1:2:participant;[0:0:0:0:0:0:0:1]:2181\nversion=0",
        );
        check(
            "server.1=b:1:2:observer|a:3:4\nserver.2=c:1:2",
            "server.1=a:3:4|b:1:2:observer\nserver.2=c:1:2:participant\nversion=0",
        );
    }

    #[test]
    fn groups_and_weights_stand_before_the_version() {
        let text = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                    server.3=c:1:2:participant\ngroup.1=1:3\ngroup.2=2\n\
                    weight.1=1\nweight.2=0\nweight.3=5\nversion=5";
        let config: QuorumConfig = text.parse().unwrap();
        assert_eq!(config.to_string(), text);
        let without_first = text.replace("weight.1=1\n", "");
        assert_eq!(without_first.parse(), Ok(config), "a weight is 1 when it is not given");
    }

    #[test]
    fn what_no_quorum_can_be_made_of_is_refused() {
        let check = |text: &str, expect: ConfigError| {
            let text = text.replace("PORTS", PORTS);
            assert_eq!(text.parse::<QuorumConfig>(), Err(expect), "{text}");
        };
        let text = |part: &str| part.to_owned();
        check("", ConfigError::NoParticipant);
        check("server.1=a:1:2:observer", ConfigError::NoParticipant);
        check("server.1", ConfigError::Line(text("server.1")));
        check("tickTime=2000", ConfigError::Line(text("tickTime")));
        check("peer.1=a:PORTS", ConfigError::Line(text("peer.1")));
        check("server.x=a:PORTS", ConfigError::Number(text("x")));
        check("server.1=a:PORTS\nserver.1=b:PORTS", ConfigError::Twice(text("server.1")));
        check("server.1=a:2888", ConfigError::Line(text("a:2888")));
        check("server.1=a:1:2:participant:3", ConfigError::Line(text("a:1:2:participant:3")));
        check("server.1=a:1:2:leader", ConfigError::Role(text("leader")));
        check("server.1=a:1:1", ConfigError::SamePort(1));
        check("server.1=a:1:x", AddressError::Port(text("x")).into());
        let roles = "a:1:2:observer|b:1:2:participant";
        check(&format!("server.1={roles}"), ConfigError::Roles(text(roles)));
        check("version=xyz", ConfigError::Number(text("xyz")));
        check("server.1=a:PORTS\ngroup.1=2", ConfigError::NoGroup(ServerId(1)));
        check("server.1=a:PORTS\ngroup.1=1:2", ConfigError::NoWeight(ServerId(2)));
        check("server.1=a:PORTS\ngroup.1=1\ngroup.2=1", ConfigError::Groups(ServerId(1)));
        check("server.1=a:PORTS\nweight.1=-1", ConfigError::Number(text("-1")));
    }

    #[test]
    fn observers_do_not_vote() {
        let text = "server.1=a:PORTS\nserver.2=b:1:2:observer\nserver.3=c:PORTS";
        let config: QuorumConfig = text.replace("PORTS", PORTS).parse().unwrap();
        assert_eq!(config.voters().collect::<Vec<_>>(), [ServerId(1), ServerId(3)]);
    }

    fn any_member() -> impl Strategy<Value = Member> {
        let host = prop_oneof![
            "[a-z][a-z0-9.-]{0,9}".prop_map(String::from),
            any::<[u8; 4]>().prop_map(|ip| core::net::Ipv4Addr::from(ip).to_string()),
            any::<u128>().prop_map(|ip| core::net::Ipv6Addr::from(ip).to_string()),
        ];
        let host = host.prop_map(|text| Host::new(&text).unwrap());
        let ports = (any::<u16>(), 1..u16::MAX);
        let role = prop_oneof![Just(LearnerType::Participant), Just(LearnerType::Observer)];
        let client = prop::option::of((host.clone(), any::<u16>()));
        (host, ports, role, client).prop_map(|(host, (quorum_port, distance), role, client)| {
            let election_port = quorum_port.wrapping_add(distance);
            let addresses = vec![PeerAddress { host, quorum_port, election_port }];
            let client = client.map(|(host, port)| HostPort { host, port });
            Member { addresses, learner_type: role, client }
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(
            members in prop::collection::btree_map(any::<i64>(), any_member(), 1..9),
            version in 0..i64::MAX,
        ) {
            let members = members.into_iter().map(|(sid, member)| (ServerId(sid), member));
            let members = members.collect();
            let config = QuorumConfig { members, hierarchy: None, version: Zxid(version) };
            let expect = match config.voters().next() {
                Some(_) => Ok(config.clone()),
                None => Err(ConfigError::NoParticipant),
            };
            prop_assert_eq!(config.to_string().parse(), expect);
        }

        #[test]
        fn no_text_makes_a_configuration_panic(
            text in "((server|group|weight)\\.[0-9]=|version=|[a-c0-9:;|\\[\\]]{0,4}|\n|.){0,40}",
        ) {
            if let Ok(config) = text.parse::<QuorumConfig>() {
                prop_assert_eq!(config.to_string().parse(), Ok(config));
            }
        }
    }
}
