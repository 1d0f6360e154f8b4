//! What a log promises across power cuts, kills, rot and failing disks, tried with many schedules.
//!
//! Every run of a "server" appends bodies that no other run appends. So a record that comes back
//! from a purged, truncated or recycled place is seen at once, not only one that is lost.
#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use menagerie_engine::disk::{Access, Disk, DiskFile, MemoryDisk};
use menagerie_engine::wal::{LogEnd, Reader, SegmentPool, Settings, WalError, Writer};
use menagerie_wire::Zxid;
use proptest::prelude::*;
use schedule::{body, chooser};

mod schedule;

const SEGMENT_BYTES: u64 = 32 << 10;

/// One thing that happens to a server or its disk.
#[derive(Clone, Debug)]
enum Event {
    Append(usize),
    Submit,
    /// The commit under way ends and is noticed.
    Collect,
    MakeSpare,
    Roll,
    MarkIdle,
    Close,
    Kill,
    /// The seed chooses what of the unsynced survives.
    PowerCut(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => prop_oneof![0..300usize, 3900..4200usize, 8000..40_000usize].prop_map(Event::Append),
        6 => Just(Event::Submit),
        6 => Just(Event::Collect),
        1 => Just(Event::MakeSpare),
        1 => Just(Event::Roll),
        1 => Just(Event::MarkIdle),
        1 => Just(Event::Close),
        1 => Just(Event::Kill),
        2 => any::<u64>().prop_map(Event::PowerCut),
    ]
}

/// A server that does nothing but log, and what it has told its clients.
struct Server {
    disk: MemoryDisk,
    pool: SegmentPool<MemoryDisk>,
    writer: Option<Writer<MemoryDisk>>,
    run: u64,
    appended: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Server {
    fn start(disk: MemoryDisk, run: u64, appended: Vec<Vec<u8>>, acknowledged: usize) -> Self {
        let (end, found) = read_all(&disk).expect("a crash is no damage");
        assert!(found.len() >= acknowledged, "{} of {acknowledged} records", found.len());
        assert!(found.len() <= appended.len(), "more than was ever appended");
        assert!(found == appended[..found.len()], "a record is not the one that was appended");
        let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).unwrap();
        let settings = Settings { synced: true, nonce_seed: run };
        let writer = Writer::open(disk.clone(), pool.clone(), &end, settings).unwrap();
        let acknowledged = found.len();
        disk.hold_commits();
        Self { disk, pool, writer: Some(writer), run, appended: found, acknowledged }
    }

    fn restart(self, disk: MemoryDisk) -> Self {
        Self::start(disk, self.run + 1, self.appended, self.acknowledged)
    }

    fn happen(mut self, event: &Event) -> Self {
        let Some(writer) = self.writer.as_mut() else { unreachable!("only a close takes it") };
        match *event {
            Event::Append(len) => {
                let zxid = writer.last_zxid().next();
                let body = body(self.run, zxid.0, len);
                writer.append(zxid, &body).unwrap();
                self.appended.push(body);
            }
            Event::Submit => drop(writer.submit().unwrap()),
            Event::Collect => {
                self.disk.release_commits();
                writer.poll().unwrap();
                self.acknowledged = writer.durable_zxid().0 as usize;
                self.disk.hold_commits();
            }
            Event::MakeSpare => drop(self.pool.work_once().unwrap()),
            Event::Roll => writer.roll(),
            Event::MarkIdle => drop(writer.mark_idle().unwrap()),
            Event::Close => {
                self.disk.release_commits();
                let writer = self.writer.take().expect("it is open");
                self.acknowledged = writer.close().unwrap().0 as usize;
                assert_eq!(self.acknowledged, self.appended.len());
                let disk = self.disk.crash(&mut |_| 0);
                return self.restart(disk);
            }
            Event::Kill => {
                let disk = self.disk.killed();
                return self.restart(disk);
            }
            Event::PowerCut(seed) => {
                let disk = self.disk.crash(&mut chooser(seed));
                return self.restart(disk);
            }
        }
        self
    }
}

fn read_all(disk: &MemoryDisk) -> Result<(LogEnd, Vec<Vec<u8>>), WalError> {
    let mut reader = Reader::open(disk, Zxid::ZERO, Zxid::ZERO)?;
    let mut found = Vec::new();
    while let Some(record) = reader.next_record()? {
        assert_eq!(record.zxid, Zxid(found.len() as i64 + 1));
        found.push(record.body.to_vec());
    }
    Ok((reader.finish()?, found))
}

