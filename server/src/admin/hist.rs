//! `hist`, a word of our own: every histogram as JSON, with its buckets.
//!
//! Quantiles of several servers, or of the time between two questions, cannot be had from
//! quantiles. They can from the buckets: counts at the same lowest times are added, or subtracted.

use serde_json::{Map, Value, json};

use super::latency::{Latency, QUANTILES};
use super::metrics::{ShardCounters, WriteCounters};
use crate::cli::VERSION;

/// All times in microseconds. What did not happen yet is not there.
pub fn hist(shards: &ShardCounters, writes: &WriteCounters) -> String {
    let operations = shards.operations.iter().map(|(op, latency)| (op.name(), latency));
    let stages = shards.stages.iter().map(|(stage, latency)| (stage.name(), latency));
    let log = [("commit", &writes.sync_us)].into_iter();
    let text = json!({
        "version": VERSION,
        "unit": "us",
        "operations": histograms(operations),
        "write_stages": histograms(stages),
        "log": histograms(log),
    });
    format!("{text}\n")
}

fn histograms<'a>(named: impl Iterator<Item = (&'static str, &'a Latency)>) -> Value {
    let filled = named.filter(|(_, latency)| latency.summary().count > 0);
    filled
        .map(|(name, latency)| (name.to_owned(), histogram(latency)))
        .collect::<Map<_, _>>()
        .into()
}

/// `buckets`: the lowest time of each, and how often it was that or more, up to the next one's.
fn histogram(latency: &Latency) -> Value {
    let summary = latency.summary();
    let mut histogram = json!({
        "count": summary.count,
        "sum": summary.sum,
        "min": summary.min,
        "max": summary.max,
        "buckets": latency.filled().collect::<Vec<_>>(),
    });
    for (name, share) in QUANTILES {
        histogram[name] = latency.quantile_us(share).into();
    }
    histogram
}

#[cfg(test)]
mod tests {
    use menagerie_wire::OpCode;

    use super::*;

    #[test]
    fn only_what_happened_is_told_and_with_all_of_its_buckets() {
        let (mut shards, mut writes) = (ShardCounters::default(), WriteCounters::default());
        shards.operations.record_many_us(OpCode::GetData, 3, 2);
        shards.operations.record_many_us(OpCode::GetData, 1_001, 1);
        shards.stages.record_many_us([1, 0, 2, 3, 4, 5, 6], 1);
        writes.sync_us.record_us(80);
        let text = hist(&shards, &writes);
        let told: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(
            told["operations"],
            json!({"getData": {
                "count": 3, "sum": 1_007, "min": 3, "max": 1_004,
                "p50": 3, "p95": 1_004, "p99": 1_004, "p999": 1_004,
                "buckets": [[3, 2], [1_000, 1]],
            }})
        );
        let stages = told["write_stages"].as_object().expect("one for each stage");
        assert_eq!(stages.len(), 7);
        assert_eq!(stages["quorum"]["buckets"], json!([[4, 1]]));
        assert_eq!(told["log"]["commit"]["max"], 80);
    }
}
