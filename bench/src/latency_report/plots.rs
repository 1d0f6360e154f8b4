//! Which plots a report has, and how runs become lines.
//!
//! One run: its operations stand in one plot. Several runs: a plot for each operation, the runs in
//! it. Distributions are drawn over logarithms, because what is asked of them is the tail.

use super::axis::Axis;
use super::plot::{HALF, Mark, Plot, Series, Shape, WIDE};
use super::run::{Operation, Run};
use super::units;

/// Plots that belong together.
pub(super) struct Group {
    /// Of several groups, what this one is about.
    pub(super) title: Option<String>,
    pub(super) plots: Vec<Plot>,
}

/// What becomes a series.
#[derive(Clone)]
struct Line<'a> {
    label: String,
    colour: usize,
    operation: &'a Operation,
    /// When its window began, from the start of the first window of its run.
    start_s: f64,
}

/// Width of a point over time, at least: more points than this leaves room for are noise.
const POINT_WIDTH: f64 = 4.0;
/// Replies in an interval, about at least: fewer, and the plot shows chance.
const REPLIES_MIN: usize = 20;
/// Intervals over time, at least, as far as there are so many.
const POINTS_MIN: usize = 20;

/// A kind of latency that is one of a slot of time, and none of a moment.
const NO_TIME: &str = "worst of 10ms";
const SLOTS: &str = "Worst latency of every 10 ms";
const SLOT_S: f64 = 0.01;
/// More do not fit beside each other.
const SLOTS_MAX: usize = 900;

pub(super) fn groups(runs: &[Run]) -> Vec<Group> {
    if let [run] = runs {
        return vec![Group { title: None, plots: of_one(run) }];
    }
    let mut names: Vec<&String> = runs.iter().flat_map(measured).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let group = |name: &String| {
        let lines = runs.iter().enumerate().filter_map(|(colour, run)| {
            let (_, operation) = measured(run).find(|(measured, _)| *measured == name)?;
            let start_s = operation.start_s - run.start_s();
            Some(Line { label: run.label.clone(), colour, operation, start_s })
        });
        Group { title: Some(words(name)), plots: of_several(name, &lines.collect::<Vec<_>>()) }
    };
    let mut groups: Vec<_> = names.into_iter().map(group).collect();
    let slots = slots(runs);
    groups.extend(slots.map(|plot| Group { title: Some(SLOTS.to_owned()), plots: vec![plot] }));
    groups
}

/// Operations with something to draw: of one that only failed there is no latency.
fn measured(run: &Run) -> impl Iterator<Item = (&String, &Operation)> {
    run.operations.iter().filter(|(_, operation)| !operation.latency_ns.is_empty())
}

fn of_one(run: &Run) -> Vec<Plot> {
    let lines = measured(run).enumerate().map(|(colour, (name, operation))| Line {
        label: words(name),
        colour,
        operation,
        start_s: operation.start_s - run.start_s(),
    });
    let lines: Vec<_> = lines.collect();
    let mut plots = vec![percentiles("percentiles", "Latency by percentile", &lines)];
    let timed: Vec<_> = lines.iter().filter(|line| line.label != NO_TIME).cloned().collect();
    if !timed.is_empty() {
        plots.push(throughput("throughput", "Throughput over time", WIDE, &timed));
        plots.push(worst("worst-latency", "Worst latency over time", WIDE, &timed));
    }
    plots.extend(slots(std::slice::from_ref(run)));
    for (n, ((name, _), line)) in measured(run).zip(&lines).enumerate() {
        // Two stand in a row; the last of an odd number has one for itself.
        let alone = n + 1 == lines.len() && n % 2 == 0;
        let width = if alone { WIDE } else { HALF };
        let title = format!("Distribution: {}", line.label);
        let mut plot = distribution(name, &title, width, std::slice::from_ref(line));
        plot.marks = marks(line.operation);
        plots.push(plot);
    }
    plots
}

