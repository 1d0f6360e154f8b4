//! Connections whose other end has not said who it is.
//!
//! They cost something and have shown nothing, so there are few of them: one more makes the oldest
//! hang up. A member says who it is at once; only those who keep silent get old.

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::IpAddr;
use std::rc::{Rc, Weak};

use crate::runtime::net::Socket;

/// How many there may be on one port.
pub(super) const CALLERS_MAX: usize = 64;

/// The callers of one port.
#[derive(Debug, Default)]
pub(super) struct Callers {
    unknown: VecDeque<Weak<Socket>>,
    refused: u64,
}

impl Callers {
    /// Takes one in; it leaves when its socket is dropped, or by [`Self::know`].
    pub(super) fn admit(&mut self, socket: &Rc<Socket>) {
        self.unknown.retain(|caller| caller.strong_count() > 0);
        if self.unknown.len() >= CALLERS_MAX
            && let Some(oldest) = self.unknown.pop_front().and_then(|caller| caller.upgrade())
        {
            oldest.shut_down();
        }
        self.unknown.push_back(Rc::downgrade(socket));
    }

    /// It is a member: it will not be made to hang up.
    pub(super) fn know(&mut self, socket: &Rc<Socket>) {
        self.unknown.retain(|caller| !std::ptr::eq(caller.as_ptr(), Rc::as_ptr(socket)));
    }

    /// Counts a refusal. Few are logged: a caller that does not give up would fill the log.
    pub(super) fn refuse(&mut self, port: &str, from: IpAddr, refusal: &dyn Display) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            let count = self.refused;
            tracing::warn!(
                "refused {count} connections to the {port} port, now from {from}: {refusal}"
            );
        }
    }

    pub(super) fn hang_up(&mut self) {
        let unknown = self.unknown.drain(..);
        unknown.filter_map(|caller| caller.upgrade()).for_each(|socket| socket.shut_down());
    }
}
