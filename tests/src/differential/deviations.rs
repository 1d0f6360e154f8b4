//! Where Menagerie answers otherwise on purpose, each place with its reason.
//!
//! Most deviations are kept out of the comparison by asking Apache ZooKeeper a question whose
//! answer is the one Menagerie is meant to give ([`DEVIATIONS`]): the comparison stays exact, and
//! the state of the two servers stays equal. Two need more: a claim with a wrong password
//! ([`claim_for_apache`]), and events that setWatches fires ([`fired_path`]).

use super::script::{Claim, Field, Part, Request};
use super::view::{EVENT_XID, Header};
use menagerie_wire::jute::Reader;

/// A request that Menagerie answers as Apache ZooKeeper answers another one.
#[derive(Clone, Copy, Debug)]
pub struct Deviation {
    pub reason: &'static str,
    applies: fn(&Request) -> bool,
    instead: fn(&Request) -> Request,
}

const DELETE_CONTAINER: i32 = 20;
const CREATE_SESSION: i32 = -10;
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const SET_ACL: i32 = 7;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const CREATE_TTL: i32 = 21;
/// No server knows it: -6 with zxid -1, then the connection is closed.
const UNKNOWN: i32 = 24;

/// The first that applies counts.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        reason: "deleteContainer is the server's own request; from a client it bypasses ACLs",
        applies: |request| request.op == DELETE_CONTAINER,
        instead: |request| Request { op: UNKNOWN, ..request.clone() },
    },
    Deviation {
        reason: "createSession in mid-stream re-registers the session with another timeout",
        applies: |request| request.op == CREATE_SESSION,
        instead: |request| Request { op: UNKNOWN, ..request.clone() },
    },
    Deviation {
        reason: "a body that cannot be decoded takes no zxid; on Apache's server a multi may take \
                 one, and so does a null where there must be a path or an id",
        applies: takes_zxid_undecoded,
        instead: |_| Request::new(CREATE, Vec::new()),
    },
    Deviation {
        reason: "createTTL of a plain node with a negative ttl ends Apache's server for good",
        applies: |request| request.op == CREATE_TTL && negative_ttl(request),
        instead: |request| {
            let mut request = request.clone();
            if let Some(ttl) = request.fields.last_mut() {
                *ttl = Field::Long(0);
            }
            request
        },
    },
];

/// As far as the scripts of [`super::generate`] go.
fn takes_zxid_undecoded(request: &Request) -> bool {
    match request.op {
        MULTI => request.cut > 0 || !request.fields.iter().all(is_whole_multi),
        CREATE | DELETE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            request.cut == 0 && request.fields.iter().any(holds_null)
        }
        // Its null path decodes, and is a bad argument.
        SET_ACL => request.cut == 0 && request.fields.iter().skip(1).any(holds_null),
        _ => false,
    }
}

fn is_whole_multi(field: &Field) -> bool {
    let Field::Parts(parts) = field else { return false };
    let fits = |part: &Part| match part.op {
        CREATE | DELETE | SET_DATA | CHECK | CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            !part.fields.iter().any(|field| *field == Field::Acl(None) || holds_null(field))
        }
        _ => part.done,
    };
    parts.last().is_some_and(|last| last.done) && parts.iter().all(fits)
}

fn holds_null(field: &Field) -> bool {
    match field {
        Field::Text(text) => text.is_none(),
        Field::Acl(Some(entries)) => entries.iter().any(|entry| entry.id.is_none()),
        _ => false,
    }
}

fn negative_ttl(request: &Request) -> bool {
    matches!(request.fields.last(), Some(Field::Long(..0)))
}

/// What Apache ZooKeeper is asked where Menagerie is asked `request`.
#[must_use]
pub fn request_for_apache(request: &Request) -> Request {
    let deviation = DEVIATIONS.iter().find(|deviation| (deviation.applies)(request));
    deviation.map_or_else(|| request.clone(), |deviation| (deviation.instead)(request))
}

/// A claim with a wrong password disconnects the owner of the session on Apache's server, before
/// the password is even looked at. The answer is the same as to a session that never was.
#[must_use]
pub const fn claim_for_apache(claim: Claim) -> Claim {
    match claim {
        Claim::WrongPassword(_) => Claim::Unknown,
        Claim::New | Claim::Resume(_) | Claim::Unknown => claim,
    }
}

/// The path of an event that setWatches fired. Apache ZooKeeper fires these without a look at the
/// ACL, so that a client learns of changes it may not read; Menagerie keeps them back.
#[must_use]
pub fn fired_path(frame: &[u8]) -> Option<String> {
    let header = Header::of(frame)?;
    if header.xid != EVENT_XID || header.zxid != -1 {
        return None;
    }
    let mut reader = Reader::new(&frame[16..]);
    let (_kind, _state) = (reader.int().ok()?, reader.int().ok()?);
    Some(reader.ustring().ok()??.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apache_is_asked_the_same_except_for_the_deviations() {
        let check = |op, asked| {
            assert_eq!(request_for_apache(&Request::new(op, Vec::new())).op, asked);
        };
        check(1, 1);
        check(-11, -11);
        check(DELETE_CONTAINER, UNKNOWN);
        check(CREATE_SESSION, UNKNOWN);
    }
}