fn of_several(name: &str, lines: &[Line<'_>]) -> Vec<Plot> {
    let what = words(name);
    let title = |of: &str| format!("{of}: {what}");
    let by_name = |of: &str| format!("{of}-{name}");
    let mut plots =
        vec![percentiles(&by_name("percentiles"), &title("Latency by percentile"), lines)];
    if what != NO_TIME {
        let over_time = "Throughput over time";
        plots.push(throughput(&by_name("throughput"), &title(over_time), HALF, lines));
        let over_time = "Worst latency over time";
        plots.push(worst(&by_name("worst-latency"), &title(over_time), HALF, lines));
    }
    plots.push(distribution(name, &title("Distribution"), WIDE, lines));
    plots
}

/// The worst latency of every 10 ms, with the snapshots that the server wrote, where the scenario
/// looked at both.
fn slots(runs: &[Run]) -> Option<Plot> {
    let of = |run: &Run| run.series.get("worst_us_per_10ms").filter(|s| !s.is_empty()).cloned();
    let longest = runs.iter().filter_map(of).map(|slots| slots.len()).max()?;
    let together = longest.div_ceil(SLOTS_MAX);
    let mut all = Vec::new();
    for (colour, run) in runs.iter().enumerate() {
        let slots = of(run).unwrap_or_default();
        let worst = slots.chunks(together).map(|slots| slots.iter().copied().fold(0.0, f64::max));
        let points = worst.enumerate().filter(|(_, us)| *us > 0.0);
        let points: Vec<_> = points
            .map(|(n, us)| ((n as f64 + 0.5) * together as f64 * SLOT_S, us * 1000.0))
            .collect();
        let label = run.label.clone();
        all.push(Series { label, colour, shape: Shape::Trace, lines: vec![points] });
    }
    let snapshots = match runs {
        [run] => run.series.get("snapshots_seen_at_ms").cloned().unwrap_or_default(),
        _ => Vec::new(),
    };
    let mark = |ms: f64| Mark { x: ms / 1000.0, label: "snapshot".to_owned() };
    Some(Plot {
        name: "worst-of-10ms".to_owned(),
        title: SLOTS.to_owned(),
        subtitle: "What the requests felt that were due then.".to_owned(),
        width: WIDE,
        height: 220.0,
        x: Axis::time(longest as f64 * SLOT_S),
        y: axis_of(&all),
        series: all,
        marks: snapshots.into_iter().map(mark).collect(),
    })
}

/// `first_event`, as people write it.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn percentiles(name: &str, title: &str, lines: &[Line<'_>]) -> Plot {
    let latencies = || lines.iter().map(|line| &line.operation.latency_ns);
    let count = latencies().map(|latency| latency.len()).max().unwrap_or_default();
    let series = lines.iter().map(|line| {
        let latency_ns = &line.operation.latency_ns;
        // The worst of n requests stands where one in n does.
        let last = 1.0 - 1.0 / latency_ns.len() as f64;
        let steps = latency_ns.iter_quantiles(12);
        let points = steps
            .map(|step| (step.quantile_iterated_to().min(last), step.value_iterated_to() as f64));
        line.series(Shape::Curve, vec![points.collect()])
    });
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        subtitle: "So many of all requests were answered within this time. \
                   Each further nine takes the same room."
            .to_owned(),
        width: WIDE,
        height: 340.0,
        x: Axis::percentile("percentile of requests", count),
        y: latency_axis("latency (logarithmic)", lines),
        series: series.collect(),
        marks: Vec::new(),
    }
}

/// From the best to the worst latency of all lines.
fn latency_axis(title: &'static str, lines: &[Line<'_>]) -> Axis {
    let latencies = || lines.iter().map(|line| &line.operation.latency_ns);
    let min_ns = latencies().map(|latency| latency.min()).min().unwrap_or_default();
    let max_ns = latencies().map(|latency| latency.max()).max().unwrap_or_default();
    Axis::latency(title, min_ns.max(1) as f64, max_ns.max(1) as f64)
}

