//! The election port: one connection to each other member, and votes on it.
//!
//! Tasks on one core: one accepts, one per caller who has not said who it is, one per connection in
//! force, one per attempt to dial. Each connection is judged by `pairing.rs`. Hostile bytes end the
//! connection that they came on and nothing else: a caller has to show a member's id and address
//! before it touches the pair, in limited time, and of callers who have not, the oldest makes way.
//!
//! Not here: what votes mean (`replication`), TLS, SASL.
//! Facts: ZooKeeper `QuorumCnxManager`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use menagerie_wire::address::HostPort;
use menagerie_wire::frame::{self, Cut};
use menagerie_wire::notification::{self, First, InitialError, InitialMessage, Notification};
use menagerie_wire::{Encode, ServerId};
use thiserror::Error;

use super::address_book::{AddressBook, Port};
use super::pairing::{Generation, Message, Pair};
use crate::runtime::clock::{sleep, within};
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::net::{self, Accepted, Dialled, Listener, Socket};
use crate::runtime::offload::offload;
use crate::runtime::{spawn, yield_if_needed};

/// Callers who have not said who they are; one more makes the oldest hang up.
const CALLERS_MAX: usize = 64;
/// Votes that wait to be looked at; more are dropped, as Apache does: their senders repeat them.
// ZooKeeper: QuorumCnxManager.RECV_CAPACITY.
const RECEIVED_MAX: usize = 100;
/// Bytes received in one go, for all connections of the port.
const SCRATCH_BYTES: usize = 16 << 10;
/// Between two attempts to reach a peer: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// After an accept that failed, usually for want of descriptors.
const PAUSE_AFTER_ACCEPT: Duration = Duration::from_millis(50);

/// What the port is started with.
#[derive(Debug)]
pub struct ElectionConfig {
    pub id: ServerId,
    pub book: Arc<AddressBook>,
    /// Bound and listening; several where the server has several addresses.
    pub listening: Vec<OwnedFd>,
    /// Where our own election port is, as others are told.
    pub address: HostPort,
    /// For one attempt at one address. Also how long a peer may leave bytes unacknowledged.
    /// ZooKeeper: `cnxTimeout`, 5 s.
    pub connect_timeout: Duration,
    /// How long a caller may take to say who it is.
    pub handshake_timeout: Duration,
}

/// What the port is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionInput {
    /// A newer notification to the same peer replaces one that has not left. To anybody who is no
    /// other member: dropped.
    Send { to: ServerId, notification: Notification<'static> },
    /// Close everything and end.
    Stop,
}

/// What the port tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionOutput {
    Received {
        from: ServerId,
        notification: Notification<'static>,
    },
    /// There is a connection to a peer that was not known to be up.
    Up {
        peer: ServerId,
    },
    /// A peer that was not known to be down cannot be reached, or hung up.
    Down {
        peer: ServerId,
    },
}

/// Why a caller is refused.
#[derive(Debug, Error)]
enum Refusal {
    #[error("it hung up: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Initial(#[from] InitialError),
    #[error("it did not say who it is")]
    Silent,
    #[error("it claims to be server {0}, which is this one")]
    Ourselves(ServerId),
    #[error("it claims to be server {0}, which has no such address")]
    Stranger(ServerId),
}

/// A pair, and the socket that joins it.
struct Line {
    pair: Pair,
    socket: Option<Rc<Socket>>,
    /// The connection's task, which waits for something to send.
    waker: Option<Waker>,
    pause: Duration,
}

struct Manager {
    id: ServerId,
    book: Arc<AddressBook>,
    hello: Vec<u8>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    lines: BTreeMap<ServerId, Line>,
    listeners: Vec<Rc<Listener>>,
    callers: VecDeque<Weak<Socket>>,
    outbox: Sender<ElectionOutput>,
    scratch: Box<[u8]>,
    generations: u64,
    refused: u64,
    stopping: bool,
}

type Shared = Rc<RefCell<Manager>>;

/// Keeps the port until it is told to stop.
pub async fn run(
    config: ElectionConfig,
    inbox: Receiver<ElectionInput>,
    outbox: Sender<ElectionOutput>,
) {
    let manager = Manager::new(config, outbox);
    let listeners = manager.borrow().listeners.clone();
    for listener in listeners {
        spawn(listen(Rc::clone(&manager), listener));
    }
    loop {
        inbox.filled().await;
        while let Some(input) = inbox.try_receive() {
            match input {
                ElectionInput::Send { to, notification } => post(&manager, to, &notification),
                ElectionInput::Stop => return manager.borrow_mut().stop(),
            }
        }
    }
}

