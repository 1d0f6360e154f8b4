//! What the host must grant before anything starts: locked memory, descriptors, io_uring.
//!
//! Each executor wants rings of its own, and what a container forbids shows there first, as an
//! errno from deep inside a library. So all of it is asked for before the data directory is
//! touched, and a refusal says what to change. Soft limits are raised to the hard ones without
//! being asked: those are the process's own to set.

use menagerie_engine::disk::RingError;
use menagerie_engine::disk::uring;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Locked memory without which an executor refuses to start.
// glommio: sys::uring::Reactor::new, MIN_MEMLOCK_LIMIT.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Descriptors of one executor: three rings, an eventfd and an epoll.
const DESCRIPTORS_PER_EXECUTOR: u64 = 5;

/// Descriptors of everything else (log, locks, standard streams), with room for a few clients.
const DESCRIPTORS_BASE: u64 = 64;

/// What the host does not grant, and what to change.
#[derive(Debug, Error)]
pub enum PreflightError {
    #[error(
        "too little memory may be locked: the hard memlock limit is {limit} bytes, \
         {MEMLOCK_BYTES_MIN} are needed; raise it (`ulimit -l`, LimitMEMLOCK= of a systemd unit, \
         --ulimit memlock= of a container, memlock in /etc/security/limits.conf)"
    )]
    Memlock { limit: u64 },
    #[error(
        "too few files may be open: the hard nofile limit is {limit}, {needed} are needed before \
         the first client; raise it (`ulimit -n`, LimitNOFILE= of a systemd unit, \
         --ulimit nofile= of a container, nofile in /etc/security/limits.conf)"
    )]
    Descriptors { limit: u64, needed: u64 },
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// Raises what may be raised and asks for what `executors` executors need.
///
/// # Errors
/// With what to change, for an operator.
pub fn check(executors: usize) -> Result<(), PreflightError> {
    let memlock = raise(Resource::Memlock);
    if memlock < MEMLOCK_BYTES_MIN {
        return Err(PreflightError::Memlock { limit: memlock });
    }
    let descriptors = raise(Resource::Nofile);
    let needed = DESCRIPTORS_BASE + DESCRIPTORS_PER_EXECUTOR.saturating_mul(executors as u64);
    if descriptors < needed {
        return Err(PreflightError::Descriptors { limit: descriptors, needed });
    }
    Ok(uring::probe()?)
}

/// Raises the soft limit to the hard one and returns what is in force then.
fn raise(resource: Resource) -> u64 {
    let limits = getrlimit(resource);
    if limits.current != limits.maximum {
        let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
        if let Err(error) = setrlimit(resource, raised) {
            tracing::warn!("cannot raise the soft limit of {resource:?}: {error}");
        }
    }
    // Without a limit the kernel says none.
    getrlimit(resource).current.unwrap_or(u64::MAX)
}
