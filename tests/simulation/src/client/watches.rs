//! The watches that a client has left, to be left again on another server.
// ZooKeeper: ZKWatchManager.

use std::collections::BTreeSet;

use menagerie_wire::Zxid;

use crate::history::{EventKind, Reply, Request};

/// Watches that a server keeps for the session, as far as replies tell.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Watches {
    /// The request that leaves them on another server.
    #[must_use]
    pub fn again(&self, relative_zxid: Zxid) -> Option<Request> {
        let lists = [&self.data, &self.exist, &self.child, &self.persistent, &self.recursive];
        if lists.iter().all(|list| list.is_empty()) {
            return None;
        }
        let [data, exist, child, persistent, recursive] =
            lists.map(|list| list.iter().cloned().collect());
        Some(Request::SetWatches { relative_zxid, data, exist, child, persistent, recursive })
    }

    /// What the reply to `request` says to be left.
    // ZooKeeper: ZooKeeper.DataWatchRegistration, ExistsWatchRegistration
    pub fn left(&mut self, request: &Request, result: &Result<Reply, i32>) {
        const NO_NODE: i32 = -101;
        match (request, result) {
            (
                Request::GetData { path, watch: true } | Request::Exists { path, watch: true },
                Ok(_),
            ) => self.data.insert(path.clone()),
            (Request::Exists { path, watch: true }, Err(NO_NODE)) => {
                self.exist.insert(path.clone())
            }
            (Request::GetChildren { path, watch: true }, Ok(_)) => self.child.insert(path.clone()),
            (Request::AddWatch { path, recursive: false }, Ok(_)) => {
                self.persistent.insert(path.clone())
            }
            (Request::AddWatch { path, recursive: true }, Ok(_)) => {
                self.recursive.insert(path.clone())
            }
            _ => return,
        };
    }

    /// One-shot watches that an event has used up.
    pub fn fired(&mut self, kind: EventKind, path: &str) {
        if kind != EventKind::ChildrenChanged {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if matches!(kind, EventKind::ChildrenChanged | EventKind::Deleted) {
            self.child.remove(path);
        }
    }
}
