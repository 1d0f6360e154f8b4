//! Latencies per kind of operation, as HDR histograms of nanoseconds.
//!
//! Only requests that were due inside the measured window are recorded, from the time they were
//! due to the time their reply was read. In an open loop that time is the schedule's, so a server
//! that stalls is charged for every request it kept from being sent (coordinated omission).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::Nanos;
use crate::over_time::OverTime;
use crate::report::{OperationReport, Percentiles};

/// What a latency belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    /// From a change to the moment a watcher heard of it.
    Event,
    /// From a round of changes to the first of its events.
    FirstEvent,
    /// From a round of changes to the half of its events.
    MedianEvent,
    /// From a round of changes to 99 of 100 of its events.
    P99Event,
    /// From a round of changes to the last of its events.
    LastEvent,
    /// From the first packet of a connection to the grant of a new session.
    Connect,
    /// The same for a session that goes on.
    Reconnect,
    /// From the moment a session might expire to the event that its node is gone.
    Expiry,
    /// A client beside the others, while nothing happens and while they connect, come back, expire.
    SteadyIdle,
    SteadyConnect,
    SteadyReconnect,
    SteadyExpiry,
    /// From the create of a client's node to the reply that gives it the lock.
    Acquire,
    /// From the delete of one holder to the reply that gives the lock to the next.
    Handover,
    /// The worst latency of each 10 ms.
    WorstOf10Ms,
    /// From the kill of a leader to the acknowledgement of the first write that began afterwards.
    Failover,
    /// The longest time that a client had no acknowledgement.
    ClientGap,
}

impl Operation {
    pub const ALL: [Self; 19] = [
        Self::Read,
        Self::Write,
        Self::Event,
        Self::FirstEvent,
        Self::MedianEvent,
        Self::P99Event,
        Self::LastEvent,
        Self::Connect,
        Self::Reconnect,
        Self::Expiry,
        Self::SteadyIdle,
        Self::SteadyConnect,
        Self::SteadyReconnect,
        Self::SteadyExpiry,
        Self::Acquire,
        Self::Handover,
        Self::WorstOf10Ms,
        Self::Failover,
        Self::ClientGap,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Event => "event",
            Self::FirstEvent => "first_event",
            Self::MedianEvent => "median_event",
            Self::P99Event => "p99_event",
            Self::LastEvent => "last_event",
            Self::Connect => "connect",
            Self::Reconnect => "reconnect",
            Self::Expiry => "expiry",
            Self::SteadyIdle => "steady_idle",
            Self::SteadyConnect => "steady_connect",
            Self::SteadyReconnect => "steady_reconnect",
            Self::SteadyExpiry => "steady_expiry",
            Self::Acquire => "acquire",
            Self::Handover => "handover",
            Self::WorstOf10Ms => "worst_of_10ms",
            Self::Failover => "failover",
            Self::ClientGap => "client_gap",
        }
    }

    /// Something that a server did, and no second look at what another kind counts already.
    const fn is_work(self) -> bool {
        !matches!(
            self,
            Self::FirstEvent
                | Self::MedianEvent
                | Self::P99Event
                | Self::LastEvent
                | Self::Acquire
                | Self::Handover
                | Self::WorstOf10Ms
                | Self::ClientGap
        )
    }
}

/// Latencies outside are recorded as these, in nanoseconds.
const LATENCY_NS_MIN: u64 = 100;
const LATENCY_NS_MAX: u64 = 120_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

struct Series {
    latency_ns: Histogram<u64>,
    errors: u64,
    /// Answered between the window's ends, whenever they were due.
    answered: u64,
    over_time: OverTime,
}

/// An empty histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that a histogram accepts")
}

/// Records what falls into the window; before [`Recorder::open`] nothing does.
pub struct Recorder {
    series: [Series; Operation::ALL.len()],
    start: Nanos,
    end: Nanos,
}

impl Default for Recorder {
    fn default() -> Self {
        let series = |_| Series {
            latency_ns: histogram(),
            errors: 0,
            answered: 0,
            over_time: OverTime::default(),
        };
        Self { series: Operation::ALL.map(series), start: Nanos(u64::MAX), end: Nanos(0) }
    }
}

