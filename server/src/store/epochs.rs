//! What a member has promised: acceptedEpoch and currentEpoch, both in one durable change.

use menagerie_engine::disk::Disk;
use menagerie_engine::manifest::{Manifest, ManifestError};
use menagerie_engine::snapshot::Snapshots;
use menagerie_replication::Epochs;
use menagerie_wire::Zxid;

use super::{Store, StoreError};

pub(super) const fn epochs_of(manifest: &Manifest) -> Epochs {
    Epochs { accepted: manifest.accepted_epoch, current: manifest.current_epoch }
}

const fn with(manifest: Manifest, epochs: Epochs) -> Manifest {
    Manifest { accepted_epoch: epochs.accepted, current_epoch: epochs.current, ..manifest }
}

impl<D: Disk, S: Snapshots> Store<D, S> {
    /// The epochs that are durable.
    pub fn epochs(&self) -> Epochs {
        epochs_of(&self.manifest.current())
    }

    /// Makes both epochs durable: `Effect::SaveEpoch`, completed by `Event::EpochSaved`.
    ///
    /// # Errors
    /// When the manifest cannot be written: `Event::DiskFailed`.
    ///
    /// # Panics
    /// When one of them would go back.
    pub fn save_epochs(&self, epochs: Epochs) -> Result<(), StoreError> {
        Ok(self.manifest.change(|now| with(now, epochs))?)
    }

    /// The epochs of a server whose log ends at `last`.
    ///
    /// A member has accepted every epoch of its log before it logged anything of it. Where that is
    /// not so, the server was its own ensemble: it has promised nobody anything, and enters one
    /// with the epoch of its log.
    // ZooKeeper: QuorumPeer.loadDataBase, where the files are missing.
    pub(super) fn join(&self, last: Zxid) -> Result<Epochs, ManifestError> {
        let epoch = last.epoch();
        self.manifest.change(|now| {
            let of_log = Epochs { accepted: epoch, current: epoch };
            if now.accepted_epoch < epoch { with(now, of_log) } else { now }
        })?;
        Ok(self.epochs())
    }
}

#[cfg(test)]
mod tests {
    use menagerie_engine::disk::MemoryDisk;
    use menagerie_wire::Epoch;

    use super::super::testing;
    use super::*;

    fn epochs(accepted: u32, current: u32) -> Epochs {
        Epochs { accepted: Epoch(accepted), current: Epoch(current) }
    }

    #[test]
    fn saved_epochs_survive_a_crash_and_an_interrupted_save_is_all_or_nothing() {
        // Two copies, each written and synced.
        for syncs in 0..=2 {
            for survives in [0, 1] {
                let disk = MemoryDisk::new();
                let store = testing::store(&disk);
                store.save_epochs(epochs(3, 2)).unwrap();
                disk.fail_sync_after(syncs, libc::EIO);
                let saved = store.save_epochs(epochs(5, 4));
                assert_eq!(saved.is_ok(), syncs == 2);
                let crashed = disk.crash(&mut |below| survives.min(below - 1));
                let found = testing::store(&crashed).epochs();
                let old_allowed = saved.is_err() && found == epochs(3, 2);
                assert!(found == epochs(5, 4) || old_allowed, "{found:?} after {syncs} syncs");
            }
        }
    }

    #[test]
    #[should_panic(expected = "acceptedEpoch would go back")]
    fn an_epoch_never_goes_back() {
        let store = testing::store(&MemoryDisk::new());
        store.save_epochs(epochs(3, 2)).unwrap();
        let _ = store.save_epochs(epochs(2, 2));
    }

    #[test]
    fn a_refused_save_leaves_the_manifest_to_others() {
        let store = testing::store(&MemoryDisk::new());
        store.save_epochs(epochs(3, 2)).unwrap();
        let other = store.clone();
        let refused = std::thread::spawn(move || other.save_epochs(epochs(2, 2))).join();
        assert!(refused.is_err(), "it panics");
        assert_eq!(store.epochs(), epochs(3, 2));
        store.save_epochs(epochs(4, 2)).unwrap();
    }

    #[test]
    fn a_server_of_its_own_joins_with_the_epoch_of_its_log_and_a_member_keeps_its_word() {
        let last = |epoch| Zxid::new(Epoch(epoch), 7);
        let check = |saved, last: Zxid, expect| {
            let disk = MemoryDisk::new();
            let store = testing::store(&disk);
            store.save_epochs(saved).unwrap();
            assert_eq!(store.join(last).unwrap(), expect);
            let crashed = disk.crash(&mut |_| 0);
            assert_eq!(testing::store(&crashed).epochs(), expect, "it is durable");
        };
        check(epochs(0, 0), Zxid::ZERO, epochs(0, 0));
        check(epochs(0, 0), last(0), epochs(0, 0));
        check(epochs(0, 0), last(3), epochs(3, 3));
        check(epochs(2, 1), last(3), epochs(3, 3));
        // A crash inside synchronization: history first, then currentEpoch.
        check(epochs(5, 4), last(5), epochs(5, 4));
        check(epochs(7, 4), last(5), epochs(7, 4));
    }
}
