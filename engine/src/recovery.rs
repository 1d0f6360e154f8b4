//! From the files of a directory to the state they stand for.
//!
//! Manifest, then the newest snapshot that can be read, then the log behind it, record by record;
//! what comes out is the last zxid and an end of the log that a writer can go on from. A snapshot
//! that cannot be read costs time, not data: the log reaches back to the oldest one that is kept.
//!
//! What is no part of the state by the manifest's word does not count: snapshots newer than the one
//! it names and files that were never finished are removed here, log files from before its log
//! start are left to housekeeping (`wal::purge`). A truncation that was begun is completed first.
//!
//! It refuses to start rather than to forget: damage in the log, a log that ends before the
//! snapshot it should continue, files without a manifest. The caller's [`State`] builds the tree;
//! this file knows neither nodes nor how a snapshot is read.
#![deny(unsafe_code)]

use crate::disk::Disk;
use crate::manifest::{Manifest, ManifestError, ManifestStore};
use crate::wal::segment::zxid_of_log_file;
use crate::wal::truncate::{floor, truncate};
use crate::wal::{LogEnd, Reader, Record, WalError};
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::txn::{Txn, TxnDigest};
use menagerie_wire::{JuteError, Zxid};
use std::io;
use std::time::{Duration, Instant};

const SNAPSHOT_PREFIX: &str = "snapshot.";
/// What a snapshot is called while it is written.
const UNFINISHED_SUFFIX: &str = ".new";

/// The name of the snapshot that is exact at `zxid`.
pub fn snapshot_file_name(zxid: Zxid) -> String {
    format!("{SNAPSHOT_PREFIX}{:x}", zxid.0)
}

/// The name under which it is written before it is complete.
pub fn unfinished_snapshot_file_name(zxid: Zxid) -> String {
    snapshot_file_name(zxid) + UNFINISHED_SUFFIX
}

/// The name under which one that a leader has sent is written before it is complete: our own at the
/// same zxid may be in the making.
pub fn received_snapshot_file_name(zxid: Zxid) -> String {
    snapshot_file_name(zxid) + ".received" + UNFINISHED_SUFFIX
}

/// The zxid in the name of a complete snapshot; `None` for other files.
pub fn zxid_of_snapshot_file(name: &str) -> Option<Zxid> {
    let zxid = Zxid(i64::from_str_radix(name.strip_prefix(SNAPSHOT_PREFIX)?, 16).ok()?);
    (snapshot_file_name(zxid) == name).then_some(zxid)
}

/// What is rebuilt. Starts empty.
pub trait State {
    /// Becomes what the snapshot holds. After an error it must be empty again: an older snapshot,
    /// or the whole log, is tried next.
    fn load(&mut self, snapshot: Zxid) -> Result<(), String>;
    /// Applies the next transaction. An error stops the start.
    fn apply(&mut self, txn: &Txn<'_>, digest: Option<TxnDigest>) -> Result<(), String>;
}

/// How to recover.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `forceSync`: only a log that was not synced may end before a snapshot.
    pub synced: bool,
    /// Random, for a segment that has to be written anew.
    pub nonce: u64,
}

/// The state of a directory, found.
pub struct Recovered<D> {
    pub manifest: ManifestStore<D>,
    /// Where a writer goes on.
    pub log: LogEnd,
    pub snapshot: Option<Zxid>,
    /// The last transaction of the state; it may be the snapshot's.
    pub last_zxid: Zxid,
    /// Snapshots that could not be used, newest first, and why.
    pub unusable: Vec<(Zxid, String)>,
    pub replayed_records: u64,
    pub replayed_bytes: u64,
    pub snapshot_time: Duration,
    pub replay_time: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("cannot {what}: {error}")]
    Io { what: String, error: io::Error },
    #[error(
        "no snapshot can be used and the log begins only behind {log_start}: {}",
        describe(.unusable)
    )]
    NoSnapshot { log_start: Zxid, unusable: Vec<(Zxid, String)> },
    #[error(
        "the log ends at {log_end}, before the snapshot {snapshot} that it should continue: log \
         files are missing (is dataLogDir the right one?)"
    )]
    LogMissing { log_end: Zxid, snapshot: Zxid },
    #[error("the log's record {zxid} is no transaction: {error}")]
    Undecodable { zxid: Zxid, error: JuteError },
    #[error("the log's record {zxid} holds transaction {found}")]
    WrongZxid { zxid: Zxid, found: Zxid },
    #[error("transaction {zxid} cannot be applied again: {reason}")]
    Unapplicable { zxid: Zxid, reason: String },
    #[error(
        "the state of {to} cannot be had any more: the log begins behind {log_start}, and no \
         snapshot from there on is old enough"
    )]
    OutOfReach { to: Zxid, log_start: Zxid },
}

