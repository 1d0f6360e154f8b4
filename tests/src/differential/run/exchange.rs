//! What one server says in answer to one step: frames, and whether the connection lives on.
//!
//! Replies are counted, events are not: they come between replies, in the order the server chose,
//! and that order is part of what is compared.

use crate::differential::lane::{Lane, Received};
use crate::differential::view::{EVENT_XID, Header};
use std::time::Duration;

pub(super) const CLOSE_SESSION: i32 = -11;

/// What one server did in one exchange.
pub(super) struct Exchange {
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Closed,
    Silence,
}

impl Exchange {
    /// The headers of its replies.
    pub(super) fn replies(&self) -> impl Iterator<Item = Header> {
        let headers = self.frames.iter().filter_map(|frame| Header::of(frame));
        headers.filter(|header| header.xid != EVENT_XID)
    }
}

/// Reads frames until `reply_count` of them are replies, or the connection ends.
pub(super) fn read(lane: &mut Lane, reply_count: usize, timeout: Duration) -> Exchange {
    let mut frames = Vec::new();
    let mut replies = 0;
    while replies < reply_count {
        match lane.receive(timeout) {
            Received::Frame(frame) => {
                replies += usize::from(Header::of(&frame).is_none_or(|it| it.xid != EVENT_XID));
                frames.push(frame);
            }
            Received::Closed => return Exchange { frames, end: End::Closed },
            Received::Silence => return Exchange { frames, end: End::Silence },
        }
    }
    Exchange { frames, end: End::Open }
}

/// Whether the last reply is one behind which the server closes: a closed session, an unknown
/// opcode, a failed authentication.
pub(super) fn ends_connection(ops: &[i32], exchange: &Exchange) -> bool {
    let last = exchange.replies().last();
    last.is_some_and(|header| match header.err {
        0 => ops.last() == Some(&CLOSE_SESSION),
        -6 => header.zxid == -1,
        -115 | -124 => true,
        _ => false,
    })
}
