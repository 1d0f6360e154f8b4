//! The servers that a transcript is replayed against: one, or an ensemble of three.
//!
//! In the transcript of an ensemble the first letter of a connection's name says whose client it
//! is: L the leader's, F and G the two followers'. Who leads is found out by asking.

use crate::polling::poll;
use crate::raw_client::{four_letter, value_of};
use std::net::SocketAddr;
use std::time::Duration;

/// For a follower to get what the leader has committed.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(10);

/// Where each connection of a transcript leads to.
#[derive(Debug)]
pub enum Servers {
    One(SocketAddr),
    Three { leader: SocketAddr, followers: [SocketAddr; 2] },
}

impl Servers {
    /// One server, or three in the order of their ids. They serve already.
    ///
    /// # Panics
    /// When they are neither one, nor a leader with two followers.
    #[must_use]
    pub fn new(addresses: &[SocketAddr]) -> Self {
        if let [one] = addresses {
            return Self::One(*one);
        }
        let with = |mode| -> Vec<SocketAddr> {
            addresses.iter().copied().filter(|address| line(*address, "Mode:") == mode).collect()
        };
        let (leaders, followers) = (with("leader"), with("follower"));
        let ([leader], [one, other]) = (leaders.as_slice(), followers.as_slice()) else {
            panic!("{leaders:?} lead and {followers:?} follow");
        };
        Self::Three { leader: *leader, followers: [*one, *other] }
    }

    /// The server that the connection named `conn` leads to.
    pub(super) fn of(&self, conn: &str) -> SocketAddr {
        match self {
            Self::One(address) => *address,
            Self::Three { leader, followers } => match conn.as_bytes().first() {
                Some(b'L') => *leader,
                Some(b'F') => followers[0],
                Some(b'G') => followers[1],
                _ => panic!("connection {conn} names no server: L, F or G"),
            },
        }
    }

    /// Waits until all servers have got as far as the leader: the capture left time for that
    /// between any two steps, and what a follower answers would depend on it.
    pub(super) fn settle(&self) {
        let Self::Three { leader, followers } = self else { return };
        let agreement = poll(SETTLING_TIME_MAX, || {
            let zxid = line(*leader, "Zxid:");
            // A leader begins with the zxid of its epoch, which is no transaction's.
            let nothing_yet = zxid.ends_with("00000000");
            let agree = || followers.iter().all(|follower| line(*follower, "Zxid:") == zxid);
            (nothing_yet || agree()).then_some(())
        });
        agreement.unwrap_or_else(|| panic!("no agreement within {SETTLING_TIME_MAX:?}"));
    }
}

/// What stands behind `key` in a server's answer to `srvr`.
fn line(address: SocketAddr, key: &str) -> String {
    let text = four_letter(address, "srvr").expect("the server answers srvr");
    let value = value_of(&text, key);
    value.unwrap_or_else(|| panic!("{address} says no {key:?}: {text}")).to_owned()
}