fn describe(unusable: &[(Zxid, String)]) -> String {
    if unusable.is_empty() {
        return "there is none".to_owned();
    }
    let each: Vec<_> = unusable
        .iter()
        .map(|(zxid, why)| format!("{}: {why}", snapshot_file_name(*zxid)))
        .collect();
    each.join("; ")
}

fn failed_to(what: impl Into<String>) -> impl FnOnce(io::Error) -> RecoveryError {
    let what = what.into();
    move |error| RecoveryError::Io { what, error }
}

/// Rebuilds `state` from the directories of manifest and snapshots (`data`) and of the log.
pub fn recover<D: Disk>(
    data: &D,
    log: &D,
    options: Options,
    state: &mut impl State,
) -> Result<Recovered<D>, RecoveryError> {
    let snapshots = snapshots(data)?;
    let log_exists = list(log)?.iter().any(|name| zxid_of_log_file(name).is_some());
    let mut manifest = ManifestStore::open(data.clone(), log_exists || !snapshots.is_empty())?;
    finish_truncation(&mut manifest, log, options.nonce)?;
    sweep(data, manifest.current())?;

    let started = Instant::now();
    let (snapshot, unusable) = load(manifest.current(), &snapshots, state)?;
    let snapshot_time = started.elapsed();

    let started = Instant::now();
    let after = snapshot.unwrap_or(Zxid::ZERO);
    let (replayed_records, replayed_bytes, end) = replay(log, manifest.current(), after, state)?;
    let replay_time = started.elapsed();

    let end = join(&mut manifest, end, after, options.synced)?;
    Ok(Recovered {
        manifest,
        last_zxid: end.zxid,
        log: end,
        snapshot,
        unusable,
        replayed_records,
        replayed_bytes,
        snapshot_time,
        replay_time,
    })
}

/// Cuts the log behind the highest transaction that is not behind `to`, and disowns snapshots
/// beyond, in one switch of the manifest; returns where the log ends now. No writer may have the
/// log open. Refused, with nothing changed, when log and snapshots do not reach back.
pub fn truncate_log<D: Disk>(
    manifest: &mut ManifestStore<D>,
    data: &D,
    log: &D,
    to: Zxid,
    nonce: u64,
) -> Result<Zxid, RecoveryError> {
    let now = *manifest.current();
    let last = reach_back(data, log, &now, to)?;
    let snapshot = candidates(&snapshots(data)?, &now, last).next_back();
    manifest.change(Manifest { snapshot, truncate_to: Some(last), ..now })?;
    finish_truncation(manifest, log, nonce)?;
    sweep(data, manifest.current())?;
    Ok(last)
}

/// Where a log cut behind `to` would end.
pub fn reach_back<D: Disk>(
    data: &D,
    log: &D,
    manifest: &Manifest,
    to: Zxid,
) -> Result<Zxid, RecoveryError> {
    let log_start = manifest.log_start;
    let out_of_reach = RecoveryError::OutOfReach { to, log_start };
    let last = match floor(log, log_start, to) {
        Err(WalError::NotInLog { .. }) => return Err(out_of_reach),
        found => found?,
    };
    let needs_snapshot = log_start > Zxid::ZERO;
    if needs_snapshot && candidates(&snapshots(data)?, manifest, last).next().is_none() {
        return Err(out_of_reach);
    }
    Ok(last)
}

