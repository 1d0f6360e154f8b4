//! Everything a store does, in any order and interrupted anywhere, as one promise: a start finds
//! the history that was there before the last step or behind it, whole, and no epoch that is older
//! than one that was saved.

use std::collections::BTreeSet;

use menagerie_engine::disk::MemoryDisk;
use menagerie_engine::tree::{Root, Tree};
use menagerie_engine::txn;
use menagerie_replication::Epochs;
use menagerie_wire::txn::Txn;
use menagerie_wire::{Epoch, Zxid};
use proptest::prelude::*;
use proptest::sample::Index;

use super::testing::{self, Server, holds};
use super::{HistoryNumber, StoreError};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// A snapshot that is taken and written in one.
    Keep,
    /// A state is handed to housekeeping, which writes it at some later step.
    BeginKeep,
    EndKeep,
    Purge,
    SaveEpochs,
    /// To a transaction of the log, or so far behind it.
    Truncate(Index, u32),
    /// A history that shares this much with ours, and goes on otherwise.
    Install(Index, usize),
}

/// A step, and the write or sync that fails in it, if it has so many; then the power goes.
#[derive(Clone, Debug)]
struct Event {
    step: Step,
    fault: Option<Fault>,
}

#[derive(Clone, Debug)]
struct Fault {
    write: bool,
    after: u64,
    seed: u64,
}

fn event() -> impl Strategy<Value = Event> {
    let step = prop_oneof![
        6 => (1..6usize).prop_map(Step::Append),
        2 => Just(Step::Keep),
        1 => Just(Step::BeginKeep),
        1 => Just(Step::EndKeep),
        2 => Just(Step::Purge),
        1 => Just(Step::SaveEpochs),
        2 => (any::<Index>(), 0..2u32).prop_map(|(at, more)| Step::Truncate(at, more)),
        1 => (any::<Index>(), 1..5usize).prop_map(|(at, more)| Step::Install(at, more)),
    ];
    let fault = (any::<bool>(), 0..14u64, any::<u64>()).prop_map(|(write, after, seed)| Fault {
        write,
        after,
        seed,
    });
    (step, prop::option::weighted(0.3, fault)).prop_map(|(step, fault)| Event { step, fault })
}

/// What a start may find.
#[derive(Clone)]
struct State {
    zxids: Vec<Zxid>,
    epochs: Epochs,
}

struct World {
    disk: MemoryDisk,
    server: Server,
    epochs: Epochs,
    /// Every epoch that was begun: none is begun twice.
    epoch: Epoch,
    late: Option<(Root, HistoryNumber)>,
}

