//! What happened in a run, and whether it was allowed to.
//!
//! [`history`] is what clients saw: recorded by a simulation or by clients of real processes, kept
//! as lines of JSON. [`checkers`] judge it, and the traces of simulated nodes: one promise, one
//! file. [`world`] makes runs: whole ensembles in one thread, by seed or by script.
#![forbid(unsafe_code)]

pub mod checkers;
pub mod client;
pub mod history;
pub mod random;
pub mod scenarios;
pub mod world;
