//! What is done to an ensemble while clients work: faults by class, drawn from a seed.
//!
//! A seed repeats the faults and their order; whom they meet depends on who leads at that moment.
//! After each fault the nemesis heals everything, and then either waits until all servers are in
//! sync or goes on at once with servers that still catch up. More than the durability of ZAB allows
//! is never asked: a disk is emptied only when all others have what it had, and only one.

use super::links::Link;
use super::{Ensemble, Network, Plan};
use crate::random::Random;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a partition, a pause or a delay lasts: shorter and longer than servers wait.
const FAULT_MS: std::ops::Range<usize> = 300..5_000;
/// A killed server stays away for at most so long.
const AWAY_MS_MAX: usize = 1_500;
/// One that is killed in its start is killed at most so long after it began.
const START_MS_MAX: usize = 400;
/// Before the next fault, where nobody waits for the servers.
const CALM_MS_MAX: usize = 2_000;
/// Of a link that is slow.
const DELAY_MS: std::ops::Range<usize> = 20..400;

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, and a start on the same data.
    KillLeader,
    KillFollower,
    KillObserver,
    /// All servers at once.
    KillAll,
    /// In the middle of another fault, some server.
    KillMeanwhile,
    /// In the middle of its start, the server that was killed before.
    KillInStart,
    /// SIGTERM, and a start.
    StopLeader,
    /// SIGSTOP, and SIGCONT.
    PauseLeader,
    PauseFollower,
    /// Nothing passes between one server and all others.
    IsolateLeader,
    IsolateFollower,
    /// A minority and a majority.
    Split,
    /// What others say does not reach it.
    DeafLeader,
    DeafFollower,
    /// What it says reaches nobody.
    MuteLeader,
    MuteFollower,
    /// Each voter sees a majority, and no two see the same one.
    Ring,
    /// All links are slow, each by a time of its own.
    Delay,
    /// Connections break and may come back at once.
    Sever,
    /// Links lose packets.
    Loss,
    /// A server loses its data.
    Wipe,
    /// A server has no room left on its disk.
    FullDisk,
    /// All servers lose their data. No ensemble survives that: it shows that checkers look.
    LoseEverything,
}

impl Fault {
    pub const KILLS: [Self; 7] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillObserver,
        Self::KillAll,
        Self::StopLeader,
        Self::KillMeanwhile,
        Self::KillInStart,
    ];
    pub const PAUSES: [Self; 2] = [Self::PauseLeader, Self::PauseFollower];
    pub const PARTITIONS: [Self; 8] = [
        Self::IsolateLeader,
        Self::IsolateFollower,
        Self::Split,
        Self::DeafLeader,
        Self::DeafFollower,
        Self::MuteLeader,
        Self::MuteFollower,
        Self::Ring,
    ];
    pub const DELAYS: [Self; 3] = [Self::Delay, Self::Sever, Self::Loss];

    /// Whether it can be done on such a network.
    const fn is_possible(self, network: Network) -> bool {
        match self {
            Self::Delay | Self::Sever => matches!(network, Network::Relayed),
            Self::Loss => matches!(network, Network::Namespaces),
            // They come on top of others.
            Self::KillMeanwhile | Self::KillInStart => false,
            _ => true,
        }
    }
}

/// How many faults of each class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amounts {
    pub kills: usize,
    pub pauses: usize,
    pub partitions: usize,
    pub delays: usize,
    pub wipes: usize,
    pub full_disks: usize,
}

impl Amounts {
    /// The faults in the order in which they will be done.
    #[must_use]
    pub fn schedule(&self, plan: &Plan, random: &mut Random) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut kills = Fault::KILLS.to_vec();
        kills.retain(|fault| fault.is_possible(plan.network));
        kills.retain(|fault| *fault != Fault::KillObserver || !plan.observers.is_empty());
        let mut delays = Fault::DELAYS.to_vec();
        delays.retain(|fault| fault.is_possible(plan.network));
        let classes: [(usize, &[Fault]); 6] = [
            (self.kills, &kills),
            (self.pauses, &Fault::PAUSES),
            (self.partitions, &Fault::PARTITIONS),
            (self.delays, &delays),
            (self.wipes, &[Fault::Wipe]),
            (self.full_disks, &[Fault::FullDisk]),
        ];
        for (amount, class) in classes {
            faults.extend((0..amount).map(|_| *random.pick(class)));
        }
        shuffle(&mut faults, random);
        faults
    }
}

/// Whoever does it.
#[derive(Debug)]
pub struct Nemesis<'e> {
    ensemble: &'e mut Ensemble,
    random: Random,
    pub done: BTreeMap<Fault, u64>,
}

