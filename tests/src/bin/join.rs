//! How long an empty follower needs to join a big tree, and what other clients feel of it: first
//! an ensemble of Apache ZooKeeper, then one of Menagerie with the same configuration.

use clap::Parser;
use menagerie_tests::ensemble::Ensemble;
use menagerie_tests::ensemble::join::join;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::timing::plan;
use std::io::Write as _;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    #[arg(long, default_value_t = 100)]
    data_bytes: usize,
    #[arg(long, default_value_t = 2000)]
    tick_ms: u32,
    /// Leave one of the two out: apache or menagerie.
    #[arg(long)]
    without: Option<String>,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let without = arguments.without.unwrap_or_default();
    let mut out = std::io::stdout();
    for (name, flavor) in [("apache", Flavor::Apache), ("menagerie", Flavor::Menagerie)] {
        if name == without {
            continue;
        }
        let mut ensemble = Ensemble::start(&plan(flavor, 3, arguments.tick_ms, "-Xmx3g"));
        let joined = join(&mut ensemble, arguments.znodes, arguments.data_bytes)?;
        writeln!(out, "{flavor:?}, {} znodes\n{joined}", arguments.znodes)?;
    }
    Ok(())
}