impl World {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let (server, epochs) = (Server::start(&disk), Epochs::default());
        Self { disk, server, epochs, epoch: Epoch(0), late: None }
    }

    fn state(&self) -> State {
        State { zxids: self.server.zxids.clone(), epochs: self.epochs }
    }

    fn happen(mut self, event: &Event) -> Self {
        let before = self.state();
        if matches!(event.step, Step::Append(_)) || event.fault.is_none() {
            self.step(&event.step).expect("nothing fails");
            if let Some(fault) = &event.fault {
                let after = self.state();
                return self.restart(&[after], fault.seed);
            }
            return self;
        }
        let Some(fault) = &event.fault else { return self };
        let disk = self.disk.clone();
        if fault.write {
            disk.fail_write_after(fault.after, libc::EIO);
        } else {
            disk.fail_sync_after(fault.after, libc::EIO);
        }
        let goal = self.goal(&event.step);
        match self.step(&event.step) {
            Ok(()) => {
                let after = self.state();
                self.restart(&[after], fault.seed)
            }
            Err(_) => self.restart(&[before, goal], fault.seed),
        }
    }

    fn restart(self, allowed: &[State], seed: u64) -> Self {
        let mut seed = seed;
        let disk = self.disk.crash(&mut |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        });
        let mut server = Server::try_start(&disk, Vec::new()).expect("a crash is no damage");
        let found = allowed.iter().find(|state| {
            holds(&server.tree, &state.zxids) && server.store.epochs() == state.epochs
        });
        let found = found.expect("it is what was there before the step, or behind it").clone();
        server.zxids = found.zxids;
        Self { disk, server, epochs: found.epochs, epoch: self.epoch, late: None }
    }

    /// What a step that changes the state would make of it.
    fn goal(&self, step: &Step) -> State {
        let State { mut zxids, mut epochs } = self.state();
        match step {
            Step::SaveEpochs => epochs = self.next_epochs(),
            Step::Truncate(at, more) => {
                let to = self.cut(*at, *more);
                zxids.retain(|zxid| *zxid <= to);
            }
            Step::Install(at, more) => zxids = self.leaders(*at, *more),
            _ => {}
        }
        State { zxids, epochs }
    }

    fn next_epochs(&self) -> Epochs {
        let Epochs { accepted, current } = self.epochs;
        Epochs {
            accepted: accepted.next(),
            current: if current.0 % 3 == 0 { accepted } else { current },
        }
    }

    fn cut(&self, at: Index, more: u32) -> Zxid {
        let zxids = &self.server.zxids;
        let at = at.index(zxids.len() + 1);
        let zxid = at.checked_sub(1).map_or(Zxid::ZERO, |at| zxids[at]);
        // Never into the next transaction of the same epoch.
        let is_last = zxids.get(at).is_none_or(|next| next.epoch() != zxid.epoch());
        if is_last { Zxid(zxid.0 + i64::from(more)) } else { zxid }
    }

    fn leaders(&self, at: Index, more: usize) -> Vec<Zxid> {
        let zxids = &self.server.zxids;
        let mut history = zxids[..at.index(zxids.len() + 1)].to_vec();
        let first = Zxid::new(self.epoch.next(), 1);
        history.extend((0..more as i64).map(|i| Zxid(first.0 + i)));
        history
    }

    fn step(&mut self, step: &Step) -> Result<(), StoreError> {
        match *step {
            Step::Append(count) => self.server.append(count),
            Step::Keep => self.server.try_keep_snapshot()?,
            Step::BeginKeep => {
                self.server.writer.roll();
                self.late = Some((self.server.tree.seal(), self.server.store.history()));
            }
            Step::EndKeep => {
                let Some((root, history)) = self.late.take() else { return Ok(()) };
                match Server::keep(&self.server.store, &root, history) {
                    Err(StoreError::Superseded) => {}
                    kept => kept?,
                }
            }
            Step::Purge => self.server.try_purge_to_newest()?,
            Step::SaveEpochs => {
                let epochs = self.next_epochs();
                self.server.store.save_epochs(epochs)?;
                self.epochs = epochs;
            }
            Step::Truncate(at, more) => self.truncate(self.cut(at, more))?,
            Step::Install(at, more) => self.install(self.leaders(at, more))?,
        }
        Ok(())
    }

    fn truncate(&mut self, to: Zxid) -> Result<(), StoreError> {
        let cut = match self.server.store.truncate(to, true) {
            Err(StoreError::OutOfReach(_)) => return Ok(()),
            cut => cut?,
        };
        self.server.zxids.retain(|zxid| *zxid <= to);
        let last = self.server.zxids.last().copied().unwrap_or(Zxid::ZERO);
        assert_eq!(cut.last_logged, last);
        self.server.tree = cut.tree.expect("it was asked for");
        assert!(holds(&self.server.tree, &self.server.zxids));
        self.server.writer = self.server.store.open_writer(&cut.log)?;
        self.begin_epoch();
        Ok(())
    }

    fn install(&mut self, history: Vec<Zxid>) -> Result<(), StoreError> {
        self.epoch = self.epoch.next();
        let mut tree = Tree::new();
        for zxid in &history {
            txn::apply(&mut tree, &Txn::decode(&testing::txn(*zxid)).unwrap().0);
        }
        let end = self.server.store.install(&tree.seal())?;
        (self.server.zxids, self.server.tree) = (history, tree);
        self.server.writer = self.server.store.open_writer(&end)?;
        self.begin_epoch();
        Ok(())
    }

    fn begin_epoch(&mut self) {
        self.epoch = self.epoch.next();
        self.server.begin_epoch(self.epoch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_order_and_no_interruption_breaks_the_promise(
        events in prop::collection::vec(event(), 1..40)
    ) {
        let mut world = World::new();
        for event in &events {
            world = world.happen(event);
            let unique: BTreeSet<_> = world.server.zxids.iter().collect();
            assert_eq!(unique.len(), world.server.zxids.len());
        }
        let state = world.state();
        world.restart(&[state], 0);
    }
}
