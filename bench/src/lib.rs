//! The load generator: scenarios that drive real servers and report what clients would feel.
//!
//! One thread, one epoll, many connections. [`fleet`] turns sockets into replies and asks a
//! [`fleet::Driver`] what to send next; a scenario is a driver with its command-line arguments and
//! a [`report::Report`] at the end, so that a new scenario brings only what is its own. What is
//! read is checked ([`checks`]): a fast server that answers wrongly is not fast.
//!
//! The crate drives processes over the wire and never links the server.
#![forbid(unsafe_code)]

pub mod blocking;
pub mod checks;
pub mod clock;
pub mod connection;
pub mod conversation;
pub mod cpu;
pub mod error;
pub mod flags;
pub mod fleet;
pub mod framed;
pub mod grown_tree;
pub mod host;
pub mod keys;
pub mod latency;
pub mod latency_report;
pub mod open_loop;
pub mod opening;
pub mod over_time;
pub mod poller;
pub mod process;
pub mod progress;
pub mod random;
pub mod report;
pub mod requests;
pub mod scenario;
pub mod sequence;
pub mod target;
pub mod test_tree;
pub mod timeline;
pub mod violations;

pub use error::BenchError;
pub use scenario::Scenario;