/// Makes the snapshot at `zxid`, which is on the disk, the whole state: log and other snapshots are
/// disowned in one switch of the manifest. No writer may have the log open.
pub fn install_snapshot<D: Disk>(
    manifest: &mut ManifestStore<D>,
    data: &D,
    log: &D,
    zxid: Zxid,
    nonce: u64,
) -> Result<(), RecoveryError> {
    // Of the old log even what lies behind the snapshot goes: it is of another history.
    let snapshot = Some(zxid);
    let next = Manifest { snapshot, log_start: zxid, truncate_to: snapshot, ..*manifest.current() };
    manifest.change(next)?;
    finish_truncation(manifest, log, nonce)?;
    sweep(data, manifest.current())
}

/// Rebuilds `state` as it was at `last`, which is in the log or a snapshot; changes nothing on the
/// disk. The writer may be open, but must not be ahead of what is durable.
pub fn rebuild<D: Disk>(
    data: &D,
    log: &D,
    manifest: &Manifest,
    last: Zxid,
    state: &mut impl State,
) -> Result<(), RecoveryError> {
    let candidates = candidates(&snapshots(data)?, manifest, last).collect();
    let (snapshot, _) = load_newest(candidates, manifest.log_start, Vec::new(), state)?;
    let after = snapshot.unwrap_or(Zxid::ZERO);
    if after == last {
        return Ok(());
    }
    let mut reader = Reader::open_up_to(log, manifest.log_start, after, last)?;
    while let Some(record) = reader.next_up_to(last)? {
        apply(&record, state)?;
    }
    Ok(())
}

fn finish_truncation<D: Disk>(
    manifest: &mut ManifestStore<D>,
    log: &D,
    nonce: u64,
) -> Result<(), RecoveryError> {
    let now = *manifest.current();
    let Some(last) = now.truncate_to else { return Ok(()) };
    if !flaws::has(Flaw::CutNotMade) {
        truncate(log, now.log_start, last, nonce)?;
    }
    Ok(manifest.change(Manifest { truncate_to: None, ..now })?)
}

fn list<D: Disk>(disk: &D) -> Result<Vec<String>, RecoveryError> {
    disk.list().map_err(failed_to("list the data directory"))
}

/// The complete snapshots of a directory, oldest first.
pub fn snapshots<D: Disk>(data: &D) -> Result<Vec<Zxid>, RecoveryError> {
    let mut zxids: Vec<_> =
        list(data)?.iter().filter_map(|name| zxid_of_snapshot_file(name)).collect();
    zxids.sort();
    Ok(zxids)
}

/// Removes snapshots that are no part of the state, and those that were never finished.
fn sweep<D: Disk>(data: &D, manifest: &Manifest) -> Result<(), RecoveryError> {
    let is_dead = |name: &str| match zxid_of_snapshot_file(name) {
        Some(zxid) => zxid < manifest.log_start || Some(zxid) > manifest.snapshot,
        None => name.starts_with(SNAPSHOT_PREFIX) && name.ends_with(UNFINISHED_SUFFIX),
    };
    let dead: Vec<_> = list(data)?.into_iter().filter(|name| is_dead(name)).collect();
    for name in &dead {
        match data.remove(name) {
            // Housekeeping has just finished it, and will see that it does not count.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(failed_to(format!("remove {name}")))?,
        }
    }
    if !dead.is_empty() {
        data.sync_directory().map_err(failed_to("sync the data directory"))?;
    }
    Ok(())
}

/// Loads the newest snapshot of the state that can be read.
fn load(
    manifest: &Manifest,
    snapshots: &[Zxid],
    state: &mut impl State,
) -> Result<Loaded, RecoveryError> {
    let candidates: Vec<_> = candidates(snapshots, manifest, Zxid(i64::MAX)).collect();
    let missing = manifest.snapshot.filter(|newest| !candidates.contains(newest));
    let unusable = missing.map(|newest| (newest, "the file is missing".to_owned()));
    load_newest(candidates, manifest.log_start, Vec::from_iter(unusable), state)
}

type Loaded = (Option<Zxid>, Vec<(Zxid, String)>);

