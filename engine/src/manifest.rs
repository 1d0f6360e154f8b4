//! One small durable record: which snapshot and log are this server's state, and its epochs.
//!
//! No file is found by being the newest of its kind: installing a snapshot and truncating the log
//! are one switch here. Two copies, `manifest.a` and `manifest.b`, each in one sector; a change is
//! written and synced to one and then to the other, and counts when both are durable. So no single
//! damage brings back an older record: an older acceptedEpoch would be a second vote in the same
//! epoch.
//!
//! A start takes the newer valid copy, which may be a change that was not finished, and finishes
//! it. A failed write ends the life of the store: it refuses everything afterwards.
//!
//! ```text
//!  0 [u8; 8] "MNGRMNF1"         24 i64 snapshot, -1: none       48 u32 acceptedEpoch
//!  8 u32 format version, 1      32 i64 log_start                52 u32 currentEpoch
//! 12 u32 crc32c of 16..64       40 i64 truncate_to, -1: none    56 reserved, zero
//! 16 u64 generation
//! ```
//!
//! It does not know what is in the files it names; recovery does.
#![deny(unsafe_code)]

use crate::disk::{Access, Disk, DiskFile, read_exact_at};
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::{Epoch, Zxid};
use std::io;

const COPIES: [&str; 2] = ["manifest.a", "manifest.b"];
const SECTOR_BYTES: usize = 512;
const RECORD_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"MNGRMNF1";
const FORMAT_VERSION: u32 = 1;

/// What this server's state on the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The newest snapshot; older ones may serve too, newer files do not count.
    pub snapshot: Option<Zxid>,
    /// Log files whose first record is not behind this zxid are no part of the log.
    pub log_start: Zxid,
    /// A truncation that was begun: before anything else the log is cut behind this zxid.
    pub truncate_to: Option<Zxid>,
    // ZooKeeper: the files acceptedEpoch and currentEpoch.
    pub accepted_epoch: Epoch,
    pub current_epoch: Epoch,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot {what} {file}: {error}")]
    Io { what: &'static str, file: String, error: io::Error },
    #[error(
        "neither {} nor {} can be read ({a}; {b}): the epochs this server has promised are lost, \
         restore one of the files or take this server's data from another one",
        COPIES[0], COPIES[1]
    )]
    Damaged { a: &'static str, b: &'static str },
    #[error(
        "{} and {} are missing, but there is a log or a snapshot: the epochs this server has \
         promised are lost, restore one of the files or start with an empty directory",
        COPIES[0], COPIES[1]
    )]
    Missing,
    #[error("the manifest takes nothing more since a write to it failed")]
    Refused,
}

/// The manifest of one directory.
pub struct ManifestStore<D> {
    disk: D,
    current: Manifest,
    generation: u64,
    failed: bool,
}

/// What one of the two files holds.
enum Copy {
    Blank,
    Valid(u64, Manifest),
    Damaged(&'static str),
}

impl<D: Disk> ManifestStore<D> {
    /// Reads both copies and makes them equal. Writes the first manifest, unless `state_exists`:
    /// where there is a log or a snapshot there must have been one.
    pub fn open(disk: D, state_exists: bool) -> Result<Self, ManifestError> {
        let [a, b] = [read_copy(&disk, COPIES[0])?, read_copy(&disk, COPIES[1])?];
        let (generation, current) = match (&a, &b) {
            (&Copy::Valid(at, a), &Copy::Valid(bt, b)) => {
                if at >= bt {
                    (at, a)
                } else {
                    (bt, b)
                }
            }
            (&Copy::Valid(generation, manifest), _) | (_, &Copy::Valid(generation, manifest)) => {
                (generation, manifest)
            }
            (Copy::Blank, Copy::Blank) if state_exists => return Err(ManifestError::Missing),
            (Copy::Blank, Copy::Blank) => (1, Manifest::default()),
            _ => return Err(ManifestError::Damaged { a: a.describe(), b: b.describe() }),
        };
        let store = Self { disk, current, generation, failed: false };
        let whole =
            |copy: &Copy| matches!(copy, Copy::Valid(at, m) if *at == generation && *m == current);
        if !(whole(&a) && whole(&b)) {
            store.write_both()?;
        }
        Ok(store)
    }

