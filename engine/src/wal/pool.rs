//! Segments before and after their time in the log: written full of zeros ahead, used again later.
//!
//! A commit into blocks that were written before changes no metadata and takes one trip to the
//! device; into merely allocated or new blocks it takes two and has tails of milliseconds. So the
//! next segment waits here, complete, before the writer needs it. A fresh directory starts with a
//! small one, made on the spot; the following are four times as large each, up to the configured
//! size, and are made by a thread of their own ([`Preallocator`]), large ones at a bounded rate,
//! because one big flush would stall the commits next to it. If the writer is faster than the
//! thread it takes a new file that was not written ahead: slower, and just as right.
//!
//! A file here is named `spare.N` and its first block is zero. That is made true, and durable,
//! before it gets the name, and looked at again when a start takes it over: a commit whose rename
//! failed may have left its header there.

use super::WalError;
use super::segment::{self, FirstBlock};
use crate::disk::{Access, BLOCK_BYTES, Buffer, Disk, DiskFile};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a fresh directory starts with: made in a few milliseconds.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// Header, one batch, one mark.
const SEGMENT_BYTES_MIN: u64 = 3 * BLOCK_BYTES as u64;
const SEGMENT_GROWTH: u64 = 4;
/// Files kept for later; more are removed.
const SPARES_MAX: usize = 2;
const CHUNK_BYTES: usize = 1 << 20;
/// Larger spares are written at one chunk per pause: 125 MB/s at most.
const PACED_FROM_BYTES: u64 = 16 << 20;
const PAUSE: Duration = Duration::from_millis(8);
const SPARE_PREFIX: &str = "spare.";
const UNFINISHED_SUFFIX: &str = ".new";

/// A file ready to become a segment.
pub struct Spare<F> {
    pub name: String,
    pub file: Arc<F>,
    pub bytes: u64,
}

/// The segments that wait. Clones share them.
pub struct SegmentPool<D: Disk>(Arc<Shared<D>>);

struct Shared<D: Disk> {
    disk: D,
    segment_bytes: u64,
    state: Mutex<State<D::File>>,
    changed: Condvar,
}

struct State<F> {
    ready: Vec<Spare<F>>,
    wanted_bytes: Option<u64>,
    number_next: u64,
    closed: bool,
    failure: Option<WalError>,
}

impl<D: Disk> Clone for SegmentPool<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Disk> SegmentPool<D> {
    /// Takes over the spares of an earlier run; without one it makes a small one.
    /// `segment_bytes` is the size that segments grow to, as `preAllocSize` says.
    pub fn open(disk: D, segment_bytes: u64) -> Result<Self, WalError> {
        let segment_bytes =
            segment_bytes.next_multiple_of(BLOCK_BYTES as u64).max(SEGMENT_BYTES_MIN);
        let state = State {
            ready: Vec::new(),
            wanted_bytes: None,
            number_next: 1,
            closed: false,
            failure: None,
        };
        let state = Mutex::new(state);
        let pool = Self(Arc::new(Shared { disk, segment_bytes, state, changed: Condvar::new() }));
        pool.adopt_files()?;
        if pool.state().ready.is_empty() {
            pool.make(segment_bytes.min(FIRST_SEGMENT_BYTES))?;
        }
        Ok(pool)
    }

    fn state(&self) -> MutexGuard<'_, State<D::File>> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }

    fn adopt_files(&self) -> Result<(), WalError> {
        let disk = &self.0.disk;
        let names = disk.list().map_err(WalError::io("list the directory of", "the log"))?;
        let mut spares: Vec<_> = names
            .into_iter()
            .filter_map(|name| Some((name.strip_prefix(SPARE_PREFIX)?.to_owned(), name)))
            .collect();
        spares.sort();
        for (number, name) in spares {
            let Ok(number) = number.parse::<u64>() else {
                if number.ends_with(UNFINISHED_SUFFIX) {
                    disk.remove(&name).map_err(WalError::io("remove", &name))?;
                }
                continue;
            };
            let mut state = self.state();
            state.number_next = state.number_next.max(number + 1);
            if state.ready.len() == SPARES_MAX || !is_blank(disk, &name)? {
                disk.remove(&name).map_err(WalError::io("remove", &name))?;
                continue;
            }
            let file = disk.open(&name, Access::Log).map_err(WalError::io("open", &name))?;
            let bytes = file.bytes().map_err(WalError::io("measure", &name))?;
            state.ready.push(Spare { name, file: Arc::new(file), bytes });
        }
        Ok(())
    }

