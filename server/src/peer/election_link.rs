//! The election port: one connection to each other member, and votes on it.
//!
//! Tasks on one core: one accepts, one per caller who has not said who it is, one per connection in
//! force, one per attempt to dial. Each connection is judged by `pairing.rs`. Hostile bytes end the
//! connection that they came on and nothing else: a caller has to show a member's id and address
//! before it touches the pair, and in limited time.
//!
//! Not here: what votes mean (`replication`), TLS, SASL.
//! Facts: ZooKeeper `QuorumCnxManager`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use menagerie_wire::address::HostPort;
use menagerie_wire::frame;
use menagerie_wire::notification::{InitialMessage, Notification};
use menagerie_wire::{Encode, ServerId};

use super::address_book::{AddressBook, Port};
use super::callers::Callers;
use super::election_wire::Wire;
use super::introduction::{Caller, Doorkeeper};
use super::pairing::{Generation, Message, Pair};
use crate::runtime::clock::sleep;
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::net::{self, Accepted, Dialled, Listener, Socket};
use crate::runtime::offload::offload;
use crate::runtime::{spawn, yield_if_needed};

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

/// A pair, and the socket that joins it.
struct Line {
    pair: Pair,
    socket: Option<Rc<Socket>>,
    /// The connection's task, which waits for something to send.
    waker: Option<Waker>,
    pause: Duration,
}

struct Manager {
    doorkeeper: Doorkeeper,
    hello: Vec<u8>,
    connect_timeout: Duration,
    lines: BTreeMap<ServerId, Line>,
    listeners: Vec<Rc<Listener>>,
    callers: Callers,
    outbox: Sender<ElectionOutput>,
    scratch: Box<[u8]>,
    generations: u64,
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
    manager.borrow_mut().callers.admit(&socket);
    let doorkeeper = manager.borrow().doorkeeper.clone();
    match doorkeeper.election(&socket, from.ip()).await {
        Ok(caller) => meet(&manager, socket, caller),
        Err(refusal) => {
            manager.borrow_mut().callers.refuse("election", from.ip(), &refusal);
        }
    }
}

/// A member has called: its connection stays if its id is the larger, else it is dialled back.
// ZooKeeper: QuorumCnxManager.handleConnection. The address in the message is not trusted.
fn meet(manager: &Shared, socket: Rc<Socket>, caller: Caller) {
    let Caller { id: peer, early } = caller;
    let mut manager_now = manager.borrow_mut();
    if manager_now.stopping {
        return;
    }
    manager_now.callers.know(&socket);
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
        (Arc::clone(&manager.doorkeeper.book), manager.connect_timeout)
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
    if line.pair.adopt(generation) {
        manager_now.outbox.send(ElectionOutput::Up { peer });
    }
    drop(manager_now);
    spawn(converse(Rc::clone(manager), peer, generation, Wire::new(socket, early)));
}

/// Speaks and listens on a connection for as long as it is in force.
async fn converse(manager: Shared, peer: ServerId, generation: Generation, mut wire: Wire) {
    let end = loop {
        let turn = poll_fn(|cx| manager.borrow_mut().poll(peer, generation, &mut wire, cx)).await;
        if let Err(end) = turn {
            break end;
        }
        yield_if_needed().await;
    };
    let dials = manager.borrow_mut().ended(peer, generation, &end);
    if dials {
        spawn(dial(manager, peer));
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
            doorkeeper: Doorkeeper {
                book: config.book,
                ours: config.id,
                timeout: config.handshake_timeout,
            },
            hello: InitialMessage::v1(config.id, config.address).to_bytes(),
            connect_timeout: config.connect_timeout,
            lines,
            listeners: listening.map(|fd| Rc::new(Listener::new(fd))).collect(),
            callers: Callers::default(),
            outbox,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            generations: 0,
            stopping: false,
        }))
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.listeners.drain(..).for_each(|listener| listener.shut_down());
        self.callers.hang_up();
        self.lines.values_mut().for_each(Line::hang_up);
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
        let Line { pair, waker, pause, .. } = line;
        *waker = Some(cx.waker().clone());
        wire.poll(cx, pair, scratch, |notification| {
            // Only now: a peer may hang up on us without a word, again and again.
            *pause = PAUSE_MIN;
            if outbox.waiting() < RECEIVED_MAX {
                outbox.send(ElectionOutput::Received { from: peer, notification });
            } else {
                tracing::debug!("a vote of server {peer} is dropped: {RECEIVED_MAX} wait");
            }
        })
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

#[cfg(test)]
#[path = "election_link_tests.rs"]
mod tests;
