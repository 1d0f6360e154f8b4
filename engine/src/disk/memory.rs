//! A disk in memory that tells *written* from *synced*, and can lose the difference.
//!
//! A running program sees what it has written. [`MemoryDisk::crash`] gives the disk as it may be
//! found after a power cut: of each write that was not synced every sector is there or not, as the
//! caller's chooser says; of the changes of names that were not synced some first part. Sectors are
//! whole, as disks promise. [`MemoryDisk::killed`] is the disk after a kill -9: all that was
//! written, synced or not.
//!
//! On demand it fails a write or sync to come, is full, and holds commits back until they are
//! released. A failed write leaves half of itself behind.
//!
//! It is deterministic, has no thread and no clock, and no event descriptor.

use super::{
    Access, Buffer, Commit, CommitFailure, CommitQueue, Disk, DiskFile, Finished, RingError, Step,
};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<String, FileId>,
    names_synced: BTreeMap<String, FileId>,
    name_changes: Vec<NameChange>,
    files: BTreeMap<FileId, Content>,
    file_next: u64,
    write_next: u64,
    faults: Faults,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileId(u64);

#[derive(Clone)]
enum NameChange {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Clone)]
struct Write {
    id: u64,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Default)]
struct Faults {
    /// How many more writes work, and the errno of the one that does not.
    write: Option<(u64, i32)>,
    sync: Option<(u64, i32)>,
    bytes_max: Option<u64>,
    commits_held: bool,
    /// How many changes are made before the power is out.
    changes_left: Option<u64>,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// The disk after a power cut. `choose(n)` decides with a number below `n`.
    #[must_use]
    pub fn crash(&self, choose: &mut dyn FnMut(u64) -> u64) -> Self {
        let mut state = self.state().clone();
        let kept = choose(state.name_changes.len() as u64 + 1) as usize;
        state.names = std::mem::take(&mut state.names_synced);
        for change in state.name_changes.drain(..).take(kept) {
            change.apply(&mut state.names);
        }
        for content in state.files.values_mut() {
            content.lose_unsynced(choose);
        }
        state.settle()
    }

    /// The disk after the process died and the machine did not: what was written is there, and what
    /// was not synced still is not.
    #[must_use]
    pub fn killed(&self) -> Self {
        let mut state = self.state().clone();
        state.faults = Faults::default();
        Self::from_state(state)
    }

    /// The write after `count` more fails with `errno`, once.
    pub fn fail_write_after(&self, count: u64, errno: i32) {
        self.state().faults.write = Some((count, errno));
    }

    /// The sync after `count` more fails with `errno`, once.
    pub fn fail_sync_after(&self, count: u64, errno: i32) {
        self.state().faults.sync = Some((count, errno));
    }

    /// After `count` more changes (of bytes or names, syncs included) the power is out: whatever is
    /// tried from then on fails and does nothing. What is found afterwards says
    /// [`MemoryDisk::crash`].
    pub fn cut_power_after(&self, count: u64) {
        self.state().faults.changes_left = Some(count);
    }

    /// From now on files may have this many bytes together.
    pub fn limit_bytes(&self, bytes_max: u64) {
        self.state().faults.bytes_max = Some(bytes_max);
    }

    /// Commits that are started, or under way, do not end until [`MemoryDisk::release_commits`].
    pub fn hold_commits(&self) {
        self.state().faults.commits_held = true;
    }

    pub fn release_commits(&self) {
        self.state().faults.commits_held = false;
        self.0.changed.notify_all();
    }

    /// Rots the byte at `offset`, durably.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn damage(&self, name: &str, offset: u64, mask: u8) {
        let mut state = self.state();
        let id = state.names[name];
        let content = state.files.get_mut(&id).expect("names point to files");
        content.written[offset as usize] ^= mask;
        if let Some(byte) = content.synced.get_mut(offset as usize) {
            *byte ^= mask;
        }
    }
}

impl State {
    /// A disk with nothing unsynced, no faults, and only files that have a name.
    fn settle(mut self) -> MemoryDisk {
        self.names_synced = self.names.clone();
        self.name_changes.clear();
        let named: Vec<FileId> = self.names.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
        for content in self.files.values_mut() {
            content.synced = content.written.clone();
            content.unsynced.clear();
        }
        self.faults = Faults::default();
        MemoryDisk::from_state(self)
    }

