//! The server: everything that waits, around the pure parts that decide.
//!
//! A library with a thin `main.rs`, so that the simulation and the benches can link its pure
//! halves.
#![deny(unsafe_code)]

pub mod admin;
#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
pub mod allocator;
mod assembly;
pub mod cli;
pub mod client;
pub mod config;
pub mod housekeeping;
pub mod init;
mod kept;
mod member;
pub mod peer;
pub mod runtime;
mod secret_source;
pub mod sequencer;
pub mod serve;
pub mod status;
pub mod store;
pub mod watch;
