//! Reads: what a client may see of a sealed root, written straight into its reply.
//!
//! Nothing here depends on who serves it or when: the same root, caller and request always give
//! the same bytes. Watches are the server's; it registers them after an answer that succeeded, and
//! for exists also after [`ErrorCode::NoNode`].
//!
//! Paths are not judged: one that is not canonical names no node, and "" is another name of "/".
//!
//! Facts: ZooKeeper `FinalRequestProcessor`.

use menagerie_wire::data::perms;
use menagerie_wire::jute::{Put, jute_len};
use menagerie_wire::proto::{MultiHeader, MultiRead, OptStr, ReadOp, Request};
use menagerie_wire::{Encode, ErrorCode, OpCode};

use super::{Caller, Rules, result};
use crate::access;
use crate::tree::{Node, View};

/// No reply grows beyond this: what asks for more is refused, so that one small multiRead cannot
/// fill the memory.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// Appends the body of the reply to `request`.
///
/// # Errors
/// What goes into the reply header; `out` is as it was then, with one exception: a multiRead of
/// writes fails with an empty list of results, and the client gets both.
pub fn answer(
    view: View<'_>,
    rules: &Rules,
    caller: &Caller<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let reader = Reader { view, rules, caller };
    let start = out.len();
    match request {
        Request::Exists(read) => reader.exists(&read.path)?.stat().encode(out),
        Request::GetData(read) => reader.data(&read.path, out)?,
        Request::GetChildren(read) => reader.children(&read.path, out).map(|_| ())?,
        Request::GetChildren2(read) => reader.children(&read.path, out)?.stat().encode(out),
        Request::GetAcl(path) => reader.acl(path, out)?,
        Request::GetAllChildrenNumber(path) => reader.descendants(path, out)?,
        Request::GetEphemerals(prefix) => reader.ephemerals(prefix, out),
        Request::MultiRead(multi) => return reader.multi(multi, out),
        Request::WhoAmI => access::encode_who_am_i(caller.ids, out),
        Request::Sync(path) => out.put_ustring(path.as_deref()),
        Request::Ping => {}
        _ => return Err(ErrorCode::Unimplemented),
    }
    if out.len() - start > REPLY_BYTES_MAX {
        out.truncate(start);
        return Err(ErrorCode::MarshallingError);
    }
    Ok(())
}

struct Reader<'r> {
    view: View<'r>,
    rules: &'r Rules,
    caller: &'r Caller<'r>,
}

impl<'r> Reader<'r> {
    fn permits(&self, node: Node<'_>, needed: i32) -> bool {
        self.rules.skip_acl || access::permits(node.acl(), needed, self.caller.ids)
    }

    /// The node, for who has one of the rights in `needed`.
    fn node(&self, path: &str, needed: i32) -> Result<Node<'r>, ErrorCode> {
        let node = self.view.node(path).ok_or(ErrorCode::NoNode)?;
        if self.permits(node, needed) { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }

