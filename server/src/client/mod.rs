//! Clients: from the listening socket to the reply.
//!
//! `shard.rs` and the files beside it are the pure half: connections, sessions, watches and the
//! root that answers reads. `listener.rs` and `run.rs` are the half that waits.

pub mod listener;
pub mod password;
pub mod run;
pub mod shard;

mod connection;
mod handshake;
mod intake;
mod mail;
mod reply;
mod slab;
mod slow;
mod survey;
mod timing;
mod unsent;
mod watching;

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod world;
