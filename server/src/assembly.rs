//! Puts the parts together: which core gets what, and the mailboxes between them.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use menagerie_engine::access::Schemes;
use menagerie_engine::disk::SystemDisk;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn::Rules;
use menagerie_engine::wal::Writer;
use menagerie_wire::{ServerId, Zxid};

use crate::admin::Environment;
use crate::admin::metrics::StartFacts;
use crate::admin::probe::{self, Probe};
use crate::client::listener::{self, Census, Limits};
use crate::client::password::SessionSecret;
use crate::client::run::{self as shard_run, Visit};
use crate::client::shard::{self, Shard, Word};
use crate::config::{AclSchemes, Config, DigestMismatch};
use crate::housekeeping::{Housekeeper, Keeper, SnapshotPolicy};
use crate::member::{Member, PortTasks};
use crate::runtime::clock::monotonic_ms;
use crate::runtime::cores::{self, Plan};
use crate::runtime::mailbox::{Receiver, Sender, mailbox};
use crate::runtime::spawn;
use crate::sequencer::message::{ToSequencer, ToShard};
use crate::sequencer::publication::Announced;
use crate::sequencer::run::{self as sequencer_run, Input};
use crate::sequencer::{self, CleanerSettings, Sequencer};
use crate::serve::{Failure, ServeError, Threads, cannot_start};

/// A standalone server is number 1, as Apache's is.
const STANDALONE: ServerId = ServerId(1);

/// A transaction may have so many times the bytes of the largest request: sequence numbers,
/// expanded ACLs and the lists of closeSession make it longer than what asked for it.
// ZooKeeper: jute.maxbuffer.extrasize, by default jute.maxbuffer again.
const TXN_PER_FRAME_BYTES: usize = 2;

/// What a server is put together from.
pub(crate) struct Assembly<'c> {
    pub(crate) config: &'c Config,
    pub(crate) secret: SessionSecret,
    pub(crate) listening: OwnedFd,
    pub(crate) client_port: u16,
    pub(crate) tree: Tree,
    pub(crate) writer: Writer<SystemDisk>,
    pub(crate) keeper: Keeper,
    /// What the newest snapshot holds.
    pub(crate) snapshot: Zxid,
    pub(crate) facts: StartFacts,
    /// Of a member of an ensemble.
    pub(crate) member: Option<Member>,
}

/// What comes in from outside, on the first core.
struct Door {
    listening: OwnedFd,
    census: Arc<Census>,
    visits: Vec<Sender<Visit>>,
    probe: Probe,
    words: Receiver<Word>,
    ports: Option<PortTasks>,
}

/// The shards, and the doors to them.
struct Shards {
    parts: Vec<shard_run::Parts>,
    doors: Vec<Sender<ToShard>>,
    visits: Vec<Sender<Visit>>,
    words: Receiver<Word>,
}

impl Assembly<'_> {
    /// Starts all cores. Returns the door to the sequencer and what to wait for.
    pub(crate) fn start(
        self,
        plan: &Plan,
    ) -> Result<(Sender<Input>, Threads, Failure), ServeError> {
        let count = u16::try_from(plan.shards()).unwrap_or(u16::MAX);
        let config = self.config;
        let announced = Arc::new(Announced::default());
        let (sequencer_door, inbox) = mailbox();
        let (request_door, requests) = mailbox();

        let shard_settings = shard_settings(config, count, &self.secret);
        let settings = sequencer_settings(config, count);
        let now = sequencer_run::now();
        let (sequencer, ports, port_tasks) = match self.member.map(Member::split) {
            None => (Sequencer::standalone(settings, self.tree, now), None, None),
            Some((member, recovered, ports, tasks)) => {
                let sequencer = Sequencer::member(settings, member, recovered, self.tree, now);
                (sequencer, Some(ports), Some(tasks))
            }
        };
        let root = sequencer.committed().clone();
        let shards = Shards::new(config, count, &shard_settings, &root, &announced, &request_door);
        let door = Door {
            listening: self.listening,
            census: Census::new(Limits {
                per_address: config.client.cnxns_per_address_max,
                total: config.client.cnxns_max,
            }),
            visits: shards.visits.clone(),
            probe: Probe {
                config: config.clone(),
                client_port: self.client_port,
                environment: Environment::read(),
                start: self.facts,
                started_ms: monotonic_ms(),
                shards: shards.visits,
                sequencer: sequencer_door.clone(),
            },
            words: shards.words,
            ports: port_tasks,
        };
        let store = self.keeper.store.clone();
        let report_door = sequencer_door.clone();
        let report = move |kept| report_door.send(Input::Kept(kept));
        let (housekeeper, housekeeping) =
            Housekeeper::start(self.keeper, report).map_err(cannot_start("housekeeping"))?;
        let heart = sequencer_run::Parts {
            sequencer,
            store,
            writer: self.writer,
            ports,
            record_bytes_max: TXN_PER_FRAME_BYTES * config.client.frame_bytes_max,
            requests,
            inbox,
            own_door: sequencer_door.clone(),
            shards: shards.doors,
            announced,
            housekeeper,
            snapshots: SnapshotPolicy::new(
                config.snapshots.txns_max,
                config.snapshots.log_bytes_max,
                self.snapshot,
                self.facts.replayed_txns,
            ),
        };
        let failure = Failure::default();
        let mut threads = start_cores(plan, heart, shards.parts, door, &failure)?;
        threads.push(("housekeeping".to_owned(), housekeeping));
        Ok((sequencer_door, threads, failure))
    }
}

