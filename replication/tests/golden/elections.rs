//! A node in the place of a voter that has just been started and looks for a leader.
//!
//! It hears what that voter heard. What it says to a peer is what Apache's voter said: the same
//! votes in the same order. Apache's may have skipped some, as its queue to a peer whose connection
//! is not up keeps the last only. In the end the node is led by whom Apache's voter was led.

use std::collections::BTreeMap;

use menagerie_replication::{Epochs, Event, HistoryLimits};
use menagerie_wire::frame::Cut;
use menagerie_wire::notification::{Notification, ServerState, Vote, cut};
use menagerie_wire::quorum_config::QuorumConfig;
use menagerie_wire::{Epoch, ServerId};

use crate::capture::{FILES, read_all};
use crate::player::{Player, recovered};

/// One search for a leader, from the start of a process on.
struct Search {
    id: ServerId,
    config: String,
    initial: Vote,
    heard: Vec<Event>,
    said: BTreeMap<ServerId, Vec<Vote>>,
    leader: Option<ServerId>,
}

/// Collects the searches of a file, in the order in which they ended.
#[derive(Default)]
struct Searches {
    open: BTreeMap<ServerId, Search>,
    /// What was sent to a server that has said nothing yet.
    pending: BTreeMap<ServerId, Vec<Event>>,
    over: Vec<Search>,
}

impl Searches {
    fn read(file: &str) -> Vec<Search> {
        let mut searches = Self::default();
        for line in read_all(file) {
            let (from, to) = (line.from, line.to);
            match line.kind.as_str() {
                "NOTIFICATION" => searches.notification(from, to, &line.bytes),
                "FOLLOWERINFO" => searches.end(from, to),
                "LEADERINFO" => searches.end(from, from),
                "CLOSE" if line.of_election => drop(searches.pending.remove(&from)),
                _ => {}
            }
        }
        searches.over
    }

    fn notification(&mut self, from: ServerId, to: ServerId, bytes: &[u8]) {
        let Ok(Cut::Frame(payload)) = cut(bytes) else { panic!("the capture holds whole frames") };
        let notification = Notification::from_bytes(payload).expect("a notification");
        let Notification { state, vote, version, config } = notification;
        let looking = state == ServerState::Looking;
        if !looking {
            // It looked before the capture began: what it said on a new connection was stale.
            self.open.remove(&from);
        } else if vote.leader == from && vote.round == 1 {
            let config = config.expect("captured servers tell their configuration").into_owned();
            let heard = self.pending.remove(&from).unwrap_or_default();
            let (said, leader) = (BTreeMap::new(), None);
            let search = Search { id: from, config, initial: vote, heard, said, leader };
            self.open.entry(from).or_insert(search);
        }
        if let Some(search) = self.open.get_mut(&from).filter(|_| looking) {
            search.said.entry(to).or_default().push(vote);
        }
        let heard = Event::Notified { from, state, vote, version };
        match self.open.get_mut(&to) {
            Some(search) => search.heard.push(heard),
            None => self.pending.entry(to).or_default().push(heard),
        }
    }

    fn end(&mut self, id: ServerId, leader: ServerId) {
        self.pending.remove(&id);
        if let Some(search) = self.open.remove(&id) {
            self.over.push(Search { leader: Some(leader), ..search });
        }
    }
}

impl Search {
    /// Returns how many votes were compared; none for a server that does not vote.
    fn check(&self, file: &str) -> usize {
        let quorum: QuorumConfig = self.config.parse().expect("a configuration");
        if !quorum.voters().any(|voter| voter == self.id) {
            return 0;
        }
        let epoch = Epoch(u32::try_from(self.initial.peer_epoch).expect("a voter has an epoch"));
        let epochs = Epochs { accepted: epoch, current: epoch };
        let recovered = recovered(self.initial.zxid, epochs);
        let limits = HistoryLimits::default();
        let mut player = Player::new(self.id, &self.config, quorum.version, limits, recovered);
        for event in &self.heard {
            player.hear(event.clone());
        }
        player.wait_for_leader();
        let who = format!("{file}, server {}", self.id.0);
        for (peer, theirs) in &self.said {
            let (mut theirs, mut ours) = (theirs.clone(), player.votes[peer].clone());
            theirs.dedup();
            ours.dedup();
            let mut rest = ours.iter();
            let told = theirs.iter().all(|vote| rest.any(|own| own == vote));
            assert!(told, "{who} to {}: {ours:?}\nnot {theirs:?}", peer.0);
        }
        assert_eq!(player.node.leader(), self.leader, "{who}");
        self.said.values().map(Vec::len).sum()
    }
}

#[test]
fn a_voter_says_what_apaches_voters_said() {
    let mut compared = 0;
    for file in FILES {
        for search in Searches::read(file) {
            compared += search.check(file);
        }
    }
    assert!(compared > 50, "{compared} votes were compared");
}
