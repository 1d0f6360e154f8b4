//! Is there an order of these calls, each taking effect between its call and its return, in which
//! every answer is right? The search of Wing and Gong, with Lowe's memory of what was tried.
//!
//! The search goes forward: of the calls that may be next (called before the first return that is
//! still missing) it takes one whose answer fits, and comes back when none does. What was tried is
//! remembered as a set of calls and a state, so no dead end is walked twice. Calls without an
//! answer may be taken or left.
//!
//! Zxids are a hint and no more: calls are tried in their order. When the zxids are right, the
//! first try is the answer and the search is linear; when they are wrong, it is only slower.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use crate::history::OpIndex;
use crate::random::Random;

use super::znode::{State, Step};

/// Steps after which the search gives up.
const STEPS_MAX: usize = 20_000_000;

/// What one operation does to one node.
#[derive(Clone, Debug)]
pub(super) struct Call<'h> {
    pub(super) op: OpIndex,
    /// Done together: a multi may have more than one.
    pub(super) steps: Vec<Step<'h>>,
    pub(super) called_ns: u64,
    /// `None`: no answer came.
    pub(super) returned_ns: Option<u64>,
    /// Calls with a lower one are tried first: the zxid, and whether it only reads.
    pub(super) hint: (i64, bool),
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disorder {
    /// The longest beginning that can be ordered, and the operations of which none can be next.
    Stuck { ordered: usize, state: String, blocked: Vec<OpIndex> },
    /// The search was too long.
    Undecided,
}

/// Looks for an order.
pub(super) fn order(calls: &[Call<'_>]) -> Result<(), Disorder> {
    Search::new(calls).run()
}

/// One end of a call on the line of time.
#[derive(Clone, Copy)]
struct Mark {
    call: usize,
    is_return: bool,
}

/// A choice that was made.
struct Choice<'h> {
    /// What else may be tried, best last.
    left: Vec<usize>,
    taken: usize,
    before: State<'h>,
}

struct Search<'c, 'h> {
    calls: &'c [Call<'h>],
    marks: Vec<Mark>,
    /// Doubly linked, with the end of `marks` as head.
    next: Vec<usize>,
    previous: Vec<usize>,
    call_mark: Vec<usize>,
    return_mark: Vec<Option<usize>>,
    /// One number per call; a set of calls is the exclusive or of theirs.
    names: Vec<u128>,
    taken: u128,
    state: State<'h>,
    tried: HashSet<u128>,
    choices: Vec<Choice<'h>>,
}

