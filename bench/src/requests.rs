//! Bodies of requests as scenarios send them. Some only this crate writes: servers read them in
//! other forms.

use std::borrow::Cow;
use std::time::Duration;

use menagerie_wire::data::{Acl, perms};
use menagerie_wire::jute::{Encode, Put as _};
use menagerie_wire::proto::{AddWatchMode, ConnectRequest, Create, CreateFlags, PASSWD_LEN};
use menagerie_wire::{SessionId, Zxid};

use crate::connection::Session;

/// A new session, or one that goes on.
pub fn connect(
    session: Option<&Session>,
    timeout: Duration,
    last_zxid_seen: Zxid,
) -> ConnectRequest<'_> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        session_id: session.map_or(SessionId::NONE, |session| session.id),
        passwd: Some(session.map_or(&[0; PASSWD_LEN], |session| &session.passwd)),
        read_only: Some(false),
    }
}

/// A node that is open to all.
pub fn create<'a>(path: impl Into<Cow<'a, str>>, data: &'a [u8], flags: CreateFlags) -> Create<'a> {
    let acl = Some(vec![Acl::world(perms::ALL)]);
    Create { path: path.into(), data: Some(data), acl, flags: flags as i32, ttl_ms: None }
}

/// A request that only names a path.
pub struct OnePath<'a>(pub &'a str);

impl Encode for OnePath<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.0);
    }
}

pub struct AddWatch<'a> {
    pub path: &'a str,
    pub mode: AddWatchMode,
}

impl Encode for AddWatch<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.path);
        out.put_int(self.mode as i32);
    }
}
