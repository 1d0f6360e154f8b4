//! Requests and replies, as far as checkers look at them.

use menagerie_wire::data::Stat;
use menagerie_wire::event::EventType;
use menagerie_wire::{SessionId, Zxid};
use serde::{Deserialize, Serialize};

use super::ids::{SessionNumber, ZxidNumber};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A single write.
    Write(Write),
    /// Writes of which all happen, or none.
    Multi(Vec<Write>),
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    /// Data of many nodes in one reply. No watch is left.
    MultiRead(Vec<String>),
    Sync {
        path: String,
    },
    Ping,
    SetWatches {
        #[serde(with = "ZxidNumber")]
        relative_zxid: Zxid,
        data: Vec<String>,
        exist: Vec<String>,
        child: Vec<String>,
        persistent: Vec<String>,
        recursive: Vec<String>,
    },
    AddWatch {
        path: String,
        recursive: bool,
    },
    RemoveWatches {
        path: String,
        watched_by: WatchedBy,
    },
    CloseSession,
}

/// One change of the tree that is asked for; also a part of a multi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    Create {
        /// Of a sequential node without its number.
        path: String,
        data: Option<String>,
        mode: CreateMode,
        sequential: bool,
    },
    Delete {
        path: String,
        /// -1 is any.
        version: i32,
    },
    SetData {
        path: String,
        data: Option<String>,
        version: i32,
    },
    /// Only in a multi.
    Check {
        path: String,
        version: i32,
    },
}

/// Who may take a node away beside its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateMode {
    Persistent,
    /// The end of its session.
    Ephemeral,
    /// The server, once it is empty.
    Container,
    /// The server, after a time without change.
    Ttl,
}

/// What removeWatches is to remove. ZooKeeper: `Watcher.WatcherType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchedBy {
    Children,
    Data,
    Any,
    Persistent,
    Recursive,
}

/// What a server says to a request that it does not refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To delete, check, sync, ping, closeSession and what concerns watches.
    Done,
    /// To create, whose stat is left out, and its relatives.
    Created { path: String, stat: Option<NodeStat> },
    /// To setData and exists.
    Stat(NodeStat),
    /// To getData.
    Data { data: Option<String>, stat: NodeStat },
    /// To getChildren, whose stat is left out, and getChildren2.
    Children { names: Vec<String>, stat: Option<NodeStat> },
    /// To multi and multiRead: the parts' results, in order. Errors are wire numbers; in a refused
    /// multi 0 stands for what would have been done.
    Parts(Vec<Result<Self, i32>>),
}

/// The parts of a `Stat` that only transactions decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStat {
    #[serde(with = "ZxidNumber")]
    pub czxid: Zxid,
    #[serde(with = "ZxidNumber")]
    pub mzxid: Zxid,
    #[serde(with = "ZxidNumber")]
    pub pzxid: Zxid,
    pub version: i32,
    pub cversion: i32,
    #[serde(with = "SessionNumber")]
    pub ephemeral_owner: SessionId,
    pub num_children: i32,
}

impl From<Stat> for NodeStat {
    fn from(stat: Stat) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            version: stat.version,
            cversion: stat.cversion,
            ephemeral_owner: stat.ephemeral_owner,
            num_children: stat.num_children,
        }
    }
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
}

impl From<EventType> for EventKind {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::NodeCreated => Self::Created,
            EventType::NodeDeleted => Self::Deleted,
            EventType::NodeDataChanged => Self::DataChanged,
            EventType::NodeChildrenChanged => Self::ChildrenChanged,
        }
    }
}

impl Write {
    /// The path as it was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::Check { path, .. } => path,
        }
    }

    /// The path that is written, as far as it is known: that of a sequential node stands in the
    /// reply only.
    #[must_use]
    pub fn target<'a>(&'a self, reply: Option<&'a Reply>) -> Option<&'a str> {
        match (self, reply) {
            (Self::Create { .. }, Some(Reply::Created { path, .. })) => Some(path),
            (Self::Create { sequential: true, .. }, _) => None,
            _ => Some(self.path()),
        }
    }
}

impl Request {
    /// The writes in it: one, many, or none.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Write(write) => std::slice::from_ref(write),
            Self::Multi(writes) => writes,
            _ => &[],
        }
    }

    #[must_use]
    pub const fn is_multi(&self) -> bool {
        matches!(self, Self::Multi(_))
    }

    /// Whether it is answered from the state of the server that it reached.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        matches!(
            self,
            Self::Exists { .. }
                | Self::GetData { .. }
                | Self::GetChildren { .. }
                | Self::MultiRead(_)
        )
    }
}

impl Reply {
    /// The stat in it, if there is one.
    #[must_use]
    pub const fn stat(&self) -> Option<&NodeStat> {
        match self {
            Self::Stat(stat) | Self::Data { stat, .. } => Some(stat),
            Self::Created { stat, .. } | Self::Children { stat, .. } => stat.as_ref(),
            Self::Done | Self::Parts(_) => None,
        }
    }
}