fn post(manager: &Shared, to: ServerId, notification: &Notification<'_>) {
    let mut manager_now = manager.borrow_mut();
    let Some(line) = manager_now.lines.get_mut(&to) else { return };
    let mut message = Vec::new();
    frame::put(&mut message, notification);
    line.pair.post(Message::from(message));
    if let Some(waker) = line.waker.take() {
        waker.wake();
    }
    let dials = line.pair.dial_if_needed();
    drop(manager_now);
    if dials {
        spawn(dial(Rc::clone(manager), to));
    }
}

async fn listen(manager: Shared, listener: Rc<Listener>) {
    loop {
        let accepted = listener.accept().await;
        if manager.borrow().stopping {
            return;
        }
        match accepted {
            Ok(accepted) => spawn(answer(Rc::clone(&manager), accepted)),
            Err(error) => {
                tracing::warn!("cannot accept election connections: {error}");
                sleep(PAUSE_AFTER_ACCEPT).await;
            }
        }
    }
}

/// Finds out who calls, and what is to become of the connection.
async fn answer(manager: Shared, accepted: Accepted) {
    let Ok((socket, from)) = Socket::new(accepted) else { return };
    let socket = Rc::new(socket);
    manager.borrow_mut().admit_caller(&socket);
    match identify(&manager, &socket, from.ip()).await {
        Ok((peer, early)) => meet(&manager, peer, socket, early),
        Err(refusal) => manager.borrow_mut().refuse(from.ip(), &refusal),
    }
}

async fn identify(
    manager: &Shared,
    socket: &Socket,
    from: IpAddr,
) -> Result<(ServerId, Vec<u8>), Refusal> {
    let (id, book, timeout) = {
        let manager = manager.borrow();
        (manager.id, Arc::clone(&manager.book), manager.handshake_timeout)
    };
    let (message, early) = within(timeout, read_initial(socket)).await.ok_or(Refusal::Silent)??;
    if message.sid == id {
        return Err(Refusal::Ourselves(id));
    }
    if !book.admits(message.sid, from).await {
        return Err(Refusal::Stranger(message.sid));
    }
    Ok((message.sid, early))
}

/// The initial message, and what came with it.
async fn read_initial(socket: &Socket) -> Result<(InitialMessage, Vec<u8>), Refusal> {
    let mut received = Vec::new();
    let mut piece = [0; 256];
    loop {
        if let First::Message { message, len } = InitialMessage::read(&received)? {
            received.drain(..len);
            return Ok((message, received));
        }
        let count = poll_fn(|cx| socket.poll_receive(cx, &mut piece)).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        received.extend_from_slice(&piece[..count]);
    }
}

/// A member has called: its connection stays if its id is the larger, else it is dialled back.
// ZooKeeper: QuorumCnxManager.handleConnection. The address in the message is not trusted.
fn meet(manager: &Shared, peer: ServerId, socket: Rc<Socket>, early: Vec<u8>) {
    let mut manager_now = manager.borrow_mut();
    if manager_now.stopping {
        return;
    }
    let Some(line) = manager_now.lines.get_mut(&peer) else { return };
    if !line.pair.dials() {
        drop(manager_now);
        return adopt(manager, peer, socket, early);
    }
    line.hang_up();
    line.pause = PAUSE_MIN;
    let dials = line.pair.called_back();
    drop(manager_now);
    if dials {
        spawn(dial(Rc::clone(manager), peer));
    }
}

/// Attempts to reach the peer until there is a connection, or nothing to say.
async fn dial(manager: Shared, peer: ServerId) {
    loop {
        let reached = reach(&manager, peer).await;
        if manager.borrow().stopping {
            return;
        }
        match reached.and_then(|dialled| introduce(&manager, dialled)) {
            Ok(socket) if manager.borrow().dials(peer) => {
                adopt(&manager, peer, Rc::new(socket), Vec::new());
            }
            // It knows that we are here, and dials back.
            Ok(_) => {}
            Err(error) => manager.borrow_mut().failed(peer, &error),
        }
        let Some((pause, duration)) = manager.borrow_mut().pause(peer) else { return };
        sleep(duration).await;
        if !manager.borrow_mut().resume(peer, pause) {
            return;
        }
    }
}