/// From the least to the greatest latency of all points.
fn axis_of(series: &[Series]) -> Axis {
    let latencies =
        || series.iter().flat_map(|series| series.lines.iter().flatten()).map(|at| at.1);
    let (min_ns, max_ns) = (latencies().fold(f64::MAX, f64::min), latencies().fold(1.0, f64::max));
    Axis::latency("latency (logarithmic)", min_ns.min(max_ns).max(1.0), max_ns)
}

fn throughput(name: &str, title: &str, width: f64, lines: &[Line<'_>]) -> Plot {
    let ticks = ticks_together(width, lines);
    let series: Vec<_> = lines.iter().map(|line| throughput_series(line, ticks)).collect();
    let values = series.iter().flat_map(|series| series.lines.iter().flatten());
    let max = values.map(|(_, value)| *value).fold(0.0, f64::max);
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        subtitle: format!("Replies in {}.", interval(lines, ticks)),
        width,
        height: 190.0,
        x: time_axis(lines),
        y: Axis::from_zero("replies per second", max, 5.0, units::count),
        series,
        marks: Vec::new(),
    }
}

fn throughput_series(line: &Line<'_>, ticks: usize) -> Series {
    let operation = line.operation;
    let length_s = operation.tick_s * ticks as f64;
    let intervals = (operation.window_s / length_s).floor().max(1.0) as usize;
    let points = (0..intervals).map(|n| {
        let slots = operation.answered.iter().skip(n * ticks).take(ticks);
        let replies: u64 = slots.map(|replies| u64::from(*replies)).sum();
        // A window shorter than one interval is an interval.
        let length_s = length_s.min(operation.window_s);
        (line.start_s + (n as f64 + 0.5) * length_s, replies as f64 / length_s)
    });
    line.series(Shape::Trace, vec![points.collect()])
}

fn worst(name: &str, title: &str, width: f64, lines: &[Line<'_>]) -> Plot {
    let ticks = ticks_together(width, lines);
    let series: Vec<_> = lines.iter().map(|line| worst_series(line, ticks)).collect();
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        subtitle: format!("Of the replies in {}; a gap had none.", interval(lines, ticks)),
        width,
        height: 190.0,
        x: time_axis(lines),
        y: axis_of(&series),
        series,
        marks: Vec::new(),
    }
}

fn worst_series(line: &Line<'_>, ticks: usize) -> Series {
    let operation = line.operation;
    let mut pieces = vec![Vec::new()];
    for (n, slots) in operation.worst_ns.chunks(ticks).enumerate() {
        let worst_ns = slots.iter().copied().fold(0.0, f64::max);
        let middle_s = (n as f64 + 0.5) * operation.tick_s * ticks as f64;
        if worst_ns > 0.0 {
            let piece = pieces.last_mut().expect("there is one from the start");
            piece.push((line.start_s + middle_s.min(operation.window_s), worst_ns));
        } else {
            pieces.push(Vec::new());
        }
    }
    pieces.retain(|piece: &Vec<_>| !piece.is_empty());
    line.series(Shape::Trace, pieces)
}

