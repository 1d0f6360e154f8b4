//! Asking one server, until a deadline: the name, `srvr`, and what `mntr` adds.
//!
//! Every step has a timeout, so the caller may wait for the end. The system's resolver has none:
//! it alone gets a thread that may be left behind. Both words are put to the same address of a
//! name that has several.
//!
//! ZooKeeper closes the connection after one answer, so each word takes a connection of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use menagerie_wire::four_letter::FourLetterWord;
use thiserror::Error;

use super::figures::{Figures, printable};
use crate::admin::four_letter::{NOT_SERVING, not_whitelisted};

/// Ten times what `mntr` prints.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// What a server told that answers.
#[derive(Debug)]
pub(super) struct Answer {
    /// With a mode: who does not tell one is no ZooKeeper.
    pub(super) figures: Figures,
    /// What could not be asked, in words.
    pub(super) note: Option<String>,
}

/// Why a server told nothing of itself; the words are for the operator's table.
#[derive(Debug, Error)]
pub(super) enum ProbeError {
    #[error("the name is not resolved within {} ms", .0.as_millis())]
    Unresolved(Duration),
    #[error("refuses connections")]
    Refused,
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("closes the connection without an answer")]
    Closed,
    #[error("not serving requests")]
    NotServing,
    #[error("neither srvr nor mntr is whitelisted")]
    NotWhitelisted,
    #[error("does not answer like ZooKeeper: {0}")]
    Foreign(String),
    #[error("{0}")]
    Io(io::Error),
}

/// Asks the server at `HOST:PORT` for at most `timeout`.
pub(super) fn probe(server: &str, timeout: Duration) -> Result<Answer, ProbeError> {
    let deadline = Instant::now() + timeout;
    let addresses = resolve(server, timeout)?;
    let mut probe = Probe { addresses, timeout, deadline };
    let mut figures = Figures::default();
    let srvr = probe.ask(FourLetterWord::Srvr)?;
    if let Some(text) = &srvr {
        figures.take_srvr(text);
        figures.mode.ok_or_else(|| foreign(text))?;
    }
    let note = match probe.ask(FourLetterWord::Mntr) {
        Ok(Some(text)) => {
            figures.take_mntr(&text);
            figures.mode.ok_or_else(|| foreign(&text))?;
            srvr.is_none().then(|| "srvr is not whitelisted".to_owned())
        }
        Ok(None) if srvr.is_none() => return Err(ProbeError::NotWhitelisted),
        Ok(None) => Some("mntr is not whitelisted".to_owned()),
        Err(ProbeError::NotServing) => return Err(ProbeError::NotServing),
        Err(error) if srvr.is_none() => return Err(error),
        Err(error) => Some(format!("mntr: {error}")),
    };
    Ok(Answer { figures, note })
}

fn resolve(server: &str, timeout: Duration) -> Result<Vec<SocketAddr>, ProbeError> {
    let (tell, told) = mpsc::channel();
    let name = server.to_owned();
    thread::spawn(move || {
        let addresses = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody listens any more after the timeout.
        drop(tell.send(addresses));
    });
    match told.recv_timeout(timeout) {
        Ok(addresses) => addresses.map_err(ProbeError::Io),
        Err(_) => Err(ProbeError::Unresolved(timeout)),
    }
}

fn foreign(text: &str) -> ProbeError {
    ProbeError::Foreign(printable(text.trim().lines().next().unwrap_or_default()))
}

struct Probe {
    /// Of the name; only the one that answered, once there is one.
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    deadline: Instant,
}

impl Probe {
    /// The text that answers `word`; `None` where the server's whitelist does not have it.
    fn ask(&mut self, word: FourLetterWord) -> Result<Option<String>, ProbeError> {
        let text = self.converse(word).map_err(|error| self.in_words(error))?;
        match text.trim() {
            "" => Err(ProbeError::Closed),
            text if text == NOT_SERVING.trim() => Err(ProbeError::NotServing),
            text if text == not_whitelisted(word).trim() => Ok(None),
            _ => Ok(Some(text)),
        }
    }

    fn converse(&mut self, word: FourLetterWord) -> io::Result<String> {
        let mut stream = self.connect()?;
        stream.set_write_timeout(Some(self.left()?))?;
        stream.write_all(word.as_str().as_bytes())?;
        let mut text = Vec::new();
        let mut chunk = [0; 8 << 10];
        loop {
            stream.set_read_timeout(Some(self.left()?))?;
            match stream.read(&mut chunk)? {
                0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
                length => text.extend_from_slice(&chunk[..length]),
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(io::Error::other(format!("answers with over {TEXT_BYTES_MAX} bytes")));
            }
        }
    }

