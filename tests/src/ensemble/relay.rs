//! The network of an ensemble on loopback: for each server and each of its peers one relay, which
//! the server takes for that peer.
//!
//! A server's `zoo.cfg` names its own ports as they are, and a relay of this process in place of
//! each port of each peer. So every connection between two servers passes here, where it is known
//! who speaks to whom, and [`Links`] says what passes. That needs no privileges.
//!
//! Two things a relay must do to stay unseen. A server that is called on its election port by a
//! smaller id hangs up and calls back at the address that the caller *said*: a relay writes another
//! relay's address there. And it cannot refuse a connection, as it has accepted it before it knows
//! whether the peer listens: it tries for a second and then hangs up.

use super::links::Links;
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 64 << 10;
/// What is on its way in one direction of one connection, in chunks.
const CHUNKS_MAX: usize = 256;
/// A peer that begins to listen within this time is reached, as by a client that tries again.
const DIAL_TIME_MAX: Duration = Duration::from_secs(1);
const DIAL_INTERVAL: Duration = Duration::from_millis(20);

/// What a peer listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    Quorum,
    Election,
}

/// From one server to a port of another.
type Way = (u64, u64, Port);

/// All relays of one ensemble.
#[derive(Debug)]
pub struct Relays {
    addresses: Arc<BTreeMap<Way, SocketAddr>>,
    links: Arc<Links>,
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// Closed to end the acceptor.
    running: Option<UnixStream>,
    acceptor: Option<JoinHandle<()>>,
}

/// A connection between two servers, by its two halves.
#[derive(Debug)]
struct Connection {
    dialer: u64,
    dialed: u64,
    streams: [TcpStream; 2],
}

/// What the acceptor knows.
struct Acceptor {
    listeners: Vec<(Way, SocketAddr, TcpListener)>,
    addresses: Arc<BTreeMap<Way, SocketAddr>>,
    links: Arc<Links>,
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
    running: UnixStream,
}

impl Relays {
    /// Listens for every server in place of each of its peers, whose own ports `servers` names.
    ///
    /// # Errors
    /// When a port or a thread cannot be had.
    pub fn start(servers: &BTreeMap<u64, [SocketAddr; 2]>, links: Arc<Links>) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for &from in servers.keys() {
            for (&to, &[quorum, election]) in servers.iter().filter(|(to, _)| **to != from) {
                for (port, address) in [(Port::Quorum, quorum), (Port::Election, election)] {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                    listeners.push(((from, to, port), address, listener));
                }
            }
        }
        let address = |(way, _, listener): &(Way, _, TcpListener)| -> io::Result<_> {
            Ok((*way, listener.local_addr()?))
        };
        let addresses = listeners.iter().map(address).collect::<io::Result<_>>();
        let addresses = Arc::new(addresses?);
        let (running, other_end) = UnixStream::pair()?;
        let open = Arc::new(Mutex::new(Vec::new()));
        let acceptor = Acceptor {
            listeners,
            addresses: Arc::clone(&addresses),
            links: Arc::clone(&links),
            open: Arc::clone(&open),
            running: other_end,
        };
        let acceptor = Some(std::thread::spawn(move || acceptor.run()));
        Ok(Self { addresses, links, open, running: Some(running), acceptor })
    }

    /// What `from` must take for that port of `to`.
    #[must_use]
    pub fn address(&self, from: u64, to: u64, port: Port) -> SocketAddr {
        self.addresses[&(from, to, port)]
    }

    /// Breaks every connection between two servers. They may connect again at once.
    pub fn sever(&self, one: u64, other: u64) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let between = |connection: &Connection| {
            let pair = (connection.dialer, connection.dialed);
            pair == (one, other) || pair == (other, one)
        };
        open.iter().filter_map(Weak::upgrade).filter(|c| between(c)).for_each(|c| c.sever());
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.links.end();
        self.running = None;
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).for_each(|connection| connection.sever());
    }
}

impl Acceptor {
    fn run(self) {
        loop {
            let mut ready = vec![PollFd::new(&self.running, PollFlags::IN)];
            ready.extend(self.listeners.iter().map(|(_, _, l)| PollFd::new(l, PollFlags::IN)));
            if poll(&mut ready, None).is_err() {
                continue;
            }
            if !ready[0].revents().is_empty() {
                return;
            }
            for (index, (way, address, listener)) in self.listeners.iter().enumerate() {
                if ready[index + 1].revents().is_empty() {
                    continue;
                }
                if let Ok((stream, _)) = listener.accept() {
                    let (links, open) = (Arc::clone(&self.links), Arc::clone(&self.open));
                    let addresses = Arc::clone(&self.addresses);
                    let (way, address) = (*way, *address);
                    std::thread::spawn(move || {
                        // An error is the end of this connection, which both ends notice.
                        let _ = carry(stream, way, address, &addresses, &links, &open);
                    });
                }
            }
        }
    }
}

