//! Messages between cores: many senders, one receiver, no lock.
//!
//! A sender pushes what it has and wakes once; the receiver takes everything that is there in one
//! go. On one core a wake is a push to the run queue; between cores it is an eventfd write, and
//! only when the receiver sleeps. The queue has no limit of its own: what flows through it is
//! limited where it enters (connections stop being read, see `client/connection.rs`).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam_queue::SegQueue;

struct Shared<T> {
    queue: SegQueue<T>,
    receiver: AtomicWaker,
}

/// The sending end. Cheap to clone.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The receiving end; one task waits on it.
pub struct Receiver<T>(Arc<Shared<T>>);

pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared { queue: SegQueue::new(), receiver: AtomicWaker::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Enqueues without waking; [`Self::wake`] must follow.
    pub fn push(&self, message: T) {
        self.0.queue.push(message);
    }

    /// Wakes the receiver if it waits.
    pub fn wake(&self) {
        self.0.receiver.wake();
    }

    pub fn send(&self, message: T) {
        self.push(message);
        self.wake();
    }

    /// Messages that the receiver has not taken yet.
    pub fn waiting(&self) -> usize {
        self.0.queue.len()
    }
}

impl<T> Receiver<T> {
    /// The next message, if one is there.
    pub fn try_receive(&self) -> Option<T> {
        self.0.queue.pop()
    }

    /// Waits until there is at least one message.
    pub async fn filled(&self) {
        poll_fn(|cx| self.poll_filled(cx)).await;
    }

    /// Ready when there is at least one message; else the task is woken by the next one.
    pub fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, || !self.0.queue.is_empty())
    }

    /// Ready when `is_ready` is; else the task is woken by whoever changes that and then wakes.
    pub fn poll_until(&self, cx: &Context<'_>, is_ready: impl Fn() -> bool) -> Poll<()> {
        if is_ready() {
            return Poll::Ready(());
        }
        self.0.receiver.register(cx.waker());
        // It may have changed between the look and the registration.
        if is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}
