//! The frame that tells a client about a change it watches.
//!
//! Facts: ZooKeeper `WatcherEvent`, `Watcher.Event`. Only the four types that a server sends are
//! here; the removed-watch types are made by client libraries. The state is always SyncConnected.

use crate::ids::{Xid, Zxid};
use crate::jute::{Decode, Encode, JuteError, Put, Reader};
use crate::proto::ReplyHeader;

/// What happened to a watched path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum EventType {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

impl TryFrom<i32> for EventType {
    type Error = JuteError;

    fn try_from(code: i32) -> Result<Self, JuteError> {
        Ok(match code {
            1 => Self::NodeCreated,
            2 => Self::NodeDeleted,
            3 => Self::NodeDataChanged,
            4 => Self::NodeChildrenChanged,
            other => return Err(JuteError::Unknown(other, "event type")),
        })
    }
}

/// `KeeperState.SyncConnected`, the only state a server sends.
const SYNC_CONNECTED: i32 = 3;

/// One event with its header, ready to be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    /// The transaction; [`Zxid::NONE`] for events that setWatches fires.
    pub zxid: Zxid,
    pub kind: EventType,
    /// Absolute: a chroot is the client's matter.
    pub path: &'a str,
}

impl Encode for WatcherEvent<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: self.zxid, err: 0 }.encode(out);
        out.put_int(self.kind as i32);
        out.put_int(SYNC_CONNECTED);
        out.put_string(self.path);
    }
}

impl<'a> WatcherEvent<'a> {
    /// Reads the body that follows a header with [`Xid::NOTIFICATION`].
    pub fn decode_body(zxid: Zxid, body: &'a [u8]) -> Result<Self, JuteError> {
        let mut reader = Reader::new(body);
        let kind = EventType::try_from(reader.int()?)?;
        let _state = reader.int()?;
        let path = reader.buffer()?.ok_or(JuteError::Null)?;
        let path = str::from_utf8(path).map_err(|_| JuteError::Unknown(0, "UTF-8 path"))?;
        Ok(Self { zxid, kind, path })
    }
}

impl<'a> Decode<'a> for WatcherEvent<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let header = ReplyHeader::decode(reader)?;
        Self::decode_body(header.zxid, reader.rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back() {
        let event = WatcherEvent { zxid: Zxid(5), kind: EventType::NodeDeleted, path: "/a" };
        assert_eq!(WatcherEvent::from_bytes(&event.to_bytes()), Ok(event));
    }
}
