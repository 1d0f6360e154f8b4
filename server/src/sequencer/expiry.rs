//! When sessions end: deadlines in buckets of one tick.
//!
//! A session's deadline is its last touch plus its timeout, rounded up to the next multiple of the
//! tick, so that many end together and nobody ends early. Time is an argument, in milliseconds of
//! one monotonic clock.
//!
//! Touches are frequent and ends are rare, so a touch only writes the new deadline down and leaves
//! the session in the bucket where it stands. When that bucket is due, a session that was touched
//! meanwhile moves to the bucket of its deadline: one move per timeout instead of one per touch.
// ZooKeeper: ExpiryQueue, SessionTrackerImpl.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use menagerie_wire::SessionId;

struct Life {
    /// Multiple of the tick; the session ends when the clock reaches it.
    deadline_ms: u64,
    /// The bucket in which the session stands, not after its deadline. Its entry in any other
    /// bucket is a leftover.
    bucket_ms: u64,
}

/// The deadlines of all sessions that some server of the ensemble serves.
pub struct Expiry {
    tick_ms: u64,
    lives: HashMap<SessionId, Life>,
    buckets: BTreeMap<u64, Vec<SessionId>>,
}

impl Expiry {
    /// # Panics
    /// When the tick is not positive.
    pub fn new(tick_ms: i32) -> Self {
        let tick_ms = u64::try_from(tick_ms).ok().filter(|&tick| tick > 0);
        let tick_ms = tick_ms.expect("the configuration's tick is positive");
        Self { tick_ms, lives: HashMap::new(), buckets: BTreeMap::new() }
    }

    /// Begins a session, or touches one that is known.
    pub fn add(&mut self, session: SessionId, timeout_ms: i32, now_ms: u64) {
        let deadline_ms = self.deadline_ms(timeout_ms, now_ms);
        let life = self.lives.entry(session).or_insert(Life { deadline_ms, bucket_ms: u64::MAX });
        life.deadline_ms = deadline_ms;
        if deadline_ms < life.bucket_ms {
            life.bucket_ms = deadline_ms;
            self.buckets.entry(deadline_ms).or_default().push(session);
        }
    }

