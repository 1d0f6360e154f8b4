//! Calls that block, such as resolving a name, away from the cores.
//!
//! Each has a thread of its own for its short life: such calls are rare, and one that hangs for the
//! resolver's half minute must not hold up the next.

use std::{io, thread};

use super::mailbox::mailbox;

/// Runs `work` in a thread of that name, and waits on this core for what it returns. Dropping the
/// future leaves the thread to its end.
///
/// # Errors
/// When no thread can be made.
pub async fn offload<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, waiting) = mailbox();
    thread::Builder::new().name(name.to_owned()).spawn(move || done.send(work()))?;
    loop {
        waiting.filled().await;
        if let Some(result) = waiting.try_receive() {
            return Ok(result);
        }
    }
}
