//! What a script can do to a world beside letting time pass: lie in wait for packets, break
//! things, and wait for what it hopes for.

use menagerie_replication::Packet;
use menagerie_wire::ServerId;

use super::World;
use super::network::Place;

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The machine lives on: all that was written is there.
    Kill,
    /// Of what was written and not synced any part is there.
    PowerLoss,
    /// Of what was written and not synced nothing is there.
    LoseUnsynced,
    /// All that was written is there, and durable.
    KeepUnsynced,
}

/// What is done about a packet that somebody lay in wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection breaks instead of carrying it.
    Lose,
    /// It, and what follows it, comes so much later.
    DelayUs(u64),
    /// Its sender dies right behind it.
    CrashSender(Crash),
    /// Its receiver dies before it comes.
    CrashReceiver(Crash),
    /// Its sender hangs right behind it, for so long.
    PauseSenderUs(u64),
}

/// A packet that somebody waits for: from whom, to whom, which.
type Wanted = Box<dyn Fn(ServerId, ServerId, &Packet) -> bool>;

/// Somebody who lies in wait, once.
pub(super) struct Ambush {
    wanted: Wanted,
    action: Action,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Lose,
    Then(Action),
}

impl World {
    /// Does `action` to the next packet that is wanted.
    pub fn when_sent(
        &mut self,
        wanted: impl Fn(ServerId, ServerId, &Packet) -> bool + 'static,
        action: Action,
    ) {
        self.ambushes.push(Ambush { wanted: Box::new(wanted), action });
    }

    /// What is sent next, and what follows it on its connection, comes so much later.
    pub const fn delay_next_ms(&mut self, ms: u64) {
        self.extra_delay_us = ms * 1000;
    }

    /// Ambushes that nothing has walked into yet.
    #[must_use]
    pub const fn waiting_ambushes(&self) -> usize {
        self.ambushes.len()
    }

    pub(super) fn judge_packet(&mut self, id: ServerId, to: ServerId, packet: &Packet) -> Verdict {
        let at = self.ambushes.iter().position(|ambush| (ambush.wanted)(id, to, packet));
        let Some(at) = at else { return Verdict::Pass };
        let Ambush { action, .. } = self.ambushes.remove(at);
        self.trace.say(self.now_us, || format!("{action:?} for {id} → {to} {packet:?}"));
        match action {
            Action::Lose => Verdict::Lose,
            Action::DelayUs(us) => {
                self.extra_delay_us = us;
                Verdict::Pass
            }
            action => Verdict::Then(action),
        }
    }

    /// A packet has left. False when its sender is gone.
    pub(super) fn after_sent(&mut self, id: ServerId, to: ServerId, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Then(Action::CrashSender(crash)) => self.crash(id, crash),
            Verdict::Then(Action::CrashReceiver(crash)) => self.crash(to, crash),
            Verdict::Then(Action::PauseSenderUs(us)) => self.pause(id, us),
            _ => {}
        }
        self.machines[&id].is_up()
    }

    /// Lets time pass until something is so, or `limit_ms` have passed; whether it is.
    pub fn wait_for(&mut self, limit_ms: u64, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let end_us = self.now_us + limit_ms * 1000;
        while !is_so(self) {
            if self.now_us >= end_us || !self.step() {
                return is_so(self);
            }
        }
        true
    }

    /// Lets time pass.
    pub fn pass_ms(&mut self, ms: u64) {
        self.run_until(self.now_us + ms * 1000);
    }

    /// The member that leads and serves; the one of the newest epoch, if some do not know yet.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        let reigning = |id: &ServerId| {
            let node = self.machines[id].sequencer()?.node();
            (node.is_serving() && node.leader() == Some(*id)).then(|| node.epoch())
        };
        let ids = self.machines.keys();
        ids.filter_map(|id| Some((reigning(id)?, *id))).max().map(|(_, id)| id)
    }

    /// Whether every member serves, under one leader.
    #[must_use]
    pub fn all_serve(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let epoch_of = |id| self.machines[id].sequencer().and_then(|s| s.node().epoch());
        self.machines
            .iter()
            .filter(|(_, machine)| !machine.ruined)
            .all(|(id, machine)| machine.is_serving() && epoch_of(id) == epoch_of(&leader))
    }

    /// Cuts both directions between a member and all others.
    pub fn isolate(&mut self, id: ServerId) {
        for other in self.plan.members().filter(|other| *other != id) {
            self.cut(Place::Node(id), Place::Node(other));
            self.cut(Place::Node(other), Place::Node(id));
        }
    }
}
