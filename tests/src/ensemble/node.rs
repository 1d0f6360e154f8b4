//! One server of an ensemble: a process that can be started, killed, paused and robbed of its data.
//!
//! Apache ZooKeeper and Menagerie are driven alike: the same `zoo.cfg`, the same `myid`, the same
//! four-letter words. What a process wrote to stderr is kept in the node's directory over all its
//! lives.

use super::namespaces;
use crate::ServerConfig;
use crate::child_process::ChildProcess;
use crate::raw_client::{Introduction, RawClient, four_letter_within, value_of};
use crate::{apache, server};
use menagerie_wire::opcode::OpCode;
use menagerie_wire::proto::PathWatch;
use rustix::process::Signal;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

const STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// A server that answers a four-letter word later than that does not serve.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// The same for a transaction.
const MARK_TIME_MAX: Duration = Duration::from_secs(5);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    Apache,
    Menagerie,
}

/// What a server says of itself in its answer to `srvr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
}

/// A server that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    pub mode: Mode,
    /// The last transaction that it has applied.
    pub zxid: i64,
}

/// One server with a directory of its own, killed when dropped.
#[derive(Debug)]
pub struct Node {
    id: u64,
    flavor: Flavor,
    observer: bool,
    client: SocketAddr,
    config: ServerConfig,
    process: Option<ChildProcess>,
    paused: bool,
    directory: PathBuf,
    /// It lives in a network namespace of its own.
    enclosed: bool,
}

impl Node {
    /// A node that does not run yet. `config` holds all the keys but those that name the data
    /// directory and the client port.
    pub(super) fn new(
        id: u64,
        flavor: Flavor,
        observer: bool,
        client: SocketAddr,
        config: ServerConfig,
        directory: PathBuf,
    ) -> Self {
        let config = match flavor {
            Flavor::Apache => config.key("admin.enableServer", false),
            Flavor::Menagerie => config,
        };
        let (process, paused, enclosed) = (None, false, false);
        Self { id, flavor, observer, client, config, process, paused, directory, enclosed }
    }

    /// From now on it starts in its network namespace.
    pub(super) const fn enclose(&mut self) {
        self.enclosed = true;
    }

    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    #[must_use]
    pub const fn is_observer(&self) -> bool {
        self.observer
    }

    /// Where clients connect.
    #[must_use]
    pub const fn client(&self) -> SocketAddr {
        self.client
    }