/// A closed log of these batches.
fn log_of(batches: &[Vec<usize>]) -> (MemoryDisk, Vec<Vec<u8>>) {
    let mut server = Server::start(MemoryDisk::new(), 1, Vec::new(), 0);
    for batch in batches {
        for &len in batch {
            server = server.happen(&Event::Append(len));
        }
        server = server.happen(&Event::Submit).happen(&Event::Collect);
    }
    server.disk.release_commits();
    server.writer.take().expect("it is open").close().unwrap();
    (server.disk.killed(), server.appended)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_crash_loses_an_acknowledged_record_or_invents_one(
        events in prop::collection::vec(event(), 1..80)
    ) {
        let mut server = Server::start(MemoryDisk::new(), 1, Vec::new(), 0);
        for event in &events {
            server = server.happen(event);
        }
        let disk = server.disk.crash(&mut |_| 0);
        server.restart(disk);
    }

    #[test]
    fn rot_anywhere_in_a_closed_log_is_harmless_or_refused_never_a_shorter_log(
        batches in prop::collection::vec(prop::collection::vec(0..6000usize, 1..4), 1..8),
        places in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 40),
    ) {
        let (disk, appended) = log_of(&batches);
        let (end, _) = read_all(&disk).unwrap();
        for (place, bit) in places {
            let segment = &end.segments[place.index(end.segments.len())].name;
            // The header block and the batches begin the file: look there more often.
            let bytes = disk.open(segment, Access::Read).unwrap().bytes().unwrap();
            let offset = place.index(bytes as usize / 2) as u64;
            let rotten = disk.killed();
            rotten.damage(segment, offset, 1 << bit);
            match read_all(&rotten) {
                Ok((_, found)) => prop_assert!(found == appended, "a shorter log"),
                Err(WalError::Damaged { file, .. }) => prop_assert!(&file == segment),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn whatever_the_files_hold_a_reader_finds_a_part_of_the_history_or_refuses(
        batches in prop::collection::vec(prop::collection::vec(0..6000usize, 1..4), 1..8),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..6),
    ) {
        let (disk, appended) = log_of(&batches);
        let (end, _) = read_all(&disk).unwrap();
        for (place, seed) in changes {
            mangle(&disk, &end, place, seed);
            if let Ok((_, found)) = read_all(&disk) {
                prop_assert!(found.len() <= appended.len());
                prop_assert!(found == appended[..found.len()], "an invented record");
            }
        }
    }
}

/// Cuts a log file short, writes over a part of it, or puts another one's bytes in its place.
fn mangle(disk: &MemoryDisk, end: &LogEnd, place: prop::sample::Index, seed: u64) {
    let mut choose = chooser(seed);
    let mut pick = || &end.segments[choose(end.segments.len() as u64) as usize].name;
    let (name, other) = (pick(), pick());
    let read = |name: &str| {
        let file = disk.open(name, Access::Read).unwrap();
        let mut bytes = vec![0; file.bytes().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    let mut bytes = read(name);
    let at = place.index(bytes.len() + 1);
    match choose(3) {
        0 => bytes.truncate(at),
        1 => bytes[at..].iter_mut().take(100).for_each(|byte| *byte = choose(256) as u8),
        _ => bytes = read(other),
    }
    disk.create(name, Access::Write).unwrap().write_at(&bytes, 0).unwrap();
}

#[test]
fn damage_is_refused_with_file_and_offset() {
    let (disk, _) = log_of(&[vec![100], vec![100, 100], vec![100]]);
    // The second batch is the third block; its second record lies behind 48 + 24 + 100 bytes.
    disk.damage("log.1", 2 * 4096 + 48 + 124 + 30, 0x40);
    let error = read_all(&disk).unwrap_err().to_string();
    assert!(error.starts_with("log.1 is damaged at byte 8364"), "{error}");
    assert!(error.contains("does not match its checksum"), "{error}");
    assert!(error.ends_with("whole up to zxid 0x2"), "{error}");
}

#[test]
fn a_missing_segment_is_a_gap_or_damage_and_never_skipped() {
    let (disk, _) = log_of(&[vec![20_000], vec![20_000], vec![20_000]]);
    let check = |name: &str, expect: &str| {
        let holed = disk.killed();
        holed.remove(name).unwrap();
        let error = read_all(&holed).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("log.1", "transactions 0x1 to 0x1 are missing: log.2 begins behind them");
    check("log.2", "log.1 is damaged");
}
