//! What one kind of operation did over the measured window, for plots and histogram logs.
//!
//! Two grains: replies and the worst latency of every tenth of a second, which show a stall, and a
//! histogram of every second, which is what HdrHistogram's log format holds. A latency belongs to
//! the moment its reply came; before that nobody knew it. Full seconds are kept encoded (some
//! kilobytes each), so that an hour of load is no hour of histograms in memory.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde::Serialize;

use crate::clock::Nanos;
use crate::latency::histogram;

/// Length of the fine intervals.
pub const TICK: Duration = Duration::from_millis(100);
/// Length of the intervals that have a histogram.
const SECOND: Duration = Duration::from_secs(1);

pub struct OverTime {
    answered: Vec<u32>,
    worst_ns: Vec<u64>,
    /// Seconds that are over, encoded; nothing for one without a latency.
    seconds: Vec<Vec<u8>>,
    /// The second behind them.
    current: Histogram<u64>,
    encoder: V2Serializer,
}

/// The same as it stands in a report. Histograms are of nanoseconds, in HdrHistogram's V2 encoding,
/// compressed and in base64: what its implementations in other languages decode.
#[derive(Clone, Debug, Serialize)]
pub struct OverTimeReport {
    /// When the window began, by the generator's clock: where those of a run lie beside each other.
    pub start_s: f64,
    pub window_s: f64,
    pub tick_s: f64,
    /// By tick: replies.
    pub answered: Vec<u32>,
    /// By tick: the worst latency; 0 without one.
    pub worst_us: Vec<f64>,
    /// By second: all latencies; empty without one.
    pub histograms: Vec<String>,
}

impl Default for OverTime {
    fn default() -> Self {
        Self {
            answered: Vec::new(),
            worst_ns: Vec::new(),
            seconds: Vec::new(),
            current: histogram(),
            encoder: V2Serializer::new(),
        }
    }
}

impl OverTime {
    /// Counts a reply that came so long after the window's start.
    pub fn answered(&mut self, since_start: Duration) {
        *slot(&mut self.answered, index(since_start, TICK)) += 1;
    }

    /// Records the latency of a reply that came so long after the window's start. Time goes
    /// forward: one that comes for an earlier second is counted in the current one.
    pub fn latency(&mut self, since_start: Duration, latency_ns: u64) {
        let worst_ns = slot(&mut self.worst_ns, index(since_start, TICK));
        *worst_ns = latency_ns.max(*worst_ns);
        while self.seconds.len() < index(since_start, SECOND) {
            let encoded = encode(&self.current, &mut self.encoder);
            self.seconds.push(encoded);
            self.current.reset();
        }
        self.current.saturating_record(latency_ns);
    }

    pub fn report(&self, start: Nanos, window: Duration) -> OverTimeReport {
        let mut compressor = V2DeflateSerializer::new();
        let mut compress = |encoded: &[u8]| {
            if encoded.is_empty() {
                return String::new();
            }
            let decoded: Histogram<u64> = Deserializer::new()
                .deserialize(&mut &*encoded)
                .expect("it was encoded here and never left the process");
            STANDARD.encode(encode(&decoded, &mut compressor))
        };
        let mut histograms: Vec<_> = self.seconds.iter().map(|second| compress(second)).collect();
        histograms.push(compress(&encode(&self.current, &mut V2Serializer::new())));
        let us = |ns: &u64| (*ns as f64 / 100.0).round() / 10.0;
        OverTimeReport {
            start_s: start.since(Nanos(0)).as_secs_f64(),
            window_s: window.as_secs_f64(),
            tick_s: TICK.as_secs_f64(),
            answered: self.answered.clone(),
            worst_us: self.worst_ns.iter().map(us).collect(),
            histograms,
        }
    }
}

fn index(since_start: Duration, interval: Duration) -> usize {
    usize::try_from(since_start.as_nanos() / interval.as_nanos()).unwrap_or(usize::MAX)
}

/// The slot of an interval; those before it that nothing fell into are there then, too.
fn slot<T: Clone + Default>(slots: &mut Vec<T>, index: usize) -> &mut T {
    if slots.len() <= index {
        slots.resize(index + 1, T::default());
    }
    &mut slots[index]
}

/// Nothing for an empty histogram.
fn encode(histogram: &Histogram<u64>, encoder: &mut impl Serializer) -> Vec<u8> {
    let mut encoded = Vec::new();
    if !histogram.is_empty() {
        encoder
            .serialize(histogram, &mut encoded)
            .expect("a histogram of these bounds fits its encoding, and memory takes it");
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoded: &str) -> Option<Histogram<u64>> {
        let bytes = STANDARD.decode(encoded).unwrap();
        (!bytes.is_empty()).then(|| Deserializer::new().deserialize(&mut &bytes[..]).unwrap())
    }

    #[test]
    fn a_stall_is_an_empty_interval_and_a_long_latency_behind_it() {
        let mut over_time = OverTime::default();
        let ms = Duration::from_millis;
        for (came, latency_ns) in [(0, 1_000), (99, 3_000), (2_300, 2_200_000_000)] {
            over_time.answered(ms(came));
            over_time.latency(ms(came), latency_ns);
        }
        let report = over_time.report(Nanos(0), ms(2_400));
        assert_eq!(report.answered.iter().map(|n| *n as usize).sum::<usize>(), 3);
        assert_eq!((report.answered[0], report.answered[23], report.answered.len()), (2, 1, 24));
        assert_eq!((report.worst_us[0], report.worst_us[23]), (3.0, 2_200_000.0));
        let seconds: Vec<_> = report.histograms.iter().map(|text| decode(text)).collect();
        let counts: Vec<_> = seconds.iter().map(|s| s.as_ref().map(Histogram::len)).collect();
        assert_eq!(counts, [Some(2), None, Some(1)]);
    }

    #[test]
    fn a_reply_that_is_read_out_of_order_is_not_lost() {
        let mut over_time = OverTime::default();
        over_time.latency(Duration::from_millis(1_001), 5_000);
        over_time.latency(Duration::from_millis(999), 5_000);
        let report = over_time.report(Nanos(0), Duration::from_secs(2));
        let lengths: Vec<_> =
            report.histograms.iter().map(|text| decode(text).map_or(0, |h| h.len())).collect();
        assert_eq!(lengths, [0, 2]);
    }
}