    /// A file of at least `bytes_min`, and asks for the one that will be needed after it. Without a
    /// suitable spare it is a new file that was not written ahead.
    pub(super) fn take(&self, bytes_min: u64) -> Result<Spare<D::File>, WalError> {
        let mut state = self.state();
        let fits = |spare: &Spare<D::File>| spare.bytes >= bytes_min;
        let taken = state.ready.iter().position(fits).map(|i| state.ready.remove(i));
        if !state.ready.iter().any(fits) {
            let size = taken.as_ref().map_or(bytes_min, |spare| spare.bytes);
            let next = size
                .max(FIRST_SEGMENT_BYTES)
                .saturating_mul(SEGMENT_GROWTH)
                .min(self.0.segment_bytes);
            state.wanted_bytes = state.wanted_bytes.max(Some(next));
            self.0.changed.notify_all();
        }
        if let Some(spare) = taken {
            return Ok(spare);
        }
        let name = unfinished_name(&mut state);
        drop(state);
        let create = self.0.disk.create(&name, Access::Log);
        let file = Arc::new(create.map_err(WalError::io("create", &name))?);
        let bytes = bytes_min.max(FIRST_SEGMENT_BYTES.min(self.0.segment_bytes));
        Ok(Spare { name, file, bytes })
    }

    /// Makes a spare if the writer asked for one; whether it did.
    pub fn work_once(&self) -> Result<bool, WalError> {
        let wanted = self.state().wanted_bytes.take();
        wanted.map_or(Ok(false), |bytes| self.make(bytes).map(|()| true))
    }

    /// Writes a spare full of zeros, unless the pool is closed meanwhile.
    fn make(&self, bytes: u64) -> Result<(), WalError> {
        let disk = &self.0.disk;
        let name = unfinished_name(&mut self.state());
        let file = disk.create(&name, Access::Log).map_err(WalError::io("create", &name))?;
        match self.fill(&file, bytes) {
            Ok(true) => self.put(name, file, bytes),
            unfinished => {
                disk.remove(&name).map_err(WalError::io("remove", &name))?;
                unfinished.map(|_| ()).map_err(WalError::io("prepare", &name))
            }
        }
    }

    /// False when the pool was closed before the end.
    fn fill(&self, file: &D::File, bytes: u64) -> std::io::Result<bool> {
        let zeros = Buffer::zeroed(CHUNK_BYTES);
        let mut written = 0;
        while written < bytes {
            if self.state().closed {
                return Ok(false);
            }
            let chunk = (bytes - written).min(CHUNK_BYTES as u64);
            file.write_at(&zeros[..chunk as usize], written)?;
            file.sync()?;
            written += chunk;
            if bytes >= PACED_FROM_BYTES {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(true)
    }

    /// Gives a file whose first block is blank its name in the pool.
    fn put(&self, from: String, file: D::File, bytes: u64) -> Result<(), WalError> {
        let mut state = self.state();
        let name = format!("{SPARE_PREFIX}{}", state.number_next);
        state.number_next += 1;
        self.0.disk.rename(&from, &name).map_err(WalError::io("rename", &from))?;
        state.ready.push(Spare { name, file: Arc::new(file), bytes });
        self.0.changed.notify_all();
        Ok(())
    }

    /// Takes a log file that nobody needs any more: kept if it is of full size and there is room,
    /// otherwise removed. Durable after the directory's next sync. Nobody may be reading it.
    pub fn recycle(&self, name: &str) -> Result<(), WalError> {
        let disk = &self.0.disk;
        let file = disk.open(name, Access::Log).map_err(WalError::io("open", name))?;
        let bytes = file.bytes().map_err(WalError::io("measure", name))?;
        let room = self.state().ready.len() < SPARES_MAX;
        if !room || bytes != self.0.segment_bytes {
            return disk.remove(name).map_err(WalError::io("remove", name));
        }
        file.write_at(&Buffer::zeroed(BLOCK_BYTES), 0)
            .and_then(|()| file.sync())
            .map_err(WalError::io("blank", name))?;
        self.put(name.to_owned(), file, bytes)
    }

    /// The failure that ended the making of spares, for the operator: the log itself goes on.
    pub fn failure(&self) -> Option<WalError> {
        self.state().failure.clone()
    }

    fn run(&self) {
        loop {
            let mut state = self.state();
            while state.wanted_bytes.is_none() && !state.closed {
                state = self.0.changed.wait(state).expect("as in `state`");
            }
            if state.closed {
                return;
            }
            drop(state);
            if let Err(failure) = self.work_once() {
                self.state().failure = Some(failure);
            }
        }
    }
}

fn is_blank<D: Disk>(disk: &D, name: &str) -> Result<bool, WalError> {
    Ok(segment::first_block(disk, name)? == FirstBlock::Blank)
}

/// A name under which an unfinished file is recognised, and removed, by the next start.
fn unfinished_name<F>(state: &mut State<F>) -> String {
    let name = format!("{SPARE_PREFIX}{}{UNFINISHED_SUFFIX}", state.number_next);
    state.number_next += 1;
    name
}

/// The thread that makes spares. Dropping it ends it.
pub struct Preallocator<D: Disk> {
    pool: SegmentPool<D>,
    thread: Option<JoinHandle<()>>,
}

impl<D: Disk> Preallocator<D> {
    pub fn spawn(pool: SegmentPool<D>) -> std::io::Result<Self> {
        let worker = pool.clone();
        let thread = std::thread::Builder::new()
            .name("wal-spares".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self { pool, thread: Some(thread) })
    }
}

impl<D: Disk> Drop for Preallocator<D> {
    fn drop(&mut self) {
        self.pool.state().closed = true;
        self.pool.0.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;

    fn files(disk: &MemoryDisk) -> Vec<(String, u64)> {
        let measure = |name: String| {
            let bytes = disk.open(&name, Access::Read).unwrap().bytes().unwrap();
            (name, bytes)
        };
        disk.list().unwrap().into_iter().map(measure).collect()
    }

    #[test]
    fn segments_grow_from_a_small_one_to_the_configured_size() {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk, 8 << 20).unwrap();
        for expect in [1 << 20, 4 << 20, 8 << 20, 8 << 20] {
            assert_eq!(pool.take(12_288).unwrap().bytes, expect);
            assert!(pool.work_once().unwrap());
            assert!(!pool.work_once().unwrap(), "one is enough");
        }
    }

    #[test]
    fn without_a_fitting_spare_the_writer_gets_a_new_file() {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), 1 << 20).unwrap();
        assert_eq!(pool.take(5 << 20).unwrap().bytes, 5 << 20);
        assert_eq!(pool.take(4096).unwrap().bytes, 1 << 20, "the spare is still there");
        assert_eq!(pool.take(4096).unwrap().bytes, 1 << 20, "this one is new again");
        let lens: Vec<_> = files(&disk).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(lens, [1 << 20, 0, 0]);
        assert!(pool.work_once().unwrap(), "one that fits was asked for");
    }

