//! One znode as a sequential object: what each write does to it, and what it must answer.
//!
//! The state is what writes can tell apart: whether the node is there, its version, its data, and
//! which create made it. A step is one write (or one sight) with the answer it got; it fits a state
//! or it does not. Errors that other nodes decide (access lists, parents) fit any state.

use menagerie_wire::ErrorCode;

use crate::history::{OpIndex, Reply, Write};

/// A node that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node<'h> {
    /// Who made it.
    pub(super) creator: OpIndex,
    pub(super) version: i32,
    pub(super) data: Option<&'h str>,
}

/// The whole state; `None`: there is no node.
pub(super) type State<'h> = Option<Node<'h>>;

/// One thing that happens to a node, with what was said of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'h> {
    Done(&'h Write, &'h Reply),
    Refused(&'h Write, i32),
    /// Without an answer. If it would be refused it need not be looked at.
    Unknown(&'h Write),
    /// The server takes away the node that this operation made.
    Vanish(OpIndex),
    /// A read found no node.
    Absent,
    /// A read found a node.
    Found {
        version: i32,
        data: Option<Option<&'h str>>,
    },
}

impl<'h> Step<'h> {
    /// The state after this step of operation `op`, if the answer fits the state before.
    pub(super) fn take(&self, state: State<'h>, op: OpIndex) -> Option<State<'h>> {
        match *self {
            Self::Done(write, reply) => {
                let after = effect(write, state, op)?;
                let told = reply.stat().map(|stat| stat.version);
                let fits = match (told, after) {
                    (Some(told), Some(node)) => told == node.version,
                    _ => true,
                };
                fits.then_some(after)
            }
            Self::Unknown(write) => effect(write, state, op),
            Self::Refused(write, code) => refusal_fits(write, state, code).then_some(state),
            Self::Vanish(creator) => match state {
                Some(node) if node.creator == creator => Some(None),
                _ => None,
            },
            Self::Absent => state.is_none().then_some(state),
            Self::Found { version, data } => {
                let node = state?;
                let fits = node.version == version && data.is_none_or(|data| data == node.data);
                fits.then_some(state)
            }
        }
    }
}

/// What a write does; `None` when it would be refused.
fn effect<'h>(write: &'h Write, state: State<'h>, op: OpIndex) -> Option<State<'h>> {
    match (write, state) {
        (Write::Create { data, .. }, None) => {
            Some(Some(Node { creator: op, version: 0, data: data.as_deref() }))
        }
        (Write::SetData { data, version, .. }, Some(node)) if matches(*version, node) => {
            let version = node.version.wrapping_add(1);
            Some(Some(Node { version, data: data.as_deref(), ..node }))
        }
        (Write::Delete { version, .. }, Some(node)) if matches(*version, node) => Some(None),
        (Write::Check { version, .. }, Some(node)) if matches(*version, node) => Some(state),
        _ => None,
    }
}

const fn matches(version: i32, node: Node<'_>) -> bool {
    version == -1 || version == node.version
}

// ZooKeeper: PrepRequestProcessor; the order of its tests decides what an error says.
fn refusal_fits(write: &Write, state: State<'_>, code: i32) -> bool {
    let is = |error: ErrorCode| code == error.code();
    match (write, state) {
        (Write::Create { .. }, state) if is(ErrorCode::NodeExists) => state.is_some(),
        // The node or its parent is missing; without a parent there is no node.
        (_, state) if is(ErrorCode::NoNode) => state.is_none(),
        (
            Write::SetData { version, .. }
            | Write::Delete { version, .. }
            | Write::Check { version, .. },
            state,
        ) if is(ErrorCode::BadVersion) => state.is_some_and(|node| !matches(*version, node)),
        (Write::Delete { version, .. }, state) if is(ErrorCode::NotEmpty) => {
            state.is_some_and(|node| matches(*version, node))
        }
        _ => true,
    }
}
