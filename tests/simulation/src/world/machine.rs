//! One machine: a disk, clocks, and the process that runs on it, if one does.
//!
//! A process is the real recovery, store, log writer, sequencer and shards; its waiting halves are
//! this world's. What a process knows dies with it, the disk stays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use menagerie::client::password::SessionSecret;
use menagerie::client::shard::{self, Shard};
use menagerie::sequencer::{self, CleanerSettings, Output, Sequencer};
use menagerie::store::{LogCursor, Parts, Store, StoreError};
use menagerie_engine::disk::{Disk as _, MemoryDisk};
use menagerie_engine::recovery::{self, Options, RecoveryError};
use menagerie_engine::restore::{DigestMismatch, Restore};
use menagerie_engine::tree::Root;
use menagerie_engine::txn::Rules;
use menagerie_engine::wal::{SegmentPool, WalError, Writer};
use menagerie_replication::{HistoryLimits, Link, Membership, Recovered, Role, Settings, Timeouts};
use menagerie_wire::{Epoch, ServerId, Zxid, frame};
use thiserror::Error;

use super::Input;
use super::clock::Clock;
use super::doors::Doors;
use super::network::ConnectionId;
use super::peers::Inlet;
use super::plan::Plan;
use super::storage::DiskWork;

pub(super) type MemoryStore = Store<MemoryDisk, MemoryDisk>;

/// Small, so that a log has many of them.
const SEGMENT_BYTES: u64 = 32 << 10;
/// Who has not looked at the clock for so long listens before it judges.
const SLEPT_US_MIN: u64 = 450_000;

/// Why a process does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] WalError),
}

/// A host of one member.
pub struct Machine {
    pub id: ServerId,
    pub disk: MemoryDisk,
    pub clock: Clock,
    /// Processes that have run here, this one included.
    pub incarnation: u64,
    pub(super) process: Option<Process>,
    /// What has come while the process does not run.
    pub(super) backlog: Option<VecDeque<Input>>,
    /// How many times longer than planned the disk takes.
    pub disk_slowness: u64,
    /// The disk does not end anything.
    pub disk_stuck: bool,
    /// Whether its disk may be so that a start is refused: damaged, or full.
    pub may_refuse: bool,
    /// A byte of its log is not what was written: if it does not start, it is ruined.
    pub rotten: bool,
    /// It cannot start any more, and must not.
    pub ruined: bool,
}

impl Machine {
    pub(super) fn new(id: ServerId) -> Self {
        Self {
            id,
            disk: MemoryDisk::new(),
            clock: Clock::default(),
            incarnation: 0,
            process: None,
            backlog: None,
            disk_slowness: 1,
            disk_stuck: false,
            may_refuse: false,
            rotten: false,
            ruined: false,
        }
    }

    /// Whether a process runs, be it paused.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The process's heart, for whoever wants to know what it thinks.
    #[must_use]
    pub fn sequencer(&self) -> Option<&Sequencer> {
        self.process.as_ref().map(|process| &process.sequencer)
    }

    /// The files of its disk that have a zxid in their names, in the order of these.
    ///
    /// # Panics
    /// Never: a disk in memory can be listed.
    #[must_use]
    pub fn files(&self, zxid_of: fn(&str) -> Option<Zxid>) -> Vec<String> {
        let names = self.disk.list().expect("a disk in memory").into_iter();
        let mut files: Vec<_> = names.filter_map(|name| Some((zxid_of(&name)?, name))).collect();
        files.sort();
        files.into_iter().map(|(_, name)| name).collect()
    }

    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.sequencer().is_some_and(|sequencer| sequencer.node().is_serving())
    }
}

/// A running server.
pub(super) struct Process {
    pub(super) sequencer: Sequencer,
    pub(super) shards: Vec<Shard>,
    pub(super) out: Output,
    pub(super) store: MemoryStore,
    pub(super) pool: SegmentPool<MemoryDisk>,
    /// Absent while the log is cut or replaced.
    pub(super) writer: Option<Writer<MemoryDisk>>,
    pub(super) work: DiskWork,
    /// When the commit of the log was begun that is under way.
    pub(super) commit_since_us: u64,
    /// Whether it has led since the log was last written, though it may not lead any more: who
    /// wakes from a pause proposes what it finds, and finds that nobody follows it, in one turn.
    pub(super) led: bool,
    pub(super) doors: Doors,
    /// The quorum port: whether it is open, and its connections.
    pub(super) listening: bool,
    pub(super) links: BTreeMap<Link, Inlet>,
    /// How far learners that lag have walked through the log.
    pub(super) cursors: BTreeMap<Link, LogCursor<MemoryDisk, MemoryDisk>>,
    /// The election port: the connection to each peer, what was last said there, and whether the
    /// peer was last found to be up.
    pub(super) election: BTreeMap<ServerId, ElectionPeer>,
    /// When the next tick is due, in the world's time.
    pub(super) tick_at_us: u64,
    pub(super) looked_at_us: u64,
    /// The last time that it looked at the clock, and had not slept.
    judged_at_us: u64,
    pub(super) touched_at_us: u64,
    /// Since the last snapshot was begun.
    pub(super) txns_since_snapshot: u64,
    /// The first root that a learner was sent, for a mutant.
    pub(super) sent_root: Option<Root>,
    /// The epoch in which it served when it was last looked at.
    pub(super) reign: Option<Epoch>,
    /// What it had shown then.
    pub(super) shown: Zxid,
}

