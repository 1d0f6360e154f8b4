//! How a process begins, hangs and ends.

use std::collections::VecDeque;

use menagerie_engine::disk::MemoryDisk;
use menagerie_wire::ServerId;

use super::machine::{Process, StartError};
use super::network::{Parcel, Place};
use super::script::Crash;
use super::{Happening, Mutant, World};

/// How long a process that could not start waits.
const RETRY_US: u64 = 5_000_000;
/// Changes of a disk within which the power may go out while something is being done.
const CHANGES_MAX: usize = 12;
/// How long it takes at most until a peer notices that a machine has lost power.
const UNNOTICED_US: (u64, u64) = (1_000, 20_000_000);

impl World {
    /// Starts a process where none runs.
    pub fn start(&mut self, id: ServerId) {
        let nonce = self.random.number();
        let (plan, now_us) = (&self.plan, self.now_us);
        let machine = self.machines.get_mut(&id).expect("a member");
        if machine.process.is_some() || machine.ruined {
            return;
        }
        machine.incarnation += 1;
        match Process::recover(machine, plan, nonce, now_us) {
            Ok((process, recovered)) => {
                machine.process = Some(process);
                self.trace.note(now_us, &[id.0 as u64, recovered.last_logged.0 as u64], || {
                    format!("{id} starts at {}, {:?}", recovered.last_logged, recovered.epochs)
                });
                self.observer.on_recovered(id, &recovered);
                let process = self.process(id);
                process.sequencer.start(&mut process.out);
                self.turn(id);
                for peer in self.plan.members().filter(|peer| *peer != id) {
                    if self.machines[&peer].is_up() && self.machines[&id].is_up() {
                        self.call(id, peer);
                    }
                }
            }
            Err(error) => self.refused(id, &error),
        }
    }

    /// A process could not start.
    fn refused(&mut self, id: ServerId, error: &StartError) {
        self.trace.say(self.now_us, || format!("{id} does not start: {error}"));
        let machine = self.machine_mut(id);
        machine.ruined |= machine.rotten;
        if machine.ruined {
            return;
        }
        assert!(machine.may_refuse, "{id} does not start: {error}");
        self.happens_in(RETRY_US, Happening::Start(id));
    }

    /// A disk has failed: the process ends.
    pub(super) fn fail(&mut self, id: ServerId, error: &StartError) {
        self.trace.say(self.now_us, || format!("{id} ends: {error}"));
        self.crash(id, Crash::Kill);
        self.happens_in(RETRY_US, Happening::Start(id));
    }

    /// A process ends without a word. It starts again when somebody says so.
    pub fn crash(&mut self, id: ServerId, crash: Crash) {
        let machine = self.machines.get_mut(&id).expect("a member");
        let Some(mut process) = machine.process.take() else { return };
        machine.incarnation += 1;
        machine.backlog = None;
        self.trace.note(self.now_us, &[id.0 as u64, crash as u64], || format!("{id} {crash:?}"));
        let random = &mut self.random;
        let mut choose = |below: u64| random.below(below as usize) as u64;
        let disk = machine.disk.clone();
        machine.disk = match crash {
            _ if self.plan.mutant == Some(Mutant::LostDisk) => MemoryDisk::new(),
            Crash::Kill => disk.killed(),
            Crash::PowerLoss => {
                disk.cut_power_after(choose(CHANGES_MAX as u64));
                process.hurry();
                disk.crash(&mut choose)
            }
            Crash::LoseUnsynced => disk.crash(&mut |_| 0),
            Crash::KeepUnsynced => disk.crash(&mut |below| below - 1),
        };
        drop(process);
        let place = Place::Node(id);
        let dark = crash != Crash::Kill && self.random.chance(50);
        for connection in self.network.of(place) {
            let random = &mut self.random;
            self.network.vanish(connection, place, |below| random.below(below));
            if dark {
                self.extra_delay_us = self.random_us(UNNOTICED_US);
            }
            self.send(connection, place, Parcel::End);
        }
    }

    /// A process hangs: nothing reaches it, and it does nothing, for so long.
    pub fn pause(&mut self, id: ServerId, us: u64) {
        let machine = self.machine_mut(id);
        if machine.process.is_some() && machine.backlog.is_none() {
            machine.backlog = Some(VecDeque::new());
            self.happens_in(us, Happening::Resume(id));
        }
    }

    pub(super) fn resume(&mut self, id: ServerId) {
        let Some(backlog) = self.machine_mut(id).backlog.take() else { return };
        self.trace.note(self.now_us, &[id.0 as u64], || format!("{id} goes on"));
        for input in backlog {
            if !self.take(id, input) {
                return;
            }
        }
        self.turn(id);
    }
}
