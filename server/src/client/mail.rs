//! A shard's mail from the sequencer: in order, and nothing before it is announced.
//!
//! A publication is put into the mailbox of every shard, then announced, and only then may anything
//! of it leave. A shard that is awake finds it in its mailbox before that; were it to answer at
//! once, its client could tell another one, whose shard does not know of it yet and would answer
//! from an older root. So what comes too early is kept until it is announced.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::runtime::mailbox::Receiver;
use crate::sequencer::message::ToShard;
use crate::sequencer::publication::Announced;

/// The receiving end of a shard's mailbox.
pub(super) struct Mail {
    inbox: Receiver<ToShard>,
    announced: Arc<Announced>,
    /// Taken from the mailbox and not announced yet, with its sequence.
    early: Option<(u64, ToShard)>,
}

impl Mail {
    pub(super) const fn new(inbox: Receiver<ToShard>, announced: Arc<Announced>) -> Self {
        Self { inbox, announced, early: None }
    }

    /// The newest publication that every shard has in its mailbox.
    pub(super) fn announced(&self) -> u64 {
        self.announced.newest()
    }

    /// The next message, if its time has come.
    pub(super) fn next(&mut self) -> Option<ToShard> {
        if let Some((sequence, _)) = &self.early {
            let due = *sequence <= self.announced.newest();
            return if due { self.early.take().map(|(_, message)| message) } else { None };
        }
        let message = self.inbox.try_receive()?;
        if let ToShard::Publish(publication) = &message
            && publication.sequence > self.announced.newest()
        {
            self.early = Some((publication.sequence, message));
            return None;
        }
        Some(message)
    }

    /// Ready when [`Self::next`] may have something. The sequencer wakes after it has announced.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        let Some((sequence, _)) = self.early else { return self.inbox.poll_filled(cx) };
        self.inbox.poll_until(cx, || sequence <= self.announced.newest())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::runtime::mailbox::mailbox;
    use crate::sequencer::publication::Publication;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn publication(sequence: u64) -> ToShard {
        ToShard::Publish(Arc::new(Publication { sequence, runs: Vec::new(), committed_us: 0 }))
    }

    #[test]
    fn nothing_is_adopted_before_it_is_announced_nor_what_lies_behind_it() {
        let (sequencer, inbox) = mailbox();
        let announced = Arc::new(Announced::default());
        let mut mail = Mail::new(inbox, Arc::clone(&announced));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);

        assert!(mail.poll_filled(&cx).is_pending());
        sequencer.send(publication(1));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        sequencer.send(ToShard::Stop);
        assert!(mail.poll_filled(&cx).is_ready());
        assert!(mail.next().is_none(), "not announced");
        assert!(mail.poll_filled(&cx).is_pending(), "no use in looking again");

        announced.announce(1);
        sequencer.wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(mail.poll_filled(&cx).is_ready());
        assert!(matches!(mail.next(), Some(ToShard::Publish(first)) if first.sequence == 1));
        assert!(matches!(mail.next(), Some(ToShard::Stop)));
        assert!(mail.next().is_none());
    }
}
