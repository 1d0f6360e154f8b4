//! One monotonic clock for every time stamp of a run.
//!
//! Nanoseconds since the first look at the clock, in one word: a request in flight carries its
//! due time, and a thousand connections with 64 requests each make that word count.

use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the process first asked for the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    pub fn now() -> Self {
        Self(saturating_ns(ORIGIN.elapsed()))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(saturating_ns(length)))
    }
}

impl Sub<Duration> for Nanos {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_ns(length)))
    }
}

fn saturating_ns(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
