//! The clocks of one machine, which are not those of another.
//!
//! The monotonic one runs a little fast or slow, always forward; the wall clock is what somebody
//! has set it to. Neither is the time of the world.

use menagerie::sequencer::Now;

const PER_MILLION: i64 = 1_000_000;

/// When the first world began, on the wall.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// Two clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// How much faster than the world the monotonic clock runs, in parts per million.
    pub drift_ppm: i64,
    /// How far the wall clock is ahead of the world.
    pub ahead_ms: i64,
}

impl Clock {
    /// What the clocks show when the world's does `world_us`.
    #[must_use]
    pub const fn now(&self, world_us: u64) -> Now {
        let wall_ms = EPOCH_MS + (world_us / 1000) as i64 + self.ahead_ms;
        Now { monotonic_us: self.monotonic_us(world_us), wall_ms }
    }

    #[must_use]
    pub const fn monotonic_us(&self, world_us: u64) -> u64 {
        (world_us as i64 + world_us as i64 / 1000 * self.drift_ppm / 1000) as u64
    }

    /// When the monotonic clock shows `at_ms`, or a little later.
    #[must_use]
    pub fn world_us(&self, at_ms: u64) -> u64 {
        let at_us = i64::try_from(at_ms.saturating_mul(1000)).unwrap_or(i64::MAX / 2);
        let estimate =
            at_us as i128 * i128::from(PER_MILLION) / i128::from(PER_MILLION + self.drift_ppm);
        let mut world_us = u64::try_from(estimate).unwrap_or(u64::MAX >> 2);
        while self.monotonic_us(world_us) / 1000 < at_ms {
            world_us += 500;
        }
        world_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_at_the_time_that_is_named_for_it() {
        for drift_ppm in [-200_000, -300, 0, 1, 250_000] {
            let clock = Clock { drift_ppm, ahead_ms: 0 };
            for at_ms in [0, 1, 777, 1_000_000, 86_400_000] {
                let world_us = clock.world_us(at_ms);
                assert!(clock.now(world_us).monotonic_ms() >= at_ms, "{drift_ppm} {at_ms}");
                assert!(clock.now(world_us).monotonic_ms() <= at_ms + 2, "{drift_ppm} {at_ms}");
            }
        }
    }
}
