//! The znode tree alone: lookups, and edits in batches that each end with a sealed root.
//!
//! A root is held while the next batch is made, as a shard holds one, so that every batch copies
//! what it touches first and edits it in place from then on. A second shape, one directory with
//! all nodes, shows whether the number of children costs anything.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use menagerie_bench::grown_tree::{Grown, VALUE, insert};
use menagerie_engine::tree::Root;
use menagerie_wire::Zxid;

/// Directories and nodes in each of them.
const SHAPES: [(u32, u32); 2] = [(100, 1_000), (1, 1_000_000)];
const BATCHES: [u64; 3] = [1, 16, 256];
/// Steps of reclaiming per batch, more than any of these batches leaves behind.
const RECLAIM_BUDGET: usize = 100_000;

fn name((directories, nodes): (u32, u32)) -> String {
    format!("{directories} x {nodes}")
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree/lookup");
    group.throughput(Throughput::Elements(1));
    for shape in SHAPES {
        let mut grown = Grown::new(shape.0, shape.1);
        let root = grown.tree.seal();
        group.bench_function(name(shape), |bencher| {
            bencher.iter(|| {
                let (_, path) = grown.step();
                let node = root.view().node(black_box(path)).expect("every path is in the tree");
                black_box((node.data(), node.stat()))
            });
        });
    }
    group.finish();
}

/// Ends a batch; the root before it is given up.
fn seal(grown: &mut Grown, held: &mut Option<Root>) {
    *held = Some(grown.tree.seal());
    grown.tree.reclaim(RECLAIM_BUDGET);
}

fn set(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree/set");
    for shape in SHAPES {
        let mut grown = Grown::new(shape.0, shape.1);
        let mut held = None;
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(name(shape), batch), |bencher| {
                bencher.iter(|| {
                    for _ in 0..batch {
                        let (tree, path) = grown.step();
                        tree.set_data(path, Some(&VALUE), 1, Zxid(1), 1)
                            .expect("every path is in the tree");
                    }
                    seal(&mut grown, &mut held);
                });
            });
        }
    }
    group.finish();
}

/// A batch creates nodes beside existing ones, the next deletes them; one element is one of each.
fn insert_and_remove(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree/insert and remove");
    for shape in SHAPES {
        let mut grown = Grown::new(shape.0, shape.1);
        let mut held = None;
        let mut made = Vec::new();
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(name(shape), batch), |bencher| {
                bencher.iter(|| {
                    for number in 0..batch {
                        let (tree, path) = grown.step();
                        let path = format!("{path}-{number}");
                        insert(tree, &path, &VALUE);
                        made.push(path);
                    }
                    seal(&mut grown, &mut held);
                    for path in made.drain(..) {
                        grown.tree.remove(&path, Zxid(1)).expect("the node was just made");
                    }
                    seal(&mut grown, &mut held);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lookup, set, insert_and_remove);
criterion_main!(benches);
