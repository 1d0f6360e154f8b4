//! A server process that is watched and dies with the test.
//!
//! Its stderr is read line by line on a thread of its own: a harness waits for a line, not for a
//! time, and a failing test shows the log. The end of the process is waited for through a pidfd.
//! The kernel kills the child when the thread that started it ends (`PR_SET_PDEATHSIG`), whatever
//! way the test ends; so a server lives on the test thread that started it, never in a static.
//!
//! The only unsafe code of this crate is here: `pre_exec` hooks that make system calls.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, set_parent_process_death_signal,
    waitid,
};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A running child with its stderr so far. Killed when dropped.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    closed: bool,
}

impl ChildProcess {
    /// Starts `command` with its stderr captured and nothing on its stdin.
    ///
    /// # Errors
    /// What the operating system says when the program cannot be started.
    pub fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is one
        // prctl(2) without allocation or lock.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().expect("stderr was asked to be piped");
        let log = Arc::new(Log::default());
        let reader = Arc::clone(&log);
        std::thread::spawn(move || reader.follow(stderr));
        Ok(Self { child, log })
    }

    /// Waits for the first line of stderr that `wanted` accepts. `None` when the process closed
    /// its stderr, or the time passed, without one.
    pub fn wait_for_line(
        &self,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + timeout;
        let mut written = self.log.lock();
        let mut seen = 0;
        loop {
            if let Some(line) = written.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            seen = written.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if written.closed || left.is_zero() {
                return None;
            }
            let waited = self.log.changed.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All that the process wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.log.lock().lines.join("\n")
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`; a process that has ended is left alone.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = Pid::from_child(&self.child);
            rustix::process::kill_process(pid, signal).expect("an unreaped child can be signalled");
        }
    }

    /// SIGSTOP: returns when every thread stands still, or the process has ended. Until then some
    /// may go on, longer than one thinks on a busy machine.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let pid = Pid::from_child(&self.child);
        // One that had ended before is known no longer.
        let _ended_before = waitid(WaitId::Pid(pid), either);
    }

    /// Waits for the end of the process; `None` when it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .expect("an unreaped child has a pidfd");
        let timeout = timeout.try_into().expect("a test waits less than centuries");
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        // An interruption by a signal shows as "still running": no test sends itself signals.
        poll(&mut ended, Some(&timeout)).ok()?;
        self.child.try_wait().ok().flatten()
    }

    /// Ends the process at once (SIGKILL) and reaps it.
    pub fn kill(&mut self) {
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("an own child can be reaped");
    }
}

/// What of a process lies in memory (`VmRSS`).
///
/// # Panics
/// When it does not run.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.expect("the kernel prints a number of kB")
}

/// Makes `command` run like a container whose seccomp profile does not know io_uring: the kernel
/// refuses io_uring_setup(2) with EPERM.
pub fn forbid_io_uring(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two
    // prctl(2) without allocation or lock.
    unsafe {
        command.pre_exec(refuse_io_uring_setup);
    }
}

fn refuse_io_uring_setup() -> std::io::Result<()> {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The number of the system call is the first word of seccomp_data.
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps live until the kernel has copied them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            self.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
            self.changed.notify_all();
        }
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> ChildProcess {
        ChildProcess::spawn(Command::new("sh").args(["-c", script])).expect("sh starts")
    }

    #[test]
    fn a_line_is_waited_for_and_kept() {
        let child = sh("echo one >&2; echo two >&2; exec sleep 60");
        assert_eq!(child.wait_for_line(LONG, |line| line == "two").as_deref(), Some("two"));
        assert_eq!(child.stderr(), "one\ntwo");
    }

    #[test]
    fn a_process_that_ends_without_the_line_is_noticed_at_once() {
        let mut child = sh("echo no >&2; exit 3");
        assert_eq!(child.wait_for_line(LONG, |line| line == "yes"), None);
        assert_eq!(child.wait(LONG).and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn a_paused_process_does_nothing_until_it_goes_on() {
        let mut process = sh("trap 'echo done >&2; exit 0' TERM; echo up >&2; sleep 2 & wait");
        assert!(process.wait_for_line(Duration::from_secs(9), |line| line == "up").is_some());
        process.pause();
        process.signal(Signal::TERM);
        assert_eq!(process.wait(Duration::from_millis(100)), None);
        process.signal(Signal::CONT);
        assert!(process.wait(Duration::from_secs(9)).is_some());
    }

    #[test]
    fn a_signal_ends_the_process_and_a_running_one_times_out() {
        let mut child = sh("exec sleep 60");
        assert_eq!(child.wait(Duration::from_millis(1)), None);
        child.signal(Signal::TERM);
        assert!(child.wait(LONG).is_some());
    }
}
