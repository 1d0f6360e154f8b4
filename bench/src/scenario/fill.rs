//! `fill`: many small nodes, and what they cost in time and memory.
//!
//! Nodes lie `per_directory` to a directory; one directory for all is `--per-directory` as large
//! as `--nodes`. Memory is the growth of the servers' resident size over the run, so it is fair to
//! a server that reserves much at its start, and unfair to one that returns garbage late.

use clap::Args;

use crate::Scenario;
use crate::cpu::{CpuMeter, resident_bytes};
use crate::error::BenchError;
use crate::latency::Recorder;
use crate::report::Report;
use crate::target::Target;
use crate::test_tree;

#[derive(Args, Clone, Debug)]
pub struct Fill {
    #[command(flatten)]
    target: Target,
    /// Nodes to create, not counting directories
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// Nodes in one directory
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    per_directory: u32,
    /// Size of each node's data
    #[arg(long, value_name = "BYTES", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
    /// Requests in flight per connection
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Leave the nodes where they are; the report names their root
    #[arg(long)]
    keep: bool,
}

impl Scenario for Fill {
    fn run(&self) -> Result<Report, BenchError> {
        let mut fleet = self.target.connect()?;
        let root = test_tree::unique_root();
        let directory = |number: u32| format!("{root}/d{number:06}");
        let node = |number: u32| format!("{}/n{number:08}", directory(number / self.per_directory));
        let directories = self.nodes.div_ceil(self.per_directory);
        let depth = self.depth as usize;
        test_tree::create_root(&mut fleet, &root)?;
        let unmeasured = Recorder::default();
        test_tree::create(&mut fleet, directories, depth, directory, |_| &[], unmeasured)?;

        let rss_before = resident_bytes(&self.target.at.pids)?;
        let cpu = CpuMeter::start(&self.target.at.pids)?;
        let value = vec![b'm'; self.value_bytes as usize];
        let recorder = Recorder::until_the_end();
        let recorder =
            test_tree::create(&mut fleet, self.nodes, depth, node, |_| &value, recorder)?;
        let cpu = cpu.stop()?;
        let rss_after = resident_bytes(&self.target.at.pids)?;

        let mut report = Report::new("fill");
        self.describe(&mut report, root.clone());
        report.measured(&recorder, &cpu, &fleet.violations);
        if !self.target.at.pids.is_empty() {
            let grown = rss_after.saturating_sub(rss_before);
            report.figure("rss_before_bytes", rss_before as f64);
            report.figure("rss_after_bytes", rss_after as f64);
            report.figure("rss_bytes_per_node", grown as f64 / f64::from(self.nodes));
        }
        if !self.keep {
            test_tree::delete(&mut fleet, self.nodes, depth, node)?;
            test_tree::delete(&mut fleet, directories, depth, directory)?;
            test_tree::delete_root(&mut fleet, &root)?;
        }
        fleet.close();
        Ok(report)
    }
}

impl Fill {
    fn describe(&self, report: &mut Report, root: String) {
        self.target.describe(report);
        report.condition("nodes", self.nodes);
        report.condition("per_directory", self.per_directory);
        report.condition("value_bytes", self.value_bytes);
        report.condition("depth", self.depth);
        report
            .condition("kept_under", if self.keep { root.into() } else { serde_json::Value::Null });
    }
}