impl Shards {
    fn new(
        config: &Config,
        count: u16,
        settings: &shard::Settings,
        root: &Root,
        announced: &Arc<Announced>,
        sequencer: &Sender<ToSequencer>,
    ) -> Self {
        let (word_door, words) = mailbox();
        let (mut parts, mut doors, mut visit_doors) = (Vec::new(), Vec::new(), Vec::new());
        let half_tick_ms = u64::try_from(config.sessions.tick_ms / 2).unwrap_or(0).max(1);
        for id in 0..count {
            let (door, inbox) = mailbox();
            let (visit_door, visits) = mailbox();
            doors.push(door);
            visit_doors.push(visit_door);
            parts.push(shard_run::Parts {
                shard: Shard::new(id, settings.clone(), root.clone(), config.ensemble.is_none()),
                inbox,
                visits,
                sequencer: sequencer.clone(),
                announced: Arc::clone(announced),
                touch_interval: Duration::from_millis(half_tick_ms),
                handshake_ms_max: ms(config.client.handshake_timeout),
                words: word_door.clone(),
            });
        }
        Self { parts, doors, visits: visit_doors, words }
    }
}

fn start_cores(
    plan: &Plan,
    heart: sequencer_run::Parts,
    shards: Vec<shard_run::Parts>,
    door: Door,
    failure: &Failure,
) -> Result<Threads, ServeError> {
    let (mut heart, mut door, mut shards) = (Some(heart), Some(door), shards.into_iter());
    let mut threads = Threads::new();
    for (index, executor) in plan.executors.iter().enumerate() {
        let heart = if executor.sequencer { heart.take() } else { None };
        let door = if executor.sequencer { door.take() } else { None };
        let shard = if executor.shard { shards.next() } else { None };
        let failure = Arc::clone(failure);
        let name = format!("core-{index}");
        let main = move || run_core(heart, shard, door, failure);
        let thread = cores::start(&name, executor.core, main).map_err(cannot_start("a core"))?;
        threads.push((name, thread));
    }
    Ok(threads)
}

/// What one executor does: any of the roles, until the sequencer says stop.
async fn run_core(
    heart: Option<sequencer_run::Parts>,
    shard: Option<shard_run::Parts>,
    door: Option<Door>,
    failure: Failure,
) {
    if let Some(Door { listening, census, visits, probe, words, ports }) = door {
        if let Some(ports) = ports {
            ports.start();
        }
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

fn rules(config: &Config) -> Rules {
    let AclSchemes { sasl, x509 } = config.access.acl_schemes;
    Rules {
        schemes: Schemes { sasl, x509 },
        reconfig: config.access.reconfig,
        txn_bytes_max: TXN_PER_FRAME_BYTES * config.client.frame_bytes_max,
        extended_types: config.tree.extended_types,
        enforce_quota: config.tree.enforce_quota,
        skip_acl: config.access.skip_acl,
        container_unused_ms_max: config
            .tree
            .container_never_used_max
            .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
    }
}

fn shard_settings(config: &Config, shards: u16, secret: &SessionSecret) -> shard::Settings {
    let access = &config.access;
    shard::Settings {
        rules: rules(config),
        session_timeout_ms_min: config.sessions.timeout_ms_min,
        session_timeout_ms_max: config.sessions.timeout_ms_max,
        frame_bytes_max: config.client.frame_bytes_max,
        super_digest: access.super_digest.as_ref().map(|digest| digest.reveal().into()),
        enforced_schemes: access.enforced_schemes.iter().map(|scheme| (**scheme).into()).collect(),
        secret: secret.clone(),
        eager_acl_check: config.ensemble.as_ref().is_some_and(|member| member.eager_acl_check),
        outstanding_requests_max: (config.client.outstanding_requests_max / usize::from(shards))
            .max(1),
        output_bytes_max: config.client.output_bytes_max,
        slow_request_us: config.client.slow_request.map(us),
    }
}

fn sequencer_settings(config: &Config, shards: u16) -> sequencer::Settings {
    sequencer::Settings {
        server: config.ensemble.as_ref().map_or(STANDALONE, |ensemble| ensemble.id),
        shards,
        tick_ms: config.sessions.tick_ms,
        rules: rules(config),
        digests: config.tree.digest,
        leader_serves: config.ensemble.as_ref().is_none_or(|ensemble| ensemble.leader_serves),
        leaves_on_mismatch: config
            .ensemble
            .as_ref()
            .is_some_and(|ensemble| ensemble.digest_mismatch == DigestMismatch::Stop),
        cleaner: CleanerSettings {
            check_interval_ms: ms(config.tree.container_check_interval),
            per_minute_max: u64::from(config.tree.container_deletes_per_minute_max),
        },
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