impl Recorder {
    /// Sets the measured window.
    pub fn open(&mut self, start: Nanos, end: Nanos) {
        (self.start, self.end) = (start, end);
    }

    /// Records from now on, until [`Recorder::close`] says when the work was over.
    pub fn until_the_end() -> Self {
        let mut recorder = Self::default();
        recorder.open(Nanos::now(), Nanos(u64::MAX));
        recorder
    }

    /// Ends the window where the work ended, when that is not known before.
    pub fn close(&mut self, end: Nanos) {
        self.end = end;
    }

    pub fn record(&mut self, operation: Operation, due: Nanos, received: Nanos, failed: bool) {
        let series = &mut self.series[operation as usize];
        if received >= self.start && received < self.end && !failed {
            series.answered += 1;
            series.over_time.answered(received.since(self.start));
        }
        if due < self.start || due >= self.end {
            return;
        }
        if failed {
            series.errors += 1;
        } else {
            let latency_ns = received.since(due).as_nanos();
            let latency_ns = u64::try_from(latency_ns).unwrap_or(u64::MAX);
            series.latency_ns.saturating_record(latency_ns);
            // A reply behind the window belongs to the last interval of it.
            let came = received.min(self.end - Duration::from_nanos(1));
            series.over_time.latency(came.since(self.start), latency_ns);
        }
    }

    pub fn start(&self) -> Nanos {
        self.start
    }

    pub fn window(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Operations answered inside the window, of all kinds that are work.
    pub fn answered(&self) -> u64 {
        Operation::ALL.into_iter().filter(|kind| kind.is_work()).map(|k| self.answered_of(k)).sum()
    }

    /// Operations of one kind answered inside the window.
    pub fn answered_of(&self, operation: Operation) -> u64 {
        self.series[operation as usize].answered
    }

    /// One entry per kind that occurred.
    pub fn operations(&self) -> Vec<(Operation, OperationReport)> {
        let seen = |operation: &Operation| {
            let series = &self.series[*operation as usize];
            series.errors > 0 || !series.latency_ns.is_empty()
        };
        let seconds = self.window().as_secs_f64();
        let report = |operation: Operation| {
            let series = &self.series[operation as usize];
            let report = OperationReport {
                count: series.latency_ns.len(),
                errors: series.errors,
                per_second: (series.answered as f64 / seconds).round(),
                latency_us: percentiles(&series.latency_ns),
                over_time: series.over_time.report(self.start, self.window()),
            };
            (operation, report)
        };
        Operation::ALL.into_iter().filter(seen).map(report).collect()
    }
}

fn percentiles(latency_ns: &Histogram<u64>) -> Percentiles {
    let us = |ns: u64| (ns as f64 / 100.0).round() / 10.0;
    let quantile = |q| us(latency_ns.value_at_quantile(q));
    Percentiles {
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
        p99_9: quantile(0.999),
        max: us(latency_ns.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        let mut recorder = Recorder::default();
        recorder.open(Nanos(1_000_000_000), Nanos(2_000_000_000));
        recorder
    }

    #[test]
    fn only_what_was_due_in_the_window_has_a_latency() {
        let mut recorder = recorder();
        let ms = |ms: u64| Nanos(ms * 1_000_000);
        recorder.record(Operation::Read, ms(999), ms(1_001), false);
        recorder.record(Operation::Read, ms(1_500), ms(1_502), false);
        recorder.record(Operation::Read, ms(1_999), ms(2_009), false);
        recorder.record(Operation::Read, ms(2_000), ms(2_001), false);
        let operations = recorder.operations();
        let [(Operation::Read, read)] = &operations[..] else { panic!("{operations:?}") };
        assert_eq!(read.count, 2);
        assert_eq!(read.per_second, 2.0, "two replies came inside the window");
        assert!((read.latency_us.max - 10_000.0).abs() < 10.0, "{read:?}");
    }

    #[test]
    fn a_failed_request_is_an_error_and_has_no_latency() {
        let mut recorder = recorder();
        recorder.record(Operation::Write, Nanos(1_100_000_000), Nanos(1_200_000_000), true);
        let operations = recorder.operations();
        let [(Operation::Write, write)] = &operations[..] else { panic!("{operations:?}") };
        assert_eq!((write.count, write.errors, write.per_second), (0, 1, 0.0));
    }
}
