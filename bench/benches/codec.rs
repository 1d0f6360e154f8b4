//! What it costs to read requests from a frame and to write replies into a buffer.
//!
//! Paths and values have the sizes of a usual load: three components, 1 KiB of data.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use menagerie_wire::data::{Acl, Stat, perms};
use menagerie_wire::frame::{self, Cut};
use menagerie_wire::jute::Put as _;
use menagerie_wire::proto::{Create, PathWatch, ReplyHeader, Request, RequestHeader, SetData};
use menagerie_wire::{Decode as _, Encode, OpCode, Reader, Xid, Zxid};

const PATH: &str = "/services/orders/node-0000000042";
const VALUE: [u8; 1024] = [b'm'; 1024];

fn framed(op: OpCode, body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_with(&mut out, |out| {
        RequestHeader { xid: Xid(7), op: op as i32 }.encode(out);
        body.encode(out);
    });
    out
}

/// Cuts the frame and decodes header and body, as a server does with each request.
fn decode(received: &[u8]) -> Option<(RequestHeader, Request<'_>)> {
    let Ok(Cut::Frame(payload)) = frame::cut(received, frame::JUTE_MAXBUFFER_DEFAULT) else {
        return None;
    };
    let mut reader = Reader::new(payload);
    let header = RequestHeader::decode(&mut reader).ok()?;
    let op = OpCode::try_from(header.op).ok()?;
    Some((header, Request::decode(op, reader.rest()).ok()?))
}

fn decode_requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/decode");
    group.throughput(Throughput::Elements(1));
    let create = Create {
        path: PATH.into(),
        data: Some(&VALUE),
        acl: Some(vec![Acl::world(perms::ALL)]),
        flags: 0,
        ttl_ms: None,
    };
    let requests = [
        ("getData", framed(OpCode::GetData, &PathWatch { path: PATH.into(), watch: false })),
        (
            "setData",
            framed(
                OpCode::SetData,
                &SetData { path: Some(PATH.into()), data: Some(&VALUE), version: -1 },
            ),
        ),
        ("create", framed(OpCode::Create, &create)),
    ];
    for (name, request) in &requests {
        assert!(decode(request).is_some(), "{name} must decode");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| black_box(decode(black_box(request))))
        });
    }
    group.finish();
}

fn encode_replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/encode");
    group.throughput(Throughput::Elements(1));
    let header = ReplyHeader { xid: Xid(7), zxid: Zxid(9), err: 0 };
    let stat = Stat { data_length: 1024, ..Stat::default() };
    let mut out = Vec::with_capacity(4096);
    group.bench_function("stat", |bencher| {
        bencher.iter(|| {
            out.clear();
            frame::put_with(&mut out, |out| {
                black_box(header).encode(out);
                black_box(stat).encode(out);
            });
            black_box(&out);
        });
    });
    group.bench_function("data and stat", |bencher| {
        bencher.iter(|| {
            out.clear();
            frame::put_with(&mut out, |out| {
                black_box(header).encode(out);
                out.put_buffer(Some(black_box(&VALUE)));
                black_box(stat).encode(out);
            });
            black_box(&out);
        });
    });
    group.finish();
}

criterion_group!(benches, decode_requests, encode_replies);
criterion_main!(benches);
