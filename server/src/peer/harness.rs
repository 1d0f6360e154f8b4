//! What the tests of both ports need: bound ports, members, hostile callers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use menagerie_wire::ServerId;
use menagerie_wire::address::Host;
use menagerie_wire::quorum_config::PeerAddress;

use crate::runtime::clock::within;
use crate::runtime::mailbox::Receiver;
use crate::runtime::net;
use crate::runtime::offload::offload;

/// Far above anything a loaded machine needs; only a test that fails waits so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The next message, which is to come.
pub(super) async fn next<T>(mail: &Receiver<T>) -> T {
    let filled = async {
        loop {
            if let Some(message) = mail.try_receive() {
                return message;
            }
            mail.filled().await;
        }
    };
    within(PATIENCE, filled).await.expect("nothing came")
}

/// A free port on loopback, with its listener.
pub(super) fn listening() -> (OwnedFd, SocketAddr) {
    net::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 64).unwrap()
}

/// A member on loopback.
pub(super) fn member(
    id: i64,
    quorum_port: u16,
    election_port: u16,
) -> (ServerId, Vec<PeerAddress>) {
    let host = Host::new("127.0.0.1").unwrap();
    (ServerId(id), vec![PeerAddress { host, quorum_port, election_port }])
}

/// Calls, says `words`, and waits for the other side to hang up.
pub(super) async fn says_and_is_cut_off(to: SocketAddr, words: Vec<u8>) {
    let hung_up = offload("hostile", move || {
        let mut caller = TcpStream::connect(to).unwrap();
        caller.set_read_timeout(Some(PATIENCE)).unwrap();
        // The other side may hang up in the middle of it.
        let _ = caller.write_all(&words);
        // Then the end, or a reset when words were left unread.
        let end = caller.read_to_end(&mut Vec::new());
        end.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
    });
    assert!(hung_up.await.unwrap());
}
