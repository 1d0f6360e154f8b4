//! Plays a transcript against a server and reports every difference.
//!
//! A step sends its request and then waits, on each connection, for exactly the frames that were
//! captured; waiting ends with the frame, the time is only a bound. Frames that nobody expected
//! show in the next step of that connection, or at the end of the scenario: there the player shuts
//! its side down and reads until the server closes, so that nothing stays unread.

use super::bindings::Bindings;
use super::compare::{self, Difference, PORT_DIGITS};
use super::connection::{Connection, Received};
use super::deviations::Deviations;
use super::servers::Servers;
use super::transcript::{Kind, Response, Step, Transcript, Vary, to_hex};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// For the answer to a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// For what the server does by its own clock: expiry of sessions, containers and TTL nodes.
const CLOCK_TIME_MAX: Duration = Duration::from_secs(30);
/// For which nothing may come where the transcript says that the server's clock does nothing; more
/// than the TTL (1500 ms) plus the check interval (1000 ms) of `client-expirynodes`.
const CLOCK_SILENCE: Duration = Duration::from_millis(2_600);
/// For which nothing may come after a request that has no answer.
const REQUEST_SILENCE: Duration = Duration::from_millis(200);

/// The request that names servers by their addresses.
// ZooKeeper: ZooDefs.OpCode
const RECONFIG: i32 = 16;

/// Several ephemerals go in one transaction here, and the order of their events is free.
const FREE_ORDER_SCENARIO: &str = "session-close-many-ephemerals";

/// What a replay found.
#[derive(Debug)]
pub struct Report {
    pub steps: usize,
    pub failures: Vec<Failure>,
}

/// One difference between the transcript and the server.
#[derive(Debug)]
pub struct Failure {
    file: String,
    scenario: String,
    step: u32,
    note: String,
    conn: String,
    what: String,
}

/// Plays all steps of `transcript` against fresh servers.
///
/// # Panics
/// When a server cannot be reached at all.
#[must_use]
pub fn replay(servers: &Servers, transcript: &Transcript, deviations: &Deviations) -> Report {
    let mut player = Player {
        servers,
        connections: BTreeMap::new(),
        bindings: Bindings::default(),
        failures: Vec::new(),
    };
    for scenario in transcript.steps.chunk_by(|one, next| one.scenario == next.scenario) {
        for step in scenario {
            for step in deviations.apply(&transcript.name, step) {
                player.play(&step);
            }
        }
        let last = scenario.last().expect("a scenario has steps");
        for (name, connection) in std::mem::take(&mut player.connections) {
            player.retire(last, &name, connection);
        }
    }
    for failure in &mut player.failures {
        failure.file.clone_from(&transcript.name);
    }
    Report { steps: transcript.steps.len(), failures: player.failures }
}

struct Player<'a> {
    servers: &'a Servers,
    connections: BTreeMap<String, Connection>,
    bindings: Bindings,
    failures: Vec<Failure>,
}

