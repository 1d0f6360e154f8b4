//! What each key means: from raw settings to [`Config`], one function for each part of it.
//!
//! Defaults and ranges come from [`limits`]; names, and the readings of odd values (0 and less for
//! "without bound", -1 for "default"), are Apache's.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use menagerie_wire::frame::JUTE_MAXBUFFER_DEFAULT;

use super::members::{self, Beside, DoorLine};
use super::settings::Settings;
use super::{
    AccessConfig, AclSchemes, ClientAddress, ClientConfig, Config, ConfigError, CoreConfig,
    LogConfig, ReadFile, Secret, SessionConfig, SnapshotConfig, TreeConfig, Whitelist, cores,
    limits,
};

pub(super) fn config(
    file: Option<&Path>,
    mut settings: Settings,
    read: &ReadFile<'_>,
) -> Result<Config, ConfigError> {
    let s = &mut settings;
    let data_dir = match (s.text("dataDir").filter(|dir| !dir.is_empty()), file) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, None) => PathBuf::from("./menagerie-data"),
        (None, Some(file)) => {
            let expected = "the directory for snapshots";
            return Err(ConfigError::Missing { file: file.to_owned(), key: "dataDir", expected });
        }
    };
    let data_log_dir = s.text("dataLogDir").filter(|dir| !dir.is_empty());
    let (sessions, tree) = (sessions(s)?, tree(s)?);
    let beside = Beside {
        file,
        data_dir: &data_dir,
        tick_ms: sessions.tick_ms.unsigned_abs(),
        extended_types: tree.extended_types,
        read,
    };
    let members = members::take(s, &beside)?;
    Ok(Config {
        data_log_dir: data_log_dir.map_or_else(|| data_dir.clone(), PathBuf::from),
        data_dir,
        client: client(file, members.door, s)?,
        ensemble: members.ensemble,
        sessions,
        log: log(s)?,
        snapshots: snapshots(s)?,
        tree,
        access: access(s)?,
        cores: core_config(s)?,
        whitelist: whitelist(s)?,
        warnings: members.warnings,
        unknown_keys: settings.into_untaken_keys(),
        file: file.map(Path::to_owned),
    })
}

fn client(
    file: Option<&Path>,
    line: Option<DoorLine>,
    s: &mut Settings,
) -> Result<ClientConfig, ConfigError> {
    let per_address = match s.number("maxClientCnxns", i64::MIN..=i64::MAX, "connections")? {
        Some(count) => count,
        None if file.is_some() => limits::CNXNS_PER_ADDRESS_DEFAULT,
        None => 0,
    };
    let altogether = s.number("maxCnxns", i64::MIN..=i64::MAX, "connections")?.unwrap_or(0);
    let backlog = s.number("clientPortListenBacklog", -1..=i32::MAX, "connections")?;
    let handshake = s.number("nio.sessionlessCnxnTimeout", 1..=WAIT_MS_MAX, "milliseconds")?;
    Ok(ClientConfig {
        address: ClientAddress::take(file, line, s)?,
        listen_backlog: backlog.filter(|&n| n > 0).unwrap_or(limits::LISTEN_BACKLOG_DEFAULT),
        cnxns_per_address_max: bound(per_address),
        cnxns_max: bound(altogether),
        frame_bytes_max: s
            .number("jute.maxbuffer", 64..=FRAME_BYTES_CEILING, "bytes")?
            .unwrap_or(JUTE_MAXBUFFER_DEFAULT),
        handshake_timeout: Duration::from_millis(handshake.unwrap_or(limits::HANDSHAKE_MS_DEFAULT)),
        outstanding_requests_max: s
            .number("globalOutstandingLimit", 1..=1_000_000, "requests")?
            .unwrap_or(limits::OUTSTANDING_REQUESTS_DEFAULT),
        output_bytes_max: s
            .number("menagerie.outputBytesMax", 1 << 20..=usize::MAX >> 1, "bytes")?
            .unwrap_or(limits::OUTPUT_BYTES_DEFAULT),
        slow_request: s
            .number("menagerie.slowRequestThresholdMs", 0..=WAIT_MS_MAX, "milliseconds")?
            .map_or(Some(limits::SLOW_REQUEST_DEFAULT), |ms| {
                (ms > 0).then(|| Duration::from_millis(ms))
            }),
    })
}

