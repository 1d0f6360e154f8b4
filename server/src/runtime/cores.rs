//! Which cores there are, who runs on them, and how an executor is started.
//!
//! A role is not a thread. With one or two cores the sequencer, its log and the only shard share
//! one executor, where a message is a push to a run queue and the other core is left to the
//! network and to clients; with more, the sequencer gets the first core and each further core a
//! shard. Cores come from the process's affinity mask, so that containers and `taskset` are obeyed.

use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use glommio::{LocalExecutorBuilder, Placement};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Bytes that an executor registers with its ring for its own file I/O; ours goes elsewhere.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Submission entries of an executor's ring.
const RING_DEPTH: usize = 512;

/// Who runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One executor each; the sequencer is on the first.
    pub executors: Vec<Executor>,
}

/// One executor and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// The core to stay on; `None` leaves that to the kernel.
    pub core: Option<usize>,
    pub sequencer: bool,
    pub shard: bool,
}

/// The cores this process may use.
///
/// # Errors
/// Those of `sched_getaffinity`.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

impl Plan {
    /// Spreads `shards` (by default one per core that the sequencer leaves) over `cores`.
    ///
    /// Executors are bound to cores only where each has one of its own.
    pub fn new(cores: &[usize], shards: Option<usize>) -> Self {
        let count = cores.len().max(1);
        let shards = shards.unwrap_or(if count <= 2 { 1 } else { count - 1 }).max(1);
        let shared = shards >= count || count <= 2;
        let executors = if shared { shards } else { shards + 1 };
        let pin = count > 2 && executors <= count;
        let executor = |index: usize| Executor {
            core: if pin { cores.get(index).copied() } else { None },
            sequencer: index == 0,
            shard: shared || index > 0,
        };
        Self { executors: (0..executors).map(executor).collect() }
    }

    pub fn shards(&self) -> usize {
        self.executors.iter().filter(|executor| executor.shard).count()
    }
}

/// Starts an executor in a thread of its own and runs `main` on it to its end. Returns when the
/// executor is there, so that a core which cannot be had stops the start.
///
/// # Errors
/// When the thread or its executor cannot be made.
pub fn start<F>(
    name: &str,
    core: Option<usize>,
    main: impl FnOnce() -> F + Send + 'static,
) -> io::Result<thread::JoinHandle<()>>
where
    F: Future<Output = ()> + 'static,
{
    let (made, making) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(core) = core {
            stay_on(core);
        }
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .preempt_timer(Duration::from_millis(10))
            .make();
        let (executor, answer) = match executor {
            Ok(executor) => (Some(executor), Ok(())),
            Err(error) => (None, Err(io::Error::from(error))),
        };
        let asked = made.send(answer).is_ok();
        if let Some(executor) = executor.filter(|_| asked) {
            executor.run(main());
        }
    })?;
    making.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")))?;
    Ok(thread)
}

fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!("cannot stay on core {core}: {error}; the kernel will choose");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cores: &[usize], shards: Option<usize>, expect: (usize, usize, bool)) {
        let plan = Plan::new(cores, shards);
        let pinned = plan.executors[0].core.is_some();
        assert_eq!((plan.executors.len(), plan.shards(), pinned), expect, "{cores:?} {shards:?}");
        assert_eq!(plan.executors.iter().filter(|e| e.sequencer).count(), 1);
    }

    #[test]
    fn roles_share_an_executor_on_one_and_two_cores_and_spread_on_more() {
        check(&[0], None, (1, 1, false));
        check(&[0, 1], None, (1, 1, false));
        check(&[0, 1], Some(2), (2, 2, false));
        check(&[0, 1, 2, 3], None, (4, 3, true));
        check(&[4, 5, 6, 7], Some(1), (2, 1, true));
        check(&[0, 1, 2, 3], Some(8), (8, 8, false));
    }
}
