//! The frame of an event: the same bytes for everyone who is told of it.

use menagerie_wire::event::{EventType, WatcherEvent};
use menagerie_wire::{Zxid, frame};

/// Appends the frame of one event. Encode it once per change, copy it to each watcher.
///
/// `zxid` is that of the transaction, or [`Zxid::NONE`] for an event that setWatches fires.
pub fn encode_event(out: &mut Vec<u8>, zxid: Zxid, kind: EventType, path: &str) {
    frame::put(out, &WatcherEvent { zxid, kind, path });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_frame_with_the_zxid_of_its_transaction() {
        let mut out = Vec::new();
        encode_event(&mut out, Zxid(7), EventType::NodeCreated, "/a");
        let header = [0, 0, 0, 30, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
        let body = [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a'];
        assert_eq!(out, [&header[..], &body[..]].concat());
    }
}
