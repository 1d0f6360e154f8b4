//! From configuration to service, and back: recovery, cores, the doors, the end.
//!
//! The order of the start is the order in which trust is built: the data directory is locked, the
//! ring is tried, what is on the disk is recovered, and only then does the client port open. The
//! order of the end is the reverse, with the log synced before the process says that it is done.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use menagerie_engine::disk::SystemDisk;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn::{self, Rules};
use menagerie_engine::wal::pool::Preallocator;
use menagerie_engine::wal::{self, SegmentPool, WalError, Writer};
use menagerie_wire::txn::Txn;
use menagerie_wire::{ServerId, Zxid};
use thiserror::Error;

use crate::admin::Environment;
use crate::admin::metrics::StartFacts;
use crate::admin::probe::{self, Probe};
use crate::client::listener::{self, Census, Limits};
use crate::client::password::SessionSecret;
use crate::client::run as shard_run;
use crate::client::shard::{self, Shard, Word};
use crate::config::Config;
use crate::housekeeping::{Housekeeper, SnapshotPolicy};
use crate::runtime::clock::monotonic_ms;
use crate::runtime::cores::{self, Plan};
use crate::runtime::mailbox::{Receiver, Sender, mailbox};
use crate::runtime::preflight::{self, PreflightError};
use crate::runtime::{net, spawn};
use crate::sequencer::run::{self as sequencer_run, Announced, Input};
use crate::sequencer::{self, CleanerSettings, Sequencer};

