//! The waiting half of a shard: one task per connection, one for the mailbox, one for the clock.
//!
//! A connection's task waits for bytes, hands them to the pure half and sends what that left, on
//! whichever connections it left it. So a reply takes one receive and one send; a task is woken to
//! write only when its socket was full. Before it looks at a client's bytes a shard adopts every
//! publication that has been announced: what one client was told, no other will be told back from.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::client::listener::Admitted;
use crate::client::mail::Mail;
use crate::client::shard::{Shard, Word};
use crate::runtime::clock::{monotonic_ms, monotonic_us, sleep};
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::net::{Sent, Socket};
use crate::runtime::{spawn, yield_if_needed};
use crate::sequencer::message::{ConnectionKey, ToSequencer, ToShard};
use crate::sequencer::publication::Announced;
use crate::sequencer::run::now;

/// Bytes received in one go, per core: many pipelined requests, or a quarter of the largest frame.
const SCRATCH_BYTES: usize = 256 << 10;

/// How long a connection that is to end may take for its last bytes.
const LINGER_MS: u64 = 5_000;

/// How long a server that ends waits for clients to take their last bytes, and how often it looks.
const SEE_OFF_MS: u64 = 1_000;
const SEE_OFF_PROBE: Duration = Duration::from_millis(2);

/// What a shard's core can be told beside the sequencer's messages.
pub enum Visit {
    /// A client has connected.
    Arrived(Admitted),
    /// A question for a report: it is called with the shard's state of this turn.
    Ask(Box<dyn FnOnce(&mut Shard) + Send>),
}

/// Everything a shard's tasks need.
pub struct Parts {
    pub shard: Shard,
    pub inbox: Receiver<ToShard>,
    pub visits: Receiver<Visit>,
    pub sequencer: Sender<ToSequencer>,
    pub announced: Arc<Announced>,
    /// Half a tick: how often touched sessions are handed over.
    pub touch_interval: Duration,
    pub handshake_ms_max: u64,
    /// Takes the four-letter words that come in.
    pub words: Sender<Word>,
}

/// A socket and the task that waits on it.
struct Door {
    socket: Rc<Socket>,
    waker: Option<Waker>,
    /// Whether the task waits without asking for bytes.
    stalled: bool,
    generation: u32,
}

/// What the tasks of one core share.
struct Core {
    shard: Shard,
    mail: Mail,
    sequencer: Sender<ToSequencer>,
    words: Sender<Word>,
    scratch: Box<[u8]>,
    doors: Vec<Option<Door>>,
    /// Connections that have not spoken, and until when they may.
    silent: VecDeque<(u64, ConnectionKey)>,
    /// Connections that are to end and do not take their last bytes, and until when they may.
    lingering: VecDeque<(u64, ConnectionKey)>,
    handshake_ms_max: u64,
    stopping: bool,
}

type Shared = Rc<RefCell<Core>>;

/// Runs until the sequencer says stop and every connection has been told.
pub async fn run(parts: Parts) {
    let core = Rc::new(RefCell::new(Core {
        shard: parts.shard,
        mail: Mail::new(parts.inbox, parts.announced),
        sequencer: parts.sequencer,
        words: parts.words,
        scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        doors: Vec::new(),
        silent: VecDeque::new(),
        lingering: VecDeque::new(),
        handshake_ms_max: parts.handshake_ms_max,
        stopping: false,
    }));
    spawn(welcome(Rc::clone(&core), parts.visits));
    spawn(tick(Rc::clone(&core), parts.touch_interval));
    read_mail(&core).await;
    see_off(&core).await;
}

/// Takes the sequencer's messages as they come, until it says stop: here or to another task.
async fn read_mail(core: &Shared) {
    while !core.borrow().stopping {
        poll_fn(|cx| core.borrow().poll_mail(cx)).await;
        let mut core = core.borrow_mut();
        core.begin_turn();
        core.take_mail();
        core.carry_out();
    }
}

