//! Every limit and every default in one place, each with its reason.
//!
//! A limit bounds what one party can make another one hold or wait for; the code that enforces it
//! says what happens when it is reached. What the operator may change is read in [`super::Config`].

use std::time::Duration;

use menagerie_wire::frame::JUTE_MAXBUFFER_DEFAULT;

/// Apache's default tick.
pub const TICK_MS_DEFAULT: i32 = 2_000;

/// A session's timeout is clamped to these many ticks unless the file says otherwise.
// ZooKeeper: ZooKeeperServer.setMinSessionTimeout, setMaxSessionTimeout.
pub const SESSION_TICKS_MIN: i32 = 2;
pub const SESSION_TICKS_MAX: i32 = 20;

/// The largest tick whose multiple above still is an int on the wire.
pub const TICK_MS_MAX: i32 = i32::MAX / SESSION_TICKS_MAX;

/// How long one attempt to reach an election port may take.
// ZooKeeper: QuorumCnxManager.cnxTO.
pub const ELECTION_CONNECT_MS_DEFAULT: u64 = 5_000;

/// Connections per client address with a configuration file; without one there is no bound.
pub const CNXNS_PER_ADDRESS_DEFAULT: i64 = 60;

/// Connections that may wait to be accepted: enough for a whole fleet that reconnects at once. The
/// kernel lowers it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG_DEFAULT: i32 = 8_192;

/// How long a connection may be silent before its ConnectRequest.
// ZooKeeper: zookeeper.nio.sessionlessCnxnTimeout.
pub const HANDSHAKE_MS_DEFAULT: u64 = 10_000;

/// Requests in process on the whole server above which a connection that has some is not read.
// ZooKeeper: zookeeper.globalOutstandingLimit.
pub const OUTSTANDING_REQUESTS_DEFAULT: usize = 1_000;

/// Bytes queued for one connection (replies and events) above which it is cut off: it does not
/// read, and whatever waits for it is memory taken from the others.
pub const OUTPUT_BYTES_DEFAULT: usize = 16 << 20;
const _: () = assert!(OUTPUT_BYTES_DEFAULT > 8 * JUTE_MAXBUFFER_DEFAULT);

/// How long a request takes that is logged as slow: what a client notices, and a healthy disk and
/// network stay far below.
pub const SLOW_REQUEST_DEFAULT: Duration = Duration::from_secs(1);

/// Watches of one connection. Apache has no such bound; this one only stops a runaway client: at
/// 96 bytes a watch it keeps one connection below 1 GiB.
pub const WATCHES_PER_CONNECTION_MAX: usize = 10_000_000;

/// Log records, and bytes, after which a snapshot is taken.
// ZooKeeper: snapCount, snapSizeLimitInKb.
pub const SNAPSHOT_TXNS_DEFAULT: u64 = 100_000;
pub const SNAPSHOT_LOG_KIB_DEFAULT: i64 = 4 << 20;

/// Snapshots that purging leaves; Apache, too, never goes below it.
pub const SNAPSHOTS_KEPT_MIN: u32 = 3;

/// How often old snapshots and logs are purged, in hours. Apache's default is never.
pub const PURGE_HOURS_DEFAULT: u32 = 1;

/// KiB of a log segment, written ahead of its records. Below the minimum a segment would be full
/// before the next one is ready.
pub const PREALLOCATE_KIB_DEFAULT: i64 = 65_536;
pub const PREALLOCATE_KIB_MIN: i64 = 64;

/// How often containers and TTL nodes are looked through, and how many go per minute at most.
pub const CONTAINER_CHECK_MS_DEFAULT: u64 = 60_000;
pub const CONTAINER_DELETES_PER_MINUTE_DEFAULT: u32 = 10_000;

/// The longest of all configurable waits: nothing that counts milliseconds can overflow with it.
pub const WAIT_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// First path components whose traffic is counted one by one: clients choose them.
pub const NAMESPACES_COUNTED_MAX: usize = 256;
