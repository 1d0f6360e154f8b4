//! The quorum port: a leader's door, a learner's dialling, and the links that come of both.
//!
//! One task takes commands and writes what a batch of them leaves to each link in one go; each link
//! has a task that waits for its socket; one looks at the clock. The door is open only on command:
//! a server that does not lead refuses learners by not listening. A caller becomes a link when it
//! has said, in a packet of a few bytes, that it is a member, from one of the member's addresses;
//! nobody above hears of the others.
//!
//! What is queued for a link is bounded, as is what has come from it and is not looked at, and how
//! long a peer may take nothing or say nothing. The answer to "too slow" is the link's end, told
//! once; who is too fast is not read for a while. A closed link's number never returns.
//!
//! Not here: what packets mean (`replication`), TLS, SASL.
//! Facts: ZooKeeper `Leader.LearnerCnxAcceptor`, `LearnerHandler`, `Learner.connectToLeader`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use menagerie_replication::Link;
use menagerie_wire::quorum::QuorumPacket;
use menagerie_wire::{Encode, ServerId};

use super::address_book::{AddressBook, Port};
use super::callers::Callers;
pub use super::connection::Closed;
use super::connection::{Connection, ConnectionLimits, Happened};
use super::introduction::{Caller, Doorkeeper};
pub use super::learner_message::{LearnerInput, LearnerLinkConfig, LearnerOutput};
use crate::runtime::clock::{monotonic_ms, sleep, within};
use crate::runtime::mailbox::{Receiver, Sender};
use crate::runtime::net::{self, Accepted, Dialled, Listener, Socket};
use crate::runtime::offload::offload;
use crate::runtime::{spawn, yield_if_needed};

/// Bytes received in one go, for all links.
const SCRATCH_BYTES: usize = 64 << 10;
/// Learners that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How often the clock is looked at: the grain of every timeout here.
const TICK: Duration = Duration::from_millis(50);
/// When a look at the clock is so late, this process stood still: what peers said meanwhile is read
/// before their silence is judged, at the next look.
const LATE_MS: u64 = 500;
/// After an accept that failed, usually for want of descriptors.
const PAUSE_AFTER_ACCEPT: Duration = Duration::from_millis(50);

struct Shared {
    config: LearnerLinkConfig,
    doorkeeper: Doorkeeper,
    limits: ConnectionLimits,
    links: BTreeMap<Link, Connection>,
    numbered: u64,
    listeners: Vec<Rc<Listener>>,
    callers: Callers,
    outbox: Sender<LearnerOutput>,
    scratch: Box<[u8]>,
    stopping: bool,
}

type Quorum = Rc<RefCell<Shared>>;

