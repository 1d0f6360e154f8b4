//! When enough members agree.
//!
//! Facts: ZooKeeper `QuorumMaj.containsQuorum`: strictly more than half of the voters.

use menagerie_wire::ServerId;

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

    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.binary_search(&id).is_ok()
    }

    /// Whether `acks`, a set without repeats, holds a quorum. Others than voters do not count.
    pub fn contains_quorum(&self, acks: &[ServerId]) -> bool {
        let count = acks.iter().filter(|id| self.is_voter(**id)).count();
        count > self.voters.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(voters: i64, acks: &[i64], expect: bool) {
        let majority = Majority::new((1..=voters).map(ServerId).collect());
        let acks: Vec<_> = acks.iter().copied().map(ServerId).collect();
        assert_eq!(majority.contains_quorum(&acks), expect, "{acks:?} of {voters}");
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
}
