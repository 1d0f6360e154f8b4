//! When enough members agree.
//!
//! Facts: ZooKeeper `QuorumMaj.containsQuorum`: strictly more than half of the voters. Whoever is
//! no voter does not count, whatever it says.

use menagerie_wire::{ServerId, Zxid};

/// A majority of a fixed set of voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Majority {
    /// Sorted, without repeats, not empty.
    voters: Vec<ServerId>,
}

impl Majority {
    /// # Panics
    /// When there is no voter: such an ensemble could never decide anything.
    pub fn new(mut voters: Vec<ServerId>) -> Self {
        voters.sort_unstable();
        voters.dedup();
        assert!(!voters.is_empty(), "an ensemble has at least one voter");
        Self { voters }
    }

    pub fn voters(&self) -> &[ServerId] {
        &self.voters
    }

    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.binary_search(&id).is_ok()
    }

    /// Whether the voters that satisfy `agrees` are a quorum.
    pub fn agrees(&self, agrees: impl Fn(ServerId) -> bool) -> bool {
        self.voters.iter().filter(|id| agrees(**id)).count() > self.voters.len() / 2
    }

    /// The highest zxid that a quorum has reached, when each voter has reached `reached(voter)`.
    pub fn reached(&self, reached: impl Fn(ServerId) -> Zxid) -> Zxid {
        match *self.voters.as_slice() {
            // The ensembles of one and three, without a heap.
            [one] => reached(one),
            [a, b, c] => {
                let (a, b, c) = (reached(a), reached(b), reached(c));
                a.max(b).min(a.min(b).max(c))
            }
            _ => {
                let mut all: Vec<Zxid> = self.voters.iter().map(|id| reached(*id)).collect();
                all.sort_unstable_by(|a, b| b.cmp(a));
                all[self.voters.len() / 2]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(voters: i64, acks: &[i64], expect: bool) {
        let majority = Majority::new((1..=voters).map(ServerId).collect());
        let agreed = majority.agrees(|id| acks.contains(&id.0));
        assert_eq!(agreed, expect, "{acks:?} of {voters}");
    }

    #[test]
    fn a_quorum_is_more_than_half_of_the_voters() {
        check(1, &[1], true);
        check(1, &[], false);
        check(2, &[1], false);
        check(3, &[1, 3], true);
        check(4, &[1, 2], false);
        check(5, &[1, 2, 3], true);
    }

    #[test]
    fn others_than_voters_do_not_count() {
        check(3, &[1, 7, 8], false);
        check(1, &[2], false);
    }

    fn check_reached(reached: &[i64], expect: i64) {
        let ids = (0..reached.len()).map(|at| ServerId(i64::try_from(at).unwrap())).collect();
        let at = |id: ServerId| Zxid(reached[usize::try_from(id.0).unwrap()]);
        assert_eq!(Majority::new(ids).reached(at), Zxid(expect), "{reached:?}");
    }

    #[test]
    fn a_quorum_has_reached_what_its_slowest_member_has() {
        check_reached(&[7], 7);
        check_reached(&[7, 5], 5);
        for three in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            check_reached(&three, 2);
        }
        check_reached(&[9, 9, 1], 9);
        check_reached(&[9, 1, 1], 1);
        check_reached(&[4, 1, 3, 2], 2);
        check_reached(&[4, 1, 5, 3, 2], 3);
    }
}