/// How many ticks make one interval of a plot over time: as the busiest of its lines has it, for
/// all of them.
fn ticks_together(width: f64, lines: &[Line<'_>]) -> usize {
    let longest = lines.iter().map(|line| ticks_of(line.operation)).max().unwrap_or(1);
    let for_width = longest.div_ceil((width / POINT_WIDTH) as usize);
    let by_line = lines.iter().map(|line| {
        let replies: u64 = line.operation.answered.iter().map(|n| u64::from(*n)).sum();
        let per_tick = replies as f64 / ticks_of(line.operation) as f64;
        (REPLIES_MIN as f64 / per_tick.max(f64::MIN_POSITIVE)).ceil() as usize
    });
    let for_replies = by_line.min().unwrap_or(1).min(longest / POINTS_MIN);
    for_width.max(for_replies).max(1)
}

fn ticks_of(operation: &Operation) -> usize {
    ((operation.window_s / operation.tick_s).ceil() as usize).max(1)
}

fn interval(lines: &[Line<'_>], ticks: usize) -> String {
    let tick_s = lines.first().map_or(0.0, |line| line.operation.tick_s);
    format!("each interval of {}", units::latency(tick_s * ticks as f64 * 1e9))
}

fn time_axis(lines: &[Line<'_>]) -> Axis {
    let ends_s = lines.iter().map(|line| line.start_s + line.operation.window_s);
    Axis::time(ends_s.fold(0.001, f64::max))
}

/// Steps of a histogram in one decade, at least, and in all of it, about.
const STEPS_MIN: f64 = 20.0;
const STEPS: f64 = 50.0;
/// With fewer latencies, narrow steps show chance.
const LATENCIES_MIN: u64 = 100;

fn distribution(name: &str, title: &str, width: f64, lines: &[Line<'_>]) -> Plot {
    let count = lines.iter().map(|line| line.operation.latency_ns.len()).max().unwrap_or(1);
    let x = latency_axis("latency (logarithmic)", lines);
    let steps = if count < LATENCIES_MIN { STEPS_MIN } else { (STEPS / x.length()).max(STEPS_MIN) };
    Plot {
        name: format!("histogram-{name}"),
        title: title.to_owned(),
        subtitle: "Share of all requests with about this latency.".to_owned(),
        width,
        height: 220.0,
        x,
        y: Axis::share("share of requests (logarithmic)", 0.5 / count.max(1) as f64),
        series: lines.iter().map(|line| distribution_series(line, steps)).collect(),
        marks: Vec::new(),
    }
}

fn distribution_series(line: &Line<'_>, steps: f64) -> Series {
    let latency_ns = &line.operation.latency_ns;
    let mut counts = std::collections::BTreeMap::<i32, u64>::new();
    for step in latency_ns.iter_recorded() {
        let bucket = ((step.value_iterated_to() as f64).log10() * steps).floor() as i32;
        *counts.entry(bucket).or_default() += step.count_at_value();
    }
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut end = None;
    let edge = |bucket: i32| 10f64.powf(f64::from(bucket) / steps);
    for (bucket, count) in counts {
        let share = count as f64 / latency_ns.len() as f64;
        if end != Some(bucket) {
            pieces.push(Vec::new());
        }
        let piece = pieces.last_mut().expect("one was pushed for the first bucket");
        if let Some(floor) = piece.last_mut().filter(|_| end == Some(bucket)) {
            // The step goes on at the height of this bucket.
            floor.1 = share;
        } else {
            piece.extend([(edge(bucket), 0.0), (edge(bucket), share)]);
        }
        piece.extend([(edge(bucket + 1), share), (edge(bucket + 1), 0.0)]);
        end = Some(bucket + 1);
    }
    line.series(Shape::Area, pieces)
}

fn marks(operation: &Operation) -> Vec<Mark> {
    let latency_ns = &operation.latency_ns;
    let at = |name: &str, ns: u64| {
        let x = ns as f64;
        Mark { x, label: format!("{name} {}", units::latency(x)) }
    };
    let quantile = |q| latency_ns.value_at_quantile(q);
    vec![
        at("p50", quantile(0.5)),
        at("p99", quantile(0.99)),
        at("p99.9", quantile(0.999)),
        at("max", latency_ns.max()),
    ]
}

impl Line<'_> {
    fn series(&self, shape: Shape, lines: Vec<Vec<(f64, f64)>>) -> Series {
        Series { label: self.label.clone(), colour: self.colour, shape, lines }
    }
}