/// Gives clients a moment to take what is queued for them: their tasks end with the last byte.
async fn see_off(core: &Shared) {
    let deadline_ms = monotonic_ms() + SEE_OFF_MS;
    while core.borrow().shard.connection_count() > 0 && monotonic_ms() < deadline_ms {
        sleep(SEE_OFF_PROBE).await;
    }
}

/// Takes new connections and questions.
async fn welcome(core: Shared, visits: Receiver<Visit>) {
    loop {
        visits.filled().await;
        while let Some(visit) = visits.try_receive() {
            match visit {
                Visit::Arrived(admitted) => arrive(&core, admitted),
                Visit::Ask(question) => {
                    let mut core = core.borrow_mut();
                    core.begin_turn();
                    core.take_mail();
                    question(&mut core.shard);
                    core.carry_out();
                }
            }
        }
    }
}

fn arrive(core: &Shared, admitted: Admitted) {
    if core.borrow().stopping {
        return;
    }
    let (socket, permit) = match admitted.into_socket() {
        Ok(admitted) => admitted,
        Err(error) => {
            let too_many = error.kind() == io::ErrorKind::ConnectionRefused;
            core.borrow_mut().shard.counters.connections_rejected += u64::from(too_many);
            return;
        }
    };
    let socket = Rc::new(socket);
    let key = {
        let mut core = core.borrow_mut();
        core.begin_turn();
        let key = core.shard.open(permit.peer());
        let deadline = monotonic_ms() + core.handshake_ms_max;
        core.silent.push_back((deadline, key));
        core.open_door(key, Rc::clone(&socket));
        key
    };
    let core = Rc::clone(core);
    spawn(async move {
        while poll_fn(|cx| core.borrow_mut().poll_connection(key, &socket, cx)).await {
            yield_if_needed().await;
        }
        let mut core = core.borrow_mut();
        core.close_door(key);
        core.carry_out();
        drop(permit);
    });
}

/// Hands over touched sessions, and closes connections that never spoke.
async fn tick(core: Shared, interval: Duration) {
    loop {
        sleep(interval).await;
        let mut core = core.borrow_mut();
        core.begin_turn();
        core.shard.hand_over_touched(None);
        core.close_overdue();
        core.carry_out();
        // What it has left out of the log is told even if nothing is slow any more.
        core.shard.look_back(monotonic_us());
    }
}

impl Core {
    fn begin_turn(&mut self) {
        self.shard.begin_turn(now());
    }

    fn take_mail(&mut self) {
        while let Some(message) = self.mail.next() {
            self.stopping |= matches!(message, ToShard::Stop);
            self.shard.on_message(message);
        }
    }

    fn poll_mail(&self, cx: &Context<'_>) -> Poll<()> {
        if self.stopping { Poll::Ready(()) } else { self.mail.poll_filled(cx) }
    }

    fn open_door(&mut self, key: ConnectionKey, socket: Rc<Socket>) {
        let index = key.index as usize;
        if index >= self.doors.len() {
            self.doors.resize_with(index + 1, || None);
        }
        self.doors[index] =
            Some(Door { socket, waker: None, stalled: false, generation: key.generation });
    }

    fn close_door(&mut self, key: ConnectionKey) {
        if let Some(door) = self.doors.get_mut(key.index as usize)
            && door.as_ref().is_some_and(|door| door.generation == key.generation)
        {
            *door = None;
        }
        self.shard.closed(key);
    }

