//! The ports between members of an ensemble: sockets only, no protocol.
//!
//! `election_link.rs` keeps one connection to each other member and carries votes; which of two
//! connections stays and which message leaves is `pairing.rs`. `address_book.rs` knows who may
//! call.
//!
//! A port runs as tasks that talk through mailboxes, so that it can stand on the sequencer's core
//! or on another. What the words mean is `replication`'s to know.

pub mod address_book;
pub mod election_link;
#[cfg(test)]
mod harness;
mod pairing;
