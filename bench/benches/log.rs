//! What the log costs: the processor's part of an append, and whole commits on a real disk.
//!
//! The first group writes to the disk in memory, whose files have to be made anew again and again,
//! for it would keep everything. The second runs in cargo's directory for temporary files and is as
//! fast as that file system; set it against `menagerie-bench disk --dir target/tmp`.

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use menagerie_engine::disk::{Disk, MemoryDisk, SystemDisk};
use menagerie_engine::wal::pool::Preallocator;
use menagerie_engine::wal::{LogEnd, SegmentPool, Settings, Writer};

const RECORD: [u8; 1100] = [b'm'; 1100];
const SEGMENT_BYTES: u64 = 64 << 20;
/// Records in one round on the disk in memory.
const ROUND: u64 = 1_000;

fn open<D: Disk>(disk: D, pool: SegmentPool<D>) -> Writer<D> {
    let settings = Settings { synced: true, nonce_seed: 1 };
    Writer::open(disk, pool, &LogEnd::default(), settings).expect("an empty log opens")
}

/// Appends `records` and waits until they are durable.
fn commit<D: Disk>(writer: &mut Writer<D>, records: u64) {
    for _ in 0..records {
        let zxid = writer.last_zxid().next();
        writer.append(zxid, black_box(&RECORD)).expect("the log takes records");
    }
    writer.flush().expect("the disk takes the batch");
}

fn append_in_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/memory");
    group.throughput(Throughput::Elements(ROUND));
    let fresh = || {
        let disk = MemoryDisk::new();
        let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).expect("memory has room");
        open(disk, pool)
    };
    group.bench_function("append 1000 records, one commit", |bencher| {
        bencher.iter_batched_ref(fresh, |writer| commit(writer, ROUND), BatchSize::PerIteration);
    });
    group.finish();
}

fn commit_to_disk(criterion: &mut Criterion) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("cargo's temporary directory is writable");
    let disk = SystemDisk::open(&dir).expect("the directory is there");
    let pool = SegmentPool::open(disk.clone(), SEGMENT_BYTES).expect("the disk has room");
    let spares = Preallocator::spawn(pool.clone()).expect("a thread can be started");
    let mut writer = open(disk, pool);
    let mut group = criterion.benchmark_group("log/disk");
    group.sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    for records in [1, 16, 64] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("commit of {records} records"), |bencher| {
            bencher.iter(|| commit(&mut writer, records));
        });
    }
    group.finish();
    drop(spares);
    drop(writer);
    std::fs::remove_dir_all(&dir).expect("the log can be removed");
}

criterion_group!(benches, append_in_memory, commit_to_disk);
criterion_main!(benches);
