//! A snapshot's way from the thread that writes it to the link that sends it.
//!
//! The writer blocks while the link has enough: what lies between them is bounded however large the
//! tree and however slow the receiver. When the link ends the writer gets an error at its next
//! piece, and lets go of the root that it holds; when the writer ends without having finished, the
//! link is cut, so that no receiver takes half a stream for a whole one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use thiserror::Error;

/// Bytes that may lie between writer and link before the writer waits.
const WAITING_BYTES_MAX: usize = 512 << 10;

/// The link has ended: nobody wants the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the learner that the snapshot was for is gone")]
pub struct LinkGone;

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    finished: bool,
    writer_gone: bool,
    link_gone: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    room: Condvar,
    link: AtomicWaker,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's end. Dropped without [`Self::finish`], it cuts the link.
#[derive(Debug)]
pub struct PieceWriter(Arc<Shared>);

/// The link's end.
#[derive(Debug)]
pub struct Pieces(Arc<Shared>);

/// What a link finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Piece(Vec<u8>),
    /// Everything was written.
    End,
    /// The writer gave up.
    BrokenOff,
}

pub fn pieces() -> (PieceWriter, Pieces) {
    let shared = Arc::new(Shared::default());
    (PieceWriter(Arc::clone(&shared)), Pieces(shared))
}

impl PieceWriter {
    /// Hands over a piece. Blocks while the link has enough: for a thread of its own.
    ///
    /// # Errors
    /// When the link has ended.
    pub fn write(&self, piece: &[u8]) -> Result<(), LinkGone> {
        let wait = |state: &mut State| !state.link_gone && state.bytes >= WAITING_BYTES_MAX;
        let room = self.0.room.wait_while(self.0.state(), wait);
        let mut state = room.unwrap_or_else(PoisonError::into_inner);
        if state.link_gone {
            return Err(LinkGone);
        }
        state.bytes += piece.len();
        state.pieces.push_back(piece.to_vec());
        drop(state);
        self.0.link.wake();
        Ok(())
    }

    /// The stream is whole.
    pub fn finish(self) {
        self.0.state().finished = true;
    }
}

impl Drop for PieceWriter {
    fn drop(&mut self) {
        self.0.state().writer_gone = true;
        self.0.link.wake();
    }
}

impl Pieces {
    /// The next piece, or the end; else the task is woken when there is one.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Found> {
        let found = self.take();
        if found.is_ready() {
            return found;
        }
        self.0.link.register(cx.waker());
        // It may have come between the look and the registration.
        self.take()
    }

    fn take(&self) -> Poll<Found> {
        let mut state = self.0.state();
        if let Some(piece) = state.pieces.pop_front() {
            state.bytes -= piece.len();
            drop(state);
            self.0.room.notify_one();
            return Poll::Ready(Found::Piece(piece));
        }
        match (state.finished, state.writer_gone) {
            (true, _) => Poll::Ready(Found::End),
            (false, true) => Poll::Ready(Found::BrokenOff),
            (false, false) => Poll::Pending,
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.link_gone = true;
        state.pieces.clear();
        drop(state);
        self.0.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread;

    use futures_lite::future::block_on;

    use super::*;

    fn found(pieces: &Pieces) -> Found {
        block_on(poll_fn(|cx| pieces.poll_next(cx)))
    }

    #[test]
    fn pieces_arrive_in_order_and_the_end_is_told() {
        let (writer, link) = pieces();
        let thread = thread::spawn(move || {
            (0..100u8).try_for_each(|i| writer.write(&[i; 64 << 10]))?;
            writer.finish();
            Ok::<(), LinkGone>(())
        });
        for i in 0..100 {
            assert_eq!(found(&link), Found::Piece(vec![i; 64 << 10]));
        }
        assert_eq!(found(&link), Found::End);
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_writer_that_does_not_finish_breaks_the_stream_off() {
        let (writer, link) = pieces();
        writer.write(&[1]).unwrap();
        drop(writer);
        assert_eq!(found(&link), Found::Piece(vec![1]));
        assert_eq!(found(&link), Found::BrokenOff);
    }

    #[test]
    fn a_writer_that_waits_is_released_when_the_link_ends() {
        let (writer, link) = pieces();
        let thread = thread::spawn(move || {
            let written = (0..).map(|_| writer.write(&[0; 64 << 10])).take_while(Result::is_ok);
            written.count()
        });
        assert_eq!(found(&link), Found::Piece(vec![0; 64 << 10]));
        drop(link);
        assert!(thread.join().unwrap() <= 1 + WAITING_BYTES_MAX / (64 << 10));
    }
}