/// A frame's length is a positive int, and a multi of such frames still must fit a log record.
const FRAME_BYTES_CEILING: usize = 1 << 28;

const WAIT_MS_MAX: u64 = limits::WAIT_MAX.as_millis() as u64;

/// Apache's way to write "without bound" is 0 or less.
fn bound(count: i64) -> Option<NonZeroUsize> {
    usize::try_from(count).ok().and_then(NonZeroUsize::new)
}

fn sessions(s: &mut Settings) -> Result<SessionConfig, ConfigError> {
    let tick_ms = s
        .number("tickTime", 1..=limits::TICK_MS_MAX, "milliseconds")?
        .unwrap_or(limits::TICK_MS_DEFAULT);
    let mut timeout = |key, ticks| -> Result<i32, ConfigError> {
        let given = s.number(key, -1..=i32::MAX, "milliseconds")?;
        Ok(given.filter(|&ms| ms > 0).unwrap_or(tick_ms * ticks))
    };
    let timeout_ms_min = timeout("minSessionTimeout", limits::SESSION_TICKS_MIN)?;
    let timeout_ms_max = timeout("maxSessionTimeout", limits::SESSION_TICKS_MAX)?;
    if timeout_ms_min > timeout_ms_max {
        let (min_ms, max_ms) = (timeout_ms_min, timeout_ms_max);
        return Err(ConfigError::SessionTimeouts { min_ms, max_ms });
    }
    Ok(SessionConfig { tick_ms, timeout_ms_min, timeout_ms_max })
}

fn log(s: &mut Settings) -> Result<LogConfig, ConfigError> {
    let kib = s.number("preAllocSize", i64::MIN..=4 << 20, "KiB")?;
    let kib = kib.unwrap_or(limits::PREALLOCATE_KIB_DEFAULT).max(limits::PREALLOCATE_KIB_MIN);
    let preallocate_bytes = kib.unsigned_abs() << 10;
    Ok(LogConfig { force_sync: s.yes_no("forceSync", true)?, preallocate_bytes })
}

fn snapshots(s: &mut Settings) -> Result<SnapshotConfig, ConfigError> {
    let log_kib = s
        .number("snapSizeLimitInKb", i64::MIN..=i64::MAX >> 10, "KiB")?
        .unwrap_or(limits::SNAPSHOT_LOG_KIB_DEFAULT);
    let kept = s.number("autopurge.snapRetainCount", 0..=u32::MAX, "snapshots")?;
    let hours = s
        .number("autopurge.purgeInterval", 0..=24 * 366, "hours")?
        .unwrap_or(limits::PURGE_HOURS_DEFAULT);
    let kept_kib = s.number("menagerie.autopurge.sizeLimitInKb", 1..=u64::MAX >> 10, "KiB")?;
    Ok(SnapshotConfig {
        kept_bytes_max: kept_kib.map(|kib| kib << 10),
        txns_max: s
            .number("snapCount", 2..=u64::MAX >> 1, "transactions")?
            .unwrap_or(limits::SNAPSHOT_TXNS_DEFAULT),
        log_bytes_max: u64::try_from(log_kib).ok().filter(|&kib| kib > 0).map(|kib| kib << 10),
        kept: kept.unwrap_or(0).max(limits::SNAPSHOTS_KEPT_MIN),
        purge_interval: (hours > 0).then(|| Duration::from_secs(3600 * u64::from(hours))),
    })
}

fn tree(s: &mut Settings) -> Result<TreeConfig, ConfigError> {
    let mut wait_ms = |key, low| s.number(key, low..=WAIT_MS_MAX, "milliseconds");
    let check = wait_ms("znode.container.checkIntervalMs", 1)?;
    let never_used = wait_ms("znode.container.maxNeverUsedIntervalMs", 0)?;
    Ok(TreeConfig {
        extended_types: s.boolean("extendedTypesEnabled", false)?,
        enforce_quota: s.boolean("enforceQuota", false)?,
        digest: s.boolean("digest.enabled", true)?,
        container_check_interval: Duration::from_millis(
            check.unwrap_or(limits::CONTAINER_CHECK_MS_DEFAULT),
        ),
        container_deletes_per_minute_max: s
            .number("znode.container.maxPerMinute", 1..=u32::MAX, "deletions")?
            .unwrap_or(limits::CONTAINER_DELETES_PER_MINUTE_DEFAULT),
        container_never_used_max: never_used.filter(|&ms| ms > 0).map(Duration::from_millis),
    })
}