/// Carries one connection, from its start to its end.
fn carry(
    mut dialer: TcpStream,
    (from, to, port): Way,
    address: SocketAddr,
    addresses: &BTreeMap<Way, SocketAddr>,
    links: &Arc<Links>,
    open: &Mutex<Vec<Weak<Connection>>>,
) -> io::Result<()> {
    dialer.set_nodelay(true)?;
    let Some(mut dialed) = dial(from, to, address, links)? else { return Ok(()) };
    dialed.set_nodelay(true)?;
    let streams = [dialer.try_clone()?, dialed.try_clone()?];
    let connection = Arc::new(Connection { dialer: from, dialed: to, streams });
    {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        open.push(Arc::downgrade(&connection));
    }
    if port == Port::Election {
        let first = introduction(&mut dialer, addresses[&(to, from, Port::Election)])?;
        if !links.pass(from, to, Instant::now()) {
            return Ok(());
        }
        dialed.write_all(&first)?;
    }
    let back = {
        let (dialed, dialer) = (dialed.try_clone()?, dialer.try_clone()?);
        let (links, connection) = (Arc::clone(links), Arc::clone(&connection));
        std::thread::spawn(move || pump(dialed, dialer, (to, from), &links, &connection))
    };
    pump(dialer, dialed, (from, to), links, &connection);
    let _ = back.join();
    Ok(())
}

/// Connects to the peer, which may begin to listen a moment later than the other server calls.
fn dial(from: u64, to: u64, address: SocketAddr, links: &Links) -> io::Result<Option<TcpStream>> {
    let mut deadline = None;
    loop {
        // A connection needs both directions.
        if !links.pass(from, to, Instant::now()) || !links.pass(to, from, Instant::now()) {
            return Ok(None);
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + DIAL_TIME_MAX);
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if Instant::now() > deadline => return Err(error),
            // Nobody tells when a port is listened on.
            Err(_) => std::thread::sleep(DIAL_INTERVAL),
        }
    }
}

/// The first message on an election port, with `address` in place of the caller's own.
// ZooKeeper: QuorumCnxManager.InitialMessage
fn introduction(dialer: &mut TcpStream, address: SocketAddr) -> io::Result<Vec<u8>> {
    const PROTOCOL_AND_ID: usize = 16;
    const PROTOCOL: i64 = -65536;
    const ADDRESS_BYTES_MAX: usize = 2048;
    let mut head = [0; PROTOCOL_AND_ID + 4];
    dialer.read_exact(&mut head)?;
    assert!(head.starts_with(&PROTOCOL.to_be_bytes()), "a server introduces itself: {head:?}");
    let [.., a, b, c, d] = head;
    let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).map_err(io::Error::other)?;
    assert!(length <= ADDRESS_BYTES_MAX, "a server's address of {length} bytes");
    dialer.read_exact(&mut vec![0; length])?;
    let text = address.to_string();
    let mut message = head[..PROTOCOL_AND_ID].to_vec();
    message.extend((text.len() as i32).to_be_bytes());
    message.extend(text.as_bytes());
    Ok(message)
}

impl Connection {
    fn sever(&self) {
        for stream in &self.streams {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Carries one direction until its end, and the end itself, as the link lets them pass.
fn pump(
    source: TcpStream,
    mut target: TcpStream,
    (from, to): (u64, u64),
    links: &Links,
    connection: &Connection,
) {
    let (sender, chunks) = sync_channel(CHUNKS_MAX);
    std::thread::scope(|scope| {
        scope.spawn(move || read_all(source, &sender));
        forward_all(&chunks, &mut target, (from, to), links);
        // An end in one direction is the end of both: servers do not half-close.
        connection.sever();
        drop(chunks);
    });
}

fn read_all(mut source: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        // Broken or closed, it is the end, which is carried like bytes.
        let length = source.read(&mut buffer).unwrap_or(0);
        let sent = sender.send((Instant::now(), buffer[..length].to_vec()));
        if sent.is_err() || length == 0 {
            return;
        }
    }
}

fn forward_all(
    chunks: &Receiver<(Instant, Vec<u8>)>,
    target: &mut TcpStream,
    (from, to): (u64, u64),
    links: &Links,
) {
    while let Ok((came, chunk)) = chunks.recv() {
        if !links.pass(from, to, came) || chunk.is_empty() {
            return;
        }
        if target.write_all(&chunk).is_err() {
            // The sender hears of it over the other direction.
            let _ = links.pass(to, from, Instant::now());
            return;
        }
    }
}
