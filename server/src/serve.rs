//! From configuration to service, and back: recovery, cores, the doors, the end.
//!
//! The order of the start is the order in which trust is built: the data directory is locked, what
//! is on the disk is recovered, and only then does the client port open. The order of the end is
//! the reverse, with the log synced before the process says that it is done; housekeeping's last
//! snapshot comes after everything else.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use menagerie_engine::data_dir::{self, DataDir, DataDirError};
use menagerie_engine::disk::SystemDisk;
use menagerie_engine::recovery::{self, Recovered, RecoveryError};
use menagerie_engine::restore::{DigestMismatch, Restore};
use menagerie_engine::snapshot::SnapshotDirectory;
use menagerie_engine::tree::Tree;
use menagerie_engine::wal::pool::Preallocator;
use menagerie_engine::wal::purge::Retention;
use menagerie_engine::wal::{SegmentPool, WalError};
use menagerie_wire::Zxid;
use thiserror::Error;

use crate::admin::metrics::StartFacts;
use crate::assembly::Assembly;
use crate::config::Config;
use crate::housekeeping::Keeper;
use crate::member::Member;
use crate::runtime::cores::{self, Plan};
use crate::runtime::mailbox::Sender;
use crate::runtime::net;
use crate::runtime::preflight::{self, PreflightError};
use crate::secret_source;
use crate::sequencer::run::{Input, RunError};
use crate::store::{Parts, Store, StoreError};

/// How long the port of a killed predecessor may stay taken: whoever starts this server may not
/// have waited for the end of the other one.
const PORT_FREED_MAX: Duration = Duration::from_secs(2);
const PORT_PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Why a server cannot start, or had to end.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot recover from {directory}: {error}")]
    Recovery { directory: String, error: RecoveryError },
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("cannot serve clients on {address}: {error}{}", advice(error))]
    Bind { address: SocketAddr, error: io::Error },
    #[error("cannot start {what}: {error}")]
    Start { what: &'static str, error: io::Error },
    #[error("cannot wait for other members on {address}: {error}{}", advice_for_member(error))]
    Election { address: SocketAddr, error: io::Error },
    #[error("the thread {name} panicked")]
    Core { name: String },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has the port, choose another clientPort",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; clientPortAddress is no address of this host",
        _ => "",
    }
}

fn advice_for_member(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has the election port of this server.N line",
        io::ErrorKind::AddrNotAvailable => {
            "; the server.N line of this server names no address of this host \
             (quorumListenOnAllIPs=true listens on all it has)"
        }
        _ => "",
    }
}

pub(crate) fn cannot_start(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |error| ServeError::Start { what, error }
}

/// The threads to wait for at the end, by name: cores and housekeeping.
pub(crate) type Threads = Vec<(String, JoinHandle<()>)>;

