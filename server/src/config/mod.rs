//! What the operator decided: `zoo.cfg` and command line, read once into a typed [`Config`].
//!
//! Keys, meanings and defaults are Apache ZooKeeper's, so that an existing file works unchanged;
//! where ours differ, the field says so. Nothing is re-read later, and nothing below this module
//! sees a file, an environment variable or a string that still has to be parsed: each part of the
//! server gets only its own small struct.
//!
//! A value that cannot be used stops the start ([`ConfigError`]); a key that nobody knows does not,
//! it is named in [`Config::unknown_keys`].

mod address;
mod cores;
mod ensemble;
mod error;
pub mod limits;
mod meaning;
mod members;
mod properties;
mod secret;
mod settings;
#[cfg(test)]
mod testing;
mod whitelist;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{CLIENT_PORT_DEFAULT, ClientAddress};
pub use ensemble::{DigestMismatch, Ensemble};
pub use error::{ConfigError, Origin};
pub use secret::Secret;
pub use whitelist::Whitelist;

use settings::Settings;

/// Every decision of the operator.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Home of snapshots and manifest, and of `myid`. `dataDir`; required with a file, else
    /// `./menagerie-data`.
    pub data_dir: PathBuf,
    /// Home of the log. `dataLogDir`; default: `data_dir`.
    pub data_log_dir: PathBuf,
    pub client: ClientConfig,
    /// The other members, `None` for a standalone server.
    pub ensemble: Option<Ensemble>,
    pub sessions: SessionConfig,
    pub log: LogConfig,
    pub snapshots: SnapshotConfig,
    pub tree: TreeConfig,
    pub access: AccessConfig,
    pub cores: CoreConfig,
    /// Words that a probe may use. `4lw.commands.whitelist`; default: `srvr`.
    pub whitelist: Whitelist,
    /// What can be followed and was hardly meant so, each to be said in a line.
    pub warnings: Vec<String>,
    /// Keys that were given and mean nothing here, to be named in one warning.
    pub unknown_keys: Vec<String>,
}

/// The client door.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `clientPortAddress`, `clientPort`, or the client part of a single `server.N` line. With a
    /// file the port is required and the default address is every interface; without a file
    /// 127.0.0.1:2181.
    pub address: ClientAddress,
    /// `clientPortListenBacklog`; default [`limits::LISTEN_BACKLOG_DEFAULT`] (Apache: 50).
    pub listen_backlog: i32,
    /// Connections from one address, `None` without bound. `maxClientCnxns`; default with a file
    /// 60, without one none. 0 and less mean none.
    pub cnxns_per_address_max: Option<NonZeroUsize>,
    /// Connections altogether, `None` without bound. `maxCnxns`; default none.
    pub cnxns_max: Option<NonZeroUsize>,
    /// Payload bytes of a request, inclusive. `jute.maxbuffer`; default 1,048,575.
    pub frame_bytes_max: usize,
    /// How long a connection may take until its ConnectRequest. `nio.sessionlessCnxnTimeout`;
    /// default 10 s.
    pub handshake_timeout: Duration,
    /// Requests in process above which busy connections are not read. `globalOutstandingLimit`;
    /// default 1,000.
    pub outstanding_requests_max: usize,
    /// Queued bytes above which a connection that does not read is cut off.
    /// `menagerie.outputBytesMax`; default 16 MiB.
    pub output_bytes_max: usize,
    /// From when on a request is slow, and logged; `None` never.
    /// `menagerie.slowRequestThresholdMs`; default 1 s, 0 means never.
    pub slow_request: Option<Duration>,
}

/// The clock of sessions. All in milliseconds, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Expiry times are multiples of it. `tickTime`; default 2,000.
    pub tick_ms: i32,
    /// `minSessionTimeout`; default 2 ticks.
    pub timeout_ms_min: i32,
    /// `maxSessionTimeout`; default 20 ticks. Never below the minimum.
    pub timeout_ms_max: i32,
}

impl SessionConfig {
    /// What a client gets who asks for `requested_ms`; 0 and negative ask for the least.
    pub fn negotiate_ms(&self, requested_ms: i32) -> i32 {
        requested_ms.clamp(self.timeout_ms_min, self.timeout_ms_max)
    }
}

/// The transaction log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// False acknowledges writes that a power loss may undo. `forceSync` (yes, no); default yes.
    pub force_sync: bool,
    /// Size of a segment, written before its records come. `preAllocSize`, in KiB; default 64 MiB,
    /// at least 64 KiB.
    pub preallocate_bytes: u64,
}

