//! Votes, and which of two is better.
//!
//! Facts: ZooKeeper `Vote`, `FastLeaderElection.totalOrderPredicate`, `getVoteTracker`.

use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::notification::{ServerState, Vote};

/// Whether `new` names the better leader: later epoch, then longer history, then higher id.
// ZooKeeper: FastLeaderElection.totalOrderPredicate. The round plays no part.
pub(crate) fn is_better(new: &Vote, old: &Vote) -> bool {
    if flaws::has(Flaw::ElectionIgnoresHistory) {
        return new.leader > old.leader;
    }
    (new.peer_epoch, new.zxid, new.leader) > (old.peer_epoch, old.zxid, old.leader)
}

/// The last word of a voter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) vote: Vote,
    pub(crate) state: ServerState,
    pub(crate) version: i32,
}

impl Heard {
    /// Whether two votes are for the same reign.
    ///
    /// A server that follows or leads repeats the vote it was elected by, with the epoch of its
    /// reign; one that joined later has another zxid and round in it (ZOOKEEPER-1805).
    // ZooKeeper: Vote.equals.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let (a, b) = (&self.vote, &other.vote);
        if self.state == ServerState::Looking || other.state == ServerState::Looking {
            a == b
        } else if (self.version > 0) != (other.version > 0) {
            a.leader == b.leader
        } else {
            a.leader == b.leader && a.peer_epoch == b.peer_epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::{ServerId, Zxid};

    use super::*;

    const fn vote(leader: i64, zxid: i64, round: i64, peer_epoch: i64) -> Vote {
        Vote { leader: ServerId(leader), zxid: Zxid(zxid), round, peer_epoch }
    }

    #[test]
    fn the_epoch_weighs_more_than_the_zxid_and_the_zxid_more_than_the_id() {
        let cases = [
            (vote(1, 1, 1, 2), vote(9, 9, 9, 1), true),
            (vote(1, 2, 1, 1), vote(9, 1, 9, 1), true),
            (vote(2, 1, 1, 1), vote(1, 1, 9, 1), true),
            (vote(1, 1, 2, 1), vote(1, 1, 1, 1), false),
            (vote(1, 1, 1, 1), Vote::of_nobody(1), true),
        ];
        for (new, old, expect) in cases {
            assert_eq!(is_better(&new, &old), expect, "{new:?} over {old:?}");
        }
    }

    #[test]
    fn settled_servers_agree_on_leader_and_epoch_looking_ones_on_all_of_it() {
        use ServerState::{Following, Leading, Looking};
        let base = vote(3, 5, 2, 4);
        let cases = [
            (Following, 2, vote(3, 1, 9, 4), Leading, 2, true),
            (Following, 2, vote(3, 5, 2, 5), Leading, 2, false),
            (Following, 0, vote(3, 5, 2, 5), Leading, 2, true),
            (Following, 0, vote(2, 5, 2, 4), Leading, 2, false),
            (Looking, 2, vote(3, 1, 2, 4), Leading, 2, false),
            (Looking, 2, base, Leading, 2, true),
        ];
        for (state, version, vote, other, other_version, expect) in cases {
            let heard = Heard { vote, state, version };
            let base = Heard { vote: base, state: other, version: other_version };
            assert_eq!(heard.agrees_with(&base), expect, "{heard:?} and {base:?}");
            assert_eq!(base.agrees_with(&heard), expect, "{base:?} and {heard:?}");
        }
    }
}
