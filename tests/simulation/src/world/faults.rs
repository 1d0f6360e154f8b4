//! What the world suffers by seed. Each seed draws its own kinds of fault, so that rare ones get
//! worlds in which nothing else hides them.

use std::collections::BTreeMap;

use menagerie_engine::disk::{Access, BLOCK_BYTES, Disk as _, DiskFile as _};
use menagerie_engine::wal::segment::{FIRST_BATCH_AT, zxid_of_log_file};
use menagerie_wire::ServerId;

use super::machine::Machine;
use super::network::{Place, Port};
use super::script::Crash;
use super::{Happening, Plan, World};

const MS: u64 = 1_000;

/// Within the first record of a batch, behind the header of the batch.
const BYTE_OF_A_RECORD: u64 = 80;
/// Segments that the last sync of a log may have been about, or none yet.
const SEGMENTS_AT_THE_END: usize = 2;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed; what it has written is there.
    Kill,
    /// A machine loses power.
    PowerLoss,
    /// All machines lose power at once.
    Blackout,
    /// One direction between two members is cut.
    OneWay,
    /// A member is cut off from all others.
    Isolate,
    /// Two sides that do not reach each other.
    Partition,
    /// Clients do not reach a member, or are not reached.
    ClientsCut,
    /// What is cut is mended.
    Mend,
    /// One direction between two members is cut for a while, and what was held then comes.
    Clog,
    /// A connection ends.
    Break,
    /// A process hangs for a while.
    Pause,
    /// A disk is slow for a while.
    SlowDisk,
    /// A byte of a log rots that was synced long ago, once: its member must not start any more.
    BitRot,
    /// A write of a disk fails.
    WriteFails,
    /// A sync of a disk fails.
    SyncFails,
    /// A disk is full for a while.
    FullDisk,
    /// The wall clock of a machine is set to another time.
    WallClock,
    /// A machine comes back with another monotonic clock.
    Drift,
}

impl Fault {
    const ALL: [Self; 18] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Blackout,
        Self::OneWay,
        Self::Isolate,
        Self::Partition,
        Self::ClientsCut,
        Self::Mend,
        Self::Clog,
        Self::Break,
        Self::Pause,
        Self::SlowDisk,
        Self::BitRot,
        Self::WriteFails,
        Self::SyncFails,
        Self::FullDisk,
        Self::WallClock,
        Self::Drift,
    ];
}

/// What a world suffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Suffering {
    kinds: Vec<Fault>,
    counts: BTreeMap<Fault, u64>,
    /// In how many of a hundred cases it strikes the leader.
    at_leader: usize,
    over: bool,
}

impl World {
    /// Faults begin.
    pub(super) fn begin_to_suffer(&mut self) {
        if self.plan.fault_every_us == 0 {
            return;
        }
        // Few kinds strike more often each: some faults need the same two within a moment.
        let percent = *self.random.pick(&[12, 40, 40]);
        for kind in Fault::ALL {
            if self.random.chance(percent) {
                self.suffering.kinds.push(kind);
            }
        }
        self.suffering.at_leader = *self.random.pick(&[0, 0, 40, 80]);
        self.happens_in(self.plan.fault_every_us, Happening::Fault);
    }

    /// Faults that have happened, by kind.
    #[must_use]
    pub const fn faults(&self) -> &BTreeMap<Fault, u64> {
        &self.suffering.counts
    }

    /// The next fault by seed.
    pub(super) fn suffer(&mut self) {
        if self.suffering.over || self.suffering.kinds.is_empty() {
            return;
        }
        let in_us = self.random_us((1, 2 * self.plan.fault_every_us));
        self.happens_in(in_us, Happening::Fault);
        let fault = *self.random.pick(&self.suffering.kinds);
        *self.suffering.counts.entry(fault).or_default() += 1;
        self.trace.note(self.now_us, &[fault as u64], || format!("fault: {fault:?}"));
        let ids: Vec<ServerId> = self.machines.keys().copied().collect();
        let strikes_leader = self.random.chance(self.suffering.at_leader);
        let leader = self.leader().filter(|_| strikes_leader);
        let id = leader.unwrap_or_else(|| *self.random.pick(&ids));
        let other = *self.random.pick(&ids);
        match fault {
            Fault::Kill => self.crash_for_a_while(id, Crash::Kill),
            Fault::PowerLoss => self.crash_for_a_while(id, Crash::PowerLoss),
            Fault::Blackout => {
                for id in ids {
                    self.crash_for_a_while(id, Crash::PowerLoss);
                }
            }
            Fault::Pause => {
                let us = self.patience_us();
                self.pause(id, us);
            }
            Fault::SlowDisk
            | Fault::WriteFails
            | Fault::SyncFails
            | Fault::FullDisk
            | Fault::WallClock
            | Fault::Drift => self.machine_suffers(fault, id),
            Fault::BitRot => self.rot(id),
            fault => self.network_suffers(fault, id, other),
        }
    }

    /// From nothing to a while in which everybody gives up waiting.
    fn patience_us(&mut self) -> u64 {
        let Plan { tick_ms, sync_limit, .. } = self.plan;
        self.random_us((50 * MS, (2 * u64::from(sync_limit) * tick_ms * MS).min(20_000 * MS)))
    }

