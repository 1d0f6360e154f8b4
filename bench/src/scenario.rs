//! The scenarios, one file each: arguments, driver, report.
//!
//! To add one: write its file, name it here and in the list of subcommands. A scenario whose load
//! is a stream of requests implements [`crate::fleet::Driver`]; one that needs no server does not.

use crate::error::BenchError;
use crate::report::Report;

mod compare;
mod disk;
mod echo;
mod failover;
mod fill;
mod lock;
mod mixed;
mod restart;
mod sessions;
mod snapshot;
mod watch;

pub use compare::Compare;
pub use disk::Disk;
pub use echo::Echo;
pub use failover::Failover;
pub use fill::Fill;
pub use lock::Lock;
pub use mixed::Mixed;
pub use restart::Restart;
pub use sessions::Sessions;
pub use snapshot::Snapshot;
pub use watch::Watch;

/// A measurement with its arguments.
pub trait Scenario {
    fn run(&self) -> Result<Report, BenchError>;
}
