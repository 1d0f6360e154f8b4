//! Sockets: accept, receive what is there, send what fits, wait for the rest.
//!
//! Sending is direct: whoever has bytes calls [`Socket::send`] from any task of the core, and only
//! when the socket is full does the connection's own task wait for room. Receiving goes through a
//! buffer that the caller lends, so an idle connection holds none.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpStream as Dial};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::{AcceptedTcpStream, TcpListener, TcpStream};
use rustix::net::{self, SendFlags, Shutdown};

/// A listening socket on this core.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    /// The listener's, which does not tell it.
    fd: RawFd,
}

/// Binds and listens; the address tells the port that was really taken.
///
/// # Errors
/// Those of socket, bind and listen: the address is taken, or is not this host's.
pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let family =
        if address.is_ipv4() { net::AddressFamily::INET } else { net::AddressFamily::INET6 };
    let flags = net::SocketFlags::CLOEXEC;
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
    pub fn new(fd: OwnedFd) -> Self {
        let fd = fd.into_raw_fd();
        // SAFETY: the descriptor is given up here, so the listener is its only owner.
        let listener = unsafe { TcpListener::from_raw_fd(fd) };
        Self { listener, fd }
    }

    /// Waits for the next connection; it may be taken to any core.
    ///
    /// # Errors
    /// Those of accept; most of them (no descriptor left, peer gone) pass.
    pub async fn accept(&self) -> io::Result<Accepted> {
        Ok(Accepted(self.listener.shared_accept().await?))
    }

    /// Ends listening: a task that waits in [`Self::accept`] gets an error, and nobody is accepted
    /// any more.
    pub fn shut_down(&self) {
        // SAFETY: the listener is borrowed until the end of this function, so its descriptor is
        // open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        // There is nothing to do about a socket that is no longer there.
        let _ = net::shutdown(fd, Shutdown::Both);
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
pub struct Accepted(AcceptedTcpStream);

/// One connection on this core.
#[derive(Debug)]
pub struct Socket(RefCell<TcpStream>);

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
        let stream = accepted.0.bind_to_executor();
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok((Self(RefCell::new(stream)), peer))
    }

    /// Takes a dialled connection to this core.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn from_dialled(dialled: Dialled) -> io::Result<Self> {
        dialled.0.set_nodelay(true)?;
        // SAFETY: the descriptor is given up here, so the stream is its only owner.
        let stream = unsafe { TcpStream::from_raw_fd(dialled.0.into_raw_fd()) };
        Ok(Self(RefCell::new(stream)))
    }

    /// Breaks the connection when the peer's host acknowledges nothing for so long, instead of the
    /// quarter of an hour that the kernel takes.
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn set_unacknowledged_max(&self, wait: Duration) -> io::Result<()> {
        let ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        self.with_fd(|fd| Ok(net::sockopt::set_tcp_user_timeout(fd, ms)?))
    }

    /// Ends the connection in both directions: whoever waits on it is woken.
    pub fn shut_down(&self) {
        // There is nothing to do about a connection that is no longer there.
        let _ = self.with_fd(|fd| net::shutdown(fd, Shutdown::Both));
    }

    fn with_fd<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        let stream = self.0.borrow();
        // SAFETY: the stream is borrowed until the end of this function, so its descriptor is open.
        call(unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) })
    }

    /// Receives into `buffer`; `Ready(Ok(0))` is the peer's end.
    pub fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buffer)
    }

    /// Sends from `bytes`, waiting for room.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    /// Sends what the socket takes at once.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Sent> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match self.with_fd(|fd| net::send(fd, bytes, flags)) {
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(Sent::Full),
            Err(error) => Err(error.into()),
        }
    }
}
