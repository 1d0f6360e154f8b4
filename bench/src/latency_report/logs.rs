//! Histograms in the two formats of HdrHistogram: percentiles as text (`.hgrm`), which its plotter
//! reads, and the interval log (V2), which its log tools read. Both in milliseconds, as is usual.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use super::run::Run;

const NS_PER_MS: f64 = 1e6;
/// Lines for each halving of the distance to 100 %, as HdrHistogram has it.
const STEPS_PER_HALF: u32 = 5;

/// Percentiles of all latencies: HdrHistogram's `outputPercentileDistribution`.
pub(super) fn hgrm(latency_ns: &Histogram<u64>) -> String {
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a string takes everything");
    };
    line(format_args!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    ));
    let mut total = 0;
    for step in latency_ns.iter_quantiles(STEPS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value_ms = step.value_iterated_to() as f64 / NS_PER_MS;
        let quantile = step.quantile_iterated_to();
        line(format_args!("{value_ms:>12.3} {quantile:>14.12} {total:>10}"));
        if quantile < 1.0 {
            line(format_args!(" {:>14.2}", 1.0 / (1.0 - quantile)));
        }
        line(format_args!("\n"));
    }
    let (mean, deviation) = (latency_ns.mean() / NS_PER_MS, latency_ns.stdev() / NS_PER_MS);
    let (max, count) = (latency_ns.max() as f64 / NS_PER_MS, latency_ns.len());
    let (buckets, sub_buckets) = shape(latency_ns);
    line(format_args!("#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]\n"));
    line(format_args!("#[Max     = {max:>12.3}, Total count    = {count:>12}]\n"));
    line(format_args!("#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]\n"));
    text
}

/// How many buckets of how many steps: steps that tell the significant digits apart, and doublings
/// of their range until the highest value fits.
fn shape(histogram: &Histogram<u64>) -> (u32, u64) {
    let steps = (2 * 10u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let unit = 1 << histogram.low().max(1).ilog2();
    let mut buckets = 1;
    let mut reach = steps * unit;
    while reach <= histogram.high() {
        reach *= 2;
        buckets += 1;
    }
    (buckets, steps)
}

/// The log of a run: a line for each second of each operation, which is its tag.
pub(super) fn interval_log(run: &Run) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = V2DeflateSerializer::new();
    let start = run.started().unwrap_or(SystemTime::UNIX_EPOCH);
    let failed = |error: IntervalLogWriterError<_>| io::Error::other(format!("{error:?}"));
    let comment = format!("menagerie-bench: {} ({})", run.label, run.scenario);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&comment.replace(['\r', '\n'], " "))
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut bytes, &mut encoder)?;
    // In the order of time, as readers expect it.
    let seconds = run.operations.values().map(|operation| operation.seconds.len()).max();
    for index in 0..seconds.unwrap_or_default() {
        for (name, operation) in &run.operations {
            let Some(Some(second)) = operation.seconds.get(index) else { continue };
            let (begin, length) = operation.second(index);
            let since_start = Duration::from_secs_f64(operation.start_s - run.start_s());
            log.write_histogram(second, since_start + begin, length, Tag::new(name))
                .map_err(failed)?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::histogram;

    #[test]
    fn percentiles_are_written_as_hdrhistogram_writes_them() {
        let mut latency_ns = histogram();
        for ms in 1..=4u64 {
            latency_ns.record(ms * 1_000_000).unwrap();
        }
        let text = hgrm(&latency_ns);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        let last = lines.iter().rfind(|line| !line.starts_with('#')).unwrap();
        assert_eq!(*last, "       4.002 1.000000000000          4");
        assert!(lines.contains(&"#[Max     =        4.002, Total count    =            4]"));
        assert_eq!(
            *lines.last().unwrap(),
            "#[Buckets =           21, SubBuckets     =         2048]"
        );
    }
}
