//! Which cores there are, who runs on them, and how an executor is started.
//!
//! A role is not a thread. With one or two cores the sequencer, its log and the only shard share
//! one executor, where a message is a push to a run queue and the other core is left to the
//! network and to clients; with more, the sequencer gets the first core and each further core a
//! shard. Cores come from the process's affinity mask, so that containers and `taskset` are obeyed.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use glommio::{LocalExecutorBuilder, Placement};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::clock::sleep;
use super::spawn;

/// Bytes that an executor registers with its ring for its own file I/O; ours goes elsewhere.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Submission entries of an executor's ring.
const RING_DEPTH: usize = 512;
/// How long tasks run before I/O is looked at again.
const PREEMPT_TIME: Duration = Duration::from_millis(10);
/// An executor that has not begun within this time sleeps, and nothing would wake it.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(1);
/// A task that was passed over waits at most so long.
const BEAT_INTERVAL: Duration = Duration::from_millis(20);

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

/// Starts an executor in a thread of its own and runs `main` on it to its end. Returns when it has
/// begun, so that a core which cannot be had stops the start.
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
    start_within(name, core, main, || PREEMPT_TIME, BEGIN_TIME_MAX)
}

/// glommio 0.9 may park an executor that has tasks to run: when its preemption timer fires between
/// arming it and the first look at the tasks, which happens to a thread that has to wait for a
/// processor just then. Only an event wakes it, and before `main` has begun there is none: such an
/// executor is left asleep, and another one gets `main`. Later a [`beat`] bounds the delay.
// glommio: LocalExecutor::run, run_task_queues.
fn start_within<F>(
    name: &str,
    core: Option<usize>,
    mut main: impl FnOnce() -> F + Send + 'static,
    mut preempt_time: impl FnMut() -> Duration,
    begin_time_max: Duration,
) -> io::Result<thread::JoinHandle<()>>
where
    F: Future<Output = ()> + 'static,
{
    loop {
        let to_run = Arc::new(Mutex::new(Some(main)));
        let taken = Arc::clone(&to_run);
        let (began, beginning) = mpsc::channel();
        let preempt_time = preempt_time();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Some(core) = core {
                stay_on(core);
            }
            let executor = LocalExecutorBuilder::new(Placement::Unbound)
                .io_memory(IO_MEMORY_BYTES)
                .ring_depth(RING_DEPTH)
                .preempt_timer(preempt_time)
                .make();
            let executor = match executor {
                Ok(executor) => executor,
                Err(error) => return drop(began.send(Err(io::Error::from(error)))),
            };
            executor.run(async move {
                let main = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(main) = main else { return };
                // Whoever started this waits for it, or has seen that `main` is taken.
                let _ = began.send(Ok(()));
                spawn(beat());
                main().await;
            });
        })?;
        match beginning.recv_timeout(begin_time_max) {
            Ok(answer) => return answer.map(|()| thread),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("its thread ended"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let left = to_run.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(left) = left else { return Ok(thread) };
        main = left;
        tracing::warn!("{name} has not begun within {begin_time_max:?}: starting another one");
    }
}

/// Looks at the tasks now and then, should the executor have parked with some left to run.
async fn beat() {
    loop {
        sleep(BEAT_INTERVAL).await;
    }
}

fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!("cannot stay on core {core}: {error}; the kernel will choose");
    }
}

/// Runs `test` on an executor of its own; its panic is the caller's.
#[cfg(test)]
pub(crate) fn on_a_core<F: Future<Output = ()> + 'static>(
    test: impl FnOnce() -> F + Send + 'static,
) {
    let core = start("test", None, test);
    assert!(core.is_ok_and(|core| core.join().is_ok()), "the test's core panicked");
}

#[cfg(test)]
mod tests {
    use super::super::mailbox::mailbox;
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

    #[test]
    fn where_an_executor_parks_before_its_first_task_another_one_begins() {
        // A timer that fires at once, and the usual one.
        let mut times = [Duration::from_nanos(1), PREEMPT_TIME].into_iter();
        let preempt_time = move || times.next().unwrap_or(PREEMPT_TIME);
        let (sender, receiver) = mpsc::channel();
        let (door, waiting) = mailbox();
        let main = move || async move {
            waiting.filled().await;
            sender.send(()).unwrap();
        };
        let patience = Duration::from_millis(100);
        let thread = start_within("test", None, main, preempt_time, patience).unwrap();
        door.send("a word from another thread");
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        thread.join().unwrap();
    }
}
