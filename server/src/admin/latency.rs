//! How long things took: a histogram in microseconds that costs a few instructions to add to.
//!
//! Every power of two is cut into 64 equal buckets. So a bucket is no wider than a 64th
//! of what is in it, and what is told of it, its middle, is off by less than a hundredth. Which
//! bucket it is stands in the first bits of the time as a floating-point number: the exponent, and
//! behind it the place between two powers. To record is that conversion and an addition: no search,
//! no growing, no atomic. Each core has its own histograms, and who reports merges them.
//!
//! It is not made for differences between two times of asking: whoever wants them subtracts the
//! buckets that `hist` tells.

use super::metrics::Summary;

/// Bits of the mantissa that tell buckets apart.
const PLACE_BITS: u32 = 6;
const SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - PLACE_BITS;

/// Anything longer counts as this in the distribution: an hour and eleven minutes.
const US_MAX: u64 = 1 << 32;
const BUCKETS: usize = place(US_MAX) + 1;
/// What the bits of 1.0 say; the place before it is that of 0.
const OF_ONE: u32 = (1_f32.to_bits() >> SHIFT) - 1;

/// Shares of all for which a report tells a time that they did not exceed.
pub(super) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

/// Times in microseconds, with their distribution. Only their sum is exact.
#[derive(Clone, Debug)]
pub struct Latency {
    sum_us: u64,
    buckets: Box<[u64; BUCKETS]>,
}

impl Latency {
    pub fn record_us(&mut self, us: u64) {
        self.record_many_us(us, 1);
    }

    /// So many times the same.
    #[inline]
    pub fn record_many_us(&mut self, us: u64, times: u64) {
        self.sum_us += us * times;
        self.buckets[bucket(us)] += times;
    }

    pub fn merge(&mut self, other: &Self) {
        self.sum_us += other.sum_us;
        for (count, more) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *count += more;
        }
    }

    /// The shortest and the longest are told as their buckets are.
    pub fn summary(&self) -> Summary {
        let filled = |at: &usize| self.buckets[*at] > 0;
        let (min, max) = ((0..BUCKETS).find(filled), (0..BUCKETS).rfind(filled));
        let told = |at: Option<usize>| at.map_or(0, middle);
        let count = self.buckets.iter().sum();
        Summary { count, sum: self.sum_us, min: told(min), max: told(max) }
    }

    /// The time that a share of all did not exceed; 0 when there were none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let count: u64 = self.buckets.iter().sum();
        let rank = (share * count as f64).ceil() as u64;
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank.max(1)
        });
        at.map_or(0, middle)
    }

    /// The lowest time of each bucket that is not empty, and how many are in it.
    pub(super) fn filled(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(at, count)| (lowest(at), *count))
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self { sum_us: 0, buckets: Box::new([0; BUCKETS]) }
    }
}

/// Where a time is counted.
#[inline]
const fn bucket(us: u64) -> usize {
    let place = place(us);
    if place < BUCKETS { place } else { BUCKETS - 1 }
}

#[inline]
const fn place(us: u64) -> usize {
    // Through a signed number, for which the processor has one instruction.
    let bits = (us.cast_signed() as f32).to_bits() >> SHIFT;
    bits.saturating_sub(OF_ONE) as usize
}

/// The lowest time that a bucket can have. Below 64 there are more buckets than times.
const fn lowest(bucket: usize) -> u64 {
    if bucket == 0 { 0 } else { f32::from_bits((bucket as u32 + OF_ONE) << SHIFT).ceil() as u64 }
}

/// What is told of all times in a bucket.
const fn middle(bucket: usize) -> u64 {
    let (lowest, next) = (lowest(bucket), lowest(bucket + 1));
    lowest + next.saturating_sub(lowest) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_lie_end_to_end_and_none_is_wide() {
        for at in 0..BUCKETS - 1 {
            let (first, next) = (lowest(at), lowest(at + 1));
            assert!(first <= next && (next - first) << PLACE_BITS <= first.max(64), "{at}");
            if first < next {
                assert_eq!((bucket(first), middle(at) < next), (at, true));
            }
            // A float has 24 bits: what is so near to the next bucket may be counted there.
            let last = next.saturating_sub(1 + (next >> 24));
            assert!(first > last || bucket(last) == at, "{last} is not in {at}");
        }
        assert!((0..128).all(|us| middle(bucket(us)) == us), "exact where buckets are narrow");
        assert_eq!((lowest(BUCKETS - 1), bucket(US_MAX)), (US_MAX, BUCKETS - 1));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    /// As often below a millisecond as above it.
    fn any_time() -> impl Strategy<Value = u64> {
        (0_u32..=20).prop_flat_map(|bits| 0..1_u64 << bits)
    }

    proptest! {
        /// Against the sorted times themselves, recorded by two cores.
        #[test]
        fn quantiles_are_within_a_hundredth(
            mut times in prop::collection::vec(any_time(), 1..300),
            share in 0.0..=1.0,
        ) {
            let (mut all, mut other) = (Latency::default(), Latency::default());
            for (turn, us) in times.iter().enumerate() {
                if turn % 2 == 0 { all.record_us(*us) } else { other.record_us(*us) }
            }
            all.merge(&other);
            times.sort_unstable();
            let share: f64 = share;
            let rank = (share * times.len() as f64).ceil() as usize;
            let exact = times[rank.max(1) - 1] as f64;
            let told = all.quantile_us(share) as f64;
            prop_assert!((told - exact).abs() <= exact / 100.0, "{told} for {exact}");
            let Summary { count, sum, min, max } = all.summary();
            prop_assert_eq!((count, sum), (times.len() as u64, times.iter().sum::<u64>()));
            prop_assert_eq!((min, max), (all.quantile_us(0.0), all.quantile_us(1.0)));
            prop_assert_eq!(all.filled().map(|(_, count)| count).sum::<u64>(), count);
        }
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let (mut one, mut many) = (Latency::default(), Latency::default());
        for _ in 0..1_000 {
            one.record_us(123_456);
        }
        many.record_many_us(123_456, 1_000);
        assert_eq!(one.summary(), many.summary());
        assert!(one.filled().eq(many.filled()));
    }

    #[test]
    fn what_is_too_long_is_counted_as_the_longest_and_nothing_is_zero() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_us(0.99), 0);
        assert_eq!(latency.summary(), Summary::default());
        latency.record_us(u64::MAX >> 8);
        assert_eq!(latency.filled().map(|(_, count)| count).collect::<Vec<_>>(), [1]);
        let longest = latency.summary().max;
        assert!(longest.abs_diff(US_MAX) <= US_MAX / 100, "{longest}");
    }
}
