//! The manifest, shared by the threads that change it.
//!
//! It is held for one change, which reads and writes it in one: nobody writes back what has grown
//! old in his hands. The lock for files is another one, and held for as long as files are removed
//! or replaced; who needs both takes the files first. So epochs never wait for a purge.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use menagerie_engine::disk::Disk;
use menagerie_engine::manifest::{Manifest, ManifestError, ManifestStore};

/// Which history the disk holds: another number after each cut and each installed snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryNumber(u64);

/// The one owner of a directory's manifest. Clones are the same one.
pub(super) struct SharedManifest<D>(Arc<Inner<D>>);

struct Inner<D> {
    store: Mutex<ManifestStore<D>>,
    files: Mutex<()>,
    /// Changed only while `files` is held.
    history: AtomicU64,
}

impl<D> Clone for SharedManifest<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> SharedManifest<D> {
    pub(super) fn new(store: ManifestStore<D>) -> Self {
        let (store, files) = (Mutex::new(store), Mutex::new(()));
        Self(Arc::new(Inner { store, files, history: AtomicU64::new(0) }))
    }

    /// Nobody else changes the manifest while this is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, ManifestStore<D>> {
        // A panic in a change left the manifest as it was.
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else removes or replaces files while this is held.
    pub(super) fn lock_files(&self) -> MutexGuard<'_, ()> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current(&self) -> Manifest {
        *self.lock().current()
    }

    /// Makes what `next` makes of the manifest durable.
    pub(super) fn change(
        &self,
        next: impl FnOnce(Manifest) -> Manifest,
    ) -> Result<(), ManifestError> {
        let mut store = self.lock();
        let next = next(*store.current());
        store.change(next)
    }

    /// The history is about to be cut or replaced: what belongs to it does not count any more. Only
    /// by who holds the lock for files.
    pub(super) fn end_history(&self) {
        self.0.history.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn history(&self) -> HistoryNumber {
        HistoryNumber(self.0.history.load(Ordering::Acquire))
    }
}
