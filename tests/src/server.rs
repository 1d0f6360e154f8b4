//! The built `menagerie` binary as a process, started the way an operator starts it.
//!
//! The binary is found beside the running test (`target/<profile>/menagerie`), or where the
//! environment variable `MENAGERIE_BINARY` says; `tests/run` builds it. The harness waits for the
//! ready line on stderr, and can stop, kill and restart the server on the same data and port.

use crate::child_process::ChildProcess;
use crate::scratch::Scratch;
use crate::server_config::{ServerConfig, free_address};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

const READY_LINE_START: &str = "menagerie: serving clients on ";
const START_TIME_MAX: Duration = Duration::from_secs(60);
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// A standalone server with a data directory and a port of its own, killed when dropped.
#[derive(Debug)]
pub struct Menagerie {
    address: SocketAddr,
    config: ServerConfig,
    // Before the directory, because fields are dropped in order: first the writer, then the files.
    process: ChildProcess,
    scratch: Scratch,
}

impl Menagerie {
    /// Starts a server with an empty data directory and waits until it serves.
    ///
    /// # Panics
    /// When the binary is missing, or ends or stays silent instead of getting ready.
    #[must_use]
    pub fn start(config: &ServerConfig) -> Self {
        Self::start_in(Scratch::new("server"), config)
    }

    /// Starts a server on what a test has put into `scratch` (the data lies in `data/`).
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_in(scratch: Scratch, config: &ServerConfig) -> Self {
        let address = free_address();
        let process = spawn_ready(&scratch, address, config);
        Self { address, config: config.clone(), process, scratch }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What the running process wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// SIGKILL: the process gets no chance to finish anything.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the exit status that follows.
    ///
    /// # Panics
    /// When the server does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.wait()
    }

    /// The exit status of a server that is about to end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.process.wait(STOP_TIME_MAX);
        status.unwrap_or_else(|| panic!("no end within {STOP_TIME_MAX:?}: {}", self.stderr()))
    }

    /// Starts a killed or stopped server again, on the same data and the same port.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn_ready(&self.scratch, self.address, &self.config);
    }

    /// Starts a killed server again and kills it `after` that, whatever it is doing then.
    pub fn restart_and_kill(&mut self, after: Duration) {
        self.process.kill();
        self.process = spawn(&self.scratch, self.address, &self.config);
        self.process.wait(after);
        self.process.kill();
    }
}

fn spawn(scratch: &Scratch, address: SocketAddr, config: &ServerConfig) -> ChildProcess {
    let zoo_cfg = scratch.path().join("zoo.cfg");
    let text = config.zoo_cfg(address, &scratch.path().join("data"));
    std::fs::write(&zoo_cfg, text).expect("the scratch directory is writable");
    let mut command = command(config, &zoo_cfg);
    ChildProcess::spawn(command.current_dir(scratch.path())).expect("the binary can be executed")
}

/// What starts a server on the file `zoo_cfg`.
///
/// # Panics
/// As [`binary`].
pub(crate) fn command(config: &ServerConfig, zoo_cfg: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("server").arg(zoo_cfg).stdout(Stdio::null());
    command.env("SERVER_JVMFLAGS", config.jvm_flags().join(" "));
    command
}

fn spawn_ready(scratch: &Scratch, address: SocketAddr, config: &ServerConfig) -> ChildProcess {
    let mut process = spawn(scratch, address, config);
    let ready = process.wait_for_line(START_TIME_MAX, |line| line.starts_with(READY_LINE_START));
    if ready.is_none() {
        let status = process.wait(Duration::from_secs(1));
        panic!("no ready line from menagerie (exit {status:?}); stderr:\n{}", process.stderr());
    }
    process
}

/// The binary under test.
///
/// # Panics
/// When it has not been built, with the command that builds it.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("MENAGERIE_BINARY").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: `cargo build -p menagerie` with the profile of the tests, or tests/run",
        path.display()
    );
    path
}

/// `target/<profile>/menagerie`, from `target/<profile>/deps/<this test>` or `…/<this program>`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the kernel knows the path of this test");
    let dir = test.parent().expect("a program lies in a directory");
    let profile_dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    profile_dir.join("menagerie")
}