    pub fn current(&self) -> &Manifest {
        &self.current
    }

    /// Puts `next` in the place of the current one; durable when it returns.
    ///
    /// # Panics
    /// When an epoch would go back, or currentEpoch overtake acceptedEpoch.
    pub fn change(&mut self, next: Manifest) -> Result<(), ManifestError> {
        if self.failed {
            return Err(ManifestError::Refused);
        }
        let now = &self.current;
        assert!(next.accepted_epoch >= now.accepted_epoch, "acceptedEpoch would go back");
        assert!(next.current_epoch >= now.current_epoch, "currentEpoch would go back");
        assert!(next.current_epoch <= next.accepted_epoch, "an epoch without its acceptance");
        if next == self.current {
            return Ok(());
        }
        self.current = next;
        self.generation += 1;
        let written = self.write_both();
        self.failed = written.is_err();
        written
    }

    fn write_both(&self) -> Result<(), ManifestError> {
        let sector = encode(self.generation, &self.current);
        for name in COPIES {
            self.write_copy(name, &sector).map_err(failed_to("write", name))?;
        }
        Ok(())
    }

    fn write_copy(&self, name: &str, sector: &[u8; SECTOR_BYTES]) -> io::Result<()> {
        let (file, created) = match self.disk.open(name, Access::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.disk.create(name, Access::Write)?, true)
            }
            opened => (opened?, false),
        };
        file.write_at(sector, 0)?;
        if !flaws::has(Flaw::PromiseNotSynced) {
            file.sync()?;
        }
        if created { self.disk.sync_directory() } else { Ok(()) }
    }
}

impl Copy {
    fn describe(&self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Valid(..) => "valid",
            Self::Damaged(reason) => reason,
        }
    }
}

fn failed_to<'a>(
    what: &'static str,
    file: &'a str,
) -> impl FnOnce(io::Error) -> ManifestError + use<'a> {
    move |error| ManifestError::Io { what, file: file.to_owned(), error }
}

fn read_copy<D: Disk>(disk: &D, name: &str) -> Result<Copy, ManifestError> {
    let file = match disk.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Copy::Blank),
        opened => opened.map_err(failed_to("open", name))?,
    };
    let mut sector = [0; SECTOR_BYTES];
    let read = read_exact_at(&file, &mut sector, 0).map_err(failed_to("read", name))?;
    Ok(decode(&sector[..read]))
}

