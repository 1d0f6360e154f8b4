//! What clients and server say to each other: connect, headers, requests, replies.
//!
//! Facts: ZooKeeper `zookeeper.jute`, module `org.apache.zookeeper.proto`, and the rules that the
//! Java server adds when it reads them. Requests borrow from the frame. The table of who needs
//! which body is [`Request::decode`]; what a request *does* is not known here.

mod connect;
mod multi;
mod request;

pub use connect::{ConnectRequest, ConnectResponse, PASSWD_LEN};
pub use multi::{MultiHeader, MultiRead, MultiRequest, ReadOp, WriteOp};
pub use request::{
    AddWatchMode, AuthPacket, Create, CreateFlags, OptStr, PathVersion, PathWatch, Reconfig,
    Request, SetAcl, SetData, SetWatches, WatcherType,
};

use crate::ids::{Xid, Zxid};
use crate::jute::{Decode, Encode, JuteError, Put, Reader};

/// What opens every request after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub xid: Xid,
    /// The opcode as sent; it may be none that we know.
    pub op: i32,
}

impl Encode for RequestHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid.0);
        out.put_int(self.op);
    }
}

impl<'a> Decode<'a> for RequestHeader {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { xid: Xid(reader.int()?), op: reader.int()? })
    }
}

/// What opens every reply and event. A body follows only when `err` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    pub xid: Xid,
    pub zxid: Zxid,
    /// 0, or an [`crate::ErrorCode`].
    pub err: i32,
}

impl ReplyHeader {
    /// Bytes of an encoded header.
    pub const LEN: usize = 16;
}

impl Encode for ReplyHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid.0);
        out.put_long(self.zxid.0);
        out.put_int(self.err);
    }
}

impl<'a> Decode<'a> for ReplyHeader {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { xid: Xid(reader.int()?), zxid: Zxid(reader.long()?), err: reader.int()? })
    }
}
