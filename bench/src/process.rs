//! Servers that a scenario starts itself, by a shell command.
//!
//! The shell becomes the server (`exec`), so that the process started here is the server itself.

use std::io;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::BenchError;

/// A started server; killed when dropped.
pub struct Server {
    command: String,
    process: Child,
}

impl Server {
    pub fn start(command: &str) -> Result<Self, BenchError> {
        let process = Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let command = command.to_owned();
        match process {
            Ok(process) => Ok(Self { command, process }),
            Err(error) => Err(BenchError::Command { command, why: error.to_string() }),
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Fails when the server has ended.
    pub fn check(&mut self) -> Result<(), BenchError> {
        match self.process.try_wait() {
            Ok(Some(status)) => Err(self.failed(format!("ended with {status}"))),
            _ => Ok(()),
        }
    }

    pub fn failed(&self, why: String) -> BenchError {
        BenchError::Command { command: self.command.clone(), why }
    }

    /// Ends the server as a power failure would.
    pub fn kill(mut self) -> Result<(), BenchError> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(drop).map_err(|error| self.failed(error.to_string()))
    }

    /// Asks the server to end, and waits until it has.
    pub fn terminate(mut self) -> Result<(), BenchError> {
        let asked = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let ended = asked.map_err(io::Error::from).and_then(|()| self.process.wait());
        ended.map(drop).map_err(|error| self.failed(error.to_string()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process has ended, which is what they are for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
