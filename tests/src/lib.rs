//! What the integration tests share: harnesses that start real servers, and the golden replayer.
//!
//! The tests drive processes: the built `menagerie` binary ([`server`]) and Apache ZooKeeper 3.9.4
//! ([`apache`]), which is the reference. Both are configured by one [`ServerConfig`], live in a
//! scratch directory of their own, and die with the test that started them ([`child_process`]).

pub mod apache;
pub mod checkout;
pub mod child_process;
pub mod differential;
pub mod ensemble;
pub mod golden;
pub mod kill_loop;
pub mod polling;
pub mod raw_client;
pub mod scratch;
pub mod server;
mod server_config;

pub use menagerie_simulation::random;
pub use server_config::{ServerConfig, free_address};