    /// Sends, receives and works off, until there is nothing to do. `Ready(false)` is the end of
    /// the connection.
    fn poll_connection(
        &mut self,
        key: ConnectionKey,
        socket: &Socket,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        while let Some(unsent) = self.shard.unsent(key).filter(|unsent| !unsent.is_empty()) {
            match socket.poll_send(cx, unsent) {
                Poll::Ready(Ok(count)) => self.shard.took(key, count),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => break,
            }
        }
        if self.shard.can_go_on(key) {
            self.turn(|shard| shard.go_on(key.index));
            return Poll::Ready(true);
        }
        if self.shard.is_closing(key) {
            let unsent = self.shard.unsent(key).is_some_and(|unsent| !unsent.is_empty());
            return if unsent { self.wait(key, cx) } else { Poll::Ready(false) };
        }
        let wants_bytes = self.shard.wants_bytes(key);
        if let Some(Some(door)) = self.doors.get_mut(key.index as usize) {
            door.stalled = !wants_bytes;
        }
        if !wants_bytes {
            return self.wait(key, cx);
        }
        match socket.poll_receive(cx, &mut self.scratch) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(count)) => {
                self.on_received(key, count);
                Poll::Ready(true)
            }
            Poll::Pending => self.wait(key, cx),
        }
    }

    fn wait(&mut self, key: ConnectionKey, cx: &Context<'_>) -> Poll<bool> {
        if let Some(Some(door)) = self.doors.get_mut(key.index as usize)
            && !door.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            door.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn on_received(&mut self, key: ConnectionKey, count: usize) {
        let scratch = std::mem::take(&mut self.scratch);
        self.turn(|shard| shard.receive(key.index, &scratch[..count]));
        self.scratch = scratch;
    }

    /// Lets a client's requests be worked off, on the newest root that was announced.
    fn turn(&mut self, work: impl FnOnce(&mut Shard)) {
        self.begin_turn();
        if self.mail.announced() != self.shard.adopted() {
            self.take_mail();
        }
        work(&mut self.shard);
        self.carry_out();
    }

    /// Sends what the pure half left: to the sequencer, to sockets, to whoever answers words.
    fn carry_out(&mut self) {
        let mut sent = false;
        for message in self.shard.take_outbox() {
            self.sequencer.push(message);
            sent = true;
        }
        if sent {
            self.sequencer.wake();
        }
        let dirty = self.shard.take_dirty();
        for &index in &dirty {
            self.flush(index);
        }
        self.shard.recycle_dirty(dirty);
        for word in self.shard.take_words() {
            self.words.send(word);
        }
        if self.shard.has_answered() {
            self.shard.end_turn(monotonic_us());
        }
    }

    /// Sends at once what the socket takes; its task sees to the rest.
    fn flush(&mut self, index: u32) {
        let Some(key) = self.shard.key_at(index) else { return };
        let Some(Some(door)) = self.doors.get(index as usize) else { return };
        let mut rest = false;
        while let Some(unsent) = self.shard.unsent(key).filter(|unsent| !unsent.is_empty()) {
            match door.socket.send(unsent) {
                Ok(Sent::Bytes(count)) => self.shard.took(key, count),
                Ok(Sent::Full) | Err(_) => {
                    rest = true;
                    break;
                }
            }
        }
        let ends = self.shard.is_closing(key);
        if rest && ends {
            self.lingering.push_back((monotonic_ms() + LINGER_MS, key));
        }
        // The task also waits where reading had to stop; what was sent may have made room.
        let resumes = (door.stalled && self.shard.wants_bytes(key)) || self.shard.can_go_on(key);
        if (rest || ends || resumes)
            && let Some(waker) = &door.waker
        {
            waker.wake_by_ref();
        }
    }

    fn close_overdue(&mut self) {
        let now_ms = monotonic_ms();
        while let Some((_, key)) = self.silent.pop_front_if(|(until, _)| *until <= now_ms) {
            if self.shard.is_silent(key) {
                tracing::debug!("closing a connection that has not spoken");
                self.shard.counters.handshakes_timed_out += 1;
                self.shard.cut_off(key);
            }
        }
        while let Some((_, key)) = self.lingering.pop_front_if(|(until, _)| *until <= now_ms) {
            self.shard.cut_off(key);
        }
    }
}
