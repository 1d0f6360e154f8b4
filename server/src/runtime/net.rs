//! Sockets: accept, receive what is there, send what fits, wait for the rest.
//!
//! Sending is direct: whoever has bytes calls [`Socket::send`] from any task of the core, and only
//! when the socket is full does the connection's own task wait for room. Receiving goes through a
//! buffer that the caller lends, so an idle connection holds none.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream as Dial};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{self, RecvFlags, SendFlags, Shutdown, SocketFlags};

use super::readiness::Watched;

const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// A listening socket on this core.
pub struct Listener(Watched);

/// Binds and listens; the address tells the port that was really taken. Accepting does not block.
///
/// # Errors
/// Those of socket, bind and listen: the address is taken, or is not this host's.
pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let family =
        if address.is_ipv4() { net::AddressFamily::INET } else { net::AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = net::socket_with(family, net::SocketType::STREAM, flags, None)?;
    net::sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        // "All interfaces" means IPv4 ones too, as it does for Java.
        net::sockopt::set_ipv6_v6only(&fd, false)?;
    }
    net::bind(&fd, &address)?;
    net::listen(&fd, backlog)?;
    let bound = net::getsockname(&fd)?;
    let bound = SocketAddr::try_from(bound).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
    Ok((fd, bound))
}

impl Listener {
    /// Takes the listening socket to this core.
    pub const fn new(fd: OwnedFd) -> Self {
        Self(Watched::new(fd))
    }

    /// Waits for the next connection; it may be taken to any core.
    ///
    /// # Errors
    /// Those of accept; most of them (no descriptor left, peer gone) pass.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let accept = |fd: &OwnedFd| Ok((net::accept_with(fd, SocketFlags::CLOEXEC)?, false));
        poll_fn(|cx| self.0.poll_read(cx, accept)).await.map(Accepted)
    }

    /// Ends listening: a task that waits in [`Self::accept`] gets an error, and nobody is accepted
    /// any more.
    pub fn shut_down(&self) {
        // There is nothing to do about a socket that is no longer there.
        let _ = net::shutdown(self.0.fd(), Shutdown::Both);
    }
}

/// Connects to the first of `addresses` that answers. Blocks: for a thread of its own
/// ([`super::offload`]), never for a core.
///
/// # Errors
/// The last address's, or `NotFound` without one.
pub fn dial(addresses: &[SocketAddr], timeout: Duration) -> io::Result<Dialled> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match Dial::connect_timeout(address, timeout) {
            Ok(stream) => return Ok(Dialled(stream)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A connection that was dialled and has no core yet.
#[derive(Debug)]
pub struct Dialled(Dial);

/// A connection that has no core yet.
#[derive(Debug)]
pub struct Accepted(OwnedFd);

/// One connection on this core.
pub struct Socket(Watched);

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Bytes(usize),
    /// The socket takes no more now.
    Full,
}

impl Socket {
    /// Takes an accepted connection to this core, and tells where it comes from.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn new(accepted: Accepted) -> io::Result<(Self, SocketAddr)> {
        let fd = accepted.0;
        net::sockopt::set_tcp_nodelay(&fd, true)?;
        let peer = net::getpeername(&fd)?.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.ok_or(io::ErrorKind::NotConnected)?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok((Self(Watched::new(fd)), peer))
    }

    /// Takes a dialled connection to this core.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn from_dialled(dialled: Dialled) -> io::Result<Self> {
        dialled.0.set_nodelay(true)?;
        Ok(Self(Watched::new(dialled.0.into())))
    }

    /// Breaks the connection when the peer's host acknowledges nothing for so long, instead of the
    /// quarter of an hour that the kernel takes.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn set_unacknowledged_max(&self, wait: Duration) -> io::Result<()> {
        let ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        Ok(net::sockopt::set_tcp_user_timeout(self.0.fd(), ms)?)
    }

    /// Ends the connection in both directions: whoever waits on it is woken.
    pub fn shut_down(&self) {
        // There is nothing to do about a connection that is no longer there.
        let _ = net::shutdown(self.0.fd(), Shutdown::Both);
    }

    /// Receives into `buffer`; `Ready(Ok(0))` is the peer's end.
    pub fn poll_receive(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, |fd| {
            let (count, _) = net::recv(fd, &mut *buffer, RecvFlags::DONTWAIT)?;
            // Less than there is comes only before an urgent byte, which no client sends: one that
            // does waits for its own next bytes.
            Ok((count, count < buffer.len()))
        })
    }

    /// Sends from `bytes`, waiting for room.
    pub fn poll_send(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, |fd| Ok(net::send(fd, bytes, SEND_FLAGS)?))
    }

    /// Sends what the socket takes at once.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Sent> {
        match net::send(self.0.fd(), bytes, SEND_FLAGS) {
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(Sent::Full),
            Err(error) => Err(error.into()),
        }
    }
}