/// Keeps the port until it is told to stop.
pub async fn run(
    config: LearnerLinkConfig,
    inbox: Receiver<LearnerInput>,
    outbox: Sender<LearnerOutput>,
) {
    let quorum = Shared::new(config, outbox);
    spawn(watch_the_clock(Rc::clone(&quorum)));
    let mut touched = Vec::new();
    while !quorum.borrow().stopping {
        inbox.filled().await;
        while let Some(input) = inbox.try_receive() {
            match input {
                LearnerInput::Listen => open_door(&quorum),
                LearnerInput::Connect { leader } => spawn(dial(Rc::clone(&quorum), leader)),
                input => touched.extend(quorum.borrow_mut().obey(input)),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let mut quorum = quorum.borrow_mut();
        touched.drain(..).for_each(|link| quorum.with(link, Connection::flush));
    }
}

async fn watch_the_clock(quorum: Quorum) {
    let (mut last_ms, mut listens) = (monotonic_ms(), false);
    while !quorum.borrow().stopping {
        sleep(TICK).await;
        let mut quorum = quorum.borrow_mut();
        let now_ms = monotonic_ms();
        listens = now_ms - std::mem::replace(&mut last_ms, now_ms) > LATE_MS && !listens;
        if listens {
            continue;
        }
        let links: Vec<_> = quorum.links.keys().copied().collect();
        links.into_iter().for_each(|link| quorum.with(link, |link| link.check(now_ms)));
    }
}

fn open_door(quorum: &Quorum) {
    quorum.borrow_mut().close_door();
    let listen = quorum.borrow().config.listen.clone();
    let bound = listen.into_iter().map(|address| net::bind(address, BACKLOG));
    let (fds, addresses): (Vec<_>, Vec<_>) = match bound.collect::<io::Result<Vec<_>>>() {
        Ok(bound) => bound.into_iter().unzip(),
        Err(error) => return quorum.borrow().outbox.send(LearnerOutput::CannotListen { error }),
    };
    let listeners: Vec<_> = fds.into_iter().map(|fd| Rc::new(Listener::new(fd))).collect();
    {
        let mut quorum = quorum.borrow_mut();
        quorum.listeners = listeners.clone();
        quorum.outbox.send(LearnerOutput::Listening { addresses });
    }
    for listener in listeners {
        spawn(listen_on(Rc::clone(quorum), listener));
    }
}

async fn listen_on(quorum: Quorum, listener: Rc<Listener>) {
    loop {
        let accepted = listener.accept().await;
        let is_open = quorum.borrow().listeners.iter().any(|open| Rc::ptr_eq(open, &listener));
        match accepted {
            _ if !is_open => return,
            Ok(accepted) => spawn(answer(Rc::clone(&quorum), accepted)),
            Err(error) => {
                tracing::warn!("cannot accept learners: {error}");
                sleep(PAUSE_AFTER_ACCEPT).await;
            }
        }
    }
}

/// Finds out who calls, and makes a link of it.
async fn answer(quorum: Quorum, accepted: Accepted) {
    let Ok((socket, from)) = Socket::new(accepted) else { return };
    let socket = Rc::new(socket);
    quorum.borrow_mut().callers.admit(&socket);
    let doorkeeper = quorum.borrow().doorkeeper.clone();
    match doorkeeper.quorum(&socket, from.ip()).await {
        Ok(Caller { id: from, early }) => {
            quorum.borrow_mut().callers.know(&socket);
            // Closed in the meantime: nobody is to hear of this link.
            if !quorum.borrow().listeners.is_empty() {
                join(&quorum, socket, early, |link| LearnerOutput::Accepted { link, from });
            }
        }
        Err(refusal) => quorum.borrow_mut().callers.refuse("quorum", from.ip(), &refusal),
    }
}

/// Tries to reach the leader, once.
async fn dial(quorum: Quorum, leader: ServerId) {
    let config = quorum.borrow().config.clone();
    let reached = reach(&config.book, leader, config.connect_timeout);
    let dialled = within(config.dial_timeout, reached).await;
    let dialled = dialled.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
    if quorum.borrow().stopping {
        return;
    }
    match dialled.and_then(Socket::from_dialled) {
        Ok(socket) => {
            let output = |link| LearnerOutput::Connected { leader, link };
            join(&quorum, Rc::new(socket), Vec::new(), output);
        }
        Err(error) => {
            quorum.borrow().outbox.send(LearnerOutput::CannotConnect { leader, error });
        }
    }
}

async fn reach(book: &Arc<AddressBook>, leader: ServerId, each: Duration) -> io::Result<Dialled> {
    let book = Arc::clone(book);
    let attempt = move || net::dial(&book.resolve(leader, Port::Quorum)?, each);
    offload("dial-leader", attempt).await?
}

/// Numbers a link, tells of it, and keeps it.
fn join(
    quorum: &Quorum,
    socket: Rc<Socket>,
    early: Vec<u8>,
    output: impl FnOnce(Link) -> LearnerOutput,
) {
    let id = {
        let mut quorum = quorum.borrow_mut();
        quorum.numbered += 1;
        let id = Link(quorum.numbered);
        let link = Connection::new(socket, early, quorum.limits, quorum.config.init_timeout);
        quorum.links.insert(id, link);
        quorum.outbox.send(output(id));
        id
    };
    let quorum = Rc::clone(quorum);
    spawn(async move {
        while poll_fn(|cx| quorum.borrow_mut().poll_link(id, cx)).await {
            yield_if_needed().await;
        }
    });
}

impl Shared {
    fn new(config: LearnerLinkConfig, outbox: Sender<LearnerOutput>) -> Quorum {
        let (packet_max, waiting_max) = (config.packet_bytes_max, config.waiting_bytes_max);
        assert!(waiting_max > packet_max, "{waiting_max} bytes have no room for a packet");
        let stuck_ms = config.stuck_timeout.as_millis();
        let limits = ConnectionLimits {
            packet_bytes_max: packet_max,
            waiting_bytes_max: waiting_max,
            stuck_ms_max: u64::try_from(stuck_ms).unwrap_or(u64::MAX),
        };
        let (book, ours, timeout) = (Arc::clone(&config.book), config.id, config.init_timeout);
        Rc::new(RefCell::new(Self {
            config,
            doorkeeper: Doorkeeper { book, ours, timeout },
            limits,
            links: BTreeMap::new(),
            numbered: 0,
            listeners: Vec::new(),
            callers: Callers::default(),
            outbox,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            stopping: false,
        }))
    }

    /// Carries out what needs no waiting; the answer is the link that has something to send.
    fn obey(&mut self, input: LearnerInput) -> Option<Link> {
        match input {
            LearnerInput::Listen | LearnerInput::Connect { .. } => unreachable!("done before"),
            LearnerInput::StopListening => self.close_door(),
            LearnerInput::Send { link, packet } => {
                self.with(link, |link| link.send(|out| packet.as_wire().encode(out)));
                return Some(link);
            }
            LearnerInput::SendSnapshot { link, zxid, pieces } => {
                self.with(link, |link| {
                    link.send(|out| QuorumPacket::Snap { zxid }.encode(out))?;
                    link.send_snapshot(pieces);
                    Ok(())
                });
                return Some(link);
            }
            LearnerInput::ReceiveSnapshot { link } => self.tell(link, Connection::begin_stream),
            LearnerInput::PortionTaken { link, behind } => {
                self.tell(link, |link| link.portion_taken(behind));
            }
            LearnerInput::Taken { link, bytes } => self.tell(link, |link| link.taken(bytes)),
            LearnerInput::WhenRoom { link } => self.tell(link, Connection::ask_for_room),
            LearnerInput::Close { link } => drop(self.end(link)),
            LearnerInput::Stop => self.stop(),
        }
        None
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.close_door();
        let links: Vec<_> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| drop(self.end(link)));
    }

    fn close_door(&mut self) {
        self.listeners.drain(..).for_each(|listener| listener.shut_down());
        self.callers.hang_up();
    }

    fn tell(&mut self, link: Link, word: impl FnOnce(&mut Connection)) {
        self.with(link, |link| {
            word(link);
            Ok(())
        });
    }

    /// Does something with a link, if there is one; a failure ends it.
    fn with(&mut self, id: Link, act: impl FnOnce(&mut Connection) -> Result<(), Closed>) {
        if let Some(link) = self.links.get_mut(&id)
            && let Err(reason) = act(link)
        {
            self.lose(id, reason);
        }
    }

    fn lose(&mut self, link: Link, reason: Closed) {
        if self.end(link).is_some() {
            tracing::info!("quorum connection {}: {reason}", link.0);
            self.outbox.send(LearnerOutput::Closed { link, reason });
        }
    }

    /// Ends a link without a word of it.
    fn end(&mut self, link: Link) -> Option<Connection> {
        let mut link = self.links.remove(&link)?;
        link.socket.shut_down();
        // Its task finds no link any more.
        link.wake();
        Some(link)
    }

    /// `Ready(false)`: there is no such link any more.
    fn poll_link(&mut self, id: Link, cx: &mut Context<'_>) -> Poll<bool> {
        let Self { links, scratch, outbox, .. } = self;
        let Some(link) = links.get_mut(&id) else { return Poll::Ready(false) };
        let turn = link.poll(cx, scratch, |happened| {
            outbox.send(match happened {
                Happened::Received { packet, bytes } => {
                    LearnerOutput::Received { link: id, packet: packet.into(), bytes }
                }
                Happened::Portion(bytes) => LearnerOutput::Portion { link: id, bytes },
                Happened::SnapshotSent => LearnerOutput::SnapshotSent { link: id },
                Happened::Room => LearnerOutput::Room { link: id },
            });
        });
        turn.map(|turn| match turn {
            Ok(()) => true,
            Err(reason) => {
                self.lose(id, reason);
                false
            }
        })
    }
}

#[cfg(test)]
#[path = "learner_link_tests.rs"]
mod tests;
