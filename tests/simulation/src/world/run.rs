//! The life of a world by seed: it suffers, it is healed, it has to recover, and what its clients
//! saw is judged.

use std::collections::BTreeMap;

use menagerie_engine::tree::Session;
use menagerie_wire::SessionId;

use super::workload::KEYS;
use super::{Client, Fault, Plan, World};
use crate::checkers::{Settings, UNDECIDED, Violation, check_history};
use crate::history::{HARNESS, History, Moment, Request};

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub simulated_us: u64,
    pub hash: u64,
    pub steps: u64,
    pub reigns: usize,
    pub transactions: usize,
    pub moments: usize,
    pub faults: BTreeMap<Fault, u64>,
    /// Questions about what clients saw that no checker could answer in time.
    pub undecided: usize,
    /// What clients must not have seen.
    pub violations: Vec<String>,
}

/// Lives through the world of `plan`.
///
/// # Panics
/// When a member breaks a promise, or the ensemble does not recover.
#[must_use]
pub fn run(plan: Plan, verbose: bool) -> Report {
    let suffer_us = plan.suffer_us;
    let mut world = World::new(plan, verbose);
    world.run_until(suffer_us);
    world.recover();
    world.report()
}

impl World {
    /// All faults end; the ensemble must come to serve everywhere, and take a write.
    ///
    /// # Panics
    /// When it does not.
    pub fn recover(&mut self) {
        self.heal();
        self.record(HARNESS, Moment::Healed);
        let patience_ms = self.patience_ms();
        // Clients that leave their servers again and again are never connected all at once.
        let mut unserved: Vec<u32> = self.clients.keys().copied().collect();
        let served = self.wait_for(patience_ms, |world| {
            unserved.retain(|client| world.client(*client).node().is_none());
            world.all_serve() && unserved.is_empty()
        });
        assert!(served, "not healed after {patience_ms} ms: {}", self.standing());
        let before = self.observer.last_committed();
        // Those who are here may want to read only; a new session is a transaction.
        self.add_client(None);
        let commits = self.wait_for(patience_ms, |world| world.observer.last_committed() > before);
        assert!(commits, "no commit: {}", self.standing());
        self.rest();
    }

    /// Nobody writes any more, and everything is read everywhere.
    fn rest(&mut self) {
        self.resting = true;
        self.wait_for(10_000, |world| world.clients().all(|client| client.asked_count() == 0));
        self.outlast_sessions();
        self.record(HARNESS, Moment::Finale);
        let paths: Vec<String> = (0..KEYS).map(|key| format!("/k{key}")).collect();
        let sound = self.machines.values().filter(|machine| !machine.ruined);
        for id in sound.map(|machine| machine.id).collect::<Vec<_>>() {
            let reader = self.add_client(Some(id));
            let open = self.wait_for(60_000, |world| world.client(reader).node().is_some());
            assert!(open, "{id} takes no client: {}", self.standing());
            self.ask(reader, Request::Sync { path: "/".to_owned() });
            for path in &paths {
                self.ask(reader, Request::GetData { path: path.clone(), watch: false });
                self.ask(reader, Request::GetChildren { path: path.clone(), watch: false });
            }
            let answered = self.wait_for(60_000, |world| world.client(reader).asked_count() == 0);
            assert!(answered, "{id} does not answer: {}", self.standing());
        }
    }

    /// Sessions whose clients are gone end, those whose clients are there do not.
    fn outlast_sessions(&mut self) {
        let patience_ms = self.patience_ms();
        let ended = self.wait_for(patience_ms, |world| world.forgotten_sessions().is_empty());
        let left = self.forgotten_sessions();
        assert!(ended, "{left:?} have no clients and live on: {}", self.standing());
        let standing = |world: &Self| {
            let expired: u64 = world.clients().map(Client::expired).sum();
            (expired, world.observer.reign_count())
        };
        // A closeSession that was held up while its client came back may end the session yet.
        let timeout_ms = self.plan.session_timeout_ms as u64;
        self.pass_ms(timeout_ms);
        let (expired, reigns) = standing(self);
        self.pass_ms(2 * timeout_ms);
        let (expired_now, reigns_now) = standing(self);
        // A client may need longer than a short session lives to find out who serves now, and what
        // it says may take as long to the leader.
        let is_heard = timeout_ms > self.plan.touch_ms_max();
        if is_heard && reigns_now == reigns {
            assert!(expired_now == expired, "sessions expire whose clients are there");
        }
    }

    /// Sessions of the leader's tree that no client speaks for.
    fn forgotten_sessions(&self) -> Vec<SessionId> {
        let Some(leader) = self.leader() else { return Vec::new() };
        let Some(sequencer) = self.machines[&leader].sequencer() else { return Vec::new() };
        let open = sequencer.committed().view().sessions().map(Session::id);
        open.filter(|id| self.clients().all(|client| client.session() != *id)).collect()
    }

    /// What clients may expect of such a world.
    const fn settings(&self) -> Settings {
        let Plan { tick_ms, sync_limit, .. } = self.plan;
        let touch_ms_max = self.plan.touch_ms_max();
        let patience_ms = self.patience_ms();
        Settings {
            recovery_ms_max: patience_ms,
            reply_ms_max: patience_ms,
            touch_ms_max: match self.plan.fault_every_us {
                0 => touch_ms_max,
                // A learner that is cut off serves reads for so long, and a process may hang.
                _ => (sync_limit as u64 + 2) * tick_ms + 30_000,
            },
            expiry_ms_max: patience_ms,
            exact_zxids: true,
            told_expiry_stands: true,
        }
    }

    /// How long the ensemble may take to recover.
    const fn patience_ms(&self) -> u64 {
        60_000 + 60 * self.plan.tick_ms
    }

    /// Who is what, for a message.
    #[must_use]
    pub fn standing(&self) -> String {
        let one = |machine: &super::Machine| {
            let node = machine.sequencer().map(|sequencer| {
                let node = sequencer.node();
                (node.role(), node.is_serving(), node.leader(), node.epoch(), node.last_logged())
            });
            format!("{}: {node:?}; ", machine.id)
        };
        self.machines.values().map(one).collect()
    }

    /// What became of it.
    ///
    /// # Panics
    /// When what clients recorded is no history.
    #[must_use]
    pub fn report(mut self) -> Report {
        let records = std::mem::take(&mut self.records);
        let moments = records.len();
        let history = History::of(records).expect("clients record what they do");
        let (undecided, violations): (Vec<_>, Vec<_>) = check_history(&history, &self.settings())
            .into_iter()
            .partition(|violation| violation.checker == UNDECIDED);
        let tell = |violation: &Violation| {
            let excerpt = violation.excerpt(&history).join("\n    ");
            format!("{violation}\n    {excerpt}")
        };
        Report {
            seed: self.plan.seed,
            simulated_us: self.now_us,
            hash: self.trace.hash(),
            steps: self.trace.steps(),
            reigns: self.observer.reign_count(),
            transactions: self.observer.committed_count(),
            moments,
            faults: self.faults().clone(),
            undecided: undecided.len(),
            violations: violations.iter().map(tell).collect(),
        }
    }
}
