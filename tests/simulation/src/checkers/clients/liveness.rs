//! When all faults are over the ensemble recovers, and stays well.
//!
//! Within [`Settings::recovery_ms_max`] of [`Moment::Healed`] every client that asks gets something
//! done, and what is asked after that is answered within [`Settings::reply_ms_max`]. What was asked
//! so late that the recording ended before its time is not judged.
//!
//! [`Moment::Healed`]: crate::history::Moment::Healed

use std::collections::BTreeMap;

use menagerie_wire::ErrorCode;

use crate::history::{End, History, OpIndex, Operation};

use super::{Settings, Violation};

const NAME: &str = "liveness";
const NS_PER_MS: u64 = 1_000_000;

/// Finds who is left without an answer.
pub(super) fn check(history: &History, settings: &Settings) -> Vec<Violation> {
    let Some(healed) = history.healed else { return Vec::new() };
    let recovered_ns = healed.at_ns + settings.recovery_ms_max * NS_PER_MS;
    let reply_ns_max = settings.reply_ms_max * NS_PER_MS;
    let mut violations = never_recovers(history, healed.at_ns, recovered_ns);
    for (index, operation) in history.operations.iter().enumerate() {
        let due_ns = operation.invoked.at_ns + reply_ns_max;
        let is_late = match operation.end {
            End::Returned { at, .. } => at.at_ns > due_ns,
            End::Unknown => history.end_ns > due_ns,
            End::NotSent => false,
        };
        if operation.invoked.at_ns > recovered_ns && is_late {
            let text = format!("a request is not answered within {} ms", settings.reply_ms_max);
            violations.push(Violation { checker: NAME, text, operations: vec![index] });
        }
    }
    violations
}

/// Clients that asked between two times, and for whom nothing was done by the second.
fn never_recovers(history: &History, healed_ns: u64, recovered_ns: u64) -> Vec<Violation> {
    if history.end_ns <= recovered_ns {
        return Vec::new();
    }
    let mut asked: BTreeMap<u32, OpIndex> = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        if (healed_ns..recovered_ns).contains(&operation.invoked.at_ns) {
            asked.insert(operation.client, index);
        }
    }
    // A refusal is an answer like any other, unless it is about the session itself.
    let lost = [ErrorCode::SessionExpired, ErrorCode::SessionMoved].map(ErrorCode::code);
    let is_answered =
        |operation: &&Operation| operation.refused().is_none_or(|it| !lost.contains(&it));
    for operation in history.operations.iter().filter(is_answered) {
        let returned = operation.returned().map(|at| at.at_ns);
        if returned.is_some_and(|at_ns| (healed_ns..=recovered_ns).contains(&at_ns)) {
            asked.remove(&operation.client);
        }
    }
    let violation = |(client, op)| {
        let ms = (recovered_ns - healed_ns) / NS_PER_MS;
        let text = format!("nothing is done for client {client} in {ms} ms without faults");
        Violation { checker: NAME, text, operations: vec![op] }
    };
    asked.into_iter().map(violation).collect()
}