/// One peer on the election port.
#[derive(Default)]
pub(super) struct ElectionPeer {
    pub(super) connection: Option<ConnectionId>,
    pub(super) last: Option<Vec<u8>>,
    pub(super) down: bool,
    pub(super) retrying: bool,
}

impl Process {
    /// Recovers what the disk holds. The sequencer is not started yet.
    pub(super) fn recover(
        machine: &Machine,
        plan: &Plan,
        nonce: u64,
        world_us: u64,
    ) -> Result<(Self, Recovered), StartError> {
        let disk = &machine.disk;
        let mut restore = Restore::new(disk.clone(), DigestMismatch::Stop);
        let options = Options { synced: true, nonce };
        let found = recovery::recover(disk, disk, options, &mut restore)?;
        let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES)?;
        let store = Store::new(Parts {
            data: disk.clone(),
            log: disk.clone(),
            pool: pool.clone(),
            snapshots: disk.clone(),
            manifest: found.manifest,
            synced: true,
            on_mismatch: DigestMismatch::Stop,
            nonce_seed: nonce ^ 0xabcd,
        });
        let writer = store.open_writer(&found.log)?;
        let settings = member_settings(machine.id, plan);
        let recovered = store.recovered(&found.log, settings.history)?;
        let now = machine.clock.now(world_us);
        let sequencer = Sequencer::member(
            sequencer_settings(machine.id, plan),
            settings,
            recovered.clone(),
            restore.into_tree(),
            now,
        );
        let root = sequencer.committed().clone();
        let of_shard = |id| Shard::new(id, shard_settings(plan), root.clone(), false);
        let process = Self {
            shards: (0..plan.shards).map(of_shard).collect(),
            sequencer,
            out: Output::default(),
            store,
            pool,
            writer: Some(writer),
            work: DiskWork::default(),
            commit_since_us: u64::MAX,
            led: false,
            doors: Doors::default(),
            listening: false,
            links: BTreeMap::new(),
            cursors: BTreeMap::new(),
            election: BTreeMap::new(),
            tick_at_us: u64::MAX,
            looked_at_us: world_us,
            judged_at_us: world_us,
            touched_at_us: world_us,
            txns_since_snapshot: 0,
            sent_root: None,
            reign: None,
            shown: Zxid(-1),
        };
        Ok((process, recovered))
    }

    pub(super) fn leads(&self) -> bool {
        self.sequencer.node().role() == Role::Leading
    }

    /// A leader whose disk stands still must not lead on.
    ///
    /// # Panics
    /// When it does.
    pub(super) fn look_for_stuck_disk(&mut self, id: ServerId, now_us: u64, stuck_us: u64) {
        let node = self.sequencer.node();
        let leads = node.is_serving() && node.leader() == Some(id);
        let since_us = self.commit_since_us;
        assert!(
            !leads || self.judged_at_us < since_us.saturating_add(stuck_us),
            "{id} leads, and its disk has stood still since {since_us} us"
        );
        if now_us < self.looked_at_us + SLEPT_US_MIN {
            self.judged_at_us = now_us;
        }
    }
}

fn member_settings(id: ServerId, plan: &Plan) -> Settings {
    let voters = plan.members().filter(|id| plan.is_voter(*id)).collect();
    let observers = plan.members().filter(|id| !plan.is_voter(*id)).collect();
    let Plan { tick_ms, init_limit, sync_limit, .. } = *plan;
    Settings {
        id,
        membership: Membership::new(voters, observers, Arc::from("version=0"), Zxid::ZERO),
        timeouts: Timeouts { tick_ms, init_limit, sync_limit, ..Timeouts::default() },
        history: HistoryLimits { txns_max: plan.history_txns, bytes_max: 1 << 20 },
        resign_at_counter: plan.resign_at_counter,
    }
}

fn rules() -> Rules {
    Rules { extended_types: true, ..Rules::default() }
}

fn sequencer_settings(server: ServerId, plan: &Plan) -> sequencer::Settings {
    sequencer::Settings {
        server,
        shards: plan.shards,
        tick_ms: plan.tick_ms as i32,
        rules: rules(),
        digests: true,
        cleaner: CleanerSettings { check_interval_ms: 10_000, per_minute_max: 10_000 },
        leader_serves: true,
        leaves_on_mismatch: true,
    }
}

fn shard_settings(plan: &Plan) -> shard::Settings {
    shard::Settings {
        rules: rules(),
        session_timeout_ms_min: 2 * plan.tick_ms as i32,
        session_timeout_ms_max: 20 * plan.tick_ms as i32,
        frame_bytes_max: frame::JUTE_MAXBUFFER_DEFAULT,
        super_digest: None,
        enforced_schemes: Vec::new(),
        eager_acl_check: false,
        secret: SessionSecret::new([7; SessionSecret::LEN]),
        output_bytes_max: 16 << 20,
        slow_request_us: None,
        outstanding_requests_max: 1_000,
    }
}