impl<'e> Nemesis<'e> {
    #[must_use]
    pub const fn new(ensemble: &'e mut Ensemble, random: Random) -> Self {
        Self { ensemble, random, done: BTreeMap::new() }
    }

    /// Does one fault and heals it.
    ///
    /// # Errors
    /// When the servers do not come together again, or one of them has ended by itself.
    pub fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let error = |error| format!("after {fault:?}: {error}");
        match fault {
            Fault::KillLeader | Fault::KillFollower | Fault::KillObserver => {
                let victim = self.victim(fault);
                self.ensemble.node(victim).kill();
                self.pass(0..AWAY_MS_MAX);
                self.kill_in_start(victim);
            }
            Fault::KillAll => {
                let ids = self.ensemble.ids();
                ids.iter().for_each(|id| self.ensemble.node(*id).kill());
                let some = *self.random.pick(&ids);
                self.kill_in_start(some);
            }
            Fault::StopLeader => {
                let victim = self.victim(fault);
                self.ensemble.node(victim).stop();
                self.pass(0..AWAY_MS_MAX);
            }
            Fault::PauseLeader | Fault::PauseFollower => {
                let victim = self.victim(fault);
                self.ensemble.node(victim).pause();
                self.suffer();
                self.ensemble.node(victim).go_on();
            }
            Fault::Wipe => self.wipe().map_err(error)?,
            Fault::FullDisk => self.fill_disk(),
            Fault::LoseEverything => {
                let ids = self.ensemble.ids();
                ids.iter().for_each(|id| self.ensemble.node(*id).kill());
                ids.iter().for_each(|id| self.ensemble.node(*id).remove_data());
            }
            Fault::Sever => self.sever(),
            _ => {
                for ((from, to), link) in self.links(fault) {
                    self.ensemble.set_link(from, to, link);
                }
                self.suffer();
            }
        }
        self.count(fault);
        let wait = self.random.chance(50);
        self.heal(wait).map_err(error)?;
        self.pass(0..CALM_MS_MAX);
        Ok(())
    }

    /// Ends every fault. Where `wait` is set, all servers are in sync afterwards.
    ///
    /// # Errors
    /// As [`Self::strike`].
    pub fn heal(&mut self, wait: bool) -> Result<(), String> {
        self.ensemble.heal_links();
        for id in self.ensemble.ids() {
            let node = self.ensemble.node(id);
            if !node.has_process() {
                node.start();
            } else if !node.is_running() {
                return Err(format!("a server has ended by itself: {}", node.state()));
            }
        }
        if wait { self.ensemble.come_together() } else { Ok(()) }
    }

    /// Lets a fault last, and now and then kills a server under it.
    fn suffer(&mut self) {
        self.pass(FAULT_MS);
        if self.random.chance(20) {
            let victim = *self.random.pick(&self.ensemble.ids());
            self.ensemble.node(victim).kill();
            self.pass(0..AWAY_MS_MAX);
            self.ensemble.node(victim).start();
            self.count(Fault::KillMeanwhile);
            self.pass(FAULT_MS);
        }
    }

    /// A server that was killed is now and then killed again before it serves.
    fn kill_in_start(&mut self, victim: u64) {
        while self.random.chance(25) {
            self.ensemble.node(victim).start();
            self.pass(0..START_MS_MAX);
            self.ensemble.node(victim).kill();
            self.count(Fault::KillInStart);
        }
    }

    fn count(&mut self, fault: Fault) {
        *self.done.entry(fault).or_default() += 1;
    }

    /// One server loses its data, when all others have what it had, and comes back when they serve
    /// without it: an empty server that helps to elect would forget what it had promised.
    fn wipe(&mut self) -> Result<(), String> {
        self.heal(true)?;
        let victim = *self.random.pick(&self.ensemble.ids());
        self.ensemble.node(victim).kill();
        self.ensemble.come_together()?;
        self.ensemble.node(victim).remove_data();
        self.ensemble.node(victim).start();
        self.ensemble.come_together()
    }

    /// A server that finds no room may end by itself: it comes back when there is room.
    fn fill_disk(&mut self) {
        assert!(!self.ensemble.disks.is_empty(), "the machine's own disk is not filled up");
        let victim = *self.random.pick(&self.ensemble.ids());
        let node = self.ensemble.node(victim);
        node.fill_disk().expect("a small disk can be filled up");
        self.pass(FAULT_MS);
        let node = self.ensemble.node(victim);
        node.free_disk().expect("the filler can be removed");
        if !node.is_running() {
            node.kill();
        }
    }

    fn sever(&mut self) {
        let ids = self.ensemble.ids();
        for (index, &one) in ids.iter().enumerate() {
            for &other in &ids[index + 1..] {
                if self.random.chance(60) {
                    self.ensemble.sever(one, other);
                }
            }
        }
    }

    /// Whom a fault of one server meets.
    fn victim(&mut self, fault: Fault) -> u64 {
        let leader = self.ensemble.leaders().first().copied();
        let voters = self.ensemble.voters();
        let others = |id: &u64| Some(*id) != leader;
        match fault {
            Fault::KillLeader
            | Fault::StopLeader
            | Fault::PauseLeader
            | Fault::IsolateLeader
            | Fault::DeafLeader
            | Fault::MuteLeader => leader.unwrap_or_else(|| *self.random.pick(&voters)),
            Fault::KillObserver => {
                let ids = self.ensemble.ids();
                *self.random.pick(&ids[voters.len()..])
            }
            _ => {
                let followers: Vec<_> = voters.into_iter().filter(others).collect();
                *self.random.pick(&followers)
            }
        }
    }

    /// What a fault of the network does to which directions.
    fn links(&mut self, fault: Fault) -> Vec<((u64, u64), Link)> {
        let (ids, voters) = (self.ensemble.ids(), self.ensemble.voters());
        let pairs: Vec<_> = ids
            .iter()
            .flat_map(|&from| ids.iter().map(move |&to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        if fault == Fault::Loss {
            return pairs.into_iter().map(|pair| (pair, Link::LOSSY)).collect();
        }
        if fault == Fault::Delay {
            let mut delay = || Duration::from_millis(self.random.between(DELAY_MS) as u64);
            return pairs.into_iter().map(|pair| (pair, Link::slow(delay()))).collect();
        }
        let victim =
            if matches!(fault, Fault::Split | Fault::Ring) { 0 } else { self.victim(fault) };
        let mut shuffled = ids;
        shuffle(&mut shuffled, &mut self.random);
        let place = |id| shuffled.iter().position(|other| *other == id);
        let some = self.random.below(shuffled.len() - 1) + 1;
        // In a ring of voters each sees as many neighbours as make a majority with itself.
        let ring_place = |id| voters.iter().position(|other| *other == id);
        let blocked = |(from, to): (u64, u64)| match fault {
            Fault::IsolateLeader | Fault::IsolateFollower => from == victim || to == victim,
            Fault::DeafLeader | Fault::DeafFollower => to == victim,
            Fault::MuteLeader | Fault::MuteFollower => from == victim,
            Fault::Split => (place(from) < Some(some)) != (place(to) < Some(some)),
            Fault::Ring => match (ring_place(from), ring_place(to)) {
                (Some(from), Some(to)) => !sees(from, to, voters.len()),
                _ => false,
            },
            _ => false,
        };
        pairs.into_iter().filter(|pair| blocked(*pair)).map(|pair| (pair, Link::BLOCKED)).collect()
    }

    /// The moments of faults are the input of a run: they follow no event.
    fn pass(&mut self, ms: std::ops::Range<usize>) {
        std::thread::sleep(Duration::from_millis(self.random.between(ms) as u64));
    }
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for index in (1..items.len()).rev() {
        items.swap(index, random.below(index + 1));
    }
}

/// Whether two voters of a ring see each other. A ring of three is a line: the first and the last
/// do not.
fn sees(one: usize, other: usize, voters: usize) -> bool {
    let distance = one.abs_diff(other);
    if voters == 3 { distance <= 1 } else { distance.min(voters - distance) <= voters / 4 }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::node::Flavor;

    #[test]
    fn a_seed_repeats_the_schedule_and_the_amounts_are_kept() {
        let amounts =
            Amounts { kills: 20, pauses: 3, partitions: 10, delays: 3, ..Default::default() };
        let plan = Plan::new(Flavor::Apache, 3, 0);
        let schedule = amounts.schedule(&plan, &mut Random::new(5));
        assert_eq!(schedule, amounts.schedule(&plan, &mut Random::new(5)));
        assert_eq!(schedule.len(), 36);
        assert_eq!(schedule.iter().filter(|fault| Fault::KILLS.contains(fault)).count(), 20);
        assert!(!schedule.contains(&Fault::KillObserver), "there is none");
        assert!(!schedule.contains(&Fault::Loss), "relays have no packets");
    }

    #[test]
    fn every_voter_of_a_ring_sees_a_majority_and_no_two_the_same() {
        for voters in [3, 5] {
            let seen = |one| (0..voters).filter(|other| sees(one, *other, voters)).collect();
            let seen: Vec<Vec<usize>> = (0..voters).map(seen).collect();
            assert!(seen.iter().all(|seen| seen.len() > voters / 2), "{seen:?}");
            assert!((1..voters).all(|one| !seen[..one].contains(&seen[one])), "{seen:?}");
        }
    }
}