    /// Where its data lies.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The running process.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a server that runs").id()
    }

    /// There is a process, which may be paused.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.wait(Duration::ZERO).is_none())
    }

    /// It was started and not ended by the test; see [`Self::is_running`] for its own end.
    #[must_use]
    pub const fn has_process(&self) -> bool {
        self.process.is_some()
    }

    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Starts the process on the data that is there, and does not wait for it.
    ///
    /// # Panics
    /// When the program or its directory is missing.
    pub fn start(&mut self) {
        self.kill();
        fs::create_dir_all(self.data_dir()).expect("the scratch directory is writable");
        fs::write(self.data_dir().join("myid"), format!("{}\n", self.id)).expect("so is its child");
        let zoo_cfg = self.directory.join("zoo.cfg");
        // Apache's server writes into it what it has learnt.
        if !zoo_cfg.exists() {
            let text = self.config.zoo_cfg(self.client, &self.data_dir());
            fs::write(&zoo_cfg, text).expect("the scratch directory is writable");
        }
        let mut command = match self.flavor {
            Flavor::Apache => apache::command(&self.config, &zoo_cfg),
            Flavor::Menagerie => server::command(&self.config, &zoo_cfg),
        };
        if self.enclosed {
            command = namespaces::enclosed(self.id, &command);
        }
        let process = ChildProcess::spawn(command.current_dir(&self.directory));
        self.process = Some(process.expect("the server's program is installed"));
    }

    /// SIGKILL, to a paused process too.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            self.keep_log(&process);
        }
        self.paused = false;
    }

    /// SIGTERM, and the exit status that follows.
    ///
    /// # Panics
    /// When the server does not run, or does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a server that runs is stopped");
        process.signal(Signal::TERM);
        let status = process.wait(STOP_TIME_MAX);
        self.keep_log(&process);
        status.unwrap_or_else(|| panic!("{self}: no end within {STOP_TIME_MAX:?}"))
    }

    /// SIGSTOP: the process stands still, its connections stay open.
    pub fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.pause();
            self.paused = true;
        }
    }

    /// SIGCONT.
    pub fn go_on(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::CONT);
        }
        self.paused = false;
    }

    /// Removes the data of a server that does not run.
    ///
    /// # Panics
    /// When it runs, or the data cannot be removed.
    pub fn remove_data(&mut self) {
        assert!(self.process.is_none(), "{self} runs");
        for entry in fs::read_dir(self.data_dir()).expect("a node has data") {
            let path = entry.expect("a node has data").path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("a node's data can be removed");
        }
    }

    /// Leaves no room on a small disk.
    ///
    /// # Errors
    /// When something else than a full disk stops it.
    pub fn fill_disk(&self) -> io::Result<()> {
        let mut filler = fs::File::create(self.filler())?;
        // Smaller and smaller, until not even a byte fits.
        for length in [1 << 20, 1 << 12, 1] {
            let piece = vec![b'x'; length];
            let error = loop {
                if let Err(error) = filler.write_all(&piece) {
                    break error;
                }
            };
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the disk was not filled up.
    pub fn free_disk(&self) -> io::Result<()> {
        fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.directory.join("filler")
    }

    /// The answer to a four-letter word; `None` from a server that does not answer.
    #[must_use]
    pub fn ask(&self, word: &str) -> Option<String> {
        if self.process.is_none() || self.paused {
            return None;
        }
        four_letter_within(self.client, word, ANSWER_TIME_MAX).ok()
    }

    /// What the server says of itself, if it serves.
    #[must_use]
    pub fn serving(&self) -> Option<Serving> {
        parse(&self.ask("srvr")?)
    }

    /// Commits a transaction through this server: its zxid. A follower says it only once it has
    /// applied it; without one it may say any zxid of an earlier epoch, or none.
    ///
    /// # Errors
    /// When the server does not serve.
    pub fn mark(&self) -> io::Result<i64> {
        let answer_time_max = MARK_TIME_MAX;
        let introduction = Introduction { answer_time_max, ..Introduction::new(10_000) };
        // The session's own creation is the transaction.
        let mut client = RawClient::introduce(self.client, &introduction)?;
        let read = PathWatch { path: "/".into(), watch: false };
        let reply = client.call(OpCode::Exists, &read)?;
        client.close()?;
        Ok(reply.header.zxid.0)
    }

    /// What the running process wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.as_ref().map(ChildProcess::stderr).unwrap_or_default()
    }

    /// What the server says of itself and the last lines of its log, for whoever reads a failure.
    #[must_use]
    pub fn state(&self) -> String {
        let stderr = self.stderr();
        let lines: Vec<_> = stderr.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        format!("{self}: {:?}\n{}", self.serving(), last.join("\n"))
    }

    fn keep_log(&self, process: &ChildProcess) {
        let path = self.directory.join("stderr.log");
        let file = fs::File::options().create(true).append(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{}", process.stderr()));
        // A full disk is one of the things that are tried.
        if let Err(error) = written {
            eprintln!("{self}: its log is not kept: {error}");
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} server {}", self.flavor, self.id)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn parse(answer: &str) -> Option<Serving> {
    let mode = match value_of(answer, "Mode:")? {
        "leader" => Mode::Leader,
        "follower" => Mode::Follower,
        "observer" => Mode::Observer,
        _ => return None,
    };
    let zxid = u64::from_str_radix(value_of(answer, "Zxid:")?.strip_prefix("0x")?, 16).ok()?;
    Some(Serving { mode, zxid: zxid as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_mode_and_zxid() {
        let answer = "Zookeeper version: 3.9.4\nZxid: 0x100000002\nMode: follower\nNode count: 5\n";
        assert_eq!(parse(answer), Some(Serving { mode: Mode::Follower, zxid: 0x1_0000_0002 }));
        assert_eq!(parse("This ZooKeeper instance is not currently serving requests\n"), None);
    }
}
