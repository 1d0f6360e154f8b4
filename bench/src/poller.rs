//! epoll, edge-triggered: who can be read or written.
//!
//! Every socket is registered once for both directions. An edge costs no second look by the
//! kernel, at the price of one rule: whoever is told must read until a read comes back short, and
//! until the end of the stream when [`Ready::hung_up`] is set, for no second edge follows.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

/// Events taken from the kernel per call.
const EVENTS_MAX: usize = 1024;

pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// One edge.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number under which the socket was registered.
    pub token: usize,
    pub readable: bool,
    pub writable: bool,
    /// The peer sent its last byte, or the connection broke.
    pub hung_up: bool,
}

impl Poller {
    pub fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub fn register(&self, socket: impl AsFd, token: usize) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token as u64), flags)
    }

    /// Replaces `ready` by the edges that came within `timeout`; `None` waits for the first.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        ready.clear();
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        ready.extend(self.events.iter().map(Ready::from));
        Ok(())
    }
}

impl From<&epoll::Event> for Ready {
    fn from(event: &epoll::Event) -> Self {
        let flags = event.flags;
        let end = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        Self {
            token: event.data.u64() as usize,
            readable: flags.contains(EventFlags::IN),
            writable: flags.contains(EventFlags::OUT),
            hung_up: flags.intersects(end),
        }
    }
}
