//! The schedule of an open loop: when each request is due, whatever the server does.
//!
//! Requests are due at even distances. One that leaves late keeps its time on the schedule, so the
//! delay is part of its latency.

use std::time::Duration;

use crate::clock::Nanos;

#[derive(Clone, Debug)]
pub struct Schedule {
    start: Nanos,
    per_second: f64,
    /// Requests taken so far.
    taken: u64,
}

impl Schedule {
    /// The first request is due at `start`.
    pub fn new(start: Nanos, per_second: f64) -> Self {
        Self { start, per_second, taken: 0 }
    }

    /// When the next request is due.
    pub fn next_due(&self) -> Nanos {
        // From the start each time: steps that are rounded one by one would drift.
        self.start + Duration::from_secs_f64(self.taken as f64 / self.per_second)
    }

    /// Takes the next request; the answer is its due time.
    pub fn take(&mut self) -> Nanos {
        let due = self.next_due();
        self.taken += 1;
        due
    }

    /// Requests taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_drift_and_do_not_wait_for_anybody() {
        let mut schedule = Schedule::new(Nanos(1_000), 30_000.0);
        assert_eq!(schedule.take(), Nanos(1_000));
        for _ in 1..30_000 {
            schedule.take();
        }
        assert_eq!(schedule.take(), Nanos(1_000_001_000));
        assert_eq!(schedule.taken(), 30_001);
    }
}
