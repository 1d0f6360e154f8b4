//! What the world suffers by seed. Each seed draws its own kinds of fault, so that rare ones get
//! worlds in which nothing else hides them.

use std::collections::BTreeMap;

use menagerie_wire::ServerId;

use super::network::Place;
use super::script::Crash;
use super::{Happening, World};

const MS: u64 = 1_000;

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
    /// A connection ends.
    Break,
    /// A process hangs for a while.
    Pause,
    /// A disk is slow for a while.
    SlowDisk,
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
    const ALL: [Self; 16] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Blackout,
        Self::OneWay,
        Self::Isolate,
        Self::Partition,
        Self::ClientsCut,
        Self::Mend,
        Self::Break,
        Self::Pause,
        Self::SlowDisk,
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
    over: bool,
}

impl World {
    /// Faults begin.
    pub(super) fn begin_to_suffer(&mut self) {
        if self.plan.fault_every_us == 0 {
            return;
        }
        for kind in Fault::ALL {
            if self.random.chance(40) {
                self.suffering.kinds.push(kind);
            }
        }
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
        let id = *self.random.pick(&ids);
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
                let us = self.random_us((100 * MS, 15_000 * MS));
                self.pause(id, us);
            }
            Fault::SlowDisk
            | Fault::WriteFails
            | Fault::SyncFails
            | Fault::FullDisk
            | Fault::WallClock
            | Fault::Drift => self.machine_suffers(fault, id),
            fault => self.network_suffers(fault, id, other),
        }
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
                let connections = self.network.of(here);
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
        let slowness = *self.random.pick(&[10, 100, 1000]);
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
