//! Whole operations on the tree: a request judged and applied, a transaction replayed, a read
//! answered. Each write is followed by a sealed root every [`BATCH`] transactions, as a busy
//! sequencer does.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use menagerie_bench::grown_tree::{Grown, VALUE};
use menagerie_engine::tree::Root;
use menagerie_engine::txn::{self, Caller, Rules, Stamp};
use menagerie_wire::data::{Acl, Id, perms};
use menagerie_wire::proto::{Create, PathVersion, PathWatch, Request, SetData};
use menagerie_wire::txn::{Txn, TxnBody, TxnHeader};
use menagerie_wire::{OpCode, SessionId, Xid};

const BATCH: u64 = 64;
const SESSION: SessionId = SessionId(1);
const RECLAIM_BUDGET: usize = 100_000;

/// One server's engine under one client.
struct Engine {
    grown: Grown,
    rules: Rules,
    ids: [Id<'static>; 1],
    held: Root,
    transactions: u64,
}

impl Engine {
    fn new() -> Self {
        let mut grown = Grown::new(100, 1_000);
        grown.tree.open_session(SESSION, 30_000);
        let held = grown.tree.seal();
        let ids = [Id::new("ip", "127.0.0.1")];
        Self { grown, rules: Rules::default(), ids, held, transactions: 0 }
    }

    fn path(&mut self) -> String {
        self.grown.step().1.to_owned()
    }

    fn stamp(&self) -> Stamp {
        let zxid = self.grown.tree.view().last_zxid().next();
        Stamp { session: SESSION, cxid: Xid(1), zxid, time_ms: 1 }
    }

    fn execute(&mut self, request: &Request<'_>) {
        let stamp = self.stamp();
        let caller = Caller { session: stamp.session, ids: &self.ids };
        let executed =
            txn::execute(&mut self.grown.tree, &self.rules, &caller, stamp, black_box(request));
        let result = &executed.outcome.result;
        assert!(result.is_ok(), "the request is legal: {result:?}");
        black_box(executed);
        self.count();
    }

    fn count(&mut self) {
        self.transactions += 1;
        if self.transactions.is_multiple_of(BATCH) {
            self.held = self.grown.tree.seal();
            self.grown.tree.reclaim(RECLAIM_BUDGET);
        }
    }
}

fn set_data(path: &str) -> Request<'_> {
    Request::SetData(SetData { path: Some(path.into()), data: Some(&VALUE), version: -1 })
}

fn execute(criterion: &mut Criterion) {
    let mut engine = Engine::new();
    let mut group = criterion.benchmark_group("apply/execute");
    group.throughput(Throughput::Elements(1));
    group.bench_function("setData", |bencher| {
        bencher.iter(|| {
            let path = engine.path();
            engine.execute(&set_data(&path));
        });
    });
    group.throughput(Throughput::Elements(2));
    group.bench_function("create and delete", |bencher| {
        bencher.iter(|| {
            let path = engine.path() + "-new";
            let create = Create {
                path: path.as_str().into(),
                data: Some(&VALUE),
                acl: Some(vec![Acl::world(perms::ALL)]),
                flags: 0,
                ttl_ms: None,
            };
            engine.execute(&Request::Create(OpCode::Create, create));
            let delete = PathVersion { path: path.as_str().into(), version: -1 };
            engine.execute(&Request::Delete(delete));
        });
    });
    group.finish();
}

/// The same setData as above without the judging, as recovery and followers do it.
fn replay(criterion: &mut Criterion) {
    let mut engine = Engine::new();
    let mut group = criterion.benchmark_group("apply/replay");
    group.throughput(Throughput::Elements(1));
    group.bench_function("setData", |bencher| {
        bencher.iter(|| {
            let path = engine.path();
            let Stamp { session, cxid, zxid, time_ms } = engine.stamp();
            let header = TxnHeader { client_id: session, cxid, zxid, time_ms, op: OpCode::SetData };
            let body = TxnBody::SetData {
                path: path.as_str().into(),
                data: Some(VALUE.as_slice().into()),
                version: 1,
            };
            let outcome = txn::apply(&mut engine.grown.tree, black_box(&Txn { header, body }));
            assert!(outcome.result.is_ok(), "the node is there");
            black_box(outcome);
            engine.count();
        });
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut engine = Engine::new();
    let mut group = criterion.benchmark_group("apply/read");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::with_capacity(4096);
    group.bench_function("getData", |bencher| {
        bencher.iter(|| {
            let path = engine.path();
            let request = Request::GetData(PathWatch { path: path.as_str().into(), watch: false });
            let caller = Caller { session: SESSION, ids: &engine.ids };
            out.clear();
            let view = engine.held.view();
            txn::read::answer(view, &engine.rules, &caller, black_box(&request), &mut out)
                .expect("the node may be read");
            black_box(&out);
        });
    });
    group.finish();
}

criterion_group!(benches, execute, replay, read);
criterion_main!(benches);
