//! Whatever a client sends, the server lives, and others notice nothing.
//!
//! Bodies are garbage, or right ones with some bytes changed: those get further.

use menagerie_wire::data::Acl;
use menagerie_wire::jute::Put;
use menagerie_wire::proto::{Create, PathVersion, PathWatch, SetAcl, SetData};
use menagerie_wire::{Encode, OpCode};
use proptest::prelude::*;

use super::world::{World, create, data, get, request, set};

/// A body that would do for `op`, as long as it is one of the common ones.
fn body(op: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let acl = Some(vec![Acl::world(31)]);
    let path = "/h/a";
    match OpCode::try_from(op) {
        Ok(OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl) => {
            let ttl_ms = (op == OpCode::CreateTtl as i32).then_some(5);
            let flags = if ttl_ms.is_some() { 5 } else { 2 };
            Create { path: path.into(), data: Some(b"x"), acl, flags, ttl_ms }.encode(&mut out);
        }
        Ok(OpCode::Delete | OpCode::Check) => {
            PathVersion { path: path.into(), version: -1 }.encode(&mut out);
        }
        Ok(OpCode::SetData) => {
            let path = Some(path.into());
            SetData { path, data: Some(b"y"), version: -1 }.encode(&mut out);
        }
        Ok(OpCode::SetAcl) => SetAcl { path: Some(path.into()), acl, version: -1 }.encode(&mut out),
        Ok(OpCode::Multi | OpCode::MultiRead) => {
            for inner in [OpCode::Create, OpCode::SetData, OpCode::GetData, OpCode::Check] {
                multi_header(&mut out, inner as i32, false);
                out.extend(body(inner as i32));
            }
            multi_header(&mut out, -1, true);
        }
        Ok(OpCode::SetWatches | OpCode::SetWatches2) => {
            out.put_long(0);
            for _ in 0..5 {
                out.put_int(1);
                out.put_ustring(Some(path));
            }
        }
        Ok(OpCode::Auth) => {
            out.put_int(0);
            out.put_ustring(Some("digest"));
            out.put_buffer(Some(b"u:p"));
        }
        _ => {
            PathWatch { path: path.into(), watch: true }.encode(&mut out);
            out.extend([0; 8]);
        }
    }
    out
}

fn multi_header(out: &mut Vec<u8>, op: i32, done: bool) {
    out.put_int(op);
    out.put_bool(done);
    out.put_int(-1);
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![4 => -11..25_i32, 4 => 100..109_i32, 1 => any::<i32>()];
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..4);
    let shaped = (op, any::<i32>(), changes, any::<prop::sample::Index>(), any::<bool>());
    let shaped = shaped.prop_map(|(op, xid, changes, end, whole)| {
        let mut body = body(op);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if !whole {
            body.truncate(end.index(body.len()));
        }
        request(xid, op, |out| out.extend(body))
    });
    prop_oneof![9 => shaped, 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    #[test]
    fn whatever_a_client_sends_others_are_served(
        frames in prop::collection::vec((frame(), any::<bool>()), 1..30),
    ) {
        let mut world = World::new();
        let (hostile, modest) = (world.client(0), world.client(0));
        world.receive(modest.key, &[create(1, "/m"), create(2, "/h")].concat());
        world.settle();
        world.sent(modest.key);
        for (frame, commits) in frames {
            world.receive(hostile.key, &frame);
            world.judge();
            if commits {
                world.commit();
            }
        }
        world.receive(modest.key, &[set(3, "/m", b"1"), get(4, "/m", false)].concat());
        world.settle();
        let sent = world.sent(modest.key);
        prop_assert_eq!(sent.iter().map(|sent| sent.xid).collect::<Vec<_>>(), [3, 4]);
        prop_assert_eq!(data(&sent[1]), b"1");
        // What was sent to the other one is whole frames.
        world.sent(hostile.key);
        world.closed(hostile.key);
        prop_assert_eq!(world.shards[0].connection_count(), 1);
        prop_assert_eq!(world.shards[0].watch_count(), 0);
    }

    #[test]
    fn whatever_comes_in_place_of_a_handshake_does_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        length in prop::option::of(0..80_u8),
    ) {
        let mut world = World::new();
        let modest = world.client(0);
        let key = world.open(0);
        let start = length.map_or(vec![], |length| vec![0, 0, 0, length]);
        world.receive(key, &[start, bytes].concat());
        world.settle();
        world.take(key);
        world.closed(key);
        world.receive(modest.key, &create(1, "/m"));
        world.settle();
        prop_assert_eq!(world.xids(modest.key), [1]);
    }
}