    fn exists(&self, path: &str) -> Result<Node<'r>, ErrorCode> {
        if path.as_bytes().contains(&0) {
            return Err(ErrorCode::BadArguments);
        }
        self.node(path, perms::READ)
    }

    fn data(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.node(path, perms::READ)?;
        out.put_buffer(node.data());
        node.stat().encode(out);
        Ok(())
    }

    fn children(&self, path: &str, out: &mut Vec<u8>) -> Result<Node<'r>, ErrorCode> {
        let node = self.node(path, perms::READ)?;
        out.put_int(jute_len(node.child_count() as usize));
        for name in node.child_names() {
            out.put_buffer(Some(name));
        }
        Ok(node)
    }

    fn acl(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.node(path, perms::READ | perms::ADMIN)?;
        if self.permits(node, perms::ADMIN) {
            out.extend_from_slice(node.acl().jute());
        } else {
            access::encode_masked(node.acl(), out);
        }
        node.stat().encode(out);
        Ok(())
    }

    fn descendants(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let below = self.node(path, perms::READ)?.descendants();
        // Under its other name Apache counts the root itself, too.
        let number = below + u64::from(path.is_empty());
        out.put_int(i32::try_from(number).unwrap_or(i32::MAX));
        Ok(())
    }

    fn ephemerals(&self, prefix: &OptStr<'_>, out: &mut Vec<u8>) {
        let prefix = match prefix.as_deref().map(str::trim) {
            None | Some("" | "/") => "",
            Some(_) => prefix.as_deref().unwrap_or_default(),
        };
        let count_at = out.len();
        out.put_int(0);
        let mut count = 0;
        for path in self.view.ephemerals(self.caller.session) {
            if path.starts_with(prefix) {
                out.put_string(path);
                count += 1;
            }
        }
        out[count_at..count_at + 4].copy_from_slice(&jute_len(count).to_be_bytes());
    }

    fn multi(&self, multi: &MultiRead<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let start = out.len();
        let mut fits = true;
        for op in &multi.ops {
            self.one_of_multi(op, out);
            fits = out.len() - start <= REPLY_BYTES_MAX;
            if !fits {
                out.truncate(start);
                break;
            }
        }
        MultiHeader::END.encode(out);
        if multi.of_writes || !fits { Err(ErrorCode::MarshallingError) } else { Ok(()) }
    }

    fn one_of_multi(&self, op: &ReadOp<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let opcode = match op {
            ReadOp::GetData(_) => OpCode::GetData,
            ReadOp::GetChildren(_) => OpCode::GetChildren,
        };
        MultiHeader { op: opcode as i32, done: false, err: 0 }.encode(out);
        let answered = match op {
            ReadOp::GetData(read) => self.data(&read.path, out),
            ReadOp::GetChildren(read) => self.children(&read.path, out).map(|_| ()),
        };
        if let Err(code) = answered {
            out.truncate(start);
            result::encode_error(code.code(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::Decode;
    use menagerie_wire::data::{Acl, Id, Stat};
    use menagerie_wire::jute::Reader as Jute;
    use menagerie_wire::proto::PathWatch;

    use super::super::testing::*;
    use super::*;

    fn read(world: &World, request: &Request<'_>) -> Result<Vec<u8>, ErrorCode> {
        let caller = Caller { session: world.session, ids: &world.ids };
        let mut out = b"before".to_vec();
        let answered = answer(world.tree.view(), &world.rules, &caller, request, &mut out);
        assert!(out.starts_with(b"before"));
        if answered.is_err() {
            assert_eq!(out, b"before");
        }
        answered.map(|()| out.split_off(6))
    }

    fn at(path: &str) -> PathWatch<'_> {
        PathWatch { path: path.into(), watch: false }
    }

    fn world() -> World {
        let mut world = World::with(&["/a", "/a/x", "/a/y", "/a/y/z"]);
        world.ok(create_with("/shut", vec![Acl::world(30)]));
        world.ok(create_as(OpCode::Create, "/a/e", 1, None));
        world.ok(create_as(OpCode::Create, "/e", 1, None));
        world
    }

    fn strings(bytes: &[u8]) -> Vec<String> {
        let mut reader = Jute::new(bytes);
        let strings: Vec<std::borrow::Cow<'_, str>> = reader.vector().unwrap().unwrap();
        strings.into_iter().map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn a_node_is_shown_with_its_stat() {
        let world = world();
        let stat = world.node("/a").stat();
        let bytes = read(&world, &Request::Exists(at("/a"))).unwrap();
        assert_eq!(Stat::from_bytes(&bytes), Ok(stat));
        let bytes = read(&world, &Request::GetData(at("/a"))).unwrap();
        assert_eq!(bytes[..8], *b"\0\0\0\x04data");
        assert_eq!(Stat::from_bytes(&bytes[8..]), Ok(stat));
        let children = read(&world, &Request::GetChildren(at("/a"))).unwrap();
        assert_eq!(strings(&children), ["e", "x", "y"]);
        let bytes = read(&world, &Request::GetChildren2(at("/a"))).unwrap();
        assert_eq!(bytes, [children, stat.to_bytes()].concat());
        assert_eq!(
            read(&world, &Request::GetData(at(""))),
            read(&world, &Request::GetData(at("/")))
        );
    }

    #[test]
    fn errors_come_in_the_order_of_apache() {
        let world = world();
        for path in ["/nope", "a", "/a/", "//", "/a/."] {
            for request in [
                Request::Exists(at(path)),
                Request::GetData(at(path)),
                Request::GetChildren(at(path)),
                Request::GetChildren2(at(path)),
                Request::GetAcl(path.into()),
                Request::GetAllChildrenNumber(path.into()),
            ] {
                assert_eq!(read(&world, &request), Err(ErrorCode::NoNode), "{request:?}");
            }
        }
        for request in [
            Request::Exists(at("/shut")),
            Request::GetData(at("/shut")),
            Request::GetChildren2(at("/shut")),
            Request::GetAllChildrenNumber("/shut".into()),
        ] {
            assert_eq!(read(&world, &request), Err(ErrorCode::NoAuth), "{request:?}");
        }
        assert_eq!(read(&world, &Request::Exists(at("/\0"))), Err(ErrorCode::BadArguments));
        assert_eq!(read(&world, &Request::GetData(at("/\0"))), Err(ErrorCode::NoNode));
    }

    #[test]
    fn skipping_lists_shows_everything() {
        let mut world = world();
        world.rules.skip_acl = true;
        assert!(read(&world, &Request::GetData(at("/shut"))).is_ok());
    }

    #[test]
    fn hashes_are_shown_to_administrators_only() {
        let mut world = world();
        let acl = vec![Acl::world(1), Acl::new(31, "digest", "bob:hash")];
        world.ok(create_with("/his", acl.clone()));
        let shown = |world: &World| {
            let bytes = read(world, &Request::GetAcl("/his".into())).unwrap();
            let acl: Vec<Acl<'_>> = Jute::new(&bytes).vector().unwrap().unwrap();
            acl[1].id.id.clone().into_owned()
        };
        assert_eq!(shown(&world), "bob:x");
        world.ids.push(Id::new("digest", "bob:hash"));
        assert_eq!(shown(&world), "bob:hash");
        assert!(read(&world, &Request::GetAcl("/shut".into())).is_ok());
    }

    #[test]
    fn descendants_are_counted_without_the_node_itself() {
        let world = world();
        let check = |path: &str, expect: i32| {
            let bytes = read(&world, &Request::GetAllChildrenNumber(path.into())).unwrap();
            assert_eq!(bytes, expect.to_be_bytes(), "{path:?}");
        };
        check("/a", 4);
        check("/a/x", 0);
        check("/", 10);
        check("", 11);
    }

    #[test]
    fn ephemerals_are_the_caller_s_own_by_plain_prefix() {
        let mut world = world();
        let check = |world: &World, prefix: Option<&'static str>, expect: &[&str]| {
            let bytes = read(world, &Request::GetEphemerals(prefix.map(Into::into))).unwrap();
            assert_eq!(strings(&bytes), expect, "{prefix:?}");
        };
        for all in [None, Some(""), Some(" "), Some("/")] {
            check(&world, all, &["/a/e", "/e"]);
        }
        check(&world, Some("/a"), &["/a/e"]);
        check(&world, Some("a"), &[]);
        world.session = menagerie_wire::SessionId(5);
        check(&world, None, &[]);
    }

    #[test]
    fn reads_in_one_request_fail_each_for_itself() {
        let world = world();
        let ops = vec![
            ReadOp::GetData(at("/nope")),
            ReadOp::GetChildren(at("/a/y")),
            ReadOp::GetData(at("/shut")),
        ];
        let bytes = read(&world, &Request::MultiRead(MultiRead { ops, of_writes: false }));
        let expect = [
            &b"\xff\xff\xff\xff\0\xff\xff\xff\x9b\xff\xff\xff\x9b"[..],
            b"\0\0\0\x08\0\0\0\0\0\0\0\0\x01\0\0\0\x01z",
            b"\xff\xff\xff\xff\0\xff\xff\xff\x9a\xff\xff\xff\x9a",
            b"\xff\xff\xff\xff\x01\xff\xff\xff\xff",
        ];
        assert_eq!(bytes, Ok(expect.concat()));
    }

    #[test]
    fn a_multi_read_of_writes_fails_with_an_empty_list() {
        let world = world();
        let multi = MultiRead { ops: Vec::new(), of_writes: true };
        let caller = Caller { session: world.session, ids: &world.ids };
        let mut out = Vec::new();
        let request = Request::MultiRead(multi);
        let answered = answer(world.tree.view(), &world.rules, &caller, &request, &mut out);
        assert_eq!(answered, Err(ErrorCode::MarshallingError));
        assert_eq!(out.len(), 9);
    }
}
