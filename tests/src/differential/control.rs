//! The runner's own session on a server: it makes the root node of a run, compares what the run
//! left behind, and sweeps it away.
//!
//! It is authenticated as super, so that no ACL made by a script is in its way.

use super::lane::{Lane, Received};
use super::script::{AclEntry, Field, Meaning, Opening, Request, framed};
use super::view::Header;
use menagerie_wire::jute::{Put as _, Reader};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The auth data that makes a connection super.
pub const SUPER: &str = "super:secret";
/// What the servers are configured with: the user, and the base64 of the SHA-1 of [`SUPER`].
pub const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
pub const REPLY_TIME_MAX: Duration = Duration::from_secs(10);

/// A connected session with all rights.
#[derive(Debug)]
pub struct Control {
    lane: Lane,
    xid: i32,
    session: i64,
    passwd: Vec<u8>,
}

/// A reply with a body.
#[derive(Clone, Debug)]
pub struct Reply {
    pub header: Header,
    pub frame: Vec<u8>,
}

impl Reply {
    #[must_use]
    pub fn body(&self) -> Reader<'_> {
        Reader::new(&self.frame[16..])
    }
}

impl Control {
    /// # Errors
    /// When the server does not take the session or the identity.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::connect_having_seen(address, 0)
    }

    /// As a client that was told `last_zxid` by another connection.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_having_seen(address: SocketAddr, last_zxid: i64) -> io::Result<Self> {
        Self::claim(address, last_zxid, 0, &[0; 16])
    }

    /// The same session on a new connection, after its server was restarted.
    ///
    /// # Errors
    /// As [`Self::connect`], and when the session is gone.
    pub fn resumed(&self, address: SocketAddr) -> io::Result<Self> {
        let resumed = Self::claim(address, 0, self.session, &self.passwd)?;
        if resumed.session == self.session {
            return Ok(resumed);
        }
        Err(io::Error::other("the session of the control connection did not outlive a restart"))
    }

    fn claim(address: SocketAddr, last_zxid: i64, id: i64, passwd: &[u8]) -> io::Result<Self> {
        let mut lane = Lane::connect(address)?;
        lane.send(&connect_request(&Opening::new(), last_zxid, id, passwd));
        let session = session_of(&lane.receive(REPLY_TIME_MAX));
        let Some((session, passwd)) = session else {
            return Err(io::Error::other("no session for the control connection"));
        };
        let mut control = Self { lane, xid: 0, session, passwd };
        let scheme = Field::Text(Some("digest".to_owned()));
        let auth = vec![Field::Int(0), scheme, Field::Data(Some(SUPER.into()))];
        control.call(100, auth)?;
        Ok(control)
    }

    /// Asks one request and waits for its reply.
    ///
    /// # Errors
    /// When the connection ends or nothing comes.
    pub fn call(&mut self, op: i32, fields: Vec<Field>) -> io::Result<Reply> {
        self.xid += 1;
        let meaning = Meaning { root: "$", seen_zxid: 0 };
        self.lane.send(&Request::new(op, fields).frame(self.xid, meaning));
        let Received::Frame(frame) = self.lane.receive(REPLY_TIME_MAX) else {
            return Err(io::Error::other("the server left the control connection unanswered"));
        };
        let header =
            Header::of(&frame).ok_or_else(|| io::Error::other("a reply without header"))?;
        Ok(Reply { header, frame })
    }

    /// Makes a node that anyone may use and returns the zxid that made it.
    ///
    /// # Errors
    /// As [`Self::call`], and when the node cannot be made.
    pub fn create(&mut self, path: &str) -> io::Result<i64> {
        let anyone = Field::Acl(Some(vec![AclEntry::anyone()]));
        let reply = self.call(1, vec![text(path), Field::Data(None), anyone, Field::Int(0)])?;
        match reply.header.err {
            0 => Ok(reply.header.zxid),
            err => Err(io::Error::other(format!("create {path}: error {err}"))),
        }
    }

    /// Names of the children of `path`, sorted; none when it is missing.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn children(&mut self, path: &str) -> io::Result<Vec<String>> {
        let reply = self.call(8, vec![text(path), Field::Byte(0)])?;
        if reply.header.err != 0 {
            return Ok(Vec::new());
        }
        let names = reply.body().vector::<std::borrow::Cow<'_, str>>();
        let names = names.map_err(io::Error::other)?.unwrap_or_default();
        let mut names: Vec<_> = names.into_iter().map(std::borrow::Cow::into_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Deletes what lies under `path`, and `path` itself.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        for name in self.children(path)? {
            self.remove(&join(path, &name))?;
        }
        self.call(2, vec![text(path), Field::Int(-1)]).map(drop)
    }

    /// Deletes what scripts can make outside of their root, and gives the special nodes their
    /// first data and ACL back.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn sweep(&mut self, shared: bool) -> io::Result<()> {
        for (parent, kept) in [
            ("/", &["zookeeper"][..]),
            ("/zookeeper", &["config", "quota"]),
            ("/zookeeper/quota", &[]),
        ] {
            for name in self.children(parent)? {
                if !kept.contains(&name.as_str()) {
                    self.remove(&join(parent, &name))?;
                }
            }
            if shared {
                let anyone = Field::Acl(Some(vec![AclEntry::anyone()]));
                self.call(7, vec![text(parent), anyone, Field::Int(-1)])?;
                let empty = Field::Data(Some(Vec::new()));
                self.call(5, vec![text(parent), empty, Field::Int(-1)])?;
            }
        }
        Ok(())
    }
}

/// Closes the session, so that it does not end as a transaction in the middle of a later run.
impl Drop for Control {
    fn drop(&mut self) {
        // A server that is gone has no session to close.
        let _ = self.call(-11, Vec::new());
    }
}

impl AclEntry {
    /// Anyone may do anything.
    #[must_use]
    pub fn anyone() -> Self {
        let part = |part: &str| Some(part.to_owned());
        Self { perms: 31, scheme: part("world"), id: part("anyone") }
    }
}

#[must_use]
pub fn text(text: &str) -> Field {
    Field::Text(Some(text.to_owned()))
}

/// The path of a child.
#[must_use]
pub fn join(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

/// The frame that opens a session.
#[must_use]
pub fn connect_request(opening: &Opening, last_zxid: i64, session: i64, passwd: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.put_int(opening.protocol);
    message.put_long(last_zxid);
    message.put_int(opening.timeout_ms);
    message.put_long(session);
    message.put_buffer(Some(passwd));
    message.extend(opening.read_only);
    framed(&message)
}

/// Session id and password of a ConnectResponse that gives a session.
#[must_use]
pub fn session_of(reply: &Received) -> Option<(i64, Vec<u8>)> {
    let Received::Frame(frame) = reply else { return None };
    let mut reader = Reader::new(frame);
    let (_protocol, _timeout) = (reader.int().ok()?, reader.int().ok()?);
    let id = reader.long().ok()?;
    let passwd = reader.buffer().ok()??.to_vec();
    (id != 0).then_some((id, passwd))
}