    /// Tries each address in turn, each with an equal share of the time that is left.
    fn connect(&mut self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for (index, &address) in self.addresses.iter().enumerate() {
            let untried = self.addresses.len() - index;
            let share = self.left()? / u32::try_from(untried).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(&address, share.max(Duration::from_millis(1))) {
                Ok(stream) => {
                    self.addresses = vec![address];
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn in_words(&self, error: io::Error) -> ProbeError {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => ProbeError::Silent(self.timeout),
            ErrorKind::ConnectionRefused => ProbeError::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => ProbeError::Closed,
            _ => ProbeError::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::fd::OwnedFd;
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

    use super::*;
    use crate::admin::Mode;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const SRVR: &str = "Zookeeper version: 3.9.4\nZxid: 0x100000007\nMode: follower\n";
    const MNTR: &str = "zk_server_state\tfollower\nzk_global_sessions\t9\n";
    /// Captured from a member of an ensemble of Apache ZooKeeper 3.9.4.
    const APACHE_WITHOUT_QUORUM: &str =
        "This ZooKeeper instance is not currently serving requests\n";
    const NO_SRVR: &str = "srvr is not executed because it is not in the whitelist.\n";
    const NO_MNTR: &str = "mntr is not executed because it is not in the whitelist.\n";

    /// Asks a server that gives these answers, one for each connection.
    fn ask(answers: &'static [&'static str]) -> Result<Answer, ProbeError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 4]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let answer = probe(&address, TIMEOUT);
        server.join().unwrap();
        answer
    }

    fn check_fails(answers: &'static [&'static str], words: &str) {
        let error = ask(answers).expect_err("no figures");
        assert_eq!(error.to_string(), words, "{answers:?}");
    }

    #[test]
    fn a_row_is_made_of_what_is_allowed() {
        let check = |answers, zxid: Option<i64>, sessions, words: Option<&str>| {
            let Answer { figures, note } = ask(answers).unwrap();
            assert_eq!(figures.mode, Some(Mode::Follower), "{answers:?}");
            assert_eq!(figures.zxid.map(|zxid| zxid.0), zxid, "{answers:?}");
            assert_eq!((figures.sessions, note.as_deref()), (sessions, words), "{answers:?}");
        };
        let zxid = Some(0x1_0000_0007);
        check(&[SRVR, MNTR], zxid, Some(9), None);
        check(&[SRVR, NO_MNTR], zxid, None, Some("mntr is not whitelisted"));
        check(&[NO_SRVR, MNTR], None, Some(9), Some("srvr is not whitelisted"));
        let closes = "mntr: closes the connection without an answer";
        check(&[SRVR, ""], zxid, None, Some(closes));
    }

    #[test]
    fn who_does_not_tell_is_told_of_in_words() {
        check_fails(&[NO_SRVR, NO_MNTR], "neither srvr nor mntr is whitelisted");
        check_fails(&[APACHE_WITHOUT_QUORUM], "not serving requests");
        check_fails(&[SRVR, NOT_SERVING], "not serving requests");
        check_fails(&[""], "closes the connection without an answer");
        let foreign = "does not answer like ZooKeeper: HTTP/1.1 400 Bad Request";
        check_fails(&["HTTP/1.1 400 Bad Request\r\n\r\n"], foreign);
    }

    /// Bound, so that nobody else takes it, and not listened on.
    fn dead_port() -> (OwnedFd, SocketAddr) {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = getsockname(&socket).unwrap().try_into().unwrap();
        (socket, address)
    }

    #[test]
    fn who_cannot_be_reached_is_told_of_in_words() {
        let (_bound, closed) = dead_port();
        let error = probe(&closed.to_string(), TIMEOUT).expect_err("nobody listens");
        assert!(matches!(error, ProbeError::Refused), "{error}");

        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let error = probe(&address, Duration::from_millis(50)).expect_err("nobody answers");
        assert_eq!(error.to_string(), "no answer within 50 ms");
    }

    #[test]
    fn an_answer_without_end_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 8 << 10]).is_ok() {}
        });
        let error = probe(&address, TIMEOUT).expect_err("it is no ZooKeeper");
        assert_eq!(error.to_string(), format!("answers with over {TEXT_BYTES_MAX} bytes"));
        server.join().unwrap();
    }

    #[test]
    fn the_address_that_answered_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let (_bound, closed) = dead_port();
        let deadline = Instant::now() + TIMEOUT;
        let mut probe = Probe { addresses: vec![closed, open], timeout: TIMEOUT, deadline };
        probe.connect().expect("the second one listens");
        assert_eq!(probe.addresses, [open]);
    }
}
