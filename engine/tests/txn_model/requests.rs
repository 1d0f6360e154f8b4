//! Random requests over a small world, so that they meet: few names, few versions, some nonsense.

use menagerie_wire::OpCode;
use menagerie_wire::data::Acl;
use menagerie_wire::proto::{
    Create, MultiRead, MultiRequest, PathVersion, PathWatch, ReadOp, Request, SetAcl, SetData,
    WriteOp,
};
use proptest::prelude::*;
use proptest::sample::select;

/// Sessions that open, close and are sometimes unknown.
pub(crate) const SESSIONS: [i64; 3] = [0x0100_0000_0000_0001, 0x0100_0000_0000_0002, 3];

/// The sets of identities that callers come with.
pub(crate) const IDENTITIES: [&[(&str, &str)]; 3] = [
    &[("ip", "127.0.0.1")],
    &[("ip", "127.0.0.1"), ("digest", "bob:hash"), ("digest", "al:hash")],
    &[("ip", "127.0.0.1"), ("super", "")],
];

const PATHS: [&str; 20] = [
    "/",
    "/a",
    "/b",
    "/c",
    "/a/x",
    "/a/y",
    "/a/x/z",
    "/b/x",
    "/c/t",
    "/a/s-0000000001",
    "/a/s-0000000002",
    "/s-0000000002",
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/x",
    "/zookeeper/quota/a/x/zookeeper_limits",
];

const ODD_PATHS: [&str; 12] =
    ["", "a", "a/x", "/a/", "//", "/a//x", "/a/.", "/a/..", "/nope/x", "/a/\u{1}", "/a\0", "//a"];

const DATA: [Option<&[u8]>; 8] = [
    None,
    Some(b""),
    Some(b"1"),
    Some(b"twelve bytes"),
    Some(b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3"),
    Some(b"count=1,bytes=1"),
    Some(b"countHardLimit=2"),
    Some(b"junk"),
];

/// A request that owns its path, so that it can be kept, cloned and shrunk.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Create { op: OpCode, path: String, data: usize, acl: usize, flags: i32, ttl_ms: i64 },
    Delete { path: String, version: i32 },
    SetData { path: String, data: usize, version: i32 },
    SetAcl { path: String, acl: usize, version: i32 },
    Check { path: String, version: i32 },
    Multi(Vec<Self>),
    Close,
    Exists(String),
    GetData(String),
    GetChildren(String),
    GetChildren2(String),
    GetAcl(String),
    GetAllChildrenNumber(String),
    GetEphemerals(Option<String>),
    MultiRead(Vec<Self>, bool),
}

fn acl(index: usize) -> Option<Vec<Acl<'static>>> {
    Some(match index {
        0..=20 => vec![Acl::world(31)],
        21 => vec![Acl::world(1)],
        22 => vec![Acl::world(27), Acl::new(31, "digest", "bob:hash")],
        23 => vec![Acl::new(31, "auth", ""), Acl::world(1), Acl::world(1)],
        24 => vec![Acl::new(13, "digest", "bob:hash")],
        25 => vec![],
        26 => vec![Acl::world(31), Acl::new(1, "bogus", "x")],
        _ => return None,
    })
}

impl Ask {
    /// Creates a plain node that everyone may use.
    pub(crate) fn open(path: &str, data: usize) -> Self {
        let (op, path) = (OpCode::Create, path.to_owned());
        Self::Create { op, path, data, acl: 0, flags: 0, ttl_ms: 0 }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let at = |path: &'_ String| PathWatch { path: path.clone().into(), watch: false };
        match self {
            Self::Multi(asks) => {
                Request::Multi(MultiRequest { ops: asks.iter().map(Self::op).collect() })
            }
            Self::Close => Request::CloseSession,
            Self::SetAcl { path, acl: list, version } => {
                let (path, acl) = (Some(path.into()), acl(*list));
                Request::SetAcl(SetAcl { path, acl, version: *version })
            }
            Self::Exists(path) => Request::Exists(at(path)),
            Self::GetData(path) => Request::GetData(at(path)),
            Self::GetChildren(path) => Request::GetChildren(at(path)),
            Self::GetChildren2(path) => Request::GetChildren2(at(path)),
            Self::GetAcl(path) => Request::GetAcl(path.into()),
            Self::GetAllChildrenNumber(path) => Request::GetAllChildrenNumber(path.into()),
            Self::GetEphemerals(prefix) => Request::GetEphemerals(prefix.as_ref().map(Into::into)),
            Self::MultiRead(asks, of_writes) => {
                let ops = asks.iter().map(Self::read_op).collect();
                Request::MultiRead(MultiRead { ops, of_writes: *of_writes })
            }
            Self::Create { .. }
            | Self::Delete { .. }
            | Self::SetData { .. }
            | Self::Check { .. } => match self.op() {
                WriteOp::Create(op, create) => Request::Create(op, create),
                WriteOp::Delete(delete) | WriteOp::Check(delete) => Request::Delete(delete),
                WriteOp::SetData(set_data) => Request::SetData(set_data),
            },
        }
    }

