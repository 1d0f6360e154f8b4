//! Which sockets of this core can be read or written: one epoll per core, watched by the executor.
//!
//! glommio arms one io_uring poll for each receive, which costs more than the receive's own system
//! call. Here the kernel is told of a socket once, and notes that it became ready are taken many at
//! a time; the executor arms one poll, on the epoll, for each such round. What is noted are edges:
//! a socket counts as ready until a call on it finds nothing to do.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::AsyncRead;
use futures_lite::future::yield_now;
use glommio::net::TcpStream;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::spawn;

/// Notes taken in one round.
const EVENTS_MAX: usize = 256;
/// Rounds between two visits of the executor to its ring, where completions of the log wait, too.
const ROUNDS_MAX: usize = 3;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

thread_local! {
    static OF_THIS_CORE: OnceCell<Rc<Readiness>> = const { OnceCell::new() };
}

/// The sockets of one core.
struct Readiness {
    epoll: OwnedFd,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Sockets that the kernel did not want to watch.
    refused: u64,
}

/// What is known of one socket.
#[derive(Default)]
struct Slot {
    /// A receive may find something. True until one has found nothing.
    readable: bool,
    /// The peer has ended or broken the connection: no later note says so again.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A socket of this core, which is watched from the first time that somebody waits for it.
pub(super) struct Watched {
    fd: OwnedFd,
    place: OnceCell<Place>,
}

/// Where the core keeps what it knows of a socket.
struct Place {
    index: u32,
    core: Rc<Readiness>,
}

impl Watched {
    pub(super) const fn new(fd: OwnedFd) -> Self {
        Self { fd, place: OnceCell::new() }
    }

    pub(super) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Calls `receive`, which must not block, when it may find something; it also says whether it
    /// has left nothing behind. `WouldBlock` waits for the next note.
    ///
    /// # Errors
    /// Those of `receive`, and when the kernel watches no more sockets.
    pub(super) fn poll_read<T>(
        &self,
        cx: &Context<'_>,
        receive: impl FnOnce(&OwnedFd) -> io::Result<(T, bool)>,
    ) -> Poll<io::Result<T>> {
        self.place()?.with(|slot| {
            if slot.readable {
                match receive(&self.fd) {
                    Ok((received, emptied)) => {
                        slot.readable = !emptied || slot.ended;
                        return Poll::Ready(Ok(received));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                slot.readable = false;
            }
            wait(&mut slot.reader, cx);
            Poll::Pending
        })
    }

    /// Calls `send`, which must not block. `WouldBlock` waits for room.
    ///
    /// # Errors
    /// Those of `send`, and when the kernel watches no more sockets.
    pub(super) fn poll_write<T>(
        &self,
        cx: &Context<'_>,
        send: impl FnOnce(&OwnedFd) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        // Watched before it is full: that there is room again is noted once.
        let place = self.place()?;
        match send(&self.fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                place.with(|slot| wait(&mut slot.writer, cx));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    fn place(&self) -> io::Result<&Place> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let place = Place::new(&self.fd)?;
        Ok(self.place.get_or_init(|| place))
    }
}

impl Place {
    fn new(fd: &OwnedFd) -> io::Result<Self> {
        let core = Readiness::of_this_core()?;
        let index = core.slots.borrow_mut().take();
        let place = Self { index, core };
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(u64::from(place.index));
        if let Err(error) = epoll::add(&place.core.epoll, fd, data, flags) {
            place.core.slots.borrow_mut().refuse(error);
            return Err(error.into());
        }
        Ok(place)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Slot) -> T) -> T {
        work(&mut self.core.slots.borrow_mut().slots[self.index as usize])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The socket leaves the epoll when its only descriptor is closed. A note of it that is
        // taken already does no harm to the next one in this place: a call finds nothing.
        let left = self.core.slots.borrow_mut().give_back(self.index);
        // With the last waker of a task goes the task, and with it perhaps another socket.
        drop(left);
    }
}

fn wait(waiting: &mut Option<Waker>, cx: &Context<'_>) {
    if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waiting = Some(cx.waker().clone());
    }
}

impl Slots {
    fn take(&mut self) -> u32 {
        let fresh = Slot { readable: true, ..Slot::default() };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = fresh;
            return index;
        }
        self.slots.push(fresh);
        u32::try_from(self.slots.len() - 1).expect("fewer sockets than descriptors")
    }

    fn give_back(&mut self, index: u32) -> Slot {
        self.free.push(index);
        std::mem::take(&mut self.slots[index as usize])
    }

    /// Counts a socket that is not watched, and so is closed. Few are logged: clients come again.
    fn refuse(&mut self, error: Errno) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            let count = self.refused;
            tracing::warn!(
                "{count} connections closed, which the kernel does not watch: {error}; raise \
                 fs.epoll.max_user_watches"
            );
        }
    }

    /// Notes an event, and wakes who waits for it.
    fn note(&mut self, event: &epoll::Event) {
        let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let flags = event.flags;
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        slot.ended |= flags.intersects(ends);
        if slot.ended || flags.contains(epoll::EventFlags::IN) {
            slot.readable = true;
            if let Some(reader) = &slot.reader {
                reader.wake_by_ref();
            }
        }
        if (slot.ended || flags.contains(epoll::EventFlags::OUT))
            && let Some(writer) = slot.writer.take()
        {
            writer.wake();
        }
    }
}

