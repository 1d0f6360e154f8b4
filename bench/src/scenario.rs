//! The scenarios, one file each: arguments, driver, report.
//!
//! To add one: write its file, name it here and in the list of subcommands. A scenario whose load
//! is a stream of requests implements [`crate::fleet::Driver`]; one that needs no server does not.

use crate::error::BenchError;
use crate::report::Report;

mod echo;
mod mixed;

pub use echo::Echo;
pub use mixed::Mixed;

/// A measurement with its arguments.
pub trait Scenario {
    fn run(&self) -> Result<Report, BenchError>;
}
