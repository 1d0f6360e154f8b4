//! What operators and their monitoring see: four-letter words, counters, the environment.
//!
//! Everything here is pure text made of plain reports. Whoever answers a probe collects the
//! reports from shards and sequencer, merges them, and calls one function of [`four_letter`]. The
//! texts keep Apache's form to the letter, since scripts and exporters parse them.

mod environment;
pub mod four_letter;
mod hist;
pub mod latency;
pub mod metrics;
mod mntr;
pub mod probe;
mod report;
pub mod stages;
mod utc;

pub use environment::{Environment, FileDescriptors};
pub use mntr::MntrReport;
pub use report::{
    ConnectionReport, DumpReport, LatencyReport, Mode, ServerReport, SessionReport, SessionsReport,
    WatchReport,
};
