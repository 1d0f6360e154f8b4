//! `fill`: many small nodes, and what they cost in time and memory.
//!
//! How they lie is a [`Shape`]: what a node costs depends on whether its siblings are many, on
//! whether it is a parent, and on whether its data stands inside of it. Memory is the growth of the
//! servers' resident size over the run, so it is fair to a server that reserves much at its start,
//! and unfair to one that returns garbage late.

use clap::{Args, ValueEnum};

use crate::Scenario;
use crate::clock::Nanos;
use crate::cpu::{CpuMeter, resident_bytes};
use crate::error::BenchError;
use crate::flags::name_of;
use crate::fleet::Fleet;
use crate::latency::Recorder;
use crate::report::Report;
use crate::target::Target;
use crate::test_tree;

/// Nodes in each directory, unless it is one for all.
const PER_DIRECTORY: u32 = 1_000;
/// Nodes below each other.
const LEVELS: u32 = 32;
const VALUE_BYTES: u32 = 100;
const LARGE_VALUE_BYTES: u32 = 4_096;

#[derive(Args, Clone, Debug)]
pub struct Fill {
    #[command(flatten)]
    target: Target,
    /// Nodes to create, not counting directories
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// How the nodes lie
    #[arg(long, value_enum, default_value_t = Shape::Directories)]
    shape: Shape,
    /// Nodes in one directory, for a shape with directories [default: 1000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    per_directory: Option<u32>,
    /// Size of each node's data [default: 100, or 4096 for large-values]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: Option<u32>,
    /// Requests in flight per connection
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Leave the nodes where they are; the report names their root
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Directories of 1,000 nodes
    Directories,
    /// One directory for all
    Flat,
    /// Chains of 32 nodes, each the child of the one before
    Deep,
    /// Directories of 1,000 nodes with 4 KiB each
    LargeValues,
}

/// Where each node is, by its number.
struct Layout {
    root: String,
    nodes: u32,
    /// Nodes below the same directory; in chains, when `levels` is more than 1.
    per_directory: u32,
    levels: u32,
}

impl Layout {
    fn directories(&self) -> u32 {
        self.nodes.div_ceil(self.per_directory)
    }

    fn directory(&self, number: u32) -> String {
        format!("{}/d{number:06}", self.root)
    }

    /// How many nodes are at a level. Parents come before their children, a level at a time.
    fn at_level(&self, level: u32) -> u32 {
        match self.levels {
            1 => self.nodes,
            _ => {
                (self.nodes - (level * self.directories()).min(self.nodes)).min(self.directories())
            }
        }
    }

    fn node(&self, level: u32, number: u32) -> String {
        if self.levels == 1 {
            return format!("{}/n{number:08}", self.directory(number / self.per_directory));
        }
        let mut path = self.directory(number);
        (0..=level).for_each(|level| path.push_str(&format!("/n{level:02}")));
        path
    }
}

impl Scenario for Fill {
    fn run(&self) -> Result<Report, BenchError> {
        let mut fleet = self.target.connect()?;
        let layout = self.layout(test_tree::unique_root());
        let depth = self.depth as usize;
        test_tree::create_root(&mut fleet, &layout.root)?;
        let (directories, directory) = (layout.directories(), |number| layout.directory(number));
        let unmeasured = Recorder::default();
        test_tree::create(&mut fleet, directories, depth, directory, |_| &[], unmeasured)?;

        let rss_before = resident_bytes(&self.target.at.pids)?;
        let cpu = CpuMeter::start(&self.target.at.pids)?;
        let recorder = self.create(&mut fleet, &layout)?;
        let cpu = cpu.stop()?;
        let rss_after = resident_bytes(&self.target.at.pids)?;

        let mut report = Report::new("fill");
        self.describe(&mut report, &layout);
        report.measured(&recorder, &cpu, &fleet.violations);
        if !self.target.at.pids.is_empty() {
            let grown = rss_after.saturating_sub(rss_before);
            report.figure("rss_before_bytes", rss_before as f64);
            report.figure("rss_after_bytes", rss_after as f64);
            report.figure("rss_bytes_per_node", grown as f64 / f64::from(self.nodes));
        }
        if !self.keep {
            for level in (0..layout.levels).rev() {
                let node = |number| layout.node(level, number);
                test_tree::delete(&mut fleet, layout.at_level(level), depth, node)?;
            }
            test_tree::delete(&mut fleet, directories, depth, directory)?;
            test_tree::delete_root(&mut fleet, &layout.root)?;
        }
        fleet.close();
        Ok(report)
    }
}

impl Fill {
    fn layout(&self, root: String) -> Layout {
        let (per_directory, levels) = match self.shape {
            Shape::Directories | Shape::LargeValues => {
                (self.per_directory.unwrap_or(PER_DIRECTORY), 1)
            }
            Shape::Flat => (self.nodes, 1),
            Shape::Deep => (LEVELS, LEVELS),
        };
        Layout { root, nodes: self.nodes, per_directory, levels }
    }

    fn value_bytes(&self) -> u32 {
        let large = self.shape == Shape::LargeValues;
        self.value_bytes.unwrap_or(if large { LARGE_VALUE_BYTES } else { VALUE_BYTES })
    }

    fn create(&self, fleet: &mut Fleet, layout: &Layout) -> Result<Recorder, BenchError> {
        let value = vec![b'm'; self.value_bytes() as usize];
        let mut recorder = Recorder::until_the_end();
        for level in 0..layout.levels {
            // Each level begins when the one above is there, and all of them are one window.
            recorder.open(recorder.start(), Nanos(u64::MAX));
            let (count, node) = (layout.at_level(level), |number| layout.node(level, number));
            let depth = self.depth as usize;
            recorder = test_tree::create(fleet, count, depth, node, |_| &value, recorder)?;
        }
        Ok(recorder)
    }

    fn describe(&self, report: &mut Report, layout: &Layout) {
        self.target.describe(report);
        report.condition("nodes", self.nodes);
        report.condition("shape", name_of(self.shape));
        report.condition("per_directory", layout.per_directory);
        report.condition("value_bytes", self.value_bytes());
        report.condition("depth", self.depth);
        let kept = self.keep.then(|| layout.root.clone());
        report.condition("kept_under", kept.map_or(serde_json::Value::Null, Into::into));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check(nodes: u32, per_directory: u32, levels: u32) {
        let layout = Layout { root: "/r".into(), nodes, per_directory, levels };
        let mut there: HashSet<_> =
            (0..layout.directories()).map(|n| layout.directory(n)).collect();
        let directories = there.len();
        for level in 0..levels {
            for number in 0..layout.at_level(level) {
                let path = layout.node(level, number);
                let (parent, _) = path.rsplit_once('/').expect("a path");
                assert!(there.contains(parent), "{path} comes before its parent");
                there.insert(path);
            }
        }
        assert_eq!(there.len() - directories, nodes as usize, "{per_directory} {levels}");
    }

    #[test]
    fn all_nodes_are_there_once_and_below_their_parents() {
        check(2_500, 1_000, 1);
        check(2_500, 2_500, 1);
        check(2_500, LEVELS, LEVELS);
        check(1, LEVELS, LEVELS);
        check(5 * LEVELS, LEVELS, LEVELS);
    }
}