/// The snapshots up to `last` that are a part of the state, oldest first.
fn candidates(
    snapshots: &[Zxid],
    manifest: &Manifest,
    last: Zxid,
) -> impl DoubleEndedIterator<Item = Zxid> {
    let (newest, log_start) = (manifest.snapshot.min(Some(last)), manifest.log_start);
    let is_ours = move |zxid: &Zxid| Some(*zxid) <= newest && *zxid >= log_start;
    snapshots.iter().copied().filter(is_ours)
}

/// Loads the newest snapshot that can be read; none when the log reaches back to the beginning.
/// What is known to be unusable is handed in.
fn load_newest(
    mut candidates: Vec<Zxid>,
    log_start: Zxid,
    mut unusable: Vec<(Zxid, String)>,
    state: &mut impl State,
) -> Result<Loaded, RecoveryError> {
    while let Some(zxid) = candidates.pop() {
        match state.load(zxid) {
            Ok(()) => return Ok((Some(zxid), unusable)),
            Err(reason) => unusable.push((zxid, reason)),
        }
    }
    if log_start > Zxid::ZERO {
        return Err(RecoveryError::NoSnapshot { log_start, unusable });
    }
    Ok((None, unusable))
}

/// Applies the log behind `after`; how many records and bytes, and where it ends.
fn replay<D: Disk>(
    log: &D,
    manifest: &Manifest,
    after: Zxid,
    state: &mut impl State,
) -> Result<(u64, u64, LogEnd), RecoveryError> {
    let mut reader = Reader::open(log, manifest.log_start, after)?;
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = reader.next_record()? {
        apply(&record, state)?;
        records += 1;
        bytes += record.body.len() as u64;
    }
    Ok((records, bytes, reader.finish()?))
}

fn apply(record: &Record<'_>, state: &mut impl State) -> Result<(), RecoveryError> {
    let zxid = record.zxid;
    let (txn, digest) =
        Txn::decode(record.body).map_err(|error| RecoveryError::Undecodable { zxid, error })?;
    if txn.header.zxid != zxid {
        return Err(RecoveryError::WrongZxid { zxid, found: txn.header.zxid });
    }
    state.apply(&txn, digest).map_err(|reason| RecoveryError::Unapplicable { zxid, reason })
}

