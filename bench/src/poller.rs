//! epoll, edge-triggered: who can be read or written.
//!
//! Every socket is registered once for both directions. An edge costs no second look by the
//! kernel, at the price of one rule: whoever is told must read until a read comes back short, and
//! until the end of the stream when [`Ready::hung_up`] is set, for no second edge follows.

use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

/// Events taken from the kernel per call.
const EVENTS_MAX: usize = 1024;

/// epoll's timeouts count milliseconds, rounded up. Shorter waits than this go through ppoll, whose
/// timeouts are exact, at the price of a second system call.
const EXACT_BELOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

pub struct Poller {
    epoll: OwnedFd,
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

/// What the kernel may add to a timeout; by default it is 50 µs, which an open loop would blame
/// on the server.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

impl Poller {
    /// A poller for the thread that calls this, whose timeouts become exact.
    pub fn new() -> Result<Self, Errno> {
        set_current_timer_slack(Some(TIMER_SLACK_NS))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    pub fn register(&self, socket: impl AsFd, token: usize) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token as u64), flags)
    }

    /// Replaces `ready` by the edges that came within `timeout`; `None` waits for the first.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        let mut timeout = timeout.map(timespec);
        if let Some(exact) = timeout.filter(|timeout| *timeout < EXACT_BELOW) {
            wait_exactly(&self.epoll, &exact)?;
            timeout = Some(Timespec::default());
        }
        ready.clear();
        let mut events = [const { MaybeUninit::uninit() }; EVENTS_MAX];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(Ready::from)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Waits for the first edge with a timeout that is not rounded.
fn wait_exactly(epoll: &OwnedFd, timeout: &Timespec) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(epoll, PollFlags::IN)], Some(timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

fn timespec(length: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(length.subsec_nanos()),
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_short_wait_is_not_rounded_to_milliseconds() {
        let mut poller = Poller::new().unwrap();
        let mut wait = || {
            let start = Instant::now();
            poller.wait(Some(Duration::from_micros(100)), &mut Vec::new()).unwrap();
            start.elapsed()
        };
        // A busy machine may delay most of them, but not all.
        let shortest = std::iter::repeat_with(&mut wait).take(200).min().unwrap();
        assert!(shortest >= Duration::from_micros(100), "{shortest:?}");
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }
}
