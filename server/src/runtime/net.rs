//! Sockets: accept, receive what is there, send what fits, wait for the rest.
//!
//! Sending is direct: whoever has bytes calls [`Socket::send`] from any task of the core, and only
//! when the socket is full does the connection's own task wait for room. Receiving goes through a
//! buffer that the caller lends, so an idle connection holds none.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::{AcceptedTcpStream, TcpListener, TcpStream};
use rustix::net::{self, SendFlags};

/// A listening socket on this core.
#[derive(Debug)]
pub struct Listener(TcpListener);

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
        // SAFETY: the descriptor is given up here, so the listener is its only owner.
        Self(unsafe { TcpListener::from_raw_fd(fd.into_raw_fd()) })
    }

    /// Waits for the next connection; it may be taken to any core.
    ///
    /// # Errors
    /// Those of accept; most of them (no descriptor left, peer gone) pass.
    pub async fn accept(&self) -> io::Result<Accepted> {
        Ok(Accepted(self.0.shared_accept().await?))
    }
}

/// A connection that has no core yet.
#[derive(Debug)]
pub struct Accepted(AcceptedTcpStream);

/// One client's connection on this core.
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
        let stream = self.0.borrow();
        // SAFETY: the stream is borrowed until the end of this function, so its descriptor is open.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        match net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(Sent::Full),
            Err(error) => Err(error.into()),
        }
    }
}