/// When snapshots are taken and how many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Log records after which a snapshot is due. `snapCount`; default 100,000.
    pub txns_max: u64,
    /// Log bytes after which a snapshot is due, `None` for no such bound. `snapSizeLimitInKb`;
    /// default 4 GiB, 0 and less mean none.
    pub log_bytes_max: Option<u64>,
    /// Snapshots that purging leaves. `autopurge.snapRetainCount`; default 3, which is the least.
    pub kept: u32,
    /// Bytes of snapshots and log above which purging leaves fewer snapshots, but one, `None` for
    /// no such bound. `menagerie.autopurge.sizeLimitInKb`; default none.
    pub kept_bytes_max: Option<u64>,
    /// How often to purge, `None` for never. `autopurge.purgeInterval`, in hours, 0 for never;
    /// default 1 (Apache: 0).
    pub purge_interval: Option<Duration>,
}

/// What clients may do to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// TTL nodes may be made. `extendedTypesEnabled`; default false.
    pub extended_types: bool,
    /// Hard quotas refuse writes. `enforceQuota`; default false.
    pub enforce_quota: bool,
    /// Digests of the tree are kept and compared. `digest.enabled`; default true.
    pub digest: bool,
    /// Period of the container and TTL checker. `znode.container.checkIntervalMs`; default 60 s.
    pub container_check_interval: Duration,
    /// Deletions per minute at most by that checker. `znode.container.maxPerMinute`; default
    /// 10,000.
    pub container_deletes_per_minute_max: u32,
    /// Age after which a container that never had a child is deleted, `None` for never.
    /// `znode.container.maxNeverUsedIntervalMs`; default 0, which is never.
    pub container_never_used_max: Option<Duration>,
}

/// Who may come in, and who may do everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// ACLs are stored and not looked at. `skipACL` (yes, no); default no.
    pub skip_acl: bool,
    /// The secret that session passwords are made with, the same on all members.
    /// `sessionSecretFile`; default: a standalone server's own in the data directory. Not a key of
    /// Apache's.
    pub session_secret_file: Option<PathBuf>,
    /// `user:base64(sha1(user:password))` of the one who may do everything.
    /// `DigestAuthenticationProvider.superDigest`; default none.
    pub super_digest: Option<Secret>,
    /// Schemes of which a connection needs one before its first request, empty when any may come.
    /// `enforce.auth.enabled` with `enforce.auth.schemes`; default none.
    pub enforced_schemes: Vec<String>,
    /// Which ids beside world, ip, digest and auth an ACL may hold. `authProvider.N`; default none.
    pub acl_schemes: AclSchemes,
    /// The membership has versions, and reconfig is answered with "unimplemented" instead of
    /// "disabled". `reconfigEnabled`; default false.
    pub reconfig: bool,
}

/// Schemes that no client can prove here, but whose ids ACLs may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AclSchemes {
    pub sasl: bool,
    pub x509: bool,
}

/// Which processors serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Shards of clients, `None` for one per core that is left. `menagerie.shards`, `--shards`.
    pub shards: Option<NonZeroUsize>,
    /// Processor numbers to use, `None` for the whole affinity mask. `menagerie.cores`, `--cores`.
    pub cores: Option<Vec<usize>>,
}

/// `value` as it is written into a `zoo.cfg`.
pub fn escaped(value: &str) -> String {
    properties::escaped(value)
}

/// Reads a whole file: `zoo.cfg`, the dynamic file it names, `myid`.
pub type ReadFile<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// One setting from the command line: it wins over the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The option as typed, for error messages.
    pub option: &'static str,
    pub key: String,
    pub value: String,
}

impl Config {
    /// Reads the file, if there is one, and everything that stands beside it.
    ///
    /// # Errors
    /// Whenever the operator's word cannot be followed to the letter.
    pub fn load(
        file: Option<&Path>,
        jvm_flags: &str,
        overrides: &[Override],
    ) -> Result<Self, ConfigError> {
        Self::load_with(file, jvm_flags, overrides, &|path| std::fs::read(path))
    }

    /// As [`Config::load`], from where `read` finds the files.
    pub fn load_with(
        file: Option<&Path>,
        jvm_flags: &str,
        overrides: &[Override],
        read: &ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Settings::default();
        settings.set_jvm_flags(jvm_flags);
        if let Some(path) = file {
            let bytes = match read(path) {
                Ok(bytes) => bytes,
                Err(source) => {
                    return Err(ConfigError::Unreadable { file: path.to_owned(), source });
                }
            };
            settings.set_file(path, &bytes)?;
        }
        for Override { option, key, value } in overrides {
            settings.set(key, value, Origin::CommandLine(option));
        }
        meaning::config(file, settings, read)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::load;
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        load(text, &[], &[])
    }