impl Player<'_> {
    fn play(&mut self, step: &Step) {
        self.servers.settle();
        if step.open {
            if let Some(older) = self.connections.remove(&step.conn) {
                self.retire(step, &step.conn, older);
            }
            let connection =
                Connection::open(self.servers.of(&step.conn)).expect("the server accepts");
            self.connections.insert(step.conn.clone(), connection);
        }
        if let Some(request) = &step.request {
            let request = self.filled(&request.0, &step.request_vary);
            self.connection(&step.conn).send(&request);
        }
        let mut expected: BTreeMap<&str, Vec<&Response>> = BTreeMap::new();
        for response in &step.responses {
            expected.entry(&response.conn).or_default().push(response);
        }
        for (conn, responses) in &expected {
            self.expect_responses(step, conn, responses);
        }
        for conn in &step.closed {
            self.expect_closed(step, conn);
        }
        if step.responses.is_empty() && step.closed.is_empty() {
            self.expect_silence(step);
        }
    }

    fn connection(&mut self, name: &str) -> &mut Connection {
        let connection = self.connections.get_mut(name);
        connection.unwrap_or_else(|| panic!("the transcript uses {name} before it opens it"))
    }

    /// The request with our own sessions, passwords and zxids.
    fn filled(&self, captured: &[u8], vary: &[Vary]) -> Vec<u8> {
        let mut request = captured.to_vec();
        for vary in vary {
            let value = &captured[vary.range()];
            let own = match vary.2 {
                Kind::Session | Kind::Passwd => self.bindings.opaque(value).to_vec(),
                Kind::Zxid => {
                    let zxid = i64::from_be_bytes(value.try_into().expect("a zxid has 8 bytes"));
                    self.bindings.zxid(zxid).to_be_bytes().to_vec()
                }
                Kind::Time | Kind::Unordered | Kind::Config | Kind::Text => {
                    panic!("a request has no {:?}", vary.2)
                }
            };
            request[vary.range()].copy_from_slice(&own);
        }
        if opcode(captured) == Some(RECONFIG) {
            self.fill_ports(&mut request);
        }
        request
    }

    /// Puts our own ports into the members that a reconfig names.
    fn fill_ports(&self, request: &mut [u8]) {
        for at in 0..request.len() {
            let Some(port) = request.get_mut(at..at + PORT_DIGITS) else { return };
            let own = self.bindings.opaque(port).to_vec();
            port.copy_from_slice(&own);
        }
    }

    fn expect_responses(&mut self, step: &Step, conn: &str, responses: &[&Response]) {
        let timeout = if step.request.is_some() { ANSWER_TIME_MAX } else { CLOCK_TIME_MAX };
        let failures_before = self.failures.len();
        let mut pending: Vec<&Response> = responses.to_vec();
        while let Some(&next) = pending.first() {
            let connection = self.connection(conn);
            let received =
                if next.is_text() { connection.rest(timeout) } else { connection.frame(timeout) };
            let Received::Bytes(bytes) = received else {
                let count = pending.len();
                let what = match received {
                    Received::Closed => "the server closed the connection",
                    _ => "nothing came",
                };
                self.fail(step, conn, format!("{what}, {count} awaited: {}", shown(next)));
                break;
            };
            let index = self.matching(step, &pending, &bytes);
            let expected = pending.remove(index);
            let opcode = step.request.as_ref().and_then(|request| opcode(&request.0));
            let compared = compare::response(expected, &bytes, opcode, &mut self.bindings);
            if let Err(Difference { offset, what }) = compared {
                let (expected, actual) = (shown(expected), to_hex(&bytes));
                let what = format!("offset {offset}: {what}\n  {expected}\n  actual   {actual}");
                self.fail(step, conn, what);
            }
        }
        if self.failures.len() > failures_before {
            self.drain(step, conn);
        }
    }

    /// Which of the awaited frames `bytes` is: the first, except where their order is free.
    fn matching(&self, step: &Step, pending: &[&Response], bytes: &[u8]) -> usize {
        if step.scenario != FREE_ORDER_SCENARIO {
            return 0;
        }
        let fits = |expected: &&Response| {
            compare::response(expected, bytes, None, &mut self.bindings.clone()).is_ok()
        };
        pending.iter().position(fits).unwrap_or(0)
    }

    /// After a failure: takes what else the server sent, so that the next step starts afresh.
    fn drain(&mut self, step: &Step, conn: &str) {
        while let Received::Bytes(bytes) = self.connection(conn).frame(REQUEST_SILENCE) {
            self.fail(step, conn, format!("surplus frame {}", to_hex(&bytes)));
        }
    }

    fn expect_closed(&mut self, step: &Step, conn: &str) {
        let timeout = if step.request.is_some() { ANSWER_TIME_MAX } else { CLOCK_TIME_MAX };
        let mut received = self.connection(conn).rest(timeout);
        if let Received::Bytes(bytes) = &received {
            self.fail(step, conn, format!("surplus bytes before the end: {}", to_hex(bytes)));
            received = Received::Closed;
        }
        if received == Received::Silence {
            self.fail(step, conn, "the server did not close the connection".to_owned());
        }
    }

    fn expect_silence(&mut self, step: &Step) {
        let silence = if step.request.is_some() { REQUEST_SILENCE } else { CLOCK_SILENCE };
        if let Received::Bytes(bytes) = self.connection(&step.conn).frame(silence) {
            self.fail(step, &step.conn, format!("nothing awaited, got {}", to_hex(&bytes)));
        }
    }

    /// Ends a connection from our side; what it still holds was expected by no step.
    fn retire(&mut self, last: &Step, name: &str, mut connection: Connection) {
        connection.finish();
        match connection.rest(ANSWER_TIME_MAX) {
            Received::Closed => {}
            Received::Bytes(bytes) => {
                self.fail(last, name, format!("unread until the end: {}", to_hex(&bytes)));
            }
            Received::Silence => {
                self.fail(last, name, "not closed after the client's FIN".to_owned());
            }
        }
    }

    fn fail(&mut self, step: &Step, conn: &str, what: String) {
        self.failures.push(Failure {
            file: String::new(),
            scenario: step.scenario.clone(),
            step: step.step,
            note: step.note.clone(),
            conn: conn.to_owned(),
            what,
        });
    }
}

/// The opcode of a framed request, which follows the length prefix and the xid.
fn opcode(request: &[u8]) -> Option<i32> {
    request.get(8..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

fn shown(expected: &Response) -> String {
    format!("expected {} {}", to_hex(&expected.bytes.0), expected.decoded)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, scenario, step, note, conn, what } = self;
        write!(f, "{file} {scenario} {step} ({note}), connection {conn}: {what}")
    }
}