/// Schemes that this release can authenticate; requiring another one would lock everybody out.
const SCHEMES: [&str; 2] = ["digest", "ip"];

fn access(s: &mut Settings) -> Result<AccessConfig, ConfigError> {
    if let Some(sasl) = s.take("sessionRequireClientSASLAuth")
        && !sasl.value.eq_ignore_ascii_case("false")
    {
        return Err(sasl.refuse("sessionRequireClientSASLAuth", "false: SASL is not offered"));
    }
    const ALGORITHM: &str = "DigestAuthenticationProvider.digestAlg";
    if let Some(algorithm) = s.take(ALGORITHM)
        && !["SHA1", "SHA-1"].contains(&algorithm.value.to_ascii_uppercase().as_str())
    {
        return Err(algorithm.refuse(ALGORITHM, "SHA1, the only digest offered"));
    }
    let superuser = s.text("DigestAuthenticationProvider.superDigest");
    let secret_file = s.text("sessionSecretFile").filter(|file| !file.is_empty());
    Ok(AccessConfig {
        skip_acl: s.yes_no("skipACL", false)?,
        session_secret_file: secret_file.map(PathBuf::from),
        super_digest: superuser.filter(|digest| !digest.is_empty()).map(Secret::new),
        enforced_schemes: enforced_schemes(s)?,
        acl_schemes: acl_schemes(s),
        reconfig: s.boolean("reconfigEnabled", false)?,
    })
}

/// The schemes whose ids ACLs may hold although nobody can prove one here yet: those of Apache's
/// providers that the file names. Other classes stay among the unknown keys.
// ZooKeeper: ProviderRegistry.initialize.
fn acl_schemes(s: &mut Settings) -> AclSchemes {
    const CLASSES: &str = "org.apache.zookeeper.server.auth.";
    let mut schemes = AclSchemes::default();
    for (key, provider) in s.take_prefix("authProvider.") {
        match provider.value.strip_prefix(CLASSES) {
            Some("SASLAuthenticationProvider") => schemes.sasl = true,
            Some("X509AuthenticationProvider") => schemes.x509 = true,
            _ => s.put_back(key, provider),
        }
    }
    schemes
}

// ZooKeeper: AuthenticationHelper.initConfigurations.
fn enforced_schemes(s: &mut Settings) -> Result<Vec<String>, ConfigError> {
    const KEY: &str = "enforce.auth.schemes";
    let enabled = s.take("enforce.auth.enabled");
    let schemes = s.take(KEY);
    let Some(enabled) = enabled else { return Ok(Vec::new()) };
    match enabled.value.to_ascii_lowercase().as_str() {
        "false" => return Ok(Vec::new()),
        "true" => {}
        _ => return Err(enabled.refuse("enforce.auth.enabled", "true or false")),
    }
    let Some(schemes) = schemes else {
        return Err(enabled.refuse("enforce.auth.enabled", format!("{KEY} beside it")));
    };
    let names = schemes.value.split(',').map(|name| name.trim().to_owned());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.iter().any(|name| !SCHEMES.contains(&name.as_str())) {
        return Err(schemes.refuse(KEY, format!("a list of {}", SCHEMES.join(", "))));
    }
    Ok(names)
}

fn core_config(s: &mut Settings) -> Result<CoreConfig, ConfigError> {
    const KEY: &str = "menagerie.cores";
    let shards = s.number("menagerie.shards", 1..=1_024, "shards")?;
    let cores = match s.take(KEY) {
        None => None,
        Some(list) => match cores::parse(&list.value) {
            Some(cores) => Some(cores),
            None => return Err(list.refuse(KEY, "processor numbers, each once, like 0-3,5")),
        },
    };
    Ok(CoreConfig { shards: shards.and_then(NonZeroUsize::new), cores })
}

fn whitelist(s: &mut Settings) -> Result<Whitelist, ConfigError> {
    const KEY: &str = "4lw.commands.whitelist";
    let Some(list) = s.take(KEY) else { return Ok(Whitelist::default()) };
    match Whitelist::parse(&list.value) {
        Ok(whitelist) => Ok(whitelist),
        Err(item) => {
            let expected = format!("four-letter words parted by commas, or *; {item:?} is none");
            Err(list.clone().refuse(KEY, expected))
        }
    }
}