    /// A member dies, and of its log a byte is another one when it comes back. It may be one of
    /// what was synced before something else was: a torn end may be anything.
    fn rot(&mut self, id: ServerId) {
        let spared = self.machines.values().any(|machine| machine.rotten);
        if spared || !self.machines[&id].is_up() {
            return;
        }
        self.crash_for_a_while(id, Crash::Kill);
        let blocks = old_blocks(&self.machines[&id]);
        if blocks.is_empty() {
            return;
        }
        let (name, at) = self.random.pick(&blocks);
        self.machines[&id].disk.damage(name, at + BYTE_OF_A_RECORD, 1 << self.random.below(8));
        self.machine_mut(id).rotten = true;
    }

    fn crash_for_a_while(&mut self, id: ServerId, crash: Crash) {
        self.crash(id, crash);
        let long = self.random.chance(20);
        let in_us = self.random_us((20 * MS, if long { 60_000 * MS } else { 3_000 * MS }));
        self.happens_in(in_us, Happening::Start(id));
    }

    fn network_suffers(&mut self, fault: Fault, id: ServerId, other: ServerId) {
        let (here, there) = (Place::Node(id), Place::Node(other));
        match fault {
            Fault::OneWay if id != other => self.cut(here, there),
            Fault::Clog if id != other => {
                let (from, to) = if self.random.chance(50) { (here, there) } else { (there, here) };
                let us = self.patience_us();
                self.cut(from, to);
                self.happens_in(us, Happening::Unclog(from, to));
            }
            Fault::Isolate => self.isolate(id),
            Fault::Partition => {
                let split = id;
                for one in self.plan.members() {
                    for another in self.plan.members() {
                        if (one <= split) != (another <= split) {
                            self.cut(Place::Node(one), Place::Node(another));
                        }
                    }
                }
            }
            Fault::ClientsCut => {
                let (out, back) = (self.random.chance(70), self.random.chance(70));
                for number in self.clients.keys().copied().collect::<Vec<_>>() {
                    if out {
                        self.cut(Place::Client(number), here);
                    }
                    if back {
                        self.cut(here, Place::Client(number));
                    }
                }
            }
            Fault::Mend => self.mend(),
            Fault::Break => {
                let mut connections = self.network.of(here);
                if self.random.chance(50) {
                    connections.retain(|it| self.network.port(*it) == Some(Port::Quorum));
                }
                if !connections.is_empty() {
                    let connection = *self.random.pick(&connections);
                    self.break_connection(connection);
                }
            }
            _ => {}
        }
    }

    fn machine_suffers(&mut self, fault: Fault, id: ServerId) {
        let count = self.random.below(6) as u64;
        let slowness = *self.random.pick(&[10, 100, 1000, 100_000]);
        let us = self.random_us((500 * MS, 20_000 * MS));
        let ms = self.random_us((0, 20_000_000)) as i64 - 10_000_000;
        let ppm = self.random_us((0, 200_000)) as i64 - 100_000;
        let machine = self.machine_mut(id);
        let fails = matches!(fault, Fault::WriteFails | Fault::SyncFails | Fault::FullDisk);
        // It may strike within a start.
        machine.may_refuse |= fails;
        match fault {
            Fault::SlowDisk => {
                machine.disk_slowness = slowness;
                self.happens_in(us, Happening::DiskRecovers(id));
            }
            Fault::WriteFails => machine.disk.fail_write_after(count, libc::EIO),
            Fault::SyncFails => machine.disk.fail_sync_after(count, libc::EIO),
            Fault::FullDisk => {
                machine.disk.limit_bytes(0);
                self.happens_in(us, Happening::DiskRecovers(id));
            }
            Fault::WallClock => machine.clock.ahead_ms += ms,
            Fault::Drift => {
                // Nobody's clock changes its pace while a process looks at it.
                self.crash_for_a_while(id, Crash::Kill);
                self.machine_mut(id).clock.drift_ppm = ppm;
            }
            _ => {}
        }
    }

    pub(super) fn disk_recovers(&mut self, id: ServerId) {
        let machine = self.machine_mut(id);
        machine.disk_slowness = 1;
        machine.may_refuse = false;
        machine.disk.limit_bytes(u64::MAX);
        machine.disk.fail_write_after(u64::MAX, libc::EIO);
        machine.disk.fail_sync_after(u64::MAX, libc::EIO);
    }

    /// All faults end. Whoever is down starts.
    pub fn heal(&mut self) {
        self.suffering.over = true;
        self.mend();
        for id in self.plan.members() {
            self.disk_recovers(id);
            self.resume(id);
            self.happens_in(0, Happening::Start(id));
        }
    }
}

/// The blocks of a log that hold batches which were synced before others: file and offset.
fn old_blocks(machine: &Machine) -> Vec<(String, u64)> {
    let mut names = machine.files(zxid_of_log_file);
    names.truncate(names.len().saturating_sub(SEGMENTS_AT_THE_END));
    let mut blocks = Vec::new();
    for name in names {
        let file = machine.disk.open(&name, Access::Read).expect("a file that was listed");
        let bytes = file.bytes().expect("a disk in memory");
        for at in (FIRST_BATCH_AT..bytes).step_by(BLOCK_BYTES) {
            let mut start = [0; 8];
            let read = file.read_at(&mut start, at).expect("a disk in memory");
            if read > 0 && start != [0; 8] {
                blocks.push((name.clone(), at));
            }
        }
    }
    blocks
}
