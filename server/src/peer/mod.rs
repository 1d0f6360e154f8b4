//! The ports between members of an ensemble: sockets only, no protocol.
//!
//! `election_link.rs` keeps one connection to each other member and carries votes; which of two
//! connections stays and which message leaves is `pairing.rs`. `learner_link.rs` is the quorum
//! port: a leader's door, a learner's dialling, and the links between them. A link is a
//! `connection.rs`, made of `outgoing.rs` and `incoming.rs`; `pieces.rs` brings a snapshot to it
//! from the thread that writes it. `address_book.rs` knows who may call, `introduction.rs` hears
//! who does, and `callers.rs` holds those who have not said it yet.
//!
//! Both ports run as tasks that talk through mailboxes, so that they can stand on the sequencer's
//! core or on another. What the words mean is `replication`'s to know.

pub mod address_book;
mod callers;
mod connection;
pub mod election_link;
mod election_wire;
#[cfg(test)]
mod harness;
mod incoming;
mod introduction;
pub mod learner_link;
mod learner_message;
mod outgoing;
mod pairing;
pub mod pieces;