fn encode(generation: u64, manifest: &Manifest) -> [u8; SECTOR_BYTES] {
    let optional = |zxid: Option<Zxid>| zxid.unwrap_or(Zxid::NONE).0.to_le_bytes();
    let mut sector = [0; SECTOR_BYTES];
    sector[0..8].copy_from_slice(MAGIC);
    sector[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    sector[16..24].copy_from_slice(&generation.to_le_bytes());
    sector[24..32].copy_from_slice(&optional(manifest.snapshot));
    sector[32..40].copy_from_slice(&manifest.log_start.0.to_le_bytes());
    sector[40..48].copy_from_slice(&optional(manifest.truncate_to));
    sector[48..52].copy_from_slice(&manifest.accepted_epoch.0.to_le_bytes());
    sector[52..56].copy_from_slice(&manifest.current_epoch.0.to_le_bytes());
    let crc = crc32c::crc32c(&sector[16..RECORD_BYTES]);
    sector[12..16].copy_from_slice(&crc.to_le_bytes());
    sector
}

fn decode(bytes: &[u8]) -> Copy {
    let Some(record) = bytes.first_chunk::<RECORD_BYTES>() else {
        return if bytes.is_empty() { Copy::Blank } else { Copy::Damaged("cut short") };
    };
    if record.iter().all(|&byte| byte == 0) {
        return Copy::Blank;
    }
    let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| record[at + i]));
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let zxid_at = |at: usize| Zxid(u64_at(at) as i64);
    let optional = |at: usize| Some(zxid_at(at)).filter(|zxid| *zxid != Zxid::NONE);
    if &record[..8] != MAGIC {
        return Copy::Damaged("not a manifest");
    }
    if u32_at(8) != FORMAT_VERSION {
        return Copy::Damaged("of another format version");
    }
    if u32_at(12) != crc32c::crc32c(&record[16..]) {
        return Copy::Damaged("its checksum is wrong");
    }
    let manifest = Manifest {
        snapshot: optional(24),
        log_start: zxid_at(32),
        truncate_to: optional(40),
        accepted_epoch: Epoch(u32_at(48)),
        current_epoch: Epoch(u32_at(52)),
    };
    Copy::Valid(u64_at(16), manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;

    fn accepting(epoch: u32) -> Manifest {
        Manifest {
            snapshot: Some(Zxid(0x70)),
            log_start: Zxid(0x40),
            accepted_epoch: Epoch(epoch),
            ..Manifest::default()
        }
    }

    fn reopen(disk: &MemoryDisk) -> Manifest {
        *ManifestStore::open(disk.clone(), false).unwrap().current()
    }

    #[test]
    fn a_change_survives_the_damage_of_either_copy() {
        let disk = MemoryDisk::new();
        let mut store = ManifestStore::open(disk.clone(), false).unwrap();
        assert_eq!(*store.current(), Manifest::default());
        for epoch in 1..4 {
            let next = Manifest { truncate_to: Some(Zxid(epoch.into())), ..accepting(epoch) };
            store.change(next).unwrap();
            for name in COPIES {
                for bit in 0..RECORD_BYTES * 8 {
                    let damaged = disk.crash(&mut |_| 0);
                    damaged.damage(name, bit as u64 / 8, 1 << (bit % 8));
                    assert_eq!(reopen(&damaged), next, "{name} bit {bit}");
                    assert_eq!(reopen(&damaged), next, "and is repaired");
                }
            }
        }
    }

    #[test]
    fn an_accepted_epoch_never_goes_back_wherever_the_power_fails() {
        for writes in 0..2 {
            for syncs in [None, Some(0), Some(1)] {
                for lost in [0, 1] {
                    let disk = MemoryDisk::new();
                    let mut store = ManifestStore::open(disk.clone(), false).unwrap();
                    store.change(accepting(1)).unwrap();
                    match syncs {
                        None => disk.fail_write_after(writes, libc::EIO),
                        Some(count) => disk.fail_sync_after(count, libc::EIO),
                    }
                    assert!(store.change(accepting(2)).is_err());
                    let refused = store.change(accepting(2));
                    assert!(matches!(refused, Err(ManifestError::Refused)));
                    let found = reopen(&disk.crash(&mut |n| lost.min(n - 1))).accepted_epoch;
                    assert!(found == Epoch(1) || found == Epoch(2), "{found}");
                }
            }
        }
    }

    #[test]
    fn a_crash_while_the_first_manifest_is_made_leaves_a_fresh_directory() {
        for fault in 0..2 {
            for lost in [0, 1] {
                let disk = MemoryDisk::new();
                disk.fail_sync_after(fault, libc::EIO);
                assert!(ManifestStore::open(disk.clone(), false).is_err());
                let crashed = disk.crash(&mut |n| lost.min(n - 1));
                assert_eq!(reopen(&crashed), Manifest::default());
            }
        }
    }

    #[test]
    fn two_damaged_copies_stop_the_start() {
        let disk = MemoryDisk::new();
        ManifestStore::open(disk.clone(), false).unwrap().change(accepting(1)).unwrap();
        disk.damage(COPIES[0], 20, 1);
        disk.damage(COPIES[1], 0, 1);
        let error = ManifestStore::open(disk, false).err().unwrap().to_string();
        assert!(error.contains("its checksum is wrong; not a manifest"), "{error}");
    }

    #[test]
    fn a_log_without_its_manifest_stops_every_start() {
        let disk = MemoryDisk::new();
        for _ in 0..2 {
            let opened = ManifestStore::open(disk.clone(), true);
            assert!(matches!(opened, Err(ManifestError::Missing)));
        }
    }

    #[test]
    #[should_panic(expected = "acceptedEpoch would go back")]
    fn an_epoch_never_goes_back() {
        let mut store = ManifestStore::open(MemoryDisk::new(), false).unwrap();
        store.change(accepting(3)).unwrap();
        store.change(accepting(2)).unwrap();
    }
}
