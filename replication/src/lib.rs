//! ZAB as a pure machine: events in, effects out.
//!
//! [`Node`] decides; it never waits. It owns no socket, no file, no clock and no randomness: time
//! is an argument, and whatever must happen outside is an [`Effect`] whose completion comes back
//! as an [`Event`]. Effects name what must wait for what: a proposal is acknowledged only when its
//! `Append` has come back as `Logged`, an epoch only when its `SaveEpoch` has.
//!
//! What this crate will never contain: I/O, threads, a clock, or any knowledge of what a
//! transaction does. A transaction here is a zxid and bytes.
//!
//! The life of a member: `election.rs` finds a leader, `discovery.rs` agrees with a quorum on an
//! epoch, `synchronization.rs` aligns the histories, `broadcast.rs` orders writes until a link
//! breaks or time runs out (`liveness.rs`); then the disk is drained and the election begins anew.
//! In each of these files both ends of the conversation face each other. `barrier.rs` holds the
//! promise of `sync`, `log.rs` what is durable, `history.rs` what lagging learners are sent.
//!
//! A quorum of one by configuration ([`Node::standalone`]) leads from the start, and the broadcast
//! phase is the same.
//!
//! Left out: reconfiguration. The members are fixed for the life of a node, and a leader that
//! announces a change of them is left.
#![forbid(unsafe_code)]

mod ballot;
mod barrier;
mod broadcast;
mod discovery;
mod effect;
mod election;
mod event;
mod fault;
mod following;
mod history;
mod leading;
mod liveness;
mod log;
mod member;
mod membership;
mod node;
mod packet;
mod quorum;
#[cfg(test)]
mod script;
mod settings;
mod synchronization;
mod timeouts;

// A walk over all states must know what a state is. It shares the simulation's checkers, which name
// this crate as others do.
#[cfg(test)]
extern crate self as menagerie_replication;
#[cfg(test)]
#[path = "../tests/exhaustive/mod.rs"]
mod exhaustive;

pub use effect::{Effect, Effects};
pub use event::{Epochs, Event, Link, LogRead, Recovered};
pub use fault::{Departure, PeerFault};
pub use history::{Entry, HistoryLimits};
pub use membership::Membership;
pub use node::{Node, Role};
pub use packet::{ForwardedRequest, Packet, TxnBytes};
pub use quorum::Majority;
pub use settings::{RESIGN_AT_COUNTER, Settings};
pub use timeouts::Timeouts;