    /// Gives a session its whole timeout again; false when it is unknown, and then nothing changes.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32, now_ms: u64) -> bool {
        let known = self.lives.contains_key(&session);
        if known {
            self.add(session, timeout_ms, now_ms);
        }
        known
    }

    /// Forgets a session that was closed; false when it is unknown.
    pub fn remove(&mut self, session: SessionId) -> bool {
        self.lives.remove(&session).is_some()
    }

    pub fn contains(&self, session: SessionId) -> bool {
        self.lives.contains_key(&session)
    }

    pub fn len(&self) -> usize {
        self.lives.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// When to call [`Expiry::expire_due`] next: no session ends before.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.buckets.keys().next().copied()
    }

    /// Forgets, and returns in the order of their ids, the sessions whose time is over.
    pub fn expire_due(&mut self, now_ms: u64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|first| *first.key() <= now_ms) {
            let (bucket_ms, sessions) = bucket.remove_entry();
            for session in sessions {
                let Some(life) = self.lives.get_mut(&session) else { continue };
                if life.bucket_ms != bucket_ms {
                    continue;
                }
                if life.deadline_ms <= now_ms {
                    self.lives.remove(&session);
                    expired.push(session);
                } else {
                    life.bucket_ms = life.deadline_ms;
                    self.buckets.entry(life.deadline_ms).or_default().push(session);
                }
            }
        }
        expired.sort_unstable();
        expired
    }

    /// Sessions by deadline, both ascending, as `dump` shows them.
    pub fn sets(&self) -> BTreeMap<u64, Vec<SessionId>> {
        let mut sets: BTreeMap<u64, Vec<SessionId>> = BTreeMap::new();
        for (&session, life) in &self.lives {
            sets.entry(life.deadline_ms).or_default().push(session);
        }
        for sessions in sets.values_mut() {
            sessions.sort_unstable();
        }
        sets
    }

    // ZooKeeper: ExpiryQueue.roundToNextInterval.
    fn deadline_ms(&self, timeout_ms: i32, now_ms: u64) -> u64 {
        let end_ms = now_ms + u64::try_from(timeout_ms).unwrap_or(0);
        (end_ms / self.tick_ms + 1) * self.tick_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: SessionId = SessionId(0xa);
    const B: SessionId = SessionId(0xb);

    #[test]
    fn a_deadline_is_the_next_multiple_of_the_tick() {
        let check = |now_ms, timeout_ms, expect| {
            let mut expiry = Expiry::new(2_000);
            expiry.add(A, timeout_ms, now_ms);
            assert_eq!(expiry.next_deadline_ms(), Some(expect), "{now_ms} + {timeout_ms}");
            assert_eq!(expiry.expire_due(expect - 1), []);
            assert_eq!(expiry.expire_due(expect), [A]);
            assert!(expiry.is_empty());
        };
        check(0, 4_000, 6_000);
        check(1, 3_998, 4_000);
        check(1, 3_999, 6_000);
        check(500, 0, 2_000);
    }

    #[test]
    fn a_touched_session_outlives_its_bucket() {
        let mut expiry = Expiry::new(1_000);
        expiry.add(B, 2_500, 0);
        expiry.add(A, 2_500, 0);
        assert!(expiry.touch(A, 2_500, 2_900));
        assert_eq!(expiry.expire_due(3_000), [B]);
        assert_eq!(expiry.next_deadline_ms(), Some(6_000));
        assert_eq!(expiry.expire_due(6_000), [A]);
        assert!(!expiry.touch(A, 2_500, 6_000), "it is gone");
    }

    #[test]
    fn a_shorter_timeout_ends_a_session_sooner() {
        let mut expiry = Expiry::new(1_000);
        expiry.add(A, 60_000, 0);
        assert!(expiry.touch(A, 1_500, 0));
        assert_eq!(expiry.expire_due(2_000), [A]);
        assert_eq!(expiry.expire_due(100_000), []);
    }

    #[test]
    fn a_closed_session_does_not_expire() {
        let mut expiry = Expiry::new(1_000);
        expiry.add(A, 1_500, 0);
        assert!(expiry.remove(A));
        assert!(!expiry.remove(A));
        expiry.add(A, 9_500, 0);
        assert_eq!(expiry.expire_due(2_000), []);
        assert_eq!(expiry.sets(), BTreeMap::from([(10_000, vec![A])]));
    }

    proptest! {
        #[test]
        fn sessions_end_exactly_at_their_last_deadline(
            steps in prop::collection::vec((0..6i64, 0..9_000i32, 0..700u64, 0..8u8), 1..300),
        ) {
            let mut expiry = Expiry::new(500);
            let mut model: BTreeMap<SessionId, u64> = BTreeMap::new();
            let mut now_ms = 0;
            for (id, timeout_ms, wait_ms, action) in steps {
                now_ms += wait_ms;
                let id = SessionId(id);
                let ended: Vec<_> = model.extract_if(.., |_, end| *end <= now_ms).collect();
                let ended: Vec<SessionId> = ended.into_iter().map(|(id, _)| id).collect();
                prop_assert_eq!(expiry.expire_due(now_ms), ended);
                let deadline_ms = ((now_ms + timeout_ms as u64) / 500 + 1) * 500;
                match action {
                    0 => prop_assert_eq!(expiry.remove(id), model.remove(&id).is_some()),
                    1..4 => {
                        expiry.add(id, timeout_ms, now_ms);
                        model.insert(id, deadline_ms);
                    }
                    _ => {
                        let known = model.get_mut(&id).map(|end| *end = deadline_ms).is_some();
                        prop_assert_eq!(expiry.touch(id, timeout_ms, now_ms), known);
                    }
                }
                let first = model.values().min().copied();
                prop_assert!(expiry.next_deadline_ms() <= first || first.is_none());
                prop_assert_eq!(expiry.len(), model.len());
            }
        }
    }
}