/// A standalone server is number 1, as Apache's is.
const STANDALONE: ServerId = ServerId(1);
/// Segments smaller than this would be rolled by single batches.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// How long the port of a killed predecessor may stay taken: the kernel takes the io_uring of a
/// process apart, and with it the listening socket, only after the process has been reaped.
const PORT_FREED_MAX: Duration = Duration::from_secs(2);
const PORT_PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Why a server cannot start, or had to end.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(transparent)]
    DataDir(#[from] menagerie_engine::data_dir::DataDirError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("transaction {zxid} of the log cannot be read: {error}")]
    Txn { zxid: Zxid, error: menagerie_wire::JuteError },
    #[error("cannot serve clients on {address}: {error}{}", advice(error))]
    Bind { address: SocketAddr, error: io::Error },
    #[error("cannot start {what}: {error}")]
    Start { what: &'static str, error: io::Error },
    #[error("the core {name} panicked")]
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

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    sequencer: Sender<Input>,
    threads: Vec<(String, JoinHandle<()>)>,
    /// Why the sequencer ended, if not because it was told to.
    failure: Arc<Mutex<Option<WalError>>>,
    _preallocator: Preallocator<SystemDisk>,
    _data_dir: menagerie_engine::data_dir::DataDir,
}

/// What recovery brings back.
struct Recovered {
    tree: Tree,
    end: wal::LogEnd,
    facts: StartFacts,
}

fn recover(disk: &SystemDisk) -> Result<Recovered, ServeError> {
    let mut tree = Tree::new();
    let mut reader = wal::Reader::open(disk, Zxid::ZERO, Zxid::ZERO)?;
    let mut replayed = 0;
    while let Some(record) = reader.next_record()? {
        let zxid = record.zxid;
        let (txn, _digest) =
            Txn::decode(record.body).map_err(|error| ServeError::Txn { zxid, error })?;
        txn::apply(&mut tree, &txn);
        replayed += 1;
    }
    let facts = StartFacts { replayed_txns: replayed, ..StartFacts::default() };
    Ok(Recovered { tree, end: reader.finish()?, facts })
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
        let data_dir = menagerie_engine::data_dir::DataDir::open(&config.data_dir, log_dir)?;
        let secret = SessionSecret::new(data_dir.session_secret()?);
        let disk = data_dir.log_disk(config.log.force_sync)?;
        let recovered = recover(&disk)?;
        let last_zxid = recovered.tree.view().last_zxid();
        tracing::info!(
            "recovered up to {last_zxid}, {} records replayed",
            recovered.facts.replayed_txns
        );

        let segment_bytes = config.log.preallocate_bytes.max(SEGMENT_BYTES_MIN);
        let pool = SegmentPool::open(disk.clone(), segment_bytes)?;
        let preallocator = Preallocator::spawn(pool.clone())
            .map_err(|error| ServeError::Start { what: "the preallocator", error })?;
        let nonce = menagerie_engine::data_dir::random::<8>()
            .map_err(|error| ServeError::Start { what: "the log", error })?;
        let settings =
            wal::Settings { synced: config.log.force_sync, nonce_seed: u64::from_ne_bytes(nonce) };
        let writer = Writer::open(disk, pool, &recovered.end, settings)?;

        let (listening, address) = listen(config)?;
        let parts =
            Build { config, secret, listening, client_port: address.port(), writer, recovered };
        let (sequencer, threads, failure) = parts.start_cores(&plan)?;
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

/// Opens the client port, with patience for the kernel.
fn listen(config: &Config) -> Result<(OwnedFd, SocketAddr), ServeError> {
    let deadline = Instant::now() + PORT_FREED_MAX;
    loop {
        match bind(config) {
            Err(ServeError::Bind { error, .. })
                if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline =>
            {
                std::thread::sleep(PORT_PROBE_INTERVAL);
            }
            result => return result,
        }
    }
}

/// Binds the client port: on all interfaces by IPv6 if the host has it, else by IPv4.
fn bind(config: &Config) -> Result<(OwnedFd, SocketAddr), ServeError> {
    let mut refused = None;
    for address in config.client.address.candidates() {
        match net::bind(address, config.client.listen_backlog) {
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

/// Who is to run where.
fn plan(config: &Config) -> Result<Plan, ServeError> {
    let allowed = match &config.cores.cores {
        Some(cores) => cores.clone(),
        None => cores::allowed_cores()
            .map_err(|error| ServeError::Start { what: "on any core", error })?,
    };
    Ok(Plan::new(&allowed, config.cores.shards.map(usize::from)))
}

/// What the cores are started from.
struct Build<'c> {
    config: &'c Config,
    secret: SessionSecret,
    listening: OwnedFd,
    client_port: u16,
    writer: Writer<SystemDisk>,
    recovered: Recovered,
}

type Cores = (Sender<Input>, Vec<(String, JoinHandle<()>)>, Arc<Mutex<Option<WalError>>>);

impl Build<'_> {
    fn rules(&self) -> Rules {
        let tree = &self.config.tree;
        Rules {
            extended_types: tree.extended_types,
            enforce_quota: tree.enforce_quota,
            skip_acl: self.config.access.skip_acl,
            container_unused_ms_max: tree
                .container_never_used_max
                .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            ..Rules::default()
        }
    }

    fn shard_settings(&self) -> shard::Settings {
        let config = self.config;
        shard::Settings {
            rules: self.rules(),
            session_timeout_ms_min: config.sessions.timeout_ms_min,
            session_timeout_ms_max: config.sessions.timeout_ms_max,
            frame_bytes_max: config.client.frame_bytes_max,
            super_digest: config.access.super_digest.as_ref().map(|digest| digest.reveal().into()),
            enforced_schemes: config
                .access
                .enforced_schemes
                .iter()
                .map(|scheme| scheme.as_str().into())
                .collect(),
            secret: self.secret.clone(),
            output_bytes_max: config.client.output_bytes_max,
        }
    }

    fn sequencer_settings(&self, shards: u16) -> sequencer::Settings {
        let tree = &self.config.tree;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        sequencer::Settings {
            server: STANDALONE,
            shards,
            tick_ms: self.config.sessions.tick_ms,
            rules: self.rules(),
            cleaner: CleanerSettings {
                check_interval_ms: ms(tree.container_check_interval),
                per_minute_max: u64::from(tree.container_deletes_per_minute_max),
                never_used_interval_ms: tree.container_never_used_max.map_or(0, ms),
            },
        }
    }

    fn start_cores(self, plan: &Plan) -> Result<Cores, ServeError> {
        let count = u16::try_from(plan.shards()).unwrap_or(u16::MAX);
        let shard_settings = self.shard_settings();
        let sequencer_settings = self.sequencer_settings(count);
        let config = self.config;

        let now = sequencer_run::now();
        let facts = self.recovered.facts;
        let sequencer = Sequencer::new(sequencer_settings, self.recovered.tree, now);
        let root = sequencer.committed().clone();
        let announced = Arc::new(Announced::default());
        let (sequencer_door, sequencer_inbox) = mailbox();
        let (words, word_inbox) = mailbox();
        let limits = Limits {
            per_address: config.client.cnxns_per_address_max,
            total: config.client.cnxns_max,
        };
        let census = Census::new(limits);

        let mut shard_doors = Vec::new();
        let mut visit_doors = Vec::new();
        let mut shards = Vec::new();
        for id in 0..count {
            let (door, inbox) = mailbox();
            let (visit_door, visits) = mailbox();
            shard_doors.push(door);
            visit_doors.push(visit_door);
            shards.push(shard_run::Parts {
                shard: Shard::new(id, shard_settings.clone(), root.clone()),
                inbox,
                visits,
                sequencer: Sender::clone(&sequencer_door),
                announced: Arc::clone(&announced),
                touch_interval: Duration::from_millis(
                    u64::try_from(config.sessions.tick_ms / 2).unwrap_or(1).max(1),
                ),
                handshake_ms_max: u64::try_from(config.client.handshake_timeout.as_millis())
                    .unwrap_or(u64::MAX),
                words: Sender::clone(&words),
            });
        }
        let housekeeper = Housekeeper::start(|_root: Root| {})
            .map_err(|error| ServeError::Start { what: "housekeeping", error })?;
        let snapshots = SnapshotPolicy::new(
            config.snapshots.txns_max,
            config.snapshots.log_bytes_max,
            root.last_zxid(),
            facts.replayed_txns,
        );
        let mut heart = Some(sequencer_run::Parts {
            sequencer,
            writer: self.writer,
            inbox: sequencer_inbox,
            own_door: Sender::clone(&sequencer_door),
            shards: shard_doors,
            announced,
            housekeeper,
            snapshots,
        });
        let probe = Probe {
            config: config.clone(),
            client_port: self.client_port,
            environment: Environment::read(),
            start: facts,
            started_ms: monotonic_ms(),
            shards: visit_doors.clone(),
            sequencer: Sender::clone(&sequencer_door),
        };
        let door = Door {
            listening: self.listening,
            census,
            visits: visit_doors,
            probe,
            words: word_inbox,
        };
        let mut door = Some(door);
        let failure = Arc::new(Mutex::new(None));
        let mut threads = Vec::new();
        let mut shards = shards.into_iter();
        for (index, executor) in plan.executors.iter().enumerate() {
            let heart = if executor.sequencer { heart.take() } else { None };
            let shard = if executor.shard { shards.next() } else { None };
            let door = if index == 0 { door.take() } else { None };
            let failed = Arc::clone(&failure);
            let name = format!("menagerie-{index}");
            let main = move || run_core(heart, shard, door, failed);
            let thread = cores::start(&name, executor.core, main)
                .map_err(|error| ServeError::Start { what: "a core", error })?;
            threads.push((name, thread));
        }
        Ok((sequencer_door, threads, failure))
    }
}

/// What comes in from outside, on the first core.
struct Door {
    listening: OwnedFd,
    census: Arc<Census>,
    visits: Vec<Sender<shard_run::Visit>>,
    probe: Probe,
    words: Receiver<Word>,
}

/// What one executor does: any of the roles, until the sequencer says stop.
async fn run_core(
    heart: Option<sequencer_run::Parts>,
    shard: Option<shard_run::Parts>,
    door: Option<Door>,
    failure: Arc<Mutex<Option<WalError>>>,
) {
    if let Some(Door { listening, census, visits, probe, words }) = door {
        spawn(listener::run(listening, census, visits));
        spawn(probe::run(probe, words));
    }
    let sequencer = async {
        if let Some(heart) = heart
            && let Err(error) = sequencer_run::run(heart).await
        {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    };
    let shard = async {
        if let Some(shard) = shard {
            shard_run::run(shard).await;
        }
    };
    futures_lite::future::zip(sequencer, shard).await;
}