    fn read_op(&self) -> ReadOp<'_> {
        match self.request() {
            Request::GetData(read) => ReadOp::GetData(read),
            Request::GetChildren(read) => ReadOp::GetChildren(read),
            other => panic!("{other:?} in a multiRead"),
        }
    }

    fn op(&self) -> WriteOp<'_> {
        match self {
            Self::Create { op, path, data, acl: list, flags, ttl_ms } => {
                let ttl_ms = (*op == OpCode::CreateTtl).then_some(*ttl_ms);
                let (path, data, acl) = (path.into(), DATA[*data], acl(*list));
                WriteOp::Create(*op, Create { path, data, acl, flags: *flags, ttl_ms })
            }
            Self::Delete { path, version } => {
                WriteOp::Delete(PathVersion { path: path.into(), version: *version })
            }
            Self::SetData { path, data, version } => {
                let (path, data) = (Some(path.into()), DATA[*data]);
                WriteOp::SetData(SetData { path, data, version: *version })
            }
            Self::Check { path, version } => {
                WriteOp::Check(PathVersion { path: path.into(), version: *version })
            }
            other => panic!("{other:?} in a multi"),
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![25 => select(&PATHS[..]), 1 => select(&ODD_PATHS[..])].prop_map(str::to_owned)
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![12 => Just(-1), 1 => -2..4]
}

fn create() -> impl Strategy<Value = Ask> {
    let op = select(
        &[
            OpCode::Create,
            OpCode::Create,
            OpCode::Create2,
            OpCode::CreateContainer,
            OpCode::CreateTtl,
        ][..],
    );
    let named = prop_oneof![
        8 => (path(), prop_oneof![8 => Just(0), 4 => Just(1), 1 => -1..8]),
        1 => (select(&["/a/s-", "/s-", "/a/", "/b/."][..]).prop_map(str::to_owned), 2..4),
    ];
    let ttl_ms = prop_oneof![6 => select(&[1, 2500, 9000][..]), 1 => select(&[0, -1, 1 << 40][..])];
    (op, named, 0..DATA.len(), 0..28usize, ttl_ms).prop_map(
        |(op, (path, flags), data, acl, ttl_ms)| {
            let flags = if op == OpCode::CreateTtl && flags < 2 { flags + 5 } else { flags };
            Ask::Create { op, path, data, acl, flags, ttl_ms }
        },
    )
}

fn operation() -> impl Strategy<Value = Ask> {
    prop_oneof![
        8 => create(),
        4 => (path(), version()).prop_map(|(path, version)| Ask::Delete { path, version }),
        3 => (path(), 0..DATA.len(), version())
            .prop_map(|(path, data, version)| Ask::SetData { path, data, version }),
    ]
}

/// A request that becomes a transaction.
pub(crate) fn write() -> impl Strategy<Value = Ask> {
    let check = (path(), version()).prop_map(|(path, version)| Ask::Check { path, version });
    let in_multi = prop_oneof![5 => operation(), 1 => check];
    prop_oneof![
        30 => operation(),
        4 => (path(), 0..28usize, version())
            .prop_map(|(path, acl, version)| Ask::SetAcl { path, acl, version }),
        6 => prop::collection::vec(in_multi, 0..4).prop_map(Ask::Multi),
        1 => Just(Ask::Close),
    ]
}

pub(crate) fn read() -> impl Strategy<Value = Ask> {
    let one = prop_oneof![path().prop_map(Ask::GetData), path().prop_map(Ask::GetChildren)];
    let prefix = select(&["", "/", "/a", "/a/s", "x"][..]);
    prop_oneof![
        path().prop_map(Ask::Exists),
        path().prop_map(Ask::GetData),
        path().prop_map(Ask::GetChildren),
        path().prop_map(Ask::GetChildren2),
        path().prop_map(Ask::GetAcl),
        path().prop_map(Ask::GetAllChildrenNumber),
        prop::option::of(prefix.prop_map(str::to_owned)).prop_map(Ask::GetEphemerals),
        (prop::collection::vec(one, 0..4), any::<bool>())
            .prop_map(|(asks, of_writes)| Ask::MultiRead(asks, of_writes)),
    ]
}
