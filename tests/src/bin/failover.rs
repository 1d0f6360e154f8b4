//! How long writes stop when the leader is killed: ensembles of Apache ZooKeeper and of Menagerie
//! with the same configuration, one sample of each in turn.

use clap::Parser;
use menagerie_tests::ensemble::Ensemble;
use menagerie_tests::ensemble::node::Flavor;
use menagerie_tests::ensemble::timing::{Times, fail_over, plan};
use menagerie_tests::random::Random;
use std::io::Write as _;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 20)]
    samples: usize,
    /// Voters of each ensemble.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 2000)]
    tick_ms: u32,
    /// Leave one of the two out: apache or menagerie.
    #[arg(long)]
    without: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let without = arguments.without.unwrap_or_default();
    let flavors = [("apache", Flavor::Apache), ("menagerie", Flavor::Menagerie)];
    let mut ensembles: Vec<_> = flavors
        .into_iter()
        .filter(|(name, _)| *name != without)
        .map(|(_, flavor)| {
            let plan = plan(flavor, arguments.nodes, arguments.tick_ms, "-Xmx1g");
            (flavor, Ensemble::start(&plan), Vec::new())
        })
        .collect();
    let mut random = Random::new(arguments.seed);
    let mut out = std::io::stdout();
    for sample in 1..=arguments.samples {
        for (flavor, ensemble, times) in &mut ensembles {
            let time = fail_over(ensemble, &mut random);
            let ms = time.as_secs_f64() * 1_000.0;
            writeln!(out, "{sample} {flavor:?}: {ms:.1} ms")?;
            times.push(time);
        }
    }
    for (flavor, _, times) in ensembles {
        writeln!(out, "{flavor:?}: {}", Times::new(times))?;
    }
    Ok(())
}
