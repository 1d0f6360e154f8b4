//! The door for clients: accept, count, hand to a shard.
//!
//! One core accepts for all and hands connections round, so that shards get even shares and the
//! limits (`maxClientCnxns` per address, `maxCnxns` in total) are judged in one place. The counts
//! are behind a lock that is taken once when a connection comes and once when it goes.
//!
//! Facts: ZooKeeper `NIOServerCnxnFactory`: a connection too many is accepted and closed at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use rustix::io::Errno;

use crate::client::run::Visit;
use crate::runtime::clock::sleep;
use crate::runtime::mailbox::Sender;
use crate::runtime::net::{Accepted, Listener, Socket};
use crate::runtime::yield_if_needed;

/// How long to wait after an accept that failed, usually for want of descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub per_address: Option<NonZeroUsize>,
    pub total: Option<NonZeroUsize>,
}

/// How many connections there are.
#[derive(Debug)]
pub struct Census {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    total: usize,
    refused: u64,
}

impl Census {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Counts a connection in; `None` is one too many.
    fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Permit> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.by_address.get(&peer.ip()).copied().unwrap_or(0);
        let full = |limit: Option<NonZeroUsize>, count| limit.is_some_and(|max| count >= max.get());
        if full(self.limits.per_address, of_address) || full(self.limits.total, counts.total) {
            counts.refused += 1;
            return None;
        }
        counts.by_address.insert(peer.ip(), of_address + 1);
        counts.total += 1;
        Some(Permit { census: Arc::clone(self), peer })
    }

    /// Connections refused for being too many.
    pub fn refused(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).refused
    }

    pub fn total(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

/// A connection's place in the census; dropping it counts the connection out.
#[derive(Debug)]
pub struct Permit {
    census: Arc<Census>,
    peer: SocketAddr,
}

impl Permit {
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.peer.ip());
            }
        }
    }
}

/// An accepted connection on its way to a shard.
pub struct Admitted {
    accepted: Accepted,
    census: Arc<Census>,
}

impl Admitted {
    /// On the shard's core: the socket, and its place in the census.
    ///
    /// # Errors
    /// When the peer is gone, or is one too many (`ConnectionRefused`); the connection is closed
    /// then.
    pub fn into_socket(self) -> io::Result<(Socket, Permit)> {
        let (socket, peer) = Socket::new(self.accepted)?;
        let Some(permit) = self.census.admit(peer) else {
            // A client that does not give up would fill the log.
            let refused = self.census.refused();
            if refused.is_power_of_two() {
                tracing::warn!("too many connections: {refused} closed, now from {}", peer.ip());
            }
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        Ok((socket, permit))
    }
}

/// What to change when the process has no descriptor left.
fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "; raise the hard nofile limit (`ulimit -n`, LimitNOFILE= of a systemd unit, \
             --ulimit nofile= of a container)"
        }
        _ => "",
    }
}

/// Accepts for all shards, in turn, for as long as the server lives.
pub async fn run(listening: OwnedFd, census: Arc<Census>, shards: Vec<Sender<Visit>>) {
    let listener = Listener::new(listening);
    let mut failing = false;
    for shard in shards.iter().cycle() {
        let accepted = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("cannot accept connections: {error}{}", advice(&error));
                    }
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        };
        failing = false;
        shard.send(Visit::Arrived(Admitted { accepted, census: Arc::clone(&census) }));
        // As long as more wait, nothing here does.
        yield_if_needed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(per_address: usize, total: usize) -> Arc<Census> {
        let limits =
            Limits { per_address: NonZeroUsize::new(per_address), total: NonZeroUsize::new(total) };
        Census::new(limits)
    }

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 1))
    }

    #[test]
    fn one_address_too_many_times_is_refused_and_others_are_not() {
        let census = census(2, 0);
        let kept = [census.admit(peer(1)), census.admit(peer(1))];
        assert!(census.admit(peer(1)).is_none());
        assert!(census.admit(peer(2)).is_some());
        drop(kept);
        assert!(census.admit(peer(1)).is_some());
        assert_eq!((census.total(), census.refused()), (0, 1));
    }

    #[test]
    fn the_total_is_bounded() {
        let census = census(0, 2);
        let _kept = [census.admit(peer(1)), census.admit(peer(2))];
        assert!(census.admit(peer(3)).is_none());
    }
}