    fn refuse(line: &str, expect: &str) {
        let error = parse(&format!("dataDir=/d\nclientPort=1\n{line}")).expect_err(line);
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn apaches_sample_file_is_read_with_apaches_defaults() {
        let config = parse(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2181\n",
        )
        .expect("the sample file");
        assert_eq!(config.data_log_dir, Path::new("/tmp/zookeeper"));
        assert_eq!(config.client.address, ClientAddress { ip: None, port: 2181 });
        assert_eq!(config.client.cnxns_per_address_max, NonZeroUsize::new(60));
        assert_eq!(config.sessions.negotiate_ms(0), 4_000);
        assert_eq!(config.sessions.negotiate_ms(10_000), 10_000);
        assert_eq!(config.sessions.negotiate_ms(i32::MAX), 40_000);
        assert_eq!(config.client.frame_bytes_max, 1_048_575);
        assert!(config.log.force_sync && !config.access.skip_acl && config.tree.digest);
        assert_eq!(config.unknown_keys, Vec::<String>::new());
    }

    #[test]
    fn without_a_file_the_door_is_local_and_open() {
        let config = Config::load(None, "", &[]).expect("nothing to refuse");
        assert_eq!(config.client.address.to_string(), "127.0.0.1:2181");
        assert_eq!(config.client.cnxns_per_address_max, None);
        assert_eq!(config.data_dir, Path::new("./menagerie-data"));
        assert_eq!(config.snapshots.purge_interval, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let option =
            Override { option: "--shards", key: "menagerie.shards".into(), value: "3".into() };
        let text = "dataDir=/d\nclientPort=0\nmenagerie.shards=2";
        let config = load(text, &[], &[option]).expect("a good file");
        assert_eq!(config.cores.shards, NonZeroUsize::new(3));
        let option =
            Override { option: "--shards", key: "menagerie.shards".into(), value: "0".into() };
        let error = Config::load(None, "", &[option]).expect_err("no shard at all");
        let expect = "command line, --shards: menagerie.shards=0: \
                      expected a whole number of shards from 1 to 1024";
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn a_single_member_runs_alone_and_may_give_the_door() {
        let check = |lines: &str, address: &str| {
            let config = parse(&format!("dataDir=/d\n{lines}")).expect(lines);
            assert_eq!(config.client.address.to_string(), address, "{lines}");
        };
        check("server.1=zoo1:2888:3888\nclientPort=7", "*:7");
        check("server.1=zoo1:2888:3888;2181", "*:2181");
        check("server.1=zoo1:2888:3888:participant;127.0.0.1:99", "127.0.0.1:99");
        check("server.1=zoo1:2888:3888;0.0.0.0:99", "*:99");
        check("server.1=zoo1:2888:3888;[::1]:99", "[::1]:99");
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let bad = |line: &str, expect: &str| {
            let last = line.lines().last().expect("a line");
            let number = 2 + line.lines().count();
            refuse(line, &format!("zoo.cfg:{number}: {last}: expected {expect}"));
        };
        bad("tickTime=0", "a whole number of milliseconds from 1 to 107374182");
        bad("enforce.auth.enabled=true", "enforce.auth.schemes beside it");
        bad("enforce.auth.enabled=true\nenforce.auth.schemes=sasl", "a list of digest, ip");
        bad("menagerie.cores=3-1", "processor numbers, each once, like 0-3,5");
        bad(
            "4lw.commands.whitelist=ruok,quit",
            "four-letter words parted by commas, or *; \"quit\" is none",
        );
        refuse(
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            "minSessionTimeout is 9 ms: expected at most maxSessionTimeout, 8 ms",
        );
        let error = parse("clientPort=1").expect_err("no dataDir");
        assert_eq!(
            error.to_string(),
            "zoo.cfg: dataDir is not set: expected the directory for snapshots"
        );
    }

    #[test]
    fn purging_is_bounded_by_count_and_when_asked_by_bytes() {
        let snapshots =
            |line: &str| parse(&format!("dataDir=/d\nclientPort=1\n{line}")).expect(line).snapshots;
        assert_eq!((snapshots("").kept, snapshots("").kept_bytes_max), (3, None));
        assert_eq!(snapshots("autopurge.snapRetainCount=5").kept, 5);
        let bounded = snapshots("menagerie.autopurge.sizeLimitInKb=2048");
        assert_eq!(bounded.kept_bytes_max, Some(2 << 20));
        refuse(
            "menagerie.autopurge.sizeLimitInKb=0",
            "zoo.cfg:3: menagerie.autopurge.sizeLimitInKb=0: \
             expected a whole number of KiB from 1 to 18014398509481983",
        );
    }

    #[test]
    fn unknown_keys_are_named_and_secrets_are_not_shown() {
        let config = parse(
            "dataDir=/d\nclientPort=1\nssl.keyStore.password=hunter2\n\
             DigestAuthenticationProvider.superDigest=super:hunter2",
        )
        .expect("nothing to refuse");
        assert_eq!(config.unknown_keys, ["ssl.keyStore.password"]);
        assert_eq!(config.access.super_digest.as_ref().map(Secret::reveal), Some("super:hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