/// The log has to reach the snapshot it was replayed on, and the one the manifest names.
fn join<D: Disk>(
    manifest: &mut ManifestStore<D>,
    end: LogEnd,
    after: Zxid,
    synced: bool,
) -> Result<LogEnd, RecoveryError> {
    let now = *manifest.current();
    let snapshot = after.max(now.snapshot.unwrap_or(Zxid::ZERO));
    let starts_here = snapshot == now.log_start && end.segments.is_empty();
    let reaches = end.zxid >= snapshot && !end.segments.is_empty();
    if starts_here || reaches {
        return Ok(end);
    }
    let log_end = if end.segments.is_empty() { now.log_start } else { end.zxid };
    if synced || after < snapshot {
        return Err(RecoveryError::LogMissing { log_end, snapshot });
    }
    // Without forceSync a power cut may take the log's tail and leave the snapshot: the log starts
    // again behind it.
    manifest.change(Manifest { log_start: snapshot, ..now })?;
    Ok(LogEnd { zxid: snapshot, leftovers: end.leftovers, ..LogEnd::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Access, DiskFile, MemoryDisk};
    use crate::wal::{SegmentPool, Settings, Writer};
    use menagerie_wire::txn::{TxnBody, TxnHeader};
    use menagerie_wire::{OpCode, SessionId, Xid};

    const OPTIONS: Options = Options { synced: true, nonce: 99 };

    /// Remembers what it was built from.
    #[derive(Default)]
    struct Built {
        snapshot: Option<Zxid>,
        applied: Vec<Zxid>,
        unreadable: Vec<Zxid>,
    }

    impl State for Built {
        fn load(&mut self, snapshot: Zxid) -> Result<(), String> {
            if self.unreadable.contains(&snapshot) {
                return Err("chunk 3 does not match its checksum".to_owned());
            }
            self.snapshot = Some(snapshot);
            Ok(())
        }

        fn apply(&mut self, txn: &Txn<'_>, _: Option<TxnDigest>) -> Result<(), String> {
            self.applied.push(txn.header.zxid);
            Ok(())
        }
    }

    fn txn(zxid: Zxid) -> Vec<u8> {
        let (client_id, cxid, op) = (SessionId(1), Xid(1), OpCode::Error);
        let header = TxnHeader { client_id, cxid, zxid, time_ms: 0, op };
        let mut bytes = Vec::new();
        Txn { header, body: TxnBody::Error { err: -110 } }.encode(None, &mut bytes);
        bytes
    }

    type Outcome = Result<(Recovered<MemoryDisk>, Built), RecoveryError>;

    fn recover_with(disk: &MemoryDisk, options: Options, unreadable: &[i64]) -> Outcome {
        let unreadable = unreadable.iter().map(|&zxid| Zxid(zxid)).collect();
        let mut built = Built { unreadable, ..Built::default() };
        let recovered = recover(disk, disk, options, &mut built)?;
        Ok((recovered, built))
    }

    /// Starts, appends `count` records, each in a segment of its own, and stops.
    fn run(disk: &MemoryDisk, count: i64) {
        let (recovered, _) = recover_with(disk, OPTIONS, &[]).unwrap();
        let pool = SegmentPool::open(disk.clone(), 16 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed: recovered.last_zxid.0 as u64 };
        let mut writer = Writer::open(disk.clone(), pool, &recovered.log, settings).unwrap();
        for _ in 0..count {
            let zxid = writer.last_zxid().next();
            writer.append(zxid, &txn(zxid)).unwrap();
            writer.roll();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
    }

    /// What a housekeeper does: a snapshot, and the manifest that names it.
    fn snapshot(disk: &MemoryDisk, zxid: i64, log_start: i64) {
        let file = disk.create(&snapshot_file_name(Zxid(zxid)), Access::Write).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        let mut manifest = ManifestStore::open(disk.clone(), true).unwrap();
        let now = *manifest.current();
        let next = Manifest { snapshot: Some(Zxid(zxid)), log_start: Zxid(log_start), ..now };
        manifest.change(next).unwrap();
    }

    fn check(disk: &MemoryDisk, unreadable: &[i64], loaded: Option<i64>, last: i64) {
        let (recovered, built) = recover_with(disk, OPTIONS, unreadable).unwrap();
        assert_eq!(built.snapshot, loaded.map(Zxid));
        assert_eq!(recovered.snapshot, built.snapshot);
        assert_eq!(recovered.last_zxid, Zxid(last));
        let first = loaded.unwrap_or(0) + 1;
        assert_eq!(built.applied, (first..=last).map(Zxid).collect::<Vec<_>>());
        assert_eq!(recovered.replayed_records as usize, built.applied.len());
    }

    fn refusal(disk: &MemoryDisk, options: Options, unreadable: &[i64]) -> String {
        recover_with(disk, options, unreadable).err().expect("it must not start").to_string()
    }

    #[test]
    fn a_fresh_directory_is_an_empty_state() {
        let disk = MemoryDisk::new();
        check(&disk, &[], None, 0);
        check(&disk.crash(&mut |_| 0), &[], None, 0);
    }

    #[test]
    fn the_newest_readable_snapshot_and_the_log_behind_it_are_the_state() {
        let disk = MemoryDisk::new();
        run(&disk, 3);
        check(&disk, &[], None, 3);
        run(&disk, 3);
        snapshot(&disk, 2, 0);
        snapshot(&disk, 5, 0);
        check(&disk, &[], Some(5), 6);
        check(&disk, &[5], Some(2), 6);
        check(&disk, &[5, 2], None, 6);
        snapshot(&disk, 6, 1);
        check(&disk, &[], Some(6), 6);
        run(&disk, 1);
        check(&disk, &[6], Some(5), 7);
        let error = refusal(&disk, OPTIONS, &[6, 5, 2]);
        assert!(error.contains("log begins only behind 0x1: snapshot.6: chunk 3"), "{error}");
    }

    #[test]
    fn snapshots_the_manifest_does_not_name_are_removed() {
        let disk = MemoryDisk::new();
        run(&disk, 3);
        snapshot(&disk, 2, 0);
        disk.create(&snapshot_file_name(Zxid(3)), Access::Write).unwrap();
        disk.create(&unfinished_snapshot_file_name(Zxid(3)), Access::Write).unwrap();
        check(&disk, &[], Some(2), 3);
        assert_eq!(snapshots(&disk).unwrap(), [Zxid(2)]);
        assert!(!disk.list().unwrap().contains(&unfinished_snapshot_file_name(Zxid(3))));
    }

    #[test]
    fn a_log_that_does_not_reach_its_snapshot_is_missing_files() {
        let check = |gone: &[&str], expect: &str| {
            let disk = MemoryDisk::new();
            run(&disk, 6);
            snapshot(&disk, 5, 1);
            for name in gone {
                disk.remove(name).unwrap();
            }
            let error = refusal(&disk, OPTIONS, &[]);
            assert!(error.contains(expect), "{error}");
        };
        check(&["log.5", "log.6"], "the log ends at 0x4, before the snapshot 0x5");
        check(&["log.2", "log.3", "log.4", "log.5", "log.6"], "the log ends at");
        let manifests = ["manifest.a", "manifest.b"];
        check(&manifests, "manifest.a and manifest.b are missing");
    }

    #[test]
    fn without_force_sync_the_log_starts_again_behind_the_snapshot() {
        let disk = MemoryDisk::new();
        run(&disk, 6);
        snapshot(&disk, 5, 1);
        for name in ["log.5", "log.6"] {
            disk.remove(name).unwrap();
        }
        let options = Options { synced: false, ..OPTIONS };
        let (recovered, _) = recover_with(&disk, options, &[]).unwrap();
        assert_eq!(recovered.last_zxid, Zxid(5));
        run(&disk, 2);
        check(&disk, &[], Some(5), 7);
    }

    #[test]
    fn a_truncation_takes_snapshots_and_log_in_one_switch() {
        let original = MemoryDisk::new();
        run(&original, 6);
        snapshot(&original, 2, 0);
        snapshot(&original, 5, 0);
        for survives in [0, 1] {
            for syncs in 0..6 {
                let disk = original.killed();
                let mut manifest = ManifestStore::open(disk.clone(), true).unwrap();
                disk.fail_sync_after(syncs, libc::EIO);
                let done = truncate_log(&mut manifest, &disk, &disk, Zxid(4), 7);
                let crashed = disk.crash(&mut |below| survives.min(below - 1));
                let (recovered, _) = recover_with(&crashed, OPTIONS, &[]).unwrap();
                let last = recovered.last_zxid;
                assert!(last == Zxid(4) || (last == Zxid(6) && done.is_err()), "{last}");
                if last == Zxid(4) {
                    check(&crashed, &[], Some(2), 4);
                    run(&crashed, 1);
                    check(&crashed, &[], Some(2), 5);
                }
            }
        }
    }

    #[test]
    fn a_truncation_that_cannot_work_changes_nothing() {
        let disk = MemoryDisk::new();
        run(&disk, 6);
        snapshot(&disk, 3, 1);
        for last in [0, 1, 2] {
            let mut manifest = ManifestStore::open(disk.clone(), true).unwrap();
            assert!(truncate_log(&mut manifest, &disk, &disk, Zxid(last), 7).is_err());
            check(&disk, &[], Some(3), 6);
        }
    }

    #[test]
    fn a_record_that_is_no_transaction_stops_the_start() {
        let disk = MemoryDisk::new();
        run(&disk, 1);
        let end = Reader::open(&disk, Zxid::ZERO, Zxid::ZERO).unwrap().finish().unwrap();
        let pool = SegmentPool::open(disk.clone(), 16 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed: 5 };
        let mut writer = Writer::open(disk.clone(), pool, &end, settings).unwrap();
        writer.append(Zxid(2), &txn(Zxid(3))).unwrap();
        writer.close().unwrap();
        let error = refusal(&disk, OPTIONS, &[]);
        assert_eq!(error, "the log's record 0x2 holds transaction 0x3");
    }
}
