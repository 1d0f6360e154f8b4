//! What the tree costs: nanoseconds of CPU per lookup and update, bytes per node, snapshots.
//!
//! `cargo run --release -p menagerie-engine --example tree_cost [NODES]`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use menagerie_engine::snapshot::{Pace, load, write};
use menagerie_engine::tree::{NewNode, Owner, Tree};
use menagerie_wire::Zxid;
use menagerie_wire::data::{Acl, perms};

fn main() {
    let nodes = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("NODES"));
    for (shape, per_directory) in [("1000 to a directory", 1000), ("one directory", nodes)] {
        measure(shape, nodes, per_directory);
    }
}

fn measure(shape: &str, nodes: usize, per_directory: usize) {
    let data = vec![7; 100];
    let before = resident_bytes();
    let mut tree = Tree::new();
    let mut zxid = 0;
    let path = |i: usize| format!("/d{}/node-{i:07}", i / per_directory);
    let start = cpu_ns();
    for i in 0..nodes {
        if i % per_directory == 0 {
            create(&mut tree, &format!("/d{}", i / per_directory), b"", &mut zxid);
        }
        create(&mut tree, &path(i), &data, &mut zxid);
        if i % 64 == 0 {
            drop(tree.seal());
        }
    }
    let each = (cpu_ns() - start) / nodes;
    drop(tree.seal());
    tree.reclaim(usize::MAX);
    let (blocks, bytes) = tree.memory();
    println!("{nodes} nodes of 100 bytes, {shape}:");
    println!("  create in batches of 64: {each} ns");
    println!("  {blocks} blocks, {} bytes per node asked for", bytes as usize / nodes);
    println!("  {} bytes per node resident", (resident_bytes() - before) / nodes);

    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % nodes
    };
    let paths: Vec<_> = (0..200_000).map(|_| path(random())).collect();
    let start = cpu_ns();
    for path in &paths {
        black_box(tree.view().node(path).expect("made above").data());
    }
    println!("  lookup: {} ns", (cpu_ns() - start) / paths.len());

    for batch in [1, 64, 1024] {
        let mut held = tree.seal();
        let start = cpu_ns();
        for (i, path) in paths.iter().enumerate() {
            zxid += 1;
            tree.set_data(path, Some(&data), 1, Zxid(zxid), 1).expect("made above");
            tree.advance(Zxid(zxid));
            if i % batch == batch - 1 {
                held = tree.seal();
            }
        }
        let each = (cpu_ns() - start) / paths.len();
        println!("  set in batches of {batch}, a root held: {each} ns");
        drop(held);
    }
    snapshot(&mut tree, shape);
    let start = cpu_ns();
    drop(tree);
    println!("  drop: {} ms", (cpu_ns() - start) / 1_000_000);
}

/// Wall time, since other threads and the disk take part.
fn snapshot(tree: &mut Tree, shape: &str) {
    let directory = std::env::temp_dir().join(format!("tree-cost-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect(shape);
    let (root, stop) = (tree.seal(), AtomicBool::new(false));
    let start = Instant::now();
    let written = write(&root, &directory, Pace::UNPACED, &stop).expect(shape);
    let (mib, took) = (written.bytes as f64 / 1048576.0, start.elapsed());
    println!("  snapshot of {mib:.0} MiB written at {:.0} MiB/s", mib / took.as_secs_f64());
    for threads in [1, 2] {
        let (start, cpu) = (Instant::now(), process_cpu_ms());
        let loaded = load(&written.path, threads).expect(shape);
        let (took, cpu) = (start.elapsed().as_millis(), process_cpu_ms() - cpu);
        println!("  loaded by {threads} + 1 threads in {took} ms, {cpu} ms of CPU");
        assert_eq!(loaded.view().digest(), root.view().digest());
        println!("  {} bytes per node asked for", loaded.memory().1 / written.nodes);
    }
    std::fs::remove_dir_all(&directory).expect(shape);
}

fn create(tree: &mut Tree, path: &str, data: &[u8], zxid: &mut i64) {
    *zxid += 1;
    let czxid = Zxid(*zxid);
    let acl = const { &[Acl::world(perms::ALL)] };
    let node = NewNode { data: Some(data), acl, owner: Owner::None, czxid, ctime_ms: 1 };
    tree.insert(path, node, *zxid as i32, czxid).expect("the names are new");
    tree.advance(czxid);
}

/// Time on a core, so that neighbours on a shared machine count less.
fn cpu_ns() -> usize {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("time on a core")
}

/// Of all threads, in the kernel too.
fn process_cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().into_iter().flat_map(|rest| rest.split(' '));
    fields.skip(12).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("resident pages") * 4096
}
