//! ZAB as a pure machine: events in, effects out.
//!
//! [`Node`] decides; it never waits. It owns no socket, no file, no clock and no randomness: time
//! is an argument, and whatever must happen outside is an [`Effect`] whose completion comes back
//! as an [`Event`]. Effects name what must wait for what: a proposal is counted as our own
//! acknowledgement only when its `Append` has come back as `Logged`.
//!
//! What this crate will never contain: I/O, threads, a clock, or any knowledge of what a
//! transaction does. A transaction here is a zxid and bytes.
//!
//! Today the only configuration that can be built is a quorum of one, which leads itself from the
//! start; election, discovery and synchronization come with the ensemble. The broadcast phase is
//! already the real one: acknowledgements are counted against the quorum, commits leave in order.
#![forbid(unsafe_code)]

mod broadcast;
mod effect;
mod event;
mod node;
mod quorum;

pub use effect::{Effect, Effects};
pub use event::Event;
pub use node::{Node, Role};
pub use quorum::Majority;