    #[test]
    fn a_start_takes_over_finished_blank_spares_and_removes_the_rest() {
        let disk = MemoryDisk::new();
        let make = |name: &str, byte: u8| {
            disk.create(name, Access::Log).unwrap().write_at(&[byte; 8192], 0).unwrap();
        };
        make("spare.7", 0);
        make("spare.8", 1);
        make("spare.9.new", 0);
        make("spare.10", 0);
        make("spare.11", 0);
        make("log.5", 1);
        let pool = SegmentPool::open(disk.clone(), 1 << 20).unwrap();
        let names: Vec<_> = files(&disk).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["log.5", "spare.10", "spare.11"]);
        pool.take(4096).unwrap();
        pool.take(4096).unwrap();
        pool.work_once().unwrap();
        assert_eq!(pool.take(4096).unwrap().name, "spare.13", "numbers are not used twice");
    }

    #[test]
    fn a_recycled_file_is_blank_before_it_gets_its_new_name() {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), 1 << 20).unwrap();
        let file = disk.create("log.5", Access::Log).unwrap();
        file.write_at(&vec![1; 1 << 20], 0).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        disk.create("log.6", Access::Log).unwrap();
        pool.recycle("log.5").unwrap();
        pool.recycle("log.6").unwrap();
        for survives in [0, 1] {
            let crashed = disk.crash(&mut |below| survives.min(below - 1));
            for (name, _) in files(&crashed) {
                assert_eq!(segment::first_block(&crashed, &name).unwrap(), FirstBlock::Blank);
            }
        }
        assert!(files(&disk).iter().all(|(name, _)| name.starts_with(SPARE_PREFIX)));
    }

    #[test]
    fn a_spare_that_finds_no_space_is_removed_and_reported() {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), 4 << 20).unwrap();
        disk.limit_bytes(3 << 20);
        let taken = pool.take(4096).unwrap();
        let failure = pool.work_once().unwrap_err().to_string();
        assert!(failure.contains("cannot prepare spare.3.new"), "{failure}");
        assert_eq!(files(&disk), [(taken.name, 1 << 20)]);
    }

    #[test]
    fn the_thread_makes_what_the_writer_asked_for_and_ends_with_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let disk = crate::disk::SystemDisk::open(directory.path()).unwrap();
        let pool = SegmentPool::open(disk, 2 << 20).unwrap();
        let preallocator = Preallocator::spawn(pool.clone()).unwrap();
        pool.take(4096).unwrap();
        let mut state = pool.state();
        while state.ready.is_empty() {
            state = pool.0.changed.wait(state).unwrap();
        }
        drop(state);
        assert_eq!(pool.take(4096).unwrap().bytes, 2 << 20);
        drop(preallocator);
        assert!(pool.failure().is_none());
    }
}