/// Why the sequencer ended, if not because it was told to.
pub(crate) type Failure = Arc<Mutex<Option<RunError>>>;

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    sequencer: Sender<Input>,
    threads: Threads,
    failure: Failure,
    _preallocator: Preallocator<SystemDisk>,
    /// Locked until the end.
    _data_dir: DataDir,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// Recovers and opens the client port.
    ///
    /// # Errors
    /// With words for the operator: what happened, where, and what to do.
    pub fn start(config: &Config) -> Result<Self, ServeError> {
        let plan = plan(config)?;
        preflight::check(plan.executors.len())?;
        let log_dir = (config.data_log_dir != config.data_dir).then_some(&*config.data_log_dir);
        let data_dir = DataDir::open(&config.data_dir, log_dir)?;
        let secret = secret_source::session_secret(config, &data_dir)?;
        let data_disk = data_dir.data_disk()?;
        let log_disk = data_dir.log_disk(config.log.force_sync)?;
        if !config.log.force_sync {
            tracing::warn!("forceSync=no: a power loss may undo writes that were acknowledged");
        }
        let nonce =
            data_dir::random::<8>().map(u64::from_ne_bytes).map_err(cannot_start("the log"))?;
        let snapshots = SnapshotDirectory {
            path: data_dir.data().to_owned(),
            threads: thread::available_parallelism().map_or(1, usize::from),
        };
        let (tree, recovered) = recover(&snapshots, &data_disk, &log_disk, config, nonce)?;
        let (facts, snapshot) = (facts(&recovered), recovered.snapshot.unwrap_or(Zxid::ZERO));

        let pool = SegmentPool::open(log_disk.clone(), config.log.preallocate_bytes)?;
        let preallocator =
            Preallocator::spawn(pool.clone()).map_err(cannot_start("the preallocator"))?;
        let store = Store::new(Parts {
            data: data_disk,
            log: log_disk,
            pool,
            snapshots,
            manifest: recovered.manifest,
            on_mismatch: on_mismatch(config),
            synced: config.log.force_sync,
            nonce_seed: nonce,
        });
        let member = match &config.ensemble {
            Some(ensemble) => Some(Member::prepare(config, ensemble, &store, &recovered.log)?),
            None => None,
        };
        let writer = store.open_writer(&recovered.log)?;
        let keeper = Keeper {
            store,
            retention: Retention {
                snapshots: usize::try_from(config.snapshots.kept).unwrap_or(usize::MAX),
                bytes_max: config.snapshots.kept_bytes_max,
            },
            purge_interval: config.snapshots.purge_interval,
        };
        let (listening, address) = listen(config)?;
        let client_port = address.port();
        let assembly = Assembly {
            config,
            secret,
            listening,
            client_port,
            tree,
            writer,
            keeper,
            snapshot,
            facts,
            member,
        };
        let (sequencer, threads, failure) = assembly.start(&plan)?;
        Ok(Self {
            address,
            sequencer,
            threads,
            failure,
            _preallocator: preallocator,
            _data_dir: data_dir,
        })
    }

    /// A handle that stops the server from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let sequencer = self.sequencer.clone();
        move || sequencer.send(Input::Stop)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the end was not asked for.
    pub fn wait(self) -> Result<(), ServeError> {
        for (name, thread) in self.threads {
            thread.join().map_err(|_| ServeError::Core { name })?;
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Who is to run where.
fn plan(config: &Config) -> Result<Plan, ServeError> {
    let allowed = match &config.cores.cores {
        Some(cores) => cores.clone(),
        None => cores::allowed_cores().map_err(cannot_start("on any core"))?,
    };
    Ok(Plan::new(&allowed, config.cores.shards.map(usize::from)))
}

/// Brings back the tree, and says what that took.
fn recover(
    snapshots: &SnapshotDirectory,
    data: &SystemDisk,
    log: &SystemDisk,
    config: &Config,
    nonce: u64,
) -> Result<(Tree, Recovered<SystemDisk>), ServeError> {
    let mut restore = Restore::new(snapshots.clone(), on_mismatch(config));
    let options = recovery::Options { synced: config.log.force_sync, nonce };
    let recovered = recovery::recover(data, log, options, &mut restore).map_err(|error| {
        ServeError::Recovery { directory: snapshots.path.display().to_string(), error }
    })?;
    for (zxid, reason) in &recovered.unusable {
        tracing::warn!("{} cannot be used: {reason}", recovery::snapshot_file_name(*zxid));
    }
    tracing::info!(
        "recovered up to {}: snapshot {} in {:?}, {} log records in {:?}",
        recovered.last_zxid,
        recovered.snapshot.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string()),
        recovered.snapshot_time,
        recovered.replayed_records,
        recovered.replay_time
    );
    if restore.mismatches() > 0 {
        tracing::warn!(
            "the tree is not what the log's last {} digests say: this log is of other servers",
            restore.mismatches()
        );
    }
    Ok((restore.into_tree(), recovered))
}

fn on_mismatch(config: &Config) -> DigestMismatch {
    if config.ensemble.is_some() { DigestMismatch::Count } else { DigestMismatch::Stop }
}

fn facts(recovered: &Recovered<SystemDisk>) -> StartFacts {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    StartFacts {
        recovery_ms: ms(recovered.snapshot_time + recovered.replay_time),
        snapshot_load_ms: ms(recovered.snapshot_time),
        replay_ms: ms(recovered.replay_time),
        replayed_txns: recovered.replayed_records,
    }
}

/// Opens a port, with patience for the kernel.
pub(crate) fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PORT_FREED_MAX;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(PORT_PROBE_INTERVAL);
            }
            result => return result,
        }
    }
}

/// Opens the client port: on all interfaces by IPv6 if the host has it, else by IPv4.
fn listen(config: &Config) -> Result<(OwnedFd, SocketAddr), ServeError> {
    let mut refused = None;
    for address in config.client.address.candidates() {
        match patiently(|| net::bind(address, config.client.listen_backlog)) {
            Ok(listening) => return Ok(listening),
            Err(error) => {
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                refused = Some(ServeError::Bind { address, error });
                if taken {
                    break;
                }
            }
        }
    }
    Err(refused.expect("there is at least one address to try"))
}
