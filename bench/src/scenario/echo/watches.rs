//! The echo server's watches: the least that has the right events at the right time.
//!
//! Watchers are appended and never looked for, so a watch that is set twice fires twice, and those
//! of connections that are gone stay until they fire.

use std::collections::HashMap;
use std::rc::Rc;

use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::proto::{AddWatchMode, Request};
use menagerie_wire::{JuteError, OpCode, SessionId, Zxid, frame};

/// Who is to hear: a slot may be somebody else's by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) slot: usize,
    pub(super) session: SessionId,
}

type ByPath = HashMap<String, Vec<Watcher>>;

#[derive(Default)]
pub(super) struct Watches {
    one_shot: ByPath,
    persistent: ByPath,
    recursive: ByPath,
}

impl Watches {
    /// Leaves the watch that a getData or addWatch asks for.
    pub(super) fn set(
        &mut self,
        op: OpCode,
        body: &[u8],
        watcher: Watcher,
    ) -> Result<(), JuteError> {
        let (table, path) = match Request::decode(op, body)? {
            Request::GetData(read) if read.watch => (&mut self.one_shot, read.path),
            Request::AddWatch(Some(path), AddWatchMode::Persistent) => (&mut self.persistent, path),
            Request::AddWatch(Some(path), AddWatchMode::PersistentRecursive) => {
                (&mut self.recursive, path)
            }
            _ => return Ok(()),
        };
        // Most paths are there already, and need no copy.
        match table.get_mut(&*path) {
            Some(watchers) => watchers.push(watcher),
            None => drop(table.insert(path.into_owned(), vec![watcher])),
        }
        Ok(())
    }

    /// Appends an event for each who watches the data of `path`.
    pub(super) fn fire(&mut self, path: &[u8], zxid: Zxid, events: &mut Vec<(Watcher, Rc<[u8]>)>) {
        let Ok(path) = str::from_utf8(path) else { return };
        let mut event = Vec::new();
        frame::put(&mut event, &WatcherEvent { zxid, kind: EventType::NodeDataChanged, path });
        let event: Rc<[u8]> = event.into();
        let mut send = |watchers: &[Watcher]| {
            events.extend(watchers.iter().map(|watcher| (*watcher, event.clone())));
        };
        if let Some(watchers) = self.one_shot.get_mut(path) {
            send(watchers);
            // The same watchers come back at once.
            watchers.clear();
        }
        send(self.persistent.get(path).map_or(&[], Vec::as_slice));
        let parents = path.rmatch_indices('/').map(|(end, _)| &path[..end.max(1)]);
        for ancestor in std::iter::once(path).chain(parents) {
            send(self.recursive.get(ancestor).map_or(&[], Vec::as_slice));
        }
    }
}
