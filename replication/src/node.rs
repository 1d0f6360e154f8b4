//! One member of an ensemble: its role, and the one door through which it learns anything.
//!
//! Roles are data, phases are code: [`Node::step`] looks at the role and hands the event to the
//! phase that it belongs to. Apache's standalone server goes on counting in the epoch of its log;
//! so does a node that is a quorum of one, which needs no election to know its leader.

use menagerie_wire::{ServerId, Zxid};

use crate::broadcast::Broadcast;
use crate::effect::{Effect, Effects};
use crate::event::Event;
use crate::quorum::Majority;

/// What a node is at the moment.
#[derive(Debug)]
enum State {
    /// No leader is known; nothing is served.
    Looking,
    Leading(Broadcast),
}

/// The role, as others may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Looking,
    Leading,
}

/// The machine of one member.
#[derive(Debug)]
pub struct Node {
    id: ServerId,
    quorum: Majority,
    state: State,
}

impl Node {
    /// A server that is its own ensemble.
    pub fn standalone(id: ServerId) -> Self {
        Self { id, quorum: Majority::new(vec![id]), state: State::Looking }
    }

    pub const fn id(&self) -> ServerId {
        self.id
    }

    pub const fn role(&self) -> Role {
        match self.state {
            State::Looking => Role::Looking,
            State::Leading(_) => Role::Leading,
        }
    }

    /// Everything up to here is on the disks of a quorum.
    pub const fn last_committed(&self) -> Option<Zxid> {
        match &self.state {
            State::Looking => None,
            State::Leading(broadcast) => Some(broadcast.last_committed()),
        }
    }

    /// Takes one event and appends what must be done about it to `effects`.
    ///
    /// # Panics
    /// When an event breaks a rule that its sender, our own code, must keep: proposals out of
    /// order, a proposal to a node that does not lead, an acknowledgement of nothing.
    pub fn step(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Started { last_logged } => self.on_started(last_logged, effects),
            Event::Propose { zxid, txn } => {
                let State::Leading(broadcast) = &mut self.state else {
                    panic!("{zxid} is proposed to a node that does not lead");
                };
                broadcast.propose(zxid);
                effects.push(Effect::Append { zxid, txn });
            }
            Event::Logged { zxid } => self.on_ack(self.id, zxid, effects),
            Event::Ack { from, zxid } => self.on_ack(from, zxid, effects),
        }
    }

    fn on_started(&mut self, last_logged: Zxid, effects: &mut Effects) {
        assert!(matches!(self.state, State::Looking), "a node starts once");
        if self.quorum.contains_quorum(&[self.id]) {
            self.state = State::Leading(Broadcast::new(last_logged));
            effects.push(Effect::Lead { epoch: last_logged.epoch(), last_zxid: last_logged });
        }
    }

    fn on_ack(&mut self, from: ServerId, zxid: Zxid, effects: &mut Effects) {
        let State::Leading(broadcast) = &mut self.state else { return };
        if let Some(zxid) = broadcast.acknowledge(from, zxid, &self.quorum) {
            effects.push(Effect::Commit { zxid });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use menagerie_wire::Epoch;

    use super::*;

    fn step(node: &mut Node, event: Event) -> Effects {
        let mut effects = Effects::new();
        node.step(event, &mut effects);
        effects
    }

    #[test]
    fn a_quorum_of_one_leads_at_once_and_goes_on_in_its_epoch() {
        let mut node = Node::standalone(ServerId(1));
        assert_eq!(node.role(), Role::Looking);
        let last_logged = Zxid::new(Epoch(4), 9);
        let effects = step(&mut node, Event::Started { last_logged });
        assert_eq!(effects, [Effect::Lead { epoch: Epoch(4), last_zxid: last_logged }]);
        assert_eq!(node.role(), Role::Leading);
    }

    #[test]
    fn a_write_is_committed_when_its_log_record_is_durable_and_not_before() {
        let mut node = Node::standalone(ServerId(1));
        step(&mut node, Event::Started { last_logged: Zxid::ZERO });
        let txn: Arc<[u8]> = Arc::from([7]);
        let zxid = Zxid(1);
        let effects = step(&mut node, Event::Propose { zxid, txn: Arc::clone(&txn) });
        assert_eq!(effects, [Effect::Append { zxid, txn }]);
        assert_eq!(node.last_committed(), Some(Zxid::ZERO));
        assert_eq!(step(&mut node, Event::Logged { zxid }), [Effect::Commit { zxid }]);
        assert_eq!(node.last_committed(), Some(zxid));
    }
}
