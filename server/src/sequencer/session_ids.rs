//! New session ids: the server's number in the top byte, clock bits, then a counter.
//!
//! Facts: ZooKeeper `SessionTrackerImpl.initializeNextSessionId`.

use menagerie_wire::{ServerId, SessionId};

/// Hands out ids that no earlier life of this server handed out, as long as its clock did not
/// go back.
#[derive(Debug)]
pub(crate) struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// `wall_ms` at the start of the server.
    pub(crate) const fn new(server: ServerId, wall_ms: i64) -> Self {
        let clock = ((wall_ms as u64) << 24 >> 8) as i64;
        let next = clock | (server.0 << 56);
        Self { next: if next == i64::MIN { next + 1 } else { next } }
    }

    /// The next id that `taken` does not know.
    pub(crate) fn next(&mut self, taken: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            let id = SessionId(self.next);
            self.next = self.next.wrapping_add(1);
            if id != SessionId::NONE && id.0 != i64::MIN && !taken(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_server_in_the_top_byte_and_count_up() {
        let mut ids = SessionIds::new(ServerId(1), 0x0019_a1f7_09c8_ef00);
        let first = ids.next(|_| false);
        assert_eq!(first.0 >> 56, 1);
        assert_eq!(first.0 & 0xffff, 0);
        assert_eq!(ids.next(|_| false).0, first.0 + 1);
    }

    #[test]
    fn an_id_that_is_taken_is_skipped() {
        let mut ids = SessionIds::new(ServerId(1), 5);
        let first = ids.next(|_| false);
        let third = SessionId(first.0 + 2);
        assert_eq!(ids.next(|id| id.0 == first.0 + 1), third);
    }
}