    /// To be asked before each change.
    fn has_power(&mut self) -> io::Result<()> {
        match &mut self.faults.changes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        self.has_power()?;
        change.apply(&mut self.names);
        self.name_changes.push(change);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.has_power()?;
        self.names_synced = self.names.clone();
        self.name_changes.clear();
        Ok(())
    }

    fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the write's id.
    fn write(&mut self, file: FileId, bytes: &[u8], offset: u64) -> io::Result<u64> {
        self.has_power()?;
        let failure =
            Faults::strikes(&mut self.faults.write).or_else(|| self.overflow(file, bytes, offset));
        let kept = if failure.is_some() { bytes.len() / 2 } else { bytes.len() };
        let id = self.write_next;
        self.write_next += 1;
        let write = Write { id, offset: offset as usize, bytes: bytes[..kept].to_vec() };
        let content = self.files.entry(file).or_default();
        write.apply(&mut content.written);
        content.unsynced.push(write);
        failure.map_or(Ok(id), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn overflow(&self, file: FileId, bytes: &[u8], offset: u64) -> Option<i32> {
        let used: usize = self.files.values().map(|content| content.written.len()).sum();
        let len = self.files.get(&file).map_or(0, |content| content.written.len());
        let grown = (offset as usize + bytes.len()).saturating_sub(len);
        let full =
            self.faults.bytes_max.is_some_and(|max| grown > 0 && (used + grown) as u64 > max);
        full.then_some(libc::ENOSPC)
    }

    /// Makes one write durable, or with `None` all of them.
    fn sync(&mut self, file: FileId, write: Option<u64>) -> io::Result<()> {
        self.has_power()?;
        if let Some(errno) = Faults::strikes(&mut self.faults.sync) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let content = self.files.entry(file).or_default();
        for done in content.unsynced.extract_if(.., |w| write.is_none_or(|id| id == w.id)) {
            done.apply(&mut content.synced);
        }
        Ok(())
    }
}

impl Faults {
    fn strikes(fault: &mut Option<(u64, i32)>) -> Option<i32> {
        let (count, errno) = fault.take()?;
        if count > 0 {
            *fault = Some((count - 1, errno));
            return None;
        }
        Some(errno)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        place(bytes, self.offset, &self.bytes);
    }
}

impl Content {
    fn lose_unsynced(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        for write in std::mem::take(&mut self.unsynced) {
            let mut at = 0;
            while at < write.bytes.len() {
                let offset = write.offset + at;
                let len = (SECTOR_BYTES - offset % SECTOR_BYTES).min(write.bytes.len() - at);
                if choose(2) == 1 {
                    place(&mut self.synced, offset, &write.bytes[at..at + len]);
                }
                at += len;
            }
        }
        self.written = self.synced.clone();
    }
}

fn place(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Queue = MemoryQueue;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, _access: Access) -> io::Result<MemoryFile> {
        let mut state = self.state();
        let id = FileId(state.file_next);
        state.file_next += 1;
        state.files.insert(id, Content::default());
        state.change_name(NameChange::Create(name.to_owned(), id))?;
        Ok(MemoryFile { disk: self.clone(), id })
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<MemoryFile> {
        let id = self.state().find(name)?;
        Ok(MemoryFile { disk: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.find(from)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.find(name)?;
        state.change_name(NameChange::Remove(name.to_owned()))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.state().sync_names()
    }

    fn queue(&self) -> Result<MemoryQueue, RingError> {
        Ok(MemoryQueue { disk: self.clone(), under_way: None })
    }
}

/// A file of a [`MemoryDisk`]; it stays readable when its name is gone.
pub struct MemoryFile {
    disk: MemoryDisk,
    id: FileId,
}

impl DiskFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().files.get(&self.id).map_or(0, |content| content.written.len() as u64))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let written = state.files.get(&self.id).map_or(&[][..], |content| &content.written[..]);
        let rest = written.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.id, bytes, offset).map(|_| ())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.id, None)
    }
}

/// Commits to a [`MemoryDisk`]: written when they start, durable when their end is collected.
pub struct MemoryQueue {
    disk: MemoryDisk,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    buffer: Buffer,
    file: Arc<MemoryFile>,
    adopts: bool,
    synced: bool,
    written: Result<u64, CommitFailure>,
}

