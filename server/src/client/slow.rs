//! Slow requests, for the log: one line each with where the time went, and not too many lines.
//!
//! When everything is slow the first few tell why, and what writes the log must not become slow as
//! well: so a shard says [`LINES_PER_SECOND`], and then how many it has left out.

use std::fmt::{self, Write};

use menagerie_wire::SessionId;

use crate::admin::stages::Stage;
use crate::client::timing::Answers;

const LINES_PER_SECOND: u32 = 10;
const SECOND_US: u64 = 1_000_000;

/// What a shard remembers of the lines that it has written.
#[derive(Debug)]
pub(crate) struct SlowLog {
    /// From when on a request is slow; `None`: it never is.
    from_us: Option<u64>,
    second_began_us: u64,
    lines: u32,
    left_out: u64,
}

impl SlowLog {
    pub(super) const fn new(from_us: Option<u64>) -> Self {
        Self { from_us, second_began_us: 0, lines: 0, left_out: 0 }
    }

    pub(super) fn is_slow(&self, us: u64) -> bool {
        self.from_us.is_some_and(|from_us| us >= from_us)
    }

    /// The line on a request, if there is room for one in this second.
    pub(super) fn tell(&mut self, slow: &Slow<'_>) -> Option<String> {
        if slow.now_us.saturating_sub(self.second_began_us) >= SECOND_US {
            (self.second_began_us, self.lines) = (slow.now_us, 0);
        }
        if self.lines == LINES_PER_SECOND {
            self.left_out += slow.answers.count;
            return None;
        }
        self.lines += 1;
        Some(slow.to_string())
    }

    /// The line on those that were left out, once their second is over.
    pub(super) fn look_back(&mut self, now_us: u64) -> Option<String> {
        if self.left_out == 0 || now_us.saturating_sub(self.second_began_us) < SECOND_US {
            return None;
        }
        let left_out = std::mem::take(&mut self.left_out);
        Some(format!("slow requests that were not told one by one: {left_out}"))
    }
}

/// A request that took long, or several that came and went together.
pub(super) struct Slow<'a> {
    pub(super) answers: &'a Answers,
    /// `None` when its connection has gone.
    pub(super) session: Option<SessionId>,
    /// When the turn that answered it began and ended.
    pub(super) turn_us: u64,
    pub(super) now_us: u64,
}

impl fmt::Display for Slow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, turn_us, now_us, .. } = self;
        let between = |from: u64, to: u64| Ms(to.saturating_sub(from));
        let session = self.session.unwrap_or(SessionId::NONE);
        write!(f, "slow request: {} of session {session}", answers.op.name())?;
        write!(f, ", xid {}", answers.xid.0)?;
        if let Some(path) = &answers.path {
            write!(f, ", {path:?}")?;
        }
        if answers.count > 1 {
            write!(f, ", and {} more that came with it", answers.count - 1)?;
        }
        write!(f, ": {} ms", between(answers.since_us, *now_us))?;
        let Some(marks) = &answers.marks else {
            let waited = between(answers.since_us, *turn_us);
            return write!(f, " (waited {waited}, reply {})", between(*turn_us, *now_us));
        };
        let stages_us = marks.stages_us(answers.since_us, *now_us);
        for (position, (stage, us)) in Stage::ALL.iter().zip(stages_us).enumerate() {
            f.write_str(if position == 0 { " (" } else { ", " })?;
            write!(f, "{} {}", stage.name(), Ms(us))?;
        }
        f.write_char(')')
    }
}

/// Microseconds, written as milliseconds.
struct Ms(u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1_000, self.0 / 100 % 10)
    }
}
