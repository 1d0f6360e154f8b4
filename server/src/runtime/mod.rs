//! The only place that names glommio: executors, mailboxes, sockets, timers.
//!
//! Everything above this door waits through the types here and knows no runtime, so that a host
//! which forbids io_uring can one day be served by a second backend behind the same door.
//!
//! `unsafe` is allowed in `readiness.rs` and `log_event.rs` only, where a file descriptor changes
//! hands.

pub mod clock;
pub mod cores;
#[allow(unsafe_code, reason = "a file descriptor changes hands")]
pub mod log_event;
pub mod mailbox;
pub mod net;
pub mod offload;
pub mod preflight;
#[allow(unsafe_code, reason = "a file descriptor changes hands")]
mod readiness;

/// Runs `future` beside the current task on this core, to its end. It begins at once, before this
/// returns: nothing that it borrows may be held here.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(future).detach();
}

/// Lets the other tasks of this core run, when this one has had its share.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}
