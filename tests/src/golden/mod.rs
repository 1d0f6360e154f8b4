//! Replays conversations captured from Apache ZooKeeper 3.9.4 against a running server.
//!
//! A transcript (`tests/golden/client-*.jsonl`, described in `tests/golden/ORIGIN.md`) says which
//! bytes were sent on which connection and which came back. The player sends the same bytes to
//! the server under test and compares every frame, byte by byte outside the ranges that have to
//! vary, and collects every difference instead of stopping at the first. It works on bytes and
//! shares no code with the server, so that a wrong belief about the protocol cannot hide in both.
//!
//! [`Deviations`] are the steps that Menagerie answers otherwise on purpose: there our own answer
//! is what is asserted.

mod bindings;
mod compare;
mod connection;
mod deviations;
mod player;
mod servers;
mod text;
mod transcript;

pub use deviations::Deviations;
pub use player::{Failure, Report, replay};
pub use servers::Servers;
pub use transcript::Transcript;
