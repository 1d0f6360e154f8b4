//! How far a run is, on standard error and only where that is a terminal.
//!
//! Lines are drawn a few times a second by a thread of their own, and are gone when their part of
//! the run is over. What is counted is told in steps, so that a load pays nothing for it.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Between two drawings.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Cells of a bar.
const CELLS: usize = 30;
/// What is shorter needs no line.
const LENGTH_MIN: Duration = Duration::from_millis(500);
const COUNT_MIN: u64 = 1000;
/// Counts are told in steps of this part of all.
const STEPS: u64 = 200;

/// A line on the terminal, until it is dropped.
pub struct Progress {
    line: Option<ProgressBar>,
    counted: u64,
    step: u64,
}

impl Progress {
    /// Something that ends by the clock.
    pub fn timed(what: &'static str, length: Duration) -> Self {
        if length < LENGTH_MIN || !stderr().is_terminal() {
            return Self::nowhere();
        }
        let clock = move |state: &ProgressState, out: &mut dyn Write| {
            // An error would be the terminal's, which has its own.
            let _ = out.write_str(&clock(state.elapsed(), length));
        };
        let style = style("{msg:>10} {clock}").with_key("clock", clock);
        Self { line: Some(draw(ProgressBar::no_length(), what, style)), ..Self::nowhere() }
    }

    /// Something that ends when `count` of it are done.
    pub fn counted(what: &'static str, count: u64) -> Self {
        if count < COUNT_MIN || !stderr().is_terminal() {
            return Self::nowhere();
        }
        Self::steps(what, count)
    }

    /// Something that ends when `count` of it are done, each of which takes its time.
    pub fn of_few(what: &'static str, count: u64) -> Self {
        if stderr().is_terminal() { Self::steps(what, count) } else { Self::nowhere() }
    }

    fn steps(what: &'static str, count: u64) -> Self {
        let style = style("{msg:>10} {bar:30} {human_pos} of {human_len}, {eta} left");
        let line = draw(ProgressBar::new(count), what, style);
        Self { line: Some(line), counted: 0, step: (count / STEPS).max(1) }
    }

    fn nowhere() -> Self {
        Self { line: None, counted: 0, step: 1 }
    }

    /// One more is done.
    pub fn add(&mut self) {
        let Some(line) = &self.line else { return };
        self.counted += 1;
        if self.counted.is_multiple_of(self.step) {
            line.set_position(self.counted);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("templates are constants that a test has parsed").progress_chars("━╸ ")
}

fn draw(line: ProgressBar, what: &'static str, style: ProgressStyle) -> ProgressBar {
    let line = line.with_style(style).with_message(what);
    line.enable_steady_tick(DRAW_INTERVAL);
    line
}

/// A bar by the clock: how much of `length` has passed.
fn clock(elapsed: Duration, length: Duration) -> String {
    let part = (elapsed.as_secs_f64() / length.as_secs_f64()).min(1.0);
    let full = (part * CELLS as f64) as usize;
    let (elapsed, length) = (elapsed.as_secs_f64(), length.as_secs_f64());
    format!("{}{} {elapsed:.0} of {length:.0} s", "━".repeat(full), " ".repeat(CELLS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_fills_its_cells() {
        let check = |elapsed: u64, full: usize, text: &str| {
            let drawn = clock(Duration::from_secs(elapsed), Duration::from_secs(10));
            assert_eq!(drawn.matches('━').count(), full, "{drawn}");
            assert!(drawn.ends_with(text), "{drawn}");
        };
        check(0, 0, " 0 of 10 s");
        check(5, 15, " 5 of 10 s");
        check(11, CELLS, " 11 of 10 s");
    }

    #[test]
    fn steps_are_told_in_parts_of_all() {
        let mut progress = Progress::steps("creates", 1000);
        (0..13).for_each(|_| progress.add());
        assert_eq!(progress.line.as_ref().unwrap().position(), 10);
        let mut few = Progress::steps("starts", 3);
        few.add();
        assert_eq!(few.line.as_ref().unwrap().position(), 1);
    }
}
