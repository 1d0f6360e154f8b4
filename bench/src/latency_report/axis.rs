//! Axes: where a value stands between both ends, and which values are written beside them.
//!
//! Three kinds: numbers from zero; logarithms, for latencies and shares; and the percentile axis of
//! latency work, on which each further nine takes the same room: the interesting part of a
//! distribution is its last percent.

use super::units;

pub(super) struct Axis {
    pub(super) title: &'static str,
    kind: Kind,
    /// What the page's script makes of values: one of its `units`.
    unit: &'static str,
    /// The ends, as the kind stretches them.
    from: f64,
    to: f64,
    pub(super) ticks: Vec<Tick>,
}

pub(super) struct Tick {
    /// 0 to 1, from the axis' start.
    pub(super) place: f64,
    /// Empty for a line that helps to read between the others.
    pub(super) label: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Linear,
    Logarithm,
    /// Of quantiles: how many nines.
    Nines,
}

impl Kind {
    fn stretch(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithm => value.log10(),
            Self::Nines => -(1.0 - value).log10(),
        }
    }
}

impl Axis {
    fn new(title: &'static str, kind: Kind, unit: &'static str, (from, to): (f64, f64)) -> Self {
        Self { title, kind, unit, from, to, ticks: Vec::new() }
    }

    /// The axis for the page's script, which turns places back into values.
    pub(super) fn for_script(&self) -> String {
        let kind = match self.kind {
            Kind::Linear => "linear",
            Kind::Logarithm => "logarithm",
            Kind::Nines => "nines",
        };
        format!("{kind} {} {} {}", self.unit, self.from, self.to)
    }

    fn with_ticks(mut self, ticks: impl IntoIterator<Item = (f64, String)>) -> Self {
        for (value, label) in ticks {
            let place = self.place(value);
            self.ticks.push(Tick { place, label });
        }
        self
    }

    /// Where a value stands, 0 to 1; values outside stand at the ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((self.kind.stretch(value) - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// From end to end: decades on a logarithmic axis.
    pub(super) fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Numbers from zero to at least `max`, with around `ticks` of them written.
    pub(super) fn from_zero(
        title: &'static str,
        max: f64,
        ticks: f64,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_up(max / ticks);
        let steps = (max / step).ceil().max(1.0);
        let values = (0..=steps as u32).map(|n| f64::from(n) * step);
        let ticks: Vec<_> = values.map(|value| (value, label(value))).collect();
        Self::new(title, Kind::Linear, "count", (0.0, steps * step)).with_ticks(ticks)
    }

    /// Seconds since the start of the window.
    pub(super) fn time(window_s: f64) -> Self {
        let axis = Self::from_zero("time (seconds)", window_s, 10.0, |s| {
            let text = format!("{s:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        // Ends where the window does, not at the next round number.
        let ticks = axis.ticks.iter().map(|tick| (tick.place * axis.to, tick.label.clone()));
        let inside: Vec<_> = ticks.filter(|(value, _)| *value <= window_s * 1.000_001).collect();
        Self::new(axis.title, Kind::Linear, "seconds", (0.0, window_s)).with_ticks(inside)
    }

    /// Latencies in nanoseconds, by powers of ten.
    pub(super) fn latency(title: &'static str, min_ns: f64, max_ns: f64) -> Self {
        Self::logarithm(title, "latency", (min_ns, max_ns), units::latency)
    }

    /// Parts of a whole, by powers of ten up to all of it.
    pub(super) fn share(title: &'static str, min: f64) -> Self {
        Self::logarithm(title, "share", (min, 1.0), units::percent)
    }

    fn logarithm(
        title: &'static str,
        unit: &'static str,
        (min, max): (f64, f64),
        label: fn(f64) -> String,
    ) -> Self {
        let min = round_down(min.max(f64::MIN_POSITIVE));
        // An axis without length has no places on it.
        let max = round_up(max).max(min * 2.0);
        let (from, to) = (min.log10(), max.log10());
        let decades = to - from;
        let powers = (from.floor() as i32)..=(to.ceil() as i32);
        let values = powers.flat_map(|power| (1..10).map(move |digit| (digit, power)));
        let written = |digit| match digit {
            1 => true,
            2 | 5 => decades < 3.0,
            3 | 4 | 7 => decades < 1.0,
            _ => false,
        };
        let ticks = values.map(|(digit, power)| {
            let value = f64::from(digit) * 10f64.powi(power);
            (value, if written(digit) { label(value) } else { String::new() })
        });
        let inside = ticks.filter(|(value, _)| (min * 0.999..=max * 1.001).contains(value));
        let ticks: Vec<_> = inside.collect();
        Self::new(title, Kind::Logarithm, unit, (from, to)).with_ticks(ticks)
    }

    /// Quantiles up to the last that `count` latencies can tell: one in `count`.
    pub(super) fn percentile(title: &'static str, count: u64) -> Self {
        let nines = (count.max(10) as f64).log10();
        let mut ticks = vec![(0.0, "0%".to_owned()), (0.5, "50%".to_owned())];
        for n in 1..=nines.floor() as i32 {
            let decimals = usize::try_from(n - 2).unwrap_or_default();
            let quantile = 1.0 - 0.1f64.powi(n);
            ticks.push((quantile, format!("{:.decimals$}%", quantile * 100.0)));
        }
        Self::new(title, Kind::Nines, "quantile", (0.0, nines)).with_ticks(ticks)
    }
}

const ROUND: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// The next of 1, 2, 5, 10, 20, … that is not below.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digit = ROUND.into_iter().find(|digit| digit * power >= value * 0.999_999);
    digit.unwrap_or(10.0) * power
}

/// The last of them that is not above.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digit = ROUND.into_iter().rev().find(|digit| digit * power <= value * 1.000_001);
    digit.unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).filter(|l| !l.is_empty()).collect()
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let axis = Axis::percentile("", 10_000);
        assert_eq!(labels(&axis), ["0%", "50%", "90%", "99%", "99.9%", "99.99%"]);
        let places: Vec<_> = axis.ticks.iter().map(|tick| tick.place).collect();
        for (place, expect) in places.iter().zip([0.0, 0.075_26, 0.25, 0.5, 0.75, 1.0]) {
            assert!((place - expect).abs() < 1e-4, "{places:?}");
        }
        assert_eq!(axis.place(1.0), 1.0, "the worst of all stands at the end");
    }

    #[test]
    fn logarithms_end_at_round_numbers() {
        let axis = Axis::latency("", 130_000.0, 4_100_000.0);
        assert_eq!(labels(&axis), ["100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        let places: Vec<_> = axis.ticks.iter().map(|tick| tick.place).collect();
        assert!(places.is_sorted() && places.len() == 14, "{places:?}");
        assert_eq!((places[0], places[13]), (0.0, 1.0));
        let long = Axis::latency("", 1e3, 1e9);
        assert_eq!(labels(&long).len(), 7, "only powers of ten when there are many");
        assert_eq!(labels(&Axis::latency("", 1e3, 1e3)), ["1 µs", "2 µs"]);
    }

    #[test]
    fn numbers_begin_at_zero_and_time_ends_with_the_window() {
        let axis = Axis::from_zero("", 47_000.0, 5.0, units::count);
        assert_eq!(labels(&axis), ["0", "10 k", "20 k", "30 k", "40 k", "50 k"]);
        assert_eq!(labels(&Axis::from_zero("", 0.0, 5.0, units::count)).len(), 6);
        let time = Axis::time(2.3);
        assert_eq!(labels(&time), ["0", "0.5", "1", "1.5", "2"]);
        assert_eq!(time.place(2.3), 1.0);
    }
}