impl<'c, 'h> Search<'c, 'h> {
    fn new(calls: &'c [Call<'h>]) -> Self {
        let mut marks: Vec<(u64, Mark)> = Vec::new();
        for (call, it) in calls.iter().enumerate() {
            marks.push((it.called_ns, Mark { call, is_return: false }));
            marks.extend(it.returned_ns.map(|at| (at, Mark { call, is_return: true })));
        }
        // What happens at the same time is concurrent: calls first.
        marks.sort_by_key(|(at, mark)| (*at, mark.is_return));
        let marks: Vec<Mark> = marks.into_iter().map(|(_, mark)| mark).collect();
        let head = marks.len();
        let mut call_mark = vec![0; calls.len()];
        let mut return_mark = vec![None; calls.len()];
        for (index, mark) in marks.iter().enumerate() {
            if mark.is_return {
                return_mark[mark.call] = Some(index);
            } else {
                call_mark[mark.call] = index;
            }
        }
        let mut random = Random::new(calls.len() as u64);
        let mut name = |_| (u128::from(random.number()) << 64) | u128::from(random.number());
        Self {
            calls,
            next: (0..=head).map(|index| if index == head { 0 } else { index + 1 }).collect(),
            previous: (0..=head).map(|index| index.checked_sub(1).unwrap_or(head)).collect(),
            marks,
            call_mark,
            return_mark,
            names: calls.iter().map(&mut name).collect(),
            taken: 0,
            state: None,
            tried: HashSet::new(),
            choices: Vec::new(),
        }
    }

    fn run(mut self) -> Result<(), Disorder> {
        let mut deepest: Option<(usize, State<'_>, Vec<OpIndex>)> = None;
        let Some(mut left) = self.candidates() else { return Ok(()) };
        for _ in 0..STEPS_MAX {
            let Some(call) = left.pop() else {
                if deepest.as_ref().is_none_or(|(depth, ..)| *depth < self.choices.len()) {
                    deepest = Some((self.choices.len(), self.state, self.open()));
                }
                let Some(choice) = self.choices.pop() else {
                    let (ordered, state, blocked) = deepest.unwrap_or_default();
                    let state = format!("{state:?}");
                    return Err(Disorder::Stuck { ordered, state, blocked });
                };
                self.put_back(choice.taken);
                self.state = choice.before;
                left = choice.left;
                continue;
            };
            let Some(after) = self.step(call) else { continue };
            let memory = (self.taken ^ self.names[call]) ^ state_name(after);
            if !self.tried.insert(memory) {
                continue;
            }
            self.take(call);
            let before = std::mem::replace(&mut self.state, after);
            self.choices.push(Choice { left, taken: call, before });
            let Some(next) = self.candidates() else { return Ok(()) };
            left = next;
        }
        Err(Disorder::Undecided)
    }

    /// The calls that may be next, the best last; `None` when every answered call is taken.
    fn candidates(&self) -> Option<Vec<usize>> {
        let head = self.marks.len();
        let mut calls: Vec<usize> = Vec::new();
        let mut at = self.next[head];
        while at != head {
            if self.marks[at].is_return {
                calls.sort_by_key(|&call| std::cmp::Reverse((self.calls[call].hint, call)));
                return Some(calls);
            }
            calls.push(self.marks[at].call);
            at = self.next[at];
        }
        None
    }

    /// The answered operations that may be next.
    fn open(&self) -> Vec<OpIndex> {
        let calls = self.candidates().unwrap_or_default();
        let answered = calls.iter().rev().map(|&call| &self.calls[call]);
        answered.filter(|call| call.returned_ns.is_some()).map(|call| call.op).collect()
    }

    fn step(&self, call: usize) -> Option<State<'h>> {
        let Call { op, steps, .. } = &self.calls[call];
        steps.iter().try_fold(self.state, |state, step| step.take(state, *op))
    }

    fn take(&mut self, call: usize) {
        self.taken ^= self.names[call];
        for mark in [Some(self.call_mark[call]), self.return_mark[call]].into_iter().flatten() {
            let (before, after) = (self.previous[mark], self.next[mark]);
            self.next[before] = after;
            self.previous[after] = before;
        }
    }

    /// Undoes the last [`Self::take`]: marks come back in the opposite order.
    fn put_back(&mut self, call: usize) {
        self.taken ^= self.names[call];
        for mark in [self.return_mark[call], Some(self.call_mark[call])].into_iter().flatten() {
            let (before, after) = (self.previous[mark], self.next[mark]);
            self.next[before] = mark;
            self.previous[after] = mark;
        }
    }
}

fn state_name(state: State<'_>) -> u128 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let half = |salt: u8| u128::from(hasher.hash_one((salt, state)));
    (half(0) << 64) | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: i32) -> Step<'static> {
        Step::Found { version, data: None }
    }

    fn call(steps: Vec<Step<'_>>, called_ns: u64, returned_ns: Option<u64>) -> Call<'_> {
        Call { op: called_ns as usize, steps, called_ns, returned_ns, hint: (0, false) }
    }

    fn create() -> crate::history::Write {
        let mode = crate::history::CreateMode::Persistent;
        crate::history::Write::Create { path: "/a".into(), data: None, mode, sequential: false }
    }

    #[test]
    fn overlapping_calls_may_have_either_order() {
        let create = create();
        let calls = |read| {
            vec![
                call(vec![Step::Unknown(&create)], 1, Some(10)),
                call(vec![read], 2, Some(3)),
                call(vec![found(0)], 11, Some(12)),
            ]
        };
        assert_eq!(order(&calls(Step::Absent)), Ok(()));
        assert_eq!(order(&calls(found(0))), Ok(()));
        let Err(Disorder::Stuck { blocked, .. }) = order(&calls(found(1))) else {
            panic!("there is no version 1")
        };
        assert!(blocked.contains(&2), "{blocked:?}");
    }

    #[test]
    fn a_call_without_an_answer_is_taken_late_or_never() {
        let create = create();
        let lost = || call(vec![Step::Unknown(&create)], 1, None);
        let reads = |steps: &[Step<'static>]| {
            let read = |(at, step): (usize, &Step<'static>)| {
                let at = 10 * (at as u64 + 1);
                call(vec![*step], at, Some(at + 1))
            };
            let mut calls = vec![lost()];
            calls.extend(steps.iter().enumerate().map(read));
            calls
        };
        assert_eq!(order(&reads(&[Step::Absent, Step::Absent])), Ok(()));
        assert_eq!(order(&reads(&[Step::Absent, found(0)])), Ok(()));
        assert!(order(&reads(&[found(0), Step::Absent])).is_err());
    }
}