impl Readiness {
    fn of_this_core() -> io::Result<Rc<Self>> {
        OF_THIS_CORE.with(|cell| {
            if let Some(core) = cell.get() {
                return Ok(Rc::clone(core));
            }
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let core = Rc::new(Self { epoll, slots: RefCell::default() });
            spawn(watch(Rc::clone(&core)));
            Ok(Rc::clone(cell.get_or_init(|| core)))
        })
    }

    /// Takes the notes that are there, and wakes those who wait for them.
    fn take_notes(&self, events: &mut Vec<epoll::Event>) {
        events.clear();
        // An interrupted call takes nothing, and the notes stay.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), Some(&AT_ONCE));
        let mut slots = self.slots.borrow_mut();
        events.iter().for_each(|event| slots.note(event));
    }

    /// Waits until the epoll has a note.
    async fn noted(&self) {
        // SAFETY: the stream is never dropped, so the epoll stays the only owner of its descriptor.
        let stream = unsafe { TcpStream::from_raw_fd(self.epoll.as_raw_fd()) };
        // One count of weak references to the executor's reactor is all that this leaves behind.
        let mut stream = ManuallyDrop::new(stream);
        // A new stream of glommio's waits until its descriptor is readable before it reads for the
        // first time, whatever it is. That an epoll is no socket is found out after that.
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut [0]).map(drop)).await;
    }
}

/// Takes the notes of this core for as long as it lives.
async fn watch(core: Rc<Readiness>) {
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        core.noted().await;
        for _ in 0..ROUNDS_MAX {
            core.take_notes(&mut events);
            // Where one came alone, the next is best waited for.
            if events.len() < 2 {
                break;
            }
            // Who was woken works now, and meanwhile more come.
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use futures_lite::future::zip;
    use rustix::net::{RecvFlags, SendFlags, recv, send};

    use super::super::cores::on_a_core;
    use super::*;

    fn pair() -> (Rc<Watched>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Rc::new(Watched::new(ours.into())), theirs)
    }

    async fn receive(watched: &Watched, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes_max];
        let count = poll_fn(|cx| {
            watched.poll_read(cx, |fd| {
                let (count, _) = recv(fd, &mut *buffer, RecvFlags::DONTWAIT)?;
                Ok((count, count < bytes_max))
            })
        });
        let count = count.await?;
        buffer.truncate(count);
        Ok(buffer)
    }

    async fn send_all(watched: &Watched, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            sent +=
                poll_fn(|cx| watched.poll_write(cx, |fd| Ok(send(fd, rest, SendFlags::DONTWAIT)?)))
                    .await
                    .unwrap();
        }
    }

    #[test]
    fn what_comes_later_is_noted_and_the_end_behind_it() {
        on_a_core(|| async {
            let (ours, mut theirs) = pair();
            // Whoever receives is asked first, and waits already.
            let write = async { theirs.write_all(b"one").unwrap() };
            assert_eq!(zip(receive(&ours, 64), write).await.0.unwrap(), b"one");
            // Bytes and the end make one note, and the bytes are taken first.
            let write_and_go = async move {
                theirs.write_all(b"two").unwrap();
                drop(theirs);
            };
            assert_eq!(zip(receive(&ours, 64), write_and_go).await.0.unwrap(), b"two");
            assert_eq!(receive(&ours, 64).await.unwrap(), b"");
        });
    }

    #[test]
    fn what_a_full_buffer_left_behind_is_received_without_a_further_note() {
        on_a_core(|| async {
            let (ours, mut theirs) = pair();
            theirs.write_all(b"abcde").unwrap();
            assert_eq!(receive(&ours, 2).await.unwrap(), b"ab");
            assert_eq!(receive(&ours, 2).await.unwrap(), b"cd");
            assert_eq!(receive(&ours, 2).await.unwrap(), b"e");
        });
    }

    #[test]
    fn a_full_socket_is_written_on_when_there_is_room_again() {
        on_a_core(|| async {
            let (ours, mut theirs) = pair();
            let count = 4 << 20;
            let reader = std::thread::spawn(move || {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).unwrap();
                all.len()
            });
            send_all(&ours, &vec![7; count]).await;
            drop(ours);
            assert_eq!(reader.join().unwrap(), count);
        });
    }

    #[test]
    fn more_sockets_than_fit_into_a_round_are_all_noted_and_their_places_used_again() {
        on_a_core(|| async {
            for _ in 0..2 {
                let (doors, visitors): (Vec<_>, Vec<_>) =
                    (0..EVENTS_MAX + 3).map(|_| pair()).unzip();
                let (heard, hearing) = super::super::mailbox::mailbox();
                for ours in doors {
                    let heard = heard.clone();
                    spawn(async move { heard.send(receive(&ours, 8).await.unwrap()) });
                }
                for mut theirs in &visitors {
                    theirs.write_all(b"!").unwrap();
                }
                for _ in &visitors {
                    hearing.filled().await;
                    assert_eq!(hearing.try_receive().unwrap(), b"!");
                }
            }
            let slots = Readiness::of_this_core().unwrap().slots.borrow().slots.len();
            assert_eq!(slots, EVENTS_MAX + 3);
        });
    }
}