async fn reach(manager: &Shared, peer: ServerId) -> io::Result<Dialled> {
    let (book, timeout) = {
        let manager = manager.borrow();
        (Arc::clone(&manager.book), manager.connect_timeout)
    };
    offload("dial-election", move || net::dial(&book.resolve(peer, Port::Election)?, timeout))
        .await?
}

/// Says who we are, in one segment: Apache reads the message with one call.
fn introduce(manager: &Shared, dialled: Dialled) -> io::Result<Socket> {
    let socket = Socket::from_dialled(dialled)?;
    let hello = &manager.borrow().hello;
    match socket.send(hello)? {
        net::Sent::Bytes(count) if count == hello.len() => Ok(socket),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Puts the connection in force, in place of any older one.
fn adopt(manager: &Shared, peer: ServerId, socket: Rc<Socket>, early: Vec<u8>) {
    let mut manager_now = manager.borrow_mut();
    let generation = Generation(manager_now.generations);
    manager_now.generations += 1;
    if let Err(error) = socket.set_unacknowledged_max(manager_now.connect_timeout) {
        tracing::debug!("election connection to server {peer}: {error}");
    }
    let Some(line) = manager_now.lines.get_mut(&peer) else { return };
    line.hang_up();
    line.socket = Some(Rc::clone(&socket));
    line.pause = PAUSE_MIN;
    if line.pair.adopt(generation) {
        manager_now.outbox.send(ElectionOutput::Up { peer });
    }
    drop(manager_now);
    spawn(converse(Rc::clone(manager), Conversation { peer, generation, socket, early }));
}

/// A connection in force.
struct Conversation {
    peer: ServerId,
    generation: Generation,
    socket: Rc<Socket>,
    early: Vec<u8>,
}

async fn converse(manager: Shared, conversation: Conversation) {
    let Conversation { peer, generation, socket, early } = conversation;
    let mut wire = Wire { socket, received: early, sending: Message::from([]), sent: 0 };
    let end = loop {
        let turn = poll_fn(|cx| manager.borrow_mut().poll(peer, generation, &mut wire, cx)).await;
        if let Err(end) = turn {
            break end;
        }
        yield_if_needed().await;
    };
    let dials = manager.borrow_mut().ended(peer, generation, &end);
    if dials {
        spawn(dial(Rc::clone(&manager), peer));
    }
}

/// The bytes under way on a connection.
struct Wire {
    socket: Rc<Socket>,
    /// Received, and no whole message yet.
    received: Vec<u8>,
    sending: Message,
    sent: usize,
}

impl Wire {
    /// Sends what fits of the message under way. Ready when it has left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.sending.len() {
            match self.socket.poll_send(cx, &self.sending[self.sent..]) {
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the whole messages out of what has been received.
    fn take_messages(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut rest = &self.received[..];
        loop {
            let cut = notification::cut(rest);
            match cut.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                Cut::Frame(payload) => {
                    take(payload);
                    rest = &rest[frame::LENGTH_BYTES + payload.len()..];
                }
                Cut::Missing(_) => break,
            }
        }
        let taken = self.received.len() - rest.len();
        self.received.drain(..taken);
        if self.received.is_empty() {
            self.received = Vec::new();
        }
        Ok(())
    }
}

impl Line {
    fn hang_up(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.shut_down();
        }
    }
}

impl Manager {
    fn new(config: ElectionConfig, outbox: Sender<ElectionOutput>) -> Shared {
        let line = |peer| Line {
            pair: Pair::new(config.id, peer),
            socket: None,
            waker: None,
            pause: PAUSE_MIN,
        };
        let peers = config.book.members().filter(|peer| *peer != config.id);
        let lines = peers.map(|peer| (peer, line(peer))).collect();
        let listening = config.listening.into_iter();
        Rc::new(RefCell::new(Self {
            id: config.id,
            hello: InitialMessage::v1(config.id, config.address).to_bytes(),
            connect_timeout: config.connect_timeout,
            handshake_timeout: config.handshake_timeout,
            lines,
            listeners: listening.map(|fd| Rc::new(Listener::new(fd))).collect(),
            callers: VecDeque::new(),
            outbox,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            generations: 0,
            refused: 0,
            stopping: false,
            book: config.book,
        }))
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.listeners.drain(..).for_each(|listener| listener.shut_down());
        self.callers.iter().filter_map(Weak::upgrade).for_each(|socket| socket.shut_down());
        self.lines.values_mut().for_each(Line::hang_up);
    }

    fn admit_caller(&mut self, socket: &Rc<Socket>) {
        self.callers.retain(|caller| caller.strong_count() > 0);
        if self.callers.len() >= CALLERS_MAX
            && let Some(oldest) = self.callers.pop_front().and_then(|caller| caller.upgrade())
        {
            oldest.shut_down();
        }
        self.callers.push_back(Rc::downgrade(socket));
    }

    /// A caller that does not give up would fill the log.
    fn refuse(&mut self, from: IpAddr, refusal: &Refusal) {
        self.refused += 1;
        if self.refused.is_power_of_two() && !self.stopping {
            let count = self.refused;
            tracing::warn!("refused {count} election connections, now from {from}: {refusal}");
        }
    }

    fn dials(&self, peer: ServerId) -> bool {
        self.lines.get(&peer).is_some_and(|line| line.pair.dials())
    }

    fn failed(&mut self, peer: ServerId, error: &io::Error) {
        let Some(line) = self.lines.get_mut(&peer) else { return };
        if line.pair.failed() {
            tracing::info!("cannot reach the election port of server {peer}: {error}");
            self.outbox.send(ElectionOutput::Down { peer });
        }
    }

    /// Begins the pause after an attempt; the next one is twice as long.
    fn pause(&mut self, peer: ServerId) -> Option<(u32, Duration)> {
        let line = self.lines.get_mut(&peer)?;
        let duration = line.pause;
        line.pause = PAUSE_MAX.min(2 * duration);
        Some((line.pair.attempted(), duration))
    }

    fn resume(&mut self, peer: ServerId, pause: u32) -> bool {
        !self.stopping && self.lines.get_mut(&peer).is_some_and(|line| line.pair.paused(pause))
    }

    /// Sends and receives until there is nothing to do. An error is the end of the connection.
    fn poll(
        &mut self,
        peer: ServerId,
        generation: Generation,
        wire: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { lines, scratch, outbox, .. } = self;
        let line = lines.get_mut(&peer).filter(|line| line.pair.is_current(generation));
        let Some(line) = line else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        while let Poll::Ready(sent) = wire.poll_send(cx) {
            sent?;
            let Some(message) = line.pair.take_unsent() else { break };
            (wire.sending, wire.sent) = (message, 0);
        }
        line.waker = Some(cx.waker().clone());
        wire.take_messages(|payload| receive(peer, payload, outbox))?;
        let count = std::task::ready!(wire.socket.poll_receive(cx, scratch))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        wire.received.extend_from_slice(&scratch[..count]);
        Poll::Ready(Ok(()))
    }

    /// A connection is over. `true`: the peer is to be dialled.
    fn ended(&mut self, peer: ServerId, generation: Generation, end: &io::Error) -> bool {
        let stopping = self.stopping;
        let line = self.lines.get_mut(&peer).filter(|line| line.pair.is_current(generation));
        let Some(line) = line else { return false };
        line.hang_up();
        line.pair.disconnect();
        if line.pair.failed() && !stopping {
            tracing::info!("the election connection to server {peer} ended: {end}");
            self.outbox.send(ElectionOutput::Down { peer });
        }
        !stopping && line.pair.dial_if_needed()
    }
}

/// Hands on what can be read; what cannot is ignored, as by Apache.
fn receive(from: ServerId, payload: &[u8], outbox: &Sender<ElectionOutput>) {
    let notification = match Notification::from_bytes(payload) {
        Ok(notification) => notification,
        Err(error) => return tracing::debug!("from server {from}: {error}"),
    };
    if outbox.waiting() >= RECEIVED_MAX {
        return tracing::debug!("a vote of server {from} is dropped, {RECEIVED_MAX} wait");
    }
    let Notification { state, vote, version, config } = notification;
    let config = config.map(|text| Cow::Owned(text.into_owned()));
    let notification = Notification { state, vote, version, config };
    outbox.send(ElectionOutput::Received { from, notification });
}

#[cfg(test)]
#[path = "election_link_tests.rs"]
mod tests;