impl UnderWay {
    fn finish(self, state: &mut State) -> Finished {
        let result = self.written.and_then(|write| {
            if !self.synced {
                return Ok(());
            }
            if self.adopts {
                let named = state.sync_names();
                named.map_err(|error| CommitFailure { step: Step::SyncDirectory, error })?;
            }
            let synced = state.sync(self.file.id, Some(write));
            synced.map_err(|error| CommitFailure { step: Step::Sync, error })
        });
        Finished { buffer: self.buffer, result }
    }
}

impl CommitQueue for MemoryQueue {
    type File = MemoryFile;

    fn start(&mut self, commit: Commit<MemoryFile>) {
        assert!(self.under_way.is_none(), "a commit was started while one is under way");
        let Commit { adopt, file, buffer, range, offset, synced } = commit;
        let adopts = adopt.is_some();
        let renamed = adopt.map_or(Ok(()), |adopt| self.disk.rename(&adopt.from, &adopt.to));
        let written = match renamed {
            Err(error) => Err(CommitFailure { step: Step::Rename, error }),
            Ok(()) => self
                .disk
                .state()
                .write(file.id, &buffer[range], offset)
                .map_err(|error| CommitFailure { step: Step::Write, error }),
        };
        self.under_way = Some(UnderWay { buffer, file, adopts, synced, written });
    }

    fn poll(&mut self) -> Option<Finished> {
        let mut state = self.disk.state();
        if state.faults.commits_held {
            return None;
        }
        Some(self.under_way.take()?.finish(&mut state))
    }

    fn wait(&mut self) -> Option<Finished> {
        self.under_way.as_ref()?;
        let mut state = self.disk.state();
        while state.faults.commits_held {
            state = self.disk.0.changed.wait(state).expect("as in `state`");
        }
        Some(self.under_way.take()?.finish(&mut state))
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
        let file = disk.open(name, Access::Read).ok()?;
        let mut bytes = vec![0; file.bytes().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let disk = MemoryDisk::new();
        let file = disk.create("a", Access::Write).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        file.write_at(&[2; 1024], 0).unwrap();
        disk.create("b", Access::Write).unwrap();

        let killed = disk.killed();
        assert_eq!(read(&killed, "a"), Some(vec![2; 1024]));
        assert_eq!(read(&killed.crash(&mut |_| 0), "a"), Some(vec![1; 1024]));
        let nothing = disk.crash(&mut |_| 0);
        assert_eq!((read(&nothing, "a"), read(&nothing, "b")), (Some(vec![1; 1024]), None));
        let all = disk.crash(&mut |n| n - 1);
        assert_eq!((read(&all, "a"), read(&all, "b")), (Some(vec![2; 1024]), Some(vec![])));
        let mut answers = [0, 0, 1].into_iter();
        let second_sector = disk.crash(&mut |_| answers.next().unwrap());
        assert_eq!(read(&second_sector, "a"), Some([[1; 512], [2; 512]].concat()));
    }

    #[test]
    fn without_power_nothing_changes_any_more() {
        let disk = MemoryDisk::new();
        let file = disk.create("a", Access::Write).unwrap();
        disk.cut_power_after(2);
        file.write_at(&[1; 512], 0).unwrap();
        file.sync().unwrap();
        assert!(file.write_at(&[2; 512], 0).is_err());
        assert!(file.sync().is_err() && disk.sync_directory().is_err());
        assert!(disk.rename("a", "b").is_err() && disk.create("c", Access::Write).is_err());
        let found = disk.crash(&mut |n| n - 1);
        assert_eq!((read(&found, "a"), read(&found, "c")), (Some(vec![1; 512]), None));
    }

    #[test]
    fn a_full_or_failing_disk_keeps_half_of_the_write() {
        let disk = MemoryDisk::new();
        let file = disk.create("a", Access::Write).unwrap();
        disk.fail_write_after(1, libc::EIO);
        file.write_at(&[1; 512], 0).unwrap();
        let error = file.write_at(&[1; 1024], 512).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        assert_eq!(file.bytes().unwrap(), 1024);
        disk.limit_bytes(1024);
        let error = file.write_at(&[1; 512], 1024).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        file.write_at(&[3; 512], 0).unwrap();
    }
}
