//! The worst latency of every 10 ms: what a percentile over a minute does not show.
//!
//! A request belongs to the slot in which it was due, so a stall of 50 ms is five slots: what
//! requests felt that came then.

use std::time::Duration;

use crate::clock::Nanos;

pub const SLOT: Duration = Duration::from_millis(10);

pub struct Timeline {
    start: Nanos,
    /// By slot; 0 where nothing was due.
    worst: Vec<Duration>,
}

impl Timeline {
    pub fn new(start: Nanos, length: Duration) -> Self {
        let slots = length.as_nanos().div_ceil(SLOT.as_nanos());
        Self { start, worst: vec![Duration::ZERO; usize::try_from(slots).unwrap_or(0)] }
    }

    pub fn record(&mut self, due: Nanos, received: Nanos) {
        if due < self.start {
            return;
        }
        let slot = (due.since(self.start).as_nanos() / SLOT.as_nanos()) as usize;
        if let Some(worst) = self.worst.get_mut(slot) {
            *worst = received.since(due).max(*worst);
        }
    }

    /// The slots in their order.
    pub fn worst(&self) -> &[Duration] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_the_worst_of_what_was_due_in_it() {
        let ms = |ms: u64| Nanos(ms * 1_000_000);
        let mut timeline = Timeline::new(ms(1_000), Duration::from_millis(25));
        for (due, received) in
            [(999, 5_000), (1_000, 1_001), (1_009, 1_013), (1_020, 1_022), (1_030, 9_000)]
        {
            timeline.record(ms(due), ms(received));
        }
        assert_eq!(timeline.worst(), [4, 0, 2].map(Duration::from_millis));
    }
}
